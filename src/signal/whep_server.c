#include "signal/whep_server.h"

#include "base/error.h"
#include "base/log.h"
#include "signal/http_guard.h"
#include "signal/http_listen.h"
#include "signal/http_tls.h"
#include "signal/token.h"
#include "signal/whep_internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

static void serve_stream(void *ctx, GIOStream *stream, GSocketAddress *local,
                         GSocketAddress *remote)
{
    struct whep_server *s = ctx;
    GError *error = NULL;
    /* libsoup 3.2 keeps a connection open only when it has a listener of its own, and then never
     * lets go of one whose client leaves between two requests: so each response closes. */
    if (!soup_server_accept_iostream(s->soup, stream, local, remote, &error))
        LOG_RATE(signal, LOG_LEVEL_WARN, "a connection could not be served: %s", error->message);
    g_clear_error(&error);
}

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection,
                            GObject *source, gpointer data)
{
    (void)service;
    (void)source;
    struct whep_server *s = data;
    GSocketAddress *local = g_socket_connection_get_local_address(connection, NULL);
    GSocketAddress *remote = g_socket_connection_get_remote_address(connection, NULL);
    GSocket *socket = g_socket_connection_get_socket(connection);
    /* Refused: dropping the last reference closes it. */
    if (local && remote && http_guard_admit(s->guard, socket, remote)) {
        g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
        if (s->tls)
            http_tls_accept(s->tls, connection, local, remote);
        else
            serve_stream(s, G_IO_STREAM(connection), local, remote);
    }
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
    s->url = g_strdup_printf("%s://%s:%d/%s%s%s", s->certificate ? "https" : "http", host, s->port,
                             s->token, config->tls_pin ? "#sha256=" : "",
                             config->tls_pin ? config->tls_pin : "");
    g_free(host);
    g_object_unref(bound);

    /* raw-paths: find_route decodes, segment by segment. */
    s->soup = g_object_new(SOUP_TYPE_SERVER, "raw-paths", TRUE, NULL);
    /* libsoup answers 400 to a request whose scheme is not its own idea of the connection's. */
    if (s->certificate)
        soup_server_set_tls_certificate(s->soup, s->certificate);
    soup_server_add_early_handler(s->soup, NULL, whep_on_early_message, s, NULL);
    soup_server_add_handler(s->soup, NULL, whep_on_message, s, NULL);

    struct http_limits limits;
    http_limits_default(&limits);
    s->guard = http_guard_new(s->loop, s->soup, config->limits ? config->limits : &limits);
    if (!s->guard)
        return error_set(ERR_IO, "no timer for the HTTP server could be made");
    if (s->certificate)
        s->tls = http_tls_new(s->loop, s->guard, s->certificate, serve_stream, s);
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
        whep_request_detach(s->requests);
    http_tls_free(&s->tls);
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
