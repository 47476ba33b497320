#include "encode/screen/coder.h"

#include "encode/screen/residual.h"

#include <stdlib.h>

void cu_write_split(struct coder *c, int x, int y, int depth, bool split)
{
    int ctx = 0; /* table 9-41: neighbours that are split deeper */
    if (coder_available(c, x, y, x - 1, y))
        ctx += coder_info(c, x - 1, y)->depth > depth;
    if (coder_available(c, x, y, x, y - 1))
        ctx += coder_info(c, x, y - 1)->depth > depth;
    cabac_bin(&c->cabac, CTX_SPLIT_CU + ctx, split);
}

static void write_skip_flag(struct coder *c, const struct cu *cu)
{
    int ctx = 0;
    if (coder_available(c, cu->x, cu->y, cu->x - 1, cu->y))
        ctx += coder_info(c, cu->x - 1, cu->y)->skip;
    if (coder_available(c, cu->x, cu->y, cu->x, cu->y - 1))
        ctx += coder_info(c, cu->x, cu->y - 1)->skip;
    cabac_bin(&c->cabac, CTX_SKIP + ctx, cu->skip);
}

static void write_merge_idx(struct coder *c, int idx)
{
    cabac_bin(&c->cabac, CTX_MERGE_IDX, idx > 0);
    if (idx == 0)
        return;
    int ones = idx - 1, most = SCREEN_MERGE_CANDIDATES - 2;
    if (ones < most)
        cabac_bypass(&c->cabac, (2u << ones) - 2, ones + 1);
    else
        cabac_bypass(&c->cabac, (1u << most) - 1, most);
}

/* 9.3.3.2: truncated unary; the first two bins have contexts. */
static void write_ref_idx(struct coder *c, int ref)
{
    for (int i = 0; i < c->n_refs - 1 && i <= ref; i++) {
        if (i < 2)
            cabac_bin(&c->cabac, CTX_REF_IDX + i, i < ref);
        else
            cabac_bypass(&c->cabac, i < ref, 1);
    }
}

/* 7.3.8.9; abs_mvd_minus2 is Exp-Golomb of order 1. */
static void write_mvd(struct coder *c, struct mv d)
{
    int v[2] = {d.x, d.y};
    for (int i = 0; i < 2; i++)
        cabac_bin(&c->cabac, CTX_MVD_GR0, v[i] != 0);
    for (int i = 0; i < 2; i++)
        if (v[i])
            cabac_bin(&c->cabac, CTX_MVD_GR1, abs(v[i]) > 1);
    for (int i = 0; i < 2; i++) {
        if (!v[i])
            continue;
        if (abs(v[i]) > 1) {
            uint32_t r = (uint32_t)abs(v[i]) - 2;
            int k = 1;
            for (; r >= 1u << k; k++) {
                cabac_bypass(&c->cabac, 1, 1);
                r -= 1u << k;
            }
            cabac_bypass(&c->cabac, 0, 1);
            cabac_bypass(&c->cabac, r, k);
        }
        cabac_bypass(&c->cabac, v[i] < 0, 1);
    }
}

static void write_intra_modes(struct coder *c, const struct cu *cu)
{
    int parts = cu->nxn ? 4 : 1, index[4];
    const uint8_t(*list)[3] = cu->probable;
    for (int i = 0; i < parts; i++) {
        index[i] = -1;
        for (int j = 0; j < 3; j++)
            if (list[i][j] == cu->mode[i])
                index[i] = j;
        cabac_bin(&c->cabac, CTX_PREV_INTRA, index[i] >= 0);
    }
    for (int i = 0; i < parts; i++) {
        if (index[i] >= 0) {
            cabac_bypass(&c->cabac, index[i] ? (uint32_t)index[i] + 1 : 0, index[i] ? 2 : 1);
            continue;
        }
        int rest = cu->mode[i]; /* 8.4.2: counted without the probable ones */
        for (int j = 0; j < 3; j++)
            rest -= list[i][j] < cu->mode[i];
        cabac_bypass(&c->cabac, (uint32_t)rest, 5);
    }
    int chroma = cu->nxn && c->g->cshift == 0 ? 4 : 1;
    for (int i = 0; i < chroma; i++)
        cabac_bin(&c->cabac, CTX_CHROMA_MODE, 0); /* as luma */
}

/* 9.3.3.10: five ones at most, then Exp-Golomb of order 0. */
static void write_qp_delta(struct coder *c)
{
    int delta = c->qp - c->qp_before;
    uint32_t v = (uint32_t)abs(delta);
    for (uint32_t i = 0; i < 5 && i <= v; i++)
        cabac_bin(&c->cabac, CTX_QP_DELTA + (i > 0), i < v);
    if (v >= 5) {
        uint32_t r = v - 5;
        int k = 0;
        for (; r >= 1u << k; k++) {
            cabac_bypass(&c->cabac, 1, 1);
            r -= 1u << k;
        }
        cabac_bypass(&c->cabac, 0, 1);
        if (k)
            cabac_bypass(&c->cabac, r, k);
    }
    if (delta)
        cabac_bypass(&c->cabac, delta < 0, 1);
    c->qp_before = c->qp;
    c->qp_written = true;
}

static void write_block(struct coder *c, const struct cu *cu, int plane, int i, int log2)
{
    if (!(cu->cbf[plane] >> i & 1))
        return;
    bool small_chroma = plane && c->g->cshift;
    if (log2 == 2 && !cu->lossless)
        cabac_bin(&c->cabac, CTX_TSKIP + (plane > 0), cu->tskip[plane] >> i & 1);
    enum scan scan = SCAN_DIAGONAL;
    if (!cu->inter)
        scan = residual_scan(cu->mode[small_chroma ? 0 : i], log2, plane > 0, c->g->cshift == 0);
    residual_write(&c->cabac, cu->level[plane] + (i << (2 * log2)), log2, plane > 0, scan);
}

/* transform_unit() 7.3.8.10. depth: 0, or 1 for one of four. */
static void write_unit(struct coder *c, const struct cu *cu, int i, int depth)
{
    int log2 = cu->log2 - depth;
    bool shared = log2 == 2 && c->g->cshift; /* one chroma block for four of luma */
    int luma = cu->cbf[0] >> i & 1;
    int chroma = shared ? (cu->cbf[1] | cu->cbf[2]) & 1 : (cu->cbf[1] | cu->cbf[2]) >> i & 1;
    if (!luma && !chroma)
        return;
    if (!c->qp_written)
        write_qp_delta(c);
    write_block(c, cu, 0, i, log2);
    for (int plane = 1; plane < 3; plane++) {
        if (!shared)
            write_block(c, cu, plane, i, log2 - c->g->cshift);
        else if (i == 3)
            write_block(c, cu, plane, 0, 2);
    }
}

/* transform_tree() 7.3.8.8 of at most one split. */
static void write_tree(struct coder *c, const struct cu *cu)
{
    struct cabac *e = &c->cabac;
    bool shared = cu->split && cu->log2 == 3 && c->g->cshift;
    if (!cu->nxn) /* with four intra modes the split is inferred */
        cabac_bin(e, CTX_SPLIT_TU + 5 - cu->log2, cu->split);
    for (int plane = 1; plane < 3; plane++)
        cabac_bin(e, CTX_CBF_CHROMA, cu->cbf[plane] != 0);
    if (!cu->split) {
        if (!cu->inter || cu->cbf[1] || cu->cbf[2])
            cabac_bin(e, CTX_CBF_LUMA + 1, cu->cbf[0]);
        write_unit(c, cu, 0, 0);
        return;
    }
    for (int i = 0; i < 4; i++) {
        for (int plane = 1; plane < 3; plane++)
            if (!shared && cu->cbf[plane])
                cabac_bin(e, CTX_CBF_CHROMA + 1, cu->cbf[plane] >> i & 1);
        cabac_bin(e, CTX_CBF_LUMA, cu->cbf[0] >> i & 1);
        write_unit(c, cu, i, 1);
    }
}

static void remember(struct coder *c, const struct cu *cu)
{
    struct block_info b = {.inter = cu->inter, .skip = cu->skip,
                           .depth = (uint8_t)(SCREEN_CTB_LOG2 - cu->log2)};
    if (cu->inter)
        b.mv = cu->mv;
    else
        for (int i = 0; i < 4; i++)
            b.mode[i] = cu->mode[i];
    int n = 1 << (cu->log2 - 3);
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++)
            *coder_info(c, cu->x + 8 * x, cu->y + 8 * y) = b;
}

/* coding_unit() 7.3.8.5. A merged unit without residual becomes a skipped one. */
void cu_write(struct coder *c, struct cu *cu)
{
    struct cabac *e = &c->cabac;
    bool residual = cu->cbf[0] || cu->cbf[1] || cu->cbf[2];
    cu->skip = cu->inter && cu->merge && !residual;
    if (!residual && !c->lossless)
        cu->lossless = false;
    cabac_bin(e, CTX_BYPASS, cu->lossless);
    if (!c->key)
        write_skip_flag(c, cu);
    remember(c, cu);
    if (cu->skip) {
        write_merge_idx(c, cu->merge_idx);
        return;
    }
    if (!c->key)
        cabac_bin(e, CTX_PRED_MODE, !cu->inter);
    if (cu->inter || cu->log2 == 3)
        cabac_bin(e, CTX_PART_MODE, !cu->nxn);
    if (!cu->inter) {
        write_intra_modes(c, cu);
    } else {
        cabac_bin(e, CTX_MERGE_FLAG, cu->merge);
        if (cu->merge) {
            write_merge_idx(c, cu->merge_idx);
        } else {
            write_ref_idx(c, cu->mv.ref);
            write_mvd(c, cu->mvd);
            cabac_bin(e, CTX_MVP, cu->mvp_idx);
            cabac_bin(e, CTX_ROOT_CBF, residual);
        }
        if (!residual)
            return;
    }
    write_tree(c, cu);
}

void cu_write_kept(struct coder *c, struct cu *cu)
{
    cu->skip = true;
    cabac_bin(&c->cabac, CTX_BYPASS, 0);
    write_skip_flag(c, cu);
    write_merge_idx(c, cu->merge_idx);
}
