#include "signal/http_listen.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* "ADDR:PORT", "[v6]:PORT", ":PORT", "PORT", "localhost:PORT" */
static GSocketAddress *parse_address(const char *text)
{
    char host[128] = "0.0.0.0";
    const char *port = text, *colon = strrchr(text, ':');
    if (colon) {
        const char *start = text;
        size_t n = (size_t)(colon - text);
        if (text[0] == '[' && n >= 2 && text[n - 1] == ']') {
            start++;
            n -= 2;
        } else if (memchr(text, ':', n)) {
            return NULL; /* IPv6 without brackets: where does it end? */
        }
        if (n >= sizeof host)
            return NULL;
        if (n > 0) {
            memcpy(host, start, n);
            host[n] = '\0';
        }
        port = colon + 1;
    }
    char *end;
    size_t digits = strspn(port, "0123456789");
    unsigned long number = strtoul(port, &end, 10);
    if (digits == 0 || digits > 5 || *end != '\0' || number > 65535)
        return NULL;
    const char *literal = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    return g_inet_socket_address_new_from_string(literal, (guint)number);
}

static int listen_error(const char *text, GInetSocketAddress *address, const GError *error)
{
    int port = g_inet_socket_address_get_port(address);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
        return error_set(ERR_IO, "port %d is taken; choose another with --listen ADDR:PORT", port);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
        return error_set(ERR_IO,
                         "port %d is for the administrator alone; choose one above 1023 with "
                         "--listen ADDR:PORT", port);
    return error_set(ERR_IO, "cannot listen on %s: %s; choose an address of this machine with "
                     "--listen ADDR:PORT", text, error->message);
}

static gboolean bind_service(GSocketService *service, GSocketAddress *address,
                             GInetSocketAddress **bound, GError **error)
{
    GSocketAddress *effective = NULL;
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_TCP, NULL, &effective, error))
        return FALSE;
    *bound = G_INET_SOCKET_ADDRESS(effective);
    return TRUE;
}

int http_listen_open(GSocketService **out, GInetSocketAddress **bound, const char *text)
{
    GSocketAddress *address = text ? parse_address(text)
                                   : g_inet_socket_address_new_from_string("0.0.0.0",
                                                                           HTTP_DEFAULT_PORT);
    if (!address)
        return error_set(ERR_INVALID,
                         "\"%s\" is no address to listen on; write ADDR:PORT, for example "
                         "127.0.0.1:8554 or [::]:8554", text);
    GSocketService *service = g_socket_service_new();
    g_socket_service_stop(service);
    g_socket_listener_set_backlog(G_SOCKET_LISTENER(service), 512);

    GError *error = NULL;
    gboolean ok = bind_service(service, address, bound, &error);
    for (int i = 1; !ok && !text && i < HTTP_DEFAULT_PORT_TRIES &&
                    g_error_matches(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE); i++) {
        g_clear_error(&error);
        g_object_unref(address);
        address = g_inet_socket_address_new_from_string("0.0.0.0", (guint)(HTTP_DEFAULT_PORT + i));
        ok = bind_service(service, address, bound, &error);
    }
    int code = 0;
    if (ok) {
        *out = service;
    } else {
        code = listen_error(text ? text : "0.0.0.0", G_INET_SOCKET_ADDRESS(address), error);
        g_object_unref(service);
        g_clear_error(&error);
    }
    g_object_unref(address);
    return code;
}

/* The address that the system would send from: connecting a UDP socket asks the routing table and
 * sends nothing. NULL: no route. The targets are documentation addresses (RFC 5737, 3849). */
static GInetAddress *route_address(GSocketFamily family)
{
    GInetAddress *found = NULL;
    GSocket *s = g_socket_new(family, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, NULL);
    if (!s)
        return NULL;
    GSocketAddress *far = g_inet_socket_address_new_from_string(
        family == G_SOCKET_FAMILY_IPV4 ? "192.0.2.1" : "2001:db8::1", 9);
    if (g_socket_connect(s, far, NULL, NULL)) {
        GSocketAddress *local = g_socket_get_local_address(s, NULL);
        if (local) {
            found = g_object_ref(
                g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(local)));
            g_object_unref(local);
        }
    }
    g_object_unref(far);
    g_object_unref(s);
    return found;
}

char *http_listen_host(GInetSocketAddress *bound)
{
    GInetAddress *address = g_object_ref(g_inet_socket_address_get_address(bound));
    if (g_inet_address_get_is_any(address)) {
        GSocketFamily family = g_inet_address_get_family(address);
        g_object_unref(address);
        address = route_address(G_SOCKET_FAMILY_IPV4); /* "::" takes IPv4 as well */
        if (!address && family == G_SOCKET_FAMILY_IPV6)
            address = route_address(G_SOCKET_FAMILY_IPV6);
        if (!address)
            address = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    }
    char *text = g_inet_address_to_string(address);
    if (g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV6) {
        char *bracketed = g_strdup_printf("[%s]", text);
        g_free(text);
        text = bracketed;
    }
    g_object_unref(address);
    return text;
}
