/* When a picture that is complete should be shown.
 *
 * A picture is decoded as soon as it is complete and held, if at all, only before it is shown: the
 * decoder's time and its variation count as part of the wait, and files, pipes and the program get
 * their pictures at once. On a path without jitter the delay is 0: shown when complete.
 *
 * The delay is for motion: where pictures follow each other, those that came quickly wait for the
 * ones that jitter delays, so that they are shown as evenly as they were captured. A picture that
 * comes after a pause – a keystroke – has no neighbour and is shown at once; the delay grows again
 * as the motion goes on, at most a quarter of its time.
 *
 * What counts as jitter is what the network adds to a picture's last packet, against the least of
 * the last second: not how long the encoder took (a screen's key frame takes fifty times as long
 * as its keystroke), nor a queue that fills slowly. Pictures that had to be repaired count only
 * while they are more than a quarter of all: below that the next picture is a better answer to a
 * late one than making all of them late. A late picture never moves those behind it. Pure. */
#ifndef HEVCAST_JITTER_PLAYOUT_H
#define HEVCAST_JITTER_PLAYOUT_H

#include <stdbool.h>
#include <stdint.h>

enum { PLAYOUT_WINDOW = 256 };

/* What is known of a picture when it is given out, in decoding order. */
struct playout_picture {
    int64_t pts_us;     /* the sender's media time */
    int64_t arrival_us; /* of the last of its packets to come */
    uint32_t send_time; /* abs-send-time of the packet that was sent last; with has_send_time */
    bool has_send_time;
    bool repaired;      /* not all of it came as it was sent */
};

struct playout {
    int64_t min_us, max_us;
    struct {
        int64_t at_us;
        int64_t lateness_us; /* arrival against media time */
        int64_t transit_us;  /* arrival against sending, with any start; the same where that is unknown */
        int64_t jitter_us;   /* above the least of the last second */
        bool repaired;
    } sample[PLAYOUT_WINDOW]; /* a ring */
    unsigned first, n;
    bool any_send_time;
    uint32_t last_send_time; /* and unwrapped: */
    int64_t sent_us;
    int64_t last_pts_us, last_us, last_show_us; /* last_us INT64_MIN: no picture yet */
    int64_t target_us, applied_us;
};

/* 0 <= min_us <= max_us */
void playout_init(struct playout *p, int64_t min_us, int64_t max_us);
/* The next picture, complete at now_us: when to show it, now_us to now_us + max_us. */
int64_t playout_add(struct playout *p, const struct playout_picture *pic, int64_t now_us);
/* What pictures in motion are delayed by; after a pause, the least. */
int64_t playout_delay_us(const struct playout *p, int64_t now_us);

#endif
