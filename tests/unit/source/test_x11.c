/* The X11 driver against a real server: pixels compared exactly. */
#include "artist.h"
#include "base/clock.h"
#include "base/error.h"
#include "source/source.h"
#include "xserver.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { W = 641, H = 403, LONG_US = 10000000, QUIET_US = 150000 };

static struct xserver server;
static struct artist artist;
static char spec[32];

/* A server for each test: what one leaves (windows, cursors) is not there in the next. */
static int start(const char *program, const char *const *extra)
{
    if (!xserver_start(&server, program, W, H, extra) || !artist_open(&artist, server.display))
        return -1;
    snprintf(spec, sizeof spec, "x11:%s", server.display + 1);
    return 0;
}
static int setup(void **state)
{
    (void)state;
    return start("Xvfb", NULL);
}
static int setup_without_shm(void **state)
{
    (void)state;
    const char *const extra[] = {"-extension", "MIT-SHM", NULL};
    return start("Xvfb", extra);
}
static int teardown(void **state)
{
    (void)state;
    artist_close(&artist);
    xserver_stop(&server);
    return 0;
}

static struct source *open_source(struct source_config config)
{
    struct source *s = NULL;
    config.spec = spec;
    config.fps = 60;
    if (source_open(&s, &config)) {
        fprintf(stderr, "%s\n", error_text());
        fail();
    }
    return s;
}

static uint32_t pixel(const struct picture *p, int x, int y)
{
    return ((const uint32_t *)(p->plane[0] + (size_t)y * (size_t)p->stride[0]))[x] & 0xffffff;
}

/* Every pixel as the drawable has it in r. */
static void assert_shows(const struct picture *p, xcb_drawable_t d, struct rect r)
{
    assert_int_equal(p->fmt, PIX_BGRX);
    assert_int_equal(p->width, r.w);
    assert_int_equal(p->height, r.h);
    uint32_t *want = artist_pixels(&artist, d, r);
    assert_non_null(want);
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++)
            if (pixel(p, x, y) != want[y * r.w + x])
                fail_msg("pixel %d,%d is %06x, not %06x", x, y, pixel(p, x, y), want[y * r.w + x]);
    free(want);
}

static void assert_shows_screen(const struct picture *p)
{
    assert_shows(p, artist.screen->root, (struct rect){0, 0, W, H});
}

/* What differs lies within the damage of the later picture. */
static void assert_damage_tells(const struct picture *before, const struct picture *p)
{
    if (before->width != p->width || before->height != p->height) {
        assert_true(damage_is_all(&p->damage, p->width, p->height));
        return;
    }
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            if (pixel(before, x, y) == pixel(p, x, y))
                continue;
            bool told = false;
            for (int i = 0; i < p->damage.n && !told; i++)
                told = rect_contains(p->damage.r[i], (struct rect){x, y, 1, 1});
            if (!told)
                fail_msg("pixel %d,%d changed outside of the damage", x, y);
        }
    }
}

static struct picture *take(struct source *s)
{
    struct picture *p = NULL;
    assert_int_equal(s->ops->read(s, &p), 0);
    assert_non_null(p);
    return p;
}

static struct picture *wait_and_take(struct source *s)
{
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_CHANGED);
    return take(s);
}

/* Reads until nothing changes any more; the last picture. */
static struct picture *settle(struct source *s)
{
    struct picture *p = take(s);
    while (s->ops->wait(s, QUIET_US) == SOURCE_CHANGED) {
        picture_unref(&p);
        p = take(s);
    }
    return p;
}

static void first_picture_is_the_screen(void **state)
{
    (void)state;
    artist_noise(&artist, artist.screen->root, W, H, 300);
    artist_sync(&artist);
    struct source *s = open_source((struct source_config){0});
    assert_int_equal(s->info.kind, SOURCE_PICTURES);
    assert_int_equal(s->info.width, W);
    assert_int_equal(s->info.height, H);
    int64_t before = clock_now_us();
    struct picture *p = wait_and_take(s);
    assert_true(damage_is_all(&p->damage, W, H));
    assert_shows_screen(p);
    assert_true(p->capture_us >= before && p->capture_us <= clock_now_us());
    assert_true(p->event_us > 0 && p->event_us <= p->capture_us);
    assert_int_equal(p->pts_us, p->capture_us);
    picture_unref(&p);
    source_close(&s);
}

static void changes_accumulate_over_held_buffers(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){0});
    struct picture *held[2] = {0}, *last = settle(s);
    for (int i = 0; i < 300; i++) {
        int n = 1 + (int)artist_random(&artist, i % 10 ? 4 : 60);
        for (int k = 0; k < n; k++)
            artist_noise(&artist, artist.screen->root, W, H, artist_random(&artist, 8) ? 40 : 640);
        artist_sync(&artist);
        struct picture *p = wait_and_take(s);
        assert_true(p->damage.n > 0);
        assert_shows_screen(p);
        assert_damage_tells(last, p);
        picture_unref(&last);
        last = picture_ref(p);
        /* Up to two older pictures stay out, so the buffers come back in changing order. */
        int slot = (int)artist_random(&artist, 2);
        picture_unref(&held[slot]);
        held[slot] = p;
    }
    for (int i = 0; i < 2; i++)
        picture_unref(&held[i]);
    picture_unref(&last);
    source_close(&s);
}

static void a_held_picture_never_changes(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){0});
    struct picture *p = settle(s);
    uint32_t *copy = malloc((size_t)W * H * 4);
    memcpy(copy, p->plane[0], (size_t)W * H * 4);
    for (int i = 0; i < 12; i++) {
        artist_noise(&artist, artist.screen->root, W, H, 600);
        artist_sync(&artist);
        struct picture *q = wait_and_take(s);
        assert_ptr_not_equal(p, q);
        picture_unref(&q);
    }
    assert_memory_equal(copy, p->plane[0], (size_t)W * H * 4);
    free(copy);
    source_close(&s);
    /* It outlives its source. */
    assert_int_equal(p->width, W);
    pixel(p, W - 1, H - 1);
    picture_unref(&p);
}

static void all_buffers_out_loses_nothing(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){0});
    struct picture *held[16], *p = NULL;
    int n = 0, e;
    while ((e = s->ops->read(s, &p)) == 0 && n < 16)
        held[n++] = p;
    assert_int_equal(e, ERR_TIMEOUT);
    artist_noise(&artist, artist.screen->root, W, H, 100);
    artist_sync(&artist);
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_CHANGED);
    assert_int_equal(s->ops->read(s, &p), ERR_TIMEOUT);
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_CHANGED); /* still to be read */
    picture_unref(&held[0]);
    p = take(s);
    assert_shows_screen(p);
    assert_true(p->damage.n > 0);
    picture_unref(&p);
    for (int i = 1; i < n; i++)
        picture_unref(&held[i]);
    source_close(&s);
}

static void *scribble(void *display)
{
    struct artist a;
    if (!artist_open(&a, display))
        return NULL;
    for (int i = 0; i < 3000; i++) {
        artist_noise(&a, a.screen->root, W, H, i % 50 ? 16 : 400);
        if (i % 20 == 0)
            artist_sync(&a);
    }
    artist_sync(&a);
    artist_close(&a);
    return display; /* not NULL: it has drawn */
}

static void nothing_is_lost_while_drawing_goes_on(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){0});
    struct picture *p = settle(s), *q;
    uint32_t *shown = malloc((size_t)W * H * 4); /* what a consumer of damage alone has */
    memcpy(shown, p->plane[0], (size_t)W * H * 4);
    picture_unref(&p);
    pthread_t t;
    void *drew = NULL;
    assert_int_equal(pthread_create(&t, NULL, scribble, server.display), 0);
    while (s->ops->wait(s, 500000) == SOURCE_CHANGED) {
        q = take(s);
        for (int i = 0; i < q->damage.n; i++)
            for (int y = q->damage.r[i].y; y < q->damage.r[i].y + q->damage.r[i].h; y++)
                memcpy(shown + y * W + q->damage.r[i].x,
                       q->plane[0] + ((size_t)y * W + (size_t)q->damage.r[i].x) * 4,
                       (size_t)q->damage.r[i].w * 4);
        picture_unref(&q);
    }
    pthread_join(t, &drew);
    assert_non_null(drew);
    p = settle(s);
    assert_shows_screen(p);
    for (int i = 0; i < W * H; i++)
        if ((shown[i] & 0xffffff) != pixel(p, i % W, i / W))
            fail_msg("a change of pixel %d,%d was never told", i % W, i / W);
    picture_unref(&p);
    free(shown);
    source_close(&s);
}

static void a_still_screen_sleeps(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){.cursor = true});
    struct picture *p = settle(s);
    picture_unref(&p);
    int64_t t = clock_now_us();
    assert_int_equal(s->ops->wait(s, 300000), SOURCE_IDLE);
    assert_true(clock_now_us() - t >= 300000);
    p = take(s); /* allowed without a change */
    assert_int_equal(p->damage.n, 0);
    picture_unref(&p);
    source_close(&s);
}

static void *interrupt_later(void *source)
{
    struct source *s = source;
    usleep(100000);
    s->ops->interrupt(s);
    return NULL;
}

static void interrupt_ends_a_wait(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){0});
    struct picture *p = settle(s);
    picture_unref(&p);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, interrupt_later, s), 0);
    assert_int_equal(s->ops->wait(s, -1), SOURCE_IDLE);
    pthread_join(t, NULL);
    s->ops->interrupt(s); /* before the wait: the next returns */
    assert_int_equal(s->ops->wait(s, -1), SOURCE_IDLE);
    source_close(&s);
}

static void the_server_goes_away(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){.cursor = true});
    struct picture *held = settle(s), *p = NULL;
    xserver_stop(&server);
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_ENDED);
    assert_non_null(strstr(s->end_reason, "went away"));
    assert_true(s->failed);
    assert_int_equal(s->ops->read(s, &p), ERR_ENDED);
    assert_null(p);
    source_close(&s);
    picture_unref(&held);
}

static void the_server_dies_before_a_read(void **state)
{
    (void)state;
    struct source *s = open_source((struct source_config){.cursor = true});
    struct picture *p = NULL;
    xserver_stop(&server);
    assert_int_equal(s->ops->read(s, &p), ERR_ENDED);
    assert_non_null(strstr(s->end_reason, "went away"));
    source_close(&s);
}

int main(void)
{
    xserver_need("Xvfb");
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_NO_SHM(f)                                                                             \
    {#f " (without shared memory)", f, setup_without_shm, teardown, NULL}
    const struct CMUnitTest tests[] = {
        TEST(first_picture_is_the_screen),
        TEST(changes_accumulate_over_held_buffers),
        TEST_NO_SHM(changes_accumulate_over_held_buffers),
        TEST(a_held_picture_never_changes),
        TEST(all_buffers_out_loses_nothing),
        TEST(nothing_is_lost_while_drawing_goes_on),
        TEST(a_still_screen_sleeps),
        TEST(interrupt_ends_a_wait),
        TEST(the_server_goes_away),
        TEST(the_server_dies_before_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
