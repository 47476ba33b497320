/* The X11 driver against a real server: pixels compared exactly. */
#include "x11_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void first_picture_is_the_screen(void **state)
{
    (void)state;
    artist_noise(&artist, artist.screen->root, W, H, 300);
    artist_sync(&artist);
    struct source *s = fixture_open((struct source_config){0});
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
    struct source *s = fixture_open((struct source_config){0});
    struct picture *held[2] = {0}, *last = settle(s);
    for (int i = 0; i < 120; i++) {
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

static int setup_tcp(void **state)
{
    (void)state;
    const char *const extra[] = {"-listen", "tcp", NULL};
    if (fixture_start("Xvfb", extra))
        return -1;
    /* The server offers shared memory, but over TCP it must not be used. */
    snprintf(spec, sizeof spec, "x11:127.0.0.1%s", server.display);
    return 0;
}

static void a_held_picture_never_changes(void **state)
{
    (void)state;
    struct source *s = fixture_open((struct source_config){0});
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
    struct source *s = fixture_open((struct source_config){0});
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
    for (int i = 0; i < 1500; i++) {
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
    struct source *s = fixture_open((struct source_config){0});
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

static void a_storm_of_points_is_merged(void **state)
{
    (void)state;
    struct source *s = fixture_open((struct source_config){0});
    struct picture *last = settle(s);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 2000; k++)
            artist_fill(
                &artist, artist.screen->root,
                (struct rect){(int)artist_random(&artist, W), (int)artist_random(&artist, H), 1, 1},
                artist_random(&artist, 1 << 24));
        artist_sync(&artist);
        struct picture *p = wait_and_take(s);
        assert_true(p->damage.n <= DAMAGE_MAX);
        assert_shows_screen(p);
        assert_damage_tells(last, p);
        picture_unref(&last);
        last = p;
    }
    picture_unref(&last);
    source_close(&s);
}

static void a_still_screen_sleeps(void **state)
{
    (void)state;
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *p = settle(s);
    picture_unref(&p);
    struct rusage before, after;
    int64_t t = clock_now_us();
    getrusage(RUSAGE_THREAD, &before);
    assert_int_equal(s->ops->wait(s, 300000), SOURCE_IDLE);
    getrusage(RUSAGE_THREAD, &after);
    assert_true(clock_now_us() - t >= 300000);
    assert_true(after.ru_nvcsw - before.ru_nvcsw <= 3); /* it blocked, and no tick woke it */
    p = take(s);                                        /* allowed without a change */
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
    struct source *s = fixture_open((struct source_config){0});
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
    struct source *s = fixture_open((struct source_config){.cursor = true});
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
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *p = NULL;
    xserver_stop(&server);
    assert_int_equal(s->ops->read(s, &p), ERR_ENDED);
    assert_non_null(strstr(s->end_reason, "went away"));
    source_close(&s);
}

int main(void)
{
    xserver_need("Xvfb");
    const struct CMUnitTest tests[] = {
        X11_TEST(first_picture_is_the_screen),
        X11_TEST(changes_accumulate_over_held_buffers),
        X11_TEST_AS(changes_accumulate_over_held_buffers, fixture_setup_without_shm,
                    "without shared memory"),
        X11_TEST_AS(changes_accumulate_over_held_buffers, setup_tcp, "over TCP"),
        X11_TEST(a_held_picture_never_changes),
        X11_TEST(all_buffers_out_loses_nothing),
        X11_TEST(nothing_is_lost_while_drawing_goes_on),
        X11_TEST(a_storm_of_points_is_merged),
        X11_TEST(a_still_screen_sleeps),
        X11_TEST(interrupt_ends_a_wait),
        X11_TEST(the_server_goes_away),
        X11_TEST(the_server_dies_before_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
