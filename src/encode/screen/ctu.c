/* ctu: how a tree block is split and each unit coded. Top down: what is kept or moved as a whole
 * is one skipped unit; what is new is coded in large units where it is smooth and in 8x8 ones
 * where it is text. */
#include "encode/screen/coder.h"

#include <string.h>

/* The planes of one unit, put aside while another way to code it is tried. */
struct saved {
    uint8_t plane[3][CU_MAX * CU_MAX];
};

static void save(const struct coder *c, const struct cu *cu, struct saved *s)
{
    for (int i = 0; i < 3; i++) {
        int sh = i ? c->g->cshift : 0, n = 1 << (cu->log2 - sh);
        const uint8_t *p = frame_at(&c->rec, i, cu->x >> sh, cu->y >> sh);
        for (int y = 0; y < n; y++)
            memcpy(s->plane[i] + y * n, p + (ptrdiff_t)y * c->rec.stride[i], (size_t)n);
    }
}

static void restore(const struct coder *c, const struct cu *cu, const struct saved *s)
{
    for (int i = 0; i < 3; i++) {
        int sh = i ? c->g->cshift : 0, n = 1 << (cu->log2 - sh);
        uint8_t *p = frame_at(&c->rec, i, cu->x >> sh, cu->y >> sh);
        for (int y = 0; y < n; y++)
            memcpy(p + (ptrdiff_t)y * c->rec.stride[i], s->plane[i] + y * n, (size_t)n);
    }
}

static uint64_t cost_of(const struct coder *c, const struct cu *cu)
{
    if (cu->lossless)
        return cu->bits;
    return cu->distortion * 4096 + (uint64_t)cu->bits * c->lambda;
}

/* Square root of lambda over 16 bits: what a bit is worth in absolute differences, 1/16. */
static uint32_t sad_lambda(const struct coder *c)
{
    if (c->lossless)
        return 4;
    uint32_t l = 4;
    while (l * l < c->lambda) /* (1/16)² is 1/256 */
        l += 1 + l / 8;
    return l;
}

/* The mode whose prediction of one luma block differs least. modes: 0 ends. */
static uint8_t best_mode(const struct coder *c, const struct cu *cu, int x, int y, int log2,
                         bool many, uint32_t *best_cost)
{
    static const uint8_t few[] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR},
                         all[] = {INTRA_DC, INTRA_HORIZONTAL, INTRA_VERTICAL, INTRA_PLANAR,
                                  2, 6, 14, 18, 22, 30, 34};
    int n = 1 << log2, stride = c->src.stride[0];
    struct intra_edges e, smooth;
    uint8_t pred[32 * 32], list[3], tried[16], best = INTRA_DC;
    int count = many ? (int)sizeof all : (int)sizeof few;
    const uint8_t *src = frame_at(&c->src, 0, x, y);
    cu_edges(c, 0, x, y, n, &e);
    intra_smooth(&smooth, &e, n);
    cu_probable_modes(c, x, y, cu, list);
    memcpy(tried, many ? all : few, (size_t)count);
    for (int i = 0; i < 3; i++)
        if (!memchr(tried, list[i], (size_t)count))
            tried[count++] = list[i];
    uint32_t lambda = sad_lambda(c);
    *best_cost = UINT32_MAX;
    for (int i = 0; i < count; i++) {
        uint8_t m = tried[i];
        intra_predict(pred, n, n, m, intra_smoothed(m, n) ? &smooth : &e, true);
        bool probable = m == list[0] || m == list[1] || m == list[2];
        uint32_t cost = 16 * c->k->sad(src, stride, pred, n, n, n) + (probable ? 2 : 6) * lambda;
        if (cost < *best_cost) {
            *best_cost = cost;
            best = m;
        }
        if (*best_cost <= 6 * lambda)
            break; /* nothing differs */
    }
    return best;
}

/* The vector whose prediction of luma differs least. */
static struct mv best_vector(const struct coder *c, const struct cu *cu, uint32_t *best_cost)
{
    struct mv list[5 + MATCH_VECTORS], best = {0, 0};
    int n = 1 << cu->log2, count = inter_merge_list(c, cu->x, cu->y, n, list);
    uint8_t pred[CU_MAX * CU_MAX];
    uint32_t lambda = sad_lambda(c);
    struct mv merge[5], mvp[2];
    memcpy(merge, list, sizeof merge);
    inter_mvp_list(c, cu->x, cu->y, n, 0, mvp);
    list[count++] = (struct mv){0};
    bool in_place = c->ref.plane[0] == c->rec.plane[0];
    for (int i = 0; i < c->n_vectors; i++)
        list[count++] = c->vectors[i];
    *best_cost = UINT32_MAX;
    for (int i = 0; i < count; i++) {
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen |= mv_same(list[i], list[j]);
        if (seen || (in_place && (list[i].x || list[i].y)))
            continue;
        int x = cu->x + (list[i].x >> 2), y = cu->y + (list[i].y >> 2), stride = n;
        const uint8_t *p = pred;
        if (!list[i].ref && x >= 0 && y >= 0 && x + n <= c->g->cw && y + n <= c->g->ch) {
            p = frame_at(&c->ref, 0, x, y);
            stride = c->ref.stride[0];
        } else {
            inter_predict(c, 0, cu->x, cu->y, n, n, list[i], pred, n);
        }
        uint32_t cost =
            16 * c->k->sad(frame_at(&c->src, 0, cu->x, cu->y), c->src.stride[0], p, stride, n, n) +
            (inter_vector_cost(merge, mvp, list[i]) * lambda >> 4);
        if (cost < *best_cost) {
            *best_cost = cost;
            best = list[i];
        }
    }
    return best;
}

static void code(struct coder *c, struct cu *cu)
{
    if (cu->inter)
        cu_code_inter(c, cu);
    else
        cu_code_intra(c, cu);
}

/* Each 4x4 block with the mode that suits it. Edges come from the blocks before, so each is coded
 * as it is chosen; cu_code_intra then does it once more. */
static void choose_four_modes(struct coder *c, struct cu *cu)
{
    for (int i = 0; i < 4; i++) {
        uint32_t cost;
        int x = cu->x + (i & 1) * 4, y = cu->y + (i >> 1) * 4;
        cu->mode[i] = best_mode(c, cu, x, y, 2, false, &cost);
        /* Near enough for the next blocks' edges: the source. */
        for (int j = 0; j < 4; j++)
            memcpy(frame_at(&c->rec, 0, x, y + j), frame_at(&c->src, 0, x, y + j), 4);
    }
}

/* Codes one more way; `best` and the reconstruction are the better of both. */
static void try_also(struct coder *c, struct cu *best, struct cu *other, const struct saved *before)
{
    struct saved first;
    save(c, best, &first);
    restore(c, best, before);
    if (other->nxn)
        choose_four_modes(c, other);
    code(c, other);
    if (cost_of(c, other) < cost_of(c, best)) {
        memcpy(best, other, offsetof(struct cu, level));
        for (int i = 0; i < 3; i++) /* of units of 8x8 alone */
            memcpy(best->level[i], other->level[i], 64 * sizeof other->level[i][0]);
    } else {
        restore(c, best, &first);
    }
}

static void copy_header(struct cu *to, const struct cu *from)
{
    memcpy(to, from, offsetof(struct cu, level));
}

/* Smooth enough that one transform of this size does better than several small ones. */
static bool is_smooth(const struct coder *c, int x, int y, int n)
{
    uint32_t a = c->k->activity(frame_at(&c->src, 0, x, y), c->src.stride[0], n);
    return a <= (c->lossless ? 0 : (uint32_t)(n * n) * 4);
}

static void code_leaf(struct coder *c, int x, int y, int log2)
{
    struct cu cu, other;
    struct saved before;
    memset(&cu, 0, offsetof(struct cu, level));
    cu.x = x;
    cu.y = y;
    cu.log2 = log2;
    cu.lossless = c->lossless;
    uint32_t intra_cost, inter_cost = UINT32_MAX;
    if (!c->key)
        cu.mv = best_vector(c, &cu, &inter_cost);
    bool many = !c->lossless && is_smooth(c, x, y, 1 << log2);
    uint8_t mode = best_mode(c, &cu, x, y, log2, many, &intra_cost);
    cu.inter = inter_cost <= intra_cost;
    if (cu.inter)
        inter_code_vector(c, &cu);
    memset(cu.mode, mode, 4);
    save(c, &cu, &before);
    code(c, &cu);
    bool residual = cu.cbf[0] || cu.cbf[1] || cu.cbf[2];
    if (log2 == 3 && residual) {
        copy_header(&other, &cu);
        other.split = true;
        uint64_t whole = cost_of(c, &cu);
        try_also(c, &cu, &other, &before);
        if (!cu.inter && (cu.split || cost_of(c, &other) < whole + whole / 8)) {
            copy_header(&other, &cu);
            other.split = other.nxn = true;
            try_also(c, &cu, &other, &before);
        }
    }
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
    /* What is kept stands in the reconstruction already. */
    for (int plane = 0; plane < 3 && (mv.x || mv.y || mv.ref); plane++) {
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
    best_vector(c, &cu, &cost);
    return cost >> (2 * log2) <= sad_lambda(c); /* a bit's worth for each sample */
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
                (!all_new || log2 > 5 || !(is_smooth(c, x, y, n) || follows(c, x, y, log2)));
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
    if (qp != c->qp)
        coder_set_qp(c, qp);
    c->qp_written = false;
    c->plain[ctb_y * c->g->ctb_cols + ctb_x] = false;
    code_tree(c, ctb_x * SCREEN_CTB, ctb_y * SCREEN_CTB, SCREEN_CTB_LOG2);
}

void ctu_keep(struct coder *c, int ctb_x, int ctb_y)
{
    int x = ctb_x * SCREEN_CTB, y = ctb_y * SCREEN_CTB;
    bool *plain = &c->plain[ctb_y * c->g->ctb_cols + ctb_x];
    if (!*plain || x + SCREEN_CTB > c->g->cw || y + SCREEN_CTB > c->g->ch) {
        *plain = x + SCREEN_CTB <= c->g->cw && y + SCREEN_CTB <= c->g->ch;
        code_tree(c, x, y, SCREEN_CTB_LOG2);
        return;
    }
    struct cu cu;
    memset(&cu, 0, offsetof(struct cu, level));
    cu.x = x;
    cu.y = y;
    cu.log2 = SCREEN_CTB_LOG2;
    cu.inter = true;
    cu_write_split(c, x, y, 0, false);
    inter_code_vector(c, &cu);
    cu_write_kept(c, &cu);
}
