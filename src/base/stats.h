/* Percentiles of durations over the last seconds. One writer or an outer lock; pure. */
#ifndef HEVCAST_BASE_STATS_H
#define HEVCAST_BASE_STATS_H

#include <stdint.h>

/* The last STATS_WINDOW samples, kept as they came: exact percentiles, no buckets to tune. */
enum { STATS_WINDOW = 256 };
struct duration_stats {
    int32_t sample_us[STATS_WINDOW];
    int n, next;
};

void duration_add(struct duration_stats *d, int64_t us);
/* percent 0..100; 0 when there is no sample. */
int64_t duration_percentile(const struct duration_stats *d, int percent);
void duration_reset(struct duration_stats *d);

#endif
