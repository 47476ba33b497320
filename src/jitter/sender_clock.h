/* How far the sender's clock is from ours: a picture's capture time, which is of the sender's
 * clock, then says how old the picture is. Pure.
 *
 * The sender answers our reference time (rtp/rtcp_xr.h) in the compound of its own report: with the
 * four times of NTP (RFC 5905 section 8) the offset follows, as if both directions took half of
 * the round trip. What they differ by, halved, is the error; it is at most half of the round trip,
 * and the sample with the shortest one is believed.
 * A sender that does not answer still reports its clock: with a round-trip time from elsewhere
 * (retransmissions) the offset follows too, less exactly; without one it is not known. */
#ifndef HEVCAST_JITTER_SENDER_CLOCK_H
#define HEVCAST_JITTER_SENDER_CLOCK_H

#include "rtp/rtcp.h"

enum { CLOCK_SAMPLES = 16 };

struct sender_clock {
    struct {
        int64_t at_us, offset_us, rtt_us;
    } sample[CLOCK_SAMPLES]; /* answers; a ring */
    unsigned next, n;
    /* The reports: the sender's clock minus ours at arrival, at the fastest of late. */
    bool reported;
    int64_t reported_us, reported_at_us;
    struct rtcp_sender_info last; /* with reported */
    int64_t last_at_us;
};

/* The sender's report came. */
void sender_clock_report(struct sender_clock *c, const struct rtcp_sender_info *info, int64_t now_us);
/* An answer of the same compound: our reference time's middle bits, and how long the sender had it. */
void sender_clock_answer(struct sender_clock *c, uint32_t lrr, uint32_t dlrr, int64_t now_us);
/* Sender's NTP time in microseconds = our now_us + *offset_us, ± *error_us. rtt_us: known from
 * elsewhere; 0: not. false: it is not known. */
bool sender_clock_get(const struct sender_clock *c, int64_t now_us, int64_t rtt_us,
                      int64_t *offset_us, int64_t *error_us);
int64_t sender_clock_rtt_us(const struct sender_clock *c); /* of the last answer; 0: unknown */
/* The sender's NTP time of an RTP timestamp, from its last report; 0: unknown. */
uint64_t sender_clock_ntp_of(const struct sender_clock *c, uint32_t rtp_ts);

/* Reference times are of our own clock: only their differences matter. */
static inline uint64_t ntp_of_us(int64_t us)
{
    uint64_t u = (uint64_t)us;
    return (u / 1000000) << 32 | ((u % 1000000) << 32) / 1000000;
}
static inline int64_t us_of_ntp(uint64_t ntp)
{
    return (int64_t)(ntp >> 32) * 1000000 + (int64_t)(((ntp & 0xffffffff) * 1000000 + (1u << 31)) >> 32);
}

#endif
