/* The screen encoder's prediction and reconstruction against the formulas of H.265 (formulas.c):
 * intra blocks of every mode, size and neighbourhood, what units become with their residuals, and
 * what vectors are predicted from. */
#include "encode/screen/coder.h"
#include "formulas.h"
#include "rig.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

/* ------------------------------------------------------------------ intra, block by block */

/* Every run of neighbours that there can be: in steps of two samples (4x4 blocks of 4:2:0's chroma
 * are the finest), of each side none, or from n on. */
static void test_intra_edges(void **state)
{
    (void)state;
    enum { STRIDE = 160 };
    static uint8_t field[STRIDE * 160];
    uint8_t want[32 * 32], got[32 * 32];
    rng_seed(3);
    for (int n = 4; n <= 32; n *= 2)
        for (int left = 0; left <= 2 * n; left = left ? left + 2 : n)
            for (int top = 0; top <= 2 * n; top = top ? top + 2 : n) {
                bool sharp = rng(2); /* hard edges, or any samples */
                for (size_t i = 0; i < sizeof field; i++)
                    field[i] = (uint8_t)(sharp ? rng(2) * 255 : rng(256));
                uint8_t *p = field + 70 * STRIDE + 70;
                struct border b = {0};
                for (int i = 0; i < 2 * n; i++) {
                    b.left_there[i + 1] = i < left;
                    b.top_there[i + 1] = i < top;
                    b.left[i + 1] = p[i * STRIDE - 1];
                    b.top[i + 1] = p[i - STRIDE];
                }
                b.left_there[0] = left && top;
                b.left[0] = p[-STRIDE - 1];
                formula_substitute(&b, n);
                struct intra_edges e, smooth;
                struct intra_available a = {left, top};
                intra_gather(&e, p, STRIDE, n, &a);
                for (int mode = 0; mode < INTRA_MODES; mode++)
                    for (int kind = 0; kind < 3; kind++) { /* luma, chroma of 4:4:4 and of 4:2:0 */
                        bool smoothed = kind < 2 && intra_smoothed(mode, n);
                        if (smoothed)
                            intra_smooth(&smooth, &e, n);
                        intra_predict(got, n, n, mode, smoothed ? &smooth : &e, kind == 0);
                        formula_intra(want, n, mode, kind, kind < 2, &b);
                        if (memcmp(got, want, (size_t)(n * n)))
                            fail_msg("size %d, mode %d, plane %d, %d to the left, %d above", n, mode,
                                     kind, left, top);
                    }
            }
}

/* ------------------------------------------------------------------ units in a picture */

struct field {
    struct geometry g;
    struct coder c;
    struct picture *src, *ref, *rec, *want; /* own */
    struct frame expected;
    struct block_info *info; /* owns */
};

static struct frame frame_of(const struct picture *p)
{
    return (struct frame){{p->plane[0], p->plane[1], p->plane[2]},
                          {p->stride[0], p->stride[1], p->stride[2]}};
}

static void field_open(struct field *f, enum pix_fmt fmt, int width, int height)
{
    *f = (struct field){.g = {.fmt = fmt, .width = width, .height = height, .cw = width, .ch = height,
                              .w8 = width / 8, .h8 = height / 8, .ctb_cols = (width + 63) / 64,
                              .ctb_rows = (height + 63) / 64, .cshift = fmt == PIX_I420}};
    f->src = picture_new(fmt, width, height);
    f->ref = picture_new(fmt, width, height);
    f->rec = picture_new(fmt, width, height);
    f->want = picture_new(fmt, width, height);
    f->info = calloc((size_t)(f->g.w8 * f->g.h8), sizeof f->info[0]);
    assert_true(f->src && f->ref && f->rec && f->want && f->info);
    f->c.g = &f->g;
    f->c.k = kernels_best();
    f->c.info = f->info;
    f->c.src = frame_of(f->src);
    f->c.ref = frame_of(f->ref);
    f->c.rec = frame_of(f->rec);
    f->c.n_refs = 1;
    f->expected = frame_of(f->want);
}

static void field_close(struct field *f)
{
    picture_unref(&f->src);
    picture_unref(&f->ref);
    picture_unref(&f->rec);
    picture_unref(&f->want);
    free(f->info);
}

static void copy(struct picture *to, const struct picture *from)
{
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < picture_rows(to->fmt, to->height, i); y++)
            memcpy(to->plane[i] + (ptrdiff_t)y * to->stride[i],
                   from->plane[i] + (ptrdiff_t)y * from->stride[i],
                   (size_t)picture_row_bytes(to->fmt, to->width, i));
}

static void add(const struct frame *f, int plane, int x, int y, int n, const uint8_t *pred,
                const int16_t *res)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            int v = pred[j * n + i] + (res ? res[j * n + i] : 0);
            *frame_at(f, plane, x + i, y + j) = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
}

/* What a decoder makes of one plane of the unit: 8.4.4.1 and 8.6. */
static void reconstruct(const struct field *f, const struct cu *cu, int plane)
{
    const struct geometry *g = &f->g;
    int s = plane ? g->cshift : 0, log2 = cu->log2 - s, blocks = 1;
    if (cu->split && !(s && cu->log2 == 3)) {
        log2--;
        blocks = 4;
    }
    int n = 1 << log2;
    uint8_t pred[32 * 32];
    int16_t res[32 * 32];
    for (int i = 0; i < blocks; i++) {
        int x = (cu->x >> s) + (i & 1) * n, y = (cu->y >> s) + (i >> 1) * n;
        if (!cu->inter)
            formula_intra_at(pred, g, &f->expected, plane, x, y, n, cu->mode[s ? 0 : i]);
        for (int k = 0; cu->inter && k < n * n; k++) {
            int dx = x + k % n - (cu->x >> s), dy = y + k / n - (cu->y >> s), half = 4 >> s;
            bool second = cu->parts == PARTS_ROWS ? dy >= half
                                                  : cu->parts == PARTS_COLUMNS && dx >= half;
            struct mv mv = second ? cu->second : cu->mv;
            pred[k] = (uint8_t)formula_inter(g, &f->c.ref, plane, x + k % n, y + k / n, mv.x, mv.y);
        }
        bool coded = cu->cbf[plane] >> i & 1;
        const int16_t *level = cu->level[plane] + i * n * n;
        if (coded && !cu->lossless)
            formula_residual(level, res, log2,
                             formula_qp(g, plane, f->c.qp, SCREEN_CHROMA_QP_OFFSET),
                             cu->tskip[plane] >> i & 1, n == 4 && plane == 0 && !cu->inter);
        add(&f->expected, plane, x, y, n, pred, !coded ? NULL : cu->lossless ? level : res);
    }
}

static void check_unit(struct field *f, struct cu *cu)
{
    copy(f->want, f->rec);
    f->c.lossless = cu->lossless;
    if (cu->inter)
        cu_code_inter(&f->c, cu);
    else
        cu_code_intra(&f->c, cu);
    for (int plane = 0; plane < 3; plane++)
        reconstruct(f, cu, plane);
    if (!same(f->rec, f->want))
        fail_msg("%dx%d of format %d at %d,%d, qp %d, mode %d, vector %d,%d%s%s%s", 1 << cu->log2,
                 1 << cu->log2, f->g.fmt, cu->x, cu->y, f->c.qp, cu->mode[0], cu->mv.x, cu->mv.y,
                 cu->inter ? ", inter" : "", cu->nxn ? ", NxN" : "", cu->lossless ? ", lossless" : "");
    if (cu->lossless)
        assert_true(f->c.k->equal(frame_at(&f->c.src, 0, cu->x, cu->y), f->c.src.stride[0],
                                  frame_at(&f->c.rec, 0, cu->x, cu->y), f->c.rec.stride[0],
                                  1 << cu->log2, 1 << cu->log2));
}

/* Units of every size all over a picture whose last tree blocks are cut: so each availability
 * that there is comes up, in all planes. */
static void test_units(void **state)
{
    (void)state;
    rng_seed(4);
    static struct cu cu;
    for (int fmt = 0; fmt < 2; fmt++) {
        struct field f;
        field_open(&f, fmt ? PIX_I444 : PIX_I420, 152, 136);
        struct rect all = {0, 0, 152, 136};
        for (int round = 0; round < 40; round++) {
            paint(f.src, all, (enum paint)(round % PAINT_KINDS));
            paint(f.rec, all, (enum paint)rng(PAINT_KINDS));
            paint(f.ref, all, (enum paint)rng(PAINT_KINDS));
            for (int k = 0; k < 4; k++) {
                paint(f.src, random_rect(f.src), (enum paint)rng(PAINT_KINDS));
                paint(f.rec, random_rect(f.rec), PAINT_FLAT);
            }
            for (int i = 0; i < 60; i++) {
                int log2 = 3 + (int)rng(3), n = 1 << log2;
                coder_set_qp(&f.c, (int)rng(52));
                cu = (struct cu){.log2 = log2, .x = (int)rng((uint32_t)(152 / n)) * n,
                                 .y = (int)rng((uint32_t)(136 / n)) * n, .lossless = rng(5) == 0,
                                 .inter = rng(4) == 0};
                cu.nxn = cu.split = !cu.inter && log2 == 3 && rng(2);
                memset(cu.mode, (int)rng(INTRA_MODES), sizeof cu.mode);
                cu.parts = cu.inter && log2 == 3 ? (enum parts)rng(3) : PARTS_ONE;
                if (cu.inter) { /* whole samples, also far outside */
                    cu.mv = (struct mv){(int16_t)(4 * ((int)rng(401) - 200)),
                                        (int16_t)(4 * ((int)rng(401) - 200)), 0};
                    cu.second = (struct mv){(int16_t)(4 * ((int)rng(401) - 200)),
                                            (int16_t)(4 * ((int)rng(401) - 200)), 0};
                }
                check_unit(&f, &cu);
            }
        }
        field_close(&f);
    }
}

/* ------------------------------------------------------------------ vectors */

/* A prediction block (xPb, yPb, nPbW, nPbH) of the coding block at (xCb, yCb). */
struct pb {
    int xc, yc, nc, x, y, w, h, index;
    struct mv first; /* of the first half, for the second */
};

static const struct mv *formula_neighbour(const struct field *f, const struct pb *p, int xn, int yn)
{
    if (p->xc <= xn && xn < p->xc + p->nc && p->yc <= yn && yn < p->yc + p->nc)
        return &p->first; /* 6.4.2: sameCb, never PART_NxN */
    if (!formula_available(&f->g, p->x, p->y, xn, yn))
        return NULL;
    const struct block_info *b = &f->info[yn / 8 * f->g.w8 + xn / 8];
    bool second = b->parts == PARTS_ROWS ? yn % 8 >= 4 : b->parts == PARTS_COLUMNS && xn % 8 >= 4;
    return !b->inter ? NULL : second ? &b->second : &b->mv;
}

static bool same_motion(const struct mv *a, const struct mv *b)
{
    return a && b && a->x == b->x && a->y == b->y && a->ref == b->ref;
}

/* 8.5.3.2.2, with 8.5.3.2.3 (spatial) and 8.5.3.2.5 (zero) alone: P slices without temporal ones. */
static void formula_merge(const struct field *f, const struct pb *p, struct mv list[5])
{
    const struct mv *a1 = formula_neighbour(f, p, p->x - 1, p->y + p->h - 1);
    const struct mv *b1 = formula_neighbour(f, p, p->x + p->w - 1, p->y - 1);
    const struct mv *b0 = formula_neighbour(f, p, p->x + p->w, p->y - 1);
    const struct mv *a0 = formula_neighbour(f, p, p->x - 1, p->y + p->h);
    const struct mv *b2 = formula_neighbour(f, p, p->x - 1, p->y - 1);
    if (p->index == 1 && p->w < p->nc) /* PART_Nx2N */
        a1 = NULL;
    if (p->index == 1 && p->h < p->nc) /* PART_2NxN */
        b1 = NULL;
    bool there[5] = {a1 != NULL, b1 && !same_motion(a1, b1), b0 && !same_motion(b1, b0),
                     a0 && !same_motion(a1, a0), b2 && !same_motion(a1, b2) && !same_motion(b1, b2)};
    if (there[0] + there[1] + there[2] + there[3] == 4)
        there[4] = false;
    const struct mv *from[5] = {a1, b1, b0, a0, b2};
    int count = 0;
    for (int i = 0; i < 5; i++)
        if (there[i])
            list[count++] = *from[i];
    for (int zero = 0; count < 5; zero++)
        list[count++] = (struct mv){0, 0, (uint8_t)(zero < f->c.n_refs ? zero : 0)};
}

static bool long_term(const struct field *f, int ref)
{
    return ref > 0 || f->c.first_long;
}

/* One of several neighbours, first the same picture, or else one of the same kind. */
static const struct mv *formula_spatial(const struct field *f, const struct mv *const *k, int n,
                                        int ref, bool same_picture)
{
    for (int i = 0; i < n; i++)
        if (k[i] && (same_picture ? k[i]->ref == ref
                                  : long_term(f, k[i]->ref) == long_term(f, ref)))
            return k[i];
    return NULL;
}

/* 8.5.3.2.6 and 8.5.3.2.7. Scaling never happens: reference 0 is the only short-term one. */
static void formula_mvp(const struct field *f, const struct pb *p, int ref, struct mv list[2])
{
    const struct mv *a[2] = {formula_neighbour(f, p, p->x - 1, p->y + p->h),
                             formula_neighbour(f, p, p->x - 1, p->y + p->h - 1)};
    const struct mv *b[3] = {formula_neighbour(f, p, p->x + p->w, p->y - 1),
                             formula_neighbour(f, p, p->x + p->w - 1, p->y - 1),
                             formula_neighbour(f, p, p->x - 1, p->y - 1)};
    bool is_scaled = a[0] || a[1];
    const struct mv *lxa = formula_spatial(f, a, 2, ref, true);
    if (!lxa)
        lxa = formula_spatial(f, a, 2, ref, false);
    const struct mv *lxb = formula_spatial(f, b, 3, ref, true);
    if (!is_scaled && lxb)
        lxa = lxb;
    if (!is_scaled)
        lxb = formula_spatial(f, b, 3, ref, false);
    int count = 0;
    if (lxa)
        list[count++] = *lxa;
    if (lxb && !(lxa && lxa->x == lxb->x && lxa->y == lxb->y))
        list[count++] = *lxb;
    while (count < 2)
        list[count++] = (struct mv){0, 0, 0};
}

static struct mv random_vector(const struct field *f, int spread)
{
    uint32_t ref = rng(2) ? 0 : rng((uint32_t)f->c.n_refs);
    return (struct mv){(int16_t)(4 * rng((uint32_t)spread)), (int16_t)(4 * rng((uint32_t)spread)),
                       (uint8_t)ref};
}

/* A unit, or a half of one of 8x8. */
static void check_vectors(const struct field *f, const struct cu *cu, int index)
{
    struct prediction_unit u = inter_part(cu, index);
    int n = 1 << cu->log2, w = cu->parts == PARTS_COLUMNS ? n / 2 : n;
    int h = cu->parts == PARTS_ROWS ? n / 2 : n;
    struct pb p = {cu->x, cu->y, n, cu->x + (w < n) * index * w, cu->y + (h < n) * index * h, w, h,
                   index, cu->mv};
    struct mv want[5], got[5] = {0};
    formula_merge(f, &p, want);
    inter_merge_list(&f->c, &u, got);
    for (int i = 0; i < SCREEN_MERGE_CANDIDATES; i++)
        if (!mv_same(got[i], want[i]))
            fail_msg("merge candidate %d of %d at %d,%d, half %d of %d", i, n, cu->x, cu->y, index,
                     cu->parts);
    int ref = (int)rng((uint32_t)f->c.n_refs);
    formula_mvp(f, &p, ref, want);
    inter_mvp_list(&f->c, &u, ref, got);
    for (int i = 0; i < 2; i++)
        if (got[i].x != want[i].x || got[i].y != want[i].y)
            fail_msg("predictor %d of %d at %d,%d, half %d of %d", i, n, cu->x, cu->y, index,
                     cu->parts);
}

static void test_vectors(void **state)
{
    (void)state;
    rng_seed(6);
    struct field f;
    static struct cu cu;
    field_open(&f, PIX_I420, 200, 152);
    for (int round = 0; round < 300; round++) {
        int spread = 1 + (int)rng(3);
        f.c.n_refs = 1 + (int)rng(REFS_MAX);
        f.c.first_long = rng(4) == 0;
        for (int i = 0; i < f.g.w8 * f.g.h8; i++)
            f.info[i] = (struct block_info){.inter = rng(5) > 0, .parts = (uint8_t)rng(3),
                                            .mv = random_vector(&f, spread),
                                            .second = random_vector(&f, spread)};
        for (int n = 8; n <= 64; n *= 2)
            for (int y = 0; y + n <= 152; y += n)
                for (int x = 0; x + n <= 200; x += n)
                    for (int parts = 0; parts < (n == 8 ? 3 : 1); parts++) {
                        cu = (struct cu){.x = x, .y = y, .log2 = __builtin_ctz((unsigned)n),
                                         .parts = (enum parts)parts, .mv = random_vector(&f, spread)};
                        for (int index = 0; index < 1 + (parts > 0); index++)
                            check_vectors(&f, &cu, index);
                    }
    }
    field_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intra_edges),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
