/* What is dirty, and what of it is new, moved or unchanged. */
#include "convert/convert.h"
#include "encode/content.h"
#include "scenes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct picture *planes_of(const struct picture *bgrx)
{
    struct picture *p = picture_new(PIX_I420, bgrx->width, bgrx->height);
    convert_bgrx_to_yuv709(bgrx, p, (struct rect){0, 0, bgrx->width, bgrx->height});
    return p;
}

static double novel_share(const struct content *c)
{
    double novel = 0, area = 0;
    for (int i = 0; i < c->cols * c->rows; i++) {
        novel += c->cells[i].novel / 255. * c->cells[i].dirty_area;
        area += c->cells[i].dirty_area;
    }
    return area > 0 ? novel / area : 0;
}

static void test_scroll_is_moved(void **state)
{
    (void)state;
    struct scene s;
    assert_true(scene_init(&s, SCENE_TERMINAL, 700, 500));
    struct content c;
    assert_true(content_init(&c, PIX_I420, 700, 500));
    struct picture *p = planes_of(s.pic);
    content_update(&c, p, &s.pic->damage, false);
    assert_true(novel_share(&c) > 0.99); /* the first picture: all of it */
    picture_unref(&p);
    for (int i = 0; i < 4; i++) {
        scene_step(&s);
        p = planes_of(s.pic);
        content_update(&c, p, &s.pic->damage, false);
        double share = novel_share(&c);
        assert_true(share > 0.02 && share < 0.25); /* one to three lines of 31 */
        picture_unref(&p);
    }
    content_free(&c);
    scene_free(&s);
}

static void test_dirty_is_what_changed(void **state)
{
    (void)state;
    struct picture *bgrx = picture_new(PIX_BGRX, 330, 200);
    uint32_t seed = 3;
    scene_text(bgrx, (struct rect){0, 0, 330, 200}, 0x101010, 0xf0f0f0, &seed);
    struct content c;
    assert_true(content_init(&c, PIX_I420, 330, 200));
    struct damage all;
    damage_set_all(&all, 330, 200);
    struct picture *p = planes_of(bgrx);
    content_update(&c, p, &all, false);
    content_update(&c, p, &all, false); /* the same again: nothing is dirty */
    for (int i = 0; i < c.cols * c.rows; i++)
        assert_int_equal(c.cells[i].dirty_area, 0);
    picture_unref(&p);
    struct rect r = {70, 70, 10, 6}; /* in the second cell of the second row */
    scene_fill(bgrx, r, 0x3050ff);
    p = planes_of(bgrx);
    struct damage d = {.n = 1, .r = {{66, 66, 30, 40}}};
    content_update(&c, p, &d, false);
    for (int i = 0; i < c.cols * c.rows; i++) {
        if (i != c.cols + 1) {
            assert_int_equal(c.cells[i].dirty_area, 0);
            continue;
        }
        assert_true(rect_contains(c.cells[i].dirty, r));
        assert_true(c.cells[i].dirty_area <= 32 * 16);
    }
    picture_unref(&p);
    picture_unref(&bgrx);
    content_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scroll_is_moved),
                                       cmocka_unit_test(test_dirty_is_what_changed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
