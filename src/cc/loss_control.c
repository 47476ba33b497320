#include "cc/loss_control.h"

enum { WINDOW_US = 500000, WINDOW_PACKETS = 40, LONG_WINDOW_US = 3000000 };
static const double EXCESS = 0.1;     /* over the usual loss */
static const double UNCHANGED = 0.6;  /* of the loss before */

void loss_control_init(struct loss_control *l) { *l = (struct loss_control){.window_us = -1}; }

void loss_control_add(struct loss_control *l, bool lost)
{
    l->total++;
    l->lost += lost;
}

void loss_control_found(struct loss_control *l) { l->lost -= l->lost > 0; }

static void begin_window(struct loss_control *l, int64_t now_us)
{
    l->lost = l->total = 0;
    l->window_us = now_us;
}

static int64_t judge(struct loss_control *l, double p, int64_t bps)
{
    l->trying = false;
    if (p < UNCHANGED * l->before_loss)
        return bps;
    l->usual = p < l->before_loss ? p : l->before_loss;
    return l->before_bps > bps ? l->before_bps : bps;
}

int64_t loss_control_update(struct loss_control *l, int64_t bps, int64_t acked_bps,
                            int64_t newest_sent_us, int64_t now_us)
{
    if (l->window_us < 0)
        l->window_us = now_us;
    /* What was sent before the experiment says nothing of it. */
    if (l->trying && newest_sent_us < l->tried_us) {
        begin_window(l, now_us);
        return bps;
    }
    int64_t passed = now_us - l->window_us;
    if (passed < WINDOW_US || (l->total < WINDOW_PACKETS && passed < LONG_WINDOW_US))
        return bps;
    bool enough = l->total >= WINDOW_PACKETS;
    double p = l->total ? (double)l->lost / (double)l->total : 0;
    begin_window(l, now_us);
    if (!enough)
        return bps;
    l->loss += 0.3 * (p - l->loss);
    if (l->trying)
        return judge(l, p, bps);
    if (p - l->usual < EXCESS) {
        l->usual += 0.1 * (p - l->usual);
        return bps;
    }
    if (acked_bps == 0 || acked_bps >= bps)
        return bps;
    l->trying = true;
    l->tried_us = now_us;
    l->before_bps = bps;
    l->before_loss = p;
    return acked_bps;
}
