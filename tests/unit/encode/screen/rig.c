#include "rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

static uint32_t rng_state;

void rng_seed(uint32_t seed) { rng_state = seed * 2654435761u + 1; }

uint32_t rng(uint32_t below)
{
    rng_state = rng_state * 1664525u + 1013904223u;
    return below ? (rng_state >> 8) % below : 0;
}

static void plane_size(const struct picture *p, int i, int *w, int *h)
{
    *w = picture_row_bytes(p->fmt, p->width, i);
    *h = picture_rows(p->fmt, p->height, i);
}

enum { GLYPHS = 6, GLYPH_ROWS = 11 };

/* Cells of 6 to 9 columns; ink by the bits of a number of the letter and its row. */
static void paint_glyphs(struct picture *p, struct rect r)
{
    int shift = p->fmt == PIX_I420, pitch = 6 + (int)rng(4), colour = rng(3) ? 128 : 60;
    uint8_t line[64];
    for (size_t i = 0; i < sizeof line; i++)
        line[i] = (uint8_t)rng(GLYPHS);
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h;
        plane_size(p, i, &w, &h);
        int x1 = (r.x + r.w + s) >> s, y1 = (r.y + r.h + s) >> s;
        for (int y = r.y >> s; y < y1 && y < h; y++)
            for (int x = r.x >> s; x < x1 && x < w; x++) {
                int lx = (x << s) - r.x, ly = (y << s) - r.y;
                lx = lx < 0 ? 0 : lx;
                ly = ly < 0 ? 0 : ly;
                uint32_t letter = line[(lx / pitch + 7 * (ly / GLYPH_ROWS)) % 64];
                uint32_t bits = (letter * 31 + (uint32_t)(ly % GLYPH_ROWS) + 1) * 2654435761u >> 9;
                bool ink = lx % pitch < 5 && ly % GLYPH_ROWS < 9 && bits >> (lx % pitch) & 1;
                int v = i ? ink ? colour : 128 : ink ? 40 : 220;
                p->plane[i][(ptrdiff_t)y * p->stride[i] + x] = (uint8_t)v;
            }
    }
}

void paint(struct picture *p, struct rect r, enum paint kind)
{
    if (kind == PAINT_GLYPHS) {
        paint_glyphs(p, r);
        return;
    }
    int shift = p->fmt == PIX_I420;
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h, base = (int)rng(256), ink = (int)rng(256);
        plane_size(p, i, &w, &h);
        int x1 = (r.x + r.w + s) >> s, y1 = (r.y + r.h + s) >> s;
        for (int y = r.y >> s; y < y1 && y < h; y++)
            for (int x = r.x >> s; x < x1 && x < w; x++) {
                int v = base;
                if (kind == PAINT_NOISE)
                    v = (int)rng(256);
                else if (kind == PAINT_SMOOTH)
                    v = base + x * 3 / 2 - y + (int)rng(3);
                else if (kind == PAINT_TEXT)
                    v = rng(3) ? base : ink;
                p->plane[i][(ptrdiff_t)y * p->stride[i] + x] = (uint8_t)v;
            }
    }
}

struct rect random_rect(const struct picture *p)
{
    struct rect r = {(int)rng((uint32_t)p->width), (int)rng((uint32_t)p->height), 0, 0};
    r.w = 1 + (int)rng((uint32_t)(p->width - r.x));
    r.h = 1 + (int)rng((uint32_t)(p->height - r.y));
    return r;
}

/* Moves a rectangle of the picture by any vector within it: a scroll, or a dragged window. */
static void move(struct picture *p, struct damage *damage)
{
    struct rect r = random_rect(p);
    int dx = (int)rng((uint32_t)(p->width - r.w + 1)) - r.x;
    int dy = (int)rng((uint32_t)(p->height - r.h + 1)) - r.y;
    if (rng(2))
        dx = 0;
    struct picture *old = picture_new(p->fmt, p->width, p->height);
    assert_non_null(old);
    int shift = p->fmt == PIX_I420;
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h;
        plane_size(p, i, &w, &h);
        for (int y = 0; y < h; y++)
            memcpy(old->plane[i] + (ptrdiff_t)y * old->stride[i],
                   p->plane[i] + (ptrdiff_t)y * p->stride[i], (size_t)w);
        for (int y = r.y >> s; y < (r.y + r.h) >> s; y++)
            for (int x = r.x >> s; x < (r.x + r.w) >> s; x++) {
                int tx = x + (dx >> s), ty = y + (dy >> s);
                if (tx >= 0 && ty >= 0 && tx < w && ty < h)
                    p->plane[i][(ptrdiff_t)ty * p->stride[i] + tx] =
                        old->plane[i][(ptrdiff_t)y * old->stride[i] + x];
            }
    }
    picture_unref(&old);
    damage_set_all(damage, p->width, p->height);
}

void change(struct picture *p)
{
    damage_clear(&p->damage);
    for (uint32_t n = 1 + rng(4); n > 0; n--) {
        struct rect r = random_rect(p);
        switch (rng(4)) {
        case 0: move(p, &p->damage); break;
        case 1: damage_add(&p->damage, r); break; /* damage without a change */
        default:
            paint(p, r, (enum paint)rng(PAINT_KINDS));
            r.x &= ~1;
            r.y &= ~1;
            r.w += 2;
            r.h += 2;
            damage_add(&p->damage, r);
            break;
        }
    }
    damage_clip(&p->damage, p->width, p->height, 2);
}

void copy_part(struct picture *to, const struct picture *from, struct rect r)
{
    int shift = to->fmt == PIX_I420;
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h;
        plane_size(to, i, &w, &h);
        int x0 = r.x >> s, x1 = (r.x + r.w + s) >> s, y1 = (r.y + r.h + s) >> s;
        x1 = x1 < w ? x1 : w;
        for (int y = r.y >> s; y < y1 && y < h; y++)
            memcpy(to->plane[i] + (ptrdiff_t)y * to->stride[i] + x0,
                   from->plane[i] + (ptrdiff_t)y * from->stride[i] + x0, (size_t)(x1 - x0));
    }
    r.x &= ~1;
    r.y &= ~1;
    r.w += 2;
    r.h += 2;
    damage_add(&to->damage, r);
    damage_clip(&to->damage, to->width, to->height, 2);
}

bool same(const struct picture *rec, const struct picture *got)
{
    for (int i = 0; i < 3; i++) {
        int w, h;
        plane_size(got, i, &w, &h);
        for (int y = 0; y < h; y++) {
            const uint8_t *a = rec->plane[i] + (ptrdiff_t)y * rec->stride[i];
            const uint8_t *b = got->plane[i] + (ptrdiff_t)y * got->stride[i];
            for (int x = 0; x < w; x++)
                if (a[x] != b[x]) {
                    print_error("plane %d differs at %d,%d: %d, decoded %d\n", i, x, y, a[x], b[x]);
                    return false;
                }
        }
    }
    return true;
}

bool equals_source(const struct picture *src, const struct picture *got)
{
    for (int i = 0; i < 3; i++) {
        int w, h;
        plane_size(src, i, &w, &h);
        for (int y = 0; y < h; y++)
            if (memcmp(src->plane[i] + (ptrdiff_t)y * src->stride[i],
                       got->plane[i] + (ptrdiff_t)y * got->stride[i], (size_t)w))
                return false;
    }
    return true;
}
