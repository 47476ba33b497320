#include "cc/aimd.h"

#include <math.h>

enum { STEP_MAX_US = 1000000, RESPONSE_US = 100000, PACKET_BITS = 1200 * 8, SLACK_BPS = 10000,
       EARLY_US = 50000 };
static const double BACK_OFF = 0.85, BACK_OFF_EARLY = 0.93; /* early: the queue is still short */
static const double FAR_GROWTH = 1.08;  /* a second */
static const double NEAR_GROWTH = 0.02; /* of the rate, a second, at least */
static const double ACKED_LIMIT = 1.5;
static const double NEAR = 0.85, PASSED = 1.15; /* of the capacity */

static void clamp(struct aimd *a)
{
    a->bps = a->bps < a->min_bps ? a->min_bps : a->bps > a->max_bps ? a->max_bps : a->bps;
}

void aimd_init(struct aimd *a, int64_t start_bps, int64_t min_bps, int64_t max_bps)
{
    *a = (struct aimd){.bps = start_bps, .min_bps = min_bps, .max_bps = max_bps,
                       .grown_us = INT64_MIN, .decreased_us = INT64_MIN};
    clamp(a);
}

void aimd_hold(struct aimd *a, int64_t now_us) { a->grown_us = now_us; }

void aimd_set(struct aimd *a, int64_t bps, int64_t now_us)
{
    a->bps = bps;
    clamp(a);
    if ((double)a->bps > PASSED * a->capacity_bps)
        a->capacity_bps = 0;
    aimd_hold(a, now_us);
}

void aimd_decrease(struct aimd *a, int64_t acked_bps, int64_t queue_us, int64_t now_us)
{
    int64_t acked = acked_bps > 0 ? acked_bps : a->bps;
    int64_t down = (int64_t)((queue_us < EARLY_US ? BACK_OFF_EARLY : BACK_OFF) * (double)acked);
    a->bps = down < a->bps ? down : a->bps;
    clamp(a);
    double c = a->capacity_bps;
    if (c < NEAR * (double)acked || c > PASSED * (double)acked)
        a->capacity_bps = (double)acked;
    else
        a->capacity_bps = 0.8 * c + 0.2 * (double)acked;
    a->decreased_us = now_us;
    aimd_hold(a, now_us);
}

void aimd_grow(struct aimd *a, int64_t acked_bps, int64_t rtt_us, bool app_limited, int64_t now_us)
{
    int64_t passed = a->grown_us == INT64_MIN ? 0 : now_us - a->grown_us;
    aimd_hold(a, now_us);
    if (app_limited || passed <= 0)
        return;
    double seconds = (double)(passed > STEP_MAX_US ? STEP_MAX_US : passed) / 1e6;
    if ((double)acked_bps > PASSED * a->capacity_bps)
        a->capacity_bps = 0; /* the path carries more than it did */
    double bps = (double)a->bps, more;
    if (a->capacity_bps > 0 && bps > NEAR * a->capacity_bps) {
        /* Near the capacity: a packet in the time that an answer takes. */
        more = (double)PACKET_BITS / ((double)(rtt_us + RESPONSE_US) / 1e6);
        more = more > NEAR_GROWTH * bps ? more : NEAR_GROWTH * bps;
        more *= seconds;
    } else {
        more = bps * (pow(FAR_GROWTH, seconds) - 1);
    }
    double limit = ACKED_LIMIT * (double)acked_bps + SLACK_BPS;
    if (bps + more > limit)
        more = limit > bps ? limit - bps : 0;
    a->bps += (int64_t)more;
    clamp(a);
}
