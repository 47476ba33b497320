#include "cc/aimd.h"

#include <math.h>

enum { STEP_MAX_US = 1000000, RESPONSE_US = 100000, PACKET_BITS = 1200 * 8, SLACK_BPS = 10000,
       LONGISH_US = 50000, LONG_US = 100000 };
static const double BACK_OFF_LEAST = 0.95, BACK_OFF_MOST = 0.8, BACK_OFF_LONGISH = 0.91, BACK_OFF_LONG = 0.85;
static const double LITTLE_BYTES = 20000, MUCH_BYTES = 57000; /* of ours in the queue */
static const double FAR_GROWTH = 1.08;  /* a second */
static const double BACK_GROWTH = 1.25; /* the same, to where it was not long ago */
static const double NEAR_BPS = 2e6; /* where it is just that packet */
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

/* The more of the queue is ours the more we give way: flows that share it become equal. A long queue
 * has to go whoever's it is. */
static double back_off(int64_t bps, int64_t queue_us)
{
    double ours = (double)bps * (double)queue_us / 8e6;
    double part = (ours - LITTLE_BYTES) / (MUCH_BYTES - LITTLE_BYTES);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    double off = BACK_OFF_LEAST - part * (BACK_OFF_LEAST - BACK_OFF_MOST);
    double most = queue_us >= LONG_US ? BACK_OFF_LONG : queue_us >= LONGISH_US ? BACK_OFF_LONGISH : 1;
    return off < most ? off : most;
}

void aimd_decrease(struct aimd *a, int64_t acked_bps, int64_t queue_us, int64_t now_us)
{
    int64_t acked = acked_bps > 0 ? acked_bps : a->bps;
    int64_t down = (int64_t)(back_off(acked, queue_us) * (double)acked);
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

/* Takes the time that has passed since it last grew; in seconds. */
static double take_passed(struct aimd *a, int64_t now_us)
{
    int64_t passed = a->grown_us == INT64_MIN ? 0 : now_us - a->grown_us;
    aimd_hold(a, now_us);
    return passed <= 0 ? 0 : (double)(passed > STEP_MAX_US ? STEP_MAX_US : passed) / 1e6;
}

void aimd_climb(struct aimd *a, int64_t now_us)
{
    a->bps = (int64_t)((double)a->bps * pow(BACK_GROWTH, take_passed(a, now_us)));
    clamp(a);
}

void aimd_grow(struct aimd *a, int64_t acked_bps, int64_t rtt_us, bool app_limited, int64_t now_us)
{
    double seconds = take_passed(a, now_us);
    if (app_limited || seconds <= 0)
        return;
    if ((double)acked_bps > PASSED * a->capacity_bps)
        a->capacity_bps = 0; /* the path carries more than it did */
    double bps = (double)a->bps, more;
    if (a->capacity_bps > 0 && bps > NEAR * a->capacity_bps) {
        /* Near the capacity: about a packet in the time that an answer takes. Decreases are in
         * proportion to the rate and growth is in proportion to its root, so flows that share a
         * link come closer to each other with each round. */
        more = (double)PACKET_BITS / ((double)(rtt_us + RESPONSE_US) / 1e6);
        more *= sqrt(bps / NEAR_BPS) * seconds;
    } else {
        more = bps * (pow(a->far_below ? BACK_GROWTH : FAR_GROWTH, seconds) - 1);
    }
    double limit = ACKED_LIMIT * (double)acked_bps + SLACK_BPS;
    if (bps + more > limit)
        more = limit > bps ? limit - bps : 0;
    a->bps += (int64_t)more;
    clamp(a);
}
