#include "encode/content.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h, const uint8_t *p, int n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (; n > 0; n--, p++)
        h = (h ^ *p) * 0x9e3779b97f4a7c15u;
    return h;
}

/* All planes count: a change of colour alone is a change. Never 0, which is an empty slot. */
static uint64_t row_hash(const struct content *c, const struct picture *pic, struct rect r, int y)
{
    int s = c->fmt == PIX_I420 ? 1 : 0;
    uint64_t h = mix(0x1234567, pic->plane[0] + (ptrdiff_t)y * pic->stride[0] + r.x, r.w);
    for (int i = 1; i < 3; i++)
        h = mix(h, pic->plane[i] + (ptrdiff_t)(y >> s) * pic->stride[i] + (r.x >> s),
                (r.w + s) >> s);
    return h ? h : 1;
}

/* A row of 4:2:0 shares its chroma with its neighbour; so that text which scrolls by an odd
 * number of rows still counts as moved, luma alone decides that. */
static uint64_t luma_hash(const struct picture *pic, struct rect r, int y)
{
    uint64_t h = mix(0x7654321, pic->plane[0] + (ptrdiff_t)y * pic->stride[0] + r.x, r.w);
    return h ? h : 1;
}

bool content_init(struct content *c, enum pix_fmt fmt, int width, int height)
{
    *c = (struct content){.width = width, .height = height, .fmt = fmt};
    c->cols = (width + CELL - 1) / CELL;
    c->rows = (height + CELL - 1) / CELL;
    c->cells = calloc((size_t)c->cols * c->rows, sizeof c->cells[0]);
    c->hashes = calloc((size_t)c->cols * height * 2, sizeof c->hashes[0]);
    size_t slots = 1;
    while (slots < 2 * (size_t)height)
        slots *= 2;
    c->set = calloc(slots, sizeof c->set[0]);
    if (!c->cells || !c->hashes || !c->set)
        return false;
    for (int i = 0; i < c->cols * c->rows; i++)
        c->cells[i].qp = QP_NEVER;
    return true;
}

void content_free(struct content *c)
{
    free(c->cells);
    free(c->hashes);
    free(c->set);
    memset(c, 0, sizeof *c);
}

struct rect content_cell_rect(const struct content *c, int i)
{
    struct rect r = {i % c->cols * CELL, i / c->cols * CELL, CELL, CELL};
    return rect_intersect(r, (struct rect){0, 0, c->width, c->height});
}

void content_clean(struct content *c)
{
    for (int i = 0; i < c->cols * c->rows; i++) {
        c->cells[i].dirty_area = 0;
        c->cells[i].dirty = (struct rect){0, 0, 0, 0};
    }
}

static size_t set_mask(const struct content *c)
{
    size_t slots = 1;
    while (slots < 2 * (size_t)c->height)
        slots *= 2;
    return slots - 1;
}

static void set_fill(struct content *c, int col)
{
    size_t mask = set_mask(c);
    memset(c->set, 0, (mask + 1) * sizeof c->set[0]);
    for (int y = 0; y < c->height; y++) {
        uint64_t h = c->hashes[2 * ((size_t)y * c->cols + col) + 1];
        size_t i = h & mask;
        while (c->set[i] && c->set[i] != h)
            i = (i + 1) & mask;
        c->set[i] = h;
    }
}

static bool set_has(const struct content *c, uint64_t h)
{
    size_t mask = set_mask(c), i = h & mask;
    while (c->set[i] && c->set[i] != h)
        i = (i + 1) & mask;
    return c->set[i] == h;
}

static int steepness_bin(int g)
{
    g = g > 255 ? 255 : g;
    return g ? 32 - __builtin_clz((unsigned)g) : 0;
}

/* Every fourth row of the dirty part: enough for a size model, at a quarter of the time. */
static void measure_hist(struct cell *cell, const struct picture *pic)
{
    struct rect r = cell->dirty;
    int count[CELL_BINS] = {0}, n = 0;
    for (int y = r.y + (r.h > 1 ? 1 : 0); y < r.y + r.h; y += 4) {
        const uint8_t *p = pic->plane[0] + (ptrdiff_t)y * pic->stride[0] + r.x;
        const uint8_t *up = y ? p - pic->stride[0] : p;
        for (int x = 1; x < r.w; x++) {
            count[steepness_bin(abs(p[x] - p[x - 1]) + abs(p[x] - up[x]))]++;
            n++;
        }
    }
    for (int i = 0; i < CELL_BINS; i++) {
        cell->hist[i] = (uint16_t)(n ? count[i] * 4096 / n : 0);
        cell->whole[i] = (uint16_t)((cell->hist[i] * r.w * r.h +
                                     cell->whole[i] * (CELL * CELL - r.w * r.h)) /
                                    (CELL * CELL));
    }
}

static void round_out(const struct content *c, struct rect *r)
{
    int x0 = r->x & ~7, y0 = r->y & ~7, x1 = (r->x + r->w + 7) & ~7, y1 = (r->y + r->h + 7) & ~7;
    x1 = x1 < c->width ? x1 : c->width;
    y1 = y1 < c->height ? y1 : c->height;
    *r = (struct rect){x0, y0, x1 - x0, y1 - y0};
}

/* The part of a cell that the damage covers, as one rectangle. */
static struct rect damaged_part(struct rect cell, const struct damage *d)
{
    struct rect r = {0, 0, 0, 0};
    for (int i = 0; i < d->n; i++)
        r = rect_union(r, rect_intersect(d->r[i], cell));
    return r;
}

static void update_cell(struct content *c, int index, const struct picture *pic,
                        const struct damage *damage, bool all)
{
    struct cell *cell = &c->cells[index];
    struct rect whole = content_cell_rect(c, index);
    struct rect part = all ? whole : damaged_part(whole, damage);
    if (rect_empty(&part))
        return;
    int changed = 0, novel = 0, first = -1, last = -1;
    for (int y = part.y; y < part.y + part.h; y++) {
        uint64_t *old = &c->hashes[2 * ((size_t)y * c->cols + index % c->cols)];
        uint64_t h = row_hash(c, pic, whole, y), luma = luma_hash(pic, whole, y);
        if (all || old[0] != h) {
            changed++;
            novel += all || !set_has(c, luma);
            first = first < 0 ? y : first;
            last = y;
        }
        old[0] = h;
        old[1] = luma;
    }
    if (!changed)
        return;
    part.y = first;
    part.h = last + 1 - first;
    round_out(c, &part);
    cell->dirty = part;
    cell->dirty_area = (uint16_t)(part.w * part.h);
    cell->novel = (uint8_t)(novel * 255 / changed);
    measure_hist(cell, pic);
}

void content_update(struct content *c, const struct picture *pic, const struct damage *damage,
                    bool all)
{
    all = all || !c->known;
    content_clean(c);
    struct rect bounds = {0, 0, c->width, c->height};
    if (!all)
        bounds = rect_intersect(damage_bounds(damage), bounds);
    if (!rect_empty(&bounds)) {
        for (int col = bounds.x / CELL; col <= (bounds.x + bounds.w - 1) / CELL; col++) {
            if (!all)
                set_fill(c, col);
            for (int row = bounds.y / CELL; row <= (bounds.y + bounds.h - 1) / CELL; row++)
                update_cell(c, row * c->cols + col, pic, damage, all);
        }
    }
    c->known = true;
}
