#include "encode/screen/dpb.h"

#include <stdlib.h>
#include <string.h>

enum { VIEWS, COPIES };

static int tile_count(const struct geometry *g)
{
    return g->ctb_cols * g->ctb_rows;
}

static size_t chroma_size(const struct geometry *g)
{
    return (size_t)(DPB_TILE >> g->cshift) * (size_t)(DPB_TILE >> g->cshift);
}

static size_t samples_size(const struct geometry *g)
{
    return DPB_TILE * DPB_TILE + 2 * chroma_size(g);
}

static size_t frame_size(const struct geometry *g)
{
    size_t luma = (size_t)g->cw * (size_t)g->ch;
    return luma + 2 * (luma >> (2 * g->cshift)) + (size_t)tile_count(g) * sizeof(uint64_t);
}

/* The part of a plane under tile t. */
static struct rect tile_rect(const struct geometry *g, int t, int plane)
{
    int s = plane ? g->cshift : 0, n = DPB_TILE >> s;
    struct rect r = {t % g->ctb_cols * n, t / g->ctb_cols * n, n, n};
    return rect_intersect(r, (struct rect){0, 0, g->cw >> s, g->ch >> s});
}

/* Where tile t of a frame begins. */
static struct frame tile_in(const struct geometry *g, const struct frame *f, int t)
{
    struct frame at = *f;
    int x = t % g->ctb_cols * DPB_TILE, y = t / g->ctb_cols * DPB_TILE;
    for (int i = 0; i < 3; i++)
        at.plane[i] = frame_at(f, i, x >> (i ? g->cshift : 0), y >> (i ? g->cshift : 0));
    return at;
}

static void copy_plane(uint8_t *to, ptrdiff_t to_stride, const uint8_t *from, ptrdiff_t from_stride,
                       int w, int h)
{
    for (int y = 0; y < h; y++, to += to_stride, from += from_stride)
        memcpy(to, from, (size_t)w);
}

static void copy_tile(const struct geometry *g, int t, const struct frame *to,
                      const struct frame *from)
{
    for (int i = 0; i < 3; i++) {
        struct rect r = tile_rect(g, t, i);
        copy_plane(to->plane[i], to->stride[i], from->plane[i], from->stride[i], r.w, r.h);
    }
}

/* ------------------------------------------------------------------ frames */

static void frame_free(struct dpb_frame *f)
{
    if (f) {
        picture_unref(&f->pic);
        free(f->content);
    }
    free(f);
}

static struct dpb_frame *frame_new(struct dpb *d)
{
    const struct geometry *g = d->g;
    struct dpb_frame *f = calloc(1, sizeof *f);
    if (f) {
        f->pic = picture_new(g->fmt, g->cw, g->ch);
        f->content = calloc((size_t)tile_count(g), sizeof f->content[0]);
    }
    if (!f || !f->pic || !f->content) {
        frame_free(f);
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        f->at.plane[i] = f->pic->plane[i];
        f->at.stride[i] = f->pic->stride[i];
    }
    d->frame[d->n_frames++] = f;
    d->bytes += frame_size(g);
    return f;
}

bool dpb_init(struct dpb *d, const struct geometry *g)
{
    *d = (struct dpb){.g = g};
    d->now = d->before = frame_new(d);
    return d->now != NULL;
}

/* ------------------------------------------------------------------ tiles */

static struct dpb_tile *tile_new(struct dpb *d, int kind)
{
    struct dpb_tile *t = d->free[kind];
    if (t) {
        d->free[kind] = t->next_free;
    } else {
        size_t size = sizeof *t + (kind == COPIES ? samples_size(d->g) : 0);
        t = malloc(size);
        if (!t)
            return NULL;
        d->bytes += size;
    }
    t->users = 0;
    t->in = NULL;
    return t;
}

static void tile_drop(struct dpb *d, struct dpb_tile *t)
{
    if (!t || --t->users > 0)
        return;
    int kind = t->in ? VIEWS : COPIES;
    if (t->in)
        t->in->views--;
    t->next_free = d->free[kind];
    d->free[kind] = t;
}

static void free_tiles(struct dpb *d)
{
    for (int kind = 0; kind < 2; kind++)
        while (d->free[kind]) {
            struct dpb_tile *t = d->free[kind];
            d->free[kind] = t->next_free;
            d->bytes -= sizeof *t + (kind == COPIES ? samples_size(d->g) : 0);
            free(t);
        }
}

static struct dpb_tile *tile_copy(struct dpb *d, int t, const struct frame *from)
{
    const struct geometry *g = d->g;
    struct dpb_tile *tile = tile_new(d, COPIES);
    if (!tile)
        return NULL;
    uint8_t *p = tile->samples;
    for (int i = 0; i < 3; i++) {
        tile->at.plane[i] = p;
        tile->at.stride[i] = DPB_TILE >> (i ? g->cshift : 0);
        p += i ? chroma_size(g) : DPB_TILE * DPB_TILE;
    }
    copy_tile(g, t, &tile->at, from);
    return tile;
}

static struct dpb_tile *tile_view(struct dpb *d, int t, struct dpb_frame *in)
{
    struct dpb_tile *tile = tile_new(d, VIEWS);
    if (!tile)
        return NULL;
    tile->in = in;
    tile->at = tile_in(d->g, &in->at, t);
    in->views++;
    return tile;
}

bool dpb_detach(struct dpb *d, int count, int t, bool view, struct dpb_tile **out)
{
    struct dpb_tile *tile = NULL;
    for (int i = 0; i < count && i < d->n; i++) {
        struct dpb_tile **own = &d->pic[i]->tile[t];
        if (*own)
            continue;
        if (!tile) {
            struct frame at = tile_in(d->g, &d->now->at, t);
            tile = view ? tile_view(d, t, d->now) : tile_copy(d, t, &at);
            if (!tile)
                return false;
        }
        *own = tile;
        tile->users++;
    }
    *out = tile;
    return true;
}

/* All pictures that have this tile get another, or none. */
static void replace(struct dpb *d, int t, struct dpb_tile *old, struct dpb_tile *new)
{
    for (int i = 0; i < d->n; i++)
        if (d->pic[i]->tile[t] == old) {
            d->pic[i]->tile[t] = new;
            if (new)
                new->users++;
            tile_drop(d, old);
        }
}

/* A tile that is a view becomes a copy. */
static bool part(struct dpb *d, int t, struct dpb_tile *view)
{
    struct dpb_tile *own = tile_copy(d, t, &view->at);
    if (!own)
        return false;
    own->exact = view->exact;
    if (!view->exact) {
        memcpy(own->hash, view->hash, sizeof own->hash);
        memcpy(own->inexact, view->inexact, sizeof own->inexact);
    }
    replace(d, t, view, own);
    return true;
}

/* ------------------------------------------------------------------ pictures */

static void picture_free(struct dpb_picture *p)
{
    if (p)
        free(p->tile);
    free(p);
}

void dpb_drop(struct dpb *d, int i)
{
    struct dpb_picture *p = d->pic[i];
    for (int t = 0; t < tile_count(d->g); t++) {
        tile_drop(d, p->tile[t]);
        p->tile[t] = NULL;
    }
    memmove(d->pic + i, d->pic + i + 1, (size_t)(d->n - i - 1) * sizeof d->pic[0]);
    d->n--;
    if (d->spare)
        picture_free(p);
    else
        d->spare = p;
}

void dpb_empty(struct dpb *d)
{
    while (d->n > 0)
        dpb_drop(d, d->n - 1);
}

void dpb_trim(struct dpb *d)
{
    int n = 0;
    free_tiles(d);
    for (int i = 0; i < d->n_frames; i++) {
        struct dpb_frame *f = d->frame[i];
        if (f->views || f == d->now || f == d->before) {
            d->frame[n++] = f;
        } else {
            d->bytes -= frame_size(d->g);
            frame_free(f);
        }
    }
    d->n_frames = n;
}

void dpb_clear(struct dpb *d)
{
    dpb_empty(d);
    picture_free(d->spare);
    d->spare = NULL;
    free_tiles(d);
    for (int i = 0; i < d->n_frames; i++)
        frame_free(d->frame[i]);
    d->n_frames = 0;
}

struct dpb_picture *dpb_add(struct dpb *d, uint64_t pic_id, int poc)
{
    if (d->n > DPB_MOST)
        return NULL;
    struct dpb_picture *p = d->spare;
    d->spare = NULL;
    if (!p) {
        p = calloc(1, sizeof *p);
        if (p)
            p->tile = calloc((size_t)tile_count(d->g), sizeof p->tile[0]);
        if (!p || !p->tile) {
            picture_free(p);
            return NULL;
        }
    }
    *p = (struct dpb_picture){.pic_id = pic_id, .poc = poc, .tile = p->tile};
    d->pic[d->n++] = p;
    return p;
}

struct dpb_picture *dpb_find(struct dpb *d, uint64_t pic_id)
{
    for (int i = 0; i < d->n; i++)
        if (d->pic[i]->pic_id == pic_id)
            return d->pic[i];
    return NULL;
}

/* ------------------------------------------------------------------ from frame to frame */

/* One that nothing stands in: there, or new, or the one with the fewest views, which become
 * copies. */
static struct dpb_frame *unused_frame(struct dpb *d)
{
    struct dpb_frame *least = NULL;
    for (int i = 0; i < d->n_frames; i++) {
        struct dpb_frame *f = d->frame[i];
        if (f != d->now && (!least || f->views < least->views))
            least = f;
    }
    if (least && !least->views)
        return least;
    if (d->n_frames < DPB_FRAMES_MOST)
        return frame_new(d);
    for (int i = 0; i < d->n; i++)
        for (int t = 0; t < tile_count(d->g); t++) {
            struct dpb_tile *tile = d->pic[i]->tile[t];
            if (tile && tile->in == least && !part(d, t, tile))
                return NULL;
        }
    return least;
}

void dpb_carry(struct dpb *d, int t)
{
    if (dpb_is_carried(d, t))
        return;
    struct frame to = tile_in(d->g, &d->now->at, t);
    struct frame from = tile_in(d->g, &d->before->at, t);
    copy_tile(d->g, t, &to, &from);
    d->now->content[t] = d->before->content[t];
}

static void carry(struct dpb *d, const uint8_t *todo)
{
    for (int t = 0; t < tile_count(d->g); t++)
        if (!todo[t])
            dpb_carry(d, t);
}

bool dpb_leave(struct dpb *d, const uint8_t *todo)
{
    struct dpb_frame *f = unused_frame(d);
    if (!f)
        return false;
    d->before = d->now;
    d->now = f;
    carry(d, todo);
    return true;
}

/* Is it less to copy what stays than what came back? Only tiles in one frame come back. */
static bool is_worth_it(const struct dpb *d, const struct dpb_picture *p,
                        const struct dpb_frame *f, const uint8_t *todo, const uint8_t *given)
{
    int gain = 0, cost = 0, views = 0;
    for (int t = 0; t < tile_count(d->g); t++) {
        bool view = p->tile[t] && p->tile[t]->in == f;
        views += view;
        gain += view && given[t];
        cost += view && !given[t];
        cost += !todo[t] && f->content[t] != d->now->content[t];
    }
    return gain > cost && views == f->views;
}

bool dpb_adopt(struct dpb *d, const struct dpb_picture *p, const uint8_t *todo, uint8_t *given,
               bool *done)
{
    struct dpb_frame *f = NULL;
    *done = false;
    for (int t = 0; t < tile_count(d->g) && !f; t++)
        if (given[t] && p->tile[t])
            f = p->tile[t]->in;
    if (!f || f == d->now || !is_worth_it(d, p, f, todo, given))
        return true;
    for (int t = 0; t < tile_count(d->g); t++) {
        struct dpb_tile *tile = p->tile[t];
        bool view = tile && tile->in == f;
        given[t] = given[t] && view;
        if (given[t])
            replace(d, t, tile, NULL);
        else if (view && !part(d, t, tile))
            return false;
    }
    d->before = d->now;
    d->now = f;
    carry(d, todo);
    *done = true;
    return true;
}

void dpb_wrote(struct dpb *d, int t)
{
    d->now->content[t] = d->contents;
}

void dpb_restore(struct dpb *d, const struct dpb_picture *p, int t)
{
    struct frame to = tile_in(d->g, &d->now->at, t);
    copy_tile(d->g, t, &to, &p->tile[t]->at);
    d->contents++;
    dpb_wrote(d, t);
}

void dpb_predict(const struct dpb_picture *p, const struct geometry *g, int plane, int x, int y,
                 int w, int h, uint8_t *dst, int stride)
{
    int n = DPB_TILE >> (plane ? g->cshift : 0);
    const struct dpb_tile *tile = p->tile[y / n * g->ctb_cols + x / n];
    copy_plane(dst, stride, frame_at(&tile->at, plane, x % n, y % n), tile->at.stride[plane], w, h);
}
