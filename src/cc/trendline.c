#include "cc/trendline.h"

#include <math.h>
#include <string.h>

enum { BURST_US = 5000, MAX_BURST_US = 100000, GAP_US = 3000000, MAX_DELTAS = 60 };
static const double SMOOTHING = 0.9, GAIN = 4.0;
static const double K_UP = 0.0087, K_DOWN = 0.039; /* of the threshold, per ms */
static const double THRESHOLD_MS = 12.5, THRESHOLD_MIN_MS = 6, THRESHOLD_MAX_MS = 600;
static const double OUTLIER_MS = 15, OVERUSE_MS = 10;

void trendline_init(struct trendline *t)
{
    memset(t, 0, sizeof *t);
    t->threshold_ms = THRESHOLD_MS;
    t->threshold_us = -1;
    t->overused_ms = -1;
}

/* Least squares: how much delay a millisecond of time adds. */
static double slope(const struct trendline *t)
{
    double mean_x = 0, mean_y = 0, top = 0, bottom = 0;
    for (int i = 0; i < t->points; i++) {
        mean_x += t->point[i].arrival_ms / t->points;
        mean_y += t->point[i].delay_ms / t->points;
    }
    for (int i = 0; i < t->points; i++) {
        double x = t->point[i].arrival_ms - mean_x;
        top += x * (t->point[i].delay_ms - mean_y);
        bottom += x * x;
    }
    return bottom > 0 ? top / bottom : t->last_trend;
}

static void adapt_threshold(struct trendline *t, double trend_ms, int64_t arrival_us)
{
    double size = fabs(trend_ms);
    if (t->threshold_us < 0)
        t->threshold_us = arrival_us;
    double passed_ms = (double)(arrival_us - t->threshold_us) / 1000;
    t->threshold_us = arrival_us;
    if (size > t->threshold_ms + OUTLIER_MS) /* a sudden change of the path is not its noise */
        return;
    passed_ms = passed_ms < 0 ? 0 : passed_ms > 100 ? 100 : passed_ms;
    t->threshold_ms += (size < t->threshold_ms ? K_DOWN : K_UP) * (size - t->threshold_ms) *
                       passed_ms;
    t->threshold_ms = t->threshold_ms < THRESHOLD_MIN_MS   ? THRESHOLD_MIN_MS
                      : t->threshold_ms > THRESHOLD_MAX_MS ? THRESHOLD_MAX_MS
                                                           : t->threshold_ms;
}

static void detect(struct trendline *t, double trend, double sent_delta_ms, int64_t arrival_us)
{
    double trend_ms = t->deltas * trend * GAIN;
    if (trend_ms > t->threshold_ms) {
        t->overused_ms = t->overused_ms < 0 ? sent_delta_ms / 2 : t->overused_ms + sent_delta_ms;
        t->over_count++;
        if (t->overused_ms > OVERUSE_MS && t->over_count > 1 && trend >= t->last_trend) {
            t->overused_ms = 0;
            t->over_count = 0;
            t->use = PATH_OVERUSED;
        }
    } else {
        t->overused_ms = -1;
        t->over_count = 0;
        t->use = trend_ms < -t->threshold_ms ? PATH_UNDERUSED : PATH_NORMAL;
    }
    t->last_trend = trend;
    adapt_threshold(t, trend_ms, arrival_us);
}

static void group_over(struct trendline *t)
{
    const struct packet_group *a = &t->previous, *b = &t->group;
    double sent_ms = (double)(b->last_sent_us - a->last_sent_us) / 1000;
    double arrived_ms = (double)(b->last_arrival_us - a->last_arrival_us) / 1000;
    if (t->points == 0 && t->deltas == 0)
        t->first_arrival_us = b->last_arrival_us;
    t->deltas += t->deltas < MAX_DELTAS;
    t->accumulated_ms += arrived_ms - sent_ms;
    t->smoothed_ms = SMOOTHING * t->smoothed_ms + (1 - SMOOTHING) * t->accumulated_ms;
    t->point[t->next].arrival_ms = (double)(b->last_arrival_us - t->first_arrival_us) / 1000;
    t->point[t->next].delay_ms = t->smoothed_ms;
    t->next = (t->next + 1) % TRENDLINE_WINDOW;
    t->points += t->points < TRENDLINE_WINDOW;
    double trend = t->points == TRENDLINE_WINDOW ? slope(t) : t->last_trend;
    detect(t, trend, sent_ms, b->last_arrival_us);
}

static bool same_group(const struct packet_group *g, int64_t sent_us, int64_t arrival_us)
{
    if (sent_us - g->first_sent_us <= BURST_US)
        return true;
    /* What waited somewhere together and was then let go at once, as Wi-Fi does. */
    int64_t arrival_delta = arrival_us - g->last_arrival_us;
    return arrival_delta <= BURST_US && arrival_delta < sent_us - g->last_sent_us &&
           arrival_us - g->first_arrival_us < MAX_BURST_US;
}

enum path_use trendline_add(struct trendline *t, int64_t sent_us, int64_t arrival_us)
{
    struct packet_group *g = &t->group;
    if (t->have_group && (sent_us - g->last_sent_us > GAP_US ||
                          arrival_us - g->last_arrival_us < -GAP_US)) {
        /* After a pause the delays before it say nothing; what noise is normal stays known. */
        double threshold = t->threshold_ms;
        trendline_init(t);
        t->threshold_ms = threshold;
    }
    if (t->have_group && sent_us < g->first_sent_us)
        return t->use;
    if (t->have_group && same_group(g, sent_us, arrival_us)) {
        g->last_sent_us = sent_us > g->last_sent_us ? sent_us : g->last_sent_us;
        if (arrival_us > g->last_arrival_us)
            g->last_arrival_us = arrival_us;
        return t->use;
    }
    if (t->have_previous && g->last_arrival_us >= t->previous.last_arrival_us)
        group_over(t);
    if (t->have_group)
        t->previous = *g;
    t->have_previous = t->have_group;
    *g = (struct packet_group){sent_us, sent_us, arrival_us, arrival_us};
    t->have_group = true;
    return t->use;
}
