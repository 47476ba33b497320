#include "rtp/report_control.h"

enum {
    MIN_INTERVAL_US = 450000,   /* reports that come with each NACK are added up */
    QUEUE_US = 80000,           /* of growth of the round trip: congestion */
    WELL_US = 40000,            /* the rate may grow */
    REMB_AGAIN_US = 3000000,    /* after a decrease, until REMB is believed again */
    MIN_WINDOW_US = 15000000,
    DRAIN_INTERVAL_US = 5000000, MAX_DRAIN_INTERVAL_US = 120000000, MAX_DRAIN_US = 2500000,
    MAX_PACKETS = 8192,         /* of one interval that are looked at */
};
static const double LOSSY = 0.02; /* a path that loses this may be a queue that overflows */

void report_control_init(struct report_control *c, int64_t start_bps, int64_t min_bps,
                         int64_t max_bps)
{
    *c = (struct report_control){.bps = start_bps, .min_bps = min_bps, .max_bps = max_bps,
                                 .report_us = -1, .decreased_us = INT64_MIN / 2,
                                 .drained_us = INT64_MIN / 2,
                                 .drain_interval_us = DRAIN_INTERVAL_US};
    loss_control_init(&c->loss);
}

void report_control_sent(struct report_control *c, size_t bytes)
{
    c->sent_bytes += (int64_t)bytes;
    c->sent_packets++;
}

static void set(struct report_control *c, int64_t bps)
{
    if (c->remb_bps > 0 && bps > c->remb_bps)
        bps = c->remb_bps;
    bps = bps > c->max_bps ? c->max_bps : bps;
    c->bps = bps < c->min_bps ? c->min_bps : bps;
}

static void decrease(struct report_control *c, int64_t bps, int64_t now_us)
{
    c->seen_congestion = true;
    c->decreased_us = now_us;
    set(c, bps < c->bps ? bps : c->bps);
}

void report_control_remb(struct report_control *c, int64_t bps, int64_t now_us)
{
    if (bps <= 0)
        return;
    c->known = true;
    c->remb_bps = bps;
    set(c, now_us - c->decreased_us >= REMB_AGAIN_US ? bps : c->bps);
}

/* How much longer the round trip is than it has been. */
static int64_t queue_of(struct report_control *c, int64_t rtt_us, int64_t now_us)
{
    int64_t *min = c->min_rtt_us;
    if (rtt_us <= 0)
        return 0;
    if (min[0] > 0 && now_us - c->min_since_us > MIN_WINDOW_US) {
        min[1] = min[0];
        min[0] = 0;
    }
    if (min[0] == 0)
        c->min_since_us = now_us;
    if (min[0] == 0 || rtt_us < min[0])
        min[0] = rtt_us;
    return rtt_us - (min[1] > 0 && min[1] < min[0] ? min[1] : min[0]);
}

/* Half of what comes through, for one report: is there a queue that was always full? */
static void drain(struct report_control *c, int64_t bps, int64_t now_us)
{
    decrease(c, bps / 2, now_us);
    c->resume_bps = bps / 20 * 17;
    c->drained_us = now_us;
    c->drain_min_us = c->min_rtt_us[0];
}

static void resume(struct report_control *c, int64_t rtt_us, int64_t now_us)
{
    if (rtt_us == 0 && now_us - c->drained_us < MAX_DRAIN_US)
        return; /* not told yet */
    bool shorter = rtt_us > 0 && rtt_us < c->drain_min_us - WELL_US / 2;
    c->drain_interval_us = shorter ? DRAIN_INTERVAL_US : 2 * c->drain_interval_us;
    if (c->drain_interval_us > MAX_DRAIN_INTERVAL_US)
        c->drain_interval_us = MAX_DRAIN_INTERVAL_US;
    set(c, c->resume_bps);
    c->resume_bps = 0;
}

void report_control_report(struct report_control *c, int expected, int lost, int64_t rtt_us,
                           int64_t now_us)
{
    c->known = true;
    c->expected += expected < MAX_PACKETS ? expected : MAX_PACKETS;
    c->lost += lost < expected ? lost : expected;
    if (rtt_us > 0)
        c->rtt_us = rtt_us;
    int64_t elapsed_us = now_us - c->report_us;
    if (c->report_us >= 0 && elapsed_us < MIN_INTERVAL_US)
        return;
    double share = c->expected > 0 ? (double)c->lost / c->expected : 0;
    int64_t size = c->sent_packets > 0 ? c->sent_bytes / c->sent_packets : 0;
    int64_t told_bps = c->expected * size * 8000000 / elapsed_us;
    int64_t came_bps = (c->expected - c->lost) * size * 8000000 / elapsed_us;
    for (int i = 0; i < c->expected && i < MAX_PACKETS; i++)
        loss_control_add(&c->loss, i < c->lost);
    bool first = c->report_us < 0;
    c->report_us = now_us;
    c->sent_bytes = c->sent_packets = c->expected = c->lost = 0;
    if (first)
        return;
    rtt_us = c->rtt_us;
    c->rtt_us = 0;
    int64_t queue_us = queue_of(c, rtt_us, now_us);
    if (c->resume_bps > 0) {
        resume(c, rtt_us, now_us);
        return;
    }
    bool used = told_bps > c->bps / 2; /* else nothing is said of what more would do */

    int64_t wanted = loss_control_update(&c->loss, c->bps, used ? came_bps : 0, now_us - rtt_us,
                                         now_us);
    if (wanted < c->bps) {
        drain(c, wanted, now_us);
    } else if (wanted > c->bps) {
        set(c, wanted);
    } else if (queue_us > QUEUE_US && used) {
        decrease(c, came_bps / 20 * 17, now_us);
    } else if (used && share > LOSSY && now_us - c->drained_us > c->drain_interval_us) {
        drain(c, came_bps, now_us);
    } else if (used && queue_us <= WELL_US && (rtt_us > 0 || c->min_rtt_us[0] == 0) && share < c->loss.usual + 0.02) {
        set(c, c->seen_congestion ? c->bps / 25 * 27 + 1000 : c->bps / 2 * 3);
    }
}

int64_t report_control_bps(const struct report_control *c) { return c->known ? c->bps : 0; }
