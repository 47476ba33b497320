/* The test picture: its description, what it draws, what it says that changed, its clock. */
#include "base/clock.h"
#include "base/error.h"
#include "source/source.h"
#include "source/testcard.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void parses_the_spec(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int w, h, fps; /* 0: refused */
    } cases[] = {
        {"test", 1920, 1080, 30},
        {"test:640x480", 640, 480, 30},
        {"test:640x480@60", 640, 480, 60},
        {"test:@5", 1920, 1080, 5},
        {"test:641x479@1", 641, 479, 1},
        {"test:8192x8192@240", 8192, 8192, 240},
        {"test:", 0, 0, 0},
        {"test:640", 0, 0, 0},
        {"test:640x", 0, 0, 0},
        {"test:x480", 0, 0, 0},
        {"test:640x480@", 0, 0, 0},
        {"test:640x480@60fps", 0, 0, 0},
        {"test:-640x480", 0, 0, 0},
        {"test:640x480x3", 0, 0, 0},
        {"test:99999999999x480", 0, 0, 0},
        {"test:64x64", 0, 0, 0},
        {"test:8193x100", 0, 0, 0},
        {"test:640x480@0", 0, 0, 0},
        {"test:640x480@241", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int w, h, fps, rc = testcard_parse(cases[i].spec, &w, &h, &fps);
        if (!cases[i].w) {
            assert_int_equal(rc, ERR_INVALID);
            assert_non_null(strstr(error_text(), cases[i].spec));
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(w, cases[i].w);
        assert_int_equal(h, cases[i].h);
        assert_int_equal(fps, cases[i].fps);
    }
}

static void takes_its_own_name_alone(void **state)
{
    (void)state;
    assert_true(source_test.takes("test"));
    assert_true(source_test.takes("test:1x1"));
    assert_false(source_test.takes("tests"));
    assert_false(source_test.takes("test.mkv"));
    assert_false(source_test.takes(NULL));
}

static struct source *open_card(const char *spec, int fps)
{
    struct source *s = NULL;
    struct source_config config = {.spec = spec, .fps = fps};
    assert_int_equal(source_test.open(&s, &config), 0);
    return s;
}

static struct picture *next_picture(struct source *s)
{
    struct picture *p = NULL;
    assert_int_equal(s->ops->wait(s, 5000000), SOURCE_CHANGED);
    assert_int_equal(s->ops->read(s, &p), 0);
    return p;
}

static uint32_t pixel(const struct picture *p, int x, int y)
{
    const uint8_t *b = p->plane[0] + (ptrdiff_t)y * p->stride[0] + 4 * x;
    return (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static void bars_are_exact(void **state)
{
    (void)state;
    struct source *s = open_card("test:641x479", 60);
    struct picture *p = next_picture(s);
    assert_int_equal(p->fmt, PIX_BGRX);
    assert_int_equal(p->width, 641);
    assert_int_equal(p->height, 479);
    for (int x = 0; x < 641; x++) {
        int bar = 0;
        while (x >= (bar + 1) * 641 / 8)
            bar++;
        assert_int_equal(pixel(p, x, 0), testcard_bars[bar]);
        assert_int_equal(pixel(p, x, 479 / 3 - 2), testcard_bars[bar]);
    }
    picture_unref(&p);
    source_test.close(s);
}

/* The damage is enough: what it does not cover is as before; and it is far from all. */
static void damage_covers_every_change(void **state)
{
    (void)state;
    static const char *const specs[] = {"test:320x240@240", "test:131x97@240", "test:1279x719@240"};
    for (size_t k = 0; k < sizeof specs / sizeof specs[0]; k++) {
        struct source *s = open_card(specs[k], 240);
        struct picture *was = next_picture(s);
        assert_true(damage_is_all(&was->damage, was->width, was->height));
        for (int i = 0; i < 30; i++) {
            struct picture *is = next_picture(s);
            assert_true(is->damage.n > 0);
            assert_false(damage_is_all(&is->damage, is->width, is->height));
            for (int y = 0; y < is->height; y++) {
                for (int x = 0; x < is->width; x++) {
                    if (pixel(was, x, y) == pixel(is, x, y))
                        continue;
                    bool covered = false;
                    for (int r = 0; r < is->damage.n; r++)
                        covered = covered || rect_contains(is->damage.r[r],
                                                           (struct rect){x, y, 1, 1});
                    if (!covered)
                        fail_msg("%s: pixel %d,%d changed outside the damage", specs[k], x, y);
                }
            }
            picture_unref(&was);
            was = is;
        }
        picture_unref(&was);
        source_test.close(s);
    }
}

static void stamp_tells_the_time(void **state)
{
    (void)state;
    static const char *const specs[] = {"test:128x96@100", "test:1919x1079@30", "test:300x200@60"};
    for (size_t k = 0; k < sizeof specs / sizeof specs[0]; k++) {
        struct source *s = open_card(specs[k], 100);
        struct testcard_stamp last = {.time_us = -1};
        for (int i = 0; i < 3; i++) {
            int64_t before = clock_now_us();
            struct picture *p = next_picture(s);
            struct testcard_stamp stamp;
            assert_true(testcard_read(p, &stamp));
            const int64_t mask = ((int64_t)1 << 48) - 1;
            assert_true(stamp.time_us >= (before & mask));
            assert_true(stamp.time_us <= (p->capture_us & mask));
            assert_true(stamp.time_us > last.time_us);
            assert_true(p->event_us <= p->capture_us && p->pts_us == p->capture_us);
            if (i)
                assert_int_not_equal(stamp.frame, last.frame);
            last = stamp;
            picture_unref(&p);
        }
        source_test.close(s);
    }
}

static void stamp_checks_itself(void **state)
{
    (void)state;
    struct source *s = open_card("test:320x240", 30);
    struct picture *p = next_picture(s);
    struct testcard_strip at = testcard_strip_of(320, 240);
    struct testcard_stamp stamp;
    assert_true(testcard_read(p, &stamp));
    /* Turn over one bit at a time: the checksum finds each. */
    for (int row = 0; row < TESTCARD_ROWS; row++) {
        for (int column = 1; column <= 16; column++) {
            for (int turn = 0; turn < 2; turn++) {
                for (int y = 0; y < at.cell; y++) {
                    uint8_t *line = p->plane[0] +
                                    (ptrdiff_t)(at.y + row * at.cell + y) * p->stride[0];
                    for (int x = 0; x < at.cell * 4; x++)
                        line[column * at.cell * 4 + x] ^= 0xff;
                }
                assert_true(testcard_read(p, &stamp) == (turn == 1));
            }
        }
    }
    memset(p->plane[0], 0, (size_t)p->stride[0] * 240); /* a black picture has no time */
    assert_false(testcard_read(p, &stamp));
    picture_unref(&p);
    source_test.close(s);
}

static void reading_again_changes_nothing(void **state)
{
    (void)state;
    struct source *s = open_card("test:320x240@1", 30);
    struct picture *a = next_picture(s), *b = NULL;
    assert_int_equal(s->ops->read(s, &b), 0);
    assert_int_equal(b->damage.n, 0);
    for (int y = 0; y < 240; y++)
        assert_memory_equal(a->plane[0] + (ptrdiff_t)y * a->stride[0],
                            b->plane[0] + (ptrdiff_t)y * b->stride[0], 320 * 4);
    picture_unref(&a);
    picture_unref(&b);
    source_test.close(s);
}

static void runs_out_of_buffers_politely(void **state)
{
    (void)state;
    struct source *s = open_card("test:128x96@240", 240);
    struct picture *held[64];
    int n = 0, rc;
    while (n < 64 && (rc = s->ops->read(s, &held[n])) == 0)
        n++;
    assert_true(n >= 3 && n < 64);
    assert_int_equal(rc, ERR_TIMEOUT);
    source_test.close(s); /* while its pictures are still held */
    while (n)
        picture_unref(&held[--n]);
}

static void *interrupt_soon(void *arg)
{
    usleep(20000);
    source_test.interrupt(arg);
    return NULL;
}

static void waits_and_is_interrupted(void **state)
{
    (void)state;
    struct source *s = open_card("test:128x96@1", 30);
    struct picture *p = next_picture(s);
    picture_unref(&p);
    assert_int_equal(s->ops->wait(s, 1000), SOURCE_IDLE); /* the next one is a second away */
    s->ops->interrupt(s);
    assert_int_equal(s->ops->wait(s, -1), SOURCE_IDLE); /* also when it came before */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, s), 0);
    assert_int_equal(s->ops->wait(s, -1), SOURCE_IDLE);
    pthread_join(thread, NULL);
    source_test.close(s);
}

static void never_faster_than_asked(void **state)
{
    (void)state;
    struct source *s = open_card("test:128x96@240", 50);
    assert_true(s->info.fps == 50);
    int64_t start = 0;
    for (int i = 0; i < 6; i++) {
        struct picture *p = next_picture(s);
        if (i == 0)
            start = p->capture_us;
        else if (i == 5) /* five intervals of 20 ms, the first maybe begun */
            assert_true(p->capture_us - start >= 4 * 20000);
        picture_unref(&p);
    }
    source_test.close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_spec),
        cmocka_unit_test(takes_its_own_name_alone),
        cmocka_unit_test(bars_are_exact),
        cmocka_unit_test(damage_covers_every_change),
        cmocka_unit_test(stamp_tells_the_time),
        cmocka_unit_test(stamp_checks_itself),
        cmocka_unit_test(reading_again_changes_nothing),
        cmocka_unit_test(runs_out_of_buffers_politely),
        cmocka_unit_test(waits_and_is_interrupted),
        cmocka_unit_test(never_faster_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
