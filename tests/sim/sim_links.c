/* Two hundred random links, in virtual time: on each a sender finds the rate, keeps it, follows the link down
 * and up again; and shares it with another sender. Any one link may be hard; most must go well, and
 * none may be left unused or filled. */
#include "sim_world.h"

enum { LINKS = SIM_SEEDS(200) > 100 ? SIM_SEEDS(200) : 20 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorted, the value that the share `at` of them lies below. */
static double quantile(double *v, double at)
{
    qsort(v, LINKS, sizeof v[0], by_value);
    return v[(int)(at * (LINKS - 1))];
}

static void open_link(struct world *w, int i)
{
    open_world(w, (uint64_t)i + 1000, 1000000, 10000, 100);
    uint64_t r = w->seed;
    w->path.bps = (int64_t)(500000 * (1 + 15 * sim_random(&r) * sim_random(&r)));
    w->path.delay_us = w->back.delay_us = (int64_t)(1000 + 75000 * sim_random(&r));
    w->path.queue_ms = (int64_t)(60 + 400 * sim_random(&r));
    w->path.jitter_us = sim_random(&r) < 0.5 ? 0 : (int64_t)(15000 * sim_random(&r));
    w->path.reorders = sim_random(&r) < 0.2;
    w->path.loss = sim_random(&r) < 0.5 ? 0 : 0.05 * sim_random(&r);
    open_flow(w, 20000000, w->now_us, sim_random(&r) < 0.8);
}

static void tell(const char *what, int i, const struct world *w)
{
    print_message("%s on link %d: %.2f Mb/s, %lld ms, queue %lld ms, jitter %lld us%s, loss %.3f\n", what, i,
                  (double)w->path.bps / 1e6, (long long)w->path.delay_us * 2 / 1000,
                  (long long)w->path.queue_ms, (long long)w->path.jitter_us,
                  w->path.reorders ? " reordering" : "", w->path.loss);
}

/* The time until the link is used to this share over half a second; limit_s when it never is. */
static double used_after_s(struct world *w, double share, double limit_s)
{
    for (double s = 0.5; s < limit_s; s += 0.5)
        if (measure_for(w, SECOND / 2).use >= share)
            return s;
    return limit_s;
}

struct results {
    double found_s[LINKS], use[LINKS], least[LINKS], delay[LINKS]; /* at the link's first rate */
    double low_use[LINKS], low_delay[LINKS], again_s[LINKS];       /* at half of it, and after */
};

static void one_link(struct results *r, int i)
{
    struct world w;
    open_link(&w, i);
    r->found_s[i] = used_after_s(&w, 0.7, 10);
    if (r->found_s[i] > 6)
        tell("slow start", i, &w);
    run_until(&w, 10 * SECOND);
    r->least[i] = 1;
    r->use[i] = r->delay[i] = 0;
    for (int k = 0; k < 8; k++) {
        struct measure m = measure_for(&w, SECOND);
        r->use[i] += m.use / 8;
        r->delay[i] = m.p95_ms > r->delay[i] ? m.p95_ms : r->delay[i];
        r->least[i] = m.use < r->least[i] ? m.use : r->least[i];
    }
    if (r->use[i] < 0.8 || r->delay[i] > 200)
        tell("badly used or filled", i, &w);
    w.path.bps /= 2;
    run_for(&w, 2 * SECOND);
    struct measure low = measure_for(&w, 5 * SECOND);
    r->low_use[i] = low.use;
    r->low_delay[i] = low.p95_ms;
    w.path.bps *= 2;
    r->again_s[i] = used_after_s(&w, 0.7, 20);
    if (r->again_s[i] > 10)
        tell("slow recovery", i, &w);
    close_world(&w);
}

static void alone(void **state)
{
    (void)state;
    static struct results r;
    for (int i = 0; i < LINKS; i++)
        one_link(&r, i);
    print_message("convergence: 70 %% used after %.1f s (median), %.1f (p95), %.1f (worst)\n",
                  quantile(r.found_s, 0.5), quantile(r.found_s, 0.95), quantile(r.found_s, 1));
    print_message("use: worst %.2f, p5 %.2f, median %.2f; of the worst second of eight: p5 %.2f, median "
                  "%.2f; queue p95 of the worst second: median %.0f, p95 %.0f, worst %.0f ms\n",
                  quantile(r.use, 0), quantile(r.use, 0.05), quantile(r.use, 0.5), quantile(r.least, 0.05),
                  quantile(r.least, 0.5), quantile(r.delay, 0.5), quantile(r.delay, 0.95),
                  quantile(r.delay, 1));
    print_message("from 2 s after half of the rate: use p5 %.2f, median %.2f; queue p95: median %.0f, p95 "
                  "%.0f ms; 70 %% of the whole again after %.1f s (median), %.1f (p95), %.1f (worst)\n",
                  quantile(r.low_use, 0.05), quantile(r.low_use, 0.5), quantile(r.low_delay, 0.5),
                  quantile(r.low_delay, 0.95), quantile(r.again_s, 0.5), quantile(r.again_s, 0.95),
                  quantile(r.again_s, 1));
    /* Convergence, stability, recovery. */
    assert_true(quantile(r.found_s, 0.95) <= 2 && quantile(r.found_s, 1) <= 8);
    assert_true(quantile(r.use, 0) >= 0.75 && quantile(r.use, 0.05) >= 0.87 && quantile(r.use, 0.5) >= 0.92);
    assert_true(quantile(r.least, 0.05) >= 0.75);
    assert_true(quantile(r.delay, 0.5) <= 65 && quantile(r.delay, 0.95) <= 120);
    assert_true(quantile(r.low_use, 0.05) >= 0.8 && quantile(r.low_use, 0.5) >= 0.9);
    assert_true(quantile(r.low_delay, 0.5) <= 75 && quantile(r.low_delay, 0.95) <= 190);
    assert_true(quantile(r.again_s, 0.5) <= 4 && quantile(r.again_s, 0.95) <= 13 && quantile(r.again_s, 1) < 20);
}

/* The share of the link that the first of two senders gets, who was there before. */
static void shared(void **state)
{
    (void)state;
    static double off[LINKS], use[LINKS];
    for (int i = 0; i < LINKS; i++) {
        struct world w;
        open_link(&w, i);
        open_flow(&w, 20000000, w.now_us + 5 * SECOND, true);
        run_for(&w, 25 * SECOND);
        int64_t first = w.flow[0].f.media_bytes, second = w.flow[1].f.media_bytes;
        use[i] = measure_for(&w, 30 * SECOND).use;
        first = w.flow[0].f.media_bytes - first;
        second = w.flow[1].f.media_bytes - second;
        double share = (double)first / (double)(first + second);
        off[i] = share < 0.5 ? 0.5 - share : share - 0.5;
        if (off[i] > 0.2)
            tell("unequal shares", i, &w);
        close_world(&w);
    }
    int within = 0;
    for (int i = 0; i < LINKS; i++)
        within += off[i] <= 0.1;
    print_message("two senders: %d of %d within 40:60; off by %.2f (median), %.2f (p95), %.2f (worst); use p5 "
                  "%.2f, median %.2f\n", within, (int)LINKS, quantile(off, 0.5), quantile(off, 0.95),
                  quantile(off, 1), quantile(use, 0.05), quantile(use, 0.5));
    /* Most pairs within 40:60 half a minute after the second came; of other seeds, 146 to 160 of 200. */
    assert_true(within >= LINKS * 65 / 100);
    assert_true(quantile(off, 0.5) <= 0.08 && quantile(off, 0.95) <= 0.28);
    assert_true(quantile(use, 0.05) >= 0.87 && quantile(use, 0.5) >= 0.92);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(alone), cmocka_unit_test(shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
