#include "encode/screen/memory.h"

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
};

bool memory_init(struct memory *m, const struct geometry *g, int capacity)
{
    size_t blocks = (size_t)g->w8 * (size_t)g->h8;
    *m = (struct memory){.g = g, .capacity = capacity < DPB_MOST ? capacity : DPB_MOST};
    dpb_init(&m->dpb, g);
    m->hash = calloc(blocks, sizeof m->hash[0]);
    m->fresh = calloc(blocks, sizeof m->fresh[0]);
    m->found = calloc(blocks, sizeof m->found[0]);
    return m->hash && m->fresh && m->found;
}

void memory_clear(struct memory *m)
{
    if (m->g)
        dpb_clear(&m->dpb);
    free(m->hash);
    free(m->fresh);
    free(m->found);
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
static uint64_t hash_edge(const struct picture *pic, int plane, int x, int y, int n, int pw, int ph)
{
    uint8_t block[64];
    for (int j = 0; j < n; j++) {
        int row = y + j < ph ? y + j : ph - 1;
        const uint8_t *p = pic->plane[plane] + (ptrdiff_t)row * pic->stride[plane];
        for (int i = 0; i < n; i++)
            block[j * n + i] = p[x + i < pw ? x + i : pw - 1];
    }
    return hash_plane(block, n, n);
}

static uint64_t hash_block(const struct geometry *g, const struct picture *pic, int bx, int by)
{
    uint64_t h = 0;
    for (int i = 0; i < 3; i++) {
        int s = i ? g->cshift : 0, n = 8 >> s, x = bx * n, y = by * n;
        int pw = (g->width + s) >> s, ph = (g->height + s) >> s;
        bool inside = x + n <= pw && y + n <= ph;
        h = mix(h, inside ? hash_plane(pic->plane[i] + (ptrdiff_t)y * pic->stride[i] + x,
                                       pic->stride[i], n)
                          : hash_edge(pic, i, x, y, n, pw, ph));
    }
    return h;
}

/* ------------------------------------------------------------------ what is found again */

static struct rect tile_blocks(const struct geometry *g, int t)
{
    struct rect r = {t % g->ctb_cols * 8, t / g->ctb_cols * 8, 8, 8};
    return rect_intersect(r, (struct rect){0, 0, g->w8, g->h8});
}

/* Which pictures but the last have this block; what is kept anyway may as well come from one that
 * has it exactly, so that a unit of both is one. */
static uint16_t find_block(const struct memory *m, int t, int in_tile, uint64_t hash, bool dirty)
{
    uint16_t found = 0;
    for (int i = 0; i < m->dpb.n - 1; i++) {
        const struct dpb_tile *tile = m->dpb.pic[i]->tile[t];
        if (tile && tile->hash[in_tile] == hash && (dirty || !tile->inexact[in_tile]))
            found |= (uint16_t)(1 << i);
    }
    return found;
}

void memory_hash(struct memory *m, const struct picture *pic, const uint8_t *dirty,
                 const uint8_t *todo)
{
    const struct geometry *g = m->g;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        if (!todo[t])
            continue;
        struct rect r = tile_blocks(g, t);
        for (int by = r.y; by < r.y + r.h; by++)
            for (int bx = r.x; bx < r.x + r.w; bx++) {
                int at = by * g->w8 + bx;
                m->fresh[at] = dirty[at] ? hash_block(g, pic, bx, by) : m->hash[at];
                m->found[at] = find_block(m, t, 8 * (by & 7) + (bx & 7), m->fresh[at], dirty[at]);
            }
    }
    m->matched = true;
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

int memory_inexact(const struct coder *c, block_match match, int t, int in_tile)
{
    if (match < 2 || match & MATCH_KEEP)
        return 0;
    int ref = c->vectors[__builtin_ctz(match) - 1].ref;
    return ref ? c->memory[ref]->tile[t]->inexact[in_tile] : 0;
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

bool memory_begin(struct memory *m, struct coder *c, const struct dpb_now *now,
                  const uint8_t *todo, const uint8_t *dirty, int64_t pts_us)
{
    struct dpb *d = &m->dpb;
    if (!m->matched)
        m->changed = 0;
    bool big = is_big(m);
    m->keep_last = false;
    if (d->n > 0 && !m->no_last) {
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
        m->keep_last = last->memory || last->waits || last == newest_acked(m);
    }
    int stay = d->n - (m->keep_last || m->no_last ? 0 : 1);
    const struct geometry *g = m->g;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++)
        if (todo[t] && !dpb_detach(d, stay, t, now))
            return false;
    if (m->matched)
        for (int at = 0; at < g->w8 * g->h8; at++)
            if (dirty[at])
                m->hash[at] = m->fresh[at];
    if (big) {
        m->calls = 0;
        m->changed_pts_us = pts_us;
    }
    return true;
}

bool memory_end(struct memory *m, uint64_t pic_id, bool key)
{
    struct dpb *d = &m->dpb;
    if (key)
        dpb_empty(d);
    else if (d->n > 0 && !m->keep_last && !m->no_last)
        dpb_drop(d, d->n - 1);
    /* What is on the screen again needs not be remembered beside it. */
    if (m->matched && is_big(m))
        for (int i = 0; i < d->n; i++)
            if (d->pic[i]->memory && dpb_differs(d, d->pic[i], m->hash, CHANGE_MIN) < CHANGE_MIN)
                d->pic[i]->memory = false;
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

static void take_back(struct memory *m, struct dpb_picture *p, int t, struct canvas *v)
{
    const struct geometry *g = m->g;
    struct rect r = tile_blocks(g, t);
    dpb_restore(&m->dpb, p, t, &v->rec);
    v->stale[t] = true;
    for (int by = r.y; by < r.y + r.h; by++)
        for (int bx = r.x; bx < r.x + r.w; bx++) {
            int at = by * g->w8 + bx, in_tile = 8 * (by & 7) + (bx & 7);
            v->n_inexact -= v->inexact[at] != 0;
            v->inexact[at] = p->tile[t]->inexact[in_tile];
            v->n_inexact += v->inexact[at] != 0;
            if (p->tile[t]->hash[in_tile] != m->hash[at]) {
                v->dirty[at] = 1;
                v->todo[t] = 1;
            }
        }
}

bool memory_can_repair(const struct memory *m)
{
    return newest_acked(m) != NULL;
}

void memory_repair(struct memory *m, struct canvas *v)
{
    struct dpb *d = &m->dpb;
    for (int i = d->n - 1; i >= 0; i--)
        if (!d->pic[i]->acked)
            dpb_drop(d, i);
    struct dpb_picture *anchor = d->pic[d->n - 1];
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows; t++)
        if (anchor->tile[t])
            take_back(m, anchor, t, v);
    m->no_last = true;
}
