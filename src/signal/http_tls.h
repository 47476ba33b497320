/* http_tls: connections from the accept to the end of the TLS handshake. Network thread.
 *
 * GLib shakes hands on a thread of a small pool, one for each that is not done; whoever begins and
 * stops would hold one. So a handshake is begun only when the client's whole first record is there
 * (which costs us no thread to wait for), only a few run at once, and fewer of one address: the
 * others wait in their order. How long all this may take is the guard's affair (http_guard.h): it
 * shuts the socket. A client that speaks plain HTTP is told so. */
#ifndef HEVCAST_SIGNAL_HTTP_TLS_H
#define HEVCAST_SIGNAL_HTTP_TLS_H

#include "net/loop.h"

#include <gio/gio.h>

struct http_guard;
struct http_tls;

/* What came out of a handshake; all borrowed until it returns. */
typedef void http_tls_ready_fn(void *ctx, GIOStream *stream, GSocketAddress *local,
                               GSocketAddress *remote);

/* borrows loop and guard, refs certificate. */
struct http_tls *http_tls_new(struct loop *loop, struct http_guard *guard,
                              GTlsCertificate *certificate, http_tls_ready_fn *ready, void *ctx);
void http_tls_free(struct http_tls **t); /* handshakes that run are given up */
/* refs all three. */
void http_tls_accept(struct http_tls *t, GSocketConnection *connection, GSocketAddress *local,
                     GSocketAddress *remote);

#endif
