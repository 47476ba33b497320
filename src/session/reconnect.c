#include "session/reconnect.h"

void heartbeat_start(struct heartbeat *h, int64_t now_us)
{
    h->last_us = now_us;
    h->report_us = h->doubt_us = 0;
}

void heartbeat_packet(struct heartbeat *h, int64_t now_us, bool report)
{
    h->last_us = now_us;
    h->doubt_us = 0;
    if (!report)
        return;
    h->reports = true;
    if (h->report_us)
        h->interval_us[h->count++ % HEARTBEAT_MEMORY] = now_us - h->report_us;
    h->report_us = now_us;
}

/* The longest of the last; 0: none is known. */
static int64_t rhythm_us(const struct heartbeat *h)
{
    int64_t longest = 0;
    for (int i = 0; i < h->count && i < HEARTBEAT_MEMORY; i++)
        longest = h->interval_us[i] > longest ? h->interval_us[i] : longest;
    return longest;
}

static int64_t patience_us(const struct heartbeat *h)
{
    int64_t us = rhythm_us(h) * 3 + 500000;
    if (h->count == 0)
        return HEARTBEAT_UNKNOWN_US;
    if (us > HEARTBEAT_MAX_US)
        return HEARTBEAT_MAX_US;
    return us > HEARTBEAT_MIN_US ? us : HEARTBEAT_MIN_US;
}

void heartbeat_doubt(struct heartbeat *h, int64_t now_us)
{
    if (h->count > 0 && rhythm_us(h) < HEARTBEAT_DOUBT_US)
        h->doubt_us = now_us;
}

void heartbeat_slept(struct heartbeat *h, int64_t now_us)
{
    int64_t earliest = now_us - patience_us(h) + HEARTBEAT_DOUBT_US;
    if (h->last_us < earliest)
        h->last_us = earliest;
    h->doubt_us = 0;
    h->report_us = 0; /* the gap is ours, not its rhythm */
}

int64_t heartbeat_lost_us(const struct heartbeat *h)
{
    if (!h->reports)
        return INT64_MAX;
    int64_t at = h->last_us + patience_us(h);
    if (h->doubt_us && h->doubt_us + HEARTBEAT_DOUBT_US < at)
        at = h->doubt_us + HEARTBEAT_DOUBT_US;
    return at;
}

int64_t backoff_us(int *tries, uint32_t chance)
{
    int64_t us = 500000;
    for (int i = 0; i < *tries && us < BACKOFF_MAX_US; i++)
        us *= 2;
    us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
    (*tries)++;
    return us - us / 5 * (int64_t)(chance % 1000) / 1000;
}
