/* A bottleneck in virtual time: rate, a queue that overflows, delay, jitter, random and bursty loss
 * (Gilbert-Elliott), shared by several flows. From a seed. */
#ifndef SIM_PATH_H
#define SIM_PATH_H

#include "sim_link.h"

enum { SIM_DELAYS = 400 }; /* histogram of queueing delay, in ms */

struct sim_path {
    int64_t bps, queue_ms, delay_us, jitter_us; /* jitter: 0 to this, more */
    double loss, burst_loss; /* burst_loss: the share that is lost in bursts of 8 on average */
    bool reorders;           /* jitter may change the order */
    uint64_t seed;
    int64_t busy_until_us;
    bool bad;                /* the Gilbert-Elliott state */
    int64_t carried_bytes, sent, lost, overflowed;
    int64_t delays[SIM_DELAYS], delay_count;
};

static inline bool sim_path_loses(struct sim_path *p)
{
    if (p->burst_loss > 0) {
        double leave = 1.0 / 8, enter = leave * p->burst_loss / (1 - p->burst_loss);
        p->bad = sim_random(&p->seed) < (p->bad ? 1 - leave : enter);
        if (p->bad)
            return true;
    }
    return sim_random(&p->seed) < p->loss;
}

/* Into the queue, and out of it into one flow's link, whose order is kept unless the path reorders. */
static inline void sim_path_send(struct sim_path *p, struct sim_link *out, int64_t *last_at_us,
                                 const uint8_t *data, size_t len, int64_t now_us)
{
    int64_t begin = p->busy_until_us > now_us ? p->busy_until_us : now_us;
    p->sent++;
    if (begin - now_us > p->queue_ms * 1000) {
        p->overflowed++;
        return;
    }
    p->busy_until_us = begin + (int64_t)len * 8000000 / p->bps;
    int64_t ms = (begin - now_us) / 1000;
    p->delays[ms < SIM_DELAYS ? ms : SIM_DELAYS - 1]++;
    p->delay_count++;
    p->carried_bytes += (int64_t)len;
    if (sim_path_loses(p)) {
        p->lost++;
        return;
    }
    int64_t at = p->busy_until_us + p->delay_us +
                 (int64_t)(sim_random(&p->seed) * (double)p->jitter_us);
    if (!p->reorders && at < *last_at_us)
        at = *last_at_us;
    *last_at_us = at;
    sim_put(out, data, len, at);
}

static inline void sim_path_reset_counts(struct sim_path *p)
{
    p->carried_bytes = p->sent = p->lost = p->overflowed = p->delay_count = 0;
    memset(p->delays, 0, sizeof p->delays);
}

static inline int sim_path_delay_ms(const struct sim_path *p, double share)
{
    int64_t want = (int64_t)(share * (double)p->delay_count), sum = 0;
    for (int i = 0; i < SIM_DELAYS; i++)
        if ((sum += p->delays[i]) >= want && sum > 0)
            return i;
    return SIM_DELAYS;
}

#endif
