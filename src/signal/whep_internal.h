/* whep_internal: what the files of the WHEP server share.
 *
 *   whep_server.c   the server itself: listening, TLS, its life
 *   whep_route.c    addresses, and what is done at each
 *   whep_request.c  responses, and requests that wait for their reply */
#ifndef HEVCAST_SIGNAL_WHEP_INTERNAL_H
#define HEVCAST_SIGNAL_WHEP_INTERNAL_H

#include "signal/whep_server.h"

#include <libsoup/soup.h>

#define WHEP_SDP_TYPE "application/sdp"
#define WHEP_FRAG_TYPE "application/trickle-ice-sdpfrag"

struct whep_server {
    struct loop *loop;
    SoupServer *soup;
    GSocketService *service;
    GTlsCertificate *certificate; /* NULL: plain http */
    struct http_tls *tls;         /* NULL: plain http */
    struct http_guard *guard;
    char *token, *url;
    int port;
    GPtrArray *links; /* Link header values */
    const char *page, *page_type;
    struct whep_request *requests; /* all that wait for a reply */
    struct whep_server_config config; /* the handlers and ctx; its strings are not kept */
};

/* whep_request.c */
void whep_header(SoupServerMessage *msg, const char *name, const char *value);
/* On every response: any page may watch a share whose address it knows, as any program may. */
void whep_common_headers(SoupServerMessage *msg);
void whep_link_headers(struct whep_server *s, SoupServerMessage *msg);
void whep_respond(SoupServerMessage *msg, int status, const char *type, const char *body,
                  size_t len);
void whep_respond_text(SoupServerMessage *msg, int status, const char *text);
/* One answer for all that is not there, be it a wrong token or a wrong path. */
void whep_respond_not_found(SoupServerMessage *msg);
void whep_respond_too_large(SoupServerMessage *msg);
struct whep_request *whep_request_new(struct whep_server *s, SoupServerMessage *msg);
/* From its server and message: nothing reaches it any more. */
void whep_request_detach(struct whep_request *req);
/* The handler returned: either its reply is there, or the connection waits for it. */
void whep_request_handled(struct whep_request *req);

/* whep_route.c: the handlers of the SoupServer; data is the whep_server */
void whep_on_message(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                     gpointer data);
/* Before the body: with Expect: 100-continue, one that is too long need not come at all. */
void whep_on_early_message(SoupServer *soup, SoupServerMessage *msg, const char *path,
                           GHashTable *query, gpointer data);

#endif
