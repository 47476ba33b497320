/* Is the queue another's? A download by TCP fills the queue of the bottleneck and keeps it full: who gives
 * way to delay gives way until nothing is left. Told apart by what arrives: out of a queue that is ours
 * alone the link's whole rate goes on arriving while we send less; beside another our arrivals
 * follow what we send, down and down, and the queue stays. Then a part of what the path carried
 * is kept, for as long as the other stays. Pure. */
#ifndef HEVCAST_CC_RIVAL_H
#define HEVCAST_CC_RIVAL_H

#include <stdbool.h>
#include <stdint.h>

struct rival_decrease {
    int64_t acked_bps, bps; /* what arrived, and what was sent from then on */
};

struct rival {
    struct rival_decrease before[2]; /* the newest first */
    int followed, not_ours; /* decreases of this queue that our arrivals followed, or did not exceed */
    int64_t carried_bps, carried_us; /* the most that arrived of late, and when */
    int64_t floor_bps, until_us;
    int64_t overloaded_us;
    int64_t short_since_us; /* since when less arrives than is sent; INT64_MAX: it all does */
};

void rival_init(struct rival *r);
/* At each decrease, to bps. stubborn: so many of them in a row a standing queue outlived, with this one. */
void rival_decreased(struct rival *r, int64_t acked_bps, int64_t bps, int stubborn,
                     int64_t now_us);
/* At each feedback; bps: the estimate. Ends it where that is nearly what it was, since the other has gone;
 * and where less arrives than is sent, for long: the path has become slow, and the queue is no other's. */
void rival_arrived(struct rival *r, int64_t bps, int64_t sent_bps, int64_t acked_bps,
                   int64_t now_us);
/* What is kept beside another; 0: nobody is there. */
int64_t rival_floor_bps(const struct rival *r, int64_t now_us);

#endif
