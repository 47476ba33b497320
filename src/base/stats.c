#include "base/stats.h"

#include <stdlib.h>
#include <string.h>

void duration_add(struct duration_stats *d, int64_t us)
{
    if (us < 0)
        us = 0;
    d->sample_us[d->next] = us > INT32_MAX ? INT32_MAX : (int32_t)us;
    d->next = (d->next + 1) % STATS_WINDOW;
    if (d->n < STATS_WINDOW)
        d->n++;
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

int64_t duration_percentile(const struct duration_stats *d, int percent)
{
    if (!d->n)
        return 0;
    int32_t sorted[STATS_WINDOW];
    memcpy(sorted, d->sample_us, (size_t)d->n * sizeof sorted[0]);
    qsort(sorted, (size_t)d->n, sizeof sorted[0], compare);
    int i = (d->n - 1) * percent / 100;
    return sorted[i];
}

void duration_reset(struct duration_stats *d) { d->n = d->next = 0; }
