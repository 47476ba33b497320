/* The emulator's core in virtual time: what is asked for is what happens, to the microsecond. */
#include "link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000000, MANY = 200000 };

static struct link *open_link(const char *keys, uint64_t seed)
{
    struct link_config c;
    char scratch[256];
    const char *bad;
    link_config_init(&c);
    assert_true(link_config_parse(&c, keys, scratch, sizeof scratch, &bad));
    struct link *l = link_new(&c, seed, 0);
    assert_non_null(l);
    return l;
}

static void push(struct link *l, uint32_t number, size_t len, int64_t now_us)
{
    uint8_t data[LINK_PACKET_MAX] = {0};
    memcpy(data, &number, sizeof number);
    link_push(l, data, len, len, now_us);
}

/* The next one that comes out, at its time. -1: none. */
static int64_t next_out(struct link *l, uint32_t *number, int64_t *at_us)
{
    const uint8_t *data;
    int64_t due;
    for (int64_t t; (t = link_next_us(l)) != INT64_MAX;) {
        size_t n = link_pop(l, t, &data, &due);
        if (n == 0)
            continue;
        memcpy(number, data, sizeof *number);
        assert_int_equal(due, t);
        *at_us = t;
        return (int64_t)n;
    }
    return -1;
}

static void rate_and_delay_are_exact(void **state)
{
    (void)state;
    struct link *l = open_link("rate=8M delay=20", 1);
    uint32_t number;
    int64_t at;
    for (uint32_t i = 0; i < 10; i++)
        push(l, i, 1000, 5000); /* 1 ms each */
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(next_out(l, &number, &at), 1000);
        assert_int_equal(number, i);
        assert_int_equal(at, 5000 + 1000 * (i + 1) + 20000);
    }
    struct link_stats s;
    link_get_stats(l, SECOND, &s);
    assert_int_equal(s.bytes_out, 10000);
    assert_int_equal(s.busy_us, 10000);
    assert_int_equal(s.capacity_bytes, 1000000);
    assert_int_equal(s.wait_max_us, 9000);
    assert_int_equal(s.wait_p50_us, 4000);
    link_free(&l);
    assert_null(l);
}

static void the_queue_overflows_at_its_length(void **state)
{
    (void)state;
    struct link *l = open_link("rate=8M queue=10", 1);
    for (uint32_t i = 0; i < 30; i++)
        push(l, i, 1000, 0);
    struct link_stats s;
    link_get_stats(l, SECOND, &s);
    assert_int_equal(s.packets_out, 11); /* the one in sending, and those that wait up to 10 ms */
    assert_int_equal(s.overflowed, 19);
    assert_true(s.wait_max_us == 10000);
    link_free(&l);
    l = open_link("rate=8M queue=3500B", 1);
    for (uint32_t i = 0; i < 30; i++)
        push(l, i, 1000, 0);
    link_get_stats(l, SECOND, &s);
    assert_int_equal(s.packets_out, 3);
    link_free(&l);
}

static void a_change_of_rate_meets_what_waits(void **state)
{
    (void)state;
    struct link *l = open_link("rate=8M", 1);
    struct link_config c = *link_last_config(l);
    c.rate_bps = 800000;
    assert_true(link_plan(l, &c, 1500)); /* in the middle of the second packet */
    c.rate_bps = 8000000;
    assert_true(link_plan(l, &c, 16500));
    uint32_t number;
    int64_t at;
    for (uint32_t i = 0; i < 4; i++)
        push(l, i, 1000, 0);
    /* 1 ms; 0.5 ms and 5 ms of the second; 10 ms of the third; 1 ms again */
    static const int64_t want[] = {1000, 6500, 16500, 17500};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next_out(l, &number, &at), 1000);
        assert_int_equal(at, want[i]);
    }
    const struct link_slice *slice;
    struct link_stats s;
    link_get_stats(l, 200000, &s);
    assert_int_equal(link_series(l, &slice), 2);
    assert_int_equal(slice[0].bytes, 4000);
    assert_int_equal(slice[0].capacity, 1500 + 1500 + 83500);
    assert_int_equal(slice[1].capacity, 100000);
    link_free(&l);
}

static double lost_share(const char *keys, uint64_t seed, double *burst)
{
    struct link *l = open_link(keys, seed);
    uint32_t number, expected = 0;
    int64_t at, bursts = 0, lost = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        push(l, i, 100, (int64_t)i * 100);
        while (link_next_us(l) <= (int64_t)i * 100) {
            if (next_out(l, &number, &at) < 0)
                break;
            lost += number - expected;
            bursts += number != expected;
            expected = number + 1;
        }
    }
    *burst = bursts ? (double)lost / (double)bursts : 0;
    link_free(&l);
    return (double)lost / MANY;
}

static void loss_is_as_often_as_asked(void **state)
{
    (void)state;
    double burst;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        double p = lost_share("loss=5", seed, &burst);
        assert_true(p > 0.047 && p < 0.053);
        assert_true(burst > 1.0 && burst < 1.1); /* 1 / (1 - p) */
        p = lost_share("burst=5:8", seed, &burst);
        assert_true(p > 0.044 && p < 0.056);
        assert_true(burst > 7.5 && burst < 8.5);
    }
    assert_true(lost_share("", 1, &burst) == 0);
    assert_true(lost_share("burst=5:8 burst=0", 1, &burst) == 0);
}

static void the_same_seed_is_the_same_network(void **state)
{
    (void)state;
    const char *keys = "rate=20M loss=5 jitter=5 delay=10 duplicate=1";
    struct link *l[3] = {open_link(keys, 7), open_link(keys, 7), open_link(keys, 8)};
    int differ = 0;
    for (uint32_t i = 0; i < 1000; i++)
        for (int k = 0; k < 3; k++)
            push(l[k], i, 500, (int64_t)i * 250);
    for (int i = 0; i < 900; i++) {
        uint32_t number[3];
        int64_t at[3];
        for (int k = 0; k < 3; k++)
            assert_int_equal(next_out(l[k], &number[k], &at[k]), 500);
        assert_int_equal(number[0], number[1]);
        assert_int_equal(at[0], at[1]);
        differ += at[0] != at[2];
    }
    assert_true(differ > 800);
    for (int k = 0; k < 3; k++)
        link_free(&l[k]);
}

/* How many come after one with a higher number; the spread of their delays. */
static int overtaken(const char *keys, int64_t *shortest, int64_t *longest, int *count)
{
    struct link *l = open_link(keys, 3);
    uint32_t number, highest = 0;
    int64_t at;
    int n = 0;
    *shortest = INT64_MAX;
    *longest = 0;
    *count = 0;
    for (uint32_t i = 0; i < 10000; i++)
        push(l, i, 100, (int64_t)i * 1000);
    while (next_out(l, &number, &at) > 0) {
        int64_t delay = at - (int64_t)number * 1000;
        *shortest = delay < *shortest ? delay : *shortest;
        *longest = delay > *longest ? delay : *longest;
        n += number < highest;
        highest = number > highest ? number : highest;
        ++*count;
    }
    link_free(&l);
    return n;
}

static void jitter_and_order(void **state)
{
    (void)state;
    int64_t shortest, longest;
    int count;
    assert_int_equal(overtaken("delay=50 jitter=30", &shortest, &longest, &count), 0);
    /* In order: the late ones hold up those behind them. */
    assert_true(shortest >= 20000 && longest <= 80000 && longest > 75000);
    assert_true(overtaken("delay=50 jitter=30 unordered=1", &shortest, &longest, &count) > 5000);
    assert_true(shortest >= 20000 && shortest < 21000 && longest <= 80000 && longest > 79000);
    int late = overtaken("delay=50 reorder=2:15", &shortest, &longest, &count);
    assert_true(late > 150 && late < 250);
    assert_int_equal(shortest, 50000);
    assert_int_equal(longest, 65000);
    overtaken("duplicate=3", &shortest, &longest, &count);
    assert_true(count > 10200 && count < 10400);
}

static void a_change_is_from_now_on(void **state)
{
    (void)state;
    struct link *l = open_link("delay=10", 1);
    struct link_config c = *link_last_config(l);
    uint32_t number;
    int64_t at;
    push(l, 1, 100, 0);
    c.delay_us = 30000;
    link_configure(l, &c, 1000);
    push(l, 2, 100, 1000);
    assert_true(next_out(l, &number, &at) > 0 && at == 10000);
    assert_true(next_out(l, &number, &at) > 0 && at == 31000);
    /* shorter again: the order is kept */
    push(l, 3, 100, 40000);
    c.delay_us = 5000;
    link_configure(l, &c, 41000);
    push(l, 4, 100, 41000);
    assert_true(next_out(l, &number, &at) > 0 && number == 3 && at == 70000);
    assert_true(next_out(l, &number, &at) > 0 && number == 4 && at == 70000);
    link_free(&l);
}

static void words(void **state)
{
    (void)state;
    struct link_config c;
    char scratch[128];
    const char *bad;
    link_config_init(&c);
    assert_true(link_config_parse(&c, "rate=1.5M, delay=2.5 queue=64000B loss=0.5 burst=5:8 reorder=1:20",
                                  scratch, sizeof scratch, &bad));
    assert_int_equal(c.rate_bps, 1500000);
    assert_int_equal(c.delay_us, 2500);
    assert_int_equal(c.queue_bytes, 64000);
    assert_true(c.loss == 0.005 && c.burst_loss == 0.05 && c.burst_length == 8);
    assert_int_equal(c.reorder_us, 20000);
    static const char *const wrong[] = {"rate", "rate=x", "rate=-1", "loss=101", "burst=5:0.5",
                                        "delay=1e99", "speed=3", "rate=10", "unordered=2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct link_config before = c;
        assert_false(link_config_parse(&c, wrong[i], scratch, sizeof scratch, &bad));
        assert_memory_equal(&before, &c, sizeof c);
    }
    memset(scratch, 'x', sizeof scratch);
    scratch[sizeof scratch - 1] = 0;
    char small[16];
    assert_false(link_config_parse(&c, scratch, small, sizeof small, &bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_and_delay_are_exact),
        cmocka_unit_test(the_queue_overflows_at_its_length),
        cmocka_unit_test(a_change_of_rate_meets_what_waits),
        cmocka_unit_test(loss_is_as_often_as_asked),
        cmocka_unit_test(the_same_seed_is_the_same_network),
        cmocka_unit_test(jitter_and_order),
        cmocka_unit_test(a_change_is_from_now_on),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
