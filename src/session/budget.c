#include "session/budget.h"

static double depth_bits(const struct budget *b)
{
    double depth = (double)b->rate_bps * (double)b->queue_us / 1e6;
    double two_frames = 2.0 * (double)b->rate_bps * (double)b->frame_us / 1e6;
    return depth > two_frames ? depth : two_frames;
}

static void fill(struct budget *b, int64_t now_us)
{
    if (now_us > b->updated_us)
        b->level_bits += (double)b->rate_bps * (double)(now_us - b->updated_us) / 1e6;
    if (b->level_bits > depth_bits(b))
        b->level_bits = depth_bits(b);
    b->updated_us = now_us;
}

void budget_init(struct budget *b, int64_t rate_bps, int queue_ms, int fps, int64_t now_us)
{
    *b = (struct budget){.rate_bps = rate_bps,
                         .queue_us = (int64_t)queue_ms * 1000,
                         .frame_us = 1000000 / (fps > 0 ? fps : 60),
                         .updated_us = now_us};
    b->level_bits = depth_bits(b);
}

void budget_set_rate(struct budget *b, int64_t rate_bps, int64_t now_us)
{
    fill(b, now_us);
    /* A debt is bytes that wait in the pacer: they are paid at the new rate, but its size stays. */
    b->rate_bps = rate_bps;
    fill(b, now_us);
}

void budget_spend(struct budget *b, size_t bytes, int64_t now_us)
{
    fill(b, now_us);
    b->level_bits -= (double)bytes * 8;
}

int64_t budget_hold_us(struct budget *b, int64_t now_us)
{
    fill(b, now_us);
    if (b->level_bits >= 0)
        return 0;
    return (int64_t)(-b->level_bits * 1e6 / (double)b->rate_bps) + 1;
}

size_t budget_bytes(struct budget *b, bool key, int64_t now_us)
{
    fill(b, now_us);
    double frame_bits = (double)b->rate_bps * (double)b->frame_us / 1e6;
    double bits = key ? depth_bits(b) : b->level_bits / 2;
    if (bits < frame_bits)
        bits = frame_bits;
    return (size_t)(bits / 8);
}

bool budget_spare(struct budget *b, int64_t now_us)
{
    fill(b, now_us);
    return b->level_bits >= 0.8 * depth_bits(b);
}
