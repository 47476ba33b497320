/* The congestion control with all that carries it: senders with their pacers and probes, receivers
 * with their feedback, and a bottleneck between them, in virtual time. The encoder is played by
 * a source of access units that follows the target and skips pictures, as session/ does. */
#include "sim_flow.h"

#include <math.h>

enum { FPS = 30, QUEUE_US = 100000, MAX_FLOWS = 2, KEY_GAP_US = 300000 };
static const int64_t SECOND = 1000000;

struct flow {
    struct sim_flow f;
    int64_t next_picture_us, max_bps;
    bool idle; /* no pictures */
    int64_t key_us;
    uint64_t pic_id;
    int64_t shown, skipped, keys;
};

struct world {
    int64_t now_us, steps;
    struct sim_path path, back;
    uint64_t seed;
    struct flow flow[MAX_FLOWS];
    int flows;
    struct sim_clip clip;
};

static void count_shown(void *arg, struct access_unit *au)
{
    struct flow *f = arg;
    (void)au;
    f->shown++;
}

static void open_flow(struct world *w, int64_t max_bps, int64_t begin_us, bool rtx)
{
    struct flow *f = &w->flow[w->flows++];
    struct video_sender_config sc;
    struct video_receiver_config rc;
    sim_flow_configs(&sc, &rc);
    sc.rtx_pt = rtx ? 50 : 0;
    sc.ext = (struct rtp_ext_ids){.twcc = 2, .abs_send_time = 3};
    sc.cc = (struct cc_config){.start_bps = min64(3000000, max_bps), .min_bps = 100000,
                               .max_bps = max_bps};
    rc.twcc = true;
    f->f = (struct sim_flow){.path = &w->path, .back = &w->back, .given = count_shown, .arg = f,
                             .key_wanted = true};
    sim_flow_open(&f->f, &sc, &rc);
    f->max_bps = max_bps;
    f->next_picture_us = begin_us;
    f->key_us = -KEY_GAP_US;
}

/* Other seeds than those that were looked at while constants were chosen: HEVCAST_SIM_SEEDS. */
static uint64_t more_seeds(void)
{
    const char *text = getenv("HEVCAST_SIM_SEEDS");
    return text ? strtoull(text, NULL, 10) : 0;
}

static void open_world(struct world *w, uint64_t seed, int64_t bps, int64_t rtt_us, int64_t queue_ms)
{
    memset(w, 0, sizeof *w);
    seed += more_seeds();
    w->seed = seed * 0x9e3779b97f4a7c15u + 1;
    w->now_us = 5 * SECOND;
    w->path = (struct sim_path){.bps = bps, .queue_ms = queue_ms, .delay_us = rtt_us / 2,
                                .seed = w->seed + 1};
    w->back = (struct sim_path){.bps = 10000000, .queue_ms = 500, .delay_us = rtt_us / 2,
                                .seed = w->seed + 2};
    w->clip = sim_clip_read();
}

static void close_world(struct world *w)
{
    for (int i = 0; i < w->flows; i++)
        sim_flow_close(&w->flow[i].f);
    free(w->clip.data);
}

static int64_t estimate(const struct flow *f)
{
    int64_t bps = video_sender_estimate_bps(f->f.sender);
    return bps ? bps : min64(3000000, f->max_bps);
}

static void push_picture(struct world *w, struct flow *f, size_t bytes, bool key)
{
    struct access_unit *au = sim_picture(&w->clip, key, bytes, w->now_us, ++f->pic_id);
    assert_true(video_sender_push(f->f.sender, au, 0, w->now_us));
    access_unit_unref(&au);
}

static void next_picture(struct world *w, struct flow *f)
{
    f->next_picture_us += SECOND / FPS;
    if (f->idle)
        return;
    if (video_sender_queue_us(f->f.sender, w->now_us) > QUEUE_US) {
        f->skipped++;
        return;
    }
    bool key = f->f.key_wanted && w->now_us - f->key_us >= KEY_GAP_US;
    /* 97 % is for media (session/sender_net.c), of which an encoder uses a little less. */
    double bytes = (double)estimate(f) * 0.95 / 8 / FPS * (0.7 + 0.6 * sim_random(&w->seed));
    if (key) {
        f->f.key_wanted = false;
        f->key_us = w->now_us;
        f->keys++;
        bytes *= 2;
    }
    push_picture(w, f, (size_t)bytes, key);
}

static void run_until(struct world *w, int64_t end_us)
{
    while (w->now_us < end_us) {
        int64_t next = end_us;
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            if (w->now_us >= f->next_picture_us)
                next_picture(w, f);
            sim_flow_exchange(&f->f, w->now_us);
        }
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            next = min64(next, min64(f->next_picture_us, sim_flow_next_us(&f->f, w->now_us)));
        }
        w->now_us = next > w->now_us ? next : w->now_us + 1;
        assert_true(++w->steps < 20000000); /* no busy loop */
    }
}

static void run_for(struct world *w, int64_t us) { run_until(w, w->now_us + us); }

struct measure {
    double use;
    int p50_ms, p95_ms;
};

/* Runs on, and measures the bottleneck meanwhile. */
static struct measure measure_for(struct world *w, int64_t us)
{
    sim_path_reset_counts(&w->path);
    run_for(w, us);
    return (struct measure){
        .use = (double)w->path.carried_bytes * 8e6 / (double)us / (double)w->path.bps,
        .p50_ms = sim_path_delay_ms(&w->path, 0.5),
        .p95_ms = sim_path_delay_ms(&w->path, 0.95),
    };
}

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
    for (uint64_t seed = 1; seed <= 5; seed++) {
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
    for (uint64_t seed = 1; seed <= 3; seed++) {
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
        for (uint64_t seed = 1; seed <= 3; seed++) {
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
    for (uint64_t seed = 1; seed <= 3; seed++) {
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
    enum { PAIRS = 10 };
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

enum { LINKS = 200 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Any link: most are used well, none is left unused, none gets a standing queue. */
static void random_links(void **state)
{
    (void)state;
    double use[LINKS], delay[LINKS];
    for (int i = 0; i < LINKS; i++) {
        struct world w;
        open_world(&w, (uint64_t)i + 1000, 1000000, 10000, 100);
        uint64_t r = w.seed;
        w.path.bps = (int64_t)(500000 * (1 + 15 * sim_random(&r) * sim_random(&r)));
        w.path.delay_us = w.back.delay_us = (int64_t)(1000 + 75000 * sim_random(&r));
        w.path.queue_ms = (int64_t)(60 + 400 * sim_random(&r));
        w.path.jitter_us = sim_random(&r) < 0.5 ? 0 : (int64_t)(15000 * sim_random(&r));
        w.path.reorders = sim_random(&r) < 0.2;
        w.path.loss = sim_random(&r) < 0.5 ? 0 : 0.05 * sim_random(&r);
        open_flow(&w, 20000000, w.now_us, sim_random(&r) < 0.8);
        run_for(&w, 5 * SECOND);
        struct measure m = measure_for(&w, 8 * SECOND);
        use[i] = m.use;
        delay[i] = m.p95_ms;
        if (m.use < 0.5 || m.p95_ms > 200)
            print_message("link %d: %.2f Mb/s, %lld ms, queue %lld ms, jitter %lld us%s, loss %.3f: "
                          "use %.2f, p95 %d ms, estimate %.2f\n", i, (double)w.path.bps / 1e6,
                          (long long)w.path.delay_us * 2 / 1000, (long long)w.path.queue_ms,
                          (long long)w.path.jitter_us, w.path.reorders ? " reordering" : "",
                          w.path.loss, m.use, m.p95_ms, (double)estimate(&w.flow[0]) / 1e6);
        close_world(&w);
    }
    qsort(use, LINKS, sizeof use[0], by_value);
    qsort(delay, LINKS, sizeof delay[0], by_value);
    print_message("%d links: use min %.2f p5 %.2f median %.2f; queue p95 median %.0f p95 %.0f max "
                  "%.0f ms\n", LINKS, use[0], use[LINKS / 20], use[LINKS / 2], delay[LINKS / 2],
                  delay[LINKS * 19 / 20], delay[LINKS - 1]);
    assert_true(use[0] >= 0.7 && use[LINKS / 20] >= 0.85 && use[LINKS / 2] >= 0.9);
    assert_true(delay[LINKS / 2] <= 50 && delay[LINKS * 19 / 20] <= 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converges),   cmocka_unit_test(steps),     cmocka_unit_test(radio_loss),
        cmocka_unit_test(idle_minute), cmocka_unit_test(two_flows), cmocka_unit_test(random_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
