#include "cc/remb_estimator.h"

#include <string.h>

enum {
    MIN_BPS = 50000, MAX_BPS = 1000000000,
    RATE_WINDOW_US = 300000,
    DECREASE_US = 300000,   /* the last decrease must show first */
    GROW_US = 50000,
    ROUND_TRIP_US = 100000, /* a receiver that only receives does not know it */
    MIN_WINDOW_US = 10000000,
    STANDING_US = 80000,    /* a queue of this that has stood for */
    STOOD_US = 500000,      /* so long is overuse though it grows no more; */
    STOOD_TIMES = 8,        /* and after so many decreases it is a longer path */
    TELL_US = 1000000,
    FELL = 97,              /* of 100: told at once */
};

void remb_estimator_init(struct remb_estimator *e)
{
    memset(e, 0, sizeof *e);
    trendline_init(&e->trend);
    rate_meter_init(&e->incoming);
    aimd_init(&e->rate, MAX_BPS, MIN_BPS, MAX_BPS);
    e->told_us = e->low_us = INT64_MIN;
}

static int64_t unwrap(struct remb_estimator *e, uint32_t send_time, int64_t now_us)
{
    if (!e->any) {
        e->sent_us = now_us;
        e->min_transit_us = e->last_min_us = 0;
        e->min_since_us = now_us;
    } else {
        int32_t ticks = (int32_t)((send_time - e->last_send_time) << 8) >> 8;
        e->sent_us += (int64_t)ticks * 1000000 / (1 << 18);
    }
    e->any = true;
    e->last_send_time = send_time;
    return e->sent_us;
}

/* How much longer than the shortest the packet took. */
static int64_t queue_us(struct remb_estimator *e, int64_t sent_us, int64_t now_us)
{
    int64_t transit = now_us - sent_us;
    if (now_us - e->min_since_us > MIN_WINDOW_US) {
        e->last_min_us = e->min_transit_us;
        e->min_transit_us = transit;
        e->min_since_us = now_us;
    }
    e->min_transit_us = transit < e->min_transit_us ? transit : e->min_transit_us;
    return transit - (e->min_transit_us < e->last_min_us ? e->min_transit_us : e->last_min_us);
}

static bool stands(struct remb_estimator *e, int64_t queue, int64_t transit_us, int64_t now_us)
{
    if (queue < STANDING_US || e->low_us == INT64_MIN) {
        e->low_us = now_us;
        e->stood = 0;
    }
    if (now_us - e->low_us < STOOD_US)
        return false;
    e->low_us = now_us;
    if (++e->stood < STOOD_TIMES)
        return true;
    e->stood = 0;
    e->min_transit_us = e->last_min_us = transit_us;
    return false;
}

void remb_estimator_packet(struct remb_estimator *e, uint32_t send_time, size_t bytes,
                           int64_t now_us)
{
    int64_t sent_us = unwrap(e, send_time, now_us);
    int64_t queue = queue_us(e, sent_us, now_us);
    rate_meter_add(&e->incoming, now_us, bytes);
    enum path_use use = trendline_add(&e->trend, sent_us, now_us);
    bool over = stands(e, queue, now_us - sent_us, now_us) || use == PATH_OVERUSED;
    if (over && (!e->known || now_us - e->decreased_us >= DECREASE_US)) {
        int64_t came = rate_meter_bps(&e->incoming, now_us, RATE_WINDOW_US);
        if (came == 0)
            return; /* too early to say */
        aimd_decrease(&e->rate, came, queue, now_us);
        e->known = true;
        e->decreased_us = e->grown_us = now_us;
    } else if (use == PATH_NORMAL && e->known && now_us - e->grown_us >= GROW_US) {
        /* The estimate itself counts as acknowledged: it grows while little is sent, too. */
        aimd_grow(&e->rate, e->rate.bps, ROUND_TRIP_US, false, now_us);
        e->grown_us = now_us;
    } else if (use == PATH_UNDERUSED) {
        aimd_hold(&e->rate, now_us);
    }
}

int64_t remb_estimator_due_us(const struct remb_estimator *e)
{
    if (!e->known)
        return INT64_MAX;
    if (e->told_us == INT64_MIN || e->rate.bps < e->told_bps / 100 * FELL)
        return INT64_MIN;
    return e->told_us + TELL_US;
}

int64_t remb_estimator_tell(struct remb_estimator *e, int64_t now_us)
{
    e->told_us = now_us;
    e->told_bps = e->rate.bps;
    return e->rate.bps;
}
