/* What a receiver reports about one SSRC: RFC 3550 sections 6.4.1, A.3 and A.8. Pure. */
#ifndef HEVCAST_JITTER_RECEIVE_STATS_H
#define HEVCAST_JITTER_RECEIVE_STATS_H

#include "rtp/rtcp.h"

struct receive_stats {
    bool started;
    int64_t base, highest; /* unwrapped sequence numbers */
    int64_t received;
    int64_t expected_prior, received_prior;
    uint8_t fraction_lost; /* of the last interval */
    uint32_t transit, jitter_16; /* jitter × 16, in timestamp units */
    uint32_t lsr;
    int64_t sr_us; /* arrival of the last SR; 0: none */
};

void receive_stats_packet(struct receive_stats *s, int64_t seq, uint32_t ts, int64_t now_us);
void receive_stats_sr(struct receive_stats *s, uint64_t ntp, int64_t now_us);
/* new_interval: the fraction lost is counted anew since the last one. */
void receive_stats_report(struct receive_stats *s, uint32_t ssrc, bool new_interval,
                          int64_t now_us, struct rtcp_report *out);
int64_t receive_stats_jitter_us(const struct receive_stats *s);

#endif
