#include "encode/screen/damage_map.h"

#include <string.h>

/* The part of a block of one plane that the picture has. */
struct part {
    int x, y, w, h;
};

static struct part part_of(const struct geometry *g, int plane, int bx, int by)
{
    int s = plane ? g->cshift : 0, n = 8 >> s;
    int pw = (g->width + s) >> s, ph = (g->height + s) >> s;
    struct part p = {bx * n, by * n, n, n};
    if (p.x + n > pw)
        p.w = pw - p.x;
    if (p.y + n > ph)
        p.h = ph - p.y;
    return p;
}

bool damage_map_same(const struct geometry *g, const struct kernels *k, const struct picture *pic,
                     const struct frame *src, int bx, int by, int dx, int dy)
{
    for (int i = 0; i < 3; i++) {
        int s = i ? g->cshift : 0;
        if (s && ((dx | dy) & 1))
            break;
        struct part p = part_of(g, i, bx, by);
        if (p.w <= 0 || p.h <= 0)
            continue;
        if (!k->equal(pic->plane[i] + (ptrdiff_t)p.y * pic->stride[i] + p.x, pic->stride[i],
                      frame_at(src, i, p.x + (dx >> s), p.y + (dy >> s)), src->stride[i], p.w, p.h))
            return false;
    }
    return true;
}

int damage_map_compare(const struct geometry *g, const struct kernels *k,
                       const struct picture *pic, const struct frame *src,
                       const struct damage *damage, uint8_t *dirty)
{
    int count = 0;
    for (int i = 0; i < damage->n; i++) {
        struct rect r = rect_intersect(damage->r[i], (struct rect){0, 0, g->width, g->height});
        if (rect_empty(&r))
            continue;
        /* A chroma sample of 4:2:0 covers two columns: outward to 8 holds them all. */
        for (int by = r.y >> 3; by <= (r.y + r.h - 1) >> 3; by++)
            for (int bx = r.x >> 3; bx <= (r.x + r.w - 1) >> 3; bx++) {
                uint8_t *d = &dirty[by * g->w8 + bx];
                if (!*d && !damage_map_same(g, k, pic, src, bx, by, 0, 0)) {
                    *d = 1;
                    count++;
                }
            }
    }
    return count;
}

void damage_map_copy(const struct geometry *g, const struct picture *pic, const struct frame *src,
                     int bx, int by, int n)
{
    for (int i = 0; i < 3; i++) {
        struct part first = part_of(g, i, bx, by), last = part_of(g, i, bx + n - 1, by);
        int size = 8 >> (i ? g->cshift : 0), w = last.x + last.w - first.x;
        for (int j = 0; j < size; j++) {
            uint8_t *to = frame_at(src, i, first.x, first.y + j);
            int from = first.y + (j < first.h ? j : first.h - 1);
            memcpy(to, pic->plane[i] + (ptrdiff_t)from * pic->stride[i] + first.x, (size_t)w);
            if (w < n * size)
                memset(to + w, to[w - 1], (size_t)(n * size - w));
        }
    }
}
