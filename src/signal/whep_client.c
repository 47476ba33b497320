#include "signal/whep_client.h"

#include "base/error.h"
#include "base/log.h"
#include "signal/http_operation.h"
#include "signal/whep_link.h"

#include <string.h>

enum {
    IO_TIMEOUT_S = 10,              /* to connect, and between bytes */
    REQUEST_TIMEOUT_US = 20000000,  /* in all */
    MAX_ICE_SERVERS = 16,
};

/* ---- OPTIONS ---- */

static void take_links(struct whep_client *c, SoupMessage *msg)
{
    char url[WHEP_LINK_URL_MAX];
    const char *value =
        soup_message_headers_get_list(soup_message_get_response_headers(msg), "Link");
    g_ptr_array_set_size(c->ice_servers, 0);
    while (value && c->ice_servers->len < MAX_ICE_SERVERS && whep_link_next(&value, url))
        g_ptr_array_add(c->ice_servers, g_strdup(url));
}

static void options_finish(struct http_operation *op, int error, const char *text)
{
    struct whep_client *c = op->client;
    if (error) {
        error_set(error, "%s", text);
        op->done_servers(op->ctx, error, NULL, 0);
        return;
    }
    if (SOUP_STATUS_IS_SUCCESSFUL(soup_message_get_status(op->msg)))
        take_links(c, op->msg);
    op->done_servers(op->ctx, 0, (const char *const *)c->ice_servers->pdata,
                     (int)c->ice_servers->len);
}

void whep_client_ice_servers(struct whep_client *c,
                             void (*done)(void *ctx, int error, const char *const *urls, int n),
                             void *ctx)
{
    if (c->posted) {
        done(ctx, 0, (const char *const *)c->ice_servers->pdata, (int)c->ice_servers->len);
        return;
    }
    struct http_operation *op =
        http_operation_new(c, "OPTIONS", c->endpoint, c->timeout_us, options_finish, ctx);
    op->done_servers = done;
    http_operation_send(op);
}

/* ---- POST ---- */

static bool answer_is(struct http_operation *op, const char *wanted)
{
    const char *type = soup_message_headers_get_content_type(
        soup_message_get_response_headers(op->msg), NULL);
    return type && g_ascii_strcasecmp(type, wanted) == 0;
}

static void take_etag(struct whep_client *c, SoupMessage *msg)
{
    const char *etag = soup_message_headers_get_one(soup_message_get_response_headers(msg), "ETag");
    if (etag) {
        g_free(c->etag);
        c->etag = g_strdup(etag);
    }
}

static void take_session(struct http_operation *op)
{
    struct whep_client *c = op->client;
    const char *location = soup_message_headers_get_one(
        soup_message_get_response_headers(op->msg), "Location");
    g_clear_pointer(&c->resource, g_uri_unref);
    g_clear_pointer(&c->etag, g_free);
    c->resource = http_resolve(op->uri, location);
    if (!c->resource)
        LOG_WARN(signal, "the server names no session (Location): it can only be left, not ended");
    take_etag(c, op->msg);
    GPtrArray *before = c->ice_servers;
    c->ice_servers = g_ptr_array_new_with_free_func(g_free);
    take_links(c, op->msg);
    if (c->ice_servers->len == 0) { /* told by OPTIONS alone */
        g_ptr_array_unref(c->ice_servers);
        c->ice_servers = before;
    } else {
        g_ptr_array_unref(before);
    }
    c->posted = true;
}

static void post_finish(struct http_operation *op, int error, const char *text)
{
    char sentence[512];
    if (!error) {
        guint status = soup_message_get_status(op->msg);
        text = sentence;
        if (status != 201 && status != 200) {
            error = http_status_error(op, sentence, sizeof sentence);
        } else if (!answer_is(op, "application/sdp")) {
            error = ERR_PROTOCOL;
            text = "this is a web page or something else, but not a WHEP address";
        } else {
            take_session(op);
            op->done_answer(op->ctx, 0, "", (const char *)op->answer->data, op->answer->len);
            return;
        }
    }
    op->done_answer(op->ctx, error, text, NULL, 0);
}

void whep_client_post(struct whep_client *c, const char *offer,
                      void (*done)(void *ctx, int error, const char *text, const char *answer,
                                   size_t len),
                      void *ctx)
{
    struct http_operation *op =
        http_operation_new(c, "POST", c->endpoint, c->timeout_us, post_finish, ctx);
    op->done_answer = done;
    op->content_type = "application/sdp";
    op->body = g_bytes_new(offer, strlen(offer));
    http_operation_send(op);
}

/* ---- PATCH ---- */

static void patch_finish(struct http_operation *op, int error, const char *text)
{
    char sentence[512];
    guint status = error ? 0 : soup_message_get_status(op->msg);
    if (!error && SOUP_STATUS_IS_SUCCESSFUL(status)) {
        take_etag(op->client, op->msg);
        op->done_answer(op->ctx, 0, "", (const char *)op->answer->data, op->answer->len);
        return;
    }
    if (status == 405 || status == 501 || status == 415 || status == 422) {
        error = ERR_UNSUPPORTED; /* RFC 9725 section 4.3: neither trickle nor restarts there */
        text = "the server takes no later candidates";
    } else if (!error) {
        error = http_status_error(op, sentence, sizeof sentence);
        text = sentence;
    }
    op->done_answer(op->ctx, error, text, NULL, 0);
}

void whep_client_patch(struct whep_client *c, const char *frag, bool restart,
                       void (*done)(void *ctx, int error, const char *text, const char *answer,
                                    size_t len),
                       void *ctx)
{
    if (!c->resource) {
        done(ctx, ERR_UNSUPPORTED, "there is no session to send candidates to", NULL, 0);
        return;
    }
    struct http_operation *op =
        http_operation_new(c, "PATCH", c->resource, c->timeout_us, patch_finish, ctx);
    op->done_answer = done;
    op->content_type = "application/trickle-ice-sdpfrag";
    op->body = g_bytes_new(frag, strlen(frag));
    op->if_match = g_strdup(restart ? "*" : c->etag);
    http_operation_send(op);
}

/* ---- DELETE ---- */

static void delete_finish(struct http_operation *op, int error, const char *text)
{
    if (error)
        LOG_DEBUG(signal, "ending the session: %s", text);
    if (op->done_plain)
        op->done_plain(op->ctx);
}

void whep_client_delete(struct whep_client *c, int64_t timeout_us, void (*done)(void *ctx),
                        void *ctx)
{
    if (!c->resource) {
        if (done)
            done(ctx);
        return;
    }
    struct http_operation *op =
        http_operation_new(c, "DELETE", c->resource, timeout_us, delete_finish, ctx);
    op->done_plain = done;
    g_clear_pointer(&c->resource, g_uri_unref);
    g_clear_pointer(&c->etag, g_free);
    http_operation_send(op);
}

/* ---- the client ---- */

static void give_up(struct whep_client *c)
{
    while (c->operations) {
        struct http_operation *op = c->operations;
        http_operation_unlink(op);
        g_cancellable_cancel(op->cancellable);
    }
    g_clear_object(&c->session);
}

static void open_session(struct whep_client *c)
{
    GMainContext *context = loop_context(c->loop);
    g_main_context_push_thread_default(context);
    c->session = soup_session_new();
    g_main_context_pop_thread_default(context);
    soup_session_set_timeout(c->session, IO_TIMEOUT_S);
    soup_session_set_user_agent(c->session, "hevcast");
    /* The media goes without any proxy, so that asking for one (over D-Bus, often) gains nothing. */
    soup_session_set_proxy_resolver(c->session, NULL);
    /* Without a database no certificate is trusted, and each one is asked about. */
    if (c->pinned)
        soup_session_set_tls_database(c->session, NULL);
}

void whep_client_renew(struct whep_client *c, int64_t timeout_us)
{
    give_up(c);
    open_session(c);
    c->posted = false;
    c->timeout_us = timeout_us;
}

int whep_client_new(struct whep_client **out, const struct whep_client_config *config)
{
    *out = NULL;
    char *text = g_strdup(config->url ? config->url : "");
    char *fragment = strchr(text, '#');
    const char *pin = config->tls_pin_sha256;
    if (fragment) {
        *fragment++ = '\0';
        if (g_str_has_prefix(fragment, "sha256="))
            pin = pin ? pin : fragment + strlen("sha256=");
    }
    struct whep_client *c = g_new0(struct whep_client, 1);
    c->loop = config->loop;
    c->ice_servers = g_ptr_array_new_with_free_func(g_free);
    c->endpoint = http_parse(text);
    int error = 0;
    if (!c->endpoint)
        error = error_set(ERR_INVALID, "this is no address of a share; it begins with http:// or "
                          "https:// and is what `hevcast share` prints");
    else if (pin && !http_parse_pin(pin, c->pin))
        error = error_set(ERR_INVALID, "the certificate's fingerprint must have 64 hex digits");
    else if (pin && !http_is_https(c->endpoint))
        error = error_set(ERR_INVALID, "a certificate was named, but the address is not https://");
    g_free(text);
    if (error) {
        whep_client_free(&c);
        return error;
    }
    c->pinned = pin != NULL;
    c->timeout_us = REQUEST_TIMEOUT_US;
    c->bearer = g_strdup(config->bearer);
    open_session(c);
    *out = c;
    return 0;
}

void whep_client_free(struct whep_client **client)
{
    struct whep_client *c = *client;
    if (!c)
        return;
    give_up(c);
    g_clear_pointer(&c->endpoint, g_uri_unref);
    g_clear_pointer(&c->resource, g_uri_unref);
    g_ptr_array_unref(c->ice_servers);
    g_free(c->bearer);
    g_free(c->etag);
    g_free(c);
    *client = NULL;
}
