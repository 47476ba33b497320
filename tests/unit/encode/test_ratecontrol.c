/* The size model against a made-up encoder whose true costs it does not know. */
#include "encode/ratecontrol.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct content text_screen(void)
{
    struct content c;
    assert_true(content_init(&c, PIX_I420, 1920, 1080));
    for (int i = 0; i < c.cols * c.rows; i++) {
        struct cell *cell = &c.cells[i];
        static const uint16_t hist[CELL_BINS] = {2600, 100, 100, 100, 150, 200, 300, 300, 246};
        memcpy(cell->hist, hist, sizeof hist);
        memcpy(cell->whole, hist, sizeof hist);
        cell->dirty = content_cell_rect(&c, i);
        cell->dirty_area = (uint16_t)(cell->dirty.w * cell->dirty.h);
        cell->novel = 255;
    }
    return c;
}

/* Truth: a constant times the work, and some more. */
static size_t encode(const struct rc_work *w, int qp, double truth)
{
    double sum = 80;
    for (int k = 0; k < RC_PARTS; k++)
        sum += truth * w->part[k][qp];
    return (size_t)sum;
}

static void test_monotonous(void **state)
{
    (void)state;
    struct content c = text_screen();
    struct ratecontrol rc;
    struct rc_work w;
    ratecontrol_init(&rc);
    ratecontrol_work(&w, &c, true);
    for (int qp = 1; qp <= RC_QP_MAX; qp++)
        assert_true(ratecontrol_bytes(&rc, &w, qp) < ratecontrol_bytes(&rc, &w, qp - 1));
    int last = RC_QP_MAX;
    for (size_t budget = 1000; budget < 4000000; budget *= 2) {
        int qp = ratecontrol_pick(&rc, &w, budget);
        assert_in_range(qp, RC_QP_MIN, last);
        last = qp;
    }
    assert_int_equal(last, RC_QP_MIN);
    content_free(&c);
}

static void test_learns(void **state)
{
    (void)state;
    struct content c = text_screen();
    for (int i = 0; i < c.cols * c.rows; i++)
        c.cells[i].novel = i % 10 ? 0 : 255, c.cells[i].qp = 51;
    static const double truths[] = {0.3, 0.8, 0.2};
    struct ratecontrol rc;
    ratecontrol_init(&rc);
    for (size_t t = 0; t < 3; t++) {
        for (int i = 0; i < 30; i++) {
            size_t budget = i < 15 ? 33000 : 6250; /* the target falls: the next one follows */
            struct rc_work w;
            ratecontrol_work(&w, &c, false);
            int qp = ratecontrol_pick(&rc, &w, budget);
            size_t bytes = encode(&w, qp, truths[t]);
            if (i > 8) {
                assert_true(qp == RC_QP_MAX || bytes < budget * 3 / 2);
                assert_true(qp == RC_QP_MIN || bytes > budget / 3);
            }
            ratecontrol_learn(&rc, &w, qp, bytes);
        }
    }
    content_free(&c);
}

static void test_refine_ends(void **state)
{
    (void)state;
    struct content c = text_screen();
    for (int i = 0; i < c.cols * c.rows; i++)
        c.cells[i].qp = (uint8_t)(30 + i % 15);
    struct ratecontrol rc;
    ratecontrol_init(&rc);
    int steps = 0;
    for (; ratecontrol_wants_more(&c); steps++) {
        struct rc_work w;
        int qp = ratecontrol_plan_refine(&rc, &c, &w, 33000, 170);
        assert_in_range(qp, RC_QP_MIN, RC_QP_MAX);
        int cells = 0;
        for (int i = 0; i < c.cols * c.rows; i++)
            if (c.cells[i].dirty_area) {
                assert_true(c.cells[i].qp > qp);
                c.cells[i].qp = (uint8_t)qp;
                cells++;
            }
        assert_in_range(cells, 1, 170);
        size_t bytes = encode(&w, qp, 0.4);
        assert_true(bytes < 4 * 33000);
        ratecontrol_learn(&rc, &w, qp, bytes);
        assert_true(steps < 200);
    }
    struct rc_work w;
    assert_int_equal(ratecontrol_plan_refine(&rc, &c, &w, 33000, 170), 0);
    /* A budget of next to nothing still comes to an end. */
    c.cells[7].qp = 51;
    for (steps = 0; ratecontrol_wants_more(&c) && steps < 100; steps++) {
        int qp = ratecontrol_plan_refine(&rc, &c, &w, 50, 170);
        assert_true(qp > 0 && qp < c.cells[7].qp);
        c.cells[7].qp = (uint8_t)qp;
    }
    assert_false(ratecontrol_wants_more(&c));
    content_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_monotonous),
                                       cmocka_unit_test(test_learns),
                                       cmocka_unit_test(test_refine_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
