/* Damage arithmetic, pictures and their pools, access units. */
#include "base/picture.h"
#include "base/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool covers(const struct damage *d, int x, int y)
{
    for (int i = 0; i < d->n; i++)
        if (x >= d->r[i].x && x < d->r[i].x + d->r[i].w && y >= d->r[i].y &&
            y < d->r[i].y + d->r[i].h)
            return true;
    return false;
}

/* Whatever is added stays covered, however many rectangles are merged. */
static void damage_never_says_too_little(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 50; round++) {
        static bool want[64][64];
        memset(want, 0, sizeof want);
        struct damage d = {.n = 0};
        for (int k = 0; k < 100; k++) {
            struct rect r = {rand() % 60, rand() % 60, 1 + rand() % 4, 1 + rand() % 4};
            damage_add(&d, r);
            for (int y = r.y; y < r.y + r.h; y++)
                for (int x = r.x; x < r.x + r.w; x++)
                    want[y][x] = true;
            assert_in_range(d.n, 1, DAMAGE_MAX);
        }
        for (int y = 0; y < 64; y++)
            for (int x = 0; x < 64; x++)
                if (want[y][x])
                    assert_true(covers(&d, x, y));
    }
}

static void damage_stays_exact_while_it_fits(void **state)
{
    (void)state;
    struct damage d = {.n = 0};
    damage_add(&d, (struct rect){0, 0, 10, 10});
    damage_add(&d, (struct rect){100, 100, 10, 10});
    assert_int_equal(d.n, 2);
    assert_int_equal(damage_area(&d), 200);
    damage_add(&d, (struct rect){2, 2, 3, 3}); /* inside */
    assert_int_equal(d.n, 2);
    damage_add(&d, (struct rect){10, 0, 10, 10}); /* tiles with the first */
    assert_int_equal(d.n, 2);
    assert_int_equal(damage_area(&d), 300);
    damage_add(&d, (struct rect){5, 5, 0, 10}); /* empty */
    assert_int_equal(damage_area(&d), 300);
}

static void damage_clip_rounds_outward_inside_the_picture(void **state)
{
    (void)state;
    struct damage d = {.n = 0};
    damage_add(&d, (struct rect){3, 5, 2, 2});
    damage_add(&d, (struct rect){98, 98, 50, 50});
    damage_add(&d, (struct rect){-10, -10, 5, 5});
    damage_clip(&d, 101, 99, 2);
    assert_int_equal(d.n, 2);
    struct rect a = d.r[0], b = d.r[1];
    assert_true(a.x == 2 && a.y == 4 && a.w == 4 && a.h == 4);
    assert_true(b.x == 98 && b.y == 98 && b.w == 3 && b.h == 1);
}

static void odd_sizes_round_chroma_up(void **state)
{
    (void)state;
    struct picture *p = picture_new(PIX_I420, 33, 17);
    assert_non_null(p);
    assert_int_equal(picture_row_bytes(PIX_I420, 33, 1), 17);
    assert_int_equal(picture_rows(PIX_I420, 17, 2), 9);
    for (int i = 0; i < 3; i++) {
        assert_int_equal((uintptr_t)p->plane[i] % 64, 0);
        memset(p->plane[i], i, (size_t)p->stride[i] * picture_rows(PIX_I420, 17, i));
    }
    picture_unref(&p);
    assert_null(p);
}

static void a_pool_gives_back_what_was_released(void **state)
{
    (void)state;
    struct picture_pool *pool = picture_pool_new(2);
    struct picture *a = picture_pool_get(pool, PIX_BGRX, 64, 48);
    struct picture *b = picture_pool_get(pool, PIX_BGRX, 64, 48);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(picture_pool_get(pool, PIX_BGRX, 64, 48));
    struct picture *was = a;
    a->capture_us = 5;
    damage_set_all(&a->damage, 64, 48);
    picture_unref(&a);
    a = picture_pool_get(pool, PIX_BGRX, 64, 48);
    assert_ptr_equal(a, was);
    assert_int_equal(a->capture_us, 0); /* as new */
    assert_int_equal(a->damage.n, 0);
    picture_unref(&a);
    a = picture_pool_get(pool, PIX_I444, 128, 128); /* another size: made anew */
    assert_non_null(a);
    assert_int_equal(a->width, 128);
    picture_pool_free(&pool); /* lives until its last picture comes back */
    memset(b->plane[0], 1, (size_t)b->stride[0] * 48);
    picture_unref(&b);
    picture_unref(&a);
}

static void an_access_unit_grows(void **state)
{
    (void)state;
    struct access_unit *au = access_unit_new(4);
    for (int i = 0; i < 1000; i++)
        assert_true(access_unit_append(au, "abc", 3));
    assert_int_equal(au->len, 3000);
    assert_memory_equal(au->data + 2997, "abc", 3);
    struct access_unit *other = access_unit_ref(au);
    access_unit_unref(&au);
    assert_int_equal(other->data[0], 'a');
    access_unit_unref(&other);
}

static void percentiles_are_exact(void **state)
{
    (void)state;
    struct duration_stats d = {.n = 0};
    assert_int_equal(duration_percentile(&d, 50), 0);
    for (int i = 100; i >= 0; i--)
        duration_add(&d, i * 10);
    assert_int_equal(duration_percentile(&d, 0), 0);
    assert_int_equal(duration_percentile(&d, 50), 500);
    assert_int_equal(duration_percentile(&d, 95), 950);
    for (int i = 0; i < STATS_WINDOW; i++)
        duration_add(&d, 7);
    assert_int_equal(duration_percentile(&d, 95), 7); /* old samples leave */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_never_says_too_little),
        cmocka_unit_test(damage_stays_exact_while_it_fits),
        cmocka_unit_test(damage_clip_rounds_outward_inside_the_picture),
        cmocka_unit_test(odd_sizes_round_chroma_up),
        cmocka_unit_test(a_pool_gives_back_what_was_released),
        cmocka_unit_test(an_access_unit_grows),
        cmocka_unit_test(percentiles_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
