/* http_listen: where the HTTP server listens, and the address to tell people. Network thread. */
#ifndef HEVCAST_SIGNAL_HTTP_LISTEN_H
#define HEVCAST_SIGNAL_HTTP_LISTEN_H

#include <gio/gio.h>

enum { HTTP_DEFAULT_PORT = 8554, HTTP_DEFAULT_PORT_TRIES = 100 };

/* Binds `listen` as whep_server_config has it on a new service (not started: connect "incoming",
 * then g_socket_service_start). The thread's default context must be the loop's.
 * ERR_INVALID, ERR_IO with a sentence. */
int http_listen_open(GSocketService **out, GInetSocketAddress **bound, const char *listen);
/* The host part of an address for people: the bound one, or the default route's when it is
 * 0.0.0.0 or ::, or 127.0.0.1 without a route. IPv6 in brackets. Caller frees with g_free. */
char *http_listen_host(GInetSocketAddress *bound);

#endif
