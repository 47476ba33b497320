#include "signal/whep_client.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "signal/whep_link.h"

#include <libsoup/soup.h>
#include <string.h>

enum {
    IO_TIMEOUT_S = 10,              /* to connect, and between bytes */
    REQUEST_TIMEOUT_US = 20000000,  /* in all */
    MAX_BODY = 65536,
    MAX_REDIRECTS = 5,
    MAX_ICE_SERVERS = 16,
};

struct operation;
typedef void finish_fn(struct operation *op, int error, const char *text);

struct whep_client {
    struct loop *loop;
    SoupSession *session;
    GUri *endpoint;     /* as configured; the bearer goes to its origin alone */
    GUri *resource;     /* the session's, NULL before the POST */
    char *bearer, *etag;
    uint8_t pin[32];
    bool pinned, posted;
    GPtrArray *ice_servers;
    struct operation *operations; /* all that run */
};

/* One request, with its redirects. Outlives the client until libsoup has let go of it. */
struct operation {
    struct whep_client *client; /* NULL: freed, nothing is told any more */
    struct operation *next, *prev;
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
    finish_fn *finish;
    /* Of the caller; the one that fits `finish`. */
    void (*done_servers)(void *ctx, int error, const char *const *urls, int n);
    void (*done_answer)(void *ctx, int error, const char *text, const char *answer, size_t len);
    void (*done_plain)(void *ctx);
    void *ctx;
};

/* ---- addresses ---- */

static bool same_origin(GUri *a, GUri *b)
{
    return strcmp(g_uri_get_scheme(a), g_uri_get_scheme(b)) == 0 &&
           g_ascii_strcasecmp(g_uri_get_host(a), g_uri_get_host(b)) == 0 &&
           g_uri_get_port(a) == g_uri_get_port(b);
}

static bool is_https(GUri *uri) { return strcmp(g_uri_get_scheme(uri), "https") == 0; }

/* "host:port" for sentences; never the path, which may hold a token. */
static char *place_of(GUri *uri)
{
    const char *host = g_uri_get_host(uri);
    bool v6 = strchr(host, ':') != NULL;
    int port = g_uri_get_port(uri);
    if (port < 0)
        port = is_https(uri) ? 443 : 80;
    return g_strdup_printf("%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static GUri *parse_http(const char *text)
{
    GUri *uri = g_uri_parse(text, SOUP_HTTP_URI_FLAGS, NULL);
    if (!uri)
        return NULL;
    const char *scheme = g_uri_get_scheme(uri), *host = g_uri_get_host(uri);
    if ((strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) && host && host[0])
        return uri;
    g_uri_unref(uri);
    return NULL;
}

/* A redirect or a Location, relative to base; never from https to http. NULL: unusable. */
static GUri *resolve(GUri *base, const char *reference)
{
    if (!reference)
        return NULL;
    GUri *joined = g_uri_parse_relative(base, reference, SOUP_HTTP_URI_FLAGS, NULL);
    if (!joined)
        return NULL;
    char *text = g_uri_to_string(joined);
    g_uri_unref(joined);
    GUri *uri = parse_http(text);
    g_free(text);
    if (uri && is_https(base) && !is_https(uri))
        g_clear_pointer(&uri, g_uri_unref);
    return uri;
}

/* 64 hex digits, colons between them or not. */
static bool parse_pin(const char *text, uint8_t pin[32])
{
    int n = 0;
    for (const char *p = text; *p; p++) {
        int digit = g_ascii_xdigit_value(*p);
        if (*p == ':' && n % 2 == 0)
            continue;
        if (digit < 0 || n == 64)
            return false;
        if (n % 2 == 0)
            pin[n / 2] = (uint8_t)(digit << 4);
        else
            pin[n / 2] |= (uint8_t)digit;
        n++;
    }
    return n == 64;
}

static bool is_pinned_certificate(const struct whep_client *c, GTlsCertificate *certificate)
{
    GByteArray *der = NULL;
    g_object_get(certificate, "certificate", &der, NULL);
    if (!der)
        return false;
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize len = sizeof digest;
    g_checksum_update(sum, der->data, (gssize)der->len);
    g_checksum_get_digest(sum, digest, &len);
    g_checksum_free(sum);
    g_byte_array_unref(der);
    return len == sizeof digest && memcmp(digest, c->pin, sizeof digest) == 0;
}

/* ---- operations ---- */

static void operation_unlink(struct operation *op)
{
    struct whep_client *c = op->client;
    if (!c)
        return;
    *(op->prev ? &op->prev->next : &c->operations) = op->next;
    if (op->next)
        op->next->prev = op->prev;
    op->client = NULL;
    loop_timer_free(&op->timer);
}

static void operation_free(struct operation *op)
{
    operation_unlink(op);
    g_clear_pointer(&op->uri, g_uri_unref);
    g_clear_pointer(&op->body, g_bytes_unref);
    g_clear_pointer(&op->answer, g_byte_array_unref);
    g_clear_object(&op->msg);
    g_clear_object(&op->cancellable);
    g_free(op->if_match);
    g_free(op);
}

static void operation_end(struct operation *op, int error, const char *text)
{
    if (op->client)
        op->finish(op, error, text);
    operation_free(op);
}

static void on_timeout(void *ctx)
{
    struct operation *op = ctx;
    op->timed_out = true;
    g_cancellable_cancel(op->cancellable);
}

static int connect_error(struct operation *op, const GError *e, char *text, size_t cap)
{
    char *place = place_of(op->uri);
    int code = ERR_IO;
    if (op->wrong_pin) {
        code = ERR_REFUSED;
        g_snprintf(text, cap, "%s shows another certificate than the address or --tls-pin names; "
                   "somebody may be in between", place);
    } else if (op->timed_out || g_error_matches(e, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        code = ERR_TIMEOUT;
        g_snprintf(text, cap, "%s does not answer: is the address right, and does a firewall "
                   "let it through?", place);
    } else if (g_error_matches(e, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
        g_snprintf(text, cap, "cannot connect to %s: is the share running?", place);
    } else if (e->domain == G_RESOLVER_ERROR) {
        g_snprintf(text, cap, "there is no host named \"%s\"; check the address",
                   g_uri_get_host(op->uri));
    } else if (e->domain == G_TLS_ERROR) {
        g_snprintf(text, cap, "the certificate of %s is not trusted (%s); name it with --tls-pin",
                   place, e->message);
    } else {
        g_snprintf(text, cap, "cannot connect to %s: %s", place, e->message);
    }
    g_free(place);
    return code;
}

/* The server's own words, when they are a line for people: printable ASCII, at most 200. */
static void server_reason(struct operation *op, char *out, size_t cap)
{
    const char *type = soup_message_headers_get_content_type(
        soup_message_get_response_headers(op->msg), NULL);
    size_t n = 0;
    out[0] = '\0';
    if (!type || strcmp(type, "text/plain") != 0)
        return;
    for (guint i = 0; i < op->answer->len && n + 1 < cap && n < 200; i++) {
        char c = (char)op->answer->data[i];
        if (c == '\n' && n > 0)
            break;
        out[n++] = c >= ' ' && c <= '~' ? c : ' ';
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* A status above 299 as an error and a sentence. */
static int status_error(struct operation *op, char *text, size_t cap)
{
    guint status = soup_message_get_status(op->msg);
    char reason[256];
    server_reason(op, reason, sizeof reason);
    if (status == 404) {
        g_snprintf(text, cap, "no share at this address: the address or its token is wrong");
        return ERR_NOT_FOUND;
    }
    if (status == 401 || status == 403) {
        g_snprintf(text, cap, "the server wants another token (--bearer): it answered %u%s%s",
                   status, reason[0] ? ", " : "", reason);
        return ERR_REFUSED;
    }
    if (status < 400) {
        g_snprintf(text, cap, "the server answered %u, which is no answer to an offer", status);
        return ERR_PROTOCOL;
    }
    if (reason[0])
        g_snprintf(text, cap, "the server refused: %s (%u)", reason, status);
    else
        g_snprintf(text, cap, "the server refused: %u %s", status,
                   soup_message_get_reason_phrase(op->msg)
                       ? soup_message_get_reason_phrase(op->msg) : "");
    return ERR_REFUSED;
}

static void operation_send(struct operation *op);

/* 307 and 308: the same method and body again (RFC 9725 section 4.5). true: it goes on. */
static bool follow_redirect(struct operation *op)
{
    guint status = soup_message_get_status(op->msg);
    if ((status != 307 && status != 308) || op->redirects++ == MAX_REDIRECTS)
        return false;
    GUri *next = resolve(op->uri, soup_message_headers_get_one(
                                      soup_message_get_response_headers(op->msg), "Location"));
    if (!next)
        return false;
    g_uri_unref(op->uri);
    op->uri = next;
    g_clear_object(&op->msg);
    operation_send(op);
    return true;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    struct operation *op = data;
    GInputStream *stream = G_INPUT_STREAM(source);
    GError *error = NULL;
    char text[512];
    GBytes *bytes = g_input_stream_read_bytes_finish(stream, result, &error);
    if (!op->client) {
        g_clear_error(&error);
        operation_free(op);
    } else if (!bytes) {
        int code = connect_error(op, error, text, sizeof text);
        g_error_free(error);
        operation_end(op, code, text);
    } else if (g_bytes_get_size(bytes) == 0) {
        if (!follow_redirect(op))
            operation_end(op, 0, NULL);
    } else if (op->answer->len + g_bytes_get_size(bytes) > MAX_BODY) {
        operation_end(op, ERR_PROTOCOL, "the server's answer is longer than 64 KiB");
    } else {
        g_byte_array_append(op->answer, g_bytes_get_data(bytes, NULL),
                            (guint)g_bytes_get_size(bytes));
        g_input_stream_read_bytes_async(stream, 8192, G_PRIORITY_DEFAULT, op->cancellable,
                                        on_read, op);
    }
    if (bytes)
        g_bytes_unref(bytes);
}

static void on_sent(GObject *source, GAsyncResult *result, gpointer data)
{
    struct operation *op = data;
    GError *error = NULL;
    char text[512];
    GInputStream *stream = soup_session_send_finish(SOUP_SESSION(source), result, &error);
    if (!op->client) {
        g_clear_error(&error);
        operation_free(op);
    } else if (!stream) {
        int code = connect_error(op, error, text, sizeof text);
        g_error_free(error);
        operation_end(op, code, text);
    } else {
        g_byte_array_set_size(op->answer, 0);
        g_input_stream_read_bytes_async(stream, 8192, G_PRIORITY_DEFAULT, op->cancellable,
                                        on_read, op);
    }
    g_clear_object(&stream);
}

static gboolean on_accept_certificate(SoupMessage *msg, GTlsCertificate *certificate,
                                      GTlsCertificateFlags errors, gpointer data)
{
    (void)msg;
    (void)errors;
    struct operation *op = data;
    if (!op->client || !op->client->pinned)
        return FALSE;
    if (is_pinned_certificate(op->client, certificate))
        return TRUE;
    op->wrong_pin = true;
    return FALSE;
}

static void operation_send(struct operation *op)
{
    struct whep_client *c = op->client;
    op->msg = soup_message_new_from_uri(op->method, op->uri);
    soup_message_set_flags(op->msg, SOUP_MESSAGE_NO_REDIRECT);
    g_signal_connect(op->msg, "accept-certificate", G_CALLBACK(on_accept_certificate), op);
    SoupMessageHeaders *headers = soup_message_get_request_headers(op->msg);
    if (c->bearer && same_origin(op->uri, c->endpoint)) {
        char *value = g_strdup_printf("Bearer %s", c->bearer);
        soup_message_headers_replace(headers, "Authorization", value);
        g_free(value);
    }
    if (op->if_match)
        soup_message_headers_replace(headers, "If-Match", op->if_match);
    if (op->body)
        soup_message_set_request_body_from_bytes(op->msg, op->content_type, op->body);
    GMainContext *context = loop_context(c->loop);
    g_main_context_push_thread_default(context);
    soup_session_send_async(c->session, op->msg, G_PRIORITY_DEFAULT, op->cancellable, on_sent, op);
    g_main_context_pop_thread_default(context);
}

/* Not sent yet: the caller sets what `finish` needs, then calls operation_send. */
static struct operation *operation_new(struct whep_client *c, const char *method, GUri *uri,
                                       int64_t timeout_us, finish_fn *finish, void *ctx)
{
    struct operation *op = g_new0(struct operation, 1);
    op->client = c;
    op->method = method;
    op->uri = g_uri_ref(uri);
    op->finish = finish;
    op->ctx = ctx;
    op->cancellable = g_cancellable_new();
    op->answer = g_byte_array_new();
    op->timer = loop_timer_new(c->loop, on_timeout, op);
    if (op->timer)
        loop_timer_set(op->timer, clock_now_us() + timeout_us);
    op->next = c->operations;
    if (op->next)
        op->next->prev = op;
    c->operations = op;
    return op;
}

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

static void options_finish(struct operation *op, int error, const char *text)
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
    struct operation *op =
        operation_new(c, "OPTIONS", c->endpoint, REQUEST_TIMEOUT_US, options_finish, ctx);
    op->done_servers = done;
    operation_send(op);
}

/* ---- POST ---- */

static bool answer_is(struct operation *op, const char *wanted)
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

static void take_session(struct operation *op)
{
    struct whep_client *c = op->client;
    const char *location = soup_message_headers_get_one(
        soup_message_get_response_headers(op->msg), "Location");
    g_clear_pointer(&c->resource, g_uri_unref);
    g_clear_pointer(&c->etag, g_free);
    c->resource = resolve(op->uri, location);
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

static void post_finish(struct operation *op, int error, const char *text)
{
    char sentence[512];
    if (!error) {
        guint status = soup_message_get_status(op->msg);
        text = sentence;
        if (status != 201 && status != 200) {
            error = status_error(op, sentence, sizeof sentence);
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
    struct operation *op =
        operation_new(c, "POST", c->endpoint, REQUEST_TIMEOUT_US, post_finish, ctx);
    op->done_answer = done;
    op->content_type = "application/sdp";
    op->body = g_bytes_new(offer, strlen(offer));
    operation_send(op);
}

/* ---- PATCH ---- */

static void patch_finish(struct operation *op, int error, const char *text)
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
        error = status_error(op, sentence, sizeof sentence);
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
    struct operation *op =
        operation_new(c, "PATCH", c->resource, REQUEST_TIMEOUT_US, patch_finish, ctx);
    op->done_answer = done;
    op->content_type = "application/trickle-ice-sdpfrag";
    op->body = g_bytes_new(frag, strlen(frag));
    op->if_match = g_strdup(restart ? "*" : c->etag);
    operation_send(op);
}

/* ---- DELETE ---- */

static void delete_finish(struct operation *op, int error, const char *text)
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
    struct operation *op =
        operation_new(c, "DELETE", c->resource, timeout_us, delete_finish, ctx);
    op->done_plain = done;
    g_clear_pointer(&c->resource, g_uri_unref);
    g_clear_pointer(&c->etag, g_free);
    operation_send(op);
}

/* ---- the client ---- */

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
    c->endpoint = parse_http(text);
    int error = 0;
    if (!c->endpoint)
        error = error_set(ERR_INVALID, "this is no address of a share; it begins with http:// or "
                          "https:// and is what `hevcast share` prints");
    else if (pin && !parse_pin(pin, c->pin))
        error = error_set(ERR_INVALID, "the certificate's fingerprint must have 64 hex digits");
    else if (pin && !is_https(c->endpoint))
        error = error_set(ERR_INVALID, "a certificate was named, but the address is not https://");
    g_free(text);
    if (error) {
        whep_client_free(&c);
        return error;
    }
    c->pinned = pin != NULL;
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
    while (c->operations) {
        struct operation *op = c->operations;
        operation_unlink(op);
        g_cancellable_cancel(op->cancellable);
    }
    g_clear_object(&c->session);
    g_clear_pointer(&c->endpoint, g_uri_unref);
    g_clear_pointer(&c->resource, g_uri_unref);
    g_ptr_array_unref(c->ice_servers);
    g_free(c->bearer);
    g_free(c->etag);
    g_free(c);
    *client = NULL;
}
