#include "encode/screen/memory.h"

#include "encode/screen/memory_find.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORIES_MOST = 8,
    CHANGE_SHARE = 64,     /* of all blocks: so much is worth remembering what was before, */
    CHANGE_MIN = 32,
    CALM_US = 200000,      /* if that had been there for so long */
    MANY_PICTURES = 8,     /* capacity from which two pictures may wait */
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

/* ------------------------------------------------------------------ what stays */

/* What all pictures, their frames and tiles may take: memories go beyond. At 1080p it is never
 * reached, at 4K in 4:2:0 there is room for ten. */
static const size_t BYTES_MOST = (size_t)160 << 20;

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
    struct rect r = map_tile(m->g, t);
    const uint8_t *inexact = now->inexact + r.y * m->g->w8 + r.x;
    uint64_t any = 0;
    for (int y = 0; y < r.h; y++)
        any |= map_row(inexact + y * m->g->w8, r.w);
    tile->exact = !any;
    for (int y = 0; any && y < r.h; y++) {
        uint8_t *row = tile->inexact + 8 * y;
        memcpy(row, inexact + y * m->g->w8, (size_t)r.w);
        for (int x = 0; x < r.w; x++)
            if (row[x])
                tile->hash[8 * y + x] = memory_hash_block(m->g, now->src, r.x + x, r.y + y);
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
        m->given[t] = todo[t] && c->memory[ref]->tile[t];
        if (!m->given[t])
            continue;
        struct rect r = map_tile(g, t);
        uint64_t all = UINT64_MAX;
        for (int by = r.y; by < r.y + r.h; by++)
            all &= map_row(match + by * g->w8 + r.x, r.w);
        uint64_t bit = (UINT64_C(0x0101010101010101) << (k + 1)) & (UINT64_MAX >> (64 - 8 * r.w));
        m->given[t] = (all & bit) == bit;
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
        if (!m->given[t])
            continue;
        struct rect r = map_tile(g, t);
        if (p->tile[t]->exact)
            map_fill(now->inexact, g, r, 0);
        for (int y = 0; !p->tile[t]->exact && y < r.h; y++)
            memcpy(now->inexact + (r.y + y) * g->w8 + r.x, p->tile[t]->inexact + 8 * y,
                   (size_t)r.w);
    }
    if (!dpb_adopt(&m->dpb, p, todo, m->given, done))
        return false;
    while (c->vectors[k].ref != best)
        k++;
    for (int t = 0; *done && t < g->ctb_cols * g->ctb_rows; t++)
        if (m->given[t])
            map_fill(match, g, map_tile(g, t), 2 << k);
    return true;
}

/* Has a picture less than so many blocks that are not in the one that is coded? */
static bool is_shown(const struct memory *m, int picture, int most)
{
    int count = 0;
    for (int t = 0; t < m->g->ctb_cols * m->g->ctb_rows && count < most; t++) {
        if (!m->dpb.pic[picture]->tile[t] ||
            (m->given[t] && memory_found_in(m, t) >> picture & 1))
            continue;
        struct rect r = map_tile(m->g, t);
        for (int by = r.y; by < r.y + r.h; by++)
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
    struct rect r = map_tile(g, t);
    struct dpb_tile *own;
    if (!dpb_detach(&m->dpb, m->dpb.n, t, false, &own))
        return false;
    if (own)
        note(m, &v->now, t, own);
    dpb_restore(&m->dpb, p, t);
    for (int by = r.y; by < r.y + r.h; by++) {
        unsigned same = memory_same_in_tile(m, pic, tile, r.x, by, r.w);
        for (int i = 0; i < r.w; i++) {
            int at = by * g->w8 + r.x + i;
            v->now.inexact[at] = (uint8_t)dpb_tile_inexact(tile, 8 * (by & 7) + i);
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
