/* Bits per second over the last half second or less, in buckets of 10 ms. Pure. */
#ifndef HEVCAST_CC_RATE_METER_H
#define HEVCAST_CC_RATE_METER_H

#include <stddef.h>
#include <stdint.h>

enum { RATE_BUCKET_US = 10000, RATE_BUCKETS = 50 };

struct rate_meter {
    int64_t first, last; /* bucket numbers; first < 0: nothing yet */
    int64_t bytes[RATE_BUCKETS];
};

void rate_meter_init(struct rate_meter *m);
void rate_meter_add(struct rate_meter *m, int64_t t_us, size_t bytes); /* t_us >= 0 */
/* Over the window that ends at t_us; shorter when it began later; 0: too early to say. */
int64_t rate_meter_bps(const struct rate_meter *m, int64_t t_us, int64_t window_us);
/* The fastest 50 ms of the last half second: what the path let through while it was busy. */
int64_t rate_meter_peak_bps(const struct rate_meter *m);

#endif
