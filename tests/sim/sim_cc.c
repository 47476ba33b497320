/* The congestion control with all that carries it, in the scenes that it is for, in virtual time: senders with
 * their pacers and probes, receivers with their feedback, and a bottleneck between them. */
#include "sim_world.h"

#include <math.h>

static void report(const char *name, uint64_t seed, const struct world *w, const struct measure *m)
{
    struct video_sender_stats s;
    video_sender_get_stats(w->flow[0].f.sender, w->now_us, &s);
    print_message("%-28s seed %2d: use %5.1f %%, queue p50 %3d ms p95 %3d ms, estimate %5.2f Mb/s, "
                  "overflow %lld, keys %lld, skipped %lld, padding %lld of %lld, steps %lld\n",
                  name, (int)seed, 100 * m->use, m->p50_ms, m->p95_ms,
                  (double)estimate(&w->flow[0]) / 1e6, (long long)w->path.overflowed,
                  (long long)w->flow[0].keys, (long long)w->flow[0].skipped,
                  (long long)s.packets_padding, (long long)s.packets_sent, (long long)w->steps);
}

static void converges(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SIM_SEEDS(5); seed++) {
        struct world w;
        open_world(&w, seed, 10000000, 40000, 300);
        open_flow(&w, 20000000, w.now_us, true);
        struct measure m = measure_for(&w, 5 * SECOND);
        report("first 5 s", seed, &w, &m);
        m = measure_for(&w, 25 * SECOND);
        report("10 Mb/s, 40 ms", seed, &w, &m);
        assert_true(m.use >= 0.9);
        assert_true(m.p95_ms <= 25);
        close_world(&w);
    }
}

static void steps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SIM_SEEDS(3); seed++) {
        struct world w;
        open_world(&w, seed, 10000000, 40000, 300);
        open_flow(&w, 20000000, w.now_us, true);
        run_for(&w, 15 * SECOND);
        w.path.bps = 2000000;
        struct measure m = measure_for(&w, 3 * SECOND / 2);
        report("1.5 s after 10 to 2", seed, &w, &m);
        m = measure_for(&w, 10 * SECOND);
        report("2 Mb/s", seed, &w, &m);
        assert_true(m.use >= 0.85);
        assert_true(m.p95_ms <= 100);
        w.path.bps = 10000000;
        int64_t start = w.now_us, at = 0;
        while (w.now_us < start + 20 * SECOND && !at) {
            run_for(&w, SECOND / 10);
            if (estimate(&w.flow[0]) >= 8000000)
                at = w.now_us - start;
        }
        print_message("80 %% of 10 Mb/s again after %.1f s\n", (double)at / 1e6);
        assert_true(at > 0 && at <= 8 * SECOND);
        close_world(&w);
    }
}

static void radio_loss(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double loss, burst;
        int64_t rtt_us;
        double use;
    } cases[] = {
        {"5 % lost, 50 ms, 6 Mb/s", 0.05, 0, 50000, 0.85},
        {"5 % in bursts, 150 ms", 0, 0.05, 150000, 0.75},
        {"20 % lost, 100 ms", 0.2, 0, 100000, 0.6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint64_t seed = 1; seed <= SIM_SEEDS(3); seed++) {
            struct world w;
            open_world(&w, seed, 6000000, cases[i].rtt_us, 300);
            w.path.loss = cases[i].loss;
            w.path.burst_loss = cases[i].burst;
            w.back.loss = cases[i].loss / 2;
            open_flow(&w, 20000000, w.now_us, true);
            run_for(&w, 5 * SECOND);
            struct measure m = measure_for(&w, 25 * SECOND);
            report(cases[i].name, seed, &w, &m);
            assert_true(m.use >= cases[i].use);
            close_world(&w);
        }
    }
}

/* A still minute, then a picture as large as a screen: the estimate is what it was. */
static void idle_minute(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SIM_SEEDS(3); seed++) {
        struct world w;
        open_world(&w, seed, 20000000, 40000, 300);
        open_flow(&w, 40000000, w.now_us, true);
        struct flow *f = &w.flow[0];
        run_for(&w, 5 * SECOND);
        int64_t before = estimate(f);
        f->idle = true;
        run_for(&w, SECOND);
        int64_t carried = w.path.carried_bytes;
        run_for(&w, 59 * SECOND);
        int64_t idle_bps = (w.path.carried_bytes - carried) * 8 / 59;
        int64_t after = estimate(f), shown = f->shown;
        push_picture(&w, f, 1500000, false);
        int64_t start = w.now_us;
        while (f->shown == shown && w.now_us < start + 3 * SECOND)
            run_for(&w, SECOND / 100);
        print_message("idle minute, seed %d: %.1f Mb/s before, %.1f after, %lld kb/s meanwhile; "
                      "1.5 MB in %lld ms\n", (int)seed, (double)before / 1e6, (double)after / 1e6,
                      (long long)idle_bps / 1000, (long long)(w.now_us - start) / 1000);
        assert_true(before >= 16000000 && after >= before * 9 / 10);
        assert_true(idle_bps <= 100000);
        assert_true(f->shown > shown && w.now_us - start <= SECOND);
        close_world(&w);
    }
}

/* Ten pairs: nine of them within 40:60 over a minute, none far. (Of 90, two were outside, 37:63 the farthest.) */
static void two_flows(void **state)
{
    (void)state;
    enum { PAIRS = SIM_SEEDS(10) };
    int unequal = 0;
    double off = 0;
    for (uint64_t seed = 1; seed <= PAIRS; seed++) {
        struct world w;
        open_world(&w, seed, 10000000, 40000, 300);
        open_flow(&w, 20000000, w.now_us, true);
        open_flow(&w, 20000000, w.now_us + 5 * SECOND + (int64_t)seed * 3777, true);
        run_for(&w, 30 * SECOND);
        int64_t first = w.flow[0].f.media_bytes, second = w.flow[1].f.media_bytes;
        struct measure m = measure_for(&w, 60 * SECOND);
        first = w.flow[0].f.media_bytes - first;
        second = w.flow[1].f.media_bytes - second;
        double share = (double)first / (double)(first + second);
        report("two flows", seed, &w, &m);
        print_message("shares %.0f:%.0f\n", 100 * share, 100 * (1 - share));
        off += fabs(share - 0.5) / PAIRS;
        unequal += share < 0.4 || share > 0.6;
        assert_true(share >= 0.35 && share <= 0.65);
        assert_true(m.use >= 0.88 && m.p95_ms <= 60);
        close_world(&w);
    }
    print_message("%d of %d pairs outside 40:60; %.0f %% off on the mean\n", unequal, PAIRS, 100 * off);
    assert_true(unequal <= 1 && off <= 0.07);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converges),   cmocka_unit_test(steps),     cmocka_unit_test(radio_loss),
        cmocka_unit_test(idle_minute), cmocka_unit_test(two_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
