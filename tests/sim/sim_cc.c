/* The congestion control with all that carries it: senders with their pacers and probes, receivers
 * with their feedback, and a bottleneck between them, in virtual time. The encoder is played by
 * a source of access units that follows the target and skips pictures, as session/ does. */
#include "../unit/core/test_util.h"

#include "hevc/nal.h"
#include "jitter/video_receiver.h"
#include "rtp/video_sender.h"
#include "sim_path.h"

#include <math.h>

enum { FPS = 30, QUEUE_US = 100000, MAX_FLOWS = 2, KEY_GAP_US = 300000 };
static const int64_t SECOND = 1000000;

struct flow {
    struct video_sender *sender;
    struct video_receiver *receiver;
    struct sim_link media, feedback;
    int64_t last_at_us, feedback_at_us;
    int64_t next_picture_us, begin_us, max_bps;
    bool idle;           /* no pictures */
    bool key_wanted;
    int64_t key_us;
    uint64_t pic_id;
    int64_t media_bytes; /* of packets that arrived */
    int64_t shown, worst_latency_us, longest_gap_us, last_shown_us, skipped, keys;
    int64_t latency_since_us; /* the last time that a picture took longer than latency_limit_us */
    int64_t latency_limit_us;
};

struct world {
    int64_t now_us, steps;
    struct sim_path path, back;
    uint64_t seed;
    struct flow flow[MAX_FLOWS];
    int flows;
    uint8_t *clip, *noise;
    size_t clip_len;
};

enum { NOISE = 4 << 20 };

static uint64_t ntp_of(int64_t us) { return (uint64_t)us * 4294967296 / 1000000 + (1ull << 60); }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static void open_flow(struct world *w, int64_t max_bps, int64_t begin_us, bool rtx)
{
    struct flow *f = &w->flow[w->flows++];
    struct video_sender_config sc;
    video_sender_default_config(&sc);
    sc.ssrc = 0x1111;
    sc.rtx_ssrc = 0x2222;
    sc.pt = 49;
    sc.rtx_pt = rtx ? 50 : 0;
    sc.first_seq = 65000;
    sc.aggregate = true;
    sc.ext = (struct rtp_ext_ids){.twcc = 2, .abs_send_time = 3};
    sc.cc = (struct cc_config){.start_bps = min64(3000000, max_bps), .min_bps = 100000,
                               .max_bps = max_bps};
    strcpy(sc.cname, "sim");
    f->sender = video_sender_new(&sc);
    struct video_receiver_config rc;
    video_receiver_default_config(&rc);
    rc.local_ssrc = 0x3333;
    rc.pt = 49;
    rc.rtx_pt = sc.rtx_pt;
    rc.ext = sc.ext;
    rc.nack = rc.pli = rc.twcc = true;
    f->receiver = video_receiver_new(&rc);
    assert_non_null(f->sender);
    assert_non_null(f->receiver);
    f->max_bps = max_bps;
    f->begin_us = f->next_picture_us = begin_us;
    f->key_wanted = true;
    f->key_us = -KEY_GAP_US;
    f->last_shown_us = INT64_MAX;
    f->latency_limit_us = INT64_MAX;
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
    w->clip = read_data("core/aud-98x54.hevc", &w->clip_len);
    w->noise = malloc(NOISE);
    memset(w->noise, 0x5a, NOISE);
}

static void close_world(struct world *w)
{
    for (int i = 0; i < w->flows; i++) {
        struct flow *f = &w->flow[i];
        video_sender_free(&f->sender);
        video_receiver_free(&f->receiver);
        sim_clear(&f->media);
        sim_clear(&f->feedback);
    }
    free(w->clip);
    free(w->noise);
}

static int64_t estimate(const struct flow *f)
{
    int64_t bps = video_sender_estimate_bps(f->sender);
    return bps ? bps : min64(3000000, f->max_bps);
}

static void push_picture(struct world *w, struct flow *f, size_t bytes, bool key)
{
    struct access_unit *au = access_unit_new(bytes + 1024);
    size_t pos = 0;
    struct nal n;
    while (key && annexb_next(w->clip, w->clip_len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        if (nal_type(&n) != NAL_AUD)
            assert_true(au_append_nal(au, n.data, n.len));
    w->noise[0] = (uint8_t)((key ? NAL_IDR_W_RADL : NAL_TRAIL_R) << 1);
    w->noise[1] = 1;
    w->noise[2] = 0xaf;
    assert_true(au_append_nal(au, w->noise, bytes < 100 ? 100 : bytes < NOISE ? bytes : NOISE));
    au->pts_us = au->capture_us = w->now_us;
    au->pic_id = ++f->pic_id;
    au->irap = key;
    assert_true(video_sender_push(f->sender, au, 0, w->now_us));
    access_unit_unref(&au);
}

static void next_picture(struct world *w, struct flow *f)
{
    f->next_picture_us += SECOND / FPS;
    if (f->idle)
        return;
    if (video_sender_queue_us(f->sender, w->now_us) > QUEUE_US) {
        f->skipped++;
        return;
    }
    bool key = f->key_wanted && w->now_us - f->key_us >= KEY_GAP_US;
    double bytes = (double)estimate(f) * 0.95 / 8 / FPS * (0.7 + 0.6 * sim_random(&w->seed));
    if (key) {
        f->key_wanted = false;
        f->key_us = w->now_us;
        f->keys++;
        bytes *= 2;
    }
    push_picture(w, f, (size_t)bytes, key);
}

static void note_shown(struct world *w, struct flow *f, const struct access_unit *au)
{
    /* Only the RTP time is carried; the sender's offset is 0. */
    int64_t sent_us = w->now_us - ((w->now_us - au->pts_us) % (INT64_C(4294967296) * 100 / 9));
    int64_t latency = w->now_us - sent_us;
    (void)latency;
    if (f->last_shown_us != INT64_MAX && w->now_us - f->last_shown_us > f->longest_gap_us)
        f->longest_gap_us = w->now_us - f->last_shown_us;
    f->last_shown_us = w->now_us;
    f->shown++;
}

static void exchange(struct world *w, struct flow *f)
{
    struct rtp_packet p;
    struct sim_packet in;
    struct access_unit *au;
    uint8_t buf[1500];
    size_t n;
    int64_t now = w->now_us;
    while (video_sender_poll(f->sender, now, &p))
        sim_path_send(&w->path, &f->media, &f->last_at_us, p.data, p.len, now);
    while ((n = video_sender_rtcp(f->sender, now, ntp_of(now), buf, sizeof buf)))
        sim_path_send(&w->path, &f->media, &f->last_at_us, buf, n, now);
    while (sim_receive(&f->media, now, &in)) {
        bool bye;
        f->media_bytes += (int64_t)in.len;
        if (in.data[1] >= 192 && in.data[1] <= 223)
            video_receiver_on_rtcp(f->receiver, in.data, in.len, now, &bye);
        else
            video_receiver_on_rtp(f->receiver, in.data, in.len, now);
        free(in.data);
    }
    while ((au = video_receiver_poll(f->receiver, now))) {
        note_shown(w, f, au);
        access_unit_unref(&au);
    }
    while ((n = video_receiver_rtcp(f->receiver, now, buf, sizeof buf)))
        sim_path_send(&w->back, &f->feedback, &f->feedback_at_us, buf, n, now);
    while (sim_receive(&f->feedback, now, &in)) {
        struct rtcp_events e;
        video_sender_on_rtcp(f->sender, in.data, in.len, now, ntp_of(now), &e);
        f->key_wanted |= e.key_wanted;
        free(in.data);
    }
}

static void run_until(struct world *w, int64_t end_us)
{
    while (w->now_us < end_us) {
        int64_t next = end_us;
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            if (w->now_us >= f->next_picture_us)
                next_picture(w, f);
            exchange(w, f);
        }
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            next = min64(next, f->next_picture_us);
            next = min64(next, video_sender_next_us(f->sender));
            next = min64(next, video_sender_rtcp_next_us(f->sender));
            next = min64(next, video_receiver_next_us(f->receiver, w->now_us));
            next = min64(next, min64(sim_next_us(&f->media), sim_next_us(&f->feedback)));
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
    video_sender_get_stats(w->flow[0].sender, w->now_us, &s);
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
        assert_true(m.p95_ms <= 40);
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

/* Ten pairs: seven of them within 40:60 over a minute, on the mean within 42:58, and none far. */
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
        int64_t first = w.flow[0].media_bytes, second = w.flow[1].media_bytes;
        struct measure m = measure_for(&w, 60 * SECOND);
        first = w.flow[0].media_bytes - first;
        second = w.flow[1].media_bytes - second;
        double share = (double)first / (double)(first + second);
        report("two flows", seed, &w, &m);
        print_message("shares %.0f:%.0f\n", 100 * share, 100 * (1 - share));
        off += fabs(share - 0.5) / PAIRS;
        unequal += share < 0.395 || share > 0.605;
        assert_true(share >= 0.25 && share <= 0.75);
        assert_true(m.use >= 0.85 && m.p95_ms <= 100);
        close_world(&w);
    }
    print_message("%d of %d pairs outside 40:60; %.0f %% off on the mean\n", unequal, PAIRS, 100 * off);
    assert_true(unequal <= 3 && off <= 0.08);
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
    assert_true(use[0] >= 0.4 && use[LINKS / 20] >= 0.6 && use[LINKS / 2] >= 0.85);
    assert_true(delay[LINKS / 2] <= 60 && delay[LINKS * 19 / 20] <= 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converges),   cmocka_unit_test(steps),     cmocka_unit_test(radio_loss),
        cmocka_unit_test(idle_minute), cmocka_unit_test(two_flows), cmocka_unit_test(random_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
