#include "jitter/sender_clock.h"

enum {
    DRIFT_PPM = 100,        /* two quartz clocks move apart by at most this */
    REPORTED_US = 30000000, /* a fast report is believed so long */
    MAX_RTT_US = 10000000,
};

void sender_clock_report(struct sender_clock *c, const struct rtcp_sender_info *info, int64_t now_us)
{
    int64_t offset = us_of_ntp(info->ntp) - now_us;
    /* The one that was on its way for the shortest time has the largest difference. */
    if (!c->reported || offset > c->reported_us || now_us - c->reported_at_us > REPORTED_US) {
        c->reported_us = offset;
        c->reported_at_us = now_us;
    }
    c->reported = true;
    c->last = *info;
    c->last_at_us = now_us;
}

void sender_clock_answer(struct sender_clock *c, uint32_t lrr, uint32_t dlrr, int64_t now_us)
{
    /* RFC 3611 section 4.5, in 1/65536 s. */
    int32_t rtt = (int32_t)(ntp_mid(ntp_of_us(now_us)) - lrr - dlrr);
    int64_t rtt_us = (int64_t)rtt * 1000000 / 65536;
    if (!c->reported || c->last_at_us != now_us || lrr == 0 || rtt_us > MAX_RTT_US || rtt_us < -1000)
        return; /* a little below 0 is rounding */
    rtt_us = rtt_us < 1 ? 1 : rtt_us;
    c->sample[c->next].at_us = now_us;
    c->sample[c->next].rtt_us = rtt_us;
    c->sample[c->next].offset_us = us_of_ntp(c->last.ntp) - now_us + rtt_us / 2;
    c->next = (c->next + 1) % CLOCK_SAMPLES;
    c->n += c->n < CLOCK_SAMPLES;
}

bool sender_clock_get(const struct sender_clock *c, int64_t now_us, int64_t rtt_us,
                      int64_t *offset_us, int64_t *error_us)
{
    *error_us = INT64_MAX;
    for (unsigned i = 0; i < c->n; i++) {
        int64_t drift = (now_us - c->sample[i].at_us) / (1000000 / DRIFT_PPM);
        int64_t error = c->sample[i].rtt_us / 2 + (drift > 0 ? drift : 0);
        if (error >= *error_us)
            continue;
        *error_us = error;
        *offset_us = c->sample[i].offset_us;
    }
    if (c->n == 0 && c->reported && rtt_us > 0) {
        *offset_us = c->reported_us + rtt_us / 2;
        *error_us = rtt_us / 2;
    }
    return *error_us != INT64_MAX;
}

int64_t sender_clock_rtt_us(const struct sender_clock *c)
{
    return c->n ? c->sample[(c->next + CLOCK_SAMPLES - 1) % CLOCK_SAMPLES].rtt_us : 0;
}

uint64_t sender_clock_ntp_of(const struct sender_clock *c, uint32_t rtp_ts)
{
    if (!c->reported)
        return 0;
    int64_t after_us = (int64_t)(int32_t)(rtp_ts - c->last.rtp_ts) * 100 / 9;
    int64_t us = us_of_ntp(c->last.ntp) + after_us;
    return us > 0 ? ntp_of_us(us) : 0;
}
