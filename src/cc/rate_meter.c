#include "cc/rate_meter.h"

#include <string.h>

enum { MIN_BUCKETS = 4, PEAK_BUCKETS = 5 };

void rate_meter_init(struct rate_meter *m)
{
    memset(m, 0, sizeof *m);
    m->first = m->last = -1;
}

void rate_meter_add(struct rate_meter *m, int64_t t_us, size_t bytes)
{
    int64_t b = t_us / RATE_BUCKET_US;
    if (m->first < 0)
        m->first = m->last = b;
    if (b - m->last >= RATE_BUCKETS) {
        memset(m->bytes, 0, sizeof m->bytes);
        m->last = b;
    }
    for (; m->last < b; m->last++)
        m->bytes[(m->last + 1) % RATE_BUCKETS] = 0;
    if (b > m->last - RATE_BUCKETS)
        m->bytes[b % RATE_BUCKETS] += (int64_t)bytes;
}

int64_t rate_meter_bps(const struct rate_meter *m, int64_t t_us, int64_t window_us)
{
    int64_t b = t_us / RATE_BUCKET_US, n = window_us / RATE_BUCKET_US, sum = 0;
    if (m->first < 0 || b < m->first)
        return 0;
    n = n > RATE_BUCKETS ? RATE_BUCKETS : n;
    n = n > b - m->first + 1 ? b - m->first + 1 : n;
    if (n < MIN_BUCKETS)
        return 0;
    for (int64_t i = b - n + 1; i <= b; i++)
        if (i <= m->last && i > m->last - RATE_BUCKETS)
            sum += m->bytes[i % RATE_BUCKETS];
    /* The last bucket is not over yet. */
    int64_t span_us = (n - 1) * RATE_BUCKET_US + t_us % RATE_BUCKET_US + 1;
    return sum * 8000000 / span_us;
}

int64_t rate_meter_peak_bps(const struct rate_meter *m)
{
    int64_t sum = 0, peak = 0;
    if (m->first < 0)
        return 0;
    for (int64_t i = m->last - RATE_BUCKETS + 1; i <= m->last; i++) {
        sum += i >= 0 ? m->bytes[i % RATE_BUCKETS] : 0;
        if (i - PEAK_BUCKETS > m->last - RATE_BUCKETS && i >= PEAK_BUCKETS)
            sum -= m->bytes[(i - PEAK_BUCKETS) % RATE_BUCKETS];
        peak = sum > peak ? sum : peak;
    }
    return peak * 8000000 / (PEAK_BUCKETS * RATE_BUCKET_US);
}
