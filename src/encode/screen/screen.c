/* screen: the encoder made for screens, as a driver behind encoder.h.
 *
 *   damage_map   what differs from the source before, in blocks of 8x8
 *   motion       by which vectors parts of it moved
 *   rate         lossless, or with which QP, what remains
 *   memory       which earlier pictures stay, what of them is on the screen again; losses
 *   rows, ctu    the tree blocks; those in which nothing is to be coded cost three bins
 *
 * The reconstruction is local: no loop filter runs, so a block that is kept never changes, and
 * only coded blocks are written. Two reconstructions take turns when something moved (the old
 * places must stay readable); else one is written in place. */
#include "encode/encoder.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "encode/au_pool.h"
#include "encode/screen/chroma.h"
#include "encode/screen/damage_map.h"
#include "encode/screen/glyphs.h"
#include "encode/screen/map.h"
#include "encode/screen/memory.h"
#include "encode/screen/motion.h"
#include "encode/screen/rate.h"
#include "encode/screen/rows.h"
#include "encode/screen/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOVED_BLOCKS_MIN = 24,   /* fewer changed blocks are not worth a search for motion */
    LOSSLESS_SLICE_QP = 30,  /* not used but by units that turn out lossy: within a delta of 25 */
    REFINE_QP = 20,          /* of what is to look good soon, before it is exact */
    THOROUGH_BLOCKS = 400,  /* of more that are new there is no time to try several ways */
    LEARN_BLOCKS = 8192,     /* of what stands still, in a refinement */
    LEAVE_BLOCKS = 256,      /* new ones: so many may be worth another frame to write to */
    REFINE_PICTURES = 8,     /* more than so many lossless ones: a lossy pass goes first */
};

struct screen {
    struct encoder base;
    struct encoder_config config;
    struct geometry g;
    struct screen_params params;
    struct coder coder;
    struct motion *motion;
    struct glyphs *glyphs;
    struct rate rate;
    struct rows *rows;
    struct picture *src_pic; /* owns: a copy, of the coded size; or a reference to the last picture */
    bool by_reference;
    struct frame src;  /* the source that was coded last */
    uint8_t *dirty;    /* of each 8x8 block, in this picture */
    uint8_t *todo;     /* of each tree block: something in it is to be coded or moved */
    block_match *match;
    uint8_t *inexact;  /* of each 8x8 block: the QP it was coded with; 0: equals the source */
    uint8_t *inexact_before; /* the same of the picture before, while one is coded */
    int n_inexact;
    uint8_t *bin;      /* of each 8x8 block that is to be coded: rate_bin */
    int cursor;        /* tree block at which the next refinement begins */
    bool have;         /* a picture was coded */
    bool moved;        /* vectors into the picture before are used in this one */
    bool lost;         /* a viewer misses a picture that the last one depends on */
    uint64_t whole_from; /* the last picture that depends on nothing that was reported lost */
    struct memory memory;
    struct au_pool pool;
};

static bool probe(enum pix_fmt fmt, char *reason, size_t reason_len)
{
    if (fmt == PIX_I420 || fmt == PIX_I444)
        return true;
    snprintf(reason, reason_len, "it takes 4:2:0 and 4:4:4 alone");
    return false;
}

static void screen_close(struct encoder *e)
{
    struct screen *s = (struct screen *)e;
    picture_unref(&s->src_pic);
    motion_free(&s->motion);
    glyphs_free(&s->glyphs);
    rows_free(&s->rows);
    free(s->coder.info);
    free(s->coder.plain);
    free(s->coder.activity);
    free(s->dirty);
    free(s->todo);
    free(s->match);
    free(s->inexact);
    free(s->inexact_before);
    free(s->bin);
    memory_clear(&s->memory);
    au_pool_clear(&s->pool);
    free(s);
}

static struct frame frame_of(const struct picture *p)
{
    return (struct frame){{p->plane[0], p->plane[1], p->plane[2]},
                          {p->stride[0], p->stride[1], p->stride[2]}};
}

static void set_geometry(struct screen *s, const struct encoder_config *config)
{
    int odd = config->fmt == PIX_I420 ? 1 : 0;
    struct geometry *g = &s->g;
    *g = (struct geometry){.fmt = config->fmt, .width = config->width, .height = config->height,
                           .cshift = odd};
    g->cw = (config->width + 7) & ~7;
    g->ch = (config->height + 7) & ~7;
    g->w8 = g->cw / 8;
    g->h8 = g->ch / 8;
    g->ctb_cols = (g->cw + SCREEN_CTB - 1) / SCREEN_CTB;
    g->ctb_rows = (g->ch + SCREEN_CTB - 1) / SCREEN_CTB;
    params_choose(&s->params, config);
    s->base.profile_idc = config->fmt == PIX_I444 ? 4 : 1;
    s->base.level_idc = s->params.level_idc;
}

static int screen_open(struct encoder **out, const struct encoder_config *config)
{
    struct screen *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory for an encoder");
    s->base.ops = &encoder_screen;
    s->config = *config;
    set_geometry(s, config);
    const struct geometry *g = &s->g;
    size_t blocks = (size_t)g->w8 * (size_t)g->h8, ctbs = (size_t)g->ctb_cols * (size_t)g->ctb_rows;
    /* What the coder reads beyond the picture's edges only a copy has. */
    s->by_reference = config->pictures_stay && g->cw == g->width && g->ch == g->height;
    s->src_pic = picture_new(g->fmt, s->by_reference ? 8 : g->cw, s->by_reference ? 8 : g->ch);
    s->motion = motion_new(kernels_best());
    s->glyphs = glyphs_new(&s->g, kernels_best());
    s->params.wavefronts = config->pool != NULL;
    s->rows = rows_new(&s->g, config->pool);
    s->coder.info = calloc(blocks, sizeof s->coder.info[0]);
    s->coder.plain = calloc(ctbs, sizeof s->coder.plain[0]);
    s->coder.activity = calloc(blocks, sizeof s->coder.activity[0]);
    s->todo = calloc(ctbs, 1);
    s->dirty = calloc(blocks, 1);
    s->match = calloc(blocks, 1);
    s->inexact = calloc(blocks, 1);
    s->inexact_before = calloc(blocks, 1);
    s->bin = calloc(blocks, 1);
    bool memory = memory_init(&s->memory, &s->g, kernels_best(), s->params.dpb_size - 1);
    if (!memory || !s->src_pic || !s->motion || !s->glyphs || !s->rows || !s->coder.info ||
        !s->coder.plain || !s->coder.activity || !s->todo || !s->dirty || !s->match || !s->inexact ||
        !s->inexact_before || !s->bin) {
        screen_close(&s->base);
        return error_set(ERR_MEMORY, "out of memory for an encoder of %dx%d", config->width,
                         config->height);
    }
    s->src = frame_of(s->src_pic);
    memset(s->match, MATCH_KEEP, blocks);
    s->coder.g = &s->g;
    s->coder.k = kernels_best();
    s->coder.match = s->match;
    s->coder.qp = -1;
    rate_init(&s->rate);
    *out = &s->base;
    return 0;
}

/* Marks the tree blocks that hold dirty blocks; none is outside this area. */
static void mark_todo(struct screen *s, struct rect area)
{
    const struct geometry *g = &s->g;
    for (int by = area.y / 8; by < (area.y + area.h + 7) / 8; by++) {
        uint8_t *todo = s->todo + by / MAP_TILE * g->ctb_cols;
        int end = (area.x + area.w + 7) / 8;
        for (int bx = area.x / DPB_TILE * MAP_TILE; bx < end; bx += MAP_TILE)
            if (map_row(s->dirty + by * g->w8 + bx, map_width(g, bx)))
                todo[bx / MAP_TILE] = 1;
    }
}

/* Of a row of a tree block: those in `same` whose chroma is bearable. */
static unsigned same_chroma(const struct screen *s, const struct frame *pic, struct rect r, int by,
                            unsigned same, struct mv mv)
{
    struct chroma_view v = {&s->g, s->coder.k, pic, &s->memory.dpb.now->at, s->inexact};
    int first = __builtin_ctz(same), n = 32 - __builtin_clz(same) - first;
    return same & chroma_bearable(&v, r.x + first, by, n, mv) << first;
}

/* Notes which blocks of a tree block vector k has. Are they all? */
static bool match_vector(struct screen *s, const struct frame *pic, struct rect r, int k)
{
    const struct geometry *g = &s->g;
    struct mv mv = s->coder.vectors[k];
    bool all = true;
    for (int by = r.y; by < r.y + r.h; by++) {
        block_match *match = s->match + by * g->w8 + r.x;
        unsigned same =
            damage_map_same_row(g, s->coder.k, pic, &s->src, r.x, by, r.w, mv.x >> 2, mv.y >> 2);
        if (same && chroma_is_half(g, mv))
            same = same_chroma(s, pic, r, by, same, mv);
        all &= same == (1u << r.w) - 1;
        for (; same; same &= same - 1)
            match[__builtin_ctz(same)] |= (block_match)(2 << k);
    }
    return all;
}

/* Before src is updated: how each block of the tree blocks to do can be had without coding. */
static void match_blocks(struct screen *s, const struct frame *pic)
{
    const struct geometry *g = &s->g;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        if (!s->todo[t])
            continue;
        struct rect r = map_tile(g, t);
        if (s->memory.given[t]) {
            map_fill(s->match, g, r, 0);
            continue;
        }
        for (int by = r.y; by < r.y + r.h; by++)
            for (int at = by * g->w8 + r.x, end = at + r.w; at < end; at++)
                s->match[at] = s->dirty[at] ? 0 : MATCH_KEEP;
        /* Of several vectors the first is taken: those after one that has it all are not asked. */
        for (int k = 0; k < s->coder.n_vectors && !match_vector(s, pic, r, k); k++)
            ;
    }
}

/* The picture is the last one from here on. */
static void hold_source(struct screen *s, const struct picture *pic)
{
    if (!s->by_reference || pic == s->src_pic)
        return;
    picture_unref(&s->src_pic);
    s->src_pic = picture_ref((struct picture *)pic); /* its count alone changes */
    s->src = frame_of(pic);
}

static void take_source(struct screen *s, const struct frame *pic)
{
    if (s->by_reference)
        return;
    for (int by = 0; by < s->g.h8; by++)
        for (int bx = 0, end; bx < s->g.w8; bx = end + 1) {
            const uint8_t *row = s->dirty + by * s->g.w8;
            for (end = bx; end < s->g.w8 && row[end]; end++)
                ;
            if (end > bx)
                damage_map_copy(&s->g, pic, &s->src, bx, by, end - bx);
        }
}

/* Notes the block's activity on the way. */
static int block_bin(const struct screen *s, int bx, int by)
{
    uint32_t activity =
        s->coder.k->activity(frame_at(&s->src, 0, bx * 8, by * 8), s->src.stride[0], 8);
    s->coder.activity[by * s->g.w8 + bx] = (uint16_t)activity;
    return rate_bin(activity);
}

/* Is all exact of what a block points to? Then a vector is nearly all it takes. */
static bool is_exact_at(const struct screen *s, int bx, int by, struct mv mv)
{
    int x = bx * 8 + (mv.x >> 2), y = by * 8 + (mv.y >> 2), inexact = 0;
    for (int j = y >> 3; j <= (y + 7) >> 3; j++)
        for (int i = x >> 3; i <= (x + 7) >> 3; i++)
            inexact |= s->inexact_before[j * s->g.w8 + i];
    return !inexact;
}

static void sum_work(struct screen *s, struct rate_work *w)
{
    const struct geometry *g = &s->g;
    int count = 0;
    for (int t = 0; t < g->ctb_cols * g->ctb_rows; t++) {
        if (!s->todo[t] || s->memory.given[t])
            continue;
        struct rect r = map_tile(g, t);
        for (int by = r.y; by < r.y + r.h; by++) {
            int at = by * g->w8 + r.x;
            unsigned new = ~map_bits(map_row(s->match + at, r.w)) & ((1u << r.w) - 1);
            for (; new; new &= new - 1) {
                int i = __builtin_ctz(new), bin = block_bin(s, r.x + i, by);
                bool found = s->coder.found && !s->coder.found[at + i].ref;
                if (found && is_exact_at(s, r.x + i, by, s->coder.found[at + i]))
                    bin = 0;
                count += !found;
                w->blocks[s->bin[at + i] = (uint8_t)bin]++;
            }
        }
    }
    s->coder.thorough = !s->coder.key && count <= THOROUGH_BLOCKS;
}

static void find_motion(struct screen *s, const struct frame *pic)
{
    s->coder.n_vectors =
        motion_find(s->motion, &s->g, pic, &s->src, s->dirty, s->coder.vectors);
    s->moved = s->coder.n_vectors > 0;
}

/* What differs from the picture before; repair: from the last that every viewer has. Gives how many
 * blocks; -1: out of memory. */
static int find_change(struct screen *s, const struct frame *pic, const struct damage *damage,
                       bool key, bool repair)
{
    const struct geometry *g = &s->g;
    size_t blocks = (size_t)g->w8 * (size_t)g->h8;
    memset(s->dirty, key, blocks);
    if (key) {
        memory_returned(&s->memory, pic, damage, s->dirty);
        return (int)blocks;
    }
    struct canvas canvas = {.now = {&s->src, s->inexact}, .dirty = s->dirty};
    if (repair && !memory_repair(&s->memory, pic, &canvas))
        return -1;
    return canvas.count + memory_returned(&s->memory, pic, damage, s->dirty) +
           damage_map_compare(g, s->coder.k, pic, &s->src, damage, s->dirty);
}

/* Where what is new stands in the picture before. In place much of that is overwritten; where much is
 * new, and stands there, the picture is written elsewhere, as if it had moved. */
static void find_glyphs(struct screen *s, const struct frame *pic)
{
    struct glyphs_job job = {.pic = pic, .src = &s->src, .rec = &s->memory.dpb.now->at,
                             .inexact = s->inexact, .dirty = s->dirty, .todo = s->todo,
                             .match = s->match, .vectors = s->coder.vectors,
                             .n_vectors = s->coder.n_vectors, .in_place = !s->moved};
    int new = s->moved ? 0 : glyphs_wanted(s->glyphs, &job);
    bool leave = new >= LEAVE_BLOCKS;
    job.in_place &= !leave;
    int n = glyphs_find(s->glyphs, &job);
    LOG_DEBUG(encode, "%d blocks found elsewhere", n);
    if (leave && n < new / 4)
        return;
    s->moved |= leave;
    s->coder.found = glyphs_found(s->glyphs);
    s->coder.dirty = s->dirty;
}

/* How each block that changed can be had. false: nothing is to be sent. */
static bool plan_change(struct screen *s, const struct frame *pic, const struct damage *damage,
                        int count, bool key, bool repair)
{
    struct rect all = {0, 0, s->g.width, s->g.height};
    if (!count)
        return repair;
    mark_todo(s, key || repair ? all : rect_intersect(damage_bounds(damage), all));
    memory_search(&s->memory, pic, s->dirty, s->todo, NULL);
    /* What is on the screen again was not moved there. */
    if (!key && !repair && count >= MOVED_BLOCKS_MIN &&
        memory_best(&s->memory, s->dirty, s->todo) < count - count / 8)
        find_motion(s, pic);
    match_blocks(s, pic);
    memory_search(&s->memory, pic, s->dirty, s->todo, s->match);
    memory_match(&s->memory, &s->coder, s->match, s->dirty, s->todo);
    if (key || repair)
        glyphs_changed(s->glyphs, key ? NULL : s->dirty);
    else
        find_glyphs(s, pic);
    return true;
}

/* With what to refine: exactly, unless that takes long and some blocks are still coarse. */
static int refine_qp(struct screen *s, size_t budget)
{
    struct rate_work all = {.refine = 1};
    int coarse = 0;
    for (int by = 0; by < s->g.h8; by++)
        for (int bx = 0; bx < s->g.w8; bx++) {
            int qp = s->inexact[by * s->g.w8 + bx];
            if (qp)
                all.blocks[block_bin(s, bx, by)]++;
            coarse += qp > REFINE_QP + 4;
        }
    double pictures = rate_estimate(&s->rate, &all, RATE_LOSSLESS) / (double)(budget + 1);
    return coarse && pictures > REFINE_PICTURES ? REFINE_QP : RATE_LOSSLESS;
}

/* Picks blocks that are not exact yet, as many as fit, from the cursor on. false: all are. */
static bool plan_refine(struct screen *s, size_t budget, struct rate_work *w, int *qp)
{
    const struct geometry *g = &s->g;
    int ctbs = g->ctb_cols * g->ctb_rows;
    if (!s->n_inexact)
        return false;
    w->refine = 1;
    *qp = refine_qp(s, budget);
    int coarse = *qp == RATE_LOSSLESS ? 0 : REFINE_QP + 4;
    for (int i = 0; i < ctbs; i++) {
        int t = (s->cursor + i) % ctbs;
        struct rect r = map_tile(g, t);
        for (int by = r.y; by < r.y + r.h; by++)
            for (int bx = r.x; bx < r.x + r.w; bx++) {
                int at = by * g->w8 + bx;
                if (s->inexact[at] <= coarse)
                    continue;
                s->match[at] = 0;
                s->todo[t] = 1;
                w->blocks[s->bin[at] = (uint8_t)block_bin(s, bx, by)]++;
            }
        if (s->todo[t] && rate_estimate(&s->rate, w, *qp) > 1.5 * (double)budget) {
            s->cursor = (t + 1) % ctbs;
            break;
        }
    }
    return true;
}

static int code_picture(struct screen *s, int qp, size_t budget,
                        const struct rate_work *work)
{
    struct dpb *d = &s->memory.dpb;
    s->coder.src = s->src;
    s->coder.ref = d->before->at;
    s->coder.rec = d->now->at;
    struct rows_result done;
    struct rows_job job = {.coder = &s->coder, .rate = &s->rate, .work = work,
                           .budget = (double)budget, .qp = qp,
                           .slice_qp = qp == RATE_LOSSLESS ? LOSSLESS_SLICE_QP : qp,
                           .match = s->match, .todo = s->todo, .inexact = s->inexact,
                           .bin = s->bin, .before = s->inexact_before, .dpb = d,
                           .given = s->memory.given};
    if (!rows_code(s->rows, &job, &done))
        return error_set(ERR_MEMORY, "out of memory for a picture");
    rate_learn(&s->rate, done.qp, work->refine, done.estimated, done.bytes);
    s->n_inexact += done.more_inexact;
    return 0;
}

static int write_unit(struct screen *s, bool key, int qp, struct access_unit *au)
{
    if (key)
        s->params.pps_id = s->params.pps_id % SCREEN_PPS_IDS + 1;
    else
        au->n_refers = memory_refs(&s->memory, &s->coder, au->refers_to);
    int n;
    const struct substream *streams = rows_streams(s->rows, &n);
    struct slice_params slice = {.key = key, .pps_id = s->params.pps_id,
                                 .wavefronts = n > 1,
                                 .qp = qp == RATE_LOSSLESS ? LOSSLESS_SLICE_QP : qp};
    memory_slice(&s->memory, &s->coder, &slice);
    if ((key && !params_write_sets(au, &s->params)) ||
        !params_write_slice(au, &slice, streams, n))
        return error_set(ERR_MEMORY, "out of memory for a picture");
    return 0;
}

static void count_inexact(struct screen *s)
{
    s->n_inexact = 0;
    for (int i = 0, n = s->g.w8 * s->g.h8; i < n; i += MAP_TILE)
        s->n_inexact += map_count(map_row(s->inexact + i, n - i < MAP_TILE ? n - i : MAP_TILE));
}

/* Makes ready for coding what was planned. anew: not only what is to be done may be another now. */
static bool begin(struct screen *s, int64_t pts_us, bool anew)
{
    struct dpb_now now = {&s->src, s->inexact};
    if (anew)
        count_inexact(s);
    memcpy(s->inexact_before, s->inexact, (size_t)s->g.w8 * (size_t)s->g.h8);
    return memory_begin(&s->memory, &s->coder, &now, s->match, s->todo, s->moved, pts_us);
}

/* Nothing is known of what was half done: the next picture is a key frame. */
static void forget(struct screen *s)
{
    size_t blocks = (size_t)s->g.w8 * (size_t)s->g.h8;
    memset(s->match, MATCH_KEEP, blocks);
    memset(s->todo, 0, (size_t)s->g.ctb_cols * (size_t)s->g.ctb_rows);
    s->have = false;
}

static int screen_encode(struct encoder *e, const struct encode_in *in, struct encode_out *out)
{
    struct screen *s = (struct screen *)e;
    const struct picture *pic = in->pic;
    *out = (struct encode_out){0};
    if (encoder_check_picture(&s->config, pic) < 0)
        return ERR_INVALID;
    int64_t start_us = clock_now_us();
    bool key = in->key_wanted || !s->have || (s->lost && !memory_can_repair(&s->memory));
    bool repair = s->lost && !key;
    bool refine = in->refine && !key && !repair && (!in->damage || in->damage->n == 0);
    struct rate_work work = {0};
    int qp = RATE_LOSSLESS;
    s->memory.calls++;
    s->coder.key = key;
    s->coder.n_vectors = 0;
    s->coder.found = NULL;
    s->coder.dirty = NULL;
    s->coder.thorough = false;
    s->coder.n_refs = 1;
    s->coder.first_long = repair;
    s->moved = false;
    if (key)
        memory_empty(&s->memory);
    struct frame from = frame_of(pic);
    struct damage all;
    damage_set_all(&all, pic->width, pic->height);
    const struct damage *damage = in->damage ? in->damage : &all;
    int count = refine ? 0 : find_change(s, &from, damage, key, repair);
    if (count >= 0 && !(refine ? plan_refine(s, in->budget_bytes, &work, &qp)
                               : plan_change(s, &from, damage, count, key, repair))) {
        hold_source(s, pic);
        out->wants_more = s->n_inexact > 0;
        return 0;
    }
    struct access_unit *au = au_pool_get(&s->pool, pic);
    int rc = 0;
    if (count < 0 || !au || !begin(s, pic->pts_us, key || repair))
        rc = error_set(ERR_MEMORY, "out of memory for a picture");
    hold_source(s, pic);
    if (!rc && !refine) {
        take_source(s, &from);
        sum_work(s, &work);
        qp = rate_pick(&s->rate, &work, in->budget_bytes);
    }
    if (!rc)
        rc = code_picture(s, qp, in->budget_bytes, &work);
    if (!rc)
        rc = write_unit(s, key, qp, au);
    if (!rc && !memory_end(&s->memory, in->pic_id, key))
        rc = error_set(ERR_MEMORY, "out of memory for a picture");
    if (rc) {
        forget(s);
        access_unit_unref(&au);
        return rc;
    }
    if (refine) /* there is time */
        glyphs_learn(s->glyphs, &s->src, LEARN_BLOCKS);
    s->have = true;
    s->lost = false;
    if (key || repair)
        s->whole_from = in->pic_id;
    au->pic_id = in->pic_id;
    au->width = s->params.width;
    au->height = s->params.height;
    au->irap = key;
    au->refinement = refine;
    au->qp = qp;
    au->encode_start_us = start_us;
    au->encode_us = clock_now_us();
    out->au = au;
    out->wants_more = s->n_inexact > 0;
    au->repair = repair;
    LOG_DEBUG(encode, "picture %llu%s: qp %d, %zu of %zu bytes, %d us, %d blocks inexact",
              (unsigned long long)in->pic_id, key ? " IDR" : repair ? " repairs" : refine ? " refined" : "", qp, au->len,
              in->budget_bytes, (int)(au->encode_us - start_us), s->n_inexact);
    return 0;
}

static void screen_acked(struct encoder *e, uint64_t pic_id)
{
    memory_acked(&((struct screen *)e)->memory, pic_id);
}

static bool screen_lost(struct encoder *e, uint64_t pic_id)
{
    struct screen *s = (struct screen *)e;
    if (s->have && pic_id >= s->whole_from)
        s->lost = true;
    return true;
}

struct picture *screen_reconstruction(struct encoder *e)
{
    struct screen *s = (struct screen *)e;
    return s->memory.dpb.now->pic;
}

const struct encoder_ops encoder_screen = {"screen", probe, screen_open, screen_encode,
                                           screen_close, screen_acked, screen_lost};
