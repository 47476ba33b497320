/* http_guard: the limits of the HTTP server's connections, which libsoup 3.2 does not have: how
 * many there are, how long they may take, how much they may send. Network thread.
 *
 * When there are too many, the oldest connection that only waits (without a whole request) makes
 * room, so that idle ones never keep a viewer out. */
#ifndef HEVCAST_SIGNAL_HTTP_GUARD_H
#define HEVCAST_SIGNAL_HTTP_GUARD_H

#include "net/loop.h"

#include <libsoup/soup.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_limits {
    int connections;       /* in all; default 1200, but at most half of the process's files */
    int per_address;       /* of one remote address; default 64 */
    int64_t header_us;     /* for a request's header, or to get a turn in TLS; default 10 s */
    int64_t handshake_us;  /* for the rest of a TLS handshake, once it has its turn; default 5 s */
    int64_t idle_us;       /* for the beginning of a further request (keep-alive); default 30 s */
    int64_t body_us;       /* for a body; default 10 s */
    int64_t write_us;      /* for a response to be taken; default 30 s */
    size_t body_bytes;     /* default 64 KiB; more is 413 */
    size_t discard_bytes;  /* read and dropped of a body that is too large, so that its sender sees
                              the 413; then it is cut; default 1 MiB */
};
void http_limits_default(struct http_limits *l);

struct http_guard;
/* borrows loop and server; free before both. */
struct http_guard *http_guard_new(struct loop *loop, SoupServer *server,
                                  const struct http_limits *limits);
void http_guard_free(struct http_guard **g);
/* A connection was accepted. remote: its address, a fresh object, which must be the one given to
 * soup_server_accept_iostream. false: refused, drop it. */
bool http_guard_admit(struct http_guard *g, GSocket *socket, GSocketAddress *remote);
/* The TLS handshake begins; the time for a request's header begins when it is done. */
void http_guard_handshaking(struct http_guard *g, GSocketAddress *remote);
/* The request's body is longer than body_bytes (or says that it will be). */
bool http_guard_too_large(SoupServerMessage *msg);
/* The response is being written from now on. */
void http_guard_writing(SoupServerMessage *msg);
int http_guard_connections(struct http_guard *g);

#endif
