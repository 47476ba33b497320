/* When a connection is held for lost, and when to try again. */
#include "session/reconnect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { SECOND = 1000000 };

static void a_share_that_falls_silent_is_lost_after_three_reports(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    heartbeat_start(&h, 100);
    assert_int_equal(heartbeat_lost_us(&h), INT64_MAX);
    heartbeat_packet(&h, 200, false);
    assert_int_equal(heartbeat_lost_us(&h), INT64_MAX); /* a server that does not report */
    heartbeat_packet(&h, 300, true);
    assert_int_equal(heartbeat_lost_us(&h), 300 + HEARTBEAT_UNKNOWN_US); /* no rhythm is known */
    for (int i = 1; i <= 10; i++)
        heartbeat_packet(&h, i * SECOND, true);
    assert_int_equal(heartbeat_lost_us(&h), 10 * SECOND + 3500000);
    heartbeat_packet(&h, 10 * SECOND + 400000, false); /* media counts too */
    assert_int_equal(heartbeat_lost_us(&h), 10 * SECOND + 400000 + 3500000);
}

static void its_rhythm_is_kept_when_it_comes_back(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    heartbeat_start(&h, 0);
    for (int i = 1; i <= 3; i++)
        heartbeat_packet(&h, i * SECOND, true);
    heartbeat_start(&h, 50 * SECOND);
    assert_int_equal(heartbeat_lost_us(&h), 50 * SECOND + 3500000);
    heartbeat_packet(&h, 50 * SECOND + 100000, true); /* the 47 s are no part of it */
    assert_int_equal(heartbeat_lost_us(&h), 50 * SECOND + 100000 + 3500000);
}

static void losses_make_it_patient_for_a_while(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    int64_t t = 0;
    heartbeat_start(&h, 0);
    for (int i = 0; i < 5; i++)
        heartbeat_packet(&h, t += SECOND, true);
    heartbeat_packet(&h, t += 3 * SECOND, true); /* two reports were lost */
    assert_int_equal(heartbeat_lost_us(&h) - t, 9500000);
    for (int i = 0; i < HEARTBEAT_MEMORY; i++)
        heartbeat_packet(&h, t += SECOND, true);
    assert_int_equal(heartbeat_lost_us(&h) - t, 3500000);
}

static void reports_that_are_rare_are_waited_for(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    heartbeat_start(&h, 0);
    for (int i = 1; i < 5; i++)
        heartbeat_packet(&h, i * 6 * SECOND, true);
    assert_int_equal(heartbeat_lost_us(&h), 24 * SECOND + HEARTBEAT_MAX_US);
    heartbeat_doubt(&h, 25 * SECOND); /* their absence for a moment says nothing */
    assert_int_equal(heartbeat_lost_us(&h), 24 * SECOND + HEARTBEAT_MAX_US);
}

static void a_doubt_shortens_the_wait_until_a_packet_comes(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    heartbeat_start(&h, 0);
    for (int i = 1; i <= 3; i++)
        heartbeat_packet(&h, i * SECOND, true);
    heartbeat_doubt(&h, 3 * SECOND + 100000);
    assert_int_equal(heartbeat_lost_us(&h), 3 * SECOND + 100000 + HEARTBEAT_DOUBT_US);
    heartbeat_packet(&h, 3 * SECOND + 200000, false);
    assert_int_equal(heartbeat_lost_us(&h), 3 * SECOND + 200000 + 3500000);
    /* It never makes the wait longer. */
    heartbeat_doubt(&h, 6 * SECOND + 600000);
    assert_int_equal(heartbeat_lost_us(&h), 3 * SECOND + 200000 + 3500000);
}

static void who_slept_listens_before_it_judges(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    heartbeat_start(&h, 0);
    for (int i = 1; i <= 3; i++)
        heartbeat_packet(&h, i * SECOND, true);
    heartbeat_slept(&h, 60 * SECOND);
    assert_int_equal(heartbeat_lost_us(&h), 60 * SECOND + HEARTBEAT_DOUBT_US);
    heartbeat_packet(&h, 60 * SECOND + 1, true); /* the 57 s are no rhythm */
    assert_int_equal(heartbeat_lost_us(&h), 60 * SECOND + 1 + 3500000);
    heartbeat_slept(&h, 60 * SECOND + 2); /* and a nap takes nothing away */
    assert_int_equal(heartbeat_lost_us(&h), 60 * SECOND + 1 + 3500000);
}

/* Probes go as heartbeat_probe_us says, without an answer; the time of the loss. */
static int64_t ask_until_lost(struct heartbeat *h, int64_t rtt_us)
{
    for (int i = 0; i < 100; i++) {
        int64_t at = heartbeat_probe_us(h);
        if (heartbeat_lost_us(h) <= at)
            break;
        heartbeat_probed(h, at, rtt_us);
    }
    return heartbeat_lost_us(h);
}

static void who_answers_is_asked_before_it_is_lost(void **state)
{
    (void)state;
    struct heartbeat h = {0};
    int64_t t = 0;
    heartbeat_start(&h, 0);
    for (int i = 0; i < 3; i++)
        heartbeat_packet(&h, t += SECOND, true);
    assert_int_equal(heartbeat_probe_us(&h), INT64_MAX);
    h.answers = true;
    /* a still screen: a report is late, then eight questions */
    assert_int_equal(heartbeat_probe_us(&h), t + 1200000);
    assert_int_equal(ask_until_lost(&h, 20000), t + 2000000);
    /* an answer ends it */
    heartbeat_packet(&h, t += 1900000, true);
    assert_int_equal(heartbeat_lost_us(&h), t + 3 * 1900000 + 500000);
    for (int i = 0; i < HEARTBEAT_MEMORY; i++)
        heartbeat_packet(&h, t += SECOND, true);
    /* pictures that come all the time, and stop */
    for (int i = 0; i < 40; i++)
        heartbeat_packet(&h, t += 50000, i % 20 == 0);
    assert_int_equal(heartbeat_probe_us(&h), t + 500000);
    assert_int_equal(ask_until_lost(&h, 0), t + 1300000);
    /* over a long path the answer takes its time */
    heartbeat_packet(&h, t += 50000, false);
    assert_int_equal(ask_until_lost(&h, 600000), t + 500000 + 1600000);
    /* the network changed: it is asked now */
    heartbeat_packet(&h, t += 50000, false);
    heartbeat_doubt(&h, t + 10000);
    assert_int_equal(heartbeat_probe_us(&h), t + 10000);
    assert_int_equal(ask_until_lost(&h, 0), t + 810000);
}

/* A machine that stood still must not take its own silence for the peer's. */
static void questions_that_were_not_asked_prove_nothing(void **state)
{
    (void)state;
    struct heartbeat h = {.answers = true};
    heartbeat_start(&h, 0);
    for (int i = 1; i <= 3; i++)
        heartbeat_packet(&h, i * SECOND, true);
    heartbeat_probed(&h, 4200000, 0);
    heartbeat_probed(&h, 5900000, 0);
    assert_int_equal(heartbeat_lost_us(&h), 6500000);
    heartbeat_slept(&h, 6000000);
    assert_int_equal(heartbeat_lost_us(&h), 7300000);
    for (int i = 0; i < PROBE_COUNT; i++)
        heartbeat_probed(&h, 6000000 + i * PROBE_INTERVAL_US, 0);
    assert_int_equal(heartbeat_lost_us(&h), 6800000); /* of those that were asked since */
}

static void the_back_off_grows_up_to_its_bound(void **state)
{
    (void)state;
    static const int64_t expected[] = {500000, 750000, 1125000, 1687500, 2531250, 3796875, 5000000,
                                       5000000};
    int tries = 0, other = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(backoff_us(&tries, 0), expected[i]);
        int64_t shortest = backoff_us(&other, UINT32_MAX - UINT32_MAX % 1000 - 1); /* 999 */
        assert_in_range(shortest, expected[i] * 8 / 10, expected[i] * 81 / 100 + 1);
    }
    tries = 1000000; /* days later */
    assert_int_equal(backoff_us(&tries, 0), BACKOFF_MAX_US);
    tries = 0;
    assert_int_equal(backoff_us(&tries, 0), 500000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_that_falls_silent_is_lost_after_three_reports),
        cmocka_unit_test(its_rhythm_is_kept_when_it_comes_back),
        cmocka_unit_test(losses_make_it_patient_for_a_while),
        cmocka_unit_test(reports_that_are_rare_are_waited_for),
        cmocka_unit_test(a_doubt_shortens_the_wait_until_a_packet_comes),
        cmocka_unit_test(who_slept_listens_before_it_judges),
        cmocka_unit_test(who_answers_is_asked_before_it_is_lost),
        cmocka_unit_test(questions_that_were_not_asked_prove_nothing),
        cmocka_unit_test(the_back_off_grows_up_to_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
