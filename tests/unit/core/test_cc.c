/* src/cc: the parts of the congestion control, each alone, and rtp/send_control's matching of
 * feedback with what was sent. tests/sim/sim_cc.c shows them together. */
#include "test_util.h"

#include "cc/aimd.h"
#include "cc/loss_control.h"
#include "cc/probe.h"
#include "cc/rate_meter.h"
#include "cc/trendline.h"
#include "rtp/send_control.h"

static void rates(void **state)
{
    (void)state;
    struct rate_meter m;
    rate_meter_init(&m);
    assert_int_equal(rate_meter_bps(&m, 1000000, 500000), 0);
    for (int64_t t = 1000000; t < 3000000; t += 1000)
        rate_meter_add(&m, t, 125); /* 1 Mb/s */
    int64_t bps = rate_meter_bps(&m, 2999999, 500000);
    assert_true(bps > 990000 && bps < 1010000);
    bps = rate_meter_bps(&m, 2999999, 150000);
    assert_true(bps > 980000 && bps < 1020000);
    bps = rate_meter_bps(&m, 3249999, 500000); /* a pause counts */
    assert_true(bps > 490000 && bps < 520000);
    rate_meter_add(&m, 3250000, 62500); /* half a megabit at once */
    assert_true(rate_meter_peak_bps(&m) == 10000000);
    assert_int_equal(rate_meter_bps(&m, 9000000, 500000), 0);
    rate_meter_add(&m, 2000000, 62500); /* long ago: no effect */
    assert_true(rate_meter_peak_bps(&m) == 10000000);
}

/* A packet each 5.5 ms; each comes grow_us later than the one before it, with noise. */
static enum path_use run_trend(struct trendline *t, int64_t *sent, int64_t *delay, int n,
                               int64_t grow_us, unsigned noise_us)
{
    uint64_t rnd = 5;
    enum path_use use = PATH_NORMAL;
    for (int i = 0; i < n; i++) {
        *sent += 5500;
        *delay += grow_us;
        use = trendline_add(t, *sent, *sent + *delay + (noise_us ? test_random(&rnd) % noise_us : 0));
    }
    return use;
}

static void trends(void **state)
{
    (void)state;
    struct trendline t;
    int64_t sent = 1000000, delay = 20000;
    trendline_init(&t);
    assert_int_equal(run_trend(&t, &sent, &delay, 400, 0, 0), PATH_NORMAL);
    assert_int_equal(run_trend(&t, &sent, &delay, 400, 0, 2000), PATH_NORMAL);
    assert_int_equal(run_trend(&t, &sent, &delay, 40, 1000, 0), PATH_OVERUSED);
    run_trend(&t, &sent, &delay, 60, 0, 0); /* a queue that stands */
    assert_int_equal(run_trend(&t, &sent, &delay, 40, -400, 0), PATH_UNDERUSED);
    sent += 10000000; /* after a pause the past is forgotten: another delay is no growth */
    delay += 300000;
    assert_int_equal(run_trend(&t, &sent, &delay, 60, 0, 0), PATH_NORMAL);
}

static void rate_control(void **state)
{
    (void)state;
    struct aimd a;
    aimd_init(&a, 1000000, 100000, 5000000);
    int64_t now = 1000000;
    for (int i = 0; i < 100; i++, now += 100000) /* ten seconds at 8 % */
        aimd_grow(&a, a.bps, 50000, false, now);
    assert_true(a.bps > 2050000 && a.bps < 2200000);
    int64_t before = a.bps;
    aimd_grow(&a, a.bps, 50000, true, now += 1000000); /* application limited */
    aimd_grow(&a, before / 3, 50000, false, now += 1000000); /* far over what is acknowledged */
    assert_true(a.bps == before);
    aimd_decrease(&a, 1000000, 100000, now);
    assert_true(a.bps == 850000);
    aimd_decrease(&a, 1000000, 100000, now); /* never up */
    assert_true(a.bps == 850000);
    aimd_decrease(&a, 850000, 5000, now); /* little of the queue is ours */
    assert_true(a.bps == 807500);
    aimd_hold(&a, now += 10000000);
    before = a.bps; /* near the capacity: a packet in a response time, 64 kb/s each second, by the
                       root of the rate in 2 Mb/s */
    for (int i = 0; i < 10; i++)
        aimd_grow(&a, a.bps, 50000, false, now += 100000);
    assert_true(a.bps - before > 36000 && a.bps - before < 48000);
    aimd_set(&a, 50, now);
    assert_true(a.bps == 100000);
    aimd_set(&a, INT64_MAX / 4, now);
    assert_true(a.bps == 5000000);
}

/* Windows of 100 packets each half second; p of them are lost. */
static int64_t lose(struct loss_control *l, int64_t bps, double p, int64_t *now)
{
    for (int i = 0; i < 100; i++)
        loss_control_add(l, i < (int)(100 * p + 0.5));
    *now += 500000;
    return loss_control_update(l, bps, (int64_t)((double)bps * (1 - p)), *now - 50000, *now);
}

static void loss_is_told_apart(void **state)
{
    (void)state;
    struct loss_control l;
    int64_t now = 1000000, bps = 4000000;
    loss_control_init(&l);
    loss_control_update(&l, bps, bps, now, now);
    for (int i = 0; i < 10; i++)
        assert_true((bps = lose(&l, bps, 0.05, &now)) == 4000000); /* 5 %: let repairs do it */
    /* A radio that begins to lose 30 %: one experiment, never below what was acknowledged. */
    int64_t least = bps;
    for (int i = 0; i < 10; i++) {
        bps = lose(&l, bps, 0.3, &now);
        least = bps < least ? bps : least;
    }
    assert_true(least >= 4000000 * 7 / 10 && bps == 4000000);
    /* A short queue that overflows: loss goes as the rate falls to what the link carries. */
    loss_control_init(&l);
    loss_control_update(&l, bps, bps, now, now);
    for (int i = 0; i < 10; i++)
        bps = lose(&l, bps, bps > 3000000 ? 1 - 3000000 / (double)bps : 0, &now);
    assert_true(bps > 2900000 && bps < 3100000);
    /* Too few packets say nothing. */
    loss_control_init(&l);
    loss_control_update(&l, bps, bps, now, now);
    loss_control_add(&l, true);
    assert_true(loss_control_update(&l, bps, bps, now, now + 1000000) == bps);
}

/* Sends a cluster at its rate over a link of link_bps, and gives what it found. */
static int64_t probe_once(struct probe_control *p, int64_t bps, int64_t max, int64_t link_bps,
                          int64_t *now, struct cc_probe *c)
{
    assert_true(probe_due(p, bps, max, *now, c));
    int64_t sent = *now, free_at = 0, bytes = 0;
    for (int i = 0; bytes < c->bytes || i < c->packets; i++) {
        probe_sent(p, 1200, c->id, sent);
        free_at = (free_at > sent ? free_at : sent) + INT64_C(1200) * 8000000 / link_bps;
        struct cc_ack a = {.sent_us = sent, .arrival_us = free_at + 20000, .bytes = 1200,
                           .probe = c->id};
        probe_ack(p, &a);
        sent += INT64_C(1200) * 8000000 / c->bps;
        bytes += 1200;
    }
    *now = free_at + 40000;
    return probe_result(p, bps, *now);
}

static void probes(void **state)
{
    (void)state;
    struct probe_control p;
    struct cc_probe c;
    int64_t now = 1000000, bps = 1000000;
    probe_init(&p);
    int64_t found = probe_once(&p, bps, 50000000, 10000000, &now, &c);
    assert_true(c.bps == 3000000);
    assert_true(found > 2900000 && found <= 3000000);
    found = probe_once(&p, bps = found, 50000000, 10000000, &now, &c); /* at once: it was good */
    assert_true(found > 5600000 && found <= 6000000);
    found = probe_once(&p, bps = found, 50000000, 10000000, &now, &c);
    assert_true(found > 8500000 && found <= 10000000); /* the link's, less a little */
    found = probe_once(&p, bps = found, 50000000, 10000000, &now, &c);
    assert_true(found < 10000000);
    assert_false(probe_due(&p, bps, 50000000, now, &c)); /* no more for a while, then longer */
    int64_t wait = probe_next(&p, bps, 50000000) - now;
    assert_true(wait >= 2000000 && wait <= 10000000);
    assert_true(probe_next(&p, 49000000, 50000000) == INT64_MAX); /* there is nothing to find */
    now += wait;
    assert_true(probe_due(&p, bps, 50000000, now, &c)); /* never answered */
    assert_int_equal(probe_result(&p, bps, now + 500000), 0);
    assert_int_equal(probe_result(&p, bps, now + 1000001), 0);
    assert_true(probe_next(&p, bps, 50000000) > now + 2000000);
}

static void control_matches_feedback(void **state)
{
    (void)state;
    static const struct cc_config config = {1000000, 100000, 2000000};
    struct send_control *sc = send_control_new(&cc_gcc, &config);
    struct twcc_recorder rec;
    uint8_t buf[1200];
    assert_non_null(sc);
    twcc_recorder_init(&rec);
    int64_t now = 1000000, clock = 777000000; /* the receiver's */
    for (int i = 0; i < 70000; i++, now += 5000, clock += 5000) { /* wraps */
        uint16_t seq = send_control_sent(sc, 500, false, now);
        assert_int_equal(seq, (uint16_t)i);
        if (i % 10 != 3)
            twcc_record(&rec, seq, 500, clock);
        if (twcc_due_us(&rec) > clock)
            continue;
        struct byte_writer w = byte_writer_of(buf, sizeof buf);
        twcc_write(&rec, &w, 1, 2, clock);
        struct byte_reader r = byte_reader_of(buf, bw_len(&w));
        struct rtcp_packet p;
        assert_int_equal(rtcp_next(&r, &p), 1);
        assert_true(send_control_feedback(sc, &p, now + 30000));
        assert_int_equal(sc->flight_bytes, 0);
        assert_true(send_control_received(sc, seq));
        assert_int_equal(sc->rtt_us, 30000);
    }
    assert_true(sc->heard && sc->cc->loss > 0.08 && sc->cc->loss < 0.12);
    assert_true(sc->cc->estimate_bps >= 1000000 * 8 / 10);
    /* Feedback that stays away: less is sent, and sending can go on. */
    int64_t before = sc->cc->estimate_bps;
    while (send_control_open(sc))
        send_control_sent(sc, 1200, false, now);
    send_control_poll(sc, now); /* begins a cluster */
    int64_t next = send_control_next_us(sc);
    assert_true(next > now && next <= now + 600000);
    send_control_poll(sc, next + 1);
    assert_true(sc->cc->estimate_bps < before && send_control_open(sc));
    send_control_free(&sc);
    assert_null(sc);

    /* Another path: nothing of the old one counts, not even what is said of it later. */
    sc = send_control_new(&cc_gcc, &config);
    twcc_recorder_init(&rec);
    for (int i = 0; i < 100; i++, now += 5000, clock += 5000) {
        uint16_t seq = send_control_sent(sc, 500, false, now);
        if (i % 10 == 9)
            twcc_record(&rec, seq, 500, clock);
    }
    sc->cc->estimate_bps = 150000;
    send_control_new_path(sc, &config);
    assert_int_equal(sc->cc->estimate_bps, config.start_bps);
    assert_int_equal(sc->flight_bytes, 0);
    assert_true(send_control_open(sc));
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    twcc_write(&rec, &w, 1, 2, clock);
    struct byte_reader r = byte_reader_of(buf, bw_len(&w));
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_true(send_control_feedback(sc, &p, now + 30000));
    assert_true(sc->cc->loss < 0.01 && sc->cc->estimate_bps == config.start_bps);
    assert_int_equal(sc->flight_bytes, 0);
    uint16_t first = send_control_sent(sc, 500, false, now);
    assert_int_equal(first, 100); /* the numbers go on */
    assert_int_equal(sc->flight_bytes, 500);
    send_control_free(&sc);

    /* A peer that never gives any is not waited for. */
    sc = send_control_new(&cc_gcc, &config);
    while (send_control_open(sc))
        send_control_sent(sc, 1200, false, now);
    send_control_poll(sc, now + 2000001);
    assert_true(sc->deaf && send_control_open(sc));
    send_control_free(&sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates),
        cmocka_unit_test(trends),
        cmocka_unit_test(rate_control),
        cmocka_unit_test(loss_is_told_apart),
        cmocka_unit_test(probes),
        cmocka_unit_test(control_matches_feedback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
