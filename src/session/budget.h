/* budget: how many bytes the next picture may take, and when it may be taken. Pure.
 *
 * A bucket of bits that fills at the target rate, up to what --queue allows to wait. A screen
 * stands still most of the time, so a change finds the bucket full and is sharp at once; motion
 * finds what one interval brought. A picture over its budget leaves a debt, which is paid back by
 * not taking input pictures: coded pictures are never dropped. */
#ifndef HEVCAST_SESSION_BUDGET_H
#define HEVCAST_SESSION_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    int64_t rate_bps;
    int64_t queue_us;  /* depth of the bucket in time */
    int64_t frame_us;  /* shortest picture interval */
    double level_bits; /* below 0: in debt */
    int64_t updated_us;
};

void budget_init(struct budget *b, int64_t rate_bps, int queue_ms, int fps, int64_t now_us);
void budget_set_rate(struct budget *b, int64_t rate_bps, int64_t now_us);
void budget_spend(struct budget *b, size_t bytes, int64_t now_us);
/* How long no picture should be taken; 0: take one. */
int64_t budget_hold_us(struct budget *b, int64_t now_us);
/* For a picture taken now. A key frame may use the whole depth. */
size_t budget_bytes(struct budget *b, bool key, int64_t now_us);
/* Is the bucket nearly full, so that a still picture may be refined in spare bits? */
bool budget_spare(struct budget *b, int64_t now_us);

#endif
