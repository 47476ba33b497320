/* Losses and what repairs them, in virtual time: a sender that follows its estimate, a path that
 * loses packets, a receiver. What counts is which pictures are shown, and how long it takes. */
#include "sim_flow.h"

enum { FPS = 30, QUEUE_US = 100000, KEY_GAP_US = 300000, MAX_PICTURES = 4000, SEEDS = SIM_SEEDS(10) };
static const int64_t SECOND = 1000000;

struct world {
    int64_t now_us, steps;
    uint64_t seed;
    struct sim_path path, back;
    struct sim_flow f;
    int64_t next_picture_us, gap_us;
    int64_t picture_bytes; /* 0: as many as the rate allows */
    uint64_t pic_id;
    int64_t key_us, keys;
    int64_t media_bytes; /* of pictures */
    int64_t from_us, to_us; /* pictures of this time count */
    int64_t pushed, shown, skipped, last_shown_us, longest_gap_us;
    int64_t latency_us[MAX_PICTURES];
    struct sim_clip clip;
};

struct setup {
    int64_t bps, rtt_us;
    double loss, burst;
    bool no_twcc, fec;
    uint64_t seed;
};

static void note_shown(void *arg, struct access_unit *au)
{
    struct world *w = arg;
    if (w->last_shown_us && w->now_us - w->last_shown_us > w->longest_gap_us)
        w->longest_gap_us = w->now_us - w->last_shown_us;
    w->last_shown_us = w->now_us;
    int64_t captured_us = us_of_ntp(au->capture_ntp - sim_ntp(0));
    if (w->shown < MAX_PICTURES && captured_us >= w->from_us && captured_us < w->to_us)
        w->latency_us[w->shown++] = w->now_us - captured_us;
}

static void open_world(struct world *w, const struct setup *s)
{
    memset(w, 0, sizeof *w);
    w->seed = s->seed * 0x9e3779b97f4a7c15u + 1;
    w->now_us = 5 * SECOND;
    w->path = (struct sim_path){.bps = s->bps, .queue_ms = 300, .delay_us = s->rtt_us / 2,
                                .loss = s->loss, .burst_loss = s->burst, .seed = w->seed + 1};
    w->back = (struct sim_path){.bps = 10000000, .queue_ms = 500, .delay_us = s->rtt_us / 2,
                                .loss = (s->loss + s->burst) / 2, .seed = w->seed + 2};
    w->clip = sim_clip_read();
    struct video_sender_config sc;
    struct video_receiver_config rc;
    sim_flow_configs(&sc, &rc);
    sc.ext = (struct rtp_ext_ids){.twcc = s->no_twcc ? 0 : 2, .abs_send_time = 3, .abs_capture_time = 4};
    sc.fec_pt = s->fec ? 51 : 0;
    sc.cc = (struct cc_config){.start_bps = 3000000, .min_bps = 100000, .max_bps = 20000000};
    rc.twcc = !s->no_twcc;
    w->f = (struct sim_flow){.path = &w->path, .back = &w->back, .given = note_shown, .arg = w,
                             .key_wanted = true};
    sim_flow_open(&w->f, &sc, &rc);
    w->next_picture_us = w->now_us;
    w->gap_us = SECOND / FPS;
    w->key_us = -KEY_GAP_US;
}

static void close_world(struct world *w)
{
    sim_flow_close(&w->f);
    free(w->clip.data);
}

static void push_picture(struct world *w, size_t bytes, bool key)
{
    struct access_unit *au = sim_picture(&w->clip, key, bytes, w->now_us, ++w->pic_id);
    w->pushed += w->now_us >= w->from_us && w->now_us < w->to_us;
    assert_true(video_sender_push(w->f.sender, au, sim_ntp(w->now_us), w->now_us));
    access_unit_unref(&au);
}

static void next_picture(struct world *w)
{
    w->next_picture_us += w->gap_us;
    if (video_sender_queue_us(w->f.sender, w->now_us) > QUEUE_US) {
        w->skipped++;
        return;
    }
    bool key = w->f.key_wanted && w->now_us - w->key_us >= KEY_GAP_US;
    int64_t bps = video_sender_media_bps(w->f.sender, w->now_us);
    double bytes = (double)(bps ? bps : 3000000) * 0.95 / 8 / FPS * (0.7 + 0.6 * sim_random(&w->seed));
    if (w->picture_bytes)
        bytes = (double)w->picture_bytes;
    if (key) {
        w->f.key_wanted = false;
        w->key_us = w->now_us;
        w->keys++;
        bytes *= 2;
    }
    w->media_bytes += (int64_t)bytes;
    push_picture(w, (size_t)bytes, key);
}

static void run_for(struct world *w, int64_t us)
{
    int64_t end_us = w->now_us + us;
    while (w->now_us < end_us) {
        if (w->now_us >= w->next_picture_us)
            next_picture(w);
        sim_flow_exchange(&w->f, w->now_us);
        int64_t next = min64(end_us, min64(w->next_picture_us, sim_flow_next_us(&w->f, w->now_us)));
        w->now_us = next > w->now_us ? next : w->now_us + 1;
        assert_true(++w->steps < 20000000); /* no busy loop */
    }
}

/* From now on, for so long, the pictures count. */
static void count_for(struct world *w, int64_t us)
{
    w->from_us = w->now_us;
    w->to_us = w->now_us + us;
    w->media_bytes = w->pushed = w->shown = w->skipped = w->keys = w->longest_gap_us = 0;
    sim_path_reset_counts(&w->path);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t latency_us(struct world *w, double share)
{
    qsort(w->latency_us, (size_t)w->shown, sizeof w->latency_us[0], by_value);
    return w->shown ? w->latency_us[(int64_t)(share * (double)(w->shown - 1))] : 0;
}

/* A peer without transport-wide feedback: receiver reports alone find the rate of the path. */
static void reports_alone(void **state)
{
    (void)state;
    static const struct setup cases[] = {
        {.bps = 6000000, .rtt_us = 40000, .no_twcc = true},
        {.bps = 1500000, .rtt_us = 80000, .no_twcc = true},
        {.bps = 6000000, .rtt_us = 50000, .loss = 0.05, .no_twcc = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        struct setup s = cases[i];
        s.seed = i + 1;
        open_world(&w, &s);
        run_for(&w, 20 * SECOND);
        count_for(&w, 40 * SECOND);
        run_for(&w, 40 * SECOND);
        double use = (double)w.path.carried_bytes * 8 / 40 / (double)s.bps;
        print_message("reports alone, %lld b/s: use %.2f, queue p50 %d p95 %d ms, shown %lld of "
                      "%lld, keys %lld\n", (long long)s.bps, use, sim_path_delay_ms(&w.path, 0.5),
                      sim_path_delay_ms(&w.path, 0.95), (long long)w.shown, (long long)w.pushed,
                      (long long)w.keys);
        run_for(&w, SECOND); /* what is on its way */
        assert_true(use >= 0.6);
        assert_true(sim_path_delay_ms(&w.path, 0.5) <= 100);
        assert_true(w.shown >= w.pushed * 9 / 10);
        close_world(&w);
    }
}

/* A keystroke every two seconds on a path that loses 5 %: each is seen within 2 RTT + 50 ms. */
static void keystrokes(void **state)
{
    (void)state;
    int64_t late = 0, all = 0, probes = 0, worst = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w;
        struct setup s = {.bps = 10000000, .rtt_us = 50000, .loss = 0.05, .seed = seed};
        open_world(&w, &s);
        w.picture_bytes = 800;
        run_for(&w, 2 * SECOND);
        w.gap_us = 2 * SECOND;
        run_for(&w, 4 * SECOND);
        count_for(&w, 200 * SECOND);
        struct video_sender_stats before, after;
        video_sender_get_stats(w.f.sender, w.now_us, &before);
        run_for(&w, 201 * SECOND);
        video_sender_get_stats(w.f.sender, w.now_us, &after);
        assert_int_equal(w.shown, w.pushed);
        assert_int_equal(w.keys, 0);
        worst = latency_us(&w, 1) > worst ? latency_us(&w, 1) : worst;
        for (int64_t i = 0; i < w.shown; i++)
            late += w.latency_us[i] > 2 * s.rtt_us + 50000;
        all += w.shown;
        probes += after.packets_retransmitted - before.packets_retransmitted;
        close_world(&w);
    }
    print_message("%lld keystrokes: %lld later than 2 RTT + 50 ms, worst %lld ms, %.1f repeats each\n",
                  (long long)all, (long long)late, (long long)worst / 1000,
                  (double)probes / (double)all);
    assert_true(all >= 99 * SEEDS);
    assert_true(late * 1000 <= all * 3); /* three losses in a row are 1 in 8000 */
    assert_true(probes <= 4 * all);
}

/* The scenes of a lossy path: who is shown, how late, and at what cost. */
static void lossy_paths(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct setup s;
        double shown;
        int64_t freeze_us, p95_us, keys; /* p95: of each seed's latencies */
        double use; /* of the link */
    } cases[] = {
        {"5 % in bursts, 150 ms", {.bps = 6000000, .rtt_us = 150000, .burst = 0.05}, 0.98, 500000, 400000, 0, 0.7},
        {"20 % at random, 100 ms", {.bps = 6000000, .rtt_us = 100000, .loss = 0.2}, 0.95, 800000, 400000, 0, 0.6},
        {"5 % at random, 50 ms", {.bps = 6000000, .rtt_us = 50000, .loss = 0.05}, 0.995, 300000, 125000, 0, 0.8},
        {"1 % at random, 120 ms", {.bps = 6000000, .rtt_us = 120000, .loss = 0.01}, 0.995, 300000, 180000, 0, 0.8},
        {"clean, 150 ms", {.bps = 6000000, .rtt_us = 150000}, 0.995, 100000, 150000, 0, 0.8},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct setup s = cases[i / 2].s;
        double shown = 1, use = 1;
        int64_t freeze = 0, keys = 0, p50 = 0, p95 = 0, fec = 0, again = 0, sent = 0, media = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct world w;
            struct video_sender_stats before, st;
            s.seed = seed;
            s.fec = i % 2;
            open_world(&w, &s);
            run_for(&w, 8 * SECOND);
            count_for(&w, 30 * SECOND);
            video_sender_get_stats(w.f.sender, w.now_us, &before);
            run_for(&w, 30 * SECOND);
            video_sender_get_stats(w.f.sender, w.now_us, &st);
            int64_t carried = w.path.carried_bytes, coded = w.media_bytes;
            run_for(&w, 2 * SECOND); /* what is on its way */
            double part = (double)w.shown / (double)w.pushed;
            double used = (double)carried * 8 / 30 / (double)s.bps;
            shown = part < shown ? part : shown;
            use = used < use ? used : use;
            freeze = w.longest_gap_us > freeze ? w.longest_gap_us : freeze;
            keys += w.keys;
            p50 += latency_us(&w, 0.5) / 1000 / SEEDS;
            p95 = latency_us(&w, 0.95) > p95 ? latency_us(&w, 0.95) : p95;
            fec += st.fec_bytes - before.fec_bytes;
            again += st.packets_retransmitted - before.packets_retransmitted;
            sent += st.bytes_sent - before.bytes_sent;
            media += coded;
            close_world(&w);
        }
        print_message("%-23s %s: worst of %d: shown %.3f, freeze %lld ms, use %.2f, latency p95 "
                      "%lld ms; mean p50 %lld ms; keys %lld; of bytes: media %.2f, fec %.2f; again %lld\n",
                      cases[i / 2].name, s.fec ? "FEC" : "RTX", (int)SEEDS, shown,
                      (long long)freeze / 1000, use, (long long)p95 / 1000, (long long)p50,
                      (long long)keys, (double)media / (double)sent, (double)fec / (double)sent,
                      (long long)again);
        assert_true(use >= cases[i / 2].use);
        if (!s.fec)
            continue;
        assert_true(shown >= cases[i / 2].shown);
        assert_true(freeze <= cases[i / 2].freeze_us);
        assert_true(p95 <= cases[i / 2].p95_us);
        assert_true(keys <= cases[i / 2].keys);
        assert_true(s.loss + s.burst > 0 || fec == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_alone),
        cmocka_unit_test(keystrokes),
        cmocka_unit_test(lossy_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
