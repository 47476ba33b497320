/* A leaky bucket for packets: debt drains at the pacing rate, and a packet may go while it and the
 * debt stay within the burst. Exact in microseconds: the debt is counted in bits × 10^6. Pure. */
#ifndef HEVCAST_CC_PACER_H
#define HEVCAST_CC_PACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pacer {
    int64_t bps;
    int64_t burst, debt; /* bits × 10^6; 0 <= debt */
    int64_t last_us;     /* when debt was up to date */
};

void pacer_init(struct pacer *p, int64_t bps, size_t burst_bytes);
void pacer_set_burst(struct pacer *p, size_t bytes);
/* Debt stays: what was sent drains at the new rate. */
void pacer_set_rate(struct pacer *p, int64_t bps);
/* May a packet of `bytes` go now? One always may when there is no debt. */
bool pacer_allows(struct pacer *p, size_t bytes, int64_t now_us);
void pacer_sent(struct pacer *p, size_t bytes);
/* When pacer_allows will say yes: never earlier, to the microsecond. */
int64_t pacer_next_us(const struct pacer *p, size_t bytes);
/* How long bytes that wait and the debt above the burst take. */
int64_t pacer_drain_us(const struct pacer *p, int64_t waiting_bytes);

#endif
