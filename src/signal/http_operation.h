/* http_operation: one request of a WHEP client, with its redirects, its time limit and its errors as
 * sentences. Between whep_client.c, which says what to ask for, and libsoup. Network thread. */
#ifndef HEVCAST_SIGNAL_HTTP_OPERATION_H
#define HEVCAST_SIGNAL_HTTP_OPERATION_H

#include "signal/whep_client.h"

#include <libsoup/soup.h>

struct http_operation;
typedef void http_finish_fn(struct http_operation *op, int error, const char *text);

struct whep_client {
    struct loop *loop;
    SoupSession *session;
    GUri *endpoint;     /* as configured; the bearer goes to its origin alone */
    GUri *resource;     /* the session's, NULL before the POST */
    char *bearer, *etag;
    int64_t timeout_us; /* of a request, in all */
    uint8_t pin[32];
    bool pinned, posted;
    GPtrArray *ice_servers;
    struct http_operation *operations; /* all that run */
};

/* One request, with its redirects. Outlives the client until libsoup has let go of it. */
struct http_operation {
    struct whep_client *client; /* NULL: freed, nothing is told any more */
    struct http_operation *next, *prev;
    const char *method, *content_type;
    char *if_match;
    GUri *uri;
    GBytes *body;
    SoupMessage *msg;
    GCancellable *cancellable;
    GByteArray *answer;
    struct loop_timer *timer;
    bool timed_out, wrong_pin;
    int redirects;
    http_finish_fn *finish;
    /* Of the caller; the one that fits `finish`. */
    void (*done_servers)(void *ctx, int error, const char *const *urls, int n);
    void (*done_answer)(void *ctx, int error, const char *text, const char *answer, size_t len);
    void (*done_plain)(void *ctx);
    void *ctx;
};

bool http_is_https(GUri *uri);
GUri *http_parse(const char *text); /* NULL: no http or https address */
/* A redirect or a Location, relative to base; never from https to http. NULL: unusable. */
GUri *http_resolve(GUri *base, const char *reference);
/* 64 hex digits, colons between them or not. */
bool http_parse_pin(const char *text, uint8_t pin[32]);

/* Not sent yet: the caller sets what `finish` needs, then calls http_operation_send. */
struct http_operation *http_operation_new(struct whep_client *c, const char *method, GUri *uri,
                                          int64_t timeout_us, http_finish_fn *finish, void *ctx);
void http_operation_send(struct http_operation *op);
/* Nothing is told any more; it frees itself once libsoup has let go of it. */
void http_operation_unlink(struct http_operation *op);
/* A status above 299 as an error and a sentence. */
int http_status_error(struct http_operation *op, char *text, size_t cap);

#endif
