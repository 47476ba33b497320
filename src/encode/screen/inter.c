#include "encode/screen/coder.h"

#include <stdlib.h>
#include <string.h>

struct prediction_unit inter_part(const struct cu *cu, int index)
{
    int n = 1 << cu->log2;
    struct prediction_unit u = {cu, cu->x, cu->y, n, n, index};
    if (cu->parts == PARTS_ROWS)
        u.h = n / 2;
    else if (cu->parts == PARTS_COLUMNS)
        u.w = n / 2;
    u.x += index && cu->parts == PARTS_COLUMNS ? u.w : 0;
    u.y += index && cu->parts == PARTS_ROWS ? u.h : 0;
    return u;
}

/* 6.4.2: the vector at (xn, yn), if that is coded before and inter. */
static const struct mv *neighbour(const struct coder *c, const struct prediction_unit *u, int xn,
                                  int yn)
{
    int n = 1 << u->cu->log2;
    if (xn >= u->cu->x && yn >= u->cu->y && xn < u->cu->x + n && yn < u->cu->y + n)
        return &u->cu->mv; /* the second half asks for the first */
    if (!coder_available(c, u->x, u->y, xn, yn))
        return NULL;
    const struct block_info *b = coder_info(c, xn, yn);
    bool second = (b->parts == PARTS_ROWS && yn & 4) || (b->parts == PARTS_COLUMNS && xn & 4);
    return !b->inter ? NULL : second ? &b->second : &b->mv;
}

static bool repeats(const struct mv *a, const struct mv *b)
{
    return a && b && mv_same(*a, *b);
}

/* 8.5.3.2.3; the list is filled with zero vectors. The second half does not merge with the
 * first, as one unit would. */
int inter_merge_list(const struct coder *c, const struct prediction_unit *u, struct mv list[5])
{
    int x = u->x, y = u->y, w = u->w, h = u->h;
    const struct mv *a1 = neighbour(c, u, x - 1, y + h - 1);
    const struct mv *b1 = neighbour(c, u, x + w - 1, y - 1);
    const struct mv *b0 = neighbour(c, u, x + w, y - 1);
    const struct mv *a0 = neighbour(c, u, x - 1, y + h);
    const struct mv *b2 = neighbour(c, u, x - 1, y - 1);
    int count = 0;
    if (u->index && u->cu->parts == PARTS_COLUMNS)
        a1 = NULL;
    if (u->index && u->cu->parts == PARTS_ROWS)
        b1 = NULL;
    if (a1)
        list[count++] = *a1;
    if (b1 && !repeats(b1, a1))
        list[count++] = *b1;
    if (b0 && !repeats(b0, b1))
        list[count++] = *b0;
    if (a0 && !repeats(a0, a1))
        list[count++] = *a0;
    if (b2 && count < 4 && !repeats(b2, a1) && !repeats(b2, b1))
        list[count++] = *b2;
    for (int i = count, ref = 0; i < SCREEN_MERGE_CANDIDATES; i++, ref++) /* 8.5.3.2.5 */
        list[i] = (struct mv){0, 0, (uint8_t)(ref < c->n_refs ? ref : 0)};
    return count;
}

static bool is_long(const struct coder *c, int ref)
{
    return ref > 0 || c->first_long;
}

/* Of the neighbours that are there, the first that refers to the same picture; or, with `any`, to
 * one of the same kind. No vector is ever scaled: of the short-term ones there is one at most. */
static const struct mv *same_kind(const struct coder *c, const struct mv *const *nb, int n,
                                  int ref, bool any)
{
    for (int i = 0; i < n; i++)
        if (nb[i] && (any ? is_long(c, nb[i]->ref) == is_long(c, ref) : nb[i]->ref == ref))
            return nb[i];
    return NULL;
}

/* 8.5.3.2.6 and .7. */
void inter_mvp_list(const struct coder *c, const struct prediction_unit *u, int ref,
                    struct mv list[2])
{
    int x = u->x, y = u->y;
    const struct mv *below[2] = {neighbour(c, u, x - 1, y + u->h),
                                 neighbour(c, u, x - 1, y + u->h - 1)};
    const struct mv *above[3] = {neighbour(c, u, x + u->w, y - 1),
                                 neighbour(c, u, x + u->w - 1, y - 1),
                                 neighbour(c, u, x - 1, y - 1)};
    const struct mv *a = same_kind(c, below, 2, ref, false);
    if (!a)
        a = same_kind(c, below, 2, ref, true);
    const struct mv *b = same_kind(c, above, 3, ref, false);
    if (!below[0] && !below[1]) { /* isScaledFlagLX is 0 */
        a = b;
        b = same_kind(c, above, 3, ref, true);
    }
    int count = 0;
    if (a)
        list[count++] = *a;
    if (b && !(a && a->x == b->x && a->y == b->y))
        list[count++] = *b;
    for (; count < 2; count++)
        list[count] = (struct mv){0};
}

static int clip(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* The reference's samples at (x, y), which may lie outside: 8.5.3.3.3 repeats the edge. */
static void fetch(const struct coder *c, int plane, int x, int y, int w, int h, uint8_t *dst,
                  int stride)
{
    int s = plane ? c->g->cshift : 0, pw = c->g->cw >> s, ph = c->g->ch >> s;
    if (x >= 0 && y >= 0 && x + w <= pw && y + h <= ph) {
        const uint8_t *p = frame_at(&c->ref, plane, x, y);
        c->k->copy(p, c->ref.stride[plane], dst, stride, w, h);
        return;
    }
    for (int j = 0; j < h; j++) {
        const uint8_t *row = frame_at(&c->ref, plane, 0, clip(y + j, ph - 1));
        for (int i = 0; i < w; i++)
            dst[(ptrdiff_t)j * stride + i] = row[clip(x + i, pw - 1)];
    }
}

/* Chroma of 4:2:0 half a sample away, in x, y, or both. */
static void half_chroma(const struct coder *c, int plane, int x, int y, int w, int h, bool hx,
                        bool hy, uint8_t *dst, int stride)
{
    uint8_t in[(64 + 3) * (64 + 3)];
    int s = c->g->cshift, sp = c->ref.stride[plane];
    const uint8_t *p;
    if (x > 0 && y > 0 && x + w + 2 <= c->g->cw >> s && y + h + 2 <= c->g->ch >> s) {
        p = frame_at(&c->ref, plane, x, y);
    } else {
        sp = w + 3;
        fetch(c, plane, x - 1, y - 1, sp, h + 3, in, sp);
        p = in + sp + 1;
    }
    c->k->half(p, sp, dst, stride, w, h, hx, hy);
}

void inter_predict(const struct coder *c, int plane, int x, int y, int w, int h, struct mv mv,
                   uint8_t *dst, int stride)
{
    int s = plane ? c->g->cshift : 0;
    if (mv.ref) {
        dpb_predict(c->memory[mv.ref], c->g, plane, x, y, w, h, dst, stride);
        return;
    }
    int dx = mv.x >> (2 + s), dy = mv.y >> (2 + s); /* whole samples of this plane */
    bool hx = s && (mv.x >> 2 & 1), hy = s && (mv.y >> 2 & 1);
    if (hx || hy) {
        half_chroma(c, plane, x + dx, y + dy, w, h, hx, hy, dst, stride);
        return;
    }
    if (!dx && !dy && c->ref.plane[plane] == c->rec.plane[plane] &&
        dst == frame_at(&c->rec, plane, x, y))
        return; /* in place */
    fetch(c, plane, x + dx, y + dy, w, h, dst, stride);
}

uint32_t inter_mvd_cost(struct mv a, struct mv p)
{
    uint32_t cost = 0;
    int d[2] = {abs(a.x - p.x), abs(a.y - p.y)};
    for (int i = 0; i < 2; i++)
        cost += d[i] ? 16 * (3 + 2 * (31 - (uint32_t)__builtin_clz((unsigned)d[i]))) : 8;
    return cost;
}

uint32_t inter_vector_cost(const struct mv merge[5], const struct mv mvp[2], struct mv mv)
{
    for (int i = 0; i < SCREEN_MERGE_CANDIDATES; i++)
        if (mv_same(merge[i], mv))
            return 16 + 16 * (uint32_t)i;
    if (mv.ref)
        return 64 + 16 * (uint32_t)mv.ref;
    uint32_t a = inter_mvd_cost(mv, mvp[0]), b = inter_mvd_cost(mv, mvp[1]);
    return 32 + (a < b ? a : b);
}

static void code_part(const struct coder *c, const struct cu *cu, int index, struct mv mv,
                      struct vector_code *out)
{
    struct mv list[5];
    struct prediction_unit u = inter_part(cu, index);
    inter_merge_list(c, &u, list);
    out->merge = false;
    for (int i = 0; i < SCREEN_MERGE_CANDIDATES && !out->merge; i++)
        if (mv_same(list[i], mv)) {
            out->merge = true;
            out->merge_idx = i;
        }
    if (out->merge)
        return;
    inter_mvp_list(c, &u, mv.ref, list);
    out->mvp_idx = inter_mvd_cost(mv, list[1]) < inter_mvd_cost(mv, list[0]);
    struct mv p = list[out->mvp_idx];
    out->mvd = (struct mv){(int16_t)(mv.x - p.x), (int16_t)(mv.y - p.y), 0};
}

void inter_code_vector(const struct coder *c, struct cu *cu)
{
    code_part(c, cu, 0, cu->mv, &cu->vector[0]);
    if (cu->parts != PARTS_ONE)
        code_part(c, cu, 1, cu->second, &cu->vector[1]);
}
