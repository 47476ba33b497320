#include "encode/screen/memory_find.h"

#include "encode/screen/damage_map.h"

#include <string.h>

enum {
    REF_BLOCKS_MIN = 8,    /* a reference costs two bytes in the header, and an index */
    REFS_AT_ONCE = 3,
    SAMPLES = 64,          /* blocks that are asked which memories have them */
};

/* ------------------------------------------------------------------ hashes */

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static uint64_t hash_plane(const uint8_t *p, ptrdiff_t stride, int n)
{
    uint64_t a = 1, b = 2, v, w;
    if (n == 8) {
        for (int y = 0; y < 8; y += 2) {
            memcpy(&v, p + y * stride, 8);
            memcpy(&w, p + (y + 1) * stride, 8);
            a = mix(a, v);
            b = mix(b, w);
        }
    } else {
        uint32_t r[4];
        for (int y = 0; y < 4; y++)
            memcpy(&r[y], p + y * stride, 4);
        a = mix(a, (uint64_t)r[0] << 32 | r[1]);
        b = mix(b, (uint64_t)r[2] << 32 | r[3]);
    }
    return mix(a, b);
}

/* One plane of a block at the picture's edge, its last samples repeated as in the source copy. */
static uint64_t hash_edge(const struct frame *src, int plane, int x, int y, int n, int pw, int ph)
{
    uint8_t block[64];
    for (int j = 0; j < n; j++) {
        int row = y + j < ph ? y + j : ph - 1;
        const uint8_t *p = frame_at(src, plane, 0, row);
        for (int i = 0; i < n; i++)
            block[j * n + i] = p[x + i < pw ? x + i : pw - 1];
    }
    return hash_plane(block, n, n);
}

uint64_t memory_hash_block(const struct geometry *g, const struct frame *src, int bx, int by)
{
    uint64_t h = 0;
    for (int i = 0; i < 3; i++) {
        int s = i ? g->cshift : 0, n = 8 >> s, x = bx * n, y = by * n;
        int pw = (g->width + s) >> s, ph = (g->height + s) >> s;
        bool inside = x + n <= pw && y + n <= ph;
        h = mix(h, inside ? hash_plane(frame_at(src, i, x, y), src->stride[i], n)
                          : hash_edge(src, i, x, y, n, pw, ph));
    }
    return h;
}

/* ------------------------------------------------------------------ what is found again */

unsigned memory_same_in_tile(const struct memory *m, const struct frame *pic,
                             const struct dpb_tile *tile, int bx, int by, int n)
{
    const struct geometry *g = m->g;
    int first = 8 * (by & 7) + (bx & 7), unit = 8 >> g->cshift;
    struct frame at = tile->at;
    at.plane[0] = frame_at(&tile->at, 0, (bx & 7) * 8, (by & 7) * 8);
    for (int i = 1; i < 3; i++)
        at.plane[i] = frame_at(&tile->at, i, (bx & 7) * unit, (by & 7) * unit);
    unsigned same = damage_map_same_at(g, m->k, pic, &at, bx, by, n, true);
    for (int i = 0; i < n; i++)
        if (tile->inexact[first + i]) {
            same &= ~(1u << i);
            if (memory_hash_block(g, pic, bx + i, by) == tile->hash[first + i])
                same |= 1u << i;
        }
    return same;
}

/* A block that looks like another only if it is another. */
static bool is_flat(const struct frame *pic, int bx, int by)
{
    const uint8_t *p = frame_at(pic, 0, bx * 8, by * 8 + 3);
    for (int i = 1; i < 8; i++)
        if (p[i] != p[0])
            return false;
    return true;
}

/* Asks samples of the changed blocks that have no match which pictures may have them: sets hits[],
 * returns how many were asked. step: one of so many blocks. */
static int sample(const struct memory *m, const struct frame *pic, const uint8_t *dirty,
                  const block_match *match, int step, int hits[DPB_MOST + 1])
{
    const struct geometry *g = m->g;
    int asked = 0, due = step / 2;
    memset(hits, 0, (DPB_MOST + 1) * sizeof hits[0]);
    for (int by = 0; by < g->height / 8; by++)
        for (int bx = 0; bx < g->width / 8; bx++) {
            int at = by * g->w8 + bx;
            if (!dirty[at] || m->found[at] || (match && match[at]) || ++due < step ||
                is_flat(pic, bx, by))
                continue;
            due = 0;
            asked++;
            for (int i = 0; i < m->dpb.n - 1; i++) {
                const struct dpb_tile *tile =
                    m->dpb.pic[i]->tile[(by >> 3) * g->ctb_cols + (bx >> 3)];
                hits[i] += tile && memory_same_in_tile(m, pic, tile, bx, by, 1);
            }
        }
    return asked;
}

static int most_hits(const struct memory *m, int hits[DPB_MOST + 1])
{
    int best = 0;
    for (int i = 1; i < m->dpb.n - 1; i++)
        if (hits[i] > hits[best])
            best = i;
    return best;
}

/* Is there a dirty block without a match? */
static bool is_open(const struct geometry *g, struct rect r, const uint8_t *dirty,
                    const block_match *match)
{
    for (int by = r.y; by < r.y + r.h; by++)
        for (int at = by * g->w8 + r.x, end = at + r.w; at < end; at++)
            if (dirty[at] && !(match && match[at]))
                return true;
    return false;
}

/* Marks the blocks of the tiles to do that a picture has; what is kept anyway may as well come from
 * it where it is exact, so that a unit of both is one. */
static void find_in(struct memory *m, const struct frame *pic, int picture, const uint8_t *dirty,
                    const uint8_t *todo, const block_match *match)
{
    const struct geometry *g = m->g;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        const struct dpb_tile *tile = m->dpb.pic[picture]->tile[t];
        struct rect r = memory_tile_blocks(g, t);
        if (!todo[t] || !tile || m->given[t] || !is_open(g, r, dirty, match))
            continue;
        for (int by = r.y; by < r.y + r.h; by++) {
            unsigned same = memory_same_in_tile(m, pic, tile, r.x, by, r.w);
            for (int i = 0; i < r.w; i++) {
                int at = by * g->w8 + r.x + i;
                bool good = dirty[at] || !tile->inexact[8 * (by & 7) + i];
                if (same >> i & 1 && good)
                    m->found[at] |= (uint16_t)(1 << picture);
            }
        }
    }
}

/* Of the tiles given, leaves those of which all is as the picture has it, exactly. A row of blocks
 * at a time, as they stand in memory. */
static void leave_whole(struct memory *m, const struct frame *pic, const struct dpb_picture *p)
{
    const struct geometry *g = m->g;
    for (int by = 0; by < g->h8; by++)
        for (int bx = 0; bx < g->w8; bx += 8) {
            int t = (by >> 3) * g->ctb_cols + (bx >> 3), n = g->w8 - bx < 8 ? g->w8 - bx : 8;
            const struct dpb_tile *tile = p->tile[t];
            for (int i = 0; m->given[t] && i < n; i++)
                m->given[t] = !tile->inexact[8 * (by & 7) + i];
            if (m->given[t])
                m->given[t] = memory_same_in_tile(m, pic, tile, bx, by, n) == (1u << n) - 1;
        }
}

int memory_returned(struct memory *m, const struct frame *pic, const struct damage *damage,
                    uint8_t *dirty)
{
    const struct geometry *g = m->g;
    int hits[DPB_MOST + 1], count = 0, ctbs = g->ctb_cols * g->ctb_rows;
    memset(m->given, 0, (size_t)ctbs);
    memset(m->found, 0, (size_t)g->w8 * (size_t)g->h8 * sizeof m->found[0]);
    struct rect all = {0, 0, g->width, g->height}, bounds = damage_bounds(damage);
    bounds = rect_intersect(bounds, all);
    if (m->no_last || m->dpb.n < 2 || bounds.w < DPB_TILE || bounds.h < DPB_TILE ||
        damage_area(damage) < (int64_t)bounds.w * bounds.h / 2)
        return 0;
    for (int by = bounds.y / 8; by < (bounds.y + bounds.h) / 8; by++)
        memset(dirty + by * g->w8 + bounds.x / 8, 1, (size_t)(bounds.w / 8));
    int asked = sample(m, pic, dirty, NULL, bounds.w / 8 * (bounds.h / 8) / SAMPLES + 1, hits);
    memset(dirty, 0, (size_t)g->w8 * (size_t)g->h8);
    int best = most_hits(m, hits);
    if (asked < 4 || hits[best] < asked * 3 / 4)
        return 0;
    for (int t = 0; t < ctbs; t++) {
        struct rect r = memory_tile_blocks(g, t), area = {r.x * 8, r.y * 8, r.w * 8, r.h * 8};
        m->given[t] = m->dpb.pic[best]->tile[t] && rect_contains(bounds, rect_intersect(area, all));
    }
    leave_whole(m, pic, m->dpb.pic[best]);
    for (int t = 0; t < ctbs; t++) {
        struct rect r = memory_tile_blocks(g, t);
        if (!m->given[t])
            continue;
        count += r.w * r.h;
        for (int by = r.y; by < r.y + r.h; by++)
            for (int at = by * g->w8 + r.x, end = at + r.w; at < end; at++) {
                dirty[at] = 1;
                m->found[at] = (uint16_t)(1 << best);
            }
    }
    return count;
}

void memory_search(struct memory *m, const struct frame *pic, const uint8_t *dirty,
                   const uint8_t *todo, const block_match *match)
{
    const struct geometry *g = m->g;
    int hits[DPB_MOST + 1], count = 0;
    m->matched = true;
    for (int at = 0; at < g->w8 * g->h8 && m->dpb.n > 1; at++)
        count += dirty[at] && !m->found[at] && !(match && match[at]);
    if (count < REF_BLOCKS_MIN)
        return;
    int asked = sample(m, pic, dirty, match, count / SAMPLES + 1, hits);
    int least = match ? asked / 16 : asked * 3 / 4;
    for (int i = 0; i < REFS_AT_ONCE; i++) {
        int best = most_hits(m, hits);
        if (hits[best] < 2 || hits[best] < least)
            return;
        find_in(m, pic, best, dirty, todo, match);
        hits[best] = 0;
    }
}

/* The picture that has the most dirty blocks which none of `have` has; -1: none has enough. */
static int pick(const struct memory *m, const uint8_t *dirty, const block_match *match,
                uint16_t have, int *most)
{
    int count[DPB_MOST + 1] = {0}, best = -1;
    for (int at = 0; at < m->g->w8 * m->g->h8; at++)
        if (dirty[at] && m->found[at] && !(m->found[at] & have) && !(match && match[at]))
            for (unsigned f = m->found[at]; f; f &= f - 1)
                count[__builtin_ctz(f)]++;
    *most = REF_BLOCKS_MIN - 1;
    for (int i = 0; i < m->dpb.n; i++)
        if (count[i] > *most) {
            *most = count[i];
            best = i;
        }
    return best;
}

int memory_best(const struct memory *m, const uint8_t *dirty)
{
    int most;
    return m->dpb.n > 1 && pick(m, dirty, NULL, 0, &most) >= 0 ? most : 0;
}

/* nth: of those of this picture; where all vectors are taken, it takes the place of one. */
static void give_vector(struct memory *m, struct coder *c, block_match *match, const uint8_t *todo,
                        int picture, int nth)
{
    const struct geometry *g = m->g;
    int k = c->n_vectors < MATCH_VECTORS ? c->n_vectors++ : MATCH_VECTORS - 1 - nth;
    block_match bit = (block_match)(2 << k);
    c->vectors[k] = (struct mv){0, 0, (uint8_t)c->n_refs};
    c->memory[c->n_refs++] = m->dpb.pic[picture];
    m->dpb.pic[picture]->used = m->count;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        struct rect r = memory_tile_blocks(g, t);
        for (int by = r.y; todo[t] && by < r.y + r.h; by++)
            for (int bx = r.x; bx < r.x + r.w; bx++) {
                int at = by * g->w8 + bx;
                bool has = m->found[at] >> picture & 1;
                match[at] = (block_match)((match[at] & ~bit) | (has ? bit : 0));
            }
    }
}

void memory_match(struct memory *m, struct coder *c, block_match *match, const uint8_t *dirty,
                  const uint8_t *todo)
{
    uint16_t have = 0;
    int most, best;
    m->changed = 0;
    for (int at = 0; at < m->g->w8 * m->g->h8; at++)
        m->changed += dirty[at] && !match[at];
    for (int i = 0; i < REFS_AT_ONCE && m->dpb.n > 1 && m->changed >= REF_BLOCKS_MIN; i++) {
        best = pick(m, dirty, match, have, &most);
        if (best < 0)
            break;
        have |= (uint16_t)(1 << best);
        give_vector(m, c, match, todo, best, i);
    }
}
