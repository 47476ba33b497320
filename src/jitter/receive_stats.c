#include "jitter/receive_stats.h"

void receive_stats_packet(struct receive_stats *s, int64_t seq, uint32_t ts, int64_t now_us)
{
    uint32_t transit = (uint32_t)(uint64_t)(now_us * 9 / 100) - ts;
    if (!s->started) {
        s->started = true;
        s->base = s->highest = seq;
        s->transit = transit;
    }
    s->received++;
    s->base = seq < s->base ? seq : s->base;
    s->highest = seq > s->highest ? seq : s->highest;
    int32_t d = (int32_t)(transit - s->transit);
    s->transit = transit;
    uint32_t abs_d = d < 0 ? 0u - (uint32_t)d : (uint32_t)d;
    if (abs_d < 90000 * 60) /* a clock that jumped is no jitter */
        s->jitter_16 += abs_d - ((s->jitter_16 + 8) >> 4);
}

void receive_stats_sr(struct receive_stats *s, uint64_t ntp, int64_t now_us)
{
    s->lsr = ntp_mid(ntp);
    s->sr_us = now_us;
}

static void count_interval(struct receive_stats *s)
{
    int64_t expected = s->highest - s->base + 1;
    int64_t expected_now = expected - s->expected_prior;
    int64_t lost_now = expected_now - (s->received - s->received_prior);
    s->expected_prior = expected;
    s->received_prior = s->received;
    s->fraction_lost = 0;
    if (expected_now > 0 && lost_now > 0)
        s->fraction_lost = (uint8_t)(lost_now * 256 / expected_now > 255
                                         ? 255
                                         : lost_now * 256 / expected_now);
}

void receive_stats_report(struct receive_stats *s, uint32_t ssrc, bool new_interval,
                          int64_t now_us, struct rtcp_report *out)
{
    if (new_interval)
        count_interval(s);
    int64_t lost = s->highest - s->base + 1 - s->received;
    lost = lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost;
    int64_t delay_us = s->sr_us ? now_us - s->sr_us : 0;
    delay_us = delay_us < 0 ? 0 : delay_us > 3600000000 ? 3600000000 : delay_us;
    *out = (struct rtcp_report){
        .ssrc = ssrc,
        .fraction_lost = s->fraction_lost,
        .cumulative_lost = (int32_t)lost,
        .highest_seq = (uint32_t)s->highest,
        .jitter = s->jitter_16 >> 4,
        .lsr = s->lsr,
        .dlsr = (uint32_t)(delay_us * 65536 / 1000000),
    };
}

int64_t receive_stats_jitter_us(const struct receive_stats *s)
{
    return (int64_t)(s->jitter_16 >> 4) * 100 / 9;
}
