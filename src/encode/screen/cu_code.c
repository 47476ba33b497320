#include "encode/screen/coder.h"

#include <string.h>

/* 8.6.1, table 8-10: chroma QP of 4:2:0 from 30 on. */
static int chroma_qp(const struct coder *c, int qp)
{
    static const uint8_t table[14] = {29, 30, 31, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37};
    int q = qp + SCREEN_CHROMA_QP_OFFSET;
    q = q < 0 ? 0 : q > 57 ? 57 : q;
    if (c->g->fmt == PIX_I444)
        return q < 51 ? q : 51;
    return q < 30 ? q : q < 44 ? table[q - 30] : q - 6;
}

/* 1/512 of a step that is added before rounding: screens have larger levels than film. Less where
 * bytes are so short that the QP alone does not save enough. */
static int rounding(const struct coder *c, bool intra)
{
    bool coarse = c->qp >= 44;
    return intra ? coarse ? 160 : 200 : coarse ? 110 : 130;
}

static void set_quantizer(struct coder *c)
{
    static const int forward[6] = {26214, 23302, 20560, 18396, 16384, 14564};
    static const int inverse[6] = {40, 45, 51, 57, 64, 72}; /* levelScale, 8.6.3 */
    int q[2] = {c->qp, chroma_qp(c, c->qp)};
    for (int i = 0; i < 2; i++) {
        c->quant.forward[i] = forward[q[i] % 6];
        c->quant.scale[i] = 16 * inverse[q[i] % 6] << (q[i] / 6);
        c->quant.per[i] = q[i] / 6;
    }
    for (int chroma = 0; chroma < 2; chroma++)
        for (int intra = 0; intra < 2; intra++) {
            int shift = 19 + c->quant.per[chroma];
            c->quant.four[chroma][intra] =
                (struct quant4){c->quant.forward[chroma], rounding(c, intra) << (shift - 9), shift,
                                c->quant.scale[chroma], c->lambda};
        }
}

void coder_set_qp(struct coder *c, int qp)
{
    /* 0.57 · 2^((QP - 12) / 3), · 16 / 16: the squared error that a bit may cost. */
    static const uint16_t third[3] = {256, 323, 406};
    int e = qp / 3 - 4;
    uint64_t l = (uint64_t)third[qp % 3] * 146; /* 0.57 in 1/256 of 1/256 */
    l = e >= 0 ? l << e : l >> -e;
    c->lambda = (uint32_t)(l >> 8);             /* 1/256 */
    c->root_lambda = 4;
    while (c->root_lambda * c->root_lambda < c->lambda)
        c->root_lambda += 1 + c->root_lambda / 8;
    c->qp = qp;
    set_quantizer(c);
}

/* How many luma samples of a block's further edge are there: the neighbour of the same size beyond
 * its corner is coded before it as a whole, or is not; of it, what the picture has. */
static int beyond(const struct coder *c, int x, int y, int xn, int yn, int room, int edge)
{
    if (room <= 0 || !coder_available(c, x, y, xn, yn))
        return 0;
    return room < edge ? room : edge;
}

void cu_edges(const struct coder *c, int plane, int x, int y, int n, struct intra_edges *e)
{
    int s = plane ? c->g->cshift : 0, lx = x << s, ly = y << s, edge = n << s;
    struct intra_available a = {0, 0};
    if (lx > 0)
        a.left = (edge + beyond(c, lx, ly, lx - 1, ly + edge, c->g->ch - ly - edge, edge)) >> s;
    if (ly > 0)
        a.top = (edge + beyond(c, lx, ly, lx + edge, ly - 1, c->g->cw - lx - edge, edge)) >> s;
    intra_gather(e, frame_at(&c->rec, plane, x, y), c->rec.stride[plane], n, &a);
}

struct coded_block {
    int16_t level[CU_MAX * CU_MAX];
    int16_t res[CU_MAX * CU_MAX]; /* as the decoder will have it */
    int nonzero;
};

static int quantize(const struct coder *c, const int16_t *coef, int16_t *level, int log2,
                    bool chroma, bool intra)
{
    int shift = 14 + c->quant.per[chroma] + 7 - log2;
    int offset = rounding(c, intra) << (shift - 9);
    return c->k->quantize(coef, level, 1 << (2 * log2), c->quant.forward[chroma], offset, shift);
}

/* One past the last row and column that hold a level. */
static void extent(const int16_t *level, int n, int *rows, int *cols)
{
    *rows = *cols = 0;
    for (int y = 0; y < n; y++) {
        int last = 0;
        for (int x = 0; x < n; x += 4) {
            uint64_t four;
            memcpy(&four, level + y * n + x, 8);
            if (four)
                last = x + 4;
        }
        if (last) {
            *rows = y + 1;
            if (last > *cols)
                *cols = last;
        }
    }
}

static void transform_block(const struct coder *c, const int16_t *res, int log2, bool chroma,
                            bool intra, struct coded_block *out)
{
    int16_t coef[CU_MAX * CU_MAX];
    c->k->dct[log2 - 2](res, coef);
    out->nonzero = quantize(c, coef, out->level, log2, chroma, intra);
    if (!out->nonzero)
        return;
    int rows, cols;
    extent(out->level, 1 << log2, &rows, &cols);
    c->k->dequantize(out->level, coef, 1 << (2 * log2), c->quant.scale[chroma], log2 + 3);
    c->k->idct[log2 - 2](coef, out->res, rows, cols);
}

/* Lossless: the residual itself is the level (transquant bypass). */
static bool code_exactly(struct coder *c, int plane, int x, int y, int n, const int16_t *res,
                         int16_t *level)
{
    memcpy(level, res, (size_t)(n * n) * sizeof res[0]);
    for (int j = 0; j < n; j++)
        memcpy(frame_at(&c->rec, plane, x, y + j), frame_at(&c->src, plane, x, y + j), (size_t)n);
    return true;
}

static bool code_four(struct coder *c, bool chroma, bool intra, const uint8_t *src, int src_stride,
                      uint8_t *rec, int stride, int16_t *level, bool *tskip)
{
    struct coded4 out;
    c->k->code4(src, src_stride, rec, stride, intra && !chroma, &c->quant.four[chroma][intra], &out);
    if (!out.nonzero)
        return false;
    memcpy(level, out.level, sizeof out.level);
    *tskip = out.skip;
    return true;
}

/* The reconstruction holds the prediction; adds the residual to it. Returns whether there is one. */
static bool code_block(struct coder *c, struct cu *cu, int plane, int x, int y, int log2,
                       int16_t *level, bool *tskip)
{
    int n = 1 << log2, stride = c->rec.stride[plane];
    int16_t res[CU_MAX * CU_MAX];
    uint8_t *rec = frame_at(&c->rec, plane, x, y);
    const uint8_t *src = frame_at(&c->src, plane, x, y);
    *tskip = false;
    if (log2 == 2 && !cu->lossless)
        return code_four(c, plane > 0, !cu->inter, src, c->src.stride[plane], rec, stride, level,
                         tskip);
    if (c->k->equal(src, c->src.stride[plane], rec, stride, n, n))
        return false;
    c->k->subtract(src, c->src.stride[plane], rec, stride, res, n);
    if (cu->lossless)
        return code_exactly(c, plane, x, y, n, res, level);
    struct coded_block coded;
    transform_block(c, res, log2, plane > 0, !cu->inter, &coded);
    if (!coded.nonzero)
        return false;
    memcpy(level, coded.level, (size_t)(n * n) * sizeof level[0]);
    c->k->add(rec, stride, coded.res, rec, stride, n);
    return true;
}

/* How many transform blocks a plane has, and their size: chroma of an 8x8 unit of 4:2:0 has one
 * of 4x4 even when luma has four. */
static int blocks_of(const struct coder *c, const struct cu *cu, int plane, int *log2)
{
    *log2 = cu->log2 - (plane ? c->g->cshift : 0);
    if (!cu->split || (plane && c->g->cshift && cu->log2 == 3))
        return 1;
    --*log2;
    return 4;
}

/* What is coded before an 8x8 unit, around it; the picture has whole ones alone. */
struct around {
    bool left, top, below_left, above_right;
};

static struct around look_around(const struct coder *c, const struct cu *cu)
{
    int x = cu->x, y = cu->y;
    return (struct around){x > 0, y > 0, coder_available(c, x, y, x - 1, y + 8),
                           coder_available(c, x, y, x + 8, y - 1)};
}

/* The same as cu_edges for one of four parts, or for all of a plane's block (of four: false). */
static struct intra_available available_around(const struct around *a, bool of_four, int part,
                                               int n)
{
    bool upper = !of_four || part < 2, left = !of_four || !(part & 1);
    struct intra_available there = {n, n};
    if (left)
        there.left = !a->left ? 0 : of_four && part == 0 ? 2 * n : n << a->below_left;
    if (upper)
        there.top = !a->top ? 0 : of_four && part == 0 ? 2 * n : n << a->above_right;
    else if (part == 2)
        there.top = 2 * n;
    return there;
}

/* Nothing but one colour in a 4x4 block and in all that may be around it: every mode predicts it
 * exactly. lines: that the plane has from the block on. */
static bool is_more_of_it(const uint8_t *src, ptrdiff_t ss, const uint8_t *rec, ptrdiff_t sr,
                          int lines)
{
    uint32_t row[4], colour = src[0] * UINT32_C(0x01010101);
    uint64_t above;
    for (int y = 0; y < 4; y++)
        memcpy(&row[y], src + y * ss, 4);
    memcpy(&above, rec - sr, 8);
    if ((row[0] ^ colour) | (row[1] ^ colour) | (row[2] ^ colour) | (row[3] ^ colour) ||
        above != ((uint64_t)colour << 32 | colour))
        return false;
    int differ = rec[-sr - 1] ^ src[0];
    for (int y = 0; y < (lines < 8 ? lines : 8); y++)
        differ |= rec[y * sr - 1] ^ src[0];
    return !differ;
}

/* The prediction of a block by that, if it is such a one. */
static bool predict_more(struct coder *c, struct cu *cu, const struct around *around, int plane,
                         int part, int x, int y)
{
    int s = plane ? c->g->cshift : 0;
    uint8_t *rec = frame_at(&c->rec, plane, x, y);
    const uint8_t *src = frame_at(&c->src, plane, x, y);
    if (!(around->left || part & 1) || !(around->top || part & 2) ||
        !is_more_of_it(src, c->src.stride[plane], rec, c->rec.stride[plane], (c->g->ch >> s) - y))
        return false;
    for (int j = 0; j < 4; j++)
        memset(rec + (ptrdiff_t)j * c->rec.stride[plane], src[0], 4);
    if (cu->nxn && plane == 0)
        mode_choose_any(c, cu, part);
    return true;
}

/* around: of an 8x8 unit. */
static void predict_intra(struct coder *c, struct cu *cu, const struct around *around, int plane,
                          int i, int x, int y, int log2)
{
    struct intra_edges e, smooth;
    bool small_chroma = plane && c->g->cshift;
    if (cu->log2 == 3) {
        struct intra_available a =
            available_around(around, cu->split && !small_chroma, i, 1 << log2);
        intra_gather(&e, frame_at(&c->rec, plane, x, y), c->rec.stride[plane], 1 << log2, &a);
    } else {
        cu_edges(c, plane, x, y, 1 << log2, &e);
    }
    if (cu->nxn && plane == 0 && c->thorough)
        mode_choose_coded(c, cu, i, &e);
    else if (cu->nxn && plane == 0)
        mode_choose(c, cu, i, 2, false, &e);
    int mode = cu->mode[small_chroma ? 0 : i]; /* chroma: derived, table 8-2 */
    bool smoothed = !small_chroma && intra_smoothed(mode, 1 << log2);
    if (smoothed)
        intra_smooth(&smooth, &e, 1 << log2);
    intra_predict(frame_at(&c->rec, plane, x, y), c->rec.stride[plane], 1 << log2, mode,
                  smoothed ? &smooth : &e, plane == 0);
}

static void code_planes(struct coder *c, struct cu *cu)
{
    struct around around = {0};
    if (!cu->inter && cu->log2 == 3)
        around = look_around(c, cu);
    if (cu->nxn)
        mode_look_around(c, cu);
    for (int plane = 0; plane < 3; plane++) {
        int log2, n = blocks_of(c, cu, plane, &log2), s = plane ? c->g->cshift : 0;
        cu->cbf[plane] = cu->tskip[plane] = 0;
        for (int i = 0; i < n; i++) {
            int x = (cu->x >> s) + ((i & 1) << log2), y = (cu->y >> s) + ((i >> 1) << log2);
            if (!cu->inter && log2 == 2 && predict_more(c, cu, &around, plane, i, x, y))
                continue;
            if (!cu->inter)
                predict_intra(c, cu, &around, plane, i, x, y, log2);
            bool tskip;
            if (code_block(c, cu, plane, x, y, log2, cu->level[plane] + (i << (2 * log2)), &tskip))
                cu->cbf[plane] |= (uint8_t)(1 << i);
            cu->tskip[plane] |= (uint8_t)(tskip << i);
        }
    }
}

static void predict_part(struct coder *c, const struct cu *cu, int index)
{
    struct prediction_unit u = inter_part(cu, index);
    for (int plane = 0; plane < 3; plane++) {
        int s = plane ? c->g->cshift : 0;
        inter_predict(c, plane, u.x >> s, u.y >> s, u.w >> s, u.h >> s, index ? cu->second : cu->mv,
                      frame_at(&c->rec, plane, u.x >> s, u.y >> s), c->rec.stride[plane]);
    }
}

void cu_predict_inter(struct coder *c, const struct cu *cu)
{
    predict_part(c, cu, 0);
    if (cu->parts != PARTS_ONE)
        predict_part(c, cu, 1);
}

void cu_code_residual(struct coder *c, struct cu *cu)
{
    code_planes(c, cu);
}

void cu_code_inter(struct coder *c, struct cu *cu)
{
    cu_predict_inter(c, cu);
    code_planes(c, cu);
}

void cu_code_intra(struct coder *c, struct cu *cu)
{
    code_planes(c, cu);
}
