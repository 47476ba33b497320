/* What the path carries, as the receiver sees it: for senders that take REMB
 * (draft-alvestrand-rmcat-remb-03) and no transport-wide feedback. From abs-send-time, which a
 * sender without it does not write: then there is no estimate. Pure.
 *
 * Nothing is said before the path was overused once: a screen that is still says nothing of the
 * path, and an estimate from its few packets would hold back the next full picture. After that
 * the estimate grows again while all is well, idle or not. Loss is left to the receiver reports. */
#ifndef HEVCAST_CC_REMB_ESTIMATOR_H
#define HEVCAST_CC_REMB_ESTIMATOR_H

#include "cc/aimd.h"
#include "cc/rate_meter.h"
#include "cc/trendline.h"

struct remb_estimator {
    struct trendline trend;
    struct rate_meter incoming;
    struct aimd rate;
    bool any, known;
    uint32_t last_send_time; /* and unwrapped: */
    int64_t sent_us;
    int64_t min_transit_us, last_min_us, min_since_us; /* of this and of the last ten seconds */
    int64_t low_us;          /* the last time that the queue was short; INT64_MIN: no packet yet */
    int stood;               /* decreases since */
    int64_t decreased_us, grown_us;
    int64_t told_us, told_bps; /* told_us INT64_MIN: never */
};

void remb_estimator_init(struct remb_estimator *e);
/* Any packet of the sender; send_time: abs-send-time, 24 bits. */
void remb_estimator_packet(struct remb_estimator *e, uint32_t send_time, size_t bytes,
                           int64_t now_us);
/* Every second, and at once when the estimate fell; INT64_MAX: there is nothing to tell. */
int64_t remb_estimator_due_us(const struct remb_estimator *e);
int64_t remb_estimator_tell(struct remb_estimator *e, int64_t now_us); /* the estimate */

#endif
