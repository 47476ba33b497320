#include "signal/http_tls.h"

#include "base/bytes.h"
#include "base/log.h"
#include "signal/http_guard.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AT_ONCE = 12,       /* GLib's pool begins with 10 threads, and grows slowly */
    AT_ONCE_OF_ONE = 4, /* address; a browser opens six connections */
    RECORD_HEADER = 5,  /* RFC 8446 section 5.1 */
    RECORD_MAX = 16384,
    TYPE_HANDSHAKE = 22,
};

enum stage { STAGE_HELLO, STAGE_QUEUED, STAGE_HANDSHAKE };

struct arrival {
    struct http_tls *owner; /* NULL: given up */
    struct loop *loop;
    struct arrival *next, *prev; /* oldest first */
    enum stage stage;
    GSocketConnection *connection;
    GSocketAddress *local, *remote;
    GSource *readable;
    GIOStream *stream;
    GCancellable *cancel;
};

struct http_tls {
    struct loop *loop;
    struct http_guard *guard;
    GTlsCertificate *certificate;
    http_tls_ready_fn *ready;
    void *ctx;
    struct arrival *first, *last;
};

static const char plain_answer[] =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Connection: close\r\n"
    "Content-Length: 69\r\n"
    "\r\n"
    "this share speaks https: the address must begin with https, not http\n";

static void stop_reading(struct arrival *a)
{
    if (!a->readable)
        return;
    g_source_destroy(a->readable);
    g_source_unref(a->readable);
    a->readable = NULL;
}

static void arrival_unlink(struct arrival *a)
{
    struct http_tls *t = a->owner;
    if (!t)
        return;
    *(a->prev ? &a->prev->next : &t->first) = a->next;
    *(a->next ? &a->next->prev : &t->last) = a->prev;
    a->owner = NULL;
}

/* With the last reference the socket closes. */
static void arrival_free(struct arrival *a)
{
    arrival_unlink(a);
    stop_reading(a);
    g_clear_object(&a->stream);
    g_clear_object(&a->cancel);
    g_clear_object(&a->connection);
    g_clear_object(&a->local);
    g_clear_object(&a->remote);
    g_free(a);
}

static bool same_address(GSocketAddress *a, GSocketAddress *b)
{
    return G_IS_INET_SOCKET_ADDRESS(a) && G_IS_INET_SOCKET_ADDRESS(b) &&
           g_inet_address_equal(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(a)),
                                g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(b)));
}

static void begin_waiting(struct http_tls *t);

static void on_handshake(GObject *object, GAsyncResult *result, gpointer data)
{
    struct arrival *a = data;
    struct http_tls *t = a->owner;
    GError *error = NULL;
    bool done = g_tls_connection_handshake_finish(G_TLS_CONNECTION(object), result, &error);
    loop_hold(a->loop, -1);
    if (!done)
        LOG_RATE(signal, LOG_LEVEL_DEBUG, "a TLS handshake failed: %s", error->message);
    g_clear_error(&error);
    arrival_unlink(a);
    if (t && done)
        t->ready(t->ctx, a->stream, a->local, a->remote);
    arrival_free(a);
    if (t)
        begin_waiting(t);
}

static void handshake(struct arrival *a)
{
    struct http_tls *t = a->owner;
    GError *error = NULL;
    a->stage = STAGE_HANDSHAKE;
    a->stream = g_tls_server_connection_new(G_IO_STREAM(a->connection), t->certificate, &error);
    if (!a->stream) {
        LOG_RATE(signal, LOG_LEVEL_WARN, "a connection could not be served: %s", error->message);
        g_error_free(error);
        arrival_free(a);
        return;
    }
    GTlsConnection *tls = G_TLS_CONNECTION(a->stream);
    g_tls_connection_set_require_close_notify(tls, FALSE);
    a->cancel = g_cancellable_new();
    http_guard_handshaking(t->guard, a->remote);
    loop_hold(a->loop, 1);
    g_tls_connection_handshake_async(tls, G_PRIORITY_DEFAULT, a->cancel, on_handshake, a);
}

/* Those that may now, in the order in which they came. */
static void begin_waiting(struct http_tls *t)
{
    int running = 0;
    for (struct arrival *a = t->first; a; a = a->next)
        running += a->stage == STAGE_HANDSHAKE;
    for (struct arrival *a = t->first, *next; a && running < AT_ONCE; a = next) {
        int same = 0;
        next = a->next;
        if (a->stage != STAGE_QUEUED)
            continue;
        for (struct arrival *b = t->first; b; b = b->next)
            same += b->stage == STAGE_HANDSHAKE && same_address(a->remote, b->remote);
        if (same >= AT_ONCE_OF_ONE)
            continue;
        running++;
        handshake(a);
    }
}

/* A browser shows it, `view` prints it. What the client sent is taken first: closing a socket with
 * unread bytes resets the connection, and the answer might not be seen. */
static void answer_plain(int fd)
{
    char request[4096];
    if (recv(fd, request, sizeof request, MSG_DONTWAIT) > 0 &&
        send(fd, plain_answer, sizeof plain_answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        shutdown(fd, SHUT_WR);
}

/* -1: nothing will become of it; 0: not yet; 1: the first record is whole. */
static int look(int fd)
{
    uint8_t head[RECORD_HEADER];
    ssize_t n = recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0 && head[0] != TYPE_HANDSHAKE) {
        answer_plain(fd);
        return -1;
    }
    if (n < RECORD_HEADER)
        return -1; /* we were not to be woken for so little: it is over */
    int wanted = RECORD_HEADER + rd_be16(head + 3), there = 0;
    if (wanted == RECORD_HEADER || wanted > RECORD_HEADER + RECORD_MAX ||
        ioctl(fd, FIONREAD, &there) != 0)
        return -1;
    if (there >= wanted)
        return 1;
    int lowat = 0;
    socklen_t len = sizeof lowat;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len) != 0 || lowat == wanted)
        return -1; /* woken for less than that: the rest will not come */
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted) == 0 ? 0 : -1;
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, gpointer data)
{
    (void)condition;
    struct arrival *a = data;
    struct http_tls *t = a->owner;
    int fd = g_socket_get_fd(socket), one = 1;
    int found = look(fd);
    if (found == 0)
        return G_SOURCE_CONTINUE;
    stop_reading(a);
    if (found < 0) {
        arrival_free(a);
        return G_SOURCE_REMOVE;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    a->stage = STAGE_QUEUED;
    begin_waiting(t);
    return G_SOURCE_REMOVE;
}

void http_tls_accept(struct http_tls *t, GSocketConnection *connection, GSocketAddress *local,
                     GSocketAddress *remote)
{
    struct arrival *a = g_new0(struct arrival, 1);
    a->owner = t;
    a->loop = t->loop;
    a->connection = g_object_ref(connection);
    a->local = g_object_ref(local);
    a->remote = g_object_ref(remote);
    a->prev = t->last;
    *(t->last ? &t->last->next : &t->first) = a;
    t->last = a;

    GSocket *socket = g_socket_connection_get_socket(connection);
    int header = RECORD_HEADER;
    setsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_RCVLOWAT, &header, sizeof header);
    a->readable = g_socket_create_source(socket, G_IO_IN, NULL);
    g_source_set_callback(a->readable, G_SOURCE_FUNC(on_readable), a, NULL);
    g_source_attach(a->readable, loop_context(t->loop));
}

struct http_tls *http_tls_new(struct loop *loop, struct http_guard *guard,
                              GTlsCertificate *certificate, http_tls_ready_fn *ready, void *ctx)
{
    struct http_tls *t = g_new0(struct http_tls, 1);
    t->loop = loop;
    t->guard = guard;
    t->certificate = g_object_ref(certificate);
    t->ready = ready;
    t->ctx = ctx;
    return t;
}

void http_tls_free(struct http_tls **tls)
{
    struct http_tls *t = *tls;
    if (!t)
        return;
    while (t->first) {
        struct arrival *a = t->first;
        if (a->stage == STAGE_HANDSHAKE) {
            arrival_unlink(a); /* on_handshake frees it */
            g_cancellable_cancel(a->cancel);
        } else {
            arrival_free(a);
        }
    }
    g_object_unref(t->certificate);
    g_free(t);
    *tls = NULL;
}
