/* whep_client: the HTTP side of a viewer (WHEP) or a publisher (WHIP) on libsoup. Network thread. */
#ifndef HEVCAST_SIGNAL_WHEP_CLIENT_H
#define HEVCAST_SIGNAL_WHEP_CLIENT_H

#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct whep_client_config {
    struct loop *loop;
    const char *url;      /* endpoint; a fragment #sha256=HEX is taken as tls_pin_sha256 */
    const char *bearer;   /* NULL: none */
    const char *tls_pin_sha256; /* hex, with or without colons; NULL: the system's trust */
};

/* Calls may be made before loop_run, or on the network thread. Every done is called once, on the
 * network thread, never after whep_client_free, and may call whep_client_free itself. Its texts
 * are borrowed until it returns. Errors: ERR_IO (no connection), ERR_TIMEOUT, ERR_NOT_FOUND (404),
 * ERR_REFUSED (another 4xx or 5xx), ERR_PROTOCOL (an answer that makes no sense). */
struct whep_client;
int whep_client_new(struct whep_client **out, const struct whep_client_config *config); /* ERR_INVALID */
void whep_client_free(struct whep_client **c); /* cancels what runs; no callback comes any more */

/* OPTIONS (after a POST: what that answered, at once): Link rel="ice-server" values. error 0: n urls
 * in the form of ice_server_parse, user and password percent-encoded where they hold reserved
 * characters. A server without OPTIONS gives n = 0. Else the sentence is error_text(). */
void whep_client_ice_servers(struct whep_client *c,
                             void (*done)(void *ctx, int error, const char *const *urls, int n),
                             void *ctx);
/* POST of the offer. error 0: answer is the body. Else a sentence in text: could not connect (says
 * to what), 404 (wrong address or token), 4xx/5xx with the server's own reason. Redirects (307,
 * 308) are followed. */
void whep_client_post(struct whep_client *c, const char *offer,
                      void (*done)(void *ctx, int error, const char *text, const char *answer,
                                   size_t len),
                      void *ctx);
/* PATCH of a fragment to the session; restart: If-Match "*", the answer's fragment comes back. A
 * server that does not trickle gives ERR_UNSUPPORTED. */
void whep_client_patch(struct whep_client *c, const char *frag, bool restart,
                       void (*done)(void *ctx, int error, const char *text, const char *answer,
                                    size_t len),
                       void *ctx);
/* DELETE of the session; done(ctx) when answered or after timeout_us. No session: at once, before
 * this returns. done may be NULL. */
void whep_client_delete(struct whep_client *c, int64_t timeout_us, void (*done)(void *ctx),
                        void *ctx);

/* Gives up what runs (no callback comes any more) and every open connection: after a change of the
 * network these may be dead without anybody having said so. The session stays known; the next
 * ice_servers asks again. timeout_us: of each request from now on. */
void whep_client_renew(struct whep_client *c, int64_t timeout_us);

#endif
