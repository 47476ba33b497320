#include "encode/screen/memory.h"

#include "encode/screen/damage_map.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORIES_MOST = 8,
    REF_BLOCKS_MIN = 8,    /* a reference costs two bytes in the header, and an index */
    REFS_AT_ONCE = 3,
    CHANGE_SHARE = 64,     /* of all blocks: so much is worth remembering what was before, */
    CHANGE_MIN = 32,
    CALM_US = 200000,      /* if that had been there for so long */
    MANY_PICTURES = 8,     /* capacity from which two pictures may wait */
    SAMPLES = 64,          /* blocks that are asked which memories have them */
    GIVEN_MIN = 8,         /* tiles that come back at once, for their frame to */
};

bool memory_init(struct memory *m, const struct geometry *g, const struct kernels *k, int capacity)
{
    size_t blocks = (size_t)g->w8 * (size_t)g->h8, ctbs = (size_t)g->ctb_cols * (size_t)g->ctb_rows;
    *m = (struct memory){.g = g, .k = k, .capacity = capacity < DPB_MOST ? capacity : DPB_MOST};
    m->found = calloc(blocks, sizeof m->found[0]);
    m->given = calloc(ctbs, 1);
    return dpb_init(&m->dpb, g) && m->found && m->given;
}

void memory_clear(struct memory *m)
{
    if (m->g)
        dpb_clear(&m->dpb);
    free(m->found);
    free(m->given);
}

void memory_empty(struct memory *m)
{
    dpb_empty(&m->dpb);
    m->no_last = m->keep_last = false;
}

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

static uint64_t hash_block(const struct geometry *g, const struct frame *src, int bx, int by)
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

/* What all pictures, their frames and tiles may take: memories go beyond. At 1080p it is never
 * reached, at 4K in 4:2:0 there is room for ten. */
static const size_t BYTES_MOST = (size_t)160 << 20;

static struct rect tile_blocks(const struct geometry *g, int t)
{
    struct rect r = {t % g->ctb_cols * 8, t / g->ctb_cols * 8, 8, 8};
    return rect_intersect(r, (struct rect){0, 0, g->w8, g->h8});
}

/* Of n blocks of the picture from (bx, by) on, which has this tile the same? Where it is exact that
 * is seen from its samples, else by a hash of what its source was. */
static unsigned same_in_tile(const struct memory *m, const struct frame *pic,
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
            if (hash_block(g, pic, bx + i, by) == tile->hash[first + i])
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
                hits[i] += tile && same_in_tile(m, pic, tile, bx, by, 1);
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
        struct rect r = tile_blocks(g, t);
        if (!todo[t] || !tile || m->given[t] || !is_open(g, r, dirty, match))
            continue;
        for (int by = r.y; by < r.y + r.h; by++) {
            unsigned same = same_in_tile(m, pic, tile, r.x, by, r.w);
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
                m->given[t] = same_in_tile(m, pic, tile, bx, by, n) == (1u << n) - 1;
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
        struct rect r = tile_blocks(g, t), area = {r.x * 8, r.y * 8, r.w * 8, r.h * 8};
        m->given[t] = m->dpb.pic[best]->tile[t] && rect_contains(bounds, rect_intersect(area, all));
    }
    leave_whole(m, pic, m->dpb.pic[best]);
    for (int t = 0; t < ctbs; t++) {
        struct rect r = tile_blocks(g, t);
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
        struct rect r = tile_blocks(g, t);
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

/* ------------------------------------------------------------------ what stays */

static bool referred_to(const struct coder *c, const struct dpb_picture *p)
{
    for (int i = 1; i < c->n_refs; i++)
        if (c->memory[i] == p)
            return true;
    return false;
}

static struct dpb_picture *newest_acked(const struct memory *m)
{
    for (int i = m->dpb.n - 1; i >= 0; i--)
        if (m->dpb.pic[i]->acked)
            return m->dpb.pic[i];
    return NULL;
}

static int waiting(const struct memory *m)
{
    int n = 0;
    for (int i = 0; i < m->dpb.n; i++)
        n += m->dpb.pic[i]->waits && !m->dpb.pic[i]->acked;
    return n;
}

static int memories(const struct memory *m)
{
    int n = 0;
    for (int i = 0; i < m->dpb.n; i++)
        n += m->dpb.pic[i]->memory;
    return n;
}

static int waiting_most(const struct memory *m)
{
    return m->capacity >= MANY_PICTURES ? 2 : 1;
}

static int memories_most(const struct memory *m)
{
    int n = m->capacity - 1 - (m->acks ? 1 + waiting_most(m) : 0);
    return n < 0 ? 0 : n < MEMORIES_MOST ? n : MEMORIES_MOST;
}

/* The memory that was of use the longest ago becomes an ordinary picture. */
static void forget_oldest(struct memory *m, const struct coder *c)
{
    struct dpb_picture *oldest = NULL;
    for (int i = 0; i < m->dpb.n; i++) {
        struct dpb_picture *p = m->dpb.pic[i];
        if (p->memory && !(c && referred_to(c, p)) && (!oldest || p->used < oldest->used))
            oldest = p;
    }
    if (oldest)
        oldest->memory = false;
}

static bool is_big(const struct memory *m)
{
    int all = m->g->w8 * m->g->h8;
    return m->changed >= all / CHANGE_SHARE && m->changed >= CHANGE_MIN;
}

/* Drops what has no reason to stay, but the last one and what this picture refers to. */
static void tidy(struct memory *m, const struct coder *c)
{
    const struct dpb_picture *anchor = newest_acked(m);
    for (int i = m->dpb.n - 2; i >= 0; i--) {
        const struct dpb_picture *p = m->dpb.pic[i];
        if (!p->memory && !(p->waits && !p->acked) && p != anchor && !referred_to(c, p))
            dpb_drop(&m->dpb, i);
    }
}

/* More than fit with the last one: memories go first, then what waits, the newest first. */
static void make_room(struct memory *m, struct coder *c)
{
    for (;;) {
        tidy(m, c);
        if (m->dpb.n <= m->capacity)
            return;
        int before = memories(m);
        forget_oldest(m, c);
        if (memories(m) < before)
            continue;
        for (int i = m->dpb.n - 2; i >= 0; i--) {
            if (!referred_to(c, m->dpb.pic[i])) {
                dpb_drop(&m->dpb, i);
                break;
            }
            if (i == 0)
                return;
        }
    }
}

/* What stays, and whether the picture before does. */
static void decide(struct memory *m, struct coder *c, bool big, int64_t pts_us)
{
    struct dpb *d = &m->dpb;
    m->keep_last = false;
    if (d->n == 0 || m->no_last)
        return;
    struct dpb_picture *last = d->pic[d->n - 1];
    bool calm = m->calls > 1 || pts_us - m->changed_pts_us >= CALM_US;
    if (m->acks && !last->acked && waiting(m) < waiting_most(m))
        last->waits = true;
    if (big && calm && memories_most(m) > 0) {
        last->memory = true;
        last->used = m->count;
    }
    while (memories(m) > memories_most(m)) {
        int before = memories(m);
        forget_oldest(m, c);
        if (memories(m) == before)
            break;
    }
    make_room(m, c);
    while (d->bytes > BYTES_MOST && memories(m) > 0) {
        int before = memories(m);
        forget_oldest(m, c);
        tidy(m, c);
        dpb_trim(d);
        if (memories(m) == before)
            break;
    }
    m->keep_last = last->memory || last->waits || last == newest_acked(m);
}

/* How exact a tile of the reconstruction is, to the one that is kept. */
static void note(const struct memory *m, const struct dpb_now *now, int t, struct dpb_tile *tile)
{
    struct rect r = tile_blocks(m->g, t);
    for (int y = 0; y < r.h; y++) {
        uint8_t *row = tile->inexact + 8 * y;
        memcpy(row, now->inexact + (r.y + y) * m->g->w8 + r.x, (size_t)r.w);
        for (int x = 0; x < r.w; x++)
            if (row[x])
                tile->hash[8 * y + x] = hash_block(m->g, now->src, r.x + x, r.y + y);
    }
}

/* Tiles of which all blocks are as a picture has them, which becomes their only match; how many. */
static int give(struct memory *m, const struct coder *c, int ref, block_match *match,
                const uint8_t *todo)
{
    const struct geometry *g = m->g;
    int k = 0, count = 0;
    while (k < c->n_vectors && c->vectors[k].ref != ref)
        k++;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        struct rect r = tile_blocks(g, t);
        m->given[t] = todo[t] && c->memory[ref]->tile[t];
        for (int by = r.y; m->given[t] && by < r.y + r.h; by++)
            for (int i = 0; i < r.w; i++)
                m->given[t] &= match[by * g->w8 + r.x + i] >> (k + 1) & 1;
        count += m->given[t];
    }
    return k < c->n_vectors ? count : 0;
}

/* If a picture came back in whole tiles, its frame becomes the reconstruction. */
static bool adopt(struct memory *m, const struct coder *c, const struct dpb_now *now,
                  block_match *match, const uint8_t *todo, bool *done)
{
    const struct geometry *g = m->g;
    int best = 0, most = GIVEN_MIN - 1, k = 0;
    for (int ref = 1; ref < c->n_refs; ref++) {
        int count = give(m, c, ref, match, todo);
        if (count > most) {
            most = count;
            best = ref;
        }
    }
    *done = false;
    if (!best)
        return true;
    give(m, c, best, match, todo);
    const struct dpb_picture *p = c->memory[best];
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        struct rect r = tile_blocks(g, t);
        for (int y = 0; m->given[t] && y < r.h; y++)
            memcpy(now->inexact + (r.y + y) * g->w8 + r.x, p->tile[t]->inexact + 8 * y,
                   (size_t)r.w);
    }
    if (!dpb_adopt(&m->dpb, p, todo, m->given, done))
        return false;
    while (c->vectors[k].ref != best)
        k++;
    for (int t = 0; *done && t < g->ctb_cols * g->ctb_rows; t++) {
        struct rect r = tile_blocks(g, t);
        for (int y = 0; m->given[t] && y < r.h; y++)
            memset(match + (r.y + y) * g->w8 + r.x, 2 << k, (size_t)r.w);
    }
    return true;
}

/* Has a picture less than so many blocks that are not in the one that is coded? */
static bool is_shown(const struct memory *m, int picture, int most)
{
    int count = 0;
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows && count < most; t++) {
        struct rect r = tile_blocks(m->g, t);
        for (int by = r.y; m->dpb.pic[picture]->tile[t] && by < r.y + r.h; by++)
            for (int bx = r.x; bx < r.x + r.w; bx++)
                count += !(m->found[by * m->g->w8 + bx] >> picture & 1);
    }
    return count < most;
}

bool memory_begin(struct memory *m, struct coder *c, const struct dpb_now *now, block_match *match,
                  const uint8_t *todo, bool moved, int64_t pts_us)
{
    struct dpb *d = &m->dpb;
    if (!m->matched)
        m->changed = 0;
    bool big = is_big(m), done = false;
    for (int i = 0; i < d->n; i++)
        d->pic[i]->shown = i < d->n - 1 && big && d->pic[i]->memory && is_shown(m, i, CHANGE_MIN);
    d->contents++;
    decide(m, c, big, pts_us);
    int stay = d->n - (m->keep_last || m->no_last ? 0 : 1);
    int ctbs = m->g->ctb_cols * m->g->ctb_rows, count = 0;
    for (int t = 0; t < ctbs; t++)
        count += todo[t];
    bool most = 2 * count > ctbs && stay > 0;
    for (int t = 0; t < ctbs; t++) {
        struct dpb_tile *own = NULL;
        if (todo[t] && !dpb_detach(d, stay, t, most, &own))
            return false;
        if (own)
            note(m, now, t, own);
    }
    if (m->matched && !adopt(m, c, now, match, todo, &done))
        return false;
    if (!done) {
        memset(m->given, 0, (size_t)ctbs);
        d->before = d->now;
        if ((moved || most) && !dpb_leave(d, todo))
            return false;
    }
    if (big) {
        m->calls = 0;
        m->changed_pts_us = pts_us;
    }
    return true;
}

bool memory_end(struct memory *m, uint64_t pic_id, bool key)
{
    struct dpb *d = &m->dpb;
    /* What is on the screen again needs not be remembered beside it. */
    for (int i = 0; i < d->n; i++)
        d->pic[i]->memory &= !d->pic[i]->shown;
    if (key)
        dpb_empty(d);
    else if (d->n > 0 && !m->keep_last && !m->no_last)
        dpb_drop(d, d->n - 1);
    m->matched = m->no_last = false;
    m->count++;
    return dpb_add(d, pic_id, m->poc) != NULL;
}

/* ------------------------------------------------------------------ the slice header */

/* Long-term pictures are told by the low bits of their POC alone: no two may be alike (7.4.7.1). */
static bool lsb_taken(const struct memory *m, int poc)
{
    const int mask = (1 << SCREEN_POC_BITS) - 1;
    for (int i = 0; i < m->dpb.n; i++)
        if (((m->dpb.pic[i]->poc ^ poc) & mask) == 0)
            return true;
    return false;
}

static void add_long(struct slice_params *s, const struct dpb_picture *p, bool used)
{
    s->lt[s->n_lt].poc = p->poc;
    s->lt[s->n_lt++].used = used;
}

void memory_slice(struct memory *m, const struct coder *c, struct slice_params *s)
{
    const struct dpb *d = &m->dpb;
    if (s->key) {
        m->poc = s->poc = 0;
        return;
    }
    do
        m->poc++;
    while (lsb_taken(m, m->poc));
    s->poc = m->poc;
    s->n_refs = c->n_refs;
    const struct dpb_picture *first = d->pic[d->n - 1];
    s->before = m->no_last ? 0 : m->poc - first->poc;
    if (m->no_last)
        add_long(s, first, true);
    for (int i = 1; i < c->n_refs; i++) /* in the order of their indices: 8.3.4 */
        add_long(s, c->memory[i], true);
    for (int i = 0; i < d->n - 1; i++)
        if (!referred_to(c, d->pic[i]))
            add_long(s, d->pic[i], false);
}

int memory_refs(const struct memory *m, const struct coder *c, uint64_t out[REFS_MAX])
{
    int n = 0;
    out[n++] = m->dpb.pic[m->dpb.n - 1]->pic_id;
    for (int i = 1; i < c->n_refs; i++)
        out[n++] = c->memory[i]->pic_id;
    return n;
}

/* ------------------------------------------------------------------ losses */

void memory_acked(struct memory *m, uint64_t pic_id)
{
    struct dpb_picture *p = dpb_find(&m->dpb, pic_id);
    m->acks = true;
    if (p)
        p->acked = true;
}

static bool take_back(struct memory *m, struct dpb_picture *p, int t, const struct frame *pic,
                      struct canvas *v)
{
    const struct geometry *g = m->g;
    const struct dpb_tile *tile = p->tile[t];
    struct rect r = tile_blocks(g, t);
    struct dpb_tile *own;
    if (!dpb_detach(&m->dpb, m->dpb.n, t, false, &own))
        return false;
    if (own)
        note(m, &v->now, t, own);
    dpb_restore(&m->dpb, p, t);
    for (int by = r.y; by < r.y + r.h; by++) {
        unsigned same = same_in_tile(m, pic, tile, r.x, by, r.w);
        for (int i = 0; i < r.w; i++) {
            int at = by * g->w8 + r.x + i;
            v->now.inexact[at] = tile->inexact[8 * (by & 7) + i];
            if (!(same >> i & 1)) {
                v->dirty[at] = 1;
                v->count++;
            }
        }
    }
    return true;
}

bool memory_can_repair(const struct memory *m)
{
    return newest_acked(m) != NULL;
}

bool memory_repair(struct memory *m, const struct frame *pic, struct canvas *v)
{
    struct dpb *d = &m->dpb;
    for (int i = d->n - 1; i >= 0; i--)
        if (!d->pic[i]->acked)
            dpb_drop(d, i);
    struct dpb_picture *anchor = d->pic[d->n - 1];
    m->no_last = true;
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows; t++)
        if (anchor->tile[t] && !take_back(m, anchor, t, pic, v))
            return false;
    return true;
}
