#include "cc/pacer.h"

enum { UBITS_PER_BYTE = 8000000, MIN_BPS = 1000 };

void pacer_init(struct pacer *p, int64_t bps, size_t burst_bytes)
{
    p->bps = bps < MIN_BPS ? MIN_BPS : bps;
    p->burst = (int64_t)burst_bytes * UBITS_PER_BYTE;
    p->debt = 0;
    p->last_us = INT64_MIN;
}

void pacer_set_burst(struct pacer *p, size_t bytes) { p->burst = (int64_t)bytes * UBITS_PER_BYTE; }

void pacer_set_rate(struct pacer *p, int64_t bps) { p->bps = bps < MIN_BPS ? MIN_BPS : bps; }

static void drain(struct pacer *p, int64_t now_us)
{
    if (now_us <= p->last_us)
        return;
    /* The division guards the product against overflow after a long rest. */
    if (p->last_us == INT64_MIN || (now_us - p->last_us) > p->debt / p->bps)
        p->debt = 0;
    else
        p->debt -= p->bps * (now_us - p->last_us);
    p->last_us = now_us;
}

bool pacer_allows(struct pacer *p, size_t bytes, int64_t now_us)
{
    drain(p, now_us);
    return p->debt == 0 || p->debt + (int64_t)bytes * UBITS_PER_BYTE <= p->burst;
}

void pacer_sent(struct pacer *p, size_t bytes) { p->debt += (int64_t)bytes * UBITS_PER_BYTE; }

int64_t pacer_next_us(const struct pacer *p, size_t bytes)
{
    int64_t over = p->debt + (int64_t)bytes * UBITS_PER_BYTE - p->burst;
    if (over > p->debt) /* larger than the burst: it goes when there is no debt */
        over = p->debt;
    if (over <= 0)
        return p->last_us;
    return p->last_us + (over + p->bps - 1) / p->bps;
}

int64_t pacer_drain_us(const struct pacer *p, int64_t waiting_bytes)
{
    int64_t over = p->debt - p->burst + waiting_bytes * UBITS_PER_BYTE;
    return waiting_bytes == 0 || over <= 0 ? 0 : over / p->bps;
}
