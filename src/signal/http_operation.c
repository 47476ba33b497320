#include "signal/http_operation.h"

#include "base/clock.h"
#include "base/error.h"

#include <string.h>

enum { MAX_BODY = 65536, MAX_REDIRECTS = 5 };

/* ---- addresses ---- */

static bool http_same_origin(GUri *a, GUri *b)
{
    return strcmp(g_uri_get_scheme(a), g_uri_get_scheme(b)) == 0 &&
           g_ascii_strcasecmp(g_uri_get_host(a), g_uri_get_host(b)) == 0 &&
           g_uri_get_port(a) == g_uri_get_port(b);
}

bool http_is_https(GUri *uri) { return strcmp(g_uri_get_scheme(uri), "https") == 0; }

/* "host:port" for sentences; never the path, which may hold a token. */
static char *http_place_of(GUri *uri)
{
    const char *host = g_uri_get_host(uri);
    bool v6 = strchr(host, ':') != NULL;
    int port = g_uri_get_port(uri);
    if (port < 0)
        port = http_is_https(uri) ? 443 : 80;
    return g_strdup_printf("%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

GUri *http_parse(const char *text)
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

GUri *http_resolve(GUri *base, const char *reference)
{
    if (!reference)
        return NULL;
    GUri *joined = g_uri_parse_relative(base, reference, SOUP_HTTP_URI_FLAGS, NULL);
    if (!joined)
        return NULL;
    char *text = g_uri_to_string(joined);
    g_uri_unref(joined);
    GUri *uri = http_parse(text);
    g_free(text);
    if (uri && http_is_https(base) && !http_is_https(uri))
        g_clear_pointer(&uri, g_uri_unref);
    return uri;
}

bool http_parse_pin(const char *text, uint8_t pin[32])
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

void http_operation_unlink(struct http_operation *op)
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

static void http_operation_free(struct http_operation *op)
{
    http_operation_unlink(op);
    g_clear_pointer(&op->uri, g_uri_unref);
    g_clear_pointer(&op->body, g_bytes_unref);
    g_clear_pointer(&op->answer, g_byte_array_unref);
    g_clear_object(&op->msg);
    g_clear_object(&op->cancellable);
    g_free(op->if_match);
    g_free(op);
}

static void operation_end(struct http_operation *op, int error, const char *text)
{
    if (op->client)
        op->finish(op, error, text);
    http_operation_free(op);
}

static void on_timeout(void *ctx)
{
    struct http_operation *op = ctx;
    op->timed_out = true;
    g_cancellable_cancel(op->cancellable);
}

static int connect_error(struct http_operation *op, const GError *e, char *text, size_t cap)
{
    char *place = http_place_of(op->uri);
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
static void server_reason(struct http_operation *op, char *out, size_t cap)
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

int http_status_error(struct http_operation *op, char *text, size_t cap)
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

/* 307 and 308: the same method and body again (RFC 9725 section 4.5). true: it goes on. */
static bool follow_redirect(struct http_operation *op)
{
    guint status = soup_message_get_status(op->msg);
    if ((status != 307 && status != 308) || op->redirects++ == MAX_REDIRECTS)
        return false;
    GUri *next = http_resolve(op->uri, soup_message_headers_get_one(
                                      soup_message_get_response_headers(op->msg), "Location"));
    if (!next)
        return false;
    g_uri_unref(op->uri);
    op->uri = next;
    g_clear_object(&op->msg);
    http_operation_send(op);
    return true;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    struct http_operation *op = data;
    GInputStream *stream = G_INPUT_STREAM(source);
    GError *error = NULL;
    char text[512];
    GBytes *bytes = g_input_stream_read_bytes_finish(stream, result, &error);
    if (!op->client) {
        g_clear_error(&error);
        http_operation_free(op);
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
    struct http_operation *op = data;
    GError *error = NULL;
    char text[512];
    GInputStream *stream = soup_session_send_finish(SOUP_SESSION(source), result, &error);
    if (!op->client) {
        g_clear_error(&error);
        http_operation_free(op);
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
    struct http_operation *op = data;
    if (!op->client || !op->client->pinned)
        return FALSE;
    if (is_pinned_certificate(op->client, certificate))
        return TRUE;
    op->wrong_pin = true;
    return FALSE;
}

void http_operation_send(struct http_operation *op)
{
    struct whep_client *c = op->client;
    op->msg = soup_message_new_from_uri(op->method, op->uri);
    soup_message_set_flags(op->msg, SOUP_MESSAGE_NO_REDIRECT);
    g_signal_connect(op->msg, "accept-certificate", G_CALLBACK(on_accept_certificate), op);
    SoupMessageHeaders *headers = soup_message_get_request_headers(op->msg);
    if (c->bearer && http_same_origin(op->uri, c->endpoint)) {
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

struct http_operation *http_operation_new(struct whep_client *c, const char *method, GUri *uri,
                                       int64_t timeout_us, http_finish_fn *finish, void *ctx)
{
    struct http_operation *op = g_new0(struct http_operation, 1);
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
