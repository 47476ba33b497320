#include "jitter/playout.h"

#include <string.h>

enum {
    WINDOW_US = 4000000,  /* what counts: the delay falls back this long after the jitter ends */
    BASE_US = 1000000,
    PAUSE_US = 250000,    /* longer than this between two pictures is no motion */
    IGNORED_US = 8000,    /* half a picture at 60 Hz: nobody sees it, everybody pays for the wait */
    MIN_SAMPLES = 8,
    TAIL = 20,            /* one picture in so many may come later than the delay, */
    AND_MORE = 1,         /* and one more: a single hiccup is no jitter */
    REPAIRED_SHARE = 4,
    SLEW = 4,             /* motion is stretched or compressed by at most this part */
};

void playout_init(struct playout *p, int64_t min_us, int64_t max_us)
{
    memset(p, 0, sizeof *p);
    p->min_us = p->target_us = p->applied_us = min_us;
    p->max_us = max_us;
    p->last_us = INT64_MIN;
}

/* abs-send-time counts 64 s in 24 bits. After a longer pause the result is off by a multiple of
 * that, and no sample from before is left to compare it with. */
static int64_t unwrap_send_time(struct playout *p, uint32_t send_time)
{
    if (p->any_send_time) {
        int32_t ticks = (int32_t)((send_time - p->last_send_time) << 8) >> 8;
        p->sent_us += (int64_t)ticks * 1000000 / (1 << 18);
    }
    p->any_send_time = true;
    p->last_send_time = send_time;
    return p->sent_us;
}

static unsigned at(const struct playout *p, unsigned i) { return (p->first + i) % PLAYOUT_WINDOW; }

static void forget_old(struct playout *p, int64_t now_us)
{
    while (p->n > 0 && (p->n == PLAYOUT_WINDOW || p->sample[p->first].at_us < now_us - WINDOW_US)) {
        p->first = at(p, 1);
        p->n--;
    }
}

/* The least lateness and transit of the last second. */
static void find_base(const struct playout *p, int64_t now_us, int64_t *lateness_us,
                      int64_t *transit_us)
{
    *lateness_us = *transit_us = INT64_MAX;
    for (unsigned i = p->n; i-- > 0 && p->sample[at(p, i)].at_us >= now_us - BASE_US;) {
        unsigned k = at(p, i);
        if (p->sample[k].lateness_us < *lateness_us)
            *lateness_us = p->sample[k].lateness_us;
        if (!p->sample[k].repaired && p->sample[k].transit_us < *transit_us)
            *transit_us = p->sample[k].transit_us;
    }
}

/* The jitter that all but the tail of the pictures stay within. */
static int64_t usual_jitter_us(const struct playout *p)
{
    int64_t top[PLAYOUT_WINDOW / TAIL + AND_MORE + 1]; /* the largest, ascending */
    unsigned counted = 0, repaired = 0, kept = 0;
    for (unsigned i = 0; i < p->n; i++)
        repaired += p->sample[at(p, i)].repaired;
    bool with_repaired = repaired * REPAIRED_SHARE > p->n;
    for (unsigned i = 0; i < p->n; i++)
        counted += with_repaired || !p->sample[at(p, i)].repaired;
    if (counted < MIN_SAMPLES)
        return 0;
    unsigned keep = counted / TAIL + AND_MORE + 1;
    for (unsigned i = 0; i < p->n; i++) {
        unsigned k = at(p, i), j;
        int64_t jitter = p->sample[k].jitter_us;
        if ((!with_repaired && p->sample[k].repaired) || (kept == keep && jitter <= top[0]))
            continue;
        if (kept < keep) {
            for (j = kept++; j > 0 && top[j - 1] > jitter; j--)
                top[j] = top[j - 1];
        } else {
            for (j = 0; j + 1 < kept && top[j + 1] < jitter; j++)
                top[j] = top[j + 1];
        }
        top[j] = jitter;
    }
    return top[0];
}

static void set_target(struct playout *p)
{
    int64_t jitter = usual_jitter_us(p);
    jitter = jitter < IGNORED_US ? 0 : jitter;
    p->target_us = jitter < p->min_us ? p->min_us : jitter > p->max_us ? p->max_us : jitter;
}

/* Towards the target, as fast as motion may be stretched. */
static void slew(struct playout *p, int64_t pts_us, int64_t now_us)
{
    int64_t step = (pts_us - p->last_pts_us) / SLEW;
    if (p->last_us == INT64_MIN || now_us - p->last_us >= PAUSE_US) {
        p->applied_us = p->min_us;
        return;
    }
    step = step < 0 ? 0 : step > PAUSE_US / SLEW ? PAUSE_US / SLEW : step;
    if (p->applied_us < p->target_us)
        p->applied_us = p->target_us - p->applied_us < step ? p->target_us : p->applied_us + step;
    else
        p->applied_us = p->applied_us - p->target_us < step ? p->target_us : p->applied_us - step;
}

int64_t playout_add(struct playout *p, const struct playout_picture *pic, int64_t now_us)
{
    int64_t lateness = pic->arrival_us - pic->pts_us, base_lateness, base_transit;
    forget_old(p, now_us);
    if (pic->has_send_time && !p->any_send_time)
        p->n = 0; /* of another clock */
    unsigned k = at(p, p->n++);
    p->sample[k].at_us = now_us;
    p->sample[k].lateness_us = lateness;
    p->sample[k].repaired = pic->repaired;
    p->sample[k].transit_us = lateness;
    if (pic->has_send_time && !pic->repaired)
        p->sample[k].transit_us = pic->arrival_us - unwrap_send_time(p, pic->send_time);
    else if (p->any_send_time) /* no transit that compares with the others' */
        p->sample[k].repaired = true;
    find_base(p, now_us, &base_lateness, &base_transit);
    p->sample[k].jitter_us = p->sample[k].repaired ? lateness - base_lateness
                                           : p->sample[k].transit_us - base_transit;
    set_target(p);
    slew(p, pic->pts_us, now_us);
    int64_t show = pic->pts_us + base_lateness + p->applied_us;
    show = show < p->last_show_us ? p->last_show_us : show;
    show = show > now_us + p->max_us ? now_us + p->max_us : show;
    show = show < now_us ? now_us : show;
    p->last_pts_us = pic->pts_us;
    p->last_us = now_us;
    p->last_show_us = show;
    return show;
}

int64_t playout_delay_us(const struct playout *p, int64_t now_us)
{
    return p->last_us == INT64_MIN || now_us - p->last_us >= PAUSE_US ? p->min_us : p->applied_us;
}
