/* The rate: up a little while the path is well, down at once when it is overused. The rate control
 * of Google's congestion control. Pure. */
#ifndef HEVCAST_CC_AIMD_H
#define HEVCAST_CC_AIMD_H

#include <stdbool.h>
#include <stdint.h>

struct aimd {
    int64_t bps, min_bps, max_bps;
    bool far_below; /* the owner's: it was several times higher not long ago */
    double capacity_bps;  /* what was acknowledged when the path was overused; 0: not known */
    int64_t grown_us;     /* until when growth is accounted for */
    int64_t decreased_us; /* INT64_MIN: never */
};

void aimd_init(struct aimd *a, int64_t start_bps, int64_t min_bps, int64_t max_bps);
void aimd_set(struct aimd *a, int64_t bps, int64_t now_us);
/* Overuse, while acked_bps came through; queue_us: how long the queue has become. */
void aimd_decrease(struct aimd *a, int64_t acked_bps, int64_t queue_us, int64_t now_us);
/* All is well. app_limited: less is sent than may be, so nothing shows that more would go. */
void aimd_grow(struct aimd *a, int64_t acked_bps, int64_t rtt_us, bool app_limited, int64_t now_us);
/* Back to where it was not long ago, whatever the delay says. */
void aimd_climb(struct aimd *a, int64_t now_us);
void aimd_hold(struct aimd *a, int64_t now_us);

#endif
