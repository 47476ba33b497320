#include "base/picture.h"

#include <stdlib.h>
#include <string.h>

struct rect rect_intersect(struct rect a, struct rect b)
{
    int x0 = a.x > b.x ? a.x : b.x, y0 = a.y > b.y ? a.y : b.y;
    int x1 = a.x + a.w < b.x + b.w ? a.x + a.w : b.x + b.w;
    int y1 = a.y + a.h < b.y + b.h ? a.y + a.h : b.y + b.h;
    if (x1 <= x0 || y1 <= y0)
        return (struct rect){0, 0, 0, 0};
    return (struct rect){x0, y0, x1 - x0, y1 - y0};
}

struct rect rect_union(struct rect a, struct rect b)
{
    if (rect_empty(&a))
        return b;
    if (rect_empty(&b))
        return a;
    int x0 = a.x < b.x ? a.x : b.x, y0 = a.y < b.y ? a.y : b.y;
    int x1 = a.x + a.w > b.x + b.w ? a.x + a.w : b.x + b.w;
    int y1 = a.y + a.h > b.y + b.h ? a.y + a.h : b.y + b.h;
    return (struct rect){x0, y0, x1 - x0, y1 - y0};
}

bool rect_contains(struct rect o, struct rect i)
{
    return i.x >= o.x && i.y >= o.y && i.x + i.w <= o.x + o.w && i.y + i.h <= o.y + o.h;
}

static int64_t area(struct rect r) { return (int64_t)r.w * r.h; }

void damage_clear(struct damage *d) { d->n = 0; }

/* How many pixels a merge of a and b would cover that neither did. */
static int64_t merge_waste(struct rect a, struct rect b)
{
    return area(rect_union(a, b)) - area(a) - area(b) + area(rect_intersect(a, b));
}

static void remove_at(struct damage *d, int i) { d->r[i] = d->r[--d->n]; }

/* Merges the pair that wastes least, to make room. Quadratic in 32, and rare. */
static void merge_cheapest(struct damage *d)
{
    int bi = 0, bj = 1;
    int64_t best = INT64_MAX;
    for (int i = 0; i < d->n; i++) {
        for (int j = i + 1; j < d->n; j++) {
            int64_t w = merge_waste(d->r[i], d->r[j]);
            if (w < best) {
                best = w;
                bi = i;
                bj = j;
            }
        }
    }
    d->r[bi] = rect_union(d->r[bi], d->r[bj]);
    remove_at(d, bj);
}

void damage_add(struct damage *d, struct rect r)
{
    if (rect_empty(&r))
        return;
    for (int i = 0; i < d->n;) {
        if (rect_contains(d->r[i], r))
            return;
        if (merge_waste(d->r[i], r) <= 0) { /* contained, or two that tile a larger one */
            r = rect_union(d->r[i], r);
            remove_at(d, i);
            i = 0;
            continue;
        }
        i++;
    }
    if (d->n == DAMAGE_MAX)
        merge_cheapest(d);
    d->r[d->n++] = r;
}

void damage_add_all(struct damage *d, const struct damage *other)
{
    for (int i = 0; i < other->n; i++)
        damage_add(d, other->r[i]);
}

void damage_set_all(struct damage *d, int width, int height)
{
    d->n = 1;
    d->r[0] = (struct rect){0, 0, width, height};
}

void damage_clip(struct damage *d, int width, int height, int align)
{
    struct damage out = {.n = 0};
    for (int i = 0; i < d->n; i++) {
        struct rect r = rect_intersect(d->r[i], (struct rect){0, 0, width, height});
        if (rect_empty(&r))
            continue;
        int x0 = r.x / align * align, y0 = r.y / align * align;
        int x1 = (r.x + r.w + align - 1) / align * align;
        int y1 = (r.y + r.h + align - 1) / align * align;
        x1 = x1 < width ? x1 : width;
        y1 = y1 < height ? y1 : height;
        damage_add(&out, (struct rect){x0, y0, x1 - x0, y1 - y0});
    }
    *d = out;
}

bool damage_is_all(const struct damage *d, int width, int height)
{
    for (int i = 0; i < d->n; i++)
        if (rect_contains(d->r[i], (struct rect){0, 0, width, height}))
            return true;
    return false;
}

int64_t damage_area(const struct damage *d)
{
    int64_t sum = 0;
    for (int i = 0; i < d->n; i++)
        sum += area(d->r[i]);
    return sum;
}

struct rect damage_bounds(const struct damage *d)
{
    struct rect b = {0, 0, 0, 0};
    for (int i = 0; i < d->n; i++)
        b = rect_union(b, d->r[i]);
    return b;
}

int picture_planes(enum pix_fmt fmt)
{
    return fmt == PIX_BGRX ? 1 : fmt == PIX_NV12 ? 2 : 3;
}

int picture_row_bytes(enum pix_fmt fmt, int width, int i)
{
    if (fmt == PIX_BGRX)
        return width * 4;
    if (i == 0 || fmt == PIX_I444)
        return width;
    return fmt == PIX_NV12 ? (width + 1) / 2 * 2 : (width + 1) / 2;
}

int picture_rows(enum pix_fmt fmt, int height, int i)
{
    return i == 0 || fmt == PIX_I444 ? height : (height + 1) / 2;
}

static void release_own(struct picture *p, void *ctx)
{
    (void)ctx;
    free(p);
}

struct picture *picture_new(enum pix_fmt fmt, int width, int height)
{
    size_t offset[3], total = 0;
    int stride[3] = {0};
    int n = picture_planes(fmt);
    for (int i = 0; i < n; i++) {
        stride[i] = (picture_row_bytes(fmt, width, i) + 63) & ~63;
        offset[i] = total;
        total += (size_t)stride[i] * (size_t)picture_rows(fmt, height, i);
    }
    size_t header = (sizeof(struct picture) + 63) & ~(size_t)63;
    struct picture *p = aligned_alloc(64, (header + total + 64 + 63) & ~(size_t)63);
    if (!p)
        return NULL;
    memset(p, 0, sizeof *p);
    atomic_init(&p->refs, 1);
    p->fmt = fmt;
    p->width = width;
    p->height = height;
    for (int i = 0; i < n; i++) {
        p->plane[i] = (uint8_t *)p + header + offset[i];
        p->stride[i] = stride[i];
    }
    p->release = release_own;
    return p;
}

struct picture *picture_ref(struct picture *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void picture_unref(struct picture **pp)
{
    struct picture *p = *pp;
    *pp = NULL;
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        p->release(p, p->release_ctx);
}

/* A slot of the pool is empty, in use, or free; only `get` turns free into in use, and only a
 * release turns in use into free, so one atomic state a slot is enough. */
enum { SLOT_EMPTY, SLOT_BUSY, SLOT_FREE };

struct pool_slot {
    atomic_int state;
    struct picture *pic;
    struct picture_pool *pool;
};

struct picture_pool {
    atomic_int refs; /* 1 for the owner, 1 for each busy slot */
    int capacity;
    struct pool_slot slots[];
};

static void pool_unref(struct picture_pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < pool->capacity; i++)
        free(pool->slots[i].pic);
    free(pool);
}

static void release_to_pool(struct picture *p, void *ctx)
{
    (void)p;
    struct pool_slot *slot = ctx;
    struct picture_pool *pool = slot->pool;
    atomic_store_explicit(&slot->state, SLOT_FREE, memory_order_release);
    pool_unref(pool);
}

struct picture_pool *picture_pool_new(int capacity)
{
    struct picture_pool *pool = calloc(1, sizeof *pool + (size_t)capacity * sizeof pool->slots[0]);
    if (!pool)
        return NULL;
    atomic_init(&pool->refs, 1);
    pool->capacity = capacity;
    for (int i = 0; i < capacity; i++)
        pool->slots[i].pool = pool;
    return pool;
}

static struct pool_slot *pool_pick(struct picture_pool *pool, enum pix_fmt fmt, int w, int h)
{
    struct pool_slot *other = NULL;
    for (int i = 0; i < pool->capacity; i++) {
        struct pool_slot *s = &pool->slots[i];
        int state = atomic_load_explicit(&s->state, memory_order_acquire);
        if (state == SLOT_BUSY)
            continue;
        if (state == SLOT_FREE && s->pic->fmt == fmt && s->pic->width == w && s->pic->height == h)
            return s;
        if (!other || state == SLOT_EMPTY)
            other = s;
    }
    if (other && other->pic) {
        free(other->pic);
        other->pic = NULL;
    }
    return other;
}

struct picture *picture_pool_get(struct picture_pool *pool, enum pix_fmt fmt, int width, int height)
{
    struct pool_slot *s = pool_pick(pool, fmt, width, height);
    if (!s)
        return NULL;
    if (!s->pic && !(s->pic = picture_new(fmt, width, height))) {
        atomic_store_explicit(&s->state, SLOT_EMPTY, memory_order_relaxed);
        return NULL;
    }
    struct picture *p = s->pic;
    struct picture fresh = {.fmt = fmt, .width = width, .height = height};
    memcpy(fresh.plane, p->plane, sizeof fresh.plane);
    memcpy(fresh.stride, p->stride, sizeof fresh.stride);
    fresh.release = release_to_pool;
    fresh.release_ctx = s;
    memcpy(p, &fresh, sizeof fresh);
    atomic_init(&p->refs, 1);
    atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&s->state, SLOT_BUSY, memory_order_relaxed);
    return p;
}

void picture_pool_free(struct picture_pool **pool)
{
    if (*pool)
        pool_unref(*pool);
    *pool = NULL;
}

struct access_unit *access_unit_new(size_t cap)
{
    struct access_unit *au = calloc(1, sizeof *au);
    if (!au)
        return NULL;
    atomic_init(&au->refs, 1);
    au->qp = -1;
    if (!access_unit_reserve(au, cap)) {
        free(au);
        return NULL;
    }
    return au;
}

struct access_unit *access_unit_ref(struct access_unit *au)
{
    atomic_fetch_add_explicit(&au->refs, 1, memory_order_relaxed);
    return au;
}

void access_unit_unref(struct access_unit **pau)
{
    struct access_unit *au = *pau;
    *pau = NULL;
    if (!au || atomic_fetch_sub_explicit(&au->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(au->data);
    free(au);
}

bool access_unit_reserve(struct access_unit *au, size_t cap)
{
    if (cap <= au->cap)
        return true;
    size_t want = au->cap + au->cap / 2 > cap ? au->cap + au->cap / 2 : cap;
    uint8_t *data = realloc(au->data, want);
    if (!data)
        return false;
    au->data = data;
    au->cap = want;
    return true;
}

bool access_unit_append(struct access_unit *au, const void *data, size_t len)
{
    if (!access_unit_reserve(au, au->len + len))
        return false;
    if (len)
        memcpy(au->data + au->len, data, len);
    au->len += len;
    return true;
}
