/* The public library against itself, in one process over this machine's own addresses: a program
 * that brings pictures, one that brings access units, and what both ends report. */
#include <hevcast/hevcast.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { W = 320, H = 192, PATIENCE_US = 30000000 };

struct seen {
    atomic_int pictures, units, keys, width, height;
    atomic_int luma; /* mean of the last picture's first row */
    atomic_int ended, connected, joined, left;
    atomic_int delay_us; /* of on_picture: a slow program */
    atomic_int key_requests;
    _Atomic int64_t target_bps;
    uint8_t *copy[64]; /* access units, network thread; read after the receiver is freed */
    size_t copy_len[64];
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_picture(void *ctx, const hevcast_picture *p)
{
    struct seen *s = ctx;
    int sum = 0;
    for (int x = 0; x < p->width; x++)
        sum += p->plane[0][x];
    atomic_store(&s->luma, sum / p->width);
    atomic_store(&s->width, p->width);
    atomic_store(&s->height, p->height);
    atomic_fetch_add(&s->pictures, 1);
    if (atomic_load(&s->delay_us))
        usleep((useconds_t)atomic_load(&s->delay_us));
}

static void on_unit(void *ctx, const hevcast_access_unit *au)
{
    struct seen *s = ctx;
    int n = atomic_fetch_add(&s->units, 1);
    if (au->keyframe)
        atomic_fetch_add(&s->keys, 1);
    if (n < 64) {
        s->copy[n] = malloc(au->len);
        memcpy(s->copy[n], au->data, au->len);
        s->copy_len[n] = au->len;
    }
}

static void on_event(void *ctx, const hevcast_event *e)
{
    struct seen *s = ctx;
    if (e->type == HEVCAST_EVENT_ENDED)
        atomic_fetch_add(&s->ended, 1);
    if (e->type == HEVCAST_EVENT_CONNECTED)
        atomic_fetch_add(&s->connected, 1);
    if (e->type == HEVCAST_EVENT_VIEWER_JOINED)
        atomic_fetch_add(&s->joined, 1);
    if (e->type == HEVCAST_EVENT_VIEWER_LEFT)
        atomic_fetch_add(&s->left, 1);
}

static void on_key(void *ctx) { atomic_fetch_add(&((struct seen *)ctx)->key_requests, 1); }
static void on_target(void *ctx, int64_t bps) { atomic_store(&((struct seen *)ctx)->target_bps, bps); }

static hevcast_sender *sender_of(enum hevcast_input input, struct seen *s)
{
    hevcast_sender_config c;
    hevcast_sender_default_config(&c);
    c.input = input;
    c.listen = "127.0.0.1:0";
    c.bitrate_bps = 4000000;
    c.on_event = on_event;
    c.on_keyframe_request = on_key;
    c.on_target_bitrate = on_target;
    c.ctx = s;
    hevcast_sender *sender = NULL;
    int err = hevcast_sender_new(&sender, &c);
    if (err)
        fail_msg("%s", hevcast_error_text());
    return sender;
}

static hevcast_receiver *receiver_of(const char *url, struct seen *s)
{
    hevcast_receiver_config c;
    hevcast_receiver_default_config(&c);
    c.url = url;
    c.on_event = on_event;
    c.on_picture = on_picture;
    c.on_access_unit = on_unit;
    c.ctx = s;
    hevcast_receiver *r = NULL;
    int err = hevcast_receiver_new(&r, &c);
    if (err)
        fail_msg("%s", hevcast_error_text());
    return r;
}

static void forget(struct seen *s)
{
    for (int i = 0; i < 64; i++)
        free(s->copy[i]);
}

static void push_grey(hevcast_sender *sender, int w, int h, int level, int64_t pts_us)
{
    uint8_t *y = malloc((size_t)w * h), *c = malloc((size_t)w * h);
    memset(y, level, (size_t)w * h);
    memset(c, 128, (size_t)w * h);
    hevcast_picture p = {.fmt = HEVCAST_PIX_I420, .width = w, .height = h,
                         .plane = {y, c, c}, .stride = {w, w / 2, w / 2}, .pts_us = pts_us};
    int r = hevcast_sender_push_picture(sender, &p);
    assert_true(r == 0 || r == 1 || r == HEVCAST_TIMEOUT);
    free(y);
    free(c);
}

/* Pushes pictures of one level until the other side shows it. */
static void push_until_seen(hevcast_sender *sender, struct seen *s, int w, int h, int level)
{
    int64_t start = now_us();
    while (abs(atomic_load(&s->luma) - level) > 2 || atomic_load(&s->width) != w) {
        assert_true(now_us() - start < PATIENCE_US);
        push_grey(sender, w, h, level, now_us());
        usleep(20000);
    }
}

static void wait_for(atomic_int *what, int at_least)
{
    int64_t start = now_us();
    while (atomic_load(what) < at_least) {
        if (now_us() - start > PATIENCE_US)
            fail_msg("waited too long");
        usleep(2000);
    }
}

static void pictures_of_a_program_arrive(void **state)
{
    (void)state;
    struct seen tx = {0}, rx = {0};
    hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &tx);
    hevcast_receiver *receiver = receiver_of(hevcast_sender_url(sender), &rx);
    push_until_seen(sender, &rx, W, H, 60);
    push_until_seen(sender, &rx, W, H, 200);
    push_until_seen(sender, &rx, W + 64, H + 32, 100); /* another size, in the middle */
    hevcast_sender_stats st;
    hevcast_viewer_stats v[4];
    int64_t start = now_us();
    do
        usleep(50000);
    while ((hevcast_sender_get_stats(sender, &st, v, 4) != 1 || !st.packets_sent) &&
           now_us() - start < PATIENCE_US); /* the net thread's numbers are up to 250 ms old */
    assert_int_equal(st.viewers, 1);
    assert_true(st.frames_encoded > 0 && st.keyframes >= 2 && st.packets_sent > 0);
    assert_int_equal(st.width, W + 64);
    hevcast_receiver_stats rs;
    hevcast_receiver_get_stats(receiver, &rs);
    assert_true(rs.frames_decoded >= 3);
    assert_int_equal(rs.frames_dropped, 0);
    hevcast_receiver_free(&receiver);
    assert_null(receiver);
    wait_for(&tx.left, 1);
    hevcast_sender_free(&sender);
    assert_int_equal(atomic_load(&rx.ended), 1);
    forget(&rx);
}

static void a_late_viewer_of_a_still_picture_sees_it(void **state)
{
    (void)state;
    struct seen tx = {0}, first = {0}, late = {0};
    hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &tx);
    push_grey(sender, W, H, 77, 0); /* nobody watches yet */
    hevcast_receiver *a = receiver_of(hevcast_sender_url(sender), &first);
    wait_for(&first.pictures, 1);
    assert_in_range(atomic_load(&first.luma), 75, 79);
    hevcast_receiver *b = receiver_of(hevcast_sender_url(sender), &late);
    wait_for(&late.pictures, 1);
    assert_in_range(atomic_load(&late.luma), 75, 79);
    hevcast_receiver_free(&a);
    hevcast_receiver_free(&b);
    hevcast_sender_free(&sender);
    forget(&first);
    forget(&late);
}

/* A program that is stuck in its callback delays neither the sender nor another viewer. */
static void a_slow_viewer_delays_nobody_else(void **state)
{
    (void)state;
    struct seen tx = {0}, slow = {0}, quick = {0};
    hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &tx);
    atomic_store(&slow.delay_us, 3000000);
    hevcast_receiver *a = receiver_of(hevcast_sender_url(sender), &slow);
    push_grey(sender, W, H, 50, 0);
    wait_for(&slow.pictures, 1); /* and now it hangs */
    hevcast_receiver *b = receiver_of(hevcast_sender_url(sender), &quick);
    int before = atomic_load(&slow.pictures);
    for (int i = 0; i < 5; i++)
        push_until_seen(sender, &quick, W, H, 60 + 20 * i);
    assert_true(atomic_load(&slow.pictures) - before <= 5);
    atomic_store(&slow.delay_us, 0);
    hevcast_receiver_free(&b);
    hevcast_receiver_free(&a);
    hevcast_sender_free(&sender);
    forget(&slow);
    forget(&quick);
}

static void access_units_of_a_program_arrive_as_they_are(void **state)
{
    (void)state;
    /* A stream of our own to send again. */
    struct seen tx = {0}, rx = {0};
    hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &tx);
    hevcast_receiver *receiver = receiver_of(hevcast_sender_url(sender), &rx);
    for (int i = 0; atomic_load(&rx.units) < 10 && i < 500; i++) {
        push_grey(sender, W, H, 40 + i % 10 * 20, now_us());
        usleep(20000);
    }
    hevcast_receiver_free(&receiver);
    hevcast_sender_free(&sender);
    assert_true(atomic_load(&rx.units) >= 10);
    assert_int_equal(rx.copy[0][4] >> 1, 32); /* begins with a VPS */

    struct seen tx2 = {0}, rx2 = {0};
    sender = sender_of(HEVCAST_INPUT_ACCESS_UNITS, &tx2);
    receiver = receiver_of(hevcast_sender_url(sender), &rx2);
    wait_for(&tx2.key_requests, 1);
    /* What is told at first is for a path that is not known yet. */
    int64_t target = atomic_load(&tx2.target_bps);
    assert_true(target >= 300000 && target <= 4000000);
    for (int i = 0; i < 10; i++) {
        hevcast_access_unit au = {.data = rx.copy[i], .len = rx.copy_len[i], .pts_us = i * 33000,
                                  .keyframe = i == 0};
        assert_int_equal(hevcast_sender_push_access_unit(sender, &au), 0);
        usleep(5000);
    }
    wait_for(&rx2.units, 10);
    wait_for(&rx2.pictures, 10);
    hevcast_receiver_free(&receiver);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rx2.copy_len[i], rx.copy_len[i]);
        assert_memory_equal(rx2.copy[i], rx.copy[i], rx.copy_len[i]);
    }
    hevcast_access_unit bad = {.data = (const uint8_t *)"nonsense", .len = 8};
    assert_int_equal(hevcast_sender_push_access_unit(sender, &bad), HEVCAST_INVALID);
    hevcast_picture none = {0};
    assert_int_equal(hevcast_sender_push_picture(sender, &none), HEVCAST_INVALID);
    hevcast_sender_free(&sender);
    forget(&rx);
    forget(&rx2);
}

static void a_sender_that_ends_ends_its_viewers(void **state)
{
    (void)state;
    struct seen tx = {0}, rx = {0};
    hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &tx);
    hevcast_receiver *receiver = receiver_of(hevcast_sender_url(sender), &rx);
    push_until_seen(sender, &rx, W, H, 90);
    int64_t start = now_us();
    hevcast_sender_stop(sender);
    assert_int_equal(hevcast_sender_wait(sender, PATIENCE_US), 0);
    hevcast_sender_free(&sender);
    assert_int_equal(hevcast_receiver_wait(receiver, PATIENCE_US), 0);
    assert_true(now_us() - start < 5000000);
    hevcast_receiver_free(&receiver);
    assert_int_equal(atomic_load(&tx.ended), 1);
    forget(&rx);
}

static void senders_and_receivers_that_never_connect_are_freed(void **state)
{
    (void)state;
    struct seen s = {0};
    for (int i = 0; i < 5; i++) {
        hevcast_sender *sender = sender_of(HEVCAST_INPUT_PICTURES, &s);
        hevcast_receiver *receiver = receiver_of(hevcast_sender_url(sender), &s);
        usleep((useconds_t)i * 7000); /* in the middle of connecting */
        if (i % 2)
            hevcast_sender_free(&sender);
        hevcast_receiver_free(&receiver);
        hevcast_sender_free(&sender);
    }
    hevcast_receiver *receiver = receiver_of("http://127.0.0.1:1/nobody", &s);
    assert_int_equal(hevcast_receiver_wait(receiver, PATIENCE_US), HEVCAST_IO);
    assert_non_null(strstr(hevcast_error_text(), "127.0.0.1:1"));
    hevcast_receiver_free(&receiver);
}

static void wrong_configs_are_refused_with_a_sentence(void **state)
{
    (void)state;
    hevcast_sender_config c;
    hevcast_sender *s;
    static const struct {
        const char *source, *token, *encoder;
        int fps, chroma, queue_ms;
        int64_t bitrate;
        int error;
    } table[] = {
        {"test", NULL, NULL, 0, 420, 100, 1000000, HEVCAST_INVALID},
        {"test", NULL, NULL, 30, 422, 100, 1000000, HEVCAST_INVALID},
        {"test", NULL, NULL, 30, 420, 0, 1000000, HEVCAST_INVALID},
        {"test", NULL, NULL, 30, 420, 100, 1000, HEVCAST_INVALID},
        {"test", "a/b", NULL, 30, 420, 100, 1000000, HEVCAST_INVALID},
        {"test", NULL, "flash", 30, 420, 100, 1000000, HEVCAST_INVALID},
        {"/no/such/file.mkv", NULL, NULL, 30, 420, 100, 1000000, 0},
        {"x11:987", NULL, NULL, 30, 420, 100, 1000000, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        hevcast_sender_default_config(&c);
        c.source = table[i].source;
        c.token = table[i].token;
        if (table[i].encoder)
            c.encoder = table[i].encoder;
        c.fps = table[i].fps;
        c.chroma = table[i].chroma;
        c.queue_ms = table[i].queue_ms;
        c.bitrate_bps = table[i].bitrate;
        c.listen = "127.0.0.1:0";
        int err = hevcast_sender_new(&s, &c);
        assert_true(err < 0);
        if (table[i].error)
            assert_int_equal(err, table[i].error);
        assert_null(s);
        assert_true(strlen(hevcast_error_text()) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_of_a_program_arrive),
        cmocka_unit_test(a_late_viewer_of_a_still_picture_sees_it),
        cmocka_unit_test(a_slow_viewer_delays_nobody_else),
        cmocka_unit_test(access_units_of_a_program_arrive_as_they_are),
        cmocka_unit_test(a_sender_that_ends_ends_its_viewers),
        cmocka_unit_test(senders_and_receivers_that_never_connect_are_freed),
        cmocka_unit_test(wrong_configs_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
