/* src/session/show_queue. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "session/show_queue.h"

static struct picture *picture(int64_t show_us, int size)
{
    struct picture *p = picture_new(PIX_I420, size, size);
    assert_non_null(p);
    p->show_us = p->pts_us = show_us;
    return p;
}

static int64_t take(struct show_queue *q, int64_t now_us)
{
    struct picture *p = show_queue_take(q, now_us);
    int64_t show_us = p ? p->show_us : -1;
    picture_unref(&p);
    return show_us;
}

static void shows_in_time(void **state)
{
    (void)state;
    struct show_queue *q = show_queue_new("display");
    assert_true(show_queue_next_us(q) == INT64_MAX);
    assert_int_equal(take(q, 5), -1);
    assert_true(show_queue_put(q, picture(100, 16), 100)); /* due: wakes */
    assert_int_equal(take(q, 100), 100);
    assert_true(show_queue_put(q, picture(150, 16), 110));  /* the first that waits */
    assert_false(show_queue_put(q, picture(180, 16), 120)); /* comes after it anyway */
    assert_int_equal(show_queue_next_us(q), 150);
    assert_int_equal(take(q, 149), -1);
    assert_int_equal(take(q, 150), 150);
    assert_int_equal(show_queue_next_us(q), 180);
    /* Two are due: the newest wins. */
    show_queue_put(q, picture(190, 16), 185);
    show_queue_put(q, picture(300, 16), 185);
    assert_int_equal(take(q, 200), 190);
    struct queue_stats st = show_queue_stats(q);
    assert_int_equal(st.drops, 1);
    assert_int_equal(st.length, 1);
    show_queue_free(&q);
    assert_null(q);
}

static void is_bounded(void **state)
{
    (void)state;
    struct show_queue *q = show_queue_new("display");
    for (int i = 0; i < 100; i++)
        show_queue_put(q, picture(1000 + i, 16), 0);
    assert_int_equal(show_queue_stats(q).length, SHOW_QUEUE_MAX);
    assert_int_equal(show_queue_next_us(q), 1000 + 100 - SHOW_QUEUE_MAX);
    for (int i = 0; i < 10; i++) /* 37 MB each, never touched */
        show_queue_put(q, picture(2000 + i, 5000), 0);
    assert_true(show_queue_stats(q).length <= 7);
    assert_int_equal(take(q, 3000), 2009);
    show_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shows_in_time), cmocka_unit_test(is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
