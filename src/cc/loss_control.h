/* Loss: does the path lose packets because too many are sent, or anyway? Pure.
 *
 * Growing delay is the delay control's matter. This is about loss beyond what is usual on the path:
 * an experiment tells. The rate goes down to what was acknowledged, and no lower; when loss stays
 * as it was, the path (a radio) loses packets at any rate: the rate is given back, and this loss is
 * usual from then on. When loss ends, a short queue was full: the rate stays. */
#ifndef HEVCAST_CC_LOSS_CONTROL_H
#define HEVCAST_CC_LOSS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct loss_control {
    int64_t lost, total; /* of the window */
    int64_t window_us;   /* when it began; -1: not yet */
    double loss;         /* of the last windows, smoothed */
    double usual;
    bool trying;
    int64_t tried_us, before_bps;
    double before_loss;
};

void loss_control_init(struct loss_control *l);
void loss_control_add(struct loss_control *l, bool lost);
void loss_control_found(struct loss_control *l); /* what was told lost has come after all */
/* The rate that it wants: bps, or another. newest_sent_us: of what the feedback told of. */
int64_t loss_control_update(struct loss_control *l, int64_t bps, int64_t acked_bps,
                            int64_t newest_sent_us, int64_t now_us);

#endif
