/* signal/whep_server and whep_client with each other and with rude peers, over loopback. */
#include "base/clock.h"
#include "base/error.h"
#include "signal/http_guard.h"
#include "signal/token.h"
#include "signal/whep_client.h"
#include "signal/whep_link.h"
#include "signal/whep_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* GCC 12's sanitizer misreads the thread-local storage of modules that were loaded at run time
 * (GnuTLS, on a thread of GLib's pool) and crashes in the leak check; this keeps it from trying. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "intercept_tls_get_addr=0"; }

static const char token[] = "abcdefghijklmnopqrstuv";
static const char answer_text[] = "v=0\r\nanswer\r\n";
static const char page_text[] = "<!doctype html><p>page</p>";

/* The network thread runs the loop; tests stay on the main thread and post. */
static struct {
    struct loop *loop;
    pthread_t thread;
    struct whep_server *server;
    int port;
    /* What the handlers saw. Written on the network thread, read after a semaphore. */
    char offer[256], query[64], id[64], if_match[64], frag[256];
    int offers, patches, deletes;
    struct whep_request *held;
    sem_t held_one;
} t;

static void *run(void *ctx)
{
    loop_run(ctx);
    return NULL;
}

struct task {
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void run_task(void *ctx)
{
    struct task *task = ctx;
    task->fn(task->arg);
    sem_post(&task->done);
}

/* fn(arg) on the network thread; returns when it has run. */
static void on_network(void (*fn)(void *arg), void *arg)
{
    struct task task = {.fn = fn, .arg = arg};
    sem_init(&task.done, 0, 0);
    loop_post(t.loop, run_task, &task);
    sem_wait(&task.done);
    sem_destroy(&task.done);
}

static void wait_for(sem_t *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    assert_int_equal(sem_timedwait(s, &until), 0);
}

/* ---- the share's side ---- */

static void on_offer(void *ctx, struct whep_request *req, const char *sdp, size_t len,
                     const char *query)
{
    assert_ptr_equal(ctx, &t);
    snprintf(t.offer, sizeof t.offer, "%.*s", (int)len, sdp);
    snprintf(t.query, sizeof t.query, "%s", query);
    t.offers++;
    if (strstr(t.offer, "hold")) {
        t.held = req;
        sem_post(&t.held_one);
    } else if (strstr(t.offer, "full")) {
        whep_reply_error(req, 503, "there are enough viewers", 7);
    } else if (strstr(t.offer, "hostile")) {
        whep_reply_error(req, 406, "no\033[2J H265", 0);
    } else {
        whep_reply_created(req, answer_text, strlen(answer_text), "session-1", "tag1");
    }
}

static void on_patch(void *ctx, struct whep_request *req, const char *id, const char *if_match,
                     const char *frag, size_t len)
{
    (void)ctx;
    t.patches++;
    snprintf(t.id, sizeof t.id, "%s", id);
    snprintf(t.if_match, sizeof t.if_match, "%s", if_match);
    snprintf(t.frag, sizeof t.frag, "%.*s", (int)len, frag);
    if (strcmp(if_match, "*") == 0)
        whep_reply_frag(req, "a=ice-ufrag:new\r\n", 17, "tag2");
    else if (strcmp(if_match, "tag1") == 0 || strcmp(if_match, "tag2") == 0)
        whep_reply_no_content(req);
    else
        whep_reply_error(req, 412, "that is not the session's tag", 0);
}

static void on_delete(void *ctx, struct whep_request *req, const char *id)
{
    (void)ctx;
    t.deletes++;
    if (strcmp(id, "session-1") == 0)
        whep_reply_ok(req);
    else
        whep_reply_error(req, 404, "there is no such session", 0);
}

struct opening {
    struct whep_server_config config;
    struct whep_server *server;
    int error;
    char text[256];
};

static void open_task(void *arg)
{
    struct opening *o = arg;
    o->error = whep_server_new(&o->server, &o->config);
    snprintf(o->text, sizeof o->text, "%s", error_text());
}

static struct opening opening_of(const char *listen, const char *secret)
{
    static const char *const links[] = {
        "<stun:stun.example.net>; rel=\"ice-server\"",
        "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"u:1\"; "
        "credential=\"p@\\\"ss\"; credential-type=\"password\"",
    };
    return (struct opening){.config = {.loop = t.loop, .listen = listen, .token = secret,
                                       .ice_server_links = links, .ice_server_link_count = 2,
                                       .page = page_text, .page_type = "text/html",
                                       .on_offer = on_offer, .on_patch = on_patch,
                                       .on_delete = on_delete, .ctx = &t}};
}

static void free_server_task(void *arg) { whep_server_free(arg); }

static void serve_with(struct opening o)
{
    on_network(open_task, &o);
    if (o.error)
        fail_msg("%s", o.text);
    t.server = o.server;
    t.port = whep_server_port(t.server);
}

static void serve(void) { serve_with(opening_of("127.0.0.1:0", token)); }

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    sem_init(&t.held_one, 0, 0);
    t.loop = loop_new();
    return t.loop ? pthread_create(&t.thread, NULL, run, t.loop) : -1;
}

static int teardown(void **state)
{
    (void)state;
    on_network(free_server_task, &t.server);
    loop_quit(t.loop);
    pthread_join(t.thread, NULL);
    loop_free(&t.loop);
    return 0;
}

/* ---- raw requests ---- */

static int dial(int port)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 30};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    return s;
}

static bool send_all(int s, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(s, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* All until the other side closes. -1: it did not within the socket's patience. */
static int read_all(int s, char *out, size_t cap)
{
    size_t at = 0;
    for (;;) {
        ssize_t n = recv(s, out + at, cap - 1 - at, 0);
        if (n < 0 && errno != ECONNRESET)
            return -1;
        if (n <= 0)
            break;
        at += (size_t)n;
        if (at == cap - 1)
            break;
    }
    out[at] = '\0';
    return (int)at;
}

static char response[65536];

/* One request on its own connection; its status. The response is in `response`. */
static int request(const char *method, const char *path, const char *headers, const char *body)
{
    char head[1024];
    int s = dial(t.port);
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s"
                     "\r\n", method, path, strlen(body), headers);
    assert_true(send_all(s, head, (size_t)n));
    send_all(s, body, strlen(body));
    assert_true(read_all(s, response, sizeof response) > 0);
    close(s);
    int status = 0;
    assert_int_equal(sscanf(response, "HTTP/1.1 %d", &status), 1);
    return status;
}

static void has(const char *text)
{
    if (!strstr(response, text))
        fail_msg("no \"%s\" in:\n%s", text, response);
}

#define SDP_TYPE  "Content-Type: application/sdp\r\n"
#define FRAG_TYPE "Content-Type: application/trickle-ice-sdpfrag\r\n"

static void test_statuses(void **state)
{
    (void)state;
    serve();
    static const struct {
        const char *method, *path, *headers, *body;
        int status;
        const char *has[3];
    } cases[] = {
        {"GET", "/%s", "", "", 200, {"text/html", page_text, "Referrer-Policy: no-referrer"}},
        {"GET", "/%s/", "", "", 200, {page_text}},
        {"GET", "/%s?x=1", "", "", 200, {page_text}},
        {"HEAD", "/%s", "", "", 200, {"Content-Length: 26"}},
        {"POST", "/%s", SDP_TYPE, "o", 201,
         {"Location: /abcdefghijklmnopqrstuv/whep/session-1\r\n", "ETag: \"tag1\"\r\n",
          "Content-Type: application/sdp\r\n"}},
        {"POST", "/%s/whep", SDP_TYPE, "o", 201, {"Link: <turn:turn.example.net", answer_text}},
        {"POST", "/%s/whep", "Content-Type: Application/SDP; charset=utf-8\r\n", "o", 201, {0}},
        {"POST", "/%s/whep", SDP_TYPE, "full", 503,
         {"Retry-After: 7\r\n", "there are enough viewers", "text/plain"}},
        {"POST", "/%s/whep", "", "o", 415, {"Accept-Post: application/sdp"}},
        {"POST", "/%s/whep", "Content-Type: text/plain\r\n", "o", 415, {0}},
        {"POST", "/%s/whep", SDP_TYPE, "", 400, {"Access-Control-Allow-Origin: *", "is empty"}},
        {"OPTIONS", "/%s/whep", "", "", 204,
         {"Link: <stun:stun.example.net>; rel=\"ice-server\"",
          "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match",
          "Access-Control-Allow-Methods: POST, OPTIONS"}},
        {"OPTIONS", "/%s", "", "", 204, {"Accept-Post: application/sdp"}},
        {"OPTIONS", "/%s/whep/session-1", "", "", 204,
         {"Access-Control-Allow-Methods: PATCH, DELETE, OPTIONS"}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: \"tag1\"\r\n", "a=x", 204, {0}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: *\r\n", "a=x", 200,
         {"ETag: \"tag2\"", "application/trickle-ice-sdpfrag", "a=ice-ufrag:new"}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: \"other\"\r\n", "a=x", 412, {0}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE, "a=x", 428, {0}},
        {"PATCH", "/%s/whep/session-1", SDP_TYPE "If-Match: *\r\n", "a=x", 415,
         {"Accept-Patch: application/trickle-ice-sdpfrag"}},
        {"DELETE", "/%s/whep/session-1", "", "", 200, {0}},
        {"DELETE", "/%s/whep/other", "", "", 404, {"there is no such session"}},
        {"GET", "/%s/whep", "", "", 405, {"Allow: POST, OPTIONS"}},
        {"PUT", "/%s", "", "", 405, {"Allow: GET, HEAD, POST, OPTIONS"}},
        {"DELETE", "/%s/whep", "", "", 405, {0}},
        {"POST", "/%s/whep/session-1", SDP_TYPE, "o", 405, {"Allow: PATCH, DELETE, OPTIONS"}},
        {"GET", "/%s/whep/session-1", "", "", 405, {0}},
        {"GET", "/", "", "", 404, {0}},
        {"GET", "/whep", "", "", 404, {0}},
        {"GET", "//%s", "", "", 404, {0}},
        {"GET", "/%s/x", "", "", 404, {0}},
        {"GET", "/x/../%s", "", "", 200, {page_text}}, /* RFC 3986 section 5.2.4 */
        {"GET", "/%s/../%s", "", "", 200, {page_text}},
        {"GET", "/%s/..", "", "", 404, {0}},
        {"GET", "/%s/whep/a/b", "", "", 404, {0}},
        {"DELETE", "/%s/whep/..", "", "", 405, {0}},
        {"DELETE", "/%s/whep/%%2e%%2e", "", "", 405, {0}},
        {"DELETE", "/%s/whep/a%%2Fb", "", "", 404, {0}},
        {"DELETE", "/%s/whep/session-1%%00", "", "", 404, {0}},
        {"GET", "/%s%%00", "", "", 404, {0}},
        {"GET", "/%s%%", "", "", 400, {0}}, /* by libsoup, without our headers */
        {"GET", "/%%61bcdefghijklmnopqrstuv", "", "", 200, {page_text}},
        {"OPTIONS", "*", "", "", 404, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
        snprintf(path, sizeof path, cases[i].path, token, token);
#pragma GCC diagnostic pop
        int status = request(cases[i].method, path, cases[i].headers, cases[i].body);
        if (status != cases[i].status)
            fail_msg("%s %s: %d instead of %d\n%s", cases[i].method, path, status,
                     cases[i].status, response);
        for (int j = 0; j < 3 && cases[i].has[j]; j++)
            has(cases[i].has[j]);
        if (strcmp(cases[i].path, "*") != 0 && status != 400)
            has("Access-Control-Allow-Origin: *\r\n");
    }
    assert_int_equal(request("HEAD", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_null(strstr(response, page_text));
    request("POST", "/abcdefghijklmnopqrstuv?carrier=vp8&a=b", SDP_TYPE, "offer");
    assert_string_equal(t.query, "carrier=vp8&a=b");
    assert_string_equal(t.offer, "offer");
    request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, "offer");
    assert_string_equal(t.query, "");
}

/* Everything but the date. */
static void without_date(char *out, size_t cap)
{
    char *date = strstr(response, "Date: ");
    assert_non_null(date);
    snprintf(out, cap, "%.*s%s", (int)(date - response), response, strstr(date, "\r\n"));
}

static void test_wrong_token_tells_nothing(void **state)
{
    (void)state;
    serve();
    static const char *const wrong[] = {"/zbcdefghijklmnopqrstuv", "/abcdefghijklmnopqrstuw",
                                        "/abcdefghijklmnopqrstu", "/abcdefghijklmnopqrstuvw",
                                        "/abcdefghijklmnopqrstuvabcdefghijklmnopqrstuv", "/"};
    static const char *const methods[] = {"GET", "POST", "OPTIONS", "DELETE"};
    for (size_t m = 0; m < 4; m++) {
        char first[4096], other[4096];
        assert_int_equal(request(methods[m], "/favicon.ico", SDP_TYPE, "o"), 404);
        without_date(first, sizeof first);
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            assert_int_equal(request(methods[m], wrong[i], SDP_TYPE, "o"), 404);
            without_date(other, sizeof other);
            assert_string_equal(first, other);
        }
    }
    assert_int_equal(t.offers, 0);
}

static void test_open_share(void **state)
{
    (void)state;
    serve_with(opening_of("127.0.0.1:0", ""));
    assert_int_equal(request("GET", "/", "", ""), 200);
    assert_int_equal(request("POST", "/whep", SDP_TYPE, "o"), 201);
    has("Location: /whep/session-1\r\n");
    assert_int_equal(request("POST", "/", SDP_TYPE, "o"), 201);
    assert_int_equal(request("DELETE", "/whep/session-1", "", ""), 200);
    assert_int_equal(request("GET", "/x", "", ""), 404);
}

static void test_listen_addresses(void **state)
{
    (void)state;
    static const char *const senseless[] = {"", "x", "1.2.3.4", "1.2.3:80", "127.0.0.1:70000",
                                            "127.0.0.1:-1", "127.0.0.1:80x", "::1:8554", "[::1]",
                                            "[::1:8554", "example.com:80", "127.0.0.1: 80"};
    for (size_t i = 0; i < sizeof senseless / sizeof senseless[0]; i++) {
        struct opening o = opening_of(senseless[i], token);
        on_network(open_task, &o);
        if (o.error != ERR_INVALID)
            fail_msg("\"%s\" gave %d", senseless[i], o.error);
        assert_null(o.server);
    }
    struct opening bad = opening_of("127.0.0.1:0", "a/b");
    on_network(open_task, &bad);
    assert_int_equal(bad.error, ERR_INVALID);

    serve();
    char expected[128];
    snprintf(expected, sizeof expected, "http://127.0.0.1:%d/%s", t.port, token);
    assert_string_equal(whep_server_url(t.server), expected);

    /* Taken: by number an error, by default the next one. */
    char same[64];
    snprintf(same, sizeof same, "127.0.0.1:%d", t.port);
    struct opening taken = opening_of(same, token);
    on_network(open_task, &taken);
    assert_int_equal(taken.error, ERR_IO);
    snprintf(expected, sizeof expected, "port %d is taken; choose another with --listen ADDR:PORT",
             t.port);
    assert_string_equal(taken.text, expected);

    struct opening first = opening_of(NULL, token), second = opening_of(NULL, token);
    on_network(open_task, &first);
    assert_int_equal(first.error, 0);
    on_network(open_task, &second);
    assert_int_equal(second.error, 0);
    assert_true(whep_server_port(first.server) >= 8554);
    assert_true(whep_server_port(second.server) > whep_server_port(first.server));
    assert_null(strstr(whep_server_url(first.server), "0.0.0.0"));
    on_network(free_server_task, &second.server);
    on_network(free_server_task, &first.server);

    struct opening v6 = opening_of("[::1]:0", token);
    on_network(open_task, &v6);
    if (v6.error == 0) { /* a machine without IPv6 cannot */
        assert_non_null(strstr(whep_server_url(v6.server), "http://[::1]:"));
        on_network(free_server_task, &v6.server);
    }
}

/* ---- rude peers ---- */

static struct http_limits short_limits(void)
{
    struct http_limits l;
    http_limits_default(&l);
    l.header_us = 300000;
    l.idle_us = 600000;
    l.body_us = 300000;
    return l;
}

static void test_slow_peers_are_cut(void **state)
{
    (void)state;
    struct http_limits l = short_limits();
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.limits = &l;
    serve_with(o);

    int silent = dial(t.port);
    assert_int_equal(read_all(silent, response, sizeof response), 0);
    close(silent);

    int slow = dial(t.port); /* a byte now and then is no excuse */
    for (int i = 0; i < 1000; i++) {
        if (!send_all(slow, "G", 1))
            break;
        usleep(20000);
        if (i == 999)
            fail_msg("a header of one byte in 20 ms went on for ever");
    }
    close(slow);

    int body = dial(t.port);
    assert_true(send_all(body, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", 53));
    assert_true(read_all(body, response, sizeof response) >= 0);
    close(body);

    /* Kept alive after a response, but not for ever. */
    int idle = dial(t.port);
    const char *get = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_true(send_all(idle, get, strlen(get)));
    assert_true(recv(idle, response, sizeof response, 0) > 0);
    assert_true(send_all(idle, get, strlen(get)));
    assert_true(recv(idle, response, sizeof response, 0) > 0);
    assert_true(read_all(idle, response, sizeof response) >= 0);
    close(idle);
}

static void test_large_bodies(void **state)
{
    (void)state;
    serve();
    size_t size = 70000;
    char *body = malloc(4 << 20);
    memset(body, 'x', 4 << 20);
    body[65536] = '\0';
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, body), 201);
    assert_int_equal(t.offers, 1);
    body[65536] = 'x';
    body[size] = '\0';
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, body), 413);
    has("Connection: close");

    /* In chunks, without a length. */
    int s = dial(t.port);
    const char *head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Transfer-Encoding: chunked\r\n\r\n10000\r\n";
    send_all(s, head, strlen(head));
    send_all(s, body, 65536);
    send_all(s, "\r\n1000\r\n", 8);
    send_all(s, body, 4096);
    send_all(s, "\r\n0\r\n\r\n", 7);
    assert_true(read_all(s, response, sizeof response) > 0);
    assert_non_null(strstr(response, "HTTP/1.1 413"));
    close(s);

    /* Asked first, it is refused before the body is sent. */
    s = dial(t.port);
    head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
           "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    send_all(s, head, strlen(head));
    assert_true(recv(s, response, sizeof response, 0) > 0);
    assert_memory_equal(response, "HTTP/1.1 413", 12);
    close(s);

    /* 4 MB: cut. */
    body[size] = 'x';
    s = dial(t.port);
    head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
           "Content-Length: 4194304\r\n\r\n";
    send_all(s, head, strlen(head));
    bool taken = send_all(s, body, 4 << 20);
    assert_true(read_all(s, response, sizeof response) >= 0);
    assert_true(!taken || strstr(response, " 413 ") || response[0] == '\0');
    close(s);
    assert_int_equal(t.offers, 1);
    free(body);
}

static void test_garbage(void **state)
{
    (void)state;
    serve();
    static const char *const garbage[] = {
        "\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02garbage\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n\x01\x02\x03 nonsense\r\n\r\n\r\n",
        "GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: -5\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "\r\nzzz\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /%s%s%s%n HTTP/1.1\r\nHost: %n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int s = dial(t.port);
        send_all(s, garbage[i], strlen(garbage[i]));
        shutdown(s, SHUT_WR);
        assert_true(read_all(s, response, sizeof response) >= 0);
        close(s);
    }
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
}

static void test_idle_crowd(void **state)
{
    (void)state;
    serve();
    int crowd[300];
    for (int i = 0; i < 300; i++)
        crowd[i] = dial(t.port);
    /* All 300 and the request come from one address, of which 64 connections may stay. */
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, "o"), 201);
    /* The oldest made room. */
    assert_int_equal(read_all(crowd[0], response, sizeof response), 0);
    struct pollfd p = {.fd = crowd[299], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); /* the newest stay */
    for (int i = 0; i < 300; i++)
        close(crowd[i]);
}

static void reply_ok_task(void *req) { whep_reply_ok(req); }

static void test_busy_connections_are_not_evicted(void **state)
{
    (void)state;
    struct http_limits l;
    http_limits_default(&l);
    l.connections = 2;
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.limits = &l;
    serve_with(o);
    const char *post = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Content-Length: 4\r\n\r\nhold";
    int a = dial(t.port), b = dial(t.port);
    send_all(a, post, strlen(post));
    wait_for(&t.held_one);
    struct whep_request *first = t.held;
    send_all(b, post, strlen(post));
    wait_for(&t.held_one);
    int late = dial(t.port);
    assert_int_equal(read_all(late, response, sizeof response), 0); /* refused */
    close(late);
    /* Both still get their answers. */
    struct whep_request *both[2] = {first, t.held};
    for (int i = 0; i < 2; i++)
        on_network(reply_ok_task, both[i]);
    assert_true(recv(a, response, sizeof response, 0) > 12);
    assert_memory_equal(response, "HTTP/1.1 200", 12);
    assert_true(recv(b, response, sizeof response, 0) > 12);
    assert_memory_equal(response, "HTTP/1.1 200", 12);
    close(a);
    close(b);
}

static void reply_created_task(void *req)
{
    whep_reply_created(req, answer_text, strlen(answer_text), "session-1", "tag1");
}

static void test_client_leaves_before_the_reply(void **state)
{
    (void)state;
    serve();
    const char *post = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Content-Length: 4\r\n\r\nhold";
    int s = dial(t.port);
    send_all(s, post, strlen(post));
    wait_for(&t.held_one);
    struct linger reset = {.l_onoff = 1};
    setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(s);
    on_network(reply_created_task, t.held);
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);

    /* And the server before the reply. */
    s = dial(t.port);
    send_all(s, post, strlen(post));
    wait_for(&t.held_one);
    on_network(free_server_task, &t.server);
    on_network(reply_created_task, t.held);
    assert_true(read_all(s, response, sizeof response) >= 0);
    close(s);
}

/* ---- the client ---- */

struct viewer {
    struct whep_client_config config;
    struct whep_client *client;
    int error, n;
    char text[512], answer[1024], url[8][256];
    const char *body;
    bool restart, free_inside;
    sem_t done;
};

static void on_answer(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    struct viewer *v = ctx;
    v->error = error;
    snprintf(v->text, sizeof v->text, "%s", text);
    snprintf(v->answer, sizeof v->answer, "%.*s", (int)len, answer ? answer : "");
    if (v->free_inside)
        whep_client_free(&v->client);
    sem_post(&v->done);
}

static void on_servers(void *ctx, int error, const char *const *urls, int n)
{
    struct viewer *v = ctx;
    v->error = error;
    snprintf(v->text, sizeof v->text, "%s", error ? error_text() : "");
    v->n = n;
    for (int i = 0; i < n && i < 8; i++)
        snprintf(v->url[i], sizeof v->url[i], "%s", urls[i]);
    sem_post(&v->done);
}

static void on_deleted(void *ctx) { sem_post(&((struct viewer *)ctx)->done); }

static void new_task(void *arg)
{
    struct viewer *v = arg;
    v->config.loop = t.loop;
    v->error = whep_client_new(&v->client, &v->config);
    snprintf(v->text, sizeof v->text, "%s", error_text());
}
static void free_task(void *arg) { whep_client_free(&((struct viewer *)arg)->client); }
static void post_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_post(v->client, v->body, on_answer, v);
}
static void servers_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_ice_servers(v->client, on_servers, v);
}
static void patch_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_patch(v->client, v->body, v->restart, on_answer, v);
}
static void delete_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_delete(v->client, 5000000, on_deleted, v);
}

static void view(struct viewer *v, const char *url)
{
    memset(v, 0, sizeof *v);
    sem_init(&v->done, 0, 0);
    v->config.url = url;
    v->body = "offer";
    on_network(new_task, v);
    if (v->error)
        fail_msg("%s", v->text);
}

static void do_and_wait(struct viewer *v, void (*fn)(void *arg))
{
    on_network(fn, v);
    wait_for(&v->done);
}

static void test_client_and_server(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    view(&v, whep_server_url(t.server));
    do_and_wait(&v, servers_task);
    assert_int_equal(v.error, 0);
    assert_int_equal(v.n, 2);
    assert_string_equal(v.url[0], "stun:stun.example.net");
    assert_string_equal(v.url[1], "turn:u%3A1:p%40%22ss@turn.example.net?transport=udp");

    v.body = "please hold";
    on_network(post_task, &v);
    wait_for(&t.held_one);
    on_network(reply_created_task, t.held);
    wait_for(&v.done);
    assert_int_equal(v.error, 0);
    assert_string_equal(v.answer, answer_text);
    assert_string_equal(t.offer, "please hold");

    do_and_wait(&v, servers_task); /* what the POST said, too */
    assert_int_equal(v.n, 2);

    v.body = "a=candidate:1";
    do_and_wait(&v, patch_task);
    assert_int_equal(v.error, 0);
    assert_string_equal(t.if_match, "tag1");
    assert_string_equal(t.id, "session-1");
    assert_string_equal(t.frag, "a=candidate:1");
    v.restart = true;
    do_and_wait(&v, patch_task);
    assert_string_equal(t.if_match, "*");
    assert_string_equal(v.answer, "a=ice-ufrag:new\r\n");
    v.restart = false;
    do_and_wait(&v, patch_task); /* with the new tag */
    assert_int_equal(v.error, 0);
    assert_string_equal(t.if_match, "tag2");

    do_and_wait(&v, delete_task);
    assert_int_equal(t.deletes, 1);
    do_and_wait(&v, delete_task); /* no session: at once */
    assert_int_equal(t.deletes, 1);
    do_and_wait(&v, patch_task);
    assert_int_equal(v.error, ERR_UNSUPPORTED);
    on_network(free_task, &v);
}

static void test_client_errors(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    char url[256], expected[256];

    snprintf(url, sizeof url, "http://127.0.0.1:%d/wrong", t.port);
    view(&v, url);
    do_and_wait(&v, servers_task); /* 404 to OPTIONS is no matter: the POST tells */
    assert_int_equal(v.error, 0);
    assert_int_equal(v.n, 0);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_NOT_FOUND);
    assert_string_equal(v.text,
                        "no share at this address: the address or its token is wrong");
    on_network(free_task, &v);

    view(&v, whep_server_url(t.server));
    v.body = "full";
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_string_equal(v.text, "the server refused: there are enough viewers (503)");
    v.body = "hostile"; /* nothing that a terminal obeys comes through */
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_string_equal(v.text, "the server refused: no [2J H265 (406)");
    v.body = "offer";
    v.free_inside = true;
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, 0);
    assert_null(v.client);

    /* Nobody listens. */
    int port = t.port;
    on_network(free_server_task, &t.server);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/x", port);
    view(&v, url);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_IO);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%d: is the share running?",
             port);
    assert_string_equal(v.text, expected);
    do_and_wait(&v, servers_task);
    assert_int_equal(v.error, ERR_IO);
    assert_string_equal(v.text, expected);
    on_network(free_task, &v);
}

static void test_client_freed_while_waiting(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    view(&v, whep_server_url(t.server));
    v.body = "hold";
    on_network(post_task, &v);
    wait_for(&t.held_one);
    on_network(free_task, &v);
    on_network(reply_created_task, t.held);
    /* Nothing is told any more. */
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_int_equal(sem_trywait(&v.done), -1);
}

static void test_client_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "ftp://host/x", "http://", "http:///x", "host:8554/x",
        "https://h/x#sha256=12", "http://h/x#sha256=" /* 64 digits, but not https */
        "0000000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct viewer v = {.config.url = bad[i]};
        on_network(new_task, &v);
        if (v.error != ERR_INVALID)
            fail_msg("\"%s\" gave %d", bad[i], v.error);
        assert_null(v.client);
    }
}

/* ---- another server, that redirects and looks at what comes ---- */

static struct {
    int port[2];
    int listener[2];
    pthread_t thread[2];
    char location[256], seen[2][4096], answer[2048];
} r;

/* Reads requests until it is told to stop (a connection that sends "stop"). */
static void *scripted(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (;;) {
        int s = accept(r.listener[which], NULL, NULL);
        char buf[4096];
        size_t at = 0;
        ssize_t n;
        while ((n = recv(s, buf + at, sizeof buf - 1 - at, 0)) > 0) {
            at += (size_t)n;
            buf[at] = '\0';
            if (strstr(buf, "\r\n\r\noffer") || strncmp(buf, "stop", 4) == 0 ||
                (strncmp(buf, "DELETE", 6) == 0 && strstr(buf, "\r\n\r\n")))
                break;
        }
        if (strncmp(buf, "stop", 4) == 0 || at == 0) {
            close(s);
            return NULL;
        }
        memcpy(r.seen[which], buf, at + 1);
        if (which == 0 && strncmp(buf, "POST", 4) == 0)
            snprintf(buf, sizeof buf, "HTTP/1.1 307 Elsewhere\r\nLocation: %s\r\n"
                     "Content-Length: 0\r\nConnection: close\r\n\r\n", r.location);
        else
            snprintf(buf, sizeof buf, "%s", r.answer);
        send_all(s, buf, strlen(buf));
        close(s);
    }
}

static void scripted_start(void)
{
    memset(&r, 0, sizeof r);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        r.listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(r.listener[i], (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(r.listener[i], 8), 0);
        getsockname(r.listener[i], (struct sockaddr *)&a, &len);
        r.port[i] = ntohs(a.sin_port);
        pthread_create(&r.thread[i], NULL, scripted, (void *)(intptr_t)i);
    }
}

static void scripted_stop(void)
{
    for (int i = 0; i < 2; i++) {
        int s = dial(r.port[i]);
        send_all(s, "stop", 4);
        pthread_join(r.thread[i], NULL);
        close(s);
        close(r.listener[i]);
    }
}

static void post_to_script(struct viewer *v, const char *answer)
{
    char url[64];
    snprintf(r.answer, sizeof r.answer, "%s", answer);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/start", r.port[0]);
    view(v, url);
    on_network(free_task, v);
    v->config.bearer = "secret";
    on_network(new_task, v);
    do_and_wait(v, post_task);
}

static void test_redirects(void **state)
{
    (void)state;
    struct viewer v;
    scripted_start();
    snprintf(r.location, sizeof r.location, "http://127.0.0.1:%d/there/whep", r.port[1]);
    post_to_script(&v, "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n"
                       "Location: ../session/7\r\nLink: <stun:a>; rel=ice-server, "
                       "<https://x>; rel=\"other\", <turn:b:1?transport=tcp>; rel=\"ice-server\"; "
                       "username=\"a, b\"; credential=c\r\n"
                       "Content-Length: 3\r\nConnection: close\r\n\r\nv=0");
    assert_int_equal(v.error, 0);
    assert_string_equal(v.answer, "v=0");
    /* The token went to where it belongs, and not further. */
    assert_non_null(strstr(r.seen[0], "Authorization: Bearer secret\r\n"));
    assert_memory_equal(r.seen[1], "POST /there/whep HTTP/1.1\r\n", 27);
    assert_null(strstr(r.seen[1], "secret"));
    assert_non_null(strstr(r.seen[1], "\r\n\r\noffer"));
    do_and_wait(&v, servers_task);
    assert_int_equal(v.n, 2);
    assert_string_equal(v.url[1], "turn:a%2C%20b:c@b:1?transport=tcp");
    snprintf(r.answer, sizeof r.answer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    do_and_wait(&v, delete_task);
    assert_memory_equal(r.seen[1], "DELETE /session/7 HTTP/1.1\r\n", 28);
    on_network(free_task, &v);

    /* Round and round. */
    snprintf(r.location, sizeof r.location, "http://127.0.0.1:%d/start", r.port[0]);
    post_to_script(&v, "");
    assert_int_equal(v.error, ERR_PROTOCOL);
    on_network(free_task, &v);
    /* Nowhere. */
    snprintf(r.location, sizeof r.location, "file:///etc/passwd");
    post_to_script(&v, "");
    assert_int_equal(v.error, ERR_PROTOCOL);
    on_network(free_task, &v);
    scripted_stop();
}

static void test_strange_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int error;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", ERR_PROTOCOL,
         "not a WHEP address"},
        {"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nv=0", ERR_PROTOCOL, "not a WHEP"},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED, "--bearer"},
        {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED, "500"},
        {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL, "302"},
        {"SSH-2.0-OpenSSH\r\n", ERR_IO, ""},
        {"", ERR_IO, ""},
        {"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0",
         0, ""}, /* without Location: can be watched */
    };
    scripted_start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct viewer v;
        snprintf(r.location, sizeof r.location, "http://127.0.0.1:%d/x", r.port[1]);
        post_to_script(&v, cases[i].answer);
        if (v.error != cases[i].error || !strstr(v.text, cases[i].says))
            fail_msg("%s\ngave %d, %s", cases[i].answer, v.error, v.text);
        on_network(free_task, &v);
    }
    scripted_stop();
}

/* ---- TLS ---- */

static void write_certificate(const char *cert_path, const char *key_path, char pin[65])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    unsigned char digest[32];
    unsigned int n = sizeof digest;
    X509_digest(x, EVP_sha256(), digest, &n);
    for (int i = 0; i < 32; i++)
        snprintf(pin + 2 * i, 3, "%02x", digest[i]);
    FILE *f = fopen(cert_path, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_path, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void test_tls(void **state)
{
    (void)state;
    char dir[] = "/tmp/hevcast-test-XXXXXX", cert[64], key[64], pin[65], url[256];
    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    write_certificate(cert, key, pin);

    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.tls_cert = "/nonexistent.pem";
    o.config.tls_key = key;
    on_network(open_task, &o);
    assert_int_equal(o.error, ERR_INVALID);

    struct http_limits l = short_limits();
    l.header_us = 3000000;
    o.config.tls_cert = cert;
    o.config.limits = &l;
    serve_with(o);
    assert_memory_equal(whep_server_url(t.server), "https://127.0.0.1:", 18);

    /* The right pin, in the address. */
    struct viewer v;
    snprintf(url, sizeof url, "%s#sha256=%s", whep_server_url(t.server), pin);
    view(&v, url);
    do_and_wait(&v, post_task);
    if (v.error)
        fail_msg("%s", v.text);
    assert_string_equal(v.answer, answer_text);
    do_and_wait(&v, delete_task);
    assert_int_equal(t.deletes, 1);
    on_network(free_task, &v);

    /* None: the system does not know it. */
    view(&v, whep_server_url(t.server));
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_IO);
    assert_non_null(strstr(v.text, "--tls-pin"));
    on_network(free_task, &v);

    /* A wrong one. The offer must not have been sent. */
    int offers = t.offers;
    pin[0] = pin[0] == '0' ? '1' : '0';
    snprintf(url, sizeof url, "%s#sha256=%s", whep_server_url(t.server), pin);
    view(&v, url);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_non_null(strstr(v.text, "another certificate"));
    assert_int_equal(t.offers, offers);
    on_network(free_task, &v);

    /* A peer that never shakes hands, and one that speaks plain HTTP. */
    int silent = dial(t.port);
    assert_int_equal(read_all(silent, response, sizeof response), 0);
    close(silent);
    int plain = dial(t.port);
    send_all(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    assert_true(read_all(plain, response, sizeof response) >= 0);
    close(plain);

    unlink(cert);
    unlink(key);
    rmdir(dir);
}

/* ---- token, Link ---- */

static void test_tokens(void **state)
{
    (void)state;
    char a[TOKEN_LEN + 1], b[TOKEN_LEN + 1];
    assert_int_equal(token_new(a), 0);
    assert_int_equal(token_new(b), 0);
    assert_int_equal(strlen(a), TOKEN_LEN);
    assert_true(token_valid(a));
    assert_string_not_equal(a, b);
    assert_true(token_equal(a, TOKEN_LEN, a, TOKEN_LEN));
    assert_false(token_equal(b, TOKEN_LEN, a, TOKEN_LEN));
    assert_false(token_equal(a, TOKEN_LEN - 1, a, TOKEN_LEN));
    assert_false(token_equal("", 0, a, TOKEN_LEN));
    assert_false(token_equal("abab", 4, "ab", 2));
    assert_false(token_equal("ab", 2, "abab", 4));
    assert_false(token_equal("\0", 1, "", 0));
    assert_true(token_equal("", 0, "", 0));
    assert_false(token_valid(""));
    assert_false(token_valid(".."));
    assert_false(token_valid("a/b"));
    assert_false(token_valid("a b"));
    assert_true(token_valid("a.b-c_d~e"));
}

static void test_links(void **state)
{
    (void)state;
    char url[WHEP_LINK_URL_MAX], link[1024];
    static const char *const round[] = {
        "stun:stun.example.net:3478", "turn:u:p@t.example.net:3478?transport=udp",
        "turns:1700000%3Auser:p%40ss%22%5C%2F@t.example.net",
    };
    for (size_t i = 0; i < sizeof round / sizeof round[0]; i++) {
        const char *p = link;
        assert_true(whep_link_format(round[i], link, sizeof link) > 0);
        assert_int_equal(whep_link_next(&p, url), 1);
        assert_string_equal(url, round[i]);
        assert_int_equal(whep_link_next(&p, url), 0);
    }
    assert_int_equal(whep_link_format("http://x", link, sizeof link), -1);
    assert_int_equal(whep_link_format("turn:nocolon@x", link, sizeof link), -1);
    assert_int_equal(whep_link_format("stun:x", link, 10), -1);
    assert_int_equal(whep_link_format("stun:x\r\nEvil: 1", link, sizeof link), -1);
    const char *p = "<stun:a>; rel=\"ice-server\"; x=\"unterminated";
    assert_int_equal(whep_link_next(&p, url), 1);
    p = "<stun:never closed; rel=ice-server";
    assert_int_equal(whep_link_next(&p, url), 0);
    p = "<javascript:x>; rel=\"ice-server\", <stun:b>;REL=ICE-SERVER";
    assert_int_equal(whep_link_next(&p, url), 1);
    assert_string_equal(url, "stun:b");
}

int main(void)
{
    /* A crowd of connections, both ends of each in this process. */
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &files);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_statuses), T(test_wrong_token_tells_nothing), T(test_open_share),
        T(test_listen_addresses), T(test_slow_peers_are_cut), T(test_large_bodies),
        T(test_garbage), T(test_idle_crowd), T(test_busy_connections_are_not_evicted),
        T(test_client_leaves_before_the_reply), T(test_client_and_server), T(test_client_errors),
        T(test_client_freed_while_waiting), T(test_client_addresses), T(test_redirects),
        T(test_strange_answers), T(test_tls), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests_name("whep", tests, NULL, NULL);
}
