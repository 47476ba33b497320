#include "jitter/reorder.h"

#include <limits.h>
#include <string.h>

enum {
    HALVE_US = 2000000,    /* what was seen counts half after so long, or after */
    HALVE_PACKETS = 4096,  /* so many packets */
    NEEDLESS = 50,         /* one in so many may be asked for needlessly, */
    AND_MORE = 1,          /* and one more: a single late packet is no reason to wait for all */
};

void reorder_init(struct reorder *r)
{
    memset(r, 0, sizeof *r);
    r->halve_us = INT64_MIN;
    r->margin_us = REORDER_MIN_US;
    r->margin_packets = REORDER_PACKETS;
}

static void set_margins(struct reorder *r)
{
    int allowed = r->received / NEEDLESS + AND_MORE, later = 0, bucket = REORDER_BUCKETS - 1;
    r->margin_packets = r->far <= allowed ? REORDER_PACKETS : INT_MAX;
    /* From the latest down, as long as few enough would come after the margin. */
    while (bucket >= 0 && later + r->late[bucket] <= allowed)
        later += r->late[bucket--];
    int64_t margin_us = (int64_t)(bucket + 1) * REORDER_BUCKET_US;
    r->margin_us = margin_us < REORDER_MIN_US ? REORDER_MIN_US : margin_us;
}

static void halve(struct reorder *r, int64_t now_us)
{
    r->received /= 2;
    r->far /= 2;
    for (int i = 0; i < REORDER_BUCKETS; i++)
        r->late[i] /= 2;
    r->halve_us = now_us + HALVE_US;
    set_margins(r);
}

void reorder_packet(struct reorder *r, int64_t now_us)
{
    r->received++;
    if (now_us >= r->halve_us || r->received >= HALVE_PACKETS)
        halve(r, now_us);
}

void reorder_late(struct reorder *r, int64_t late_us, int64_t distance)
{
    int64_t bucket = late_us > 0 ? late_us / REORDER_BUCKET_US : 0;
    if (bucket >= REORDER_BUCKETS) /* no margin would do: as good as lost */
        return;
    r->late[bucket]++;
    r->far += distance >= REORDER_PACKETS;
    set_margins(r);
}
