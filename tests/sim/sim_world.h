/* Senders that share a bottleneck, each with its receiver and its feedback, in virtual time. The encoder is
 * played by a source of access units that follows the target and skips pictures, as session/ does. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim_flow.h"
#include "sim_tcp.h"

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
    struct sim_tcp *tcp; /* borrows; NULL: none */
    struct sim_clip clip;
};

static inline void count_shown(void *arg, struct access_unit *au)
{
    struct flow *f = arg;
    (void)au;
    f->shown++;
}

static inline void open_flow(struct world *w, int64_t max_bps, int64_t begin_us, bool rtx)
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
static inline uint64_t more_seeds(void)
{
    const char *text = getenv("HEVCAST_SIM_SEEDS");
    return text ? strtoull(text, NULL, 10) : 0;
}

static inline void open_world(struct world *w, uint64_t seed, int64_t bps, int64_t rtt_us, int64_t queue_ms)
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

static inline void close_world(struct world *w)
{
    for (int i = 0; i < w->flows; i++)
        sim_flow_close(&w->flow[i].f);
    free(w->clip.data);
}

static inline int64_t estimate(const struct flow *f)
{
    int64_t bps = video_sender_estimate_bps(f->f.sender);
    return bps ? bps : min64(3000000, f->max_bps);
}

static inline void push_picture(struct world *w, struct flow *f, size_t bytes, bool key)
{
    struct access_unit *au = sim_picture(&w->clip, key, bytes, w->now_us, ++f->pic_id);
    assert_true(video_sender_push(f->f.sender, au, 0, w->now_us));
    access_unit_unref(&au);
}

static inline void next_picture(struct world *w, struct flow *f)
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

static inline void run_until(struct world *w, int64_t end_us)
{
    while (w->now_us < end_us) {
        int64_t next = end_us;
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            if (w->now_us >= f->next_picture_us)
                next_picture(w, f);
            sim_flow_exchange(&f->f, w->now_us);
        }
        if (w->tcp) {
            sim_tcp_exchange(w->tcp, w->now_us);
            next = min64(next, sim_tcp_next_us(w->tcp, w->now_us));
        }
        for (int i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];
            next = min64(next, min64(f->next_picture_us, sim_flow_next_us(&f->f, w->now_us)));
        }
        w->now_us = next > w->now_us ? next : w->now_us + 1;
        assert_true(++w->steps < 20000000); /* no busy loop */
    }
}

static inline void run_for(struct world *w, int64_t us) { run_until(w, w->now_us + us); }

struct measure {
    double use;
    int p50_ms, p95_ms;
};

/* Runs on, and measures the bottleneck meanwhile. */
static inline struct measure measure_for(struct world *w, int64_t us)
{
    sim_path_reset_counts(&w->path);
    run_for(w, us);
    return (struct measure){
        .use = (double)w->path.carried_bytes * 8e6 / (double)us / (double)w->path.bps,
        .p50_ms = sim_path_delay_ms(&w->path, 0.5),
        .p95_ms = sim_path_delay_ms(&w->path, 0.95),
    };
}

#endif
