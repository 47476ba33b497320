#include "encode/screen/damage_map.h"

#include "encode/screen/map.h"

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

static bool same_block(const struct geometry *g, const struct kernels *k, const struct frame *pic,
                       const struct frame *at, int bx, int by, int i, bool chroma)
{
    for (int plane = 0; plane < (chroma ? 3 : 1); plane++) {
        struct part p = part_of(g, plane, bx + i, by);
        if (p.w <= 0 || p.h <= 0)
            continue;
        if (!k->equal(frame_at(pic, plane, p.x, p.y), pic->stride[plane],
                      at->plane[plane] + i * (8 >> (plane ? g->cshift : 0)), at->stride[plane],
                      p.w, p.h))
            return false;
    }
    return true;
}

unsigned damage_map_same_at(const struct geometry *g, const struct kernels *k,
                            const struct frame *pic, const struct frame *at, int bx, int by, int n,
                            bool chroma)
{
    unsigned same = 0;
    if (n < 8 || (bx + 8) * 8 > g->width || (by + 1) * 8 > g->height) {
        for (int i = 0; i < n; i++)
            same |= (unsigned)same_block(g, k, pic, at, bx, by, i, chroma) << i;
        return same;
    }
    same = k->equal8(frame_at(pic, 0, bx * 8, by * 8), pic->stride[0], at->plane[0], at->stride[0],
                     8);
    for (int i = 1; i < 3 && same && chroma; i++) {
        int unit = 8 >> g->cshift;
        same &= k->equal8(frame_at(pic, i, bx * unit, by * unit), pic->stride[i], at->plane[i],
                          at->stride[i], unit);
    }
    return same;
}

unsigned damage_map_same_row(const struct geometry *g, const struct kernels *k,
                             const struct frame *pic, const struct frame *src, int bx, int by,
                             int n, int dx, int dy)
{
    int x = bx * 8 + dx, y = by * 8 + dy, first = 0;
    if (y < 0 || y + 8 > g->ch)
        return 0;
    for (; n > 0 && x < 0; n--, first++, bx++)
        x += 8;
    while (n > 0 && x + n * 8 > g->cw)
        n--;
    if (n <= 0)
        return 0;
    struct frame at = *src;
    at.plane[0] = frame_at(src, 0, x, y);
    for (int i = 1; i < 3; i++)
        at.plane[i] = frame_at(src, i, x >> g->cshift, y >> g->cshift);
    return damage_map_same_at(g, k, pic, &at, bx, by, n, !(g->cshift && ((dx | dy) & 1))) << first;
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

static bool all_dirty(const uint8_t *d, int n)
{
    return map_bits(map_row(d, n)) == (1u << n) - 1;
}

int damage_map_compare(const struct geometry *g, const struct kernels *k,
                       const struct frame *pic, const struct frame *src,
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
                if (all_dirty(dirty + by * g->w8 + bx, n))
                    continue;
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

void damage_map_copy(const struct geometry *g, const struct frame *pic, const struct frame *src,
                     int bx, int by, int n)
{
    for (int i = 0; i < 3; i++) {
        struct part first = part_of(g, i, bx, by), last = part_of(g, i, bx + n - 1, by);
        int size = 8 >> (i ? g->cshift : 0), w = last.x + last.w - first.x;
        for (int j = 0; j < size; j++) {
            uint8_t *to = frame_at(src, i, first.x, first.y + j);
            int from = first.y + (j < first.h ? j : first.h - 1);
            memcpy(to, frame_at(pic, i, first.x, from), (size_t)w);
            if (w < n * size)
                memset(to + w, to[w - 1], (size_t)(n * size - w));
        }
    }
}
