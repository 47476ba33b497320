/* file_pace: when a picture of a file is due, from its timestamp. Pure: time is an argument.
 *
 * Due times are CLOCK_MONOTONIC microseconds; they go on increasing whatever the timestamps do,
 * and are the media time (pts_us) of what is handed on. */
#ifndef HEVCAST_SOURCE_FILE_PACE_H
#define HEVCAST_SOURCE_FILE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define FILE_PACE_UNKNOWN INT64_MIN /* a picture without a timestamp */

struct file_pace {
    int64_t interval_us; /* between two pictures that don't say it */
    int64_t gap_us;      /* a longer step of the timestamps is a jump, not a pause */
    /* Someone else has the pace too (a pipe, a camera): the time goes by a hundredth faster
     * here, so that what piled up on the way is worked off instead of staying as delay; and the
     * media time of what comes late is when it came. */
    bool live;
    int64_t begun_us; /* live: when its first bytes came; 0: not known */

    /* private */
    bool anchored, jumped;
    int64_t anchor_media_us, anchor_due_us; /* this timestamp is due at that time */
    int64_t last_media_us, last_step_us, last_due_us;
};

/* The next picture's due time; arrival_us is when it was read. */
int64_t file_pace_next(struct file_pace *p, int64_t media_us, int64_t arrival_us);
/* The next timestamp has nothing to do with the last: it is due one interval later. */
void file_pace_jump(struct file_pace *p);
/* When the last picture has been shown for its time. */
int64_t file_pace_end(const struct file_pace *p);

#endif
