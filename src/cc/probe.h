/* Probes: short clusters of packets at a higher rate than the estimate. They find the path's rate
 * at the start and after a drop, and keep the estimate true while little is sent. Pure. */
#ifndef HEVCAST_CC_PROBE_H
#define HEVCAST_CC_PROBE_H

#include "cc/cc.h"

struct probe_control {
    uint16_t next_id;
    int64_t next_us, interval_us, ended_us;
    bool first; /* three times the rate instead of twice */
    bool hopeful; /* the owner's: the path carried much more not long ago, so look often */
    /* The cluster that is on its way; id 0: none. */
    struct cc_probe cluster;
    int64_t begun_us;
    int sent, told, came;
    int64_t sent_bytes, came_bytes, first_bytes, last_bytes;
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us;
};

void probe_init(struct probe_control *p);
/* Is a cluster due? Not while bps is (nearly) max_bps. */
bool probe_due(struct probe_control *p, int64_t bps, int64_t max_bps, int64_t now_us,
               struct cc_probe *out);
int64_t probe_next(const struct probe_control *p, int64_t bps, int64_t max_bps);
void probe_sent(struct probe_control *p, size_t bytes, uint16_t id, int64_t now_us);
void probe_ack(struct probe_control *p, const struct cc_ack *ack);
/* What the cluster showed that the path carries, once all is known of it; 0: nothing yet, or
 * nothing more than bps. */
int64_t probe_result(struct probe_control *p, int64_t bps, int64_t now_us);
/* The estimate went down: the next probe comes in a while. */
void probe_postpone(struct probe_control *p, int64_t now_us);

#endif
