/* ctu: how a tree block is split and each unit coded. Top down: what is kept or moved as a whole
 * is one skipped unit; what is new is coded in large units where it is smooth and in 8x8 ones
 * where it is text. */
#include "encode/screen/coder.h"

#include <string.h>

enum {
    DRAWN_STEPS = 10,     /* of 56 between neighbours in rows: so many are at most 1 */
    EDGE_ACTIVITY = 500,  /* of an 8x8 block: more than a photograph's, text or an outline is in it */
};

static void code(struct coder *c, struct cu *cu)
{
    if (cu->inter)
        cu_code_inter(c, cu);
    else
        cu_code_intra(c, cu);
}

/* Smooth enough that one transform of this size does better than several small ones: on average,
 * and without a piece of text in a corner, which would ring over all of it. */
static bool is_smooth(const struct coder *c, int x, int y, int n)
{
    uint32_t sum = 0;
    for (int j = y >> 3; j < (y + n) >> 3; j++)
        for (int i = x >> 3; i < (x + n) >> 3; i++) {
            uint32_t activity = c->activity[j * c->g->w8 + i];
            if (activity > EDGE_ACTIVITY)
                return false;
            sum += activity;
        }
    return sum <= (c->lossless ? 0 : (uint32_t)(n * n) * 4);
}

/* Text and drawings: most neighbours are alike, few differ much. Small blocks suit them. */
static bool is_drawn(const struct coder *c, int x, int y)
{
    return c->k->level_steps(frame_at(&c->src, 0, x, y), c->src.stride[0]) >= DRAWN_STEPS;
}

/* What the picture before has elsewhere: the reconstruction may differ there, and is coded if so. */
static void code_found(struct coder *c, struct cu *cu, struct mv mv)
{
    cu->inter = true;
    cu->mv = mv;
    cu->split = cu->log2 == 3 && !c->lossless &&
                16 * vector_sad(c, cu, mv) > 6 * mode_lambda(c) && is_drawn(c, cu->x, cu->y);
    inter_code_vector(c, cu);
    code(c, cu);
    cu_write(c, cu);
}

/* One way to code a unit is chosen beforehand, by what it looks like: trying the others takes
 * three times as long and saves a few per cent (doc/screen-encoder.md). */
static void code_leaf(struct coder *c, int x, int y, int log2)
{
    struct cu cu;
    memset(&cu, 0, offsetof(struct cu, level));
    cu.x = x;
    cu.y = y;
    cu.log2 = log2;
    cu.lossless = c->lossless;
    uint32_t intra_cost = UINT32_MAX, inter_cost = UINT32_MAX, lambda = mode_lambda(c);
    struct mv found = vector_found(c, x, y, 1 << log2);
    if (!found.ref) {
        code_found(c, &cu, found);
        return;
    }
    if (!c->key)
        cu.mv = vector_best(c, &cu, &inter_cost);
    /* Drawn, and by far not flat: in a key frame no mode of the whole would do. */
    bool drawn = log2 == 3 && c->activity[(y >> 3) * c->g->w8 + (x >> 3)] > EDGE_ACTIVITY &&
                 c->key && is_drawn(c, x, y);
    if (inter_cost <= 2 * lambda) { /* nothing differs */
        cu.inter = true;
    } else if (!drawn) {
        bool many = log2 > 3 && !c->lossless;
        struct intra_edges e;
        cu_edges(c, 0, x, y, 1 << log2, &e);
        intra_cost = mode_choose(c, &cu, 0, log2, many, &e);
        memset(cu.mode, cu.mode[0], sizeof cu.mode);
        cu.inter = inter_cost <= intra_cost;
    }
    if (c->thorough && log2 == 3 && inter_cost > 2 * lambda) {
        trial_code(c, &cu);
        return;
    }
    if (cu.inter)
        inter_code_vector(c, &cu);
    uint32_t cost = cu.inter ? inter_cost : intra_cost;
    if (drawn || (log2 == 3 && cost > 6 * lambda && is_drawn(c, x, y))) {
        cu.nxn = !cu.inter;
        cu.split = !cu.inter || !c->lossless;
    }
    code(c, &cu);
    cu_write(c, &cu);
}

/* Of the blocks under a unit: how they match, all together; and whether any is to be coded. */
static block_match match_of(const struct coder *c, int x, int y, int n, bool *all_new)
{
    block_match all = 0xff;
    *all_new = true;
    for (int j = y >> 3; j < (y + n) >> 3; j++)
        for (int i = x >> 3; i < (x + n) >> 3; i++) {
            block_match m = c->match[j * c->g->w8 + i];
            all &= m;
            *all_new &= m == 0;
        }
    return all;
}

static void write_moved(struct coder *c, int x, int y, int log2, struct mv mv)
{
    struct cu cu;
    memset(&cu, 0, offsetof(struct cu, level));
    cu.x = x;
    cu.y = y;
    cu.log2 = log2;
    cu.inter = true;
    cu.mv = mv;
    bool stands = c->given || (!c->fill && !mv.x && !mv.y && !mv.ref);
    for (int plane = 0; plane < 3 && !stands; plane++) {
        int s = plane ? c->g->cshift : 0, n = 1 << (log2 - s);
        inter_predict(c, plane, x >> s, y >> s, n, n, mv, frame_at(&c->rec, plane, x >> s, y >> s),
                      c->rec.stride[plane]);
    }
    inter_code_vector(c, &cu);
    cu_write(c, &cu);
}

/* Is a whole unit nearly what stood there, or at a vector, so that large transforms do? */
static bool follows(const struct coder *c, int x, int y, int log2)
{
    if (c->key || c->lossless)
        return false;
    struct cu cu = {.x = x, .y = y, .log2 = log2};
    uint32_t cost;
    vector_best(c, &cu, &cost);
    return cost >> (2 * log2) <= mode_lambda(c); /* a bit's worth for each sample */
}

static void code_tree(struct coder *c, int x, int y, int log2)
{
    int n = 1 << log2, depth = SCREEN_CTB_LOG2 - log2;
    if (x >= c->g->cw || y >= c->g->ch)
        return;
    bool split = x + n > c->g->cw || y + n > c->g->ch, all_new = false;
    block_match match = 0;
    if (!split) {
        match = match_of(c, x, y, n, &all_new);
        split = log2 > 3 && !match &&
                (!all_new || log2 > 5 ||
                 !(!vector_found(c, x, y, n).ref || is_smooth(c, x, y, n) || follows(c, x, y, log2)));
        if (log2 > 3)
            cu_write_split(c, x, y, depth, split);
    }
    if (split) {
        for (int i = 0; i < 4; i++)
            code_tree(c, x + (i & 1) * n / 2, y + (i >> 1) * n / 2, log2 - 1);
        return;
    }
    if (match & MATCH_KEEP)
        write_moved(c, x, y, log2, (struct mv){0});
    else if (match)
        write_moved(c, x, y, log2, c->vectors[__builtin_ctz(match) - 1]);
    else
        code_leaf(c, x, y, log2);
}

void ctu_code(struct coder *c, int ctb_x, int ctb_y, int qp)
{
    int x = ctb_x * SCREEN_CTB, y = ctb_y * SCREEN_CTB;
    if (qp != c->qp)
        coder_set_qp(c, qp);
    c->qp_written = false;
    c->plain[ctb_y * c->g->ctb_cols + ctb_x] = false;
    if (c->given && x + SCREEN_CTB <= c->g->cw && y + SCREEN_CTB <= c->g->ch) {
        block_match match = c->match[(y >> 3) * c->g->w8 + (x >> 3)]; /* of all of it */
        cu_write_split(c, x, y, 0, false);
        write_moved(c, x, y, SCREEN_CTB_LOG2, c->vectors[__builtin_ctz(match) - 1]);
        return;
    }
    code_tree(c, x, y, SCREEN_CTB_LOG2);
}

void ctu_keep(struct coder *c, int ctb_x, int ctb_y)
{
    int x = ctb_x * SCREEN_CTB, y = ctb_y * SCREEN_CTB;
    bool *plain = &c->plain[ctb_y * c->g->ctb_cols + ctb_x];
    if (*plain && (!ctb_x || plain[-1]) && (!ctb_y || plain[-c->g->ctb_cols])) {
        cu_write_kept(c, x, y, SCREEN_CTB_LOG2);
        return;
    }
    code_tree(c, x, y, SCREEN_CTB_LOG2);
    *plain = true;
}
