/* handover: the software encoder that `auto` takes: `screen`, handing over to x265 for film.
 *
 * screen costs what changed, and finds what moved; camera pictures, of which every block is new in
 * every picture, cost it more than x265. What counts is the time that pictures really take: several
 * slow ones in a row hand over, with an IDR picture; a second of stillness hands back. When
 * x265 turns out to be no faster, it hands back too; and it is tried again after a while, ever more
 * seldom, whether it was film at all: what looked slow may have been a moment of the machine. */
#ifndef HEVCAST_ENCODE_HANDOVER_H
#define HEVCAST_ENCODE_HANDOVER_H

#include "encode/encoder.h"

enum handover_side { HANDOVER_SCREEN, HANDOVER_FILM };

/* The decision alone. Pure. */
struct handover_policy {
    enum handover_side side;
    int64_t slow_us;      /* a picture that takes more CPU time is slow; default 100 ms */
    int score;            /* slow pictures lately */
    int64_t screen_us;    /* what the slow ones took, smoothed */
    int64_t film_us;      /* what x265's take, smoothed; 0: none yet */
    int film_pictures;
    int64_t hold_until_us; /* no change of sides before */
    int64_t film_until_us; /* screen is tried again then, still or not */
    int64_t backoff_us;    /* until that; doubles with each try that leads back to film */
};

void handover_policy_init(struct handover_policy *p);
/* A picture with new content took wall_us, and cpu_us of this thread: what is slow is told by the
 * latter, which a busy machine does not change; which side is faster, by the former, since x265
 * has threads of its own. share: of the picture that was damaged, 0 to 1. */
void handover_policy_picture(struct handover_policy *p, int64_t wall_us, int64_t cpu_us,
                             double share);
/* Before a picture; still: the same one again. true: change sides now (p->side is the new one). */
bool handover_policy_change(struct handover_policy *p, bool still, int64_t now_us);

extern const struct encoder_ops encoder_handover; /* called "auto"; not in encoder_table */
/* For tests: the policy, and to let us of stillness pass. */
struct handover_policy *handover_policy_of(struct encoder *e);
void handover_age(struct encoder *e, int64_t us);

#endif
