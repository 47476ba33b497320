/* The rig of the HTTP tests: a loop on its own thread, a share on it, raw requests from the test's
 * thread, and viewers. Tests stay on the main thread and post. */
#ifndef TEST_SIGNAL_RIG_H
#define TEST_SIGNAL_RIG_H

#include "base/error.h"
#include "signal/http_guard.h"
#include "signal/whep_client.h"
#include "signal/whep_server.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKEN "abcdefghijklmnopqrstuv"
extern const char token[], answer_text[], page_text[];

/* The network thread runs the loop; tests stay on the main thread and post. */
struct rig {
    struct loop *loop;
    pthread_t thread;
    struct whep_server *server;
    int port;
    /* What the handlers saw. Written on the network thread, read after a semaphore. */
    char offer[256], query[64], id[64], if_match[64], frag[256];
    int offers, patches, deletes;
    struct whep_request *held;
    sem_t held_one;
};
extern struct rig t;

int setup(void **state);
int teardown(void **state);
/* fn(arg) on the network thread; returns when it has run. */
void on_network(void (*fn)(void *arg), void *arg);
void wait_for(sem_t *s);

/* ---- the share's side ---- */

struct opening {
    struct whep_server_config config;
    struct whep_server *server;
    int error;
    char text[256];
};

struct opening opening_of(const char *listen, const char *secret);
void open_task(void *opening);
void free_server_task(void *server);
void serve_with(struct opening o);
void serve(void);
struct http_limits short_limits(void);
void reply_created_task(void *req);

/* ---- raw requests ---- */

extern char response[65536];
int dial(int port);
int dial_from(const char *address, int port); /* one of 127.0.0.0/8 */
bool send_all(int s, const char *data, size_t len);
/* All until the other side closes, into out. -1: it did not within the socket's patience. */
int read_all(int s, char *out, size_t cap);
/* One request on its own connection; its status. The rest is in `response`. */
int request(const char *method, const char *path, const char *headers, const char *body);
void has(const char *text); /* in the response */

#define SDP_TYPE  "Content-Type: application/sdp\r\n"
#define FRAG_TYPE "Content-Type: application/trickle-ice-sdpfrag\r\n"

/* ---- viewers ---- */

struct viewer {
    struct whep_client_config config;
    struct whep_client *client;
    int error, n;
    char text[512], answer[1024], url[8][256];
    const char *body;
    bool restart, free_inside;
    sem_t done;
};

void new_task(void *viewer);
void free_task(void *viewer);
void post_task(void *viewer);
void servers_task(void *viewer);
void patch_task(void *viewer);
void delete_task(void *viewer);
void view(struct viewer *v, const char *url);
void do_and_wait(struct viewer *v, void (*fn)(void *arg));
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
