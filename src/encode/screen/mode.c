/* mode: which intra mode suits a block. By absolute differences: what is on screens is predicted
 * exactly or not at all. */
#include "encode/screen/coder.h"

#include <string.h>

static uint32_t cost_of(uint32_t sad, int mode, const uint8_t list[3], uint32_t lambda)
{
    bool probable = mode == list[0] || mode == list[1] || mode == list[2];
    return 16 * sad + (probable ? 2 : 6) * lambda;
}

/* Blocks of 4 and 8: the four plain modes at once, without their edge filters; and those of the
 * most probable that are others. */
static uint8_t best_small(const struct coder *c, const uint8_t *src, int n, const uint8_t list[3],
                          const struct intra_edges *e, uint32_t *best_cost)
{
    static const uint8_t plain[4] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR};
    uint32_t sad[4], lambda = mode_lambda(c);
    uint8_t best = INTRA_DC;
    *best_cost = UINT32_MAX;
    c->k->intra_sads(src, c->src.stride[0], n, e->left + 1, e->top + 1, sad);
    for (int i = 0; i < 4; i++) {
        uint32_t cost = cost_of(sad[i], plain[i], list, lambda);
        if (cost < *best_cost) {
            *best_cost = cost;
            best = plain[i];
        }
    }
    for (int i = 0; i < 3 && *best_cost > 6 * lambda; i++) {
        if (list[i] <= INTRA_DC || list[i] == INTRA_HORIZONTAL || list[i] == INTRA_VERTICAL)
            continue;
        struct intra_edges smooth;
        uint8_t pred[8 * 8];
        bool smoothed = intra_smoothed(list[i], n);
        if (smoothed)
            intra_smooth(&smooth, e, n);
        intra_predict(pred, n, n, list[i], smoothed ? &smooth : e, true);
        uint32_t cost = cost_of(c->k->sad(src, c->src.stride[0], pred, n, n, n), list[i], list,
                                lambda);
        if (cost < *best_cost) {
            *best_cost = cost;
            best = list[i];
        }
    }
    return best;
}

static uint8_t best_large(const struct coder *c, const uint8_t *src, int n, bool many,
                          const uint8_t list[3], const struct intra_edges *e, uint32_t *best_cost)
{
    static const uint8_t all[] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR,
                                  2, 6, 14, 18, 22, 30, 34};
    struct intra_edges smooth;
    uint8_t pred[32 * 32], tried[16], best = INTRA_DC;
    int count = many ? (int)sizeof all : 4;
    uint32_t lambda = mode_lambda(c);
    intra_smooth(&smooth, e, n);
    memcpy(tried, all, (size_t)count);
    for (int i = 0; i < 3; i++)
        if (!memchr(tried, list[i], (size_t)count))
            tried[count++] = list[i];
    *best_cost = UINT32_MAX;
    for (int i = 0; i < count && *best_cost > 6 * lambda; i++) {
        intra_predict(pred, n, n, tried[i], intra_smoothed(tried[i], n) ? &smooth : e, true);
        uint32_t cost = cost_of(c->k->sad(src, c->src.stride[0], pred, n, n, n), tried[i], list,
                                lambda);
        if (cost < *best_cost) {
            *best_cost = cost;
            best = tried[i];
        }
    }
    return best;
}

uint32_t mode_choose(const struct coder *c, struct cu *cu, int part, int log2, bool many,
                     const struct intra_edges *e)
{
    uint32_t cost;
    int x = cu->x + (part & 1) * 4, y = cu->y + (part >> 1) * 4;
    const uint8_t *list = cu->probable[part], *src = frame_at(&c->src, 0, x, y);
    cu_probable_modes(c, x, y, cu, cu->probable[part]);
    cu->mode[part] = log2 <= 3 ? best_small(c, src, 1 << log2, list, e, &cost)
                               : best_large(c, src, 1 << log2, many, list, e, &cost);
    return cost;
}
