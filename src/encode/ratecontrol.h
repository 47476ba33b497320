/* ratecontrol: the QP for a picture of which the content is known and the size is given.
 *
 * Model: bytes(QP) = head + Σ over parts k of scale_k · work_k(QP), where the work of a cell is
 * Σ over its steepness bins of samples · ½ log2(1 + (steepness / Qstep(QP))²): an estimate of the
 * bits of its coefficients that falls slowly for text and fast for noise. Parts: key (all of it intra),
 * novel (not in the last picture), both apart for soft and for steep bins, since a film's noise
 * teaches nothing about text; and sharper (already there, coded more coarsely: only the
 * difference of the work at both QPs counts). The scales are learnt from every picture.
 * Pure: no clock, no allocation; one thread. */
#ifndef HEVCAST_ENCODE_RATECONTROL_H
#define HEVCAST_ENCODE_RATECONTROL_H

#include "encode/content.h"

enum rc_part { RC_KEY_SOFT, RC_KEY_STEEP, RC_NOVEL_SOFT, RC_NOVEL_STEEP, RC_SHARPER, RC_PARTS };
enum {
    RC_QP_MIN = 16, /* sharp: finer than this is not visible on a screen */
    RC_QP_MAX = 51,
};

struct rc_work { /* of one picture, at every QP */
    double part[RC_PARTS][RC_QP_MAX + 1];
};

struct ratecontrol {
    double scale[RC_PARTS]; /* bytes for each unit of work */
    int seen[RC_PARTS];     /* pictures from which it was learnt */
    double head;            /* bytes of a picture in which nothing changes */
};

void ratecontrol_init(struct ratecontrol *rc);
/* Of all dirty cells. key: as intra. */
void ratecontrol_work(struct rc_work *out, const struct content *c, bool key);
/* Adds one cell, to build the work of a refinement step by step. */
void ratecontrol_add_cell(struct rc_work *out, const struct cell *cell, bool key);
double ratecontrol_bytes(const struct ratecontrol *rc, const struct rc_work *w, int qp);
/* The finest QP that fits the budget, with a margin that shrinks as the model learns. */
int ratecontrol_pick(const struct ratecontrol *rc, const struct rc_work *w, size_t budget_bytes);
void ratecontrol_learn(struct ratecontrol *rc, const struct rc_work *w, int qp, size_t bytes);
/* Chooses what to refine: marks whole cells dirty, the coarsest first, as many as the budget and
 * max_cells allow, and gives the QP for them; 0 when every cell is sharp already. */
int ratecontrol_plan_refine(const struct ratecontrol *rc, struct content *c, struct rc_work *w,
                            size_t budget_bytes, int max_cells);
/* Adds whole clean cells that are coarser than RC_QP_MIN to a picture that has that QP. */
void ratecontrol_extend(const struct ratecontrol *rc, struct content *c, struct rc_work *w,
                        size_t budget_bytes, int max_cells);
/* Is any cell coarser than RC_QP_MIN? */
bool ratecontrol_wants_more(const struct content *c);

#endif
