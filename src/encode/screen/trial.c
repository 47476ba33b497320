/* trial: codes a small unit in several ways, and keeps the one that costs least: squared error and
 * bits. Those are estimated without the contexts: counting them by the arithmetic coder itself saves
 * less than a hundredth, and takes as long as all the rest. */
#include "encode/screen/coder.h"

#include <string.h>

/* The samples of a unit of 8x8. */
struct samples {
    uint8_t plane[3][64];
};

static void copy_unit(const struct coder *c, const struct cu *cu, struct samples *s, bool back)
{
    for (int i = 0; i < 3; i++) {
        int shift = i ? c->g->cshift : 0, n = 8 >> shift;
        for (int y = 0; y < n; y++) {
            uint8_t *p = frame_at(&c->rec, i, cu->x >> shift, (cu->y >> shift) + y);
            if (back)
                memcpy(p, s->plane[i] + y * n, (size_t)n);
            else
                memcpy(s->plane[i] + y * n, p, (size_t)n);
        }
    }
}

static uint64_t error_of(const struct coder *c, const struct cu *cu)
{
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        int shift = i ? c->g->cshift : 0, n = 8 >> shift, x = cu->x >> shift, y = cu->y >> shift;
        sum += c->k->sse(frame_at(&c->src, i, x, y), c->src.stride[i], frame_at(&c->rec, i, x, y),
                         c->rec.stride[i], n, n);
    }
    return sum;
}

/* 1/16 bits, about, without contexts: of the levels, and what says how they are to be had. */
static uint32_t about_bits(const struct coder *c, const struct cu *cu)
{
    uint32_t bits = 32;
    for (int i = 0; i < 3; i++) {
        bool small_chroma = i && c->g->cshift, four = cu->split && !small_chroma;
        int count = four || small_chroma ? 16 : 64;
        for (int k = 0; k < (four ? 4 : 1); k++)
            if (cu->cbf[i] >> k & 1)
                bits += c->k->level_cost(cu->level[i] + k * 16, count);
        bits += four ? 32 : 8;
    }
    if (!cu->inter) {
        for (int k = 0; k < (cu->nxn ? 4 : 1); k++)
            bits += cu->mode[k] == cu->probable[k][0] ? 24
                    : cu->mode[k] == cu->probable[k][1] || cu->mode[k] == cu->probable[k][2] ? 40 : 104;
        return bits;
    }
    for (int k = 0; k < 1 + (cu->parts != PARTS_ONE); k++)
        bits += cu->vector[k].merge ? 24 + 16 * (uint32_t)cu->vector[k].merge_idx
                                    : 48 + inter_mvd_cost(cu->vector[k].mvd, (struct mv){0});
    return bits + (cu->parts != PARTS_ONE ? 48 : 0);
}

struct trial {
    struct cu best;
    uint64_t cost;
    struct samples before, rec; /* in place the one is what vector 0 predicts */
};

/* A unit of 8x8 has but 64 levels a plane. */
static void keep_unit(struct cu *to, const struct cu *cu)
{
    memcpy(to, cu, offsetof(struct cu, level));
    for (int i = 0; i < 3; i++)
        memcpy(to->level[i], cu->level[i], 64 * sizeof cu->level[0][0]);
}

static void attempt(struct coder *c, struct cu *cu, struct trial *t)
{
    if (cu->inter)
        cu_code_residual(c, cu);
    else
        cu_code_intra(c, cu);
    uint64_t cost = (c->lossless ? 0 : error_of(c, cu) * 4096) +
                    (uint64_t)about_bits(c, cu) * (c->lossless ? 1 : c->lambda);
    if (cost < t->cost) {
        t->cost = cost;
        keep_unit(&t->best, cu);
        copy_unit(c, cu, &t->rec, false);
    }
}

/* With one transform of luma and with four; without loss they are the same but for one bit. */
static void attempt_inter(struct coder *c, struct cu *cu, struct trial *t)
{
    struct samples predicted;
    inter_code_vector(c, cu);
    copy_unit(c, cu, &t->before, true);
    cu_predict_inter(c, cu);
    if (!c->lossless)
        copy_unit(c, cu, &predicted, false);
    cu->split = false;
    attempt(c, cu, t);
    if (c->lossless)
        return;
    copy_unit(c, cu, &predicted, true);
    cu->split = true;
    attempt(c, cu, t);
}

/* Of each quarter (4x4), what a vector's prediction differs by. */
static void quarter_sads(const struct coder *c, const struct cu *cu, struct mv mv, uint32_t sad[4])
{
    uint8_t pred[64];
    inter_predict(c, 0, cu->x, cu->y, 8, 8, mv, pred, 8);
    for (int i = 0; i < 4; i++) {
        int x = (i & 1) * 4, y = (i >> 1) * 4;
        sad[i] = c->k->sad(frame_at(&c->src, 0, cu->x + x, cu->y + y), c->src.stride[0],
                           pred + y * 8 + x, 8, 4, 4);
    }
}

/* The best vector for each half, whether they lie one above the other or side by side. */
static void attempt_halves(struct coder *c, struct cu *cu, struct trial *t)
{
    struct mv list[VECTORS_MOST], merge[5], mvp[2], best[2][2];
    struct prediction_unit u = inter_part(cu, 0);
    int n_merge = inter_merge_list(c, &u, merge);
    int n = vector_candidates(c, cu, merge, n_merge, list);
    uint32_t least[2][2] = {{UINT32_MAX, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
    inter_mvp_list(c, &u, 0, mvp);
    for (int i = 0; i < n; i++) {
        uint32_t q[4], bits = inter_vector_cost(merge, mvp, list[i]) * mode_lambda(c) >> 4;
        quarter_sads(c, cu, list[i], q);
        uint32_t cost[2][2] = {{q[0] + q[1], q[2] + q[3]}, {q[0] + q[2], q[1] + q[3]}};
        for (int k = 0; k < 4; k++)
            if (16 * cost[k >> 1][k & 1] + bits < least[k >> 1][k & 1]) {
                least[k >> 1][k & 1] = 16 * cost[k >> 1][k & 1] + bits;
                best[k >> 1][k & 1] = list[i];
            }
    }
    for (int k = 0; k < 2; k++) {
        if (mv_same(best[k][0], best[k][1]))
            continue;
        cu->parts = k ? PARTS_COLUMNS : PARTS_ROWS;
        cu->mv = best[k][0];
        cu->second = best[k][1];
        attempt_inter(c, cu, t);
    }
    cu->parts = PARTS_ONE;
}

void trial_code(struct coder *c, struct cu *cu)
{
    struct trial t;
    t.cost = UINT64_MAX;
    uint8_t mode = cu->mode[0];
    copy_unit(c, cu, &t.before, false);
    cu->inter = true;
    cu->nxn = false;
    attempt_inter(c, cu, &t);
    copy_unit(c, cu, &t.before, true);
    attempt_halves(c, cu, &t);
    bool exact = c->lossless && !(t.best.cbf[0] | t.best.cbf[1] | t.best.cbf[2]);
    cu->inter = false;
    for (int way = exact ? 3 : 0; way < 3; way++) { /* whole, with four transforms, with four modes */
        cu->split = way > 0;
        cu->nxn = way > 1;
        memset(cu->mode, mode, sizeof cu->mode);
        attempt(c, cu, &t);
    }
    copy_unit(c, cu, &t.rec, true);
    cu_write(c, &t.best);
}
