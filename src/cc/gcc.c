/* Google's congestion control, with what a screen needs: an estimate that outlives stillness,
 * a window that stops the queue from growing while feedback is on its way, and loss that is told
 * apart. Starts from libwebrtc's published constants. */
#include "cc/aimd.h"
#include "cc/cc.h"
#include "cc/loss_control.h"
#include "cc/probe.h"
#include "cc/rate_meter.h"
#include "cc/rival.h"
#include "cc/trendline.h"

#include <stdlib.h>

enum {
    BASE_US = 15000000,        /* the shortest delay is of the last one or two of these */
    ACKED_SHORT_US = 150000, ACKED_LONG_US = 500000,
    STANDING_US = 70000,       /* a queue that never falls below it is too long */
    LASTING_US = 4000, PACKET_BYTES = 1200,
    /* No growth while so much of ours waits in the path: of flows that share a queue, the faster ones
     * stop first. */
    HOLD_BYTES = 15000, HOLD_MIN_US = 8000, HOLD_MAX_US = 40000,
    PROBE_QUEUE_US = 20000, QUEUE_KNOWN_US = 500000,
    HIGH_US = 60000000,        /* for how long the highest estimate is remembered */
    STUBBORN = 4,              /* decreases that did not shorten it: it is not our queue */
    CALM_US = 8000000,         /* without a decrease: the pacer may be quick */
    FEEDBACK_SLACK_US = 110000, /* the wait for feedback, and what may queue meanwhile */
    WINDOW_MIN_BYTES = 16000, UNHEARD_WINDOW_US = 500000,
};
static const double APP_LIMITED = 0.65;
static const double MUCH_LESS = 0.7, FAR_BELOW = 0.35; /* of the highest estimate */
static const double PACE_UNHEARD = 2.5, PACE_FREE = 2.5, PACE_CALM = 1.5, PACE_NEAR = 1.1;

struct gcc {
    struct cc base;
    struct cc_config config;
    struct trendline trend;
    struct aimd rate;
    struct loss_control loss;
    struct probe_control probes;
    struct rival rival;
    struct rate_meter sent, acked; /* acked: by the receiver's clock */
    bool heard;
    int64_t newest_arrival_us, newest_sent_us, feedback_us;
    /* The shortest time from sending to arrival (two clocks: only differences mean something). */
    int64_t way_base_us[2], base_since_us;
    int64_t rtt_us, rtt_min_us[2];
    int64_t standing_before_us;
    int64_t high_bps, high_us; /* the highest estimate, and when */
    int stubborn;
};

static struct gcc *gcc_of(struct cc *cc) { return (struct gcc *)cc; }

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static bool app_limited(const struct gcc *g, int64_t now_us)
{
    return (double)rate_meter_bps(&g->sent, now_us, ACKED_LONG_US) <
           APP_LIMITED * (double)g->rate.bps;
}

static int64_t hold_queue_us(const struct gcc *g)
{
    int64_t us = (int64_t)HOLD_BYTES * 8000000 / g->rate.bps;
    return us < HOLD_MIN_US ? HOLD_MIN_US : us > HOLD_MAX_US ? HOLD_MAX_US : us;
}

static void publish(struct gcc *g, int64_t now_us)
{
    struct cc *cc = &g->base;
    if (g->rate.bps >= g->high_bps || now_us - g->high_us > HIGH_US) {
        g->high_bps = g->rate.bps;
        g->high_us = now_us;
    }
    g->rate.far_below = (double)g->rate.bps < FAR_BELOW * (double)g->high_bps;
    g->probes.hopeful = (double)g->rate.bps < MUCH_LESS * (double)g->high_bps;
    cc->estimate_bps = g->rate.bps;
    cc->loss = g->loss.loss;
    int64_t since = g->rate.decreased_us == INT64_MIN ? INT64_MAX
                                                      : now_us - g->rate.decreased_us;
    bool free_path = g->rate.bps >= g->config.max_bps / 20 * 19 && since > CALM_US;
    double pace = !g->heard         ? PACE_UNHEARD
                  : free_path       ? PACE_FREE
                  : since > CALM_US ? PACE_CALM
                                    : PACE_NEAR;
    cc->pacing_bps = (int64_t)(pace * (double)g->rate.bps);
    /* What waits beside another waits in its queue. */
    int64_t rtt = rival_floor_bps(&g->rival, now_us) ? g->rtt_us
                                                     : min64(g->rtt_min_us[0], g->rtt_min_us[1]);
    int64_t open_us = g->heard ? rtt + FEEDBACK_SLACK_US : UNHEARD_WINDOW_US;
    int64_t window = cc->pacing_bps / 8 * open_us / 1000000;
    cc->window_bytes = window > WINDOW_MIN_BYTES ? window : WINDOW_MIN_BYTES;
}

static struct cc *gcc_open(const struct cc_config *c)
{
    struct gcc *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->base.ops = &cc_gcc;
    g->config = *c;
    trendline_init(&g->trend);
    aimd_init(&g->rate, c->start_bps, c->min_bps, c->max_bps);
    loss_control_init(&g->loss);
    probe_init(&g->probes);
    rival_init(&g->rival);
    rate_meter_init(&g->sent);
    rate_meter_init(&g->acked);
    g->way_base_us[0] = g->way_base_us[1] = INT64_MAX;
    g->rtt_min_us[0] = g->rtt_min_us[1] = INT64_MAX;
    g->base_since_us = INT64_MIN;
    publish(g, 0);
    return &g->base;
}

static void gcc_close(struct cc **cc)
{
    free(*cc);
    *cc = NULL;
}

static void gcc_on_sent(struct cc *cc, size_t bytes, uint16_t probe, int64_t now_us)
{
    struct gcc *g = gcc_of(cc);
    rate_meter_add(&g->sent, now_us, bytes);
    probe_sent(&g->probes, bytes, probe, now_us);
}

static void roll_bases(struct gcc *g, int64_t now_us)
{
    if (g->base_since_us == INT64_MIN)
        g->base_since_us = now_us;
    if (now_us - g->base_since_us < BASE_US)
        return;
    g->base_since_us = now_us;
    g->way_base_us[1] = g->way_base_us[0];
    g->rtt_min_us[1] = g->rtt_min_us[0];
    g->way_base_us[0] = g->rtt_min_us[0] = INT64_MAX;
}

/* Takes the packets in. *standing_us: the shortest wait among them; -1: none has a time. */
static enum path_use take(struct gcc *g, const struct cc_feedback *f, int64_t *standing_us)
{
    enum path_use use = g->trend.use;
    int64_t shortest = INT64_MAX, last = INT64_MAX;
    for (int i = 0; i < f->n; i++) {
        const struct cc_ack *a = &f->ack[i];
        probe_ack(&g->probes, a);
        if (a->again)
            loss_control_found(&g->loss);
        else
            loss_control_add(&g->loss, a->arrival_us == CC_LOST);
        if (a->arrival_us < 0)
            continue;
        rate_meter_add(&g->acked, a->arrival_us, a->bytes);
        if (a->arrival_us > g->newest_arrival_us)
            g->newest_arrival_us = a->arrival_us;
        if (a->sent_us > g->newest_sent_us)
            g->newest_sent_us = a->sent_us;
        /* Told lost before: without RTX it is the copy that came, and sent_us is the original's. */
        if (a->again)
            continue;
        last = a->arrival_us - a->sent_us;
        shortest = min64(shortest, last);
        use = trendline_add(&g->trend, a->sent_us, a->arrival_us);
    }
    *standing_us = -1;
    if (shortest == INT64_MAX)
        return use;
    g->way_base_us[0] = min64(g->way_base_us[0], shortest);
    int64_t base = min64(g->way_base_us[0], g->way_base_us[1]);
    *standing_us = shortest - base;
    g->base.queue_us = last - base;
    return use;
}

/* A queue that stands although we went down several times is another's, or the path is another:
 * what is normal begins anew. */
static void decrease(struct gcc *g, int64_t standing_us, int64_t now_us)
{
    int64_t t = g->newest_arrival_us;
    int64_t acked = rate_meter_bps(&g->acked, t, ACKED_SHORT_US);
    if (acked == 0)
        acked = rate_meter_bps(&g->acked, t, ACKED_LONG_US);
    /* A screen sends in bursts: what a quiet half second brought is no measure of the path. */
    int64_t arrived = acked;
    if (app_limited(g, now_us))
        acked = rate_meter_peak_bps(&g->acked);
    aimd_decrease(&g->rate, acked, g->base.queue_us, now_us);
    probe_postpone(&g->probes, now_us);
    g->stubborn = standing_us > STANDING_US && standing_us >= g->standing_before_us * 4 / 5
                      ? g->stubborn + 1
                      : 0;
    g->standing_before_us = standing_us;
    rival_decreased(&g->rival, arrived, g->rate.bps, g->stubborn, now_us);
    int64_t floor_bps = rival_floor_bps(&g->rival, now_us);
    if (floor_bps > 0) {
        g->stubborn = 0;
        if (g->rate.bps < floor_bps)
            aimd_set(&g->rate, floor_bps, now_us);
    }
    if (g->stubborn >= STUBBORN) {
        g->stubborn = 0;
        g->way_base_us[0] = min64(g->way_base_us[0], g->way_base_us[1]) + standing_us;
        g->way_base_us[1] = INT64_MAX;
    }
}

static void gcc_on_feedback(struct cc *cc, const struct cc_feedback *f)
{
    struct gcc *g = gcc_of(cc);
    int64_t now = f->now_us, standing = -1, before_us = g->base.queue_us;
    roll_bases(g, now);
    g->feedback_us = now;
    enum path_use use = take(g, f, &standing);
    if (f->rtt_us > 0) {
        g->rtt_us = f->rtt_us;
        g->rtt_min_us[0] = min64(g->rtt_min_us[0], f->rtt_us);
        g->heard = true;
    }
    int64_t acked = rate_meter_bps(&g->acked, g->newest_arrival_us, ACKED_LONG_US);
    bool limited = app_limited(g, now);
    rival_arrived(&g->rival, g->rate.bps, rate_meter_bps(&g->sent, now, ACKED_LONG_US), acked, now);
    /* What was sent before the last decrease shows its cause once more. */
    bool fresh = g->rate.decreased_us == INT64_MIN || g->newest_sent_us > g->rate.decreased_us;
    /* A queue that was empty a moment ago is a burst of ours that passes; one that falls is on its
     * way out. */
    bool lasting = standing > LASTING_US + (int64_t)2 * PACKET_BYTES * 8000000 / g->rate.bps ||
                   g->base.queue_us > STANDING_US;
    bool falling = g->base.queue_us < before_us * 3 / 4;
    if (g->rate.bps < rival_floor_bps(&g->rival, now)) {
        aimd_climb(&g->rate, now); /* the queue is another's: it says nothing */
    } else if ((use == PATH_OVERUSED && lasting && !falling) || standing > STANDING_US) {
        if (fresh)
            decrease(g, standing, now);
        else
            aimd_hold(&g->rate, now);
    } else if (use != PATH_NORMAL || g->base.queue_us > hold_queue_us(g)) {
        aimd_hold(&g->rate, now); /* the queue drains, or does not grow: let it */
    } else {
        aimd_grow(&g->rate, acked, g->rtt_us, limited, now);
    }
    int64_t found = probe_result(&g->probes, g->rate.bps, now);
    if (found > g->rate.bps && fresh)
        aimd_set(&g->rate, found, now);
    int64_t wanted = loss_control_update(&g->loss, g->rate.bps, limited ? 0 : acked,
                                         g->newest_sent_us, now);
    /* Beside another the queue overflows in any case; rival_arrived says when it is too much. */
    if (wanted != g->rate.bps && wanted > min64(g->rate.bps, rival_floor_bps(&g->rival, now)))
        aimd_set(&g->rate, wanted, now);
    publish(g, now);
}

static void gcc_on_silence(struct cc *cc, int64_t now_us)
{
    struct gcc *g = gcc_of(cc);
    aimd_set(&g->rate, g->rate.bps / 2, now_us);
    g->rate.decreased_us = now_us;
    probe_postpone(&g->probes, now_us);
    publish(g, now_us);
}

/* Not into a queue. What is known of it is old soon. */
static int64_t probe_rest_us(const struct gcc *g)
{
    return g->heard && g->base.queue_us >= PROBE_QUEUE_US ? g->feedback_us + QUEUE_KNOWN_US
                                                          : INT64_MIN;
}

static bool gcc_probe(struct cc *cc, int64_t now_us, struct cc_probe *out)
{
    struct gcc *g = gcc_of(cc);
    probe_result(&g->probes, INT64_MAX, now_us); /* ends one that was never answered */
    return now_us >= probe_rest_us(g) &&
           probe_due(&g->probes, g->rate.bps, g->config.max_bps, now_us, out);
}

static int64_t gcc_probe_next(const struct cc *cc)
{
    const struct gcc *g = (const struct gcc *)cc;
    int64_t next = probe_next(&g->probes, g->rate.bps, g->config.max_bps), rest = probe_rest_us(g);
    return next > rest ? next : rest;
}

const struct cc_ops cc_gcc = {
    .name = "gcc",
    .open = gcc_open,
    .close = gcc_close,
    .on_sent = gcc_on_sent,
    .on_feedback = gcc_on_feedback,
    .on_silence = gcc_on_silence,
    .probe = gcc_probe,
    .probe_next_us = gcc_probe_next,
};
