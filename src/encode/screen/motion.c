#include "encode/screen/motion.h"

#include "encode/screen/damage_map.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUSY_BLOCKS = 2048,   /* of more changed blocks a part of the anchors is enough */
    ASKED = 64,           /* blocks that say whether the motion goes on as before */
    WINDOW = 24,          /* samples that are hashed from an anchor on */
    SLOTS_LOG2 = 16,
    PROBES = 8,
    VOTE_SLOTS = 512,
    NEW_ROW_STEP = 2,     /* of the new picture every second row is enough */
    FEWEST_VOTES = 4,
    ROW_MOST = 8192,
};

struct anchor {
    uint32_t hash;
    uint32_t stamp;   /* of the picture; others are empty slots */
    int16_t x, y;     /* x < 0: the same content stands in several places */
};

struct vote {
    int16_t dx, dy;
    int count;
};

struct motion {
    uint32_t stamp;
    struct anchor slot[1 << SLOTS_LOG2];
    struct vote votes[VOTE_SLOTS];
    const struct kernels *k;
    uint32_t skip;        /* anchors of which the hash has one of these bits */
    struct mv last[MATCH_VECTORS];
    int n_last;
    uint32_t chosen[ROW_MOST / 32 + 1]; /* a bit for each sample of a run */
};

struct motion *motion_new(const struct kernels *k)
{
    struct motion *m = calloc(1, sizeof *m);
    if (m)
        m->k = k;
    return m;
}

void motion_free(struct motion **m)
{
    free(*m);
    *m = NULL;
}

static uint32_t hash_window(const uint8_t *p)
{
    uint64_t h = 0, v;
    for (int i = 0; i < WINDOW; i += 8) {
        memcpy(&v, p + i, 8);
        h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 16);
}

static struct anchor *find(struct motion *m, uint32_t hash)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        struct anchor *a = &m->slot[(hash + i) & ((1 << SLOTS_LOG2) - 1)];
        if (a->stamp != m->stamp || a->hash == hash)
            return a;
    }
    return NULL;
}

static void add_old(struct motion *m, uint32_t hash, int x, int y)
{
    struct anchor *a = find(m, hash);
    if (!a)
        return;
    if (a->stamp == m->stamp)
        a->x = -1;
    else
        *a = (struct anchor){hash, m->stamp, (int16_t)x, (int16_t)y};
}

static void vote(struct motion *m, int dx, int dy)
{
    uint32_t at = (uint32_t)(dx * 31 + dy * 1009);
    for (uint32_t i = 0; i < PROBES; i++) {
        struct vote *v = &m->votes[(at + i) % VOTE_SLOTS];
        if (v->count && (v->dx != dx || v->dy != dy))
            continue;
        v->dx = (int16_t)dx;
        v->dy = (int16_t)dy;
        v->count++;
        return;
    }
}

static void look_up(struct motion *m, uint32_t hash, int x, int y)
{
    struct anchor *a = find(m, hash);
    if (a && a->stamp == m->stamp && a->x >= 0 && (a->x != x || a->y != y))
        vote(m, a->x - x, a->y - y);
}

/* The next run of dirty blocks in a row of blocks, from *bx on, in samples. */
static bool next_run(const struct geometry *g, const uint8_t *dirty, int by, int *bx, int *x0,
                     int *x1)
{
    const uint8_t *row = dirty + by * g->w8;
    int x = *bx;
    while (x < g->w8 && !row[x])
        x++;
    if (x >= g->w8)
        return false;
    int end = x;
    /* Over gaps of less than the window: spaces between words did not change. */
    for (int i = x; i < g->w8 && i - end <= 4; i++)
        if (row[i])
            end = i;
    *bx = end + 1;
    *x0 = x * 8;
    *x1 = (end + 1) * 8;
    return true;
}

static void scan(struct motion *m, const struct geometry *g, const uint8_t *plane, int stride,
                 const uint8_t *dirty, int step, void (*what)(struct motion *, uint32_t, int, int))
{
    for (int by = 0; by < g->h8; by++) {
        int bx = 0, x0, x1;
        while (next_run(g, dirty, by, &bx, &x0, &x1)) {
            if (x1 > g->width)
                x1 = g->width;
            int n = x1 - x0 - WINDOW + 1;
            for (int y = by * 8; n > 0 && y < by * 8 + 8 && y < g->height; y += step) {
                const uint8_t *p = plane + (ptrdiff_t)y * stride + x0;
                m->k->anchors(p, n, m->chosen);
                for (int x = 0; x < n; x += 32)
                    for (uint32_t bits = m->chosen[x / 32]; bits; bits &= bits - 1) {
                        int at = x + __builtin_ctz(bits);
                        uint32_t hash = hash_window(p + at);
                        if (!(hash >> 24 & m->skip))
                            what(m, hash, x0 + at, y);
                    }
            }
        }
    }
}

static int by_count(const void *a, const void *b)
{
    return ((const struct vote *)b)->count - ((const struct vote *)a)->count;
}

/* Samples of the changed blocks: are nearly all where the vectors of the picture before say? */
static bool goes_on(const struct motion *m, const struct geometry *g, const struct frame *pic,
                    const struct frame *src, const uint8_t *dirty, int count)
{
    int asked = 0, found = 0, due = 0, step = count / ASKED + 1;
    for (int by = 0; by < g->height / 8 && m->n_last; by++)
        for (int bx = 0; bx < g->width / 8; bx++) {
            if (!dirty[by * g->w8 + bx] || ++due < step)
                continue;
            due = 0;
            asked++;
            unsigned same = 0;
            for (int i = 0; i < m->n_last && !same; i++)
                same = damage_map_same_row(g, m->k, pic, src, bx, by, 1, m->last[i].x >> 2,
                                           m->last[i].y >> 2);
            found += same != 0;
        }
    return asked > 0 && found >= asked - asked / 8;
}

int motion_find(struct motion *m, const struct geometry *g, const struct frame *pic,
                const struct frame *src, const uint8_t *dirty, struct mv out[MATCH_VECTORS])
{
    if (g->width > ROW_MOST)
        return 0;
    int count = 0, n = 0;
    for (int at = 0; at < g->w8 * g->h8; at++)
        count += dirty[at];
    if (goes_on(m, g, pic, src, dirty, count)) {
        memcpy(out, m->last, sizeof m->last);
        return m->n_last;
    }
    m->skip = count > 4 * BUSY_BLOCKS ? 7 : count > BUSY_BLOCKS ? 3 : 0;
    m->stamp++;
    memset(m->votes, 0, sizeof m->votes);
    scan(m, g, src->plane[0], src->stride[0], dirty, 1, add_old);
    scan(m, g, pic->plane[0], pic->stride[0], dirty, NEW_ROW_STEP, look_up);
    qsort(m->votes, VOTE_SLOTS, sizeof m->votes[0], by_count);
    for (int i = 0; i < MATCH_VECTORS; i++) {
        const struct vote *v = &m->votes[i];
        if (v->count < FEWEST_VOTES || v->count < m->votes[0].count / 24)
            break;
        if (abs(v->dx) < 8191 && abs(v->dy) < 8191)
            out[n++] = (struct mv){(int16_t)(v->dx * 4), (int16_t)(v->dy * 4)};
    }
    memcpy(m->last, out, sizeof m->last);
    m->n_last = n;
    return n;
}
