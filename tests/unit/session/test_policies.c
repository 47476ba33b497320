/* The pure policies of a session: key frames, budget, the group that is kept. */
#include "session/budget.h"
#include "session/gop_cache.h"
#include "session/key_governor.h"
#include "session/ref_news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void key_frames_are_300_ms_apart(void **state)
{
    (void)state;
    struct key_governor g = {0};
    assert_false(key_governor_poll(&g, 1000));
    assert_int_equal(key_governor_next_us(&g), INT64_MAX);
    key_governor_request(&g);
    assert_true(key_governor_poll(&g, 1000)); /* the first at once */
    for (int i = 0; i < 100; i++) /* a storm */
        key_governor_request(&g);
    assert_false(key_governor_poll(&g, 1000 + KEY_INTERVAL_US - 1));
    assert_int_equal(key_governor_next_us(&g), 1000 + KEY_INTERVAL_US);
    assert_true(key_governor_poll(&g, 1000 + KEY_INTERVAL_US));
    assert_false(key_governor_poll(&g, 100 * KEY_INTERVAL_US)); /* all were answered by one */
}

static void a_key_frame_seen_answers_what_is_pending(void **state)
{
    (void)state;
    struct key_governor g = {0};
    key_governor_request(&g);
    key_governor_seen(&g, 500);
    assert_false(key_governor_poll(&g, 10 * KEY_INTERVAL_US));
}

static void a_still_screen_saves_for_a_sharp_change(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 8000000, 100, 50, 0);
    assert_int_equal(budget_hold_us(&b, 0), 0);
    assert_true(budget_spare(&b, 0));
    size_t first = budget_bytes(&b, false, 0);
    assert_int_equal(first, 50000); /* half of 100 ms at 8 Mb/s */
    assert_int_equal(budget_bytes(&b, true, 0), 100000);
}

/* Whatever the pictures take, over time no more than the rate goes out, but for the depth. */
static void debt_is_paid_by_skipping(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 8000000, 100, 60, 0);
    int64_t now = 0, spent = 0;
    while (now < 10000000) {
        int64_t hold = budget_hold_us(&b, now);
        if (hold > 0) {
            now += hold;
            continue;
        }
        size_t bytes = 3 * budget_bytes(&b, false, now); /* a bad encoder: three times too much */
        budget_spend(&b, bytes, now);
        spent += (int64_t)bytes;
        now += 16667;
    }
    assert_in_range(spent, 9000000, 10000000 + 100000 + 3 * 50000);
}

static void motion_gets_its_share_of_each_interval(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 8000000, 100, 50, 0);
    int64_t now = 0;
    size_t bytes = 0;
    for (int i = 0; i < 200; i++, now += 20000) {
        bytes = budget_bytes(&b, false, now);
        budget_spend(&b, bytes, now);
    }
    assert_in_range(bytes, 19000, 21000); /* 8 Mb/s at 50 pictures a second */
}

static void a_new_rate_counts_at_once(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 8000000, 100, 50, 0);
    budget_spend(&b, budget_bytes(&b, false, 0), 0);
    budget_set_rate(&b, 1500000, 20000);
    assert_in_range(budget_bytes(&b, false, 20000), 3750, 9375);
    budget_spend(&b, 100000, 20000);
    assert_true(budget_hold_us(&b, 20000) > 400000);
}

static struct access_unit *unit(bool irap, size_t len)
{
    struct access_unit *au = access_unit_new(len);
    au->len = len;
    au->irap = irap;
    return au;
}

static void add(struct gop_cache *g, bool irap, size_t len)
{
    struct access_unit *au = unit(irap, len);
    gop_cache_add(g, au);
    access_unit_unref(&au);
}

static void the_group_since_the_last_irap_is_kept(void **state)
{
    (void)state;
    struct gop_cache g;
    gop_cache_init(&g, 1000);
    add(&g, false, 10); /* before the first IRAP: of no use */
    assert_int_equal(g.count, 0);
    add(&g, true, 100);
    add(&g, false, 10);
    add(&g, false, 10);
    assert_int_equal(g.count, 3);
    assert_true(g.au[0]->irap);
    add(&g, true, 50);
    assert_int_equal(g.count, 1);
    assert_int_equal(g.bytes, 50);
    gop_cache_clear(&g);
}

static void a_group_over_its_bound_is_given_up(void **state)
{
    (void)state;
    struct gop_cache g;
    gop_cache_init(&g, 1000);
    add(&g, true, 600);
    add(&g, false, 500);
    assert_true(g.overflowed);
    assert_int_equal(g.count, 0);
    add(&g, false, 1); /* its reference is gone */
    assert_int_equal(g.count, 0);
    add(&g, true, 600);
    assert_false(g.overflowed);
    assert_int_equal(g.count, 1);
    gop_cache_clear(&g);
}

static void ref_news_that_overflow_are_one_word(void **state)
{
    (void)state;
    struct ref_news q;
    struct ref_event e;
    ref_news_init(&q);
    assert_false(ref_news_pop(&q, &e));
    ref_news_push(&q, REF_ACKED, 7);
    ref_news_push(&q, REF_LOST, 8);
    assert_true(ref_news_pop(&q, &e) && e.type == REF_ACKED && e.pic_id == 7);
    assert_true(ref_news_pop(&q, &e) && e.type == REF_LOST && e.pic_id == 8);
    assert_false(ref_news_pop(&q, &e));
    for (uint64_t id = 0; id <= REF_NEWS_CAPACITY; id++)
        ref_news_push(&q, REF_ACKED, id);
    assert_true(ref_news_pop(&q, &e) && e.type == REF_OVERFLOW);
    assert_true(ref_news_pop(&q, &e) && e.pic_id == REF_NEWS_CAPACITY);
    assert_false(ref_news_pop(&q, &e));
    assert_int_equal(q.drops, REF_NEWS_CAPACITY);
    ref_news_destroy(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_news_that_overflow_are_one_word),
        cmocka_unit_test(key_frames_are_300_ms_apart),
        cmocka_unit_test(a_key_frame_seen_answers_what_is_pending),
        cmocka_unit_test(a_still_screen_saves_for_a_sharp_change),
        cmocka_unit_test(debt_is_paid_by_skipping),
        cmocka_unit_test(motion_gets_its_share_of_each_interval),
        cmocka_unit_test(a_new_rate_counts_at_once),
        cmocka_unit_test(the_group_since_the_last_irap_is_kept),
        cmocka_unit_test(a_group_over_its_bound_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
