#include "cc/rival.h"

enum {
    STUBBORN = 3,        /* decreases that the queue outlived, of which */
    FOLLOWED = 2,        /* so many were followed by what arrives; or, with little left, */
    NOT_OURS = 3,        /* after so many not more arrived than was sent */
    KEPT_US = 300000000,
    CARRIED_US = 60000000,
    AGAIN_US = 10000000,
    SHORT_US = 1500000, /* the wait for an answer, and what the meters hold, are in it */
};
static const double LESS = 0.94;   /* of what arrived two decreases ago */
static const double MORE = 1.08;   /* of what was sent then: more arrives, out of a queue of ours */
static const double LITTLE = 0.3;  /* of what the path carried */
static const double KEPT = 0.4;    /* of what the path carried */
static const double GONE = 0.75;   /* of what the path carried, it does again */
static const double SHORT = 0.87;  /* of what was sent arrives */

void rival_init(struct rival *r)
{
    *r = (struct rival){.short_since_us = INT64_MAX, .overloaded_us = -AGAIN_US};
}

void rival_decreased(struct rival *r, int64_t acked_bps, int64_t bps, int stubborn,
                     int64_t now_us)
{
    const struct rival_decrease *b = &r->before[1];
    if (stubborn < 2 || (double)acked_bps > MORE * (double)b->bps) {
        r->followed = r->not_ours = 0; /* b was of another queue; or it is ours */
    } else {
        r->not_ours++;
        r->followed += (double)acked_bps <= LESS * (double)b->acked_bps;
    }
    r->before[1] = r->before[0];
    r->before[0] = (struct rival_decrease){acked_bps, bps};
    bool little = (double)acked_bps < LITTLE * (double)r->carried_bps;
    if (!(stubborn >= STUBBORN && r->followed >= FOLLOWED) && !(little && r->not_ours >= NOT_OURS))
        return;
    r->floor_bps = (int64_t)(KEPT * (double)r->carried_bps);
    r->until_us = now_us + KEPT_US;
    r->short_since_us = INT64_MAX;
}

static void overloaded(struct rival *r, int64_t acked_bps, int64_t now_us)
{
    if (now_us >= r->until_us)
        return;
    r->until_us = 0;
    /* Another that begins makes it look so, once. */
    if (now_us - r->overloaded_us < AGAIN_US) {
        r->carried_bps = acked_bps;
        r->carried_us = now_us;
    }
    r->overloaded_us = now_us;
}

void rival_arrived(struct rival *r, int64_t bps, int64_t sent_bps, int64_t acked_bps,
                   int64_t now_us)
{
    if (acked_bps >= r->carried_bps ||
        (now_us >= r->until_us && now_us - r->carried_us > CARRIED_US)) {
        r->carried_bps = acked_bps;
        r->carried_us = now_us;
    }
    if ((double)acked_bps >= SHORT * (double)sent_bps)
        r->short_since_us = INT64_MAX;
    else if (r->short_since_us == INT64_MAX)
        r->short_since_us = now_us;
    if (r->short_since_us != INT64_MAX && now_us - r->short_since_us > SHORT_US)
        overloaded(r, acked_bps, now_us);
    if (KEPT * (double)bps >= GONE * (double)r->floor_bps)
        r->until_us = 0;
}

int64_t rival_floor_bps(const struct rival *r, int64_t now_us)
{
    return now_us < r->until_us ? r->floor_bps : 0;
}
