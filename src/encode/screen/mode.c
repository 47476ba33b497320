/* mode: which intra mode suits a block. By absolute differences: what is on screens is predicted
 * exactly or not at all. */
#include "encode/screen/coder.h"

#include <string.h>

/* 8.4.2, steps 3 and 4, from the modes to the left and above. */
static void list_modes(int a, int b, uint8_t list[3])
{
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

/* The left neighbour is always coded before; above, those of another row of tree blocks do not count. */
void mode_look_around(const struct coder *c, struct cu *cu)
{
    const struct block_info *left = cu->x > 0 ? coder_info(c, cu->x - 1, cu->y) : NULL;
    const struct block_info *above =
        cu->y & (SCREEN_CTB - 1) ? coder_info(c, cu->x, cu->y - 1) : NULL;
    for (int i = 0; i < 2; i++) {
        cu->mode_left[i] = left && !left->inter ? left->mode[2 * i + 1] : INTRA_DC;
        cu->mode_above[i] = above && !above->inter ? above->mode[2 + i] : INTRA_DC;
    }
}

void mode_probable(const struct coder *c, struct cu *cu, int part, int log2)
{
    if (log2 > 2)
        mode_look_around(c, cu);
    int a = part & 1 ? cu->mode[part - 1] : cu->mode_left[part >> 1];
    int b = part & 2 ? cu->mode[part - 2] : cu->mode_above[part & 1];
    list_modes(a, b, cu->probable[part]);
}

void mode_choose_any(const struct coder *c, struct cu *cu, int part)
{
    static const uint8_t plain[4] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR};
    const uint8_t *list = cu->probable[part];
    mode_probable(c, cu, part, 2);
    cu->mode[part] = c->thorough ? list[0] : INTRA_DC;
    for (int i = 0; i < 4 && !c->thorough; i++)
        if (plain[i] == list[0] || plain[i] == list[1] || plain[i] == list[2]) {
            cu->mode[part] = plain[i];
            return;
        }
}

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
    mode_probable(c, cu, part, log2);
    cu->mode[part] = log2 <= 3 ? best_small(c, src, 1 << log2, list, e, &cost)
                               : best_large(c, src, 1 << log2, many, list, e, &cost);
    return cost;
}

/* What a prediction leaves to be coded, 1/4096 of squared errors; lossless: 1/16 bits. */
static uint64_t coded_cost(const struct coder *c, const uint8_t *src, uint8_t pred[16],
                           uint32_t mode_bits)
{
    if (c->lossless) {
        int16_t res[16];
        c->k->subtract(src, c->src.stride[0], pred, 4, res, 4);
        return c->k->level_cost(res, 16) + mode_bits;
    }
    struct coded4 out;
    c->k->code4(src, c->src.stride[0], pred, 4, true, &c->quant.four[0][1], &out);
    return out.error * UINT64_C(4096) + (uint64_t)(out.bits + mode_bits) * c->lambda;
}

void mode_choose_coded(const struct coder *c, struct cu *cu, int part, const struct intra_edges *e)
{
    uint8_t tried[11] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR, 2, 18, 34};
    int x = cu->x + (part & 1) * 4, y = cu->y + (part >> 1) * 4, count = 7;
    const uint8_t *list = cu->probable[part], *src = frame_at(&c->src, 0, x, y);
    mode_probable(c, cu, part, 2);
    for (int i = 0; i < 3; i++)
        if (!memchr(tried, list[i], (size_t)count))
            tried[count++] = list[i];
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < count; i++) {
        uint8_t pred[16];
        intra_predict(pred, 4, 4, tried[i], e, true); /* blocks of 4 have no smoothed edges */
        bool probable = memchr(list, tried[i], 3);
        uint32_t bits = tried[i] == list[0] ? 24 : probable ? 40 : 104;
        uint64_t cost = coded_cost(c, src, pred, bits);
        if (cost < best) {
            best = cost;
            cu->mode[part] = tried[i];
        }
    }
}
