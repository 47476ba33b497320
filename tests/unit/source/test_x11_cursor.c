/* The pointer in X11 pictures: drawn, moved, its trail erased, its movement an event. */
#include "x11_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 16, RED = 0xff0000, GREEN = 0x00ff00 };

/* The screen with a square of the colour around x, y and nothing else drawn in. */
static void assert_shows_pointer(const struct picture *p, int x, int y, uint32_t colour)
{
    uint32_t *want = artist_pixels(&artist, artist.screen->root, (struct rect){0, 0, W, H});
    assert_non_null(want);
    struct rect square = {x - SIZE / 2, y - SIZE / 2, SIZE, SIZE};
    for (int j = 0; j < H; j++)
        for (int i = 0; i < W; i++) {
            uint32_t c =
                rect_contains(square, (struct rect){i, j, 1, 1}) ? colour : want[j * W + i];
            if (pixel(p, i, j) != c)
                fail_msg("pixel %d,%d is %06x, not %06x", i, j, pixel(p, i, j), c);
        }
    free(want);
}

static void prepare(void)
{
    artist_square_cursor(&artist, SIZE, RED);
    for (int i = 0; i < 5; i++)
        artist_noise(&artist, artist.screen->root, W, H, 400);
    artist_warp(&artist, 100, 100);
    artist_sync(&artist);
}

static void its_movement_is_an_event(void **state)
{
    (void)state;
    prepare();
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *p = settle(s), *q;
    assert_shows_pointer(p, 100, 100, RED);
    artist_move_mouse(&artist, 200, 150);
    q = wait_and_take(s);
    assert_shows_pointer(q, 200, 150, RED);
    assert_damage_tells(p, q);
    /* Two small places, not the way between. */
    assert_int_equal(damage_area(&q->damage), 2 * SIZE * SIZE);
    assert_true(q->event_us > 0 && q->event_us <= q->capture_us);
    picture_unref(&p);
    picture_unref(&q);
    source_close(&s);
}

static void a_program_moves_it(void **state)
{
    (void)state;
    prepare();
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *p = settle(s);
    picture_unref(&p);
    artist_warp(&artist, 321, 123);
    p = wait_and_take(s);
    assert_shows_pointer(p, 321, 123, RED);
    picture_unref(&p);
    source_close(&s);
}

static void no_trail_stays(void **state)
{
    (void)state;
    prepare();
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *last = settle(s), *held = NULL;
    int x = 100, y = 100;
    for (int i = 0; i < 150; i++) {
        /* Over the edges too, with drawing under, beside and between. */
        int nx = (int)artist_random(&artist, W), ny = (int)artist_random(&artist, H);
        if (i % 7 == 0)
            nx = artist_random(&artist, 2) ? 0 : W - 1;
        if (i % 5 == 0)
            artist_noise(&artist, artist.screen->root, W, H, 60);
        if (i % 6 == 0)
            artist_fill(&artist, artist.screen->root, (struct rect){x - 4, y - 4, 30, 7}, i * 977u);
        if (i % 11 != 0) {
            artist_move_mouse(&artist, nx, ny);
            x = nx;
            y = ny;
        }
        artist_sync(&artist);
        struct picture *p = take(s);
        assert_shows_pointer(p, x, y, RED);
        assert_damage_tells(last, p);
        picture_unref(&last);
        last = picture_ref(p);
        if (i % 3 == 0) {
            picture_unref(&held);
            held = picture_ref(p);
        }
        picture_unref(&p);
    }
    picture_unref(&last);
    picture_unref(&held);
    source_close(&s);
}

static void its_shape_changes(void **state)
{
    (void)state;
    prepare();
    struct source *s = fixture_open((struct source_config){.cursor = true});
    struct picture *p = settle(s), *q;
    artist_square_cursor(&artist, SIZE, GREEN);
    q = wait_and_take(s);
    assert_shows_pointer(q, 100, 100, GREEN);
    assert_damage_tells(p, q);
    picture_unref(&p);
    picture_unref(&q);
    source_close(&s);
}

static void left_out_when_not_wanted(void **state)
{
    (void)state;
    prepare();
    struct source *s = fixture_open((struct source_config){.cursor = false});
    struct picture *p = settle(s);
    assert_shows_screen(p);
    picture_unref(&p);
    artist_move_mouse(&artist, 50, 50);
    assert_int_equal(s->ops->wait(s, QUIET_US), SOURCE_IDLE);
    source_close(&s);
}

static void outside_of_a_region_it_is_no_change(void **state)
{
    (void)state;
    prepare();
    struct source *s =
        fixture_open((struct source_config){.cursor = true, .region = "101x99+300+200"});
    struct picture *p = settle(s);
    assert_shows(p, artist.screen->root, (struct rect){300, 200, 101, 99});
    picture_unref(&p);
    artist_move_mouse(&artist, 50, 50);
    assert_int_equal(s->ops->wait(s, QUIET_US), SOURCE_IDLE);
    artist_move_mouse(&artist, 310, 210);
    p = wait_and_take(s);
    assert_int_equal(pixel(p, 10, 10), RED);
    picture_unref(&p);
    artist_move_mouse(&artist, 50, 50);
    p = wait_and_take(s);
    assert_shows(p, artist.screen->root, (struct rect){300, 200, 101, 99});
    picture_unref(&p);
    source_close(&s);
}

static void over_a_window_only_where_it_is_on_top(void **state)
{
    (void)state;
    prepare();
    artist_window(&artist, (struct rect){100, 50, 300, 200}, 0x336699, "below");
    artist_window(&artist, (struct rect){300, 50, 200, 200}, 0x777777, "above");
    struct source *s = fixture_open((struct source_config){.cursor = true, .window = "below"});
    struct picture *p = settle(s);
    picture_unref(&p);
    artist_move_mouse(&artist, 150, 100);
    p = wait_and_take(s);
    assert_int_equal(pixel(p, 50, 50), RED);
    assert_int_equal(pixel(p, 50 + SIZE, 50), 0x336699);
    picture_unref(&p);
    artist_move_mouse(&artist, 350, 100); /* over the other one, which covers it there */
    p = wait_and_take(s);
    assert_int_equal(pixel(p, 50, 50), 0x336699);
    assert_int_equal(pixel(p, 250, 50), 0x336699);
    picture_unref(&p);
    source_close(&s);
}

int main(void)
{
    xserver_need("Xvfb");
    const struct CMUnitTest tests[] = {
        X11_TEST(its_movement_is_an_event),
        X11_TEST(a_program_moves_it),
        X11_TEST(no_trail_stays),
        X11_TEST(its_shape_changes),
        X11_TEST(left_out_when_not_wanted),
        X11_TEST(outside_of_a_region_it_is_no_change),
        X11_TEST(over_a_window_only_where_it_is_on_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
