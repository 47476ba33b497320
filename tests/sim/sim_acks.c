/* What senders take their viewers to have, against what the viewers were given: acknowledgement by
 * transport-wide feedback and by silence (rtp/delivery.h), with forward error correction, losses in
 * both directions, and feedback that is cut off for a while. Several viewers watch one encode, each
 * over a path of its own, as in session/: a picture may be referred to once all of them have it. */
#include "sim_flow.h"

enum { FPS = 30, VIEWERS = 3, MAX_PICTURES = 1500, QUEUE_US = 100000, KEY_GAP_US = 300000,
       CUT_EVERY_US = 5000000, CUT_US = 800000 };
static const int64_t SECOND = 1000000;

struct path_setup {
    double loss, burst, back_loss;
    int64_t rtt_us;
};

struct scenario {
    const char *name;
    int viewers;
    bool fec, cuts; /* cuts: feedback is cut off now and then */
    struct path_setup path[VIEWERS];
    int64_t lag_us; /* within so long most pictures are known to be there */
};

static const struct scenario scenarios[] = {
    {"5 % lost", 1, true, false, {{0.05, 0, 0.05, 50000}}, 700000},
    {"5 % lost, RTX alone", 1, false, false, {{0.05, 0, 0.05, 50000}}, 700000},
    {"5 % lost in bursts", 1, true, false, {{0, 0.05, 0.02, 150000}}, 1500000},
    {"20 % lost", 1, true, false, {{0.2, 0, 0.2, 100000}}, 1500000},
    {"5 % lost, feedback cut off", 1, true, true, {{0.05, 0, 0.05, 50000}}, 2000000},
    {"1 % lost, 120 ms, feedback cut off", 1, true, true, {{0.01, 0, 0.2, 120000}}, 2500000},
    {"RTX alone, feedback cut off", 1, false, true, {{0.05, 0, 0.05, 120000}}, 2500000},
    {"three viewers", 3, true, false,
     {{0.05, 0, 0.05, 50000}, {0, 0.03, 0.02, 120000}, {0, 0, 0, 10000}}, 1500000},
    {"three viewers, feedback cut off", 3, true, true,
     {{0.05, 0, 0.05, 50000}, {0.1, 0, 0.1, 100000}, {0.01, 0, 0, 30000}}, 2500000},
};

struct world;

struct viewer {
    struct world *w;
    struct sim_flow f;
    struct sim_path path, back;
    bool given[MAX_PICTURES + 1], acked[MAX_PICTURES + 1];
    uint64_t last_given;
};

struct world {
    const struct scenario *s;
    int64_t now_us, next_us, key_us, steps;
    uint64_t seed, newest, key; /* pictures */
    uint64_t anchor;            /* the newest that all have; 0: none */
    int64_t pushed_us[MAX_PICTURES + 1];
    uint64_t since[MAX_PICTURES + 1]; /* all from this one on are needed for it, and of those before the anchor alone */
    struct viewer viewer[VIEWERS];
    struct sim_clip clip;
    int64_t lags[MAX_PICTURES];
    int lag_n, early, wrong, before_key, anchored, keys;
};

static void note_given(void *arg, struct access_unit *au)
{
    struct viewer *v = arg;
    int64_t captured_us = us_of_ntp(au->capture_ntp - sim_ntp(0));
    uint64_t id = v->w->newest;
    while (id > 0 && llabs(v->w->pushed_us[id] - captured_us) > 10)
        id--;
    assert_true(id > 0);
    v->given[id] = true;
    v->last_given = id;
}

static void open_viewer(struct world *w, int i)
{
    struct viewer *v = &w->viewer[i];
    const struct path_setup *p = &w->s->path[i];
    struct video_sender_config sc;
    struct video_receiver_config rc;
    sim_flow_configs(&sc, &rc);
    sc.ext = (struct rtp_ext_ids){.twcc = 2, .abs_send_time = 3, .abs_capture_time = 4};
    sc.fec_pt = w->s->fec ? 51 : 0;
    sc.cc = (struct cc_config){.start_bps = 3000000, .min_bps = 100000, .max_bps = 20000000};
    rc.twcc = true;
    v->w = w;
    v->path = (struct sim_path){.bps = 6000000, .queue_ms = 300, .delay_us = p->rtt_us / 2, .loss = p->loss,
                                .burst_loss = p->burst, .seed = w->seed + 1 + (uint64_t)i};
    v->back = (struct sim_path){.bps = 10000000, .queue_ms = 500, .delay_us = p->rtt_us / 2,
                                .loss = p->back_loss, .seed = w->seed + 11 + (uint64_t)i};
    v->f = (struct sim_flow){.path = &v->path, .back = &v->back, .given = note_given, .arg = v,
                             .key_wanted = true};
    sim_flow_open(&v->f, &sc, &rc);
}

static void add_lag(struct world *w, int64_t us)
{
    if (w->lag_n < MAX_PICTURES)
        w->lags[w->lag_n++] = us;
}

/* A picture that is here but not given yet waits for one before it to which it does not refer. */
static void take_acks(struct world *w)
{
    for (int i = 0; i < w->s->viewers; i++) {
        struct viewer *v = &w->viewer[i];
        for (uint64_t id; video_sender_next_acked(v->f.sender, &id);) {
            bool all = true;
            v->acked[id] = true;
            w->early += !v->given[id] && id >= w->key && v->last_given + 1 >= w->since[id];
            for (int k = 0; k < w->s->viewers; k++)
                all &= video_sender_has(w->viewer[k].f.sender, id);
            if (all && id > w->anchor)
                w->anchor = id;
            if (all)
                add_lag(w, w->now_us - w->pushed_us[id]);
        }
    }
}

static bool key_wanted(struct world *w)
{
    bool wanted = false;
    for (int i = 0; i < w->s->viewers; i++)
        wanted |= w->viewer[i].f.key_wanted;
    if (!wanted || w->now_us - w->key_us < KEY_GAP_US)
        return false;
    for (int i = 0; i < w->s->viewers; i++)
        w->viewer[i].f.key_wanted = false;
    w->key_us = w->now_us;
    return true;
}

/* Each tenth refers to the anchor alone, as a repair does; all the others to the one before. */
static void refer(struct world *w, struct access_unit *au)
{
    bool anchored = w->newest % 10 == 0 && w->anchor >= w->key && w->anchor > 0;
    au->n_refers = 1;
    au->refers_to[0] = anchored ? w->anchor : w->newest - 1;
    w->anchored += anchored;
    w->since[w->newest] = anchored ? w->newest : w->since[w->newest - 1];
}

static void next_picture(struct world *w)
{
    int64_t bps = INT64_MAX;
    w->next_us += SECOND / FPS;
    for (int i = 0; i < w->s->viewers; i++) {
        int64_t media = video_sender_media_bps(w->viewer[i].f.sender, w->now_us);
        bps = min64(bps, media ? media : 3000000);
        if (video_sender_queue_us(w->viewer[i].f.sender, w->now_us) > QUEUE_US)
            return;
    }
    if (w->newest == MAX_PICTURES)
        return;
    bool key = key_wanted(w);
    double bytes = (double)bps * 0.95 / 8 / FPS * (0.7 + 0.6 * sim_random(&w->seed)) * (key ? 2 : 1);
    struct access_unit *au = sim_picture(&w->clip, key, (size_t)bytes, w->now_us, ++w->newest);
    w->pushed_us[w->newest] = w->now_us;
    if (key) {
        w->key = w->since[w->newest] = w->newest;
        w->keys++;
    } else {
        refer(w, au);
    }
    for (int i = 0; i < w->s->viewers; i++)
        assert_true(video_sender_push(w->viewer[i].f.sender, au, sim_ntp(w->now_us), w->now_us));
    access_unit_unref(&au);
}

static void run_for(struct world *w, int64_t us)
{
    int64_t end_us = w->now_us + us;
    while (w->now_us < end_us) {
        int64_t next = min64(end_us, w->next_us);
        if (w->now_us >= w->next_us)
            next_picture(w);
        bool cut = w->s->cuts && w->now_us % CUT_EVERY_US < CUT_US;
        for (int i = 0; i < w->s->viewers; i++) {
            struct viewer *v = &w->viewer[i];
            v->back.loss = cut ? 1 : w->s->path[i].back_loss;
            sim_flow_exchange(&v->f, w->now_us);
        }
        take_acks(w);
        for (int i = 0; i < w->s->viewers; i++)
            next = min64(next, sim_flow_next_us(&w->viewer[i].f, w->now_us));
        next = min64(next, w->next_us);
        w->now_us = next > w->now_us ? next : w->now_us + 1;
        assert_true(++w->steps < 20000000);
    }
}

/* What was taken to be there was, or came: it may have waited for a picture before it, which was lost
 * but which it does not refer to. What a key frame came after is of no interest any more. */
static void check_acks(struct world *w)
{
    for (int i = 0; i < w->s->viewers; i++)
        for (uint64_t id = 1; id <= w->newest; id++) {
            const struct viewer *v = &w->viewer[i];
            if (!v->acked[id] || v->given[id])
                continue;
            w->wrong += id >= w->key;
            w->before_key += id < w->key;
        }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void run(const struct scenario *s, uint64_t seed)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.s = s;
    w.seed = seed * 0x9e3779b97f4a7c15u + 1;
    w.now_us = w.next_us = 6 * SECOND;
    w.key_us = -KEY_GAP_US;
    w.clip = sim_clip_read();
    for (int i = 0; i < s->viewers; i++)
        open_viewer(&w, i);
    run_for(&w, 32 * SECOND); /* not to end at a cut */
    w.next_us = INT64_MAX;
    run_for(&w, 4 * SECOND);
    check_acks(&w);
    int64_t fec = 0;
    for (int i = 0; i < s->viewers; i++) {
        struct video_sender_stats st;
        video_sender_get_stats(w.viewer[i].f.sender, w.now_us, &st);
        fec += st.fec_packets;
    }
    assert_true(w.lag_n > 0);
    qsort(w.lags, (size_t)w.lag_n, sizeof w.lags[0], by_value);
    int64_t p50 = w.lags[w.lag_n / 2], p90 = w.lags[w.lag_n * 9 / 10];
    print_message("%-34s seed %d: %d of %d known to be with all after p50 %lld p90 %lld ms, %d of them too early, %d "
                  "wrong, and %d before a key frame; %d referred to the anchor; keys %d; FEC packets %lld\n", s->name, (int)seed, w.lag_n, (int)w.newest, (long long)p50 / 1000,
                  (long long)p90 / 1000, w.early, w.wrong, w.before_key, w.anchored, w.keys, (long long)fec);
    assert_int_equal(w.early, 0);
    assert_int_equal(w.wrong, 0);
    assert_true(w.lag_n >= (int)w.newest * 9 / 10);
    assert_true(p90 <= s->lag_us);
    assert_true(w.anchored > 50);
    assert_int_equal(fec > 0, s->fec);
    for (int i = 0; i < s->viewers; i++)
        sim_flow_close(&w.viewer[i].f);
    free(w.clip.data);
}

static void all_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (uint64_t seed = 1; seed <= SIM_SEEDS(5); seed++)
            run(&scenarios[i], seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_scenarios)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
