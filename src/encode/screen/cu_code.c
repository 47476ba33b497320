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

void coder_set_qp(struct coder *c, int qp)
{
    static const int forward[6] = {26214, 23302, 20560, 18396, 16384, 14564};
    static const int inverse[6] = {40, 45, 51, 57, 64, 72}; /* levelScale, 8.6.3 */
    /* 0.57 · 2^((QP - 12) / 3), · 16 / 16: the squared error that a bit may cost. */
    static const uint16_t third[3] = {256, 323, 406};
    c->qp = qp;
    int q[2] = {qp, chroma_qp(c, qp)};
    for (int i = 0; i < 2; i++) {
        c->quant.forward[i] = forward[q[i] % 6];
        c->quant.scale[i] = 16 * inverse[q[i] % 6] << (q[i] / 6);
        c->quant.per[i] = q[i] / 6;
    }
    int e = qp / 3 - 4;
    uint64_t l = (uint64_t)third[qp % 3] * 146; /* 0.57 in 1/256 of 1/256 */
    l = e >= 0 ? l << e : l >> -e;
    c->lambda = (uint32_t)(l >> 8);             /* 1/256 */
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

struct small_block {
    int16_t level[16], res[16];
    int nonzero;
};

static int quantize(const struct coder *c, const int16_t *coef, int16_t *level, int log2,
                    bool chroma, bool intra)
{
    int shift = 14 + c->quant.per[chroma] + 7 - log2;
    int offset = (intra ? 171 : 110) << (shift - 9);
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
    bool dst = intra && !chroma && log2 == 2;
    (dst ? c->k->dst4 : c->k->dct[log2 - 2])(res, coef);
    out->nonzero = quantize(c, coef, out->level, log2, chroma, intra);
    if (!out->nonzero)
        return;
    int rows, cols;
    extent(out->level, 1 << log2, &rows, &cols);
    c->k->dequantize(out->level, coef, 1 << (2 * log2), c->quant.scale[chroma], log2 + 3);
    if (dst)
        c->k->idst4(coef, out->res);
    else
        c->k->idct[log2 - 2](coef, out->res, rows, cols);
}

/* 8.6.4.2 with transform_skip_flag: the residual, times 128, shifted by 12. */
static void skip_block(const struct coder *c, const int16_t *res, bool chroma, bool intra,
                       struct small_block *out)
{
    int16_t coef[16];
    for (int i = 0; i < 16; i++)
        coef[i] = (int16_t)(res[i] * 32);
    out->nonzero = quantize(c, coef, out->level, 2, chroma, intra);
    if (!out->nonzero)
        return;
    c->k->dequantize(out->level, coef, 16, c->quant.scale[chroma], 5);
    for (int i = 0; i < 16; i++)
        out->res[i] = (int16_t)((coef[i] + 16) >> 5);
}

static uint64_t error_of(const int16_t *a, const int16_t *b, int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += (uint64_t)((a[i] - b[i]) * (a[i] - b[i]));
    return sum;
}

/* The reconstruction holds the prediction; adds the residual to it. Returns whether there is one. */
static bool code_block(struct coder *c, struct cu *cu, int plane, int x, int y, int log2,
                       int16_t *level, bool *tskip)
{
    int n = 1 << log2, count = n * n, stride = c->rec.stride[plane];
    int16_t res[CU_MAX * CU_MAX];
    uint8_t *rec = frame_at(&c->rec, plane, x, y);
    const uint8_t *src = frame_at(&c->src, plane, x, y);
    *tskip = false;
    if (c->k->equal(src, c->src.stride[plane], rec, stride, n, n))
        return false;
    c->k->subtract(src, c->src.stride[plane], rec, stride, res, n);
    if (cu->lossless) {
        memcpy(level, res, (size_t)count * sizeof res[0]);
        uint32_t cost = c->k->level_cost(level, count);
        cu->bits += cost;
        if (cost)
            for (int j = 0; j < n; j++)
                memcpy(rec + (ptrdiff_t)j * stride, src + (ptrdiff_t)j * c->src.stride[plane],
                       (size_t)n);
        return cost > 0;
    }
    struct coded_block best;
    transform_block(c, res, log2, plane > 0, !cu->inter, &best);
    if (log2 == 2 && (best.nonzero || plane == 0)) {
        static const int16_t zero[16];
        struct small_block other;
        skip_block(c, res, plane > 0, !cu->inter, &other);
        uint64_t a = error_of(res, best.nonzero ? best.res : zero, 16) * 4096 +
                     (uint64_t)c->k->level_cost(best.level, 16) * c->lambda;
        uint64_t b = error_of(res, other.nonzero ? other.res : zero, 16) * 4096 +
                     (uint64_t)c->k->level_cost(other.level, 16) * c->lambda;
        if (other.nonzero && b < a) {
            memcpy(best.level, other.level, sizeof other.level);
            memcpy(best.res, other.res, sizeof other.res);
            best.nonzero = other.nonzero;
            *tskip = true;
        }
    }
    if (best.nonzero) {
        memcpy(level, best.level, (size_t)count * sizeof level[0]);
        c->k->add(rec, stride, best.res, rec, stride, n);
        cu->bits += c->k->level_cost(level, count);
    }
    cu->distortion += c->k->sse(src, c->src.stride[plane], rec, stride, n, n);
    return best.nonzero > 0;
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

static void code_planes(struct coder *c, struct cu *cu)
{
    cu->distortion = 0;
    cu->bits = 0;
    for (int plane = 0; plane < 3; plane++) {
        int log2, n = blocks_of(c, cu, plane, &log2), s = plane ? c->g->cshift : 0;
        cu->cbf[plane] = cu->tskip[plane] = 0;
        for (int i = 0; i < n; i++) {
            int x = (cu->x >> s) + ((i & 1) << log2), y = (cu->y >> s) + ((i >> 1) << log2);
            if (!cu->inter) {
                int mode = cu->mode[plane && s ? 0 : i]; /* chroma: derived, table 8-2 */
                struct intra_edges e, smooth;
                cu_edges(c, plane, x, y, 1 << log2, &e);
                bool smoothed = (!plane || !s) && intra_smoothed(mode, 1 << log2);
                if (smoothed)
                    intra_smooth(&smooth, &e, 1 << log2);
                intra_predict(frame_at(&c->rec, plane, x, y), c->rec.stride[plane], 1 << log2, mode,
                              smoothed ? &smooth : &e, plane == 0);
            }
            bool tskip;
            if (code_block(c, cu, plane, x, y, log2, cu->level[plane] + (i << (2 * log2)), &tskip))
                cu->cbf[plane] |= (uint8_t)(1 << i);
            cu->tskip[plane] |= (uint8_t)(tskip << i);
        }
    }
}

void cu_code_inter(struct coder *c, struct cu *cu)
{
    for (int plane = 0; plane < 3; plane++) {
        int s = plane ? c->g->cshift : 0, n = 1 << (cu->log2 - s);
        inter_predict(c, plane, cu->x >> s, cu->y >> s, n, n, cu->mv,
                      frame_at(&c->rec, plane, cu->x >> s, cu->y >> s), c->rec.stride[plane]);
    }
    code_planes(c, cu);
}

/* Bits of the luma modes, about: 2 for a probable one, 6 for another. */
static uint32_t mode_bits(const struct coder *c, const struct cu *cu)
{
    uint32_t bits = 0;
    for (int i = 0; i < (cu->nxn ? 4 : 1); i++) {
        uint8_t list[3];
        cu_probable_modes(c, cu->x + (i & 1) * 4, cu->y + (i >> 1) * 4, cu, list);
        bool probable = cu->mode[i] == list[0] || cu->mode[i] == list[1] || cu->mode[i] == list[2];
        bits += probable ? 32 : 96;
    }
    return bits;
}

void cu_code_intra(struct coder *c, struct cu *cu)
{
    code_planes(c, cu);
    cu->bits += mode_bits(c, cu);
}

static int candidate_mode(const struct coder *c, int x, int y, int xn, int yn,
                          const struct cu *cu)
{
    bool inside = xn >= cu->x && yn >= cu->y; /* an earlier part of this unit */
    if (inside)
        return cu->mode[(xn - cu->x) / 4 + (yn - cu->y) / 4 * 2];
    if (!coder_available(c, x, y, xn, yn) || (yn < y && (yn >> 6) != (y >> 6)))
        return INTRA_DC;
    const struct block_info *b = coder_info(c, xn, yn);
    return b->inter ? INTRA_DC : b->mode[(xn >> 2 & 1) + (yn >> 2 & 1) * 2];
}

void cu_probable_modes(const struct coder *c, int x, int y, const struct cu *cu, uint8_t list[3])
{
    int a = candidate_mode(c, x, y, x - 1, y, cu), b = candidate_mode(c, x, y, x, y - 1, cu);
    list[0] = (uint8_t)a;
    list[1] = (uint8_t)b;
    if (a != b) {
        bool planar = a == INTRA_PLANAR || b == INTRA_PLANAR;
        list[2] = !planar ? INTRA_PLANAR
                          : a == INTRA_DC || b == INTRA_DC ? INTRA_VERTICAL : INTRA_DC;
    } else if (a < 2) {
        list[0] = INTRA_PLANAR;
        list[1] = INTRA_DC;
        list[2] = INTRA_VERTICAL;
    } else {
        list[1] = (uint8_t)(2 + (a + 29) % 32);
        list[2] = (uint8_t)(2 + (a - 2 + 1) % 32);
    }
}
