#include "signal/http_guard.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

enum phase {
    PHASE_WAIT,   /* for a request's header: idle, from outside */
    PHASE_BODY,
    PHASE_HANDLE, /* a handler thinks: its own affair */
    PHASE_WRITE,
};

/* Lives as long as the GSocketAddress that it hangs on, which every message of the connection can
 * tell; it is in the guard's list until the socket is gone. Net thread alone, but for the end: a
 * thread of GLib that did a TLS handshake may hold the last reference of either. */
struct connection {
    struct http_guard *guard; /* NULL: not in a list any more */
    struct connection *next, *prev; /* oldest first */
    GWeakRef socket;
    GMainContext *_Atomic context; /* the net thread's; owns a reference until it is released */
    atomic_bool released;
    char address[64];
    enum phase phase;
    int64_t deadline_us;
    int requests;
    size_t body_bytes;
    bool too_large, cut;
};

struct http_guard {
    struct http_limits limits;
    SoupServer *server; /* borrows */
    GMainContext *context; /* owns a reference; the net thread's */
    gulong started_handler;
    struct loop_timer *timer;
    int64_t timer_us;
    struct connection *first, *last;
    int count;
};

static const char connection_key[] = "hevcast-connection";

void http_limits_default(struct http_limits *l)
{
    *l = (struct http_limits){.connections = 1200, .per_address = 64, .header_us = 10000000,
                              .handshake_us = 5000000, .idle_us = 30000000,
                              .body_us = 10000000, .write_us = 30000000,
                              .body_bytes = 65536, .discard_bytes = 1 << 20};
    /* The viewers' UDP sockets need files too. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < (rlim_t)l->connections)
        l->connections = files.rlim_cur / 2 > 16 ? (int)(files.rlim_cur / 2) : 16;
}

static struct connection *connection_of(SoupServerMessage *msg)
{
    GSocketAddress *remote = soup_server_message_get_remote_address(msg);
    return remote ? g_object_get_data(G_OBJECT(remote), connection_key) : NULL;
}

static void unlink_connection(struct connection *c)
{
    struct http_guard *g = c->guard;
    if (!g)
        return;
    *(c->prev ? &c->prev->next : &g->first) = c->next;
    *(c->next ? &c->next->prev : &g->last) = c->prev;
    g->count--;
    c->guard = NULL;
}

static void connection_free(gpointer data)
{
    struct connection *c = data;
    if (!atomic_load(&c->released))
        g_main_context_unref(c->context);
    unlink_connection(c);
    g_weak_ref_clear(&c->socket);
    g_free(c);
}

static gboolean once(gpointer data)
{
    (void)data;
    return G_SOURCE_REMOVE;
}

/* On any thread. The list is the net thread's: what ends elsewhere is freed there, or with the
 * context, when that is not run any more. */
static void connection_release(gpointer data)
{
    struct connection *c = data;
    GMainContext *context = atomic_load(&c->context);
    if (g_main_context_is_owner(context)) {
        connection_free(c);
        return;
    }
    atomic_store(&c->released, true); /* all that was done with it here comes before */
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, once, c, connection_free);
    g_source_attach(source, context);
    g_source_unref(source);
    g_main_context_unref(context); /* c would keep it for ever otherwise: it holds the source */
}

/* Those whose socket is gone. */
static void prune(struct http_guard *g)
{
    for (struct connection *c = g->first, *next; c; c = next) {
        next = c->next;
        GSocket *socket = g_weak_ref_get(&c->socket);
        if (!socket)
            unlink_connection(c);
        g_clear_object(&socket);
    }
}

static void set_phase(struct connection *c, enum phase phase, int64_t timeout_us)
{
    if (!c || !c->guard)
        return;
    struct http_guard *g = c->guard;
    c->phase = phase;
    c->deadline_us = timeout_us > 0 ? clock_now_us() + timeout_us : INT64_MAX;
    if (c->deadline_us < g->timer_us) {
        g->timer_us = c->deadline_us;
        loop_timer_set(g->timer, g->timer_us);
    }
}

/* Makes libsoup's next read or write end; it then closes the connection itself. */
static void cut(struct connection *c)
{
    GSocket *socket = c->cut ? NULL : g_weak_ref_get(&c->socket);
    if (!socket)
        return;
    c->cut = true;
    g_socket_shutdown(socket, TRUE, TRUE, NULL);
    g_object_unref(socket); /* the last one: c may be gone */
}

static void on_timer(void *ctx)
{
    struct http_guard *g = ctx;
    int64_t now_us = clock_now_us(), next_us = INT64_MAX;
    prune(g);
    for (struct connection *c = g->first, *next; c; c = next) {
        next = c->next;
        if (c->cut)
            continue;
        if (c->deadline_us <= now_us) {
            LOG_RATE(signal, LOG_LEVEL_DEBUG, "an HTTP connection from %s took too long",
                     c->address);
            cut(c);
        } else if (c->deadline_us < next_us) {
            next_us = c->deadline_us;
        }
    }
    g->timer_us = next_us;
    loop_timer_set(g->timer, next_us);
}

/* The header is whole: the body's time runs. libsoup's own got-headers handler, which asks the
 * early handlers, runs before ours, hence http_guard_too_large calls this too. */
static void header_done(SoupServerMessage *msg, struct connection *c)
{
    if (!c->guard || c->phase != PHASE_WAIT)
        return;
    c->body_bytes = 0;
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(msg);
    c->too_large = soup_message_headers_get_encoding(headers) == SOUP_ENCODING_CONTENT_LENGTH &&
                   (uint64_t)soup_message_headers_get_content_length(headers) >
                       c->guard->limits.body_bytes;
    if (c->too_large)
        soup_message_body_set_accumulate(soup_server_message_get_request_body(msg), FALSE);
    set_phase(c, PHASE_BODY, c->guard->limits.body_us);
}

static void on_got_headers(SoupServerMessage *msg, gpointer data)
{
    (void)data;
    struct connection *c = connection_of(msg);
    if (c)
        header_done(msg, c);
}

static void on_got_chunk(SoupServerMessage *msg, GBytes *chunk, gpointer data)
{
    (void)data;
    struct connection *c = connection_of(msg);
    if (!c || !c->guard)
        return;
    c->body_bytes += g_bytes_get_size(chunk);
    if (c->body_bytes <= c->guard->limits.body_bytes)
        return;
    c->too_large = true;
    soup_message_body_set_accumulate(soup_server_message_get_request_body(msg), FALSE);
    if (c->body_bytes > c->guard->limits.discard_bytes)
        cut(c);
}

static void on_got_body(SoupServerMessage *msg, gpointer data)
{
    (void)data;
    set_phase(connection_of(msg), PHASE_HANDLE, 0);
}

/* libsoup begins a message when a connection is accepted, and another after each response. */
static void on_request_started(SoupServer *server, SoupServerMessage *msg, gpointer data)
{
    (void)server;
    (void)data;
    struct connection *c = connection_of(msg);
    if (!c || !c->guard)
        return;
    struct http_limits *l = &c->guard->limits;
    c->too_large = false;
    set_phase(c, PHASE_WAIT, c->requests++ == 0 ? l->header_us : l->idle_us);
    g_signal_connect(msg, "got-headers", G_CALLBACK(on_got_headers), NULL);
    g_signal_connect(msg, "got-chunk", G_CALLBACK(on_got_chunk), NULL);
    g_signal_connect(msg, "got-body", G_CALLBACK(on_got_body), NULL);
}

struct http_guard *http_guard_new(struct loop *loop, SoupServer *server,
                                  const struct http_limits *limits)
{
    struct http_guard *g = g_new0(struct http_guard, 1);
    g->limits = *limits;
    g->server = server;
    g->timer_us = INT64_MAX;
    g->timer = loop_timer_new(loop, on_timer, g);
    if (!g->timer) {
        g_free(g);
        return NULL;
    }
    g->context = g_main_context_ref(loop_context(loop));
    g->started_handler =
        g_signal_connect(server, "request-started", G_CALLBACK(on_request_started), NULL);
    return g;
}

void http_guard_free(struct http_guard **guard)
{
    struct http_guard *g = *guard;
    if (!g)
        return;
    g_signal_handler_disconnect(g->server, g->started_handler);
    while (g->first)
        unlink_connection(g->first);
    loop_timer_free(&g->timer);
    g_main_context_unref(g->context);
    g_free(g);
    *guard = NULL;
}

/* The oldest connection that only waits, of one address (NULL: of any). */
static bool evict(struct http_guard *g, const char *address)
{
    for (struct connection *c = g->first; c; c = c->next) {
        if (c->cut || c->phase != PHASE_WAIT || (address && strcmp(c->address, address) != 0))
            continue;
        cut(c);
        return true;
    }
    return false;
}

bool http_guard_admit(struct http_guard *g, GSocket *socket, GSocketAddress *remote)
{
    char address[64] = "";
    if (G_IS_INET_SOCKET_ADDRESS(remote)) {
        char *text = g_inet_address_to_string(
            g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(remote)));
        g_strlcpy(address, text, sizeof address);
        g_free(text);
    }
    int all = 0, same = 0; /* those that were cut are about to go */
    prune(g);
    for (struct connection *c = g->first; c; c = c->next) {
        all += !c->cut;
        same += !c->cut && strcmp(c->address, address) == 0;
    }
    bool room = true;
    if (same >= g->limits.per_address)
        room = evict(g, address);
    else if (all >= g->limits.connections)
        room = evict(g, NULL);
    if (!room || g->count >= 2 * g->limits.connections) {
        LOG_RATE(signal, LOG_LEVEL_WARN, "too many HTTP connections: one from %s was refused",
                 address);
        return false;
    }
    struct connection *c = g_new0(struct connection, 1);
    c->guard = g;
    g_weak_ref_init(&c->socket, socket);
    memcpy(c->address, address, sizeof address);
    c->prev = g->last;
    *(g->last ? &g->last->next : &g->first) = c;
    g->last = c;
    g->count++;
    atomic_store(&c->context, g_main_context_ref(g->context)); /* last: whole for other threads */
    g_object_set_data_full(G_OBJECT(remote), connection_key, c, connection_release);
    set_phase(c, PHASE_WAIT, g->limits.header_us);
    return true;
}

void http_guard_handshaking(struct http_guard *g, GSocketAddress *remote)
{
    set_phase(g_object_get_data(G_OBJECT(remote), connection_key), PHASE_WAIT,
              g->limits.handshake_us);
}

bool http_guard_too_large(SoupServerMessage *msg)
{
    struct connection *c = connection_of(msg);
    if (c)
        header_done(msg, c);
    return c && c->too_large;
}

void http_guard_writing(SoupServerMessage *msg)
{
    struct connection *c = connection_of(msg);
    if (c && c->guard)
        set_phase(c, PHASE_WRITE, c->guard->limits.write_us);
}

int http_guard_connections(struct http_guard *g)
{
    prune(g);
    return g->count;
}
