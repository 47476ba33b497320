#include "encode/screen/memory_find.h"

#include "encode/screen/damage_map.h"

#include <string.h>

enum {
    REF_BLOCKS_MIN = 8,    /* a reference costs two bytes in the header, and an index */
    REFS_AT_ONCE = 3,
    SAMPLES = 64,          /* blocks that are asked which memories have them */
    TOGETHER_MOST = 128,   /* tiles that are compared at once */
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
    for (int i = 0; i < n && !tile->exact; i++)
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

/* A row of blocks of which all are. */
#define ALL_DIRTY UINT64_C(0x0101010101010101)

/* Of n blocks beside each other from `at` on: a bit for each that is dirty and has no match. */
static unsigned open_bits(const uint8_t *dirty, const block_match *match, int at, int n)
{
    unsigned bits = map_bits(map_row(dirty + at, n));
    return bits && match ? bits & ~map_bits(map_row(match + at, n)) : bits;
}

static int count_bits(unsigned bits)
{
    return !bits ? 0 : bits == 0xff ? 8 : __builtin_popcount(bits);
}

static void ask(const struct memory *m, const struct frame *pic, int bx, int by,
                int hits[DPB_MOST + 1])
{
    int t = by / MAP_TILE * m->g->ctb_cols + bx / MAP_TILE;
    for (int i = 0; i < m->dpb.n - 1; i++) {
        const struct dpb_tile *tile = m->dpb.pic[i]->tile[t];
        hits[i] += tile && memory_same_in_tile(m, pic, tile, bx, by, 1);
    }
}

/* Asks samples of the changed blocks that have no match which pictures may have them: sets hits[],
 * returns how many were asked. step: one of so many blocks. */
static int sample(const struct memory *m, const struct frame *pic, const uint8_t *dirty,
                  const block_match *match, int step, int hits[DPB_MOST + 1])
{
    int asked = 0, due = step / 2, w = m->g->width / 8;
    memset(hits, 0, (DPB_MOST + 1) * sizeof hits[0]);
    for (int by = 0; by < m->g->height / 8; by++)
        for (int bx = 0; bx < w; bx += MAP_TILE) {
            int n = w - bx < MAP_TILE ? w - bx : MAP_TILE, at = by * m->g->w8 + bx;
            uint64_t changed = map_row(dirty + at, n);
            if (!changed)
                continue;
            if (changed == ALL_DIRTY && !match && !m->any_found && due + MAP_TILE < step) {
                due += MAP_TILE;
                continue;
            }
            unsigned bits = open_bits(dirty, match, at, n);
            int open = count_bits(bits);
            if (!m->any_found && due + open < step) {
                due += open;
                continue;
            }
            for (; bits; bits &= bits - 1) {
                int i = __builtin_ctz(bits);
                if (m->found[at + i] || ++due < step || is_flat(pic, bx + i, by))
                    continue;
                due = 0;
                asked++;
                ask(m, pic, bx + i, by, hits);
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
        if (open_bits(dirty, match, by * g->w8 + r.x, r.w))
            return true;
    return false;
}

/* Marks the blocks of the tiles to do that a picture has; what is kept anyway may as well come from
 * it where it is exact, so that a unit of both is one. */
static void find_in(struct memory *m, const struct frame *pic, int picture, const uint8_t *dirty,
                    const uint8_t *todo, const block_match *match)
{
    const struct geometry *g = m->g;
    m->any_found = true;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        const struct dpb_tile *tile = m->dpb.pic[picture]->tile[t];
        if (!todo[t] || !tile || m->given[t])
            continue;
        struct rect r = map_tile(g, t);
        if (!is_open(g, r, dirty, match))
            continue;
        for (int by = r.y; by < r.y + r.h; by++) {
            unsigned same = memory_same_in_tile(m, pic, tile, r.x, by, r.w);
            for (int i = 0; i < r.w; i++) {
                int at = by * g->w8 + r.x + i;
                bool good = dirty[at] || !dpb_tile_inexact(tile, 8 * (by & 7) + i);
                if (same >> i & 1 && good)
                    m->found[at] |= (uint16_t)(1 << picture);
            }
        }
    }
}

/* How many tiles from t on, which is given, can be compared together: they stand beside each other
 * in one frame, and the picture has all of their width. */
static int together(const struct memory *m, const struct dpb_picture *p, int t)
{
    int n = 0, most = m->g->width / DPB_TILE - t % m->g->ctb_cols;
    const struct dpb_frame *in = p->tile[t]->in;
    most = most < TOGETHER_MOST ? most : TOGETHER_MOST;
    while (in && n < most && m->given[t + n] && p->tile[t + n]->in == in && p->tile[t + n]->exact)
        n++;
    return n;
}

/* A line of samples at a time, as they stand in memory: reading is what takes the time. */
static void compare_together(struct memory *m, const struct frame *pic, const struct frame *at,
                             int t, int n)
{
    const struct geometry *g = m->g;
    uint8_t differ[TOGETHER_MOST] = {0};
    for (int plane = 0; plane < 3; plane++) {
        int s = plane ? g->cshift : 0, unit = DPB_TILE >> s;
        int x = t % g->ctb_cols * unit, y = t / g->ctb_cols * unit;
        int lines = ((g->height + s) >> s) - y;
        const uint8_t *a = frame_at(pic, plane, x, y), *b = at->plane[plane];
        for (int i = 0; i < lines && i < unit; i++) {
            m->k->differ(a, b, unit, n, differ);
            a += pic->stride[plane];
            b += at->stride[plane];
        }
    }
    for (int i = 0; i < n; i++)
        m->given[t + i] = !differ[i];
}

static bool is_whole(const struct memory *m, const struct frame *pic, const struct dpb_tile *tile,
                     int t)
{
    struct rect r = map_tile(m->g, t);
    bool same = tile->exact;
    for (int by = r.y; same && by < r.y + r.h; by++)
        same = memory_same_in_tile(m, pic, tile, r.x, by, r.w) == (1u << r.w) - 1;
    return same;
}

/* Of the tiles given, leaves those of which all is as the picture has it, exactly. */
static void leave_whole(struct memory *m, const struct frame *pic, const struct dpb_picture *p)
{
    for (int t = 0, n; t < m->g->ctb_cols * m->g->ctb_rows; t += n) {
        n = m->given[t] ? together(m, p, t) : 1;
        if (!m->given[t])
            continue;
        if (n > 0) {
            compare_together(m, pic, &p->tile[t]->at, t, n);
        } else {
            m->given[t] = is_whole(m, pic, p->tile[t], t);
            n = 1;
        }
    }
}

/* Tiles that are given are dirty, and the picture has all of them; how many blocks. */
static int mark_given(struct memory *m, int picture, uint8_t *dirty)
{
    const struct geometry *g = m->g;
    int count = 0;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        if (!m->given[t])
            continue;
        struct rect r = map_tile(g, t);
        count += r.w * r.h;
        map_fill(dirty, g, r, 1);
        for (int by = r.y; by < r.y + r.h; by++)
            for (int i = 0; i < r.w; i++)
                m->found[by * g->w8 + r.x + i] = (uint16_t)(1 << picture);
    }
    m->any_found |= count > 0;
    return count;
}

int memory_returned(struct memory *m, const struct frame *pic, const struct damage *damage,
                    uint8_t *dirty)
{
    const struct geometry *g = m->g;
    int hits[DPB_MOST + 1], ctbs = g->ctb_cols * g->ctb_rows;
    memset(m->given, 0, (size_t)ctbs);
    if (m->any_found)
        memset(m->found, 0, (size_t)g->w8 * (size_t)g->h8 * sizeof m->found[0]);
    m->any_found = false;
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
        struct rect r = map_tile(g, t), area = {r.x * 8, r.y * 8, r.w * 8, r.h * 8};
        m->given[t] = m->dpb.pic[best]->tile[t] && rect_contains(bounds, rect_intersect(area, all));
    }
    leave_whole(m, pic, m->dpb.pic[best]);
    return mark_given(m, best, dirty);
}

/* How many dirty blocks neither have a match nor were found. */
static int count_open(const struct memory *m, const uint8_t *dirty, const uint8_t *todo,
                      const block_match *match)
{
    const struct geometry *g = m->g;
    int count = 0;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        if (!todo[t] || m->given[t])
            continue;
        struct rect r = map_tile(g, t);
        for (int by = r.y; by < r.y + r.h; by++) {
            int at = by * g->w8 + r.x;
            unsigned bits = open_bits(dirty, match, at, r.w);
            for (unsigned b = m->any_found ? bits : 0; b; b &= b - 1)
                if (m->found[at + __builtin_ctz(b)])
                    bits &= ~(b & -b);
            count += count_bits(bits);
        }
    }
    return count;
}

void memory_search(struct memory *m, const struct frame *pic, const uint8_t *dirty,
                   const uint8_t *todo, const block_match *match)
{
    int hits[DPB_MOST + 1], count;
    m->matched = true;
    if (m->dpb.n < 2 || (count = count_open(m, dirty, todo, match)) < REF_BLOCKS_MIN)
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

static void count_found(const struct memory *m, int t, const uint8_t *dirty,
                        const block_match *match, uint16_t have, int count[DPB_MOST + 1])
{
    struct rect r = map_tile(m->g, t);
    for (int by = r.y; by < r.y + r.h; by++) {
        int at = by * m->g->w8 + r.x;
        for (unsigned bits = open_bits(dirty, match, at, r.w); bits; bits &= bits - 1) {
            unsigned found = m->found[at + __builtin_ctz(bits)];
            for (unsigned f = found & have ? 0 : found; f; f &= f - 1)
                count[__builtin_ctz(f)]++;
        }
    }
}

/* The picture that has the most dirty blocks which none of `have` has; -1: none has enough. */
static int pick(const struct memory *m, const uint8_t *dirty, const uint8_t *todo,
                const block_match *match, uint16_t have, int *most)
{
    int count[DPB_MOST + 1] = {0}, best = -1;
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows && m->any_found; t++) {
        if (!todo[t])
            continue;
        struct rect r = map_tile(m->g, t);
        if (!m->given[t])
            count_found(m, t, dirty, match, have, count);
        else if (!(memory_found_in(m, t) & have))
            count[__builtin_ctz(memory_found_in(m, t))] += r.w * r.h;
    }
    *most = REF_BLOCKS_MIN - 1;
    for (int i = 0; i < m->dpb.n; i++)
        if (count[i] > *most) {
            *most = count[i];
            best = i;
        }
    return best;
}

int memory_best(const struct memory *m, const uint8_t *dirty, const uint8_t *todo)
{
    int most;
    return m->dpb.n > 1 && pick(m, dirty, todo, NULL, 0, &most) >= 0 ? most : 0;
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
        if (!todo[t])
            continue;
        struct rect r = map_tile(g, t);
        if (m->given[t]) { /* it has no other match */
            if (memory_found_in(m, t) >> picture & 1)
                map_fill(match, g, r, bit);
            continue;
        }
        for (int by = r.y; by < r.y + r.h; by++)
            for (int at = by * g->w8 + r.x, end = at + r.w; at < end; at++) {
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
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows; t++) {
        if (!todo[t])
            continue;
        struct rect r = map_tile(m->g, t);
        for (int by = r.y; by < r.y + r.h; by++)
            m->changed += count_bits(open_bits(dirty, match, by * m->g->w8 + r.x, r.w));
    }
    for (int i = 0; i < REFS_AT_ONCE && m->dpb.n > 1 && m->changed >= REF_BLOCKS_MIN; i++) {
        best = pick(m, dirty, todo, match, have, &most);
        if (best < 0)
            break;
        have |= (uint16_t)(1 << best);
        give_vector(m, c, match, todo, best, i);
    }
}
