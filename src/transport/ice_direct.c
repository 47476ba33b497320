#include "transport/ice_direct.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

enum {
    ROOM = 2048,
    PACKETS_A_TURN = 16,
    /* It comes before the loop's other sources, so that libnice finds the socket empty; in a flood
     * these have every so manieth turn. */
    TURNS = 128,
};

struct ice_direct {
    GSource source;
    GPollFD poll; /* no g_source_add_unix_fd: that is ready whatever check says */
    void (*on_packet)(void *ctx, uint8_t *data, size_t len);
    void *ctx;
    uint8_t data[ROOM];
};

/* Of all instances on this loop, which must give way in the same turn: by turns they would keep
 * out the others for ever. */
static _Thread_local unsigned turns;
static _Thread_local int64_t pass_us; /* g_source_get_time of the turn that is not ours */

static struct ice_direct *direct_of(GSource *source) { return (struct ice_direct *)source; }

/* RTP and RTCP begin with version 2 (RFC 7983); STUN, DTLS and what TURN servers send do not. */
static bool is_next_ours(const struct ice_direct *d)
{
    uint8_t first = 0;
    return recv(d->poll.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0 && first >> 6 == 2;
}

static gboolean check(GSource *source)
{
    struct ice_direct *d = direct_of(source);
    if (!(d->poll.revents & G_IO_IN))
        return FALSE;
    if (turns >= TURNS) {
        turns = 0;
        pass_us = g_source_get_time(source); /* the same for all sources of a turn */
    }
    return g_source_get_time(source) != pass_us && is_next_ours(d);
}

static gboolean dispatch(GSource *source, GSourceFunc unused, gpointer unused_ctx)
{
    (void)unused;
    (void)unused_ctx;
    struct ice_direct *d = direct_of(source);
    turns++;
    for (int i = 0; i < PACKETS_A_TURN && (i == 0 || is_next_ours(d)); i++) {
        ssize_t n = recv(d->poll.fd, d->data, sizeof d->data, MSG_DONTWAIT | MSG_TRUNC);
        if (n > 0 && (size_t)n <= sizeof d->data)
            d->on_packet(d->ctx, d->data, (size_t)n);
        if (g_source_is_destroyed(source))
            return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = {.check = check, .dispatch = dispatch};

struct ice_direct *ice_direct_new(GMainContext *context, int fd,
                                  void (*on_packet)(void *ctx, uint8_t *data, size_t len), void *ctx)
{
    GSource *source = g_source_new(&functions, sizeof(struct ice_direct));
    struct ice_direct *d = direct_of(source);
    d->poll = (GPollFD){.fd = fd, .events = G_IO_IN};
    d->on_packet = on_packet;
    d->ctx = ctx;
    g_source_add_poll(source, &d->poll);
    g_source_set_priority(source, G_PRIORITY_DEFAULT - 1);
    g_source_attach(source, context);
    return d;
}

void ice_direct_free(struct ice_direct **direct)
{
    struct ice_direct *d = *direct;
    *direct = NULL;
    if (!d)
        return;
    g_source_destroy(&d->source);
    g_source_unref(&d->source);
}
