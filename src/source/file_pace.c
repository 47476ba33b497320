#include "source/file_pace.h"

enum {
    /* Later than this, the schedule starts anew: hurrying after it would show a burst. */
    LATE_MAX_US = 1000000,
    /* Two pictures never share a 90 kHz timestamp (RFC 7798 section 4.1: one for each picture). */
    STEP_MIN_US = 1000,
};

static void anchor(struct file_pace *p, int64_t media_us, int64_t due_us)
{
    p->anchored = true;
    p->jumped = false;
    p->anchor_media_us = media_us;
    p->anchor_due_us = due_us;
}

static int64_t elapsed(const struct file_pace *p, int64_t media_us)
{
    int64_t us = media_us - p->anchor_media_us;
    return p->live ? us / 101 * 100 + us % 101 * 100 / 101 : us;
}

int64_t file_pace_next(struct file_pace *p, int64_t media_us, int64_t arrival_us)
{
    bool first = !p->anchored;
    if (media_us == FILE_PACE_UNKNOWN)
        media_us = first ? 0 : p->last_media_us + p->interval_us;
    int64_t step;
    /* Timestamps come from the file: a difference that does not fit is a jump as well. */
    bool odd = first || p->jumped ||
               __builtin_sub_overflow(media_us, p->last_media_us, &step) || step <= 0 ||
               step > p->gap_us;
    if (odd) {
        step = p->interval_us;
        int64_t start = p->live && p->begun_us && p->begun_us < arrival_us ? p->begun_us : arrival_us;
        anchor(p, media_us, first ? start : p->last_due_us + step);
    }
    int64_t due = p->anchor_due_us + elapsed(p, media_us);
    if (arrival_us > due + LATE_MAX_US) {
        /* What has piled up in a pipe meanwhile is handed on at once: paced, it would stay as
         * delay. */
        due = p->live ? arrival_us - LATE_MAX_US : arrival_us;
        anchor(p, media_us, due);
    }
    if (p->live && due < arrival_us)
        due = arrival_us;
    if (!first && due < p->last_due_us + STEP_MIN_US)
        due = p->last_due_us + STEP_MIN_US;
    p->last_media_us = media_us;
    p->last_step_us = step;
    p->last_due_us = due;
    return due;
}

void file_pace_jump(struct file_pace *p) { p->jumped = true; }

int64_t file_pace_end(const struct file_pace *p)
{
    return p->anchored ? p->last_due_us + p->last_step_us : INT64_MIN;
}
