#include "encode/screen/coder.h"

#include "encode/screen/residual.h"

#include <stdlib.h>
#include <string.h>

void cu_write_split(struct coder *c, int x, int y, int depth, bool split)
{
    int ctx = 0; /* table 9-41: neighbours that are split deeper */
    if (coder_available(c, x, y, x - 1, y))
        ctx += coder_info(c, x - 1, y)->depth > depth;
    if (coder_available(c, x, y, x, y - 1))
        ctx += coder_info(c, x, y - 1)->depth > depth;
    cabac_bin(&c->cabac, CTX_SPLIT_CU + ctx, split);
}

CABAC_INLINE void write_skip_flag(struct cabac_run *r, struct coder *c, const struct cu *cu)
{
    int ctx = 0;
    if (coder_available(c, cu->x, cu->y, cu->x - 1, cu->y))
        ctx += coder_info(c, cu->x - 1, cu->y)->skip;
    if (coder_available(c, cu->x, cu->y, cu->x, cu->y - 1))
        ctx += coder_info(c, cu->x, cu->y - 1)->skip;
    run_bin(r, CTX_SKIP + ctx, cu->skip);
}

CABAC_INLINE void write_merge_idx(struct cabac_run *r, int idx)
{
    run_bin(r, CTX_MERGE_IDX, idx > 0);
    if (idx == 0)
        return;
    int ones = idx - 1, most = SCREEN_MERGE_CANDIDATES - 2;
    if (ones < most)
        run_bypass(r, (2u << ones) - 2, ones + 1);
    else
        run_bypass(r, (1u << most) - 1, most);
}

/* 9.3.3.2: truncated unary; the first two bins have contexts. */
CABAC_INLINE void write_ref_idx(struct cabac_run *r, struct coder *c, int ref)
{
    for (int i = 0; i < c->n_refs - 1 && i <= ref; i++) {
        if (i < 2)
            run_bin(r, CTX_REF_IDX + i, i < ref);
        else
            run_bypass(r, i < ref, 1);
    }
}

/* 7.3.8.9; abs_mvd_minus2 is Exp-Golomb of order 1. */
CABAC_INLINE void write_mvd(struct cabac_run *r, struct mv d)
{
    int v[2] = {d.x, d.y};
    for (int i = 0; i < 2; i++)
        run_bin(r, CTX_MVD_GR0, v[i] != 0);
    for (int i = 0; i < 2; i++)
        if (v[i])
            run_bin(r, CTX_MVD_GR1, abs(v[i]) > 1);
    for (int i = 0; i < 2; i++) {
        if (!v[i])
            continue;
        if (abs(v[i]) > 1) {
            uint32_t rest = (uint32_t)abs(v[i]) - 2;
            int k = 1;
            for (; rest >= 1u << k; k++) {
                run_bypass(r, 1, 1);
                rest -= 1u << k;
            }
            run_bypass(r, 0, 1);
            run_bypass(r, rest, k);
        }
        run_bypass(r, v[i] < 0, 1);
    }
}

CABAC_INLINE void write_intra_modes(struct cabac_run *r, struct coder *c, const struct cu *cu)
{
    int parts = cu->nxn ? 4 : 1, index[4];
    const uint8_t(*list)[3] = cu->probable;
    for (int i = 0; i < parts; i++) {
        index[i] = -1;
        for (int j = 0; j < 3; j++)
            if (list[i][j] == cu->mode[i])
                index[i] = j;
        run_bin(r, CTX_PREV_INTRA, index[i] >= 0);
    }
    for (int i = 0; i < parts; i++) {
        if (index[i] >= 0) {
            run_bypass(r, index[i] ? (uint32_t)index[i] + 1 : 0, index[i] ? 2 : 1);
            continue;
        }
        int left = cu->mode[i]; /* 8.4.2: counted without the probable ones */
        for (int j = 0; j < 3; j++)
            left -= list[i][j] < cu->mode[i];
        run_bypass(r, (uint32_t)left, 5);
    }
    int chroma = cu->nxn && c->g->cshift == 0 ? 4 : 1;
    for (int i = 0; i < chroma; i++)
        run_bin(r, CTX_CHROMA_MODE, 0); /* as luma */
}

/* 9.3.3.10: five ones at most, then Exp-Golomb of order 0. */
CABAC_INLINE void write_qp_delta(struct cabac_run *r, struct coder *c)
{
    int delta = c->qp - c->qp_before;
    uint32_t v = (uint32_t)abs(delta);
    for (uint32_t i = 0; i < 5 && i <= v; i++)
        run_bin(r, CTX_QP_DELTA + (i > 0), i < v);
    if (v >= 5) {
        uint32_t rest = v - 5;
        int k = 0;
        for (; rest >= 1u << k; k++) {
            run_bypass(r, 1, 1);
            rest -= 1u << k;
        }
        run_bypass(r, 0, 1);
        if (k)
            run_bypass(r, rest, k);
    }
    if (delta)
        run_bypass(r, delta < 0, 1);
    c->qp_before = c->qp;
    c->qp_written = true;
}

CABAC_INLINE void write_block(struct cabac_run *r, struct coder *c, const struct cu *cu, int plane,
                              int i, int log2)
{
    if (!(cu->cbf[plane] >> i & 1))
        return;
    bool small_chroma = plane && c->g->cshift;
    if (log2 == 2 && !cu->lossless)
        run_bin(r, CTX_TSKIP + (plane > 0), cu->tskip[plane] >> i & 1);
    enum scan scan = SCAN_DIAGONAL;
    if (!cu->inter)
        scan = residual_scan(cu->mode[small_chroma ? 0 : i], log2, plane > 0, c->g->cshift == 0);
    cabac_run_end(r);
    residual_write(&c->cabac, cu->level[plane] + (i << (2 * log2)), log2, plane > 0, scan);
    *r = cabac_run(&c->cabac);
}

/* transform_unit() 7.3.8.10. depth: 0, or 1 for one of four. */
CABAC_INLINE void write_unit(struct cabac_run *r, struct coder *c, const struct cu *cu, int i,
                             int depth)
{
    int log2 = cu->log2 - depth;
    bool shared = log2 == 2 && c->g->cshift; /* one chroma block for four of luma */
    int luma = cu->cbf[0] >> i & 1;
    int chroma = shared ? (cu->cbf[1] | cu->cbf[2]) & 1 : (cu->cbf[1] | cu->cbf[2]) >> i & 1;
    if (!luma && !chroma)
        return;
    if (!c->qp_written)
        write_qp_delta(r, c);
    write_block(r, c, cu, 0, i, log2);
    for (int plane = 1; plane < 3; plane++) {
        if (!shared)
            write_block(r, c, cu, plane, i, log2 - c->g->cshift);
        else if (i == 3)
            write_block(r, c, cu, plane, 0, 2);
    }
}

/* transform_tree() 7.3.8.8 of at most one split. */
CABAC_INLINE void write_tree(struct cabac_run *r, struct coder *c, const struct cu *cu)
{
    bool shared = cu->split && cu->log2 == 3 && c->g->cshift;
    if (!cu->nxn) /* with four intra modes the split is inferred */
        run_bin(r, CTX_SPLIT_TU + 5 - cu->log2, cu->split);
    for (int plane = 1; plane < 3; plane++)
        run_bin(r, CTX_CBF_CHROMA, cu->cbf[plane] != 0);
    if (!cu->split) {
        if (!cu->inter || cu->cbf[1] || cu->cbf[2])
            run_bin(r, CTX_CBF_LUMA + 1, cu->cbf[0]);
        write_unit(r, c, cu, 0, 0);
        return;
    }
    for (int i = 0; i < 4; i++) {
        for (int plane = 1; plane < 3; plane++)
            if (!shared && cu->cbf[plane])
                run_bin(r, CTX_CBF_CHROMA + 1, cu->cbf[plane] >> i & 1);
        run_bin(r, CTX_CBF_LUMA, cu->cbf[0] >> i & 1);
        write_unit(r, c, cu, i, 1);
    }
}

static void remember(struct coder *c, const struct cu *cu)
{
    struct block_info b = {.inter = cu->inter, .skip = cu->skip,
                           .depth = (unsigned)(SCREEN_CTB_LOG2 - cu->log2) & 3};
    if (cu->inter) {
        b.mv = cu->mv;
        b.second = cu->second;
        b.parts = cu->parts & 3;
    } else {
        for (int i = 0; i < 4; i++)
            b.mode[i] = cu->mode[i];
    }
    int n = 1 << (cu->log2 - 3);
    struct block_info *first = coder_info(c, cu->x, cu->y);
    for (int x = 0; x < n; x++)
        first[x] = b;
    for (int y = 1; y < n; y++)
        memcpy(first + (ptrdiff_t)y * c->g->w8, first, (size_t)n * sizeof b);
}

/* prediction_unit() 7.3.8.6 */
CABAC_INLINE void write_vector(struct cabac_run *r, struct coder *c,
                               const struct vector_code *v, struct mv mv)
{
    run_bin(r, CTX_MERGE_FLAG, v->merge);
    if (v->merge) {
        write_merge_idx(r, v->merge_idx);
        return;
    }
    write_ref_idx(r, c, mv.ref);
    write_mvd(r, v->mvd);
    run_bin(r, CTX_MVP, v->mvp_idx);
}

/* coding_unit() 7.3.8.5. A merged unit without residual becomes a skipped one. */
CABAC_INLINE void write_cu(struct cabac_run *r, struct coder *c, struct cu *cu)
{
    bool residual = cu->cbf[0] || cu->cbf[1] || cu->cbf[2];
    cu->skip = cu->inter && cu->parts == PARTS_ONE && cu->vector[0].merge && !residual;
    if (!residual && !c->lossless)
        cu->lossless = false;
    run_bin(r, CTX_BYPASS, cu->lossless);
    if (!c->key)
        write_skip_flag(r, c, cu);
    remember(c, cu);
    if (cu->skip) {
        write_merge_idx(r, cu->vector[0].merge_idx);
        return;
    }
    if (!c->key)
        run_bin(r, CTX_PRED_MODE, !cu->inter);
    if (cu->inter || cu->log2 == 3)
        run_bin(r, CTX_PART_MODE, cu->inter ? cu->parts == PARTS_ONE : !cu->nxn);
    if (cu->inter && cu->parts != PARTS_ONE)
        run_bin(r, CTX_PART_MODE + 1, cu->parts == PARTS_ROWS);
    if (!cu->inter) {
        write_intra_modes(r, c, cu);
    } else {
        write_vector(r, c, &cu->vector[0], cu->mv);
        if (cu->parts != PARTS_ONE)
            write_vector(r, c, &cu->vector[1], cu->second);
        if (cu->parts != PARTS_ONE || !cu->vector[0].merge)
            run_bin(r, CTX_ROOT_CBF, residual);
        if (!residual)
            return;
    }
    write_tree(r, c, cu);
}

/* The coder's registers are kept in the processor's but for the blocks of levels, which do the same. */
void cu_write(struct coder *c, struct cu *cu)
{
    struct cabac_run r = cabac_run(&c->cabac);
    write_cu(&r, c, cu);
    cabac_run_end(&r);
}

/* What stands first in the list to merge with did not move either: the left neighbour, or the one
 * above, or where both are missing the zero vector. */
void cu_write_kept(struct coder *c, int x, int y, int log2)
{
    int n = 1 << log2, depth = SCREEN_CTB_LOG2 - log2;
    if (x >= c->g->cw || y >= c->g->ch)
        return;
    if (x + n > c->g->cw || y + n > c->g->ch) {
        for (int i = 0; i < 4; i++)
            cu_write_kept(c, x + (i & 1) * n / 2, y + (i >> 1) * n / 2, log2 - 1);
        return;
    }
    int deeper = 0, skipped = (x > 0) + (y > 0);
    if (x > 0)
        deeper += coder_info(c, x - 1, y)->depth > depth;
    if (y > 0)
        deeper += coder_info(c, x, y - 1)->depth > depth;
    struct cabac_run r = cabac_run(&c->cabac);
    if (log2 > 3)
        run_likely(&r, CTX_SPLIT_CU + deeper, 0);
    run_likely(&r, CTX_BYPASS, 0);
    run_likely(&r, CTX_SKIP + skipped, 1);
    run_likely(&r, CTX_MERGE_IDX, 0);
    cabac_run_end(&r);
}
