#include "jitter/reorder.h"

#include <limits.h>
#include <string.h>

enum {
    HALVE_US = 2000000,    /* what was seen counts half after so long, or after */
    HALVE_PACKETS = 4096,  /* so many packets */
    STRICT_HALVE_US = 10000000, STRICT_MORE = 4, /* and that part more than was seen */
    NEEDLESS = 50,         /* one in so many may be asked for needlessly, */
    AND_MORE = 1,          /* and one more: a single late packet is no reason to wait for all */
};

void reorder_init(struct reorder *r, bool strict)
{
    memset(r, 0, sizeof *r);
    r->strict = strict;
    r->halve_us = INT64_MIN;
    r->margin_us = REORDER_MIN_US;
    r->margin_packets = REORDER_PACKETS;
}

static void set_margins(struct reorder *r)
{
    int allowed = r->strict ? 0 : r->received / NEEDLESS + AND_MORE, later = 0, bucket = REORDER_BUCKETS - 1;
    r->margin_packets = r->far <= allowed ? REORDER_PACKETS : INT_MAX;
    /* From the latest down, as long as few enough would come after the margin. */
    while (bucket >= 0 && later + r->late[bucket] <= allowed)
        later += r->late[bucket--];
    int64_t margin_us = (int64_t)(bucket + 1) * REORDER_BUCKET_US;
    margin_us += r->strict ? margin_us / STRICT_MORE : 0;
    r->margin_us = margin_us < REORDER_MIN_US   ? REORDER_MIN_US
                   : margin_us > REORDER_MAX_US ? REORDER_MAX_US
                                                : margin_us;
}

static void halve(struct reorder *r, int64_t now_us)
{
    r->received /= 2;
    r->far /= 2;
    for (int i = 0; i < REORDER_BUCKETS; i++)
        r->late[i] /= 2;
    r->halve_us = now_us + (r->strict ? STRICT_HALVE_US : HALVE_US);
    set_margins(r);
}

void reorder_packet(struct reorder *r, int64_t now_us)
{
    r->received++;
    if (now_us >= r->halve_us || (!r->strict && r->received >= HALVE_PACKETS))
        halve(r, now_us);
}

void reorder_late(struct reorder *r, int64_t late_us, int64_t distance)
{
    int64_t bucket = late_us > 0 ? late_us / REORDER_BUCKET_US : 0;
    if (bucket >= REORDER_BUCKETS) /* no margin would do: as good as lost */
        return;
    if (r->late[bucket] < UINT16_MAX)
        r->late[bucket]++;
    r->far += distance >= REORDER_PACKETS;
    set_margins(r);
}
