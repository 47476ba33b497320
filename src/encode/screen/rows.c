#include "encode/screen/rows.h"

#include "base/pool.h"
#include "encode/screen/damage_map.h"
#include "encode/screen/map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CTU_BYTES_MOST = 1 << 16, /* no tree block takes more, even lossless 4:4:4 noise */
    SHARED_BLOCKS_MIN = 512,  /* new 8x8 blocks, or a quarter of the picture: fewer are not
                                 worth waking a thread, nor the ends and entry points of the rows */
    MOVED_WEIGHT = 6,         /* and a tree block's moved ones count as so many */
};

/* What a row took up to a tree block, that one included. */
struct spent {
    double estimated; /* bytes of what was coded, at its QPs */
    uint32_t bytes;
    uint16_t blocks[RATE_BINS]; /* of the work that is done */
    uint8_t qp;
};

struct row {
    struct coder coder; /* owns its cabac's memory */
    uint8_t sync[CTX_COUNT]; /* after two tree blocks, for the row below */
    int qp;
    int more_inexact; /* as in rows_result */
    atomic_int done; /* tree blocks */
};

struct rows {
    const struct geometry *g; /* borrows */
    struct pool *pool;        /* borrows; NULL: no wavefronts */
    const struct rows_job *job;
    struct spent *spent;      /* owns; of each tree block */
    struct substream *streams; /* owns; data borrows from the rows' coders */
    bool shared;              /* more than one thread works on this picture */
    atomic_bool failed;
    atomic_int waiting;       /* threads that sleep until a row is further */
    pthread_mutex_t lock;     /* for the sleep alone */
    pthread_cond_t further;
    int n;                    /* arithmetic coders of this picture: 1, or one for each row */
    int room;                 /* for so many */
    struct row row[];
};

struct rows *rows_new(const struct geometry *g, struct pool *pool)
{
    int room = pool ? g->ctb_rows : 1;
    struct rows *r = calloc(1, sizeof *r + (size_t)room * sizeof r->row[0]);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->further, NULL);
    r->g = g;
    r->pool = pool;
    r->n = 1;
    r->room = room;
    r->spent = calloc((size_t)g->ctb_cols * (size_t)g->ctb_rows, sizeof r->spent[0]);
    r->streams = calloc((size_t)room, sizeof r->streams[0]);
    if (!r->spent || !r->streams)
        rows_free(&r);
    return r;
}

void rows_free(struct rows **rows)
{
    struct rows *r = *rows;
    if (!r)
        return;
    for (int i = 0; i < r->room; i++)
        cabac_free(&r->row[i].coder.cabac);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->further);
    free(r->spent);
    free(r->streams);
    free(r);
    *rows = NULL;
}

const struct substream *rows_streams(const struct rows *r, int *count)
{
    *count = r->n;
    return r->streams;
}

/* A tree block in which nothing is to be done: any more, or in this picture. */
static void put_off(const struct rows_job *job, const struct geometry *g, int t)
{
    map_fill(job->match, g, map_tile(g, t), MATCH_KEEP);
    job->todo[t] = 0;
}

enum { SEE = 255 }; /* of a block's exactness: nobody knows, its samples are to be compared */

/* How exact the blocks of a row are (n from (bx, by) on) that were moved by a vector: as what they
 * moved from. `which`: those that were; of others nothing is said. */
static void moved_inexact(const struct rows_job *job, struct mv mv, int bx, int by, int n,
                          unsigned which, uint8_t out[MAP_TILE])
{
    const struct geometry *g = job->coder->g;
    int x = bx * 8 + (mv.x >> 2), y = by * 8 + (mv.y >> 2), next = (x & 7) != 0;
    const uint8_t *a = job->before + (y >> 3) * g->w8 + (x >> 3);
    const uint8_t *b = job->before + ((y + 7) >> 3) * g->w8 + (x >> 3);
    /* Chroma is interpolated, or what lies beyond the picture's edge is not repeated. */
    if ((g->cshift && ((x | y) & 1)) || (bx + n) * 8 > g->width || (by + 1) * 8 > g->height) {
        memset(out, SEE, MAP_TILE);
        return;
    }
    for (int i = 0; i < n; i++) {
        if (which != 0xff && !(which >> i & 1))
            continue;
        uint8_t upper = a[i] > a[i + next] ? a[i] : a[i + next];
        uint8_t lower = b[i] > b[i + next] ? b[i] : b[i + next];
        out[i] = upper > lower ? upper : lower;
    }
}

/* How exact the blocks are by one of the ways that are open to them: bit k of their match. */
static void way_inexact(const struct rows_job *job, int t, struct rect r, int by, int k,
                        unsigned which, uint8_t out[MAP_TILE])
{
    const struct coder *c = job->coder;
    if (k == 0) {
        memcpy(out, job->before + by * c->g->w8 + r.x, (size_t)r.w);
        return;
    }
    struct mv mv = c->vectors[k - 1];
    if (!mv.ref) {
        moved_inexact(job, mv, r.x, by, r.w, which, out);
        return;
    }
    const struct dpb_tile *tile = c->memory[mv.ref]->tile[t];
    if (tile->exact)
        memset(out, 0, MAP_TILE);
    else
        memcpy(out, tile->inexact + 8 * (by & 7), MAP_TILE);
}

/* Of several ways that are open to a block one is taken, together with the blocks beside it: where
 * they are not equally exact its samples tell. */
static void settle_row(const struct rows_job *job, const struct coder *c, int t, struct rect r,
                       int by, int qp, uint64_t match)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint8_t *to = job->inexact + by * c->g->w8 + r.x, now[MAP_TILE], way[MAP_TILE] = {0};
    unsigned decided = 0;
    memset(now, qp == RATE_LOSSLESS ? 0 : SEE, sizeof now);
    for (int k = 0; k < 8; k++) {
        unsigned which = map_bits(match & ones << k);
        if (!which)
            continue;
        way_inexact(job, t, r, by, k, which, way);
        for (unsigned left = which & decided; left; left &= left - 1) {
            int i = __builtin_ctz(left);
            way[i] = now[i] != way[i] ? SEE : way[i];
        }
        for (int i = 0; i < MAP_TILE; i++)
            now[i] = which >> i & 1 ? way[i] : now[i];
        decided |= which;
    }
    unsigned see = map_bits(~map_row(now, MAP_TILE)) ^ 0xff; /* SEE is all ones */
    see &= (1u << r.w) - 1;
    unsigned exact = see ? damage_map_equal_row(c->g, c->k, &c->rec, &c->src, r.x, by, r.w) : 0;
    for (; see; see &= see - 1) {
        int i = __builtin_ctz(see);
        now[i] = exact >> i & 1 ? 0 : (uint8_t)(qp ? qp : 1);
    }
    memcpy(to, now, (size_t)r.w);
}

/* After a tree block: which of its blocks are exact now, and how many more are not than before; the maps
 * as the next picture wants them. */
static int settle(const struct rows_job *job, const struct coder *c, int t, int qp)
{
    struct rect r = map_tile(c->g, t);
    uint64_t ones = UINT64_C(0x0101010101010101) >> (64 - 8 * r.w);
    for (int by = r.y; by < r.y + r.h && !job->given[t]; by++) {
        uint64_t match = map_row(job->match + by * c->g->w8 + r.x, r.w);
        if (match != MATCH_KEEP * ones)
            settle_row(job, c, t, r, by, qp, match);
    }
    int more = 0;
    for (int at = r.y * c->g->w8 + r.x; at < (r.y + r.h) * c->g->w8; at += c->g->w8)
        more += map_count(map_row(job->inexact + at, r.w)) -
                map_count(map_row(job->before + at, r.w));
    put_off(job, c->g, t);
    dpb_wrote(job->dpb, t);
    return more;
}

/* A tree block's share of the work is added to what is done in its row. */
static void spend(const struct rows_job *job, const struct geometry *g, struct spent *m, int t,
                  int qp)
{
    struct rate_work now = {.refine = job->work->refine};
    struct rect r = map_tile(g, t);
    unsigned any = 0;
    for (int by = r.y; by < r.y + r.h; by++) {
        int at = by * g->w8 + r.x;
        unsigned new = ~map_bits(map_row(job->match + at, r.w)) & ((1u << r.w) - 1);
        any |= new;
        for (; new; new &= new - 1) {
            int bin = job->bin[at + __builtin_ctz(new)];
            now.blocks[bin]++;
            m->blocks[bin]++;
        }
    }
    if (any)
        m->estimated += rate_estimate(job->rate, &now, qp);
}

/* How many tree blocks of a row `above` rows higher are done when the one at x begins. */
static int done_above(const struct rows *r, int x, int above)
{
    int cols = r->g->ctb_cols;
    if (!above)
        return x;
    return r->n == 1 || x + 1 + above > cols ? cols : x + 1 + above;
}

/* The last tree block of row i that is done when the one at (x, y) begins; NULL: none. */
static const struct spent *spent_before(const struct rows *r, int x, int y, int i)
{
    int n = done_above(r, x, y - i);
    return n ? &r->spent[i * r->g->ctb_cols + n - 1] : NULL;
}

/* All that was done, in the order of the wavefront. */
static double used_before(const struct rows *r, int x, int y, double *estimated)
{
    double bytes = 0;
    *estimated = 0;
    for (int i = 0; i <= y; i++) {
        const struct spent *m = spent_before(r, x, y, i);
        if (m) {
            bytes = r->n == 1 ? m->bytes : bytes + m->bytes; /* one coder counts for all rows */
            *estimated += m->estimated;
        }
    }
    return bytes;
}

static struct rate_work left_at(const struct rows *r, int x, int y)
{
    struct rate_work left = *r->job->work;
    for (int i = 0; i <= y; i++) {
        const struct spent *m = spent_before(r, x, y, i);
        for (int b = 0; m && b < RATE_BINS; b++)
            left.blocks[b] -= m->blocks[b];
    }
    return left;
}

/* The QP for the next tree block: coarser when too much was spent, finer when too little. */
static void adapt(const struct rows *r, struct row *row, int x, int y, double used,
                  double estimated)
{
    const struct rows_job *job = r->job;
    if (used < 0.05 * job->budget || estimated < 64)
        return;
    double ratio = used / estimated;
    ratio = ratio < 0.5 ? 0.5 : ratio > 3 ? 3 : ratio;
    struct rate_work left = left_at(r, x, y);
    double all = used + ratio * rate_estimate(job->rate, &left, row->qp);
    if (all <= job->budget) {
        if (all < 0.9 * job->budget && used > 0.2 * job->budget && row->qp > RATE_QP_MIN)
            row->qp--;
        return;
    }
    /* From lossless to what fits, else by small steps: a cell at a time should look alike. */
    bool lossless = row->qp == RATE_LOSSLESS;
    int qp = lossless ? RATE_QP_MIN : row->qp;
    int most = lossless ? row->coder.qp_before + 25 : qp + (all > 1.2 * job->budget ? 2 : 1);
    while (qp < RATE_QP_MAX && qp < most &&
           used + ratio * rate_estimate(job->rate, &left, qp) > 0.97 * job->budget)
        qp++;
    row->qp = qp;
}

static void code_block(struct rows *r, struct row *row, int x, int y, struct spent *m)
{
    const struct rows_job *job = r->job;
    struct coder *c = &row->coder;
    int t = y * r->g->ctb_cols + x;
    if (job->todo[t] && !job->given[t]) {
        double estimated, used = used_before(r, x, y, &estimated);
        if (!job->work->refine)
            adapt(r, row, x, y, used, estimated);
        else if (used > job->budget) { /* the rest of a refinement waits for the next one */
            put_off(job, r->g, t);
            dpb_carry(job->dpb, t);
        }
    }
    c->given = job->todo[t] && job->given[t];
    c->fill = job->todo[t] && !dpb_is_carried(job->dpb, t);
    if (!job->todo[t]) {
        ctu_keep(c, x, y);
        return;
    }
    if (!c->given)
        spend(job, r->g, m, t, row->qp);
    c->lossless = row->qp == RATE_LOSSLESS;
    ctu_code(c, x, y, c->lossless ? c->qp_before : row->qp);
    row->more_inexact += settle(job, c, t, row->qp);
}

/* Sleeps until the row above is two tree blocks ahead, or at its end. */
static void wait_for(struct rows *r, const struct row *above, int done)
{
    if (atomic_load(&above->done) >= done)
        return;
    pthread_mutex_lock(&r->lock);
    atomic_fetch_add(&r->waiting, 1);
    while (atomic_load(&above->done) < done)
        pthread_cond_wait(&r->further, &r->lock);
    atomic_fetch_sub(&r->waiting, 1);
    pthread_mutex_unlock(&r->lock);
}

static void tell(struct rows *r, struct row *row, int done)
{
    if (!r->shared) {
        atomic_store_explicit(&row->done, done, memory_order_relaxed);
        return;
    }
    atomic_store(&row->done, done);
    if (atomic_load(&r->waiting)) {
        pthread_mutex_lock(&r->lock);
        pthread_cond_broadcast(&r->further);
        pthread_mutex_unlock(&r->lock);
    }
}

/* The first tree block of a row: 9.3.1, 9.3.2.2 and 9.3.2.4; qPY_PREV of 8.6.1. */
static void begin_row(struct rows *r, int y)
{
    const struct rows_job *job = r->job;
    struct row *row = &r->row[r->n == 1 ? 0 : y];
    struct coder *c = &row->coder;
    if (y > 0 && r->n == 1)
        return;
    struct cabac keep = c->cabac;
    *c = *job->coder;
    c->cabac = keep;
    c->qp_before = job->slice_qp;
    row->qp = job->qp;
    cabac_start(&c->cabac, c->key, job->slice_qp);
    if (y == 0)
        return;
    int cols = r->g->ctb_cols, second = cols > 1 ? 1 : 0;
    wait_for(r, row - 1, second + 1);
    row->qp = r->spent[(y - 1) * cols + second].qp;
    if (cols > 1)
        memcpy(c->cabac.state, row[-1].sync, sizeof row->sync);
}

static void code_row(void *arg, int y)
{
    struct rows *r = arg;
    struct row *row = &r->row[r->n == 1 ? 0 : y];
    struct cabac *e = &row->coder.cabac;
    int cols = r->g->ctb_cols;
    bool last = y == r->g->ctb_rows - 1, ends = last || r->n > 1;
    begin_row(r, y);
    struct spent m = {0};
    for (int x = 0; x < cols; x++) {
        if (y > 0 && r->n > 1)
            wait_for(r, row - 1, x + 2 < cols ? x + 2 : cols);
        if (atomic_load(&r->failed) || !cabac_reserve(e, CTU_BYTES_MOST)) {
            atomic_store(&r->failed, true);
            tell(r, row, cols);
            return;
        }
        code_block(r, row, x, y, &m);
        m.bytes = (uint32_t)cabac_bytes(e);
        m.qp = (uint8_t)row->qp;
        r->spent[y * cols + x] = m;
        if (x == 1)
            memcpy(row->sync, e->state, sizeof row->sync);
        cabac_terminate(e, last && x == cols - 1); /* end_of_slice_segment_flag */
        tell(r, row, x + 1);
    }
    if (ends && !last)
        cabac_terminate(e, 1); /* end_of_subset_one_bit */
    if (ends)
        cabac_finish(e);
}

/* It does not depend on the number of threads: the bits do not. */
static bool worth_sharing(const struct rows *r)
{
    if (!r->pool || r->room < 2)
        return false;
    int weight = 0;
    for (int b = 0; b < RATE_BINS; b++)
        weight += r->job->work->blocks[b];
    for (int t = 0; t < r->g->ctb_cols * r->g->ctb_rows; t++)
        weight += MOVED_WEIGHT * r->job->todo[t];
    int most = r->g->w8 * r->g->h8 / 4;
    return weight >= (most < SHARED_BLOCKS_MIN ? most : SHARED_BLOCKS_MIN);
}

bool rows_code(struct rows *r, const struct rows_job *job, struct rows_result *out)
{
    int rows = r->g->ctb_rows, cols = r->g->ctb_cols;
    r->job = job;
    r->n = worth_sharing(r) ? rows : 1;
    r->shared = r->n > 1 && pool_threads(r->pool) > 1;
    atomic_store(&r->failed, false);
    for (int i = 0; i < r->n; i++) {
        atomic_store(&r->row[i].done, 0);
        r->row[i].more_inexact = 0;
    }
    if (r->shared)
        pool_run(r->pool, pool_threads(r->pool), rows, code_row, r);
    for (int y = 0; y < rows && !r->shared; y++)
        code_row(r, y);
    if (atomic_load(&r->failed))
        return false;
    *out = (struct rows_result){.qp = r->spent[rows * cols - 1].qp};
    for (int y = 0; y < rows; y++)
        out->estimated += r->spent[(y + 1) * cols - 1].estimated;
    for (int i = 0; i < r->n; i++) {
        const struct cabac *c = &r->row[i].coder.cabac;
        r->streams[i] = (struct substream){c->data, c->len};
        out->bytes += c->len;
        out->more_inexact += r->row[i].more_inexact;
    }
    return true;
}
