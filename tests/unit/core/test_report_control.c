/* src/rtp/report_control: the rate by REMB and receiver reports, against a path made of numbers. */
#include "test_util.h"

#include "rtp/report_control.h"

enum { SECOND_US = 1000000, PACKET = 1000 };

struct path {
    int64_t bps, rtt_us, queue_us, max_queue_us;
    double loss;
};

/* A report each second, while the sender uses all of its rate. */
static void second(struct report_control *c, struct path *p, int64_t *now)
{
    int64_t sent = report_control_bps(c) ? c->bps : 3000000;
    int packets = (int)(sent / 8 / PACKET), lost = (int)(packets * p->loss);
    for (int i = 0; i < packets; i++)
        report_control_sent(c, PACKET);
    p->queue_us += (sent - p->bps) * SECOND_US / p->bps;
    if (p->queue_us > p->max_queue_us) {
        lost += (int)((p->queue_us - p->max_queue_us) * p->bps / 8 / PACKET / SECOND_US);
        p->queue_us = p->max_queue_us;
    }
    p->queue_us = p->queue_us < 0 ? 0 : p->queue_us;
    *now += SECOND_US;
    report_control_report(c, packets, lost < packets ? lost : packets, p->rtt_us + p->queue_us, *now);
}

static void finds_the_rate(void **state)
{
    (void)state;
    static const double loss[] = {0, 0.05, 0.2};
    static const int64_t bps[] = {1000000, 8000000};
    for (int i = 0; i < 6; i++) {
        struct report_control c;
        struct path p = {.bps = bps[i % 2], .rtt_us = 40000, .max_queue_us = 300000,
                         .loss = loss[i / 2]};
        int64_t now = SECOND_US, sum = 0, queue = 0;
        report_control_init(&c, 3000000, 300000, 20000000);
        assert_int_equal(report_control_bps(&c), 0);
        for (int s = 0; s < 90; s++) {
            second(&c, &p, &now);
            if (s >= 30) {
                sum += c.bps / 60;
                queue += p.queue_us / 60;
            }
        }
        print_message("%lld b/s, loss %.2f: mean %lld b/s, queue %lld us\n", (long long)p.bps,
                      p.loss, (long long)sum, (long long)queue);
        assert_true(sum > p.bps * 6 / 10 && sum < p.bps * 12 / 10);
        assert_true(queue < 200000);
    }
}

static void remb_is_believed(void **state)
{
    (void)state;
    struct report_control c;
    report_control_init(&c, 3000000, 300000, 20000000);
    report_control_remb(&c, 7000000, 0);
    assert_int_equal(report_control_bps(&c), 7000000);
    report_control_remb(&c, 100000000, 1);
    assert_int_equal(report_control_bps(&c), 20000000);
    report_control_remb(&c, 1000, 2);
    assert_int_equal(report_control_bps(&c), 300000);
    report_control_remb(&c, 4000000, 3);
    struct path p = {.bps = 20000000, .rtt_us = 40000, .max_queue_us = 300000};
    int64_t now = 0;
    for (int s = 0; s < 10; s++)
        second(&c, &p, &now);
    assert_int_equal(report_control_bps(&c), 4000000); /* reports do not lift it above */
}

/* A still screen: reports of a few packets are no reason to move. */
static void idle_stays(void **state)
{
    (void)state;
    struct report_control c;
    int64_t now = 0;
    report_control_init(&c, 3000000, 300000, 20000000);
    for (int s = 0; s < 60; s++) {
        report_control_sent(&c, PACKET);
        report_control_report(&c, 1, s % 10 == 0, 40000 + s * 2000, now += SECOND_US);
    }
    assert_int_equal(report_control_bps(&c), 3000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_rate),
        cmocka_unit_test(remb_is_believed),
        cmocka_unit_test(idle_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
