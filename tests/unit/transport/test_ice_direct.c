/* transport/ice_direct: takes media from a socket, and nothing else. */
#include "net/loop.h"
#include "transport/ice_direct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
    struct loop *loop;
    int from, to;
    struct ice_direct *direct;
    GSource *other; /* libnice's */
    int packets, left; /* left: by the source that comes after, as libnice's */
    bool end_in_callback;
};

static void on_packet(void *ctx, uint8_t *data, size_t len)
{
    struct world *w = ctx;
    assert_int_equal(data[0] >> 6, 2);
    assert_int_equal(data[1], len % 256);
    memset(data, 0, len); /* it is ours */
    w->packets++;
    if (w->end_in_callback)
        ice_direct_free(&w->direct);
}

/* Reads all there is, as libnice does. */
static gboolean on_readable(GIOChannel *channel, GIOCondition condition, gpointer ctx)
{
    struct world *w = ctx;
    uint8_t data[4096];
    (void)channel, (void)condition;
    while (recv(w->to, data, sizeof data, MSG_DONTWAIT) >= 0)
        w->left++;
    return G_SOURCE_CONTINUE;
}

static void put(struct world *w, uint8_t first, size_t len)
{
    uint8_t data[4096] = {first, (uint8_t)(len % 256)};
    assert_int_equal(send(w->from, data, len, 0), len);
}

static void turn(struct world *w)
{
    while (g_main_context_iteration(loop_context(w->loop), FALSE)) {
    }
}

/* A socket with its two readers. */
static void open_world(struct world *w, struct loop *loop)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    w->from = pair[0];
    w->to = pair[1];
    w->loop = loop;
    GIOChannel *channel = g_io_channel_unix_new(w->to);
    w->other = g_io_create_watch(channel, G_IO_IN);
    g_io_channel_unref(channel);
    g_source_set_callback(w->other, G_SOURCE_FUNC(on_readable), w, NULL);
    g_source_attach(w->other, loop_context(loop));
    w->direct = ice_direct_new(loop_context(loop), w->to, on_packet, w);
}

static void close_world(struct world *w)
{
    ice_direct_free(&w->direct);
    g_source_destroy(w->other);
    g_source_unref(w->other);
    close(w->from);
    close(w->to);
}

static void run(bool end_in_callback, void (*test)(struct world *w))
{
    struct world w = {.end_in_callback = end_in_callback};
    struct loop *loop = loop_new();
    open_world(&w, loop);
    test(&w);
    close_world(&w);
    loop_free(&loop);
}

static void media_alone(struct world *w)
{
    for (int i = 0; i < 100; i++) {
        put(w, 0x80, 1200);
        put(w, 0xbf, 12);
        turn(w);
    }
    assert_int_equal(w->packets, 200);
    assert_int_equal(w->left, 0);
    put(w, 0x80, 4096); /* larger than any that we send: dropped */
    turn(w);
    assert_int_equal(w->packets + w->left, 200);
}

static void all_else_is_left(struct world *w)
{
    static const uint8_t others[] = {0, 1, 3, 20, 22, 63, 64, 79, 127, 0xc0, 0xff};
    for (size_t i = 0; i < sizeof others; i++) {
        put(w, 0x80, 100);
        put(w, others[i], 100);
        put(w, 0x80, 100); /* behind it: read by the one or by the other, never lost */
        turn(w);
    }
    put(w, 0x80, 0);
    turn(w);
    assert_int_equal(w->packets + w->left, 3 * sizeof others + 1);
    assert_true(w->left >= (int)sizeof others + 1 && w->packets >= (int)sizeof others);
}

static void others_have_their_turn_in_a_flood(struct world *w)
{
    for (int i = 0; i < 5000 && w->left < 3; i++) {
        put(w, 0x80, 100);
        g_main_context_iteration(loop_context(w->loop), FALSE);
    }
    assert_true(w->left >= 3 && w->packets > 50);
}

static void ended_by_a_packet(struct world *w)
{
    for (int i = 0; i < 5; i++)
        put(w, 0x80, 100);
    turn(w);
    assert_null(w->direct);
    assert_int_equal(w->packets, 1);
    assert_int_equal(w->left, 4);
}

/* Peers of one loop do not keep what is the other source's from it by taking turns. */
static void two_peers(void **state)
{
    (void)state;
    for (int flood = 0; flood < 2; flood++) {
        struct world w[2] = {0};
        struct loop *loop = loop_new();
        open_world(&w[0], loop);
        open_world(&w[1], loop);
        uint8_t first = flood ? 0x80 : 0x01; /* media, or STUN */
        for (int i = 0; i < 5000 && (w[0].left == 0 || w[1].left == 0); i++) {
            if (flood || i < 2) /* the second one's comes when the first has had a turn */
                put(&w[i % 2], first, 100);
            if (flood)
                put(&w[1 - i % 2], first, 100);
            g_main_context_iteration(loop_context(loop), FALSE);
        }
        assert_true(w[0].left > 0 && w[1].left > 0);
        close_world(&w[0]);
        close_world(&w[1]);
        loop_free(&loop);
    }
}

static void takes_media(void **state) { (void)state, run(false, media_alone); }
static void leaves_the_rest(void **state) { (void)state, run(false, all_else_is_left); }
static void yields(void **state) { (void)state, run(false, others_have_their_turn_in_a_flood); }
static void ends(void **state) { (void)state, run(true, ended_by_a_packet); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_media),
        cmocka_unit_test(leaves_the_rest),
        cmocka_unit_test(yields),
        cmocka_unit_test(ends),
        cmocka_unit_test(two_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
