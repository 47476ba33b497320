#include "encode/screen/dpb.h"

#include <stdlib.h>
#include <string.h>

static int tile_count(const struct geometry *g)
{
    return g->ctb_cols * g->ctb_rows;
}

static size_t chroma_size(const struct geometry *g)
{
    return (size_t)(DPB_TILE >> g->cshift) * (size_t)(DPB_TILE >> g->cshift);
}

/* Where a plane of a tile begins. */
static size_t plane_offset(const struct geometry *g, int plane)
{
    return plane == 0 ? 0 : DPB_TILE * DPB_TILE + (size_t)(plane - 1) * chroma_size(g);
}

/* The part of a plane under tile t. */
static struct rect tile_rect(const struct geometry *g, int t, int plane)
{
    int s = plane ? g->cshift : 0, n = DPB_TILE >> s;
    struct rect r = {t % g->ctb_cols * n, t / g->ctb_cols * n, n, n};
    return rect_intersect(r, (struct rect){0, 0, g->cw >> s, g->ch >> s});
}

void dpb_init(struct dpb *d, const struct geometry *g)
{
    *d = (struct dpb){.g = g};
}

static void picture_free(struct dpb_picture *p)
{
    if (p)
        free(p->tile);
    free(p);
}

static void tile_drop(struct dpb *d, struct dpb_tile *t)
{
    if (!t || --t->users > 0)
        return;
    d->tiles--;
    t->next_free = d->free;
    d->free = t;
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

void dpb_clear(struct dpb *d)
{
    dpb_empty(d);
    picture_free(d->spare);
    d->spare = NULL;
    while (d->free) {
        struct dpb_tile *t = d->free;
        d->free = t->next_free;
        free(t);
    }
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

static struct dpb_tile *tile_new(struct dpb *d)
{
    struct dpb_tile *t = d->free;
    if (t)
        d->free = t->next_free;
    else
        t = malloc(sizeof *t + plane_offset(d->g, 2) + chroma_size(d->g));
    if (t)
        d->tiles++;
    return t;
}

/* Rows of a plane, between a tile and a frame. */
static void copy_plane(uint8_t *to, ptrdiff_t to_stride, const uint8_t *from, ptrdiff_t from_stride,
                       int w, int h)
{
    for (int y = 0; y < h; y++, to += to_stride, from += from_stride)
        memcpy(to, from, (size_t)w);
}

static struct dpb_tile *take(struct dpb *d, int t, const struct dpb_now *now)
{
    const struct geometry *g = d->g;
    struct dpb_tile *tile = tile_new(d);
    if (!tile)
        return NULL;
    tile->users = 0;
    for (int i = 0; i < 3; i++) {
        struct rect r = tile_rect(g, t, i);
        copy_plane(tile->samples + plane_offset(g, i), DPB_TILE >> (i ? g->cshift : 0),
                   frame_at(&now->rec, i, r.x, r.y), now->rec.stride[i], r.w, r.h);
    }
    struct rect r = tile_rect(g, t, 0);
    for (int y = 0; y < r.h / 8; y++) {
        int at = (r.y / 8 + y) * g->w8 + r.x / 8;
        memcpy(tile->hash + 8 * y, now->hash + at, (size_t)(r.w / 8) * sizeof now->hash[0]);
        memcpy(tile->inexact + 8 * y, now->inexact + at, (size_t)(r.w / 8));
    }
    return tile;
}

bool dpb_detach(struct dpb *d, int count, int t, const struct dpb_now *now)
{
    struct dpb_tile *tile = NULL;
    for (int i = 0; i < count && i < d->n; i++) {
        struct dpb_tile **own = &d->pic[i]->tile[t];
        if (*own)
            continue;
        if (!tile && !(tile = take(d, t, now)))
            return false;
        *own = tile;
        tile->users++;
    }
    return true;
}

void dpb_restore(struct dpb *d, struct dpb_picture *p, int t, const struct frame *rec)
{
    const struct geometry *g = d->g;
    for (int i = 0; i < 3; i++) {
        struct rect r = tile_rect(g, t, i);
        copy_plane(frame_at(rec, i, r.x, r.y), rec->stride[i],
                   p->tile[t]->samples + plane_offset(g, i), DPB_TILE >> (i ? g->cshift : 0), r.w,
                   r.h);
    }
}

int dpb_differs(const struct dpb *d, const struct dpb_picture *p, const uint64_t *hash, int most)
{
    int count = 0;
    for (int t = 0; t < tile_count(d->g) && count < most; t++) {
        if (!p->tile[t])
            continue;
        struct rect r = tile_rect(d->g, t, 0);
        for (int y = 0; y < r.h / 8; y++)
            for (int x = 0; x < r.w / 8; x++)
                count += p->tile[t]->hash[8 * y + x] !=
                         hash[(r.y / 8 + y) * d->g->w8 + r.x / 8 + x];
    }
    return count;
}

void dpb_predict(const struct dpb_picture *p, const struct geometry *g, int plane, int x, int y,
                 int w, int h, uint8_t *dst, int stride)
{
    int n = DPB_TILE >> (plane ? g->cshift : 0);
    const struct dpb_tile *tile = p->tile[y / n * g->ctb_cols + x / n];
    copy_plane(dst, stride, tile->samples + plane_offset(g, plane) + y % n * n + x % n, n, w, h);
}
