/* report_control: the rate for a peer without transport-wide feedback. Pure.
 *
 * What there is: REMB (draft-alvestrand-rmcat-remb-03), the receiver's own estimate, and the
 * receiver reports of RFC 3550 with loss and round trip. REMB is taken at its word. Reports raise
 * the rate while it is used and all is well, fast until the first sign of congestion, then by 8 % a
 * report; a round trip that has grown by a queue lowers it below what came through, and loss
 * lowers it to what came through as long as that helps (cc/loss_control: a radio's loss does not
 * end by sending less). At such a loss half of it is sent for one report: a queue that was full
 * ever since would hide in the shortest round trip that is known. Loss that stays is reason to try
 * that again, less and less often. */
#ifndef HEVCAST_RTP_REPORT_CONTROL_H
#define HEVCAST_RTP_REPORT_CONTROL_H

#include "cc/loss_control.h"

#include <stddef.h>

struct report_control {
    int64_t bps, min_bps, max_bps;
    int64_t remb_bps;     /* the last; 0: none */
    bool known;           /* a report or a REMB came */
    bool seen_congestion; /* the fast start is over */
    int64_t sent_bytes, sent_packets, report_us; /* since the last verdict; -1: there was none */
    int expected, lost;   /* that reports told of since */
    int64_t rtt_us;       /* that a report told since; 0: none did */
    int64_t min_rtt_us[2], min_since_us; /* of this and of the last quarter of a minute; 0: none */
    int64_t resume_bps;   /* after the queue was let drain; 0: it is not */
    int64_t drained_us, drain_interval_us, drain_min_us;
    int64_t decreased_us;
    struct loss_control loss;
};

void report_control_init(struct report_control *c, int64_t start_bps, int64_t min_bps,
                         int64_t max_bps);
void report_control_sent(struct report_control *c, size_t bytes);
void report_control_remb(struct report_control *c, int64_t bps, int64_t now_us);
/* expected, lost: packets since the last report; rtt_us 0: not known, or told before. */
void report_control_report(struct report_control *c, int expected, int lost, int64_t rtt_us,
                           int64_t now_us);
/* 0: nothing was heard. */
int64_t report_control_bps(const struct report_control *c);

#endif
