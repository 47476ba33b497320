/* The WHEP server's responses, and the requests that wait for their reply. */
#include "signal/http_guard.h"
#include "signal/whep_internal.h"

struct whep_request {
    struct whep_server *server; /* NULL: was freed */
    SoupServerMessage *msg;
    gulong finished_handler;
    bool gone;   /* the client, or the server: nothing to write to */
    bool paused; /* the handler returned without a reply */
    bool in_handler, replied;
    struct whep_request *next, *prev;
};

/* ---- responses ---- */

void whep_header(SoupServerMessage *msg, const char *name, const char *value)
{
    soup_message_headers_replace(soup_server_message_get_response_headers(msg), name, value);
}

void whep_common_headers(SoupServerMessage *msg)
{
    whep_header(msg, "Access-Control-Allow-Origin", "*");
    whep_header(msg, "Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After");
    whep_header(msg, "Cache-Control", "no-store");
    whep_header(msg, "X-Content-Type-Options", "nosniff");
    whep_header(msg, "Referrer-Policy", "no-referrer"); /* the address holds the token */
}

void whep_link_headers(struct whep_server *s, SoupServerMessage *msg)
{
    for (guint i = 0; i < s->links->len; i++)
        soup_message_headers_append(soup_server_message_get_response_headers(msg), "Link",
                                    g_ptr_array_index(s->links, i));
}

void whep_respond(SoupServerMessage *msg, int status, const char *type, const char *body,
                  size_t len)
{
    soup_server_message_set_status(msg, (guint)status, NULL);
    if (type)
        soup_server_message_set_response(msg, type, SOUP_MEMORY_COPY, body, len);
    http_guard_writing(msg);
}

void whep_respond_text(SoupServerMessage *msg, int status, const char *text)
{
    char *line = g_strdup_printf("%s\n", text);
    whep_respond(msg, status, "text/plain; charset=utf-8", line, strlen(line));
    g_free(line);
}

void whep_respond_not_found(SoupServerMessage *msg)
{
    whep_respond_text(msg, SOUP_STATUS_NOT_FOUND, "there is nothing at this address");
}

void whep_respond_too_large(SoupServerMessage *msg)
{
    whep_header(msg, "Connection", "close");
    whep_respond_text(msg, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, "the body is longer than 64 KiB");
}

/* ---- requests that wait for their reply ---- */

static void on_request_finished(SoupServerMessage *msg, gpointer data)
{
    (void)msg;
    struct whep_request *req = data;
    req->gone = true;
}

struct whep_request *whep_request_new(struct whep_server *s, SoupServerMessage *msg)
{
    struct whep_request *req = g_new0(struct whep_request, 1);
    req->server = s;
    req->msg = g_object_ref(msg);
    req->in_handler = true;
    req->finished_handler =
        g_signal_connect(msg, "finished", G_CALLBACK(on_request_finished), req);
    req->next = s->requests;
    if (req->next)
        req->next->prev = req;
    s->requests = req;
    return req;
}

void whep_request_detach(struct whep_request *req)
{
    if (!req->server)
        return;
    *(req->prev ? &req->prev->next : &req->server->requests) = req->next;
    if (req->next)
        req->next->prev = req->prev;
    g_signal_handler_disconnect(req->msg, req->finished_handler);
    g_clear_object(&req->msg);
    req->server = NULL;
    req->gone = true;
}

void whep_request_handled(struct whep_request *req)
{
    req->in_handler = false;
    if (req->replied) {
        whep_request_detach(req);
        g_free(req);
    } else if (!req->gone) {
        req->paused = true;
        soup_server_message_pause(req->msg);
    }
}

/* The response is set: sends it. */
static void reply_done(struct whep_request *req)
{
    req->replied = true;
    if (req->in_handler)
        return; /* whep_request_handled frees it, and libsoup goes on by itself */
    if (!req->gone && req->paused)
        soup_server_message_unpause(req->msg);
    whep_request_detach(req);
    g_free(req);
}

bool whep_request_gone(const struct whep_request *req) { return req->gone; }

static char *quoted(const char *tag) { return g_strdup_printf("\"%s\"", tag); }

void whep_reply_created(struct whep_request *req, const char *answer, size_t len, const char *id,
                        const char *etag)
{
    if (!req->gone) {
        struct whep_server *s = req->server;
        char *location = g_strdup_printf("%s%s/whep/%s", s->token[0] ? "/" : "", s->token, id);
        char *tag = quoted(etag);
        whep_header(req->msg, "Location", location);
        whep_header(req->msg, "ETag", tag);
        whep_header(req->msg, "Accept-Patch", WHEP_FRAG_TYPE);
        whep_link_headers(s, req->msg);
        whep_respond(req->msg, SOUP_STATUS_CREATED, WHEP_SDP_TYPE, answer, len);
        g_free(tag);
        g_free(location);
    }
    reply_done(req);
}

void whep_reply_no_content(struct whep_request *req)
{
    if (!req->gone)
        whep_respond(req->msg, SOUP_STATUS_NO_CONTENT, NULL, NULL, 0);
    reply_done(req);
}

void whep_reply_frag(struct whep_request *req, const char *frag, size_t len, const char *etag)
{
    if (!req->gone) {
        char *tag = quoted(etag);
        whep_header(req->msg, "ETag", tag);
        whep_respond(req->msg, SOUP_STATUS_OK, WHEP_FRAG_TYPE, frag, len);
        g_free(tag);
    }
    reply_done(req);
}

void whep_reply_ok(struct whep_request *req)
{
    if (!req->gone)
        whep_respond(req->msg, SOUP_STATUS_OK, NULL, NULL, 0);
    reply_done(req);
}

void whep_reply_error(struct whep_request *req, int status, const char *text, int retry_after_s)
{
    if (!req->gone) {
        char seconds[16];
        if (retry_after_s > 0) {
            g_snprintf(seconds, sizeof seconds, "%d", retry_after_s);
            whep_header(req->msg, "Retry-After", seconds);
        }
        whep_respond_text(req->msg, status, text);
    }
    reply_done(req);
}
