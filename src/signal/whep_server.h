/* whep_server: the HTTP side of a share on libsoup: WHEP (draft-ietf-wish-whep) and its page.
 *
 * Routes as in the command line's contract: /TOKEN (GET page, POST offer), /TOKEN/whep (POST,
 * OPTIONS), /TOKEN/whep/ID (PATCH, DELETE, OPTIONS), /TOKEN/static/NAME (GET). A path with a wrong token is 404, compared
 * in constant time. CORS on everything. Bodies over 64 KiB: 413. Network thread. */
#ifndef HEVCAST_SIGNAL_WHEP_SERVER_H
#define HEVCAST_SIGNAL_WHEP_SERVER_H

#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>

/* A request waiting for its answer; exactly one reply_* call ends it. When the client goes away
 * first, the reply is dropped quietly. */
struct whep_request;

struct http_limits; /* signal/http_guard.h */
struct web_file;    /* signal/web_page.h */

struct whep_server_config {
    struct loop *loop;
    const char *listen;   /* "ADDR:PORT", "[v6]:PORT"; port 0: any. NULL: 0.0.0.0:8554, or the
                             first free port after it */
    const char *token;    /* "": open; else as token_valid (signal/token.h) wants it */
    const char *tls_cert, *tls_key; /* PEM files; NULL: plain http */
    const char *tls_pin;  /* hex: the address names this fingerprint of the certificate; NULL: none */
    const char *const *ice_server_links; /* ready Link header values; n */
    int ice_server_link_count;
    /* A text page for GET (borrowed, static), with its content type. */
    const char *page, *page_type;
    /* The browser's page and its files (borrowed, static); with them GET of /TOKEN leads to
     * /TOKEN/, so that the page's addresses can be relative. NULL: `page` instead. */
    const struct web_file *files;
    int file_count;
    /* NULL: the defaults of signal/http_guard.h. */
    const struct http_limits *limits;
    /* The handlers reply by whep_reply_*, now or later. Texts are borrowed until the handler
     * returns. query: as in the address, "" when there is none. */
    void (*on_offer)(void *ctx, struct whep_request *req, const char *sdp, size_t len,
                     const char *query);
    /* if_match: the header's value without quotes, "*" for a restart; never "": a PATCH without it
     * is answered with 428 (RFC 9725 section 4.3.1) before it comes here */
    void (*on_patch)(void *ctx, struct whep_request *req, const char *id, const char *if_match,
                     const char *frag, size_t len);
    void (*on_delete)(void *ctx, struct whep_request *req, const char *id);
    void *ctx;
};

struct whep_server;
/* ERR_IO: the port is taken, …; ERR_INVALID: the address makes no sense. */
int whep_server_new(struct whep_server **out, const struct whep_server_config *config);
/* Ends all connections. A request that waits for its reply stays valid: reply to it still, which
 * then only frees it. Not from inside a handler. */
void whep_server_free(struct whep_server **s);
/* "http(s)://HOST:PORT/TOKEN[#sha256=HEX]" to print; HOST is the default route's address when all are listened
 * on (127.0.0.1 without a route). */
const char *whep_server_url(const struct whep_server *s);
int whep_server_port(const struct whep_server *s);

/* Its client went away, or the server: a reply would reach nobody. */
bool whep_request_gone(const struct whep_request *req);
void whep_reply_created(struct whep_request *req, const char *answer, size_t len, const char *id,
                        const char *etag);
void whep_reply_no_content(struct whep_request *req);   /* 204: trickled */
void whep_reply_frag(struct whep_request *req, const char *frag, size_t len, const char *etag); /* 200 */
void whep_reply_ok(struct whep_request *req);           /* 200: deleted */
/* A status and a sentence, as text/plain. retry_after_s > 0 adds Retry-After. */
void whep_reply_error(struct whep_request *req, int status, const char *text, int retry_after_s);

#endif
