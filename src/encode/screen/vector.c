/* vector: which vectors may suit a unit, and which does. */
#include "encode/screen/coder.h"

#include <string.h>

/* In place, what a vector other than 0 points to may be written already, unless it is kept. */
static bool is_readable(const struct coder *c, const struct cu *cu, struct mv mv)
{
    if (c->ref.plane[0] != c->rec.plane[0] || mv.ref || (!mv.x && !mv.y))
        return true;
    if (!c->dirty)
        return false;
    /* Half samples of chroma reach two of luma further. */
    int half = c->g->cshift && ((mv.x | mv.y) & 4) ? 4 : 0, n = 1 << cu->log2;
    int x = cu->x + (mv.x >> 2), y = cu->y + (mv.y >> 2);
    if (x < 0 || y < 0 || x + n > c->g->cw || y + n > c->g->ch)
        return false;
    int x1 = x + n - 1 + half < c->g->cw ? x + n - 1 + half : c->g->cw - 1;
    int y1 = y + n - 1 + half < c->g->ch ? y + n - 1 + half : c->g->ch - 1;
    for (int j = (y < half ? 0 : y - half) >> 3; j <= y1 >> 3; j++)
        for (int i = (x < half ? 0 : x - half) >> 3; i <= x1 >> 3; i++)
            if (c->dirty[j * c->g->w8 + i])
                return false;
    return true;
}

uint32_t vector_sad(const struct coder *c, const struct cu *cu, struct mv mv)
{
    uint8_t pred[CU_MAX * CU_MAX];
    int n = 1 << cu->log2, x = cu->x + (mv.x >> 2), y = cu->y + (mv.y >> 2), stride = n;
    const uint8_t *p = pred;
    if (!mv.ref && x >= 0 && y >= 0 && x + n <= c->g->cw && y + n <= c->g->ch) {
        p = frame_at(&c->ref, 0, x, y);
        stride = c->ref.stride[0];
    } else {
        inter_predict(c, 0, cu->x, cu->y, n, n, mv, pred, n);
    }
    return c->k->sad(frame_at(&c->src, 0, cu->x, cu->y), c->src.stride[0], p, stride, n, n);
}

struct mv vector_found(const struct coder *c, int x, int y, int n)
{
    if (!c->found)
        return MV_NONE;
    const struct mv *first = &c->found[(y >> 3) * c->g->w8 + (x >> 3)];
    for (int j = 0; j < n >> 3; j++)
        for (int i = 0; i < n >> 3; i++)
            if (!mv_same(first[j * c->g->w8 + i], *first))
                return MV_NONE;
    return *first;
}

/* Where blocks that are coded later were found: a part of this one may be as beside them. */
static int found_beside(const struct coder *c, const struct cu *cu, struct mv *list)
{
    int n = 0, bx = (cu->x >> 3) + (1 << (cu->log2 - 3)), by = (cu->y >> 3) + (1 << (cu->log2 - 3));
    if (c->found && bx < c->g->w8)
        n += (list[n] = c->found[(cu->y >> 3) * c->g->w8 + bx]).ref == 0;
    if (c->found && by < c->g->h8)
        n += (list[n] = c->found[by * c->g->w8 + (cu->x >> 3)]).ref == 0;
    return n;
}

int vector_candidates(const struct coder *c, const struct cu *cu, const struct mv merge[5], int n_merge,
                      struct mv list[VECTORS_MOST])
{
    struct mv all[VECTORS_MOST];
    int count = n_merge, n = 0;
    memcpy(all, merge, (size_t)n_merge * sizeof merge[0]);
    all[count++] = (struct mv){0};
    for (int i = 0; i < c->n_vectors; i++)
        all[count++] = c->vectors[i];
    count += found_beside(c, cu, all + count);
    for (int i = 0; i < count; i++) {
        bool seen = false;
        for (int j = 0; j < n && !seen; j++)
            seen = mv_same(all[i], list[j]);
        if (!seen && is_readable(c, cu, all[i]))
            list[n++] = all[i];
    }
    return n;
}

struct mv vector_best(const struct coder *c, const struct cu *cu, uint32_t *best_cost)
{
    struct mv list[VECTORS_MOST], best = {0}, merge[5], mvp[2];
    struct prediction_unit u = inter_part(cu, 0);
    int n_merge = inter_merge_list(c, &u, merge), count;
    uint32_t lambda = mode_lambda(c);
    inter_mvp_list(c, &u, 0, mvp);
    count = vector_candidates(c, cu, merge, n_merge, list);
    *best_cost = UINT32_MAX;
    for (int i = 0; i < count; i++) {
        uint32_t cost = 16 * vector_sad(c, cu, list[i]) +
                        (inter_vector_cost(merge, mvp, list[i]) * lambda >> 4);
        if (cost < *best_cost) {
            *best_cost = cost;
            best = list[i];
        }
    }
    return best;
}
