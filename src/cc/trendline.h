/* Does the delay grow? Google's congestion control (draft-ietf-rmcat-gcc-02, and the trendline
 * filter that libwebrtc put in the place of its Kalman filter). Pure. */
#ifndef HEVCAST_CC_TRENDLINE_H
#define HEVCAST_CC_TRENDLINE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRENDLINE_WINDOW = 20 };
enum path_use { PATH_NORMAL, PATH_OVERUSED, PATH_UNDERUSED };

struct packet_group { /* packets that were sent within 5 ms, or that came in one burst */
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us;
};

struct trendline {
    bool have_group, have_previous;
    struct packet_group group, previous;
    int64_t first_arrival_us;
    double accumulated_ms, smoothed_ms;
    struct {
        double arrival_ms, delay_ms;
    } point[TRENDLINE_WINDOW];
    int points, next;
    int deltas;
    double last_trend, threshold_ms;
    int64_t threshold_us; /* arrival at the last update; -1: none */
    double overused_ms;   /* < 0: not over the threshold */
    int over_count;
    enum path_use use;
};

void trendline_init(struct trendline *t);
/* One packet, in the order of sending. Returns what the path is now. */
enum path_use trendline_add(struct trendline *t, int64_t sent_us, int64_t arrival_us);

#endif
