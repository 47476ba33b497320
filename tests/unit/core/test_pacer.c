/* src/cc/pacer: exact over any steps of time. */
#include "test_util.h"

#include "cc/pacer.h"

/* Sends all it can until end_us; in steps of step_us, or from next time to next time (0). */
static int64_t bytes_until(struct pacer *p, size_t packet, int64_t from_us, int64_t end_us,
                           int64_t step_us)
{
    int64_t sent = 0;
    for (int64_t now = from_us; now < end_us;) {
        while (pacer_allows(p, packet, now)) {
            pacer_sent(p, packet);
            sent += (int64_t)packet;
        }
        int64_t next = pacer_next_us(p, packet);
        assert_true(next > now);
        now = step_us ? now + step_us : next;
    }
    return sent;
}

static void keeps_the_rate(void **state)
{
    (void)state;
    static const struct {
        int64_t bps;
        size_t burst, packet;
        int64_t step_us;
    } cases[] = {
        {1000000, 16384, 1200, 0},   {1000000, 16384, 1200, 1},     {20000000, 16384, 1200, 1000},
        {50000000, 3000, 1200, 0},   {1000000000, 16384, 1200, 0},  {300000, 1200, 1200, 7},
        {20000000, 500, 1200, 0}, /* larger than the burst: one by one */
        {10000000000, 64000, 1200, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pacer p;
        pacer_init(&p, cases[i].bps, cases[i].burst);
        int64_t us = cases[i].step_us == 1 ? 200000 : 1000000;
        int64_t sent = bytes_until(&p, cases[i].packet, 123, 123 + us, cases[i].step_us);
        int64_t want = cases[i].bps / 8 * us / 1000000;
        int64_t slack = (int64_t)(cases[i].burst + cases[i].packet);
        if (sent < want - slack || sent > want + slack)
            fail_msg("case %zu: %lld bytes, not %lld", i, (long long)sent, (long long)want);
    }
}

static void next_time_is_right(void **state)
{
    (void)state;
    for (int64_t bps = 1000; bps < 1000000000; bps = bps * 7 / 3) {
        struct pacer p;
        pacer_init(&p, bps, 5000);
        for (int i = 0; i < 20; i++) {
            int64_t now = pacer_next_us(&p, 1200);
            now = now < 0 ? 0 : now;
            assert_true(pacer_allows(&p, 1200, now));
            pacer_sent(&p, 1200);
            int64_t next = pacer_next_us(&p, 1200);
            if (next > now) { /* a microsecond before, it is not allowed yet */
                struct pacer early = p;
                assert_false(pacer_allows(&early, 1200, next - 1));
                assert_true(pacer_allows(&early, 1200, next));
            }
        }
    }
}

static void burst_after_a_rest(void **state)
{
    (void)state;
    struct pacer p;
    pacer_init(&p, 8000000, 12000);
    int n = 0;
    while (pacer_allows(&p, 1200, 1000)) {
        pacer_sent(&p, 1200);
        n++;
    }
    assert_int_equal(n, 10);
    assert_int_equal(pacer_next_us(&p, 1200), 1000 + 1200); /* 1 byte a microsecond */
    assert_int_equal(pacer_drain_us(&p, 5000), 5000);
    assert_int_equal(pacer_drain_us(&p, 0), 0);
    for (n = 0; pacer_allows(&p, 1200, INT64_MAX / 2); n++) /* centuries later: no more than a burst */
        pacer_sent(&p, 1200);
    assert_int_equal(n, 10);
    pacer_set_rate(&p, 4000000); /* what was sent drains at half the rate */
    assert_int_equal(pacer_next_us(&p, 1200), INT64_MAX / 2 + 2400);
    assert_false(pacer_allows(&p, 1200, 5)); /* a clock that goes back changes nothing */
    pacer_set_rate(&p, -5);
    assert_true(p.bps > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_rate),
        cmocka_unit_test(next_time_is_right),
        cmocka_unit_test(burst_after_a_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
