#include "encode/screen/glyphs.h"

#include "encode/screen/chroma.h"
#include "encode/screen/damage_map.h"
#include "encode/screen/map.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS_LOG2 = 17,
    EPOCHS = 4096,        /* main motions that are known; then the table is begun anew */
    LEARN_NEW = 3072,     /* blocks that go into the table at most in a picture: those just coded, */
    LEARN_OLD = 384,      /* others, */
    LEARN_EACH = 8,       /* so many for each block that is looked for */
    ASKED_MIN = 512,      /* lookups, after which fewer than one found in so many ends the search: */
    ASKED_FOUND = 16,     /* a film, or another window */
    RUN_COLUMNS = 8,
    BLOCK_BITS = 20,      /* what a block saves that comes along with a vector */
};

/* hash << 40 | epoch << 28 | x << 14 | y; 0: empty */
typedef uint64_t entry;

struct place {
    int x, y;
};

struct glyphs {
    const struct geometry *g; /* borrows */
    const struct kernels *k;
    uint32_t flat;            /* the hash of a flat block is its sample times this */
    entry *slot;              /* owns */
    struct place moved[EPOCHS]; /* owns; by how much the main motion has moved things until then */
    int epoch;
    uint8_t *pending;         /* owns; places that begin in this block are not in the table: 2: new */
    uint8_t *before;          /* owns; the same of the picture before, while the next is made */
    int *in_row, n_pending;   /* owns; how many of a row of blocks are pending; of all */
    bool *new_in_row;         /* owns; it may have new ones */
    int cursor;
    struct mv *found;         /* owns */
    int *at;                  /* owns; the blocks that were found */
    int n_found, asked, answered; /* in this picture; of lookups alone */
    uint32_t *column, *hash;  /* own; a row's */
};

struct glyphs *glyphs_new(const struct geometry *g, const struct kernels *k)
{
    struct glyphs *gl = calloc(1, sizeof *gl);
    if (!gl)
        return NULL;
    size_t blocks = (size_t)g->w8 * (size_t)g->h8, row = (size_t)g->cw + 16;
    gl->g = g;
    gl->k = k;
    gl->slot = calloc((size_t)HASH_WAYS << BUCKETS_LOG2, sizeof gl->slot[0]);
    gl->pending = calloc(blocks, 1);
    gl->before = malloc(blocks);
    gl->in_row = calloc((size_t)g->h8, sizeof gl->in_row[0]);
    gl->new_in_row = calloc((size_t)g->h8, sizeof gl->new_in_row[0]);
    gl->found = malloc(blocks * sizeof gl->found[0]);
    gl->at = malloc(blocks * sizeof gl->at[0]);
    gl->column = calloc(row, sizeof gl->column[0]);
    gl->hash = calloc(row, sizeof gl->hash[0]);
    if (!gl->slot || !gl->pending || !gl->before || !gl->in_row || !gl->new_in_row || !gl->found ||
        !gl->at || !gl->column || !gl->hash) {
        glyphs_free(&gl);
        return NULL;
    }
    uint8_t ones[64];
    memset(ones, 1, sizeof ones);
    k->hash_row(ones, 8, 1, true, gl->column, gl->hash);
    gl->flat = gl->hash[0];
    for (size_t i = 0; i < blocks; i++)
        gl->found[i] = MV_NONE;
    glyphs_changed(gl, NULL);
    return gl;
}

void glyphs_free(struct glyphs **gl)
{
    if (!*gl)
        return;
    free((*gl)->slot);
    free((*gl)->pending);
    free((*gl)->before);
    free((*gl)->in_row);
    free((*gl)->new_in_row);
    free((*gl)->found);
    free((*gl)->at);
    free((*gl)->column);
    free((*gl)->hash);
    free(*gl);
    *gl = NULL;
}

const struct mv *glyphs_found(const struct glyphs *gl)
{
    return gl->found;
}

/* Is next to nothing of this picture in the table? */
static bool is_strange(const struct glyphs *gl)
{
    return gl->asked >= ASKED_MIN && gl->answered * ASKED_FOUND < gl->asked;
}

/* ------------------------------------------------------------------ the table */

/* The places that begin in n blocks beside each other. */
static void learn_run(struct glyphs *gl, const struct frame *src, int bx, int by, int n)
{
    const struct geometry *g = gl->g;
    int x0 = bx * 8, w = n * 8, h = 8;
    if (x0 + w > g->width - 7)
        w = g->width - 7 - x0;
    if (by * 8 + h > g->height - 7)
        h = g->height - 7 - by * 8;
    for (int j = 0; j < h && w > 0; j++) {
        const uint8_t *p = frame_at(src, 0, x0, by * 8 + j);
        gl->k->hash_row(p, src->stride[0], w, j == 0, gl->column, gl->hash);
        gl->k->hash_enter(gl->slot, BUCKETS_LOG2, gl->hash, p, gl->flat, w,
                          (entry)gl->epoch << 28 | (entry)x0 << 14 | (entry)(by * 8 + j));
    }
}

/* Those pending in rows of blocks from the cursor on; only new ones, or all. */
static void learn(struct glyphs *gl, const struct frame *src, int most, uint8_t least)
{
    const struct geometry *g = gl->g;
    for (int row = 0; row < g->h8 && most > 0 && gl->n_pending > 0; row++) {
        int by = (gl->cursor + row) % g->h8;
        uint8_t *p = gl->pending + by * g->w8;
        bool none = least == 2 ? !gl->new_in_row[by] : !gl->in_row[by];
        gl->new_in_row[by] = false;
        for (int bx = none ? g->w8 : 0, end; bx < g->w8; bx = end + 1) {
            for (end = bx; end < g->w8 && p[end] >= least; end++)
                p[end] = 0;
            if (end == bx)
                continue;
            learn_run(gl, src, bx, by, end - bx);
            gl->in_row[by] -= end - bx;
            gl->n_pending -= end - bx;
            most -= end - bx;
        }
        if (least == 1 && most <= 0)
            gl->cursor = (by + 1) % g->h8;
    }
}

void glyphs_learn(struct glyphs *gl, const struct frame *src, int blocks)
{
    if (gl->n_pending > 0)
        learn(gl, src, blocks, 1);
}

/* ------------------------------------------------------------------ what is not in it */

static void set_pending(struct glyphs *gl, int bx, int by, uint8_t what)
{
    uint8_t *p = &gl->pending[by * gl->g->w8 + bx];
    int more = (what != 0) - (*p != 0);
    *p = what;
    gl->new_in_row[by] |= what == 2;
    gl->in_row[by] += more;
    gl->n_pending += more;
}

/* The places of which samples are in a block that changed. */
static void mark(struct glyphs *gl, int bx, int by, uint8_t what)
{
    for (int y = by - (by > 0); y <= by; y++)
        for (int x = bx - (bx > 0); x <= bx; x++)
            if (gl->pending[y * gl->g->w8 + x] < what)
                set_pending(gl, x, y, what);
}

/* mark(…, 1) of all blocks of r. */
static void mark_all(struct glyphs *gl, struct rect r)
{
    for (int y = r.y - (r.y > 0); y < r.y + r.h; y++) {
        uint8_t *p = gl->pending + y * gl->g->w8;
        int more = 0;
        for (int x = r.x - (r.x > 0); x < r.x + r.w; x++) {
            more += !p[x];
            p[x] = p[x] ? p[x] : 1;
        }
        gl->in_row[y] += more;
        gl->n_pending += more;
    }
}

void glyphs_changed(struct glyphs *gl, const uint8_t *dirty)
{
    const struct geometry *g = gl->g;
    if (!dirty) {
        mark_all(gl, (struct rect){0, 0, g->w8, g->h8});
        return;
    }
    for (int by = 0; by < g->h8; by++)
        for (int bx = 0; bx < g->w8; bx++)
            if (dirty[by * g->w8 + bx])
                mark(gl, bx, by, 1);
}

/* Of what moved by v to n blocks beside each other: of which was a part not in the table? A bit each. */
static unsigned was_pending(const struct glyphs *gl, int bx, int by, int n, struct mv v)
{
    const struct geometry *g = gl->g;
    int x = bx * 8 + (v.x >> 2), y = by * 8 + (v.y >> 2), first = x >> 3, more = (x & 7) != 0;
    uint64_t any = 0;
    for (int j = y >> 3; j <= (y + 7) >> 3; j++) {
        if (j < 0 || j >= g->h8 || first < 0 || first + n + more > g->w8)
            return 0xff; /* not all of it; as a whole is near enough */
        const uint8_t *p = gl->before + j * g->w8 + first;
        any |= map_row(p, n);
        if (more)
            any |= map_row(p + 1, n);
    }
    return map_bits(any);
}

/* What follows the main motion is in the table if it was. */
static void follow_row(struct glyphs *gl, const struct glyphs_job *job, struct rect r, int by, bool any)
{
    int at = by * gl->g->w8 + r.x;
    uint64_t match = map_row(job->match + at, r.w), pending = map_row(gl->pending + at, r.w);
    unsigned dirty = map_bits(map_row(job->dirty + at, r.w)), new = dirty & ~map_bits(match);
    unsigned main = 0, again = dirty & ~new;
    if (job->n_vectors && !job->vectors[0].ref) {
        main = again & map_bits(match & UINT64_C(0x0202020202020202));
        again &= ~main;
    }
    for (; new; new &= new - 1)
        mark(gl, r.x + __builtin_ctz(new), by, is_strange(gl) ? 1 : 2);
    for (; again; again &= again - 1)
        mark(gl, r.x + __builtin_ctz(again), by, 1);
    if (!any || !main)
        return;
    unsigned was = was_pending(gl, r.x, by, r.w, job->vectors[0]);
    /* Those at 2 are beside a new one. */
    main &= (was ^ map_bits(pending)) & ~map_bits(pending & UINT64_C(0x0202020202020202));
    for (; main; main &= main - 1) {
        int i = __builtin_ctz(main);
        if (gl->pending[at + i] < 2)
            set_pending(gl, r.x + i, by, was >> i & 1);
    }
}

/* Has all of a tree block changed, without anything in it that is new? */
static bool all_came(const struct glyphs *gl, const struct glyphs_job *job, struct rect r)
{
    uint64_t all = UINT64_MAX, ones = UINT64_C(0x0101010101010101) >> (64 - 8 * r.w);
    for (int by = r.y; by < r.y + r.h; by++) {
        int at = by * gl->g->w8 + r.x;
        all &= map_ones(map_row(job->dirty + at, r.w)) & map_ones(map_row(job->match + at, r.w));
    }
    return all == ones;
}

/* From the picture before to the new one. */
static void follow(struct glyphs *gl, const struct glyphs_job *job)
{
    const struct geometry *g = gl->g;
    bool moved = job->n_vectors > 0 && !job->vectors[0].ref, any = moved && gl->n_pending > 0;
    if (any)
        memcpy(gl->before, gl->pending, (size_t)g->w8 * (size_t)g->h8);
    for (int t = g->ctb_cols * g->ctb_rows - 1; t >= 0; t--) {
        if (!job->todo[t])
            continue;
        struct rect r = map_tile(g, t);
        if (!moved && all_came(gl, job, r)) {
            mark_all(gl, r);
            continue;
        }
        for (int by = r.y + r.h - 1; by >= r.y; by--)
            follow_row(gl, job, r, by, any);
    }
    if (!moved)
        return;
    struct place now = gl->moved[gl->epoch];
    if (++gl->epoch == EPOCHS) {
        memset(gl->slot, 0, ((size_t)HASH_WAYS << BUCKETS_LOG2) * sizeof gl->slot[0]);
        gl->epoch = 0;
        now = (struct place){0, 0};
        glyphs_changed(gl, NULL);
    }
    gl->moved[gl->epoch] = (struct place){now.x - (job->vectors[0].x >> 2),
                                          now.y - (job->vectors[0].y >> 2)};
}

/* ------------------------------------------------------------------ blocks */

/* In place only what does not change is still there when it is asked for; half samples of chroma
 * reach two of luma further. */
static bool stays(const struct glyphs *gl, const struct glyphs_job *job, int x, int y, bool half)
{
    const struct geometry *g = gl->g;
    int before = half ? 2 : 0, after = 7 + (half ? 4 : 0);
    for (int j = (y - before) >> 3; j <= (y + after) >> 3; j++)
        for (int i = (x - before) >> 3; i <= (x + after) >> 3; i++)
            if (i >= 0 && j >= 0 && i < g->w8 && j < g->h8 && job->dirty[j * g->w8 + i])
                return false;
    return true;
}

/* Of n blocks from (bx, by) on: which are to be found, and are there at this vector. */
static unsigned there(const struct glyphs *gl, const struct glyphs_job *job, int bx, int by, int n,
                      struct mv mv)
{
    const struct geometry *g = gl->g;
    unsigned same = damage_map_same_row(g, gl->k, job->pic, job->src, bx, by, n, mv.x >> 2,
                                        mv.y >> 2);
    bool half = chroma_is_half(g, mv);
    for (unsigned bits = same; bits; bits &= bits - 1) {
        int i = __builtin_ctz(bits), at = by * g->w8 + bx + i;
        bool is = !job->match[at] && job->dirty[at];
        if (is && job->in_place)
            is = stays(gl, job, (bx + i) * 8 + (mv.x >> 2), by * 8 + (mv.y >> 2), half);
        if (!is)
            same &= ~(1u << i);
    }
    if (same && half) {
        struct chroma_view v = {g, gl->k, job->pic, job->rec, job->inexact};
        same &= chroma_bearable(&v, bx, by, n, mv);
    }
    return same;
}

static void take(struct glyphs *gl, int at, struct mv mv)
{
    gl->found[at] = mv;
    gl->at[gl->n_found++] = at;
}

/* The vector of a block that is coded before, or MV_NONE. */
static struct mv beside(const struct glyphs *gl, const struct glyphs_job *job, int bx, int by)
{
    if (bx < 0 || by < 0 || bx >= gl->g->w8)
        return MV_NONE;
    int at = by * gl->g->w8 + bx;
    block_match m = job->match[at];
    if (!m)
        return gl->found[at];
    return m & MATCH_KEEP ? (struct mv){0} : job->vectors[__builtin_ctz(m) - 1];
}

static bool goes_on(struct glyphs *gl, const struct glyphs_job *job, int bx, int by,
                    const struct mv near[4])
{
    for (int i = 0; i < 4; i++) {
        bool known = near[i].ref != 0 || (!near[i].x && !near[i].y);
        for (int j = 0; j < i; j++)
            known |= mv_same(near[i], near[j]);
        if (!known && there(gl, job, bx, by, 1, near[i])) {
            take(gl, by * gl->g->w8 + bx, near[i]);
            return true;
        }
    }
    return false;
}

/* How much a vector from (bx, by) on saves: the blocks that come along to the right, and below
 * those. run: those to the right. */
static int worth(const struct glyphs *gl, const struct glyphs_job *job, int bx, int by,
                 struct mv mv, const struct mv near[4], unsigned *run)
{
    int n = gl->g->w8 - bx < RUN_COLUMNS ? gl->g->w8 - bx : RUN_COLUMNS;
    unsigned same = there(gl, job, bx, by, n, mv);
    if (!(same & 1))
        return 0;
    same &= (same ^ (same + 1)) >> 1; /* up to the first that is not */
    unsigned below = by + 1 < gl->g->h8 ? same & there(gl, job, bx, by + 1, n, mv) : 0;
    int bits = INT32_MAX;
    for (int i = 0; i < 2; i++) {
        struct mv from = near[i].ref ? (struct mv){0} : near[i];
        int cost = (int)inter_mvd_cost(mv, from);
        bits = cost < bits ? cost : bits;
    }
    *run = same;
    int saved = BLOCK_BITS * 16 * (__builtin_popcount(same) + __builtin_popcount(below)) - bits;
    return saved < 1 ? 1 : saved;
}

static bool look_up(struct glyphs *gl, const struct glyphs_job *job, int bx, int by, uint32_t hash,
                    const struct mv near[4])
{
    const entry *b = hash_bucket(gl->slot, BUCKETS_LOG2, hash);
    struct place now = gl->moved[gl->epoch];
    struct mv best = MV_NONE, tried = MV_NONE;
    unsigned best_run = 0, run;
    int most = 0;
    for (int i = 0; i < HASH_WAYS; i++) {
        if (b[i] >> 40 != (hash & 0xffffff) || !b[i])
            continue;
        struct place was = gl->moved[b[i] >> 28 & (EPOCHS - 1)];
        for (int way = 0; way < 2; way++) { /* it moved, or it did not */
            int x = (int)(b[i] >> 14 & 0x3fff) + (way ? 0 : now.x - was.x);
            int y = (int)(b[i] & 0x3fff) + (way ? 0 : now.y - was.y);
            int dx = x - bx * 8, dy = y - by * 8;
            if (abs(dx) > 8190 || abs(dy) > 8190 || (!dx && !dy))
                continue;
            struct mv mv = {(int16_t)(dx * 4), (int16_t)(dy * 4), 0};
            if (mv_same(mv, tried))
                continue;
            tried = mv;
            int saved = worth(gl, job, bx, by, mv, near, &run);
            if (saved > most) {
                most = saved;
                best = mv;
                best_run = run;
            }
            if (saved)
                break;
        }
    }
    for (; best_run; best_run &= best_run - 1)
        take(gl, by * gl->g->w8 + bx + __builtin_ctz(best_run), best);
    return most > 0;
}

static void find_block(struct glyphs *gl, const struct glyphs_job *job, int bx, int by)
{
    if (bx * 8 + 8 > gl->g->width || by * 8 + 8 > gl->g->height)
        return;
    const uint8_t *p = frame_at(job->pic, 0, bx * 8, by * 8);
    const struct mv near[4] = {beside(gl, job, bx - 1, by), beside(gl, job, bx, by - 1),
                               beside(gl, job, bx + 1, by - 1), beside(gl, job, bx - 1, by - 1)};
    if (goes_on(gl, job, bx, by, near) || is_strange(gl))
        return;
    uint32_t column[16], hash[16];
    gl->k->hash_row(p, job->pic->stride[0], 1, true, column, hash);
    if (hash[0] == gl->flat * p[0])
        return;
    gl->asked++;
    gl->answered += look_up(gl, job, bx, by, hash[0], near);
}

/* Of a row of a tree block: those to look for. */
static unsigned new_bits(const struct glyphs *gl, const struct glyphs_job *job, struct rect r, int by)
{
    int at = by * gl->g->w8 + r.x;
    unsigned dirty = map_bits(map_row(job->dirty + at, r.w));
    return dirty ? dirty & ~map_bits(map_row(job->match + at, r.w)) : 0;
}

int glyphs_wanted(const struct glyphs *gl, const struct glyphs_job *job)
{
    int count = 0;
    for (int t = 0; t < gl->g->ctb_cols * gl->g->ctb_rows; t++) {
        if (!job->todo[t])
            continue;
        struct rect r = map_tile(gl->g, t);
        for (int by = r.y; by < r.y + r.h; by++)
            count += __builtin_popcount(new_bits(gl, job, r, by));
    }
    return count;
}

int glyphs_find(struct glyphs *gl, const struct glyphs_job *job)
{
    const struct geometry *g = gl->g;
    for (int i = 0; i < gl->n_found; i++)
        gl->found[gl->at[i]] = MV_NONE;
    gl->n_found = gl->asked = gl->answered = 0;
    int count = glyphs_wanted(gl, job);
    if (gl->n_pending > 0 && count > 0) {
        learn(gl, job->src, LEARN_NEW, 2);
        learn(gl, job->src, count < LEARN_OLD / LEARN_EACH ? count * LEARN_EACH : LEARN_OLD, 1);
    }
    for (int t = 0; t < g->ctb_cols * g->ctb_rows && count > 0; t++) {
        if (!job->todo[t])
            continue;
        struct rect r = map_tile(g, t);
        for (int by = r.y; by < r.y + r.h; by++)
            for (unsigned new = new_bits(gl, job, r, by); new; new &= new - 1) {
                int bx = r.x + __builtin_ctz(new);
                if (gl->found[by * g->w8 + bx].ref == MV_NONE_REF)
                    find_block(gl, job, bx, by);
            }
    }
    follow(gl, job);
    return gl->n_found;
}
