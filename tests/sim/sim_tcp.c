/* Beside a TCP download, which fills the queue whatever we do: the stream keeps its part of the link, and has
 * the whole of it again when the download ends. In virtual time. */
#include "sim_world.h"

struct scene {
    const char *name;
    int64_t bps, rtt_us, queue_ms, window_bytes;
};

static double media_share(struct world *w, int64_t us)
{
    int64_t before = w->flow[0].f.media_bytes;
    run_for(w, us);
    return (double)(w->flow[0].f.media_bytes - before) * 8e6 / (double)us / (double)w->path.bps;
}

static void beside(const struct scene *s, uint64_t seed)
{
    struct world w;
    struct sim_tcp tcp;
    open_world(&w, seed, s->bps, s->rtt_us, s->queue_ms);
    open_flow(&w, 20000000, w.now_us, true);
    run_for(&w, 10 * SECOND);
    sim_tcp_open(&tcp, &w.path, s->rtt_us / 2, s->window_bytes, w.now_us);
    w.tcp = &tcp;
    double first = media_share(&w, 10 * SECOND);
    sim_path_reset_counts(&w.path);
    double share[3], least = 1;
    for (int i = 0; i < 3; i++) {
        share[i] = media_share(&w, 30 * SECOND);
        least = share[i] < least ? share[i] : least;
    }
    double lost = (double)w.path.overflowed / (double)w.path.sent;
    int p50 = sim_path_delay_ms(&w.path, 0.5), p95 = sim_path_delay_ms(&w.path, 0.95);
    tcp.end_us = w.now_us;
    run_for(&w, 6 * SECOND);
    struct measure m = measure_for(&w, 6 * SECOND);
    print_message("%-34s seed %d: %2.0f %% at first, then %2.0f, %2.0f, %2.0f %%; queue p50 %d p95 %d ms, lost %.3f; after it "
                  "%3.0f %%, p95 %d ms\n", s->name, (int)seed, 100 * first, 100 * share[0], 100 * share[1],
                  100 * share[2], p50, p95, lost, 100 * m.use, m.p95_ms);
    assert_true(least >= 0.25 && first >= 0.05);
    assert_true(share[2] <= 0.6);
    assert_true(m.use >= 0.85 && m.p95_ms <= 60);
    sim_tcp_close(&tcp);
    close_world(&w);
}

static void downloads(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"10 Mb/s, 40 ms, window of 140 kB", 10000000, 40000, 300, 140000},
        {"10 Mb/s, 40 ms, window of 250 kB", 10000000, 40000, 300, 250000},
        {"10 Mb/s, 40 ms, queue of 300 ms", 10000000, 40000, 300, 0},
        {"10 Mb/s, 40 ms, queue of 100 ms", 10000000, 40000, 100, 0},
        {"4 Mb/s, 80 ms, queue of 250 ms", 4000000, 80000, 250, 0},
        {"15 Mb/s, 20 ms, queue of 60 ms", 15000000, 20000, 60, 0},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        for (uint64_t seed = 1; seed <= SIM_SEEDS(3); seed++)
            beside(&scenes[i], seed);
}

/* The download ends, and the path becomes slower than what was kept beside it: that is not taken for another one. */
static void slower_path(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SIM_SEEDS(5); seed++) {
        struct world w;
        struct sim_tcp tcp;
        open_world(&w, seed, 12000000, 40000, 400);
        open_flow(&w, 20000000, w.now_us, true);
        run_for(&w, 10 * SECOND);
        sim_tcp_open(&tcp, &w.path, 20000, 0, w.now_us);
        w.tcp = &tcp;
        run_for(&w, 20 * SECOND);
        tcp.end_us = w.now_us;
        w.path.bps = 1500000;
        run_for(&w, 5 * SECOND);
        struct measure m = measure_for(&w, 20 * SECOND);
        print_message("12 to 1.5 Mb/s, seed %d: %.0f %% used, queue p50 %d p95 %d ms, overflow %lld\n", (int)seed,
                      100 * m.use, m.p50_ms, m.p95_ms, (long long)w.path.overflowed);
        assert_true(m.use >= 0.8 && m.p95_ms <= 200);
        sim_tcp_close(&tcp);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(downloads), cmocka_unit_test(slower_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
