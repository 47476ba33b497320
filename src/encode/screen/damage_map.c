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

unsigned damage_map_same_row(const struct geometry *g, const struct kernels *k,
                             const struct picture *pic, const struct frame *src, int bx, int by,
                             int n, int dx, int dy)
{
    int x = bx * 8 + dx, y = by * 8 + dy;
    unsigned same = 0;
    if (y < 0 || y + 8 > g->ch)
        return 0;
    if (n < 8 || x < 0 || x + 64 > g->cw || (bx + 8) * 8 > g->width || (by + 1) * 8 > g->height) {
        for (int i = 0; i < n; i++)
            if (x + i * 8 >= 0 && x + i * 8 + 8 <= g->cw &&
                damage_map_same(g, k, pic, src, bx + i, by, dx, dy))
                same |= 1u << i;
        return same;
    }
    same = k->equal8(pic->plane[0] + (ptrdiff_t)by * 8 * pic->stride[0] + bx * 8, pic->stride[0],
                     frame_at(src, 0, x, y), src->stride[0], 8);
    for (int i = 1; i < 3 && same && !(g->cshift && ((dx | dy) & 1)); i++) {
        int unit = 8 >> g->cshift;
        same &= k->equal8(pic->plane[i] + (ptrdiff_t)by * unit * pic->stride[i] + bx * unit,
                          pic->stride[i], frame_at(src, i, x >> g->cshift, y >> g->cshift),
                          src->stride[i], unit);
    }
    return same;
}

unsigned damage_map_equal_row(const struct geometry *g, const struct kernels *k,
                              const struct frame *a, const struct frame *b, int bx, int by, int n)
{
    unsigned same = (1u << n) - 1;
    for (int i = 0; i < 3 && same; i++) {
        int unit = 8 >> (i ? g->cshift : 0);
        const uint8_t *p = frame_at(a, i, bx * unit, by * unit);
        const uint8_t *q = frame_at(b, i, bx * unit, by * unit);
        if (n == 8)
            same &= k->equal8(p, a->stride[i], q, b->stride[i], unit);
        else
            for (int j = 0; j < n; j++, p += unit, q += unit)
                if (!k->equal(p, a->stride[i], q, b->stride[i], unit, unit))
                    same &= ~(1u << j);
    }
    return same;
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
        int end = ((r.x + r.w - 1) >> 3) + 1;
        for (int by = r.y >> 3; by <= (r.y + r.h - 1) >> 3; by++)
            for (int bx = r.x >> 3; bx < end; bx += 8) {
                int n = end - bx < 8 ? end - bx : 8;
                unsigned same = damage_map_same_row(g, k, pic, src, bx, by, n, 0, 0);
                for (unsigned new = ~same & ((1u << n) - 1); new; new &= new - 1) {
                    uint8_t *d = &dirty[by * g->w8 + bx + __builtin_ctz(new)];
                    count += !*d;
                    *d = 1;
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
