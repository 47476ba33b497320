#include "encode/ratecontrol.h"

#include <math.h>
#include <string.h>

/* Measured with x265 on made-up screens, see doc/encoder-settings.md; learnt further at run time. */
static const double first_scale[RC_PARTS] = {0.25, 0.36, 0.25, 0.36, 0.42};
/* A scale stays within these factors of the first one: text never is much cheaper. */
static const double lowest[RC_PARTS] = {0.05, 0.6, 0.02, 0.4, 0.4};
static const double highest = 5;
enum { STEEP_BIN = 6 }; /* from 32 on */

/* What moved is predicted, but not for nothing: a fiftieth of new content. */
static const double moved_cost = 0.02;

struct bit_table {
    float bits[RC_QP_MAX + 1][CELL_BINS]; /* of one sample */
};

static const struct bit_table *bit_table(void)
{
    static _Thread_local struct bit_table t;
    static _Thread_local bool ready;
    static const double steepness[CELL_BINS] = {0, 1, 2.5, 5.5, 11, 22, 44, 88, 170};
    if (ready)
        return &t;
    for (int qp = 0; qp <= RC_QP_MAX; qp++) {
        double step = exp2((qp - 4) / 6.); /* H.265 8.6.1: the quantiser doubles every 6 */
        for (int b = 0; b < CELL_BINS; b++)
            t.bits[qp][b] = (float)(0.5 * log2(1 + pow(steepness[b] / step, 2)));
    }
    ready = true;
    return &t;
}

void ratecontrol_init(struct ratecontrol *rc)
{
    *rc = (struct ratecontrol){.head = 60};
    memcpy(rc->scale, first_scale, sizeof rc->scale);
}

static double cell_work(const struct cell *cell, int qp, int from_bin, int to_bin)
{
    const float *bits = bit_table()->bits[qp];
    double sum = 0;
    for (int b = from_bin; b < to_bin; b++)
        sum += cell->hist[b] * (double)bits[b];
    return sum;
}

void ratecontrol_add_cell(struct rc_work *out, const struct cell *cell, bool key)
{
    double share = cell->dirty_area / 4096.;
    double novel = key ? 1 : cell->novel / 255.;
    int before_qp = cell->qp > RC_QP_MAX ? RC_QP_MAX : cell->qp;
    double before = cell_work(cell, before_qp, 1, CELL_BINS);
    double coded = novel + (1 - novel) * moved_cost;
    for (int qp = 0; qp <= RC_QP_MAX; qp++) {
        double soft = cell_work(cell, qp, 1, STEEP_BIN) * share;
        double steep = cell_work(cell, qp, STEEP_BIN, CELL_BINS) * share;
        out->part[key ? RC_KEY_SOFT : RC_NOVEL_SOFT][qp] += coded * soft;
        out->part[key ? RC_KEY_STEEP : RC_NOVEL_STEEP][qp] += coded * steep;
        if (novel < 1 && qp < before_qp)
            out->part[RC_SHARPER][qp] += (1 - novel) * (soft + steep - before * share);
    }
}

void ratecontrol_work(struct rc_work *out, const struct content *c, bool key)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < c->cols * c->rows; i++)
        if (c->cells[i].dirty_area)
            ratecontrol_add_cell(out, &c->cells[i], key);
}

double ratecontrol_bytes(const struct ratecontrol *rc, const struct rc_work *w, int qp)
{
    double sum = rc->head;
    for (int k = 0; k < RC_PARTS; k++)
        sum += rc->scale[k] * w->part[k][qp];
    return sum;
}

/* How much of the budget to use: little where the model has not seen the kind of content that
 * makes up this picture. */
static double margin(const struct ratecontrol *rc, const struct rc_work *w, int qp)
{
    double known = 0, sum = 0;
    for (int k = 0; k < RC_PARTS; k++) {
        double bytes = rc->scale[k] * w->part[k][qp];
        sum += bytes;
        known += bytes * (rc->seen[k] >= 4 ? 0.9 : 0.6 + 0.075 * rc->seen[k]);
    }
    return sum > 0 ? known / sum : 0.9;
}

int ratecontrol_pick(const struct ratecontrol *rc, const struct rc_work *w, size_t budget_bytes)
{
    int qp = RC_QP_MIN;
    while (qp < RC_QP_MAX &&
           ratecontrol_bytes(rc, w, qp) > (double)budget_bytes * margin(rc, w, qp))
        qp++;
    return qp;
}

void ratecontrol_learn(struct ratecontrol *rc, const struct rc_work *w, int qp, size_t bytes)
{
    double sum = 0, got = (double)bytes - rc->head;
    for (int k = 0; k < RC_PARTS; k++)
        sum += rc->scale[k] * w->part[k][qp];
    if (sum < 1) {
        if (got < 0 || sum <= 0)
            rc->head += 0.2 * got;
        return;
    }
    if (sum < 200) /* the head outweighs it: nothing to learn */
        return;
    double ratio = (got > 1 ? got : 1) / sum, largest = 0;
    for (int k = 0; k < RC_PARTS; k++)
        largest = fmax(largest, rc->scale[k] * w->part[k][qp] / sum);
    for (int k = 0; k < RC_PARTS; k++) {
        double share = rc->scale[k] * w->part[k][qp] / sum;
        if (share < 0.1)
            continue;
        /* Quickly up, slowly down: too large a picture costs more than too coarse a one. */
        double step = pow(ratio, share / largest * (ratio > 1 ? 0.7 : rc->seen[k] < 4 ? 0.5 : 0.2));
        double scale = rc->scale[k] * step;
        double low = first_scale[k] * lowest[k], high = first_scale[k] * highest;
        rc->scale[k] = scale < low ? low : scale > high ? high : scale;
        rc->seen[k] += share > 0.3;
    }
}

bool ratecontrol_wants_more(const struct content *c)
{
    for (int i = 0; i < c->cols * c->rows; i++)
        if (c->cells[i].qp > RC_QP_MIN)
            return true;
    return false;
}

static int coarsest(const struct content *c)
{
    int qp = 0;
    for (int i = 0; i < c->cols * c->rows; i++)
        qp = c->cells[i].qp > qp ? c->cells[i].qp : qp;
    return qp > RC_QP_MAX ? RC_QP_MAX : qp;
}

static void mark(struct content *c, int i)
{
    c->cells[i].dirty = content_cell_rect(c, i);
    c->cells[i].dirty_area = (uint16_t)(c->cells[i].dirty.w * c->cells[i].dirty.h);
    c->cells[i].novel = 0;
    memcpy(c->cells[i].hist, c->cells[i].whole, sizeof c->cells[i].hist);
}

/* Adds cell i at this QP when the budget allows it, or at any price. */
static bool add_refined(const struct ratecontrol *rc, struct content *c, struct rc_work *w, int i,
                        int qp, size_t budget_bytes, bool any_price)
{
    struct rc_work with = *w;
    struct cell before = c->cells[i];
    mark(c, i);
    ratecontrol_add_cell(&with, &c->cells[i], false);
    if (!any_price &&
        ratecontrol_bytes(rc, &with, qp) > (double)budget_bytes * margin(rc, &with, qp)) {
        c->cells[i] = before;
        return false;
    }
    *w = with;
    return true;
}

void ratecontrol_extend(const struct ratecontrol *rc, struct content *c, struct rc_work *w,
                        size_t budget_bytes, int max_cells)
{
    for (int i = 0; i < c->cols * c->rows && max_cells > 0; i++) {
        if (c->cells[i].dirty_area || c->cells[i].qp <= RC_QP_MIN)
            continue;
        if (!add_refined(rc, c, w, i, RC_QP_MIN, budget_bytes, false))
            return;
        max_cells--;
    }
}

int ratecontrol_plan_refine(const struct ratecontrol *rc, struct content *c, struct rc_work *w,
                            size_t budget_bytes, int max_cells)
{
    content_clean(c);
    memset(w, 0, sizeof *w);
    int worst = coarsest(c);
    if (worst <= RC_QP_MIN)
        return 0;
    /* Blurred parts become readable before anything becomes perfect. */
    int qp = worst > RC_QP_MIN + 12 ? RC_QP_MIN + 8 : RC_QP_MIN;
    int taken = 0;
    for (int i = 0; i < c->cols * c->rows && taken < max_cells; i++) {
        if (c->cells[i].qp <= qp + 2 && !(qp == RC_QP_MIN && c->cells[i].qp > qp))
            continue;
        if (!add_refined(rc, c, w, i, qp, budget_bytes, !taken))
            break;
        taken++;
    }
    /* One cell alone may be more than the budget: then it comes in steps. */
    int coarse = qp;
    while (coarse < worst - 1 &&
           ratecontrol_bytes(rc, w, coarse) > (double)budget_bytes * margin(rc, w, coarse))
        coarse++;
    return coarse;
}
