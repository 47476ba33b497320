/* How late packets come that are not lost: how long a missing one is waited for before it is
 * asked for. The margin is the shortest at which at most one packet in fifty would be asked for
 * needlessly: rare reordering does not delay the repair of losses, and jitter that reorders
 * nearly everything does not double the traffic. Pure. */
#ifndef HEVCAST_JITTER_REORDER_H
#define HEVCAST_JITTER_REORDER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    REORDER_PACKETS = 3,        /* so many later packets are taken for a loss, where few come so late */
    REORDER_MIN_US = 10000,     /* a burst that the sender's or our own system delivers out of order */
    REORDER_MAX_US = 100000,    /* later than this is as bad as lost */
    REORDER_BUCKET_US = 2000, REORDER_BUCKETS = REORDER_MAX_US / REORDER_BUCKET_US,
};

struct reorder {
    bool strict;
    int received;               /* packets, this and */
    uint16_t late[REORDER_BUCKETS]; /* those that came so late after their gap was seen, and */
    int far;                    /* those after REORDER_PACKETS later ones, are halved now and then */
    int64_t halve_us;           /* INT64_MIN: no packet yet */
    int64_t margin_us;          /* a missing packet is asked for after so long, or */
    int margin_packets;         /* after so many later ones; INT_MAX: they say nothing */
};

/* strict: it cannot be asked for, so a packet that comes after the margin is lost: the margin then
 * covers all that were seen. */
void reorder_init(struct reorder *r, bool strict);
void reorder_packet(struct reorder *r, int64_t now_us); /* each packet of the stream as it was sent */
/* It filled a gap that had been seen late_us before, behind `distance` later packets. */
void reorder_late(struct reorder *r, int64_t late_us, int64_t distance);

#endif
