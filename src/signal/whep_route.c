/* The addresses of the WHEP server, and what each method does there. */
#include "signal/http_guard.h"
#include "signal/token.h"
#include "signal/web_page.h"
#include "signal/whep_internal.h"

#include <string.h>

enum route { ROUTE_NONE, ROUTE_ROOT, ROUTE_WHEP, ROUTE_SESSION, ROUTE_FILE };

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
    whep_header(msg, "Allow", allowed(route));
    whep_header(msg, "Access-Control-Allow-Methods", allowed(route));
    whep_header(msg, "Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match");
    whep_header(msg, "Access-Control-Max-Age", "86400");
    if (route == ROUTE_SESSION)
        whep_header(msg, "Accept-Patch", WHEP_FRAG_TYPE);
    else if (route != ROUTE_FILE)
        whep_header(msg, "Accept-Post", WHEP_SDP_TYPE);
    whep_link_headers(s, msg);
    /* For the page's link: a script cannot see the certificate that `view` has to be told. */
    const char *pin = strchr(s->url, '#');
    if (pin)
        whep_header(msg, "Hevcast-Certificate", pin + 1);
    whep_respond(msg, SOUP_STATUS_NO_CONTENT, NULL, NULL, 0);
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
    if (!has_type(msg, WHEP_SDP_TYPE)) {
        whep_header(msg, "Accept-Post", WHEP_SDP_TYPE);
        whep_respond_text(msg, SOUP_STATUS_UNSUPPORTED_MEDIA_TYPE,
                     "the body must be an offer, of type application/sdp");
        return;
    }
    GBytes *body = body_of(msg);
    gsize len;
    const char *text = g_bytes_get_data(body, &len);
    if (len == 0) {
        whep_respond_text(msg, SOUP_STATUS_BAD_REQUEST, "the body is empty; it must be an offer");
    } else {
        const char *query = g_uri_get_query(soup_server_message_get_uri(msg));
        struct whep_request *req = whep_request_new(s, msg);
        s->config.on_offer(s->config.ctx, req, text, len, query ? query : "");
        whep_request_handled(req);
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
    if (!has_type(msg, WHEP_FRAG_TYPE)) {
        whep_header(msg, "Accept-Patch", WHEP_FRAG_TYPE);
        whep_respond_text(msg, SOUP_STATUS_UNSUPPORTED_MEDIA_TYPE,
                     "the body must be of type application/trickle-ice-sdpfrag");
        return;
    }
    char *if_match = if_match_of(msg);
    if (!if_match || !if_match[0]) {
        whep_respond_text(msg, 428, "If-Match is missing: the session's ETag, or * to restart ICE");
    } else {
        GBytes *body = body_of(msg);
        gsize len;
        const char *text = g_bytes_get_data(body, &len);
        struct whep_request *req = whep_request_new(s, msg);
        s->config.on_patch(s->config.ctx, req, id, if_match, text ? text : "", len);
        whep_request_handled(req);
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
        whep_header(msg, "Location", location);
        whep_respond_text(msg, SOUP_STATUS_FOUND, "the page is here, with a slash at the end");
        g_free(location);
    } else if (f) {
        web_file_respond(msg, f);
        http_guard_writing(msg);
    } else if (route == ROUTE_ROOT && s->page) {
        whep_respond(msg, SOUP_STATUS_OK, s->page_type, s->page, strlen(s->page));
    } else {
        whep_respond_not_found(msg);
    }
}

static void handle_route(struct whep_server *s, SoupServerMessage *msg, enum route route,
                         const char *id)
{
    const char *method = soup_server_message_get_method(msg);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (route == ROUTE_NONE) {
        whep_respond_not_found(msg);
    } else if (strcmp(method, "OPTIONS") == 0) {
        handle_options(s, msg, route);
    } else if ((route == ROUTE_ROOT || route == ROUTE_FILE) && get) {
        handle_get(s, msg, route, id);
    } else if ((route == ROUTE_ROOT || route == ROUTE_WHEP) && strcmp(method, "POST") == 0) {
        handle_offer(s, msg);
    } else if (route == ROUTE_SESSION && strcmp(method, "PATCH") == 0) {
        handle_patch(s, msg, id);
    } else if (route == ROUTE_SESSION && strcmp(method, "DELETE") == 0) {
        struct whep_request *req = whep_request_new(s, msg);
        s->config.on_delete(s->config.ctx, req, id);
        whep_request_handled(req);
    } else {
        whep_header(msg, "Allow", allowed(route));
        whep_respond_text(msg, SOUP_STATUS_METHOD_NOT_ALLOWED, "this method does not apply here");
    }
}

void whep_on_message(SoupServer *soup, SoupServerMessage *msg, const char *path,
                       GHashTable *query, gpointer data)
{
    (void)soup;
    (void)query;
    (void)path;
    struct whep_server *s = data;
    whep_common_headers(msg);
    if (http_guard_too_large(msg)) {
        whep_respond_too_large(msg);
        return;
    }
    char *id = NULL;
    enum route route =
        find_route(s, g_uri_get_path(soup_server_message_get_uri(msg)), &id);
    handle_route(s, msg, route, id);
    g_free(id);
}

void whep_on_early_message(SoupServer *soup, SoupServerMessage *msg, const char *path,
                             GHashTable *query, gpointer data)
{
    (void)soup;
    (void)path;
    (void)query;
    (void)data;
    if (!http_guard_too_large(msg))
        return;
    whep_common_headers(msg);
    whep_respond_too_large(msg);
}
