#include "session/reconnect.h"

void heartbeat_start(struct heartbeat *h, int64_t now_us)
{
    h->last_us = now_us;
    h->report_us = h->doubt_us = 0;
    h->probes = h->packets = h->packets_before = 0;
    h->second_us = now_us;
}

static void count_packet(struct heartbeat *h, int64_t now_us)
{
    if (now_us - h->second_us >= 1000000) {
        h->packets_before = now_us - h->second_us < 2000000 ? h->packets : 0;
        h->packets = 0;
        h->second_us = now_us;
    }
    h->packets++;
}

void heartbeat_packet(struct heartbeat *h, int64_t now_us, bool report)
{
    h->last_us = now_us;
    h->doubt_us = 0;
    h->probes = 0;
    count_packet(h, now_us);
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
    h->probes = 0;
    h->report_us = 0; /* the gap is ours, not its rhythm */
}

static int64_t quiet_us(const struct heartbeat *h)
{
    if (h->packets >= PROBE_BUSY_PACKETS || h->packets_before >= PROBE_BUSY_PACKETS)
        return PROBE_BUSY_US;
    int64_t us = rhythm_us(h) + 200000;
    return us > PROBE_STILL_US ? us : PROBE_STILL_US;
}

int64_t heartbeat_probe_us(const struct heartbeat *h)
{
    if (!h->answers || h->count == 0)
        return INT64_MAX;
    if (h->probes > 0)
        return h->probe_us + PROBE_INTERVAL_US;
    int64_t at = h->last_us + quiet_us(h);
    return h->doubt_us && h->doubt_us < at ? h->doubt_us : at;
}

void heartbeat_probed(struct heartbeat *h, int64_t now_us, int64_t rtt_us)
{
    if (h->probes++ == 0)
        h->first_probe_us = now_us;
    h->probe_us = now_us;
    h->rtt_us = rtt_us;
}

int64_t heartbeat_lost_us(const struct heartbeat *h)
{
    if (!h->reports)
        return INT64_MAX;
    int64_t at = h->last_us + patience_us(h);
    if (h->doubt_us && h->doubt_us + HEARTBEAT_DOUBT_US < at)
        at = h->doubt_us + HEARTBEAT_DOUBT_US;
    /* Not by the time alone: all of them were really sent. */
    if (h->probes >= PROBE_COUNT) {
        int64_t wait = 2 * h->rtt_us + PROBE_INTERVAL_US * PROBE_COUNT / 2;
        wait = wait > PROBE_INTERVAL_US * PROBE_COUNT ? wait : PROBE_INTERVAL_US * PROBE_COUNT;
        at = h->first_probe_us + wait < at ? h->first_probe_us + wait : at;
    }
    return at;
}

int64_t backoff_us(int *tries, uint32_t chance)
{
    int64_t us = 500000;
    for (int i = 0; i < *tries && us < BACKOFF_MAX_US; i++)
        us += us / 2;
    us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
    (*tries)++;
    return us - us / 5 * (int64_t)(chance % 1000) / 1000;
}
