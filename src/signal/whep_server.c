#include "signal/whep_server.h"

#include "base/error.h"
#include "base/log.h"
#include "signal/http_guard.h"
#include "signal/http_listen.h"
#include "signal/token.h"
#include "signal/web_page.h"

#include <libsoup/soup.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum route { ROUTE_NONE, ROUTE_ROOT, ROUTE_WHEP, ROUTE_SESSION, ROUTE_FILE };

static const char sdp_type[] = "application/sdp";
static const char frag_type[] = "application/trickle-ice-sdpfrag";

struct whep_server {
    struct loop *loop;
    SoupServer *soup;
    GSocketService *service;
    GTlsCertificate *certificate; /* NULL: plain http */
    struct http_guard *guard;
    char *token, *url;
    int port;
    GPtrArray *links; /* Link header values */
    const char *page, *page_type;
    struct whep_request *requests; /* all that wait for a reply */
    struct whep_server_config config; /* the handlers and ctx; its strings are not kept */
};

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

static void header(SoupServerMessage *msg, const char *name, const char *value)
{
    soup_message_headers_replace(soup_server_message_get_response_headers(msg), name, value);
}

/* On every response: any page may watch a share whose address it knows, as any program may. */
static void common_headers(SoupServerMessage *msg)
{
    header(msg, "Access-Control-Allow-Origin", "*");
    header(msg, "Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After");
    header(msg, "Cache-Control", "no-store");
    header(msg, "X-Content-Type-Options", "nosniff");
    header(msg, "Referrer-Policy", "no-referrer"); /* the address holds the token */
}

static void link_headers(struct whep_server *s, SoupServerMessage *msg)
{
    for (guint i = 0; i < s->links->len; i++)
        soup_message_headers_append(soup_server_message_get_response_headers(msg), "Link",
                                    g_ptr_array_index(s->links, i));
}

static void respond(SoupServerMessage *msg, int status, const char *type, const char *body,
                    size_t len)
{
    soup_server_message_set_status(msg, (guint)status, NULL);
    if (type)
        soup_server_message_set_response(msg, type, SOUP_MEMORY_COPY, body, len);
    http_guard_writing(msg);
}

static void respond_text(SoupServerMessage *msg, int status, const char *text)
{
    char *line = g_strdup_printf("%s\n", text);
    respond(msg, status, "text/plain; charset=utf-8", line, strlen(line));
    g_free(line);
}

/* One answer for all that is not there, be it a wrong token or a wrong path. */
static void respond_not_found(SoupServerMessage *msg)
{
    respond_text(msg, SOUP_STATUS_NOT_FOUND, "there is nothing at this address");
}

static void respond_too_large(SoupServerMessage *msg)
{
    header(msg, "Connection", "close");
    respond_text(msg, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, "the body is longer than 64 KiB");
}

/* ---- requests that wait for their reply ---- */

static void on_request_finished(SoupServerMessage *msg, gpointer data)
{
    (void)msg;
    struct whep_request *req = data;
    req->gone = true;
}

static struct whep_request *request_new(struct whep_server *s, SoupServerMessage *msg)
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

/* From its server and message: nothing reaches it any more. */
static void request_detach(struct whep_request *req)
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

/* The handler returned: either its reply is there, or the connection waits for it. */
static void handler_returned(struct whep_request *req)
{
    req->in_handler = false;
    if (req->replied) {
        request_detach(req);
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
        return; /* handler_returned frees it, and libsoup goes on by itself */
    if (!req->gone && req->paused)
        soup_server_message_unpause(req->msg);
    request_detach(req);
    g_free(req);
}

static char *quoted(const char *tag) { return g_strdup_printf("\"%s\"", tag); }

void whep_reply_created(struct whep_request *req, const char *answer, size_t len, const char *id,
                        const char *etag)
{
    if (!req->gone) {
        struct whep_server *s = req->server;
        char *location = g_strdup_printf("%s%s/whep/%s", s->token[0] ? "/" : "", s->token, id);
        char *tag = quoted(etag);
        header(req->msg, "Location", location);
        header(req->msg, "ETag", tag);
        header(req->msg, "Accept-Patch", frag_type);
        link_headers(s, req->msg);
        respond(req->msg, SOUP_STATUS_CREATED, sdp_type, answer, len);
        g_free(tag);
        g_free(location);
    }
    reply_done(req);
}

void whep_reply_no_content(struct whep_request *req)
{
    if (!req->gone)
        respond(req->msg, SOUP_STATUS_NO_CONTENT, NULL, NULL, 0);
    reply_done(req);
}

void whep_reply_frag(struct whep_request *req, const char *frag, size_t len, const char *etag)
{
    if (!req->gone) {
        char *tag = quoted(etag);
        header(req->msg, "ETag", tag);
        respond(req->msg, SOUP_STATUS_OK, frag_type, frag, len);
        g_free(tag);
    }
    reply_done(req);
}

void whep_reply_ok(struct whep_request *req)
{
    if (!req->gone)
        respond(req->msg, SOUP_STATUS_OK, NULL, NULL, 0);
    reply_done(req);
}

void whep_reply_error(struct whep_request *req, int status, const char *text, int retry_after_s)
{
    if (!req->gone) {
        char seconds[16];
        if (retry_after_s > 0) {
            g_snprintf(seconds, sizeof seconds, "%d", retry_after_s);
            header(req->msg, "Retry-After", seconds);
        }
        respond_text(req->msg, status, text);
    }
    reply_done(req);
}

/* ---- routes ---- */

/* Splits the path, still percent-encoded, into at most 4 decoded segments; one slash at the end is
 * nothing. -1: not decodable. The caller frees them. */
static int split_path(const char *path, char *segment[4])
{
    int n = 0;
    const char *p = path;
    while (*p == '/' && n < 4) {
        const char *end = strchrnul(++p, '/');
        if (p == end && *end == '\0')
            break;
        /* %2F in a segment would be a slash that is none, and %00 an end that is none. */
        segment[n] = g_uri_unescape_segment(p, end, "/");
        if (!segment[n])
            return -1;
        n++;
        p = end;
    }
    return *p == '\0' || n == 0 ? n : 4;
}

/* *id: allocated, for ROUTE_SESSION and ROUTE_FILE. */
static enum route find_route(const struct whep_server *s, const char *path, char **id)
{
    char *segment[4] = {NULL};
    enum route route = ROUTE_NONE;
    int n = split_path(path, segment), at = 0;
    if (n >= 0 && s->token[0]) {
        const char *given = n > 0 ? segment[0] : "";
        if (token_equal(given, strlen(given), s->token, strlen(s->token)))
            at = 1;
        else
            n = -1;
    }
    if (n == at) {
        route = ROUTE_ROOT;
    } else if (n > at && strcmp(segment[at], "whep") == 0) {
        if (n == at + 1) {
            route = ROUTE_WHEP;
        } else if (n == at + 2 && token_valid(segment[at + 1])) {
            route = ROUTE_SESSION;
            *id = g_strdup(segment[at + 1]);
        }
    } else if (n == at + 2 && strcmp(segment[at], "static") == 0 && segment[at + 1][0]) {
        route = ROUTE_FILE;
        *id = g_strdup(segment[at + 1]);
    }
    for (int i = 0; i < 4; i++)
        g_free(segment[i]);
    return route;
}

static const char *allowed(enum route route)
{
    switch (route) {
    case ROUTE_ROOT:
        return "GET, HEAD, POST, OPTIONS";
    case ROUTE_WHEP:
        return "POST, OPTIONS";
    case ROUTE_FILE:
        return "GET, HEAD, OPTIONS";
    default:
        return "PATCH, DELETE, OPTIONS";
    }
}

static void handle_options(struct whep_server *s, SoupServerMessage *msg, enum route route)
{
    header(msg, "Allow", allowed(route));
    header(msg, "Access-Control-Allow-Methods", allowed(route));
    header(msg, "Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match");
    header(msg, "Access-Control-Max-Age", "86400");
    if (route == ROUTE_SESSION)
        header(msg, "Accept-Patch", frag_type);
    else if (route != ROUTE_FILE)
        header(msg, "Accept-Post", sdp_type);
    link_headers(s, msg);
    respond(msg, SOUP_STATUS_NO_CONTENT, NULL, NULL, 0);
}

static bool has_type(SoupServerMessage *msg, const char *wanted)
{
    const char *type = soup_message_headers_get_content_type(
        soup_server_message_get_request_headers(msg), NULL);
    return type && g_ascii_strcasecmp(type, wanted) == 0;
}

static GBytes *body_of(SoupServerMessage *msg)
{
    return soup_message_body_flatten(soup_server_message_get_request_body(msg));
}

static void handle_offer(struct whep_server *s, SoupServerMessage *msg)
{
    if (!has_type(msg, sdp_type)) {
        header(msg, "Accept-Post", sdp_type);
        respond_text(msg, SOUP_STATUS_UNSUPPORTED_MEDIA_TYPE,
                     "the body must be an offer, of type application/sdp");
        return;
    }
    GBytes *body = body_of(msg);
    gsize len;
    const char *text = g_bytes_get_data(body, &len);
    if (len == 0) {
        respond_text(msg, SOUP_STATUS_BAD_REQUEST, "the body is empty; it must be an offer");
    } else {
        const char *query = g_uri_get_query(soup_server_message_get_uri(msg));
        struct whep_request *req = request_new(s, msg);
        s->config.on_offer(s->config.ctx, req, text, len, query ? query : "");
        handler_returned(req);
    }
    g_bytes_unref(body);
}

/* "abc" (with quotes) to abc; "*" stays. RFC 9110 section 13.1.1 compares strongly, so that a weak
 * tag never matches: it is handed on as it is. */
static char *if_match_of(SoupServerMessage *msg)
{
    const char *value = soup_message_headers_get_one(
        soup_server_message_get_request_headers(msg), "If-Match");
    if (!value)
        return NULL;
    char *tag = g_strstrip(g_strdup(value));
    size_t n = strlen(tag);
    if (n >= 2 && tag[0] == '"' && tag[n - 1] == '"') {
        memmove(tag, tag + 1, n - 2);
        tag[n - 2] = '\0';
    }
    return tag;
}

static void handle_patch(struct whep_server *s, SoupServerMessage *msg, const char *id)
{
    if (!has_type(msg, frag_type)) {
        header(msg, "Accept-Patch", frag_type);
        respond_text(msg, SOUP_STATUS_UNSUPPORTED_MEDIA_TYPE,
                     "the body must be of type application/trickle-ice-sdpfrag");
        return;
    }
    char *if_match = if_match_of(msg);
    if (!if_match || !if_match[0]) {
        respond_text(msg, 428, "If-Match is missing: the session's ETag, or * to restart ICE");
    } else {
        GBytes *body = body_of(msg);
        gsize len;
        const char *text = g_bytes_get_data(body, &len);
        struct whep_request *req = request_new(s, msg);
        s->config.on_patch(s->config.ctx, req, id, if_match, text ? text : "", len);
        handler_returned(req);
        g_bytes_unref(body);
    }
    g_free(if_match);
}

/* The page, or one of its files. For HEAD libsoup sends the length and leaves the body out. */
static void handle_get(struct whep_server *s, SoupServerMessage *msg, enum route route,
                       const char *name)
{
    GUri *uri = soup_server_message_get_uri(msg);
    const char *path = g_uri_get_path(uri), *query = g_uri_get_query(uri);
    const struct web_file *f =
        web_file_find(s->config.files, s->config.file_count, route == ROUTE_FILE ? name : "");
    if (f && route == ROUTE_ROOT && !g_str_has_suffix(path, "/")) {
        /* Relative, for a proxy that serves us below a path of its own. */
        char *location = g_strdup_printf("%s/%s%s", s->token, query ? "?" : "", query ? query : "");
        header(msg, "Location", location);
        respond_text(msg, SOUP_STATUS_FOUND, "the page is here, with a slash at the end");
        g_free(location);
    } else if (f) {
        web_file_respond(msg, f);
        http_guard_writing(msg);
    } else if (route == ROUTE_ROOT && s->page) {
        respond(msg, SOUP_STATUS_OK, s->page_type, s->page, strlen(s->page));
    } else {
        respond_not_found(msg);
    }
}

static void handle_route(struct whep_server *s, SoupServerMessage *msg, enum route route,
                         const char *id)
{
    const char *method = soup_server_message_get_method(msg);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (route == ROUTE_NONE) {
        respond_not_found(msg);
    } else if (strcmp(method, "OPTIONS") == 0) {
        handle_options(s, msg, route);
    } else if ((route == ROUTE_ROOT || route == ROUTE_FILE) && get) {
        handle_get(s, msg, route, id);
    } else if ((route == ROUTE_ROOT || route == ROUTE_WHEP) && strcmp(method, "POST") == 0) {
        handle_offer(s, msg);
    } else if (route == ROUTE_SESSION && strcmp(method, "PATCH") == 0) {
        handle_patch(s, msg, id);
    } else if (route == ROUTE_SESSION && strcmp(method, "DELETE") == 0) {
        struct whep_request *req = request_new(s, msg);
        s->config.on_delete(s->config.ctx, req, id);
        handler_returned(req);
    } else {
        header(msg, "Allow", allowed(route));
        respond_text(msg, SOUP_STATUS_METHOD_NOT_ALLOWED, "this method does not apply here");
    }
}

static void on_message(SoupServer *soup, SoupServerMessage *msg, const char *path,
                       GHashTable *query, gpointer data)
{
    (void)soup;
    (void)query;
    (void)path;
    struct whep_server *s = data;
    common_headers(msg);
    if (http_guard_too_large(msg)) {
        respond_too_large(msg);
        return;
    }
    char *id = NULL;
    enum route route =
        find_route(s, g_uri_get_path(soup_server_message_get_uri(msg)), &id);
    handle_route(s, msg, route, id);
    g_free(id);
}

/* Before the body: with Expect: 100-continue, one that is too long need not come at all. */
static void on_early_message(SoupServer *soup, SoupServerMessage *msg, const char *path,
                             GHashTable *query, gpointer data)
{
    (void)soup;
    (void)path;
    (void)query;
    (void)data;
    if (!http_guard_too_large(msg))
        return;
    common_headers(msg);
    respond_too_large(msg);
}

/* ---- the server ---- */

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection,
                            GObject *source, gpointer data)
{
    (void)service;
    (void)source;
    struct whep_server *s = data;
    GSocketAddress *local = g_socket_connection_get_local_address(connection, NULL);
    GSocketAddress *remote = g_socket_connection_get_remote_address(connection, NULL);
    GSocket *socket = g_socket_connection_get_socket(connection);
    GIOStream *stream = NULL;
    GError *error = NULL;
    if (!local || !remote || !http_guard_admit(s->guard, socket, remote))
        goto done; /* dropping the last reference closes it */
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
    if (s->certificate) {
        /* The handshake happens in libsoup's first read, under the guard's header timeout. */
        stream = g_tls_server_connection_new(G_IO_STREAM(connection), s->certificate, &error);
        if (stream)
            g_tls_connection_set_require_close_notify(G_TLS_CONNECTION(stream), FALSE);
    } else {
        stream = g_object_ref(G_IO_STREAM(connection));
    }
    if (!stream || !soup_server_accept_iostream(s->soup, stream, local, remote, &error))
        LOG_RATE(signal, LOG_LEVEL_WARN, "a connection could not be served: %s",
                 error ? error->message : "?");
done:
    g_clear_error(&error);
    g_clear_object(&stream);
    g_clear_object(&local);
    g_clear_object(&remote);
    return TRUE;
}

static int load_certificate(struct whep_server *s, const char *cert, const char *key)
{
    GError *error = NULL;
    s->certificate = key ? g_tls_certificate_new_from_files(cert, key, &error)
                         : g_tls_certificate_new_from_file(cert, &error);
    if (s->certificate)
        return 0;
    int code = error_set(ERR_INVALID, "the certificate %s (key %s) cannot be used: %s", cert,
                         key ? key : "in the same file", error->message);
    g_error_free(error);
    return code;
}

static int open_server(struct whep_server *s, const struct whep_server_config *config)
{
    if (config->tls_cert) {
        int error = load_certificate(s, config->tls_cert, config->tls_key);
        if (error)
            return error;
    }
    GInetSocketAddress *bound = NULL;
    int error = http_listen_open(&s->service, &bound, config->listen);
    if (error)
        return error;
    char *host = http_listen_host(bound);
    s->port = g_inet_socket_address_get_port(bound);
    s->url = g_strdup_printf("%s://%s:%d/%s", s->certificate ? "https" : "http", host, s->port,
                             s->token);
    g_free(host);
    g_object_unref(bound);

    /* raw-paths: find_route decodes, segment by segment. */
    s->soup = g_object_new(SOUP_TYPE_SERVER, "raw-paths", TRUE, NULL);
    /* libsoup answers 400 to a request whose scheme is not its own idea of the connection's. */
    if (s->certificate)
        soup_server_set_tls_certificate(s->soup, s->certificate);
    soup_server_add_early_handler(s->soup, NULL, on_early_message, s, NULL);
    soup_server_add_handler(s->soup, NULL, on_message, s, NULL);

    struct http_limits limits;
    http_limits_default(&limits);
    s->guard = http_guard_new(s->loop, s->soup, config->limits ? config->limits : &limits);
    if (!s->guard)
        return error_set(ERR_IO, "no timer for the HTTP server could be made");
    g_signal_connect(s->service, "incoming", G_CALLBACK(on_incoming), s);
    g_socket_service_start(s->service);
    return 0;
}

int whep_server_new(struct whep_server **out, const struct whep_server_config *config)
{
    *out = NULL;
    if (config->token && config->token[0] && !token_valid(config->token))
        return error_set(ERR_INVALID, "the token may have letters, digits and - . _ ~ alone, at "
                                      "most 128; choose another with --token");
    struct whep_server *s = g_new0(struct whep_server, 1);
    s->loop = config->loop;
    s->config = *config;
    s->token = g_strdup(config->token ? config->token : "");
    s->page = config->page;
    s->page_type = config->page_type ? config->page_type : "text/html; charset=utf-8";
    s->links = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < config->ice_server_link_count; i++)
        g_ptr_array_add(s->links, g_strdup(config->ice_server_links[i]));

    /* Sockets watch the context that is the thread's default when they are made. */
    GMainContext *context = loop_context(s->loop);
    g_main_context_push_thread_default(context);
    int error = open_server(s, config);
    g_main_context_pop_thread_default(context);
    if (error) {
        whep_server_free(&s);
        return error;
    }
    *out = s;
    return 0;
}

void whep_server_free(struct whep_server **server)
{
    struct whep_server *s = *server;
    if (!s)
        return;
    if (s->service) {
        g_socket_service_stop(s->service);
        g_socket_listener_close(G_SOCKET_LISTENER(s->service));
        g_signal_handlers_disconnect_by_data(s->service, s);
        g_object_unref(s->service);
    }
    while (s->requests)
        request_detach(s->requests);
    http_guard_free(&s->guard);
    if (s->soup) {
        soup_server_disconnect(s->soup);
        g_object_unref(s->soup);
    }
    g_clear_object(&s->certificate);
    g_ptr_array_unref(s->links);
    g_free(s->token);
    g_free(s->url);
    g_free(s);
    *server = NULL;
}

const char *whep_server_url(const struct whep_server *s) { return s->url; }

int whep_server_port(const struct whep_server *s) { return s->port; }
