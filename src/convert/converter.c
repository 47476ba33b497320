/* The converter: three sets of planes, each with the region in which it is older than the source.
 * A set that comes back converts only what changed since it was last written. */
#include "convert/convert.h"

#include "base/error.h"

#include <libyuv.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 3 }; /* the encoder has one, and another after a picture that needed no encoding */

struct plane_set {
    const struct picture *pic; /* borrows, only to know it again; NULL: never written */
    struct damage stale;
};

struct converter {
    enum pix_fmt to;
    int width, height; /* of the last picture; 0 before the first */
    struct picture_pool *pool;
    struct plane_set sets[SETS];
    struct picture *scratch; /* BGRX, for input in other colours; NULL until needed */
};

struct converter *converter_new(enum pix_fmt to)
{
    struct converter *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->to = to;
    c->pool = picture_pool_new(SETS);
    if (!c->pool) {
        free(c);
        return NULL;
    }
    return c;
}

void converter_free(struct converter **pc)
{
    struct converter *c = *pc;
    *pc = NULL;
    if (!c)
        return;
    picture_unref(&c->scratch);
    picture_pool_free(&c->pool);
    free(c);
}

static void copy_times(struct picture *out, const struct picture *in)
{
    out->event_us = in->event_us;
    out->capture_us = in->capture_us;
    out->pts_us = in->pts_us;
}

/* What changes in the planes: whole 2x2 blocks, and for 4:2:0 also the chroma sample right of
 * the damage, whose filter reaches one pixel to the left. */
static struct damage plane_damage(const struct converter *c, const struct picture *in)
{
    struct damage d = in->damage;
    if (c->to == PIX_I420)
        for (int i = 0; i < d.n; i++)
            d.r[i].w++;
    damage_clip(&d, in->width, in->height, 2);
    return d;
}

/* The set that p belongs to, or a new one in place of `sets` that the pool has given up. */
static struct plane_set *set_of(struct converter *c, const struct picture *p)
{
    struct plane_set *empty = &c->sets[0];
    for (int i = 0; i < SETS; i++) {
        if (c->sets[i].pic == p)
            return &c->sets[i];
        if (!c->sets[i].pic)
            empty = &c->sets[i];
    }
    empty->pic = p;
    damage_set_all(&empty->stale, p->width, p->height);
    return empty;
}

static void forget_sets(struct converter *c)
{
    memset(c->sets, 0, sizeof c->sets);
}

/* Pictures of other colours or another layout (decoded files): by way of BGRX, except NV12 that
 * only needs its chroma parted. */
static int convert_other(struct converter *c, const struct picture *in, struct picture *out)
{
    if (in->fmt == PIX_NV12 && c->to == PIX_I420 && !in->full_range && !in->bt601) {
        NV12ToI420(in->plane[0], in->stride[0], in->plane[1], in->stride[1], out->plane[0],
                   out->stride[0], out->plane[1], out->stride[1], out->plane[2], out->stride[2],
                   in->width, in->height);
        return 0;
    }
    if (c->scratch && (c->scratch->width != in->width || c->scratch->height != in->height))
        picture_unref(&c->scratch);
    if (!c->scratch && !(c->scratch = picture_new(PIX_BGRX, in->width, in->height)))
        return error_set(ERR_MEMORY, "out of memory for a picture of %dx%d", in->width, in->height);
    int rc = convert_yuv_to_rgb(in, c->scratch->plane[0], c->scratch->stride[0], 4, false);
    if (rc)
        return rc;
    convert_bgrx_to_yuv709(c->scratch, out, (struct rect){0, 0, in->width, in->height});
    return 0;
}

int converter_run(struct converter *c, struct picture *in, struct picture **out)
{
    *out = NULL;
    bool resized = in->width != c->width || in->height != c->height;
    if (in->fmt == c->to && !in->full_range && !in->bt601) {
        c->width = in->width;
        c->height = in->height;
        forget_sets(c); /* the sets miss this picture's damage */
        *out = picture_ref(in);
        return 0;
    }
    /* The damage is noted before anything can fail: the next picture's is relative to this one. */
    struct damage d = plane_damage(c, in);
    if (resized) {
        forget_sets(c);
        damage_set_all(&d, in->width, in->height);
        c->width = in->width;
        c->height = in->height;
    }
    for (int i = 0; i < SETS; i++)
        damage_add_all(&c->sets[i].stale, &d);

    struct picture *p = picture_pool_get(c->pool, c->to, in->width, in->height);
    if (!p)
        return error_set(ERR_TIMEOUT, "all sets of planes are still in use: the encoder is late");
    struct plane_set *set = set_of(c, p);
    if (in->fmt == PIX_BGRX) {
        for (int i = 0; i < set->stale.n; i++)
            convert_bgrx_to_yuv709(in, p, set->stale.r[i]);
    } else {
        int rc = convert_other(c, in, p);
        if (rc) {
            picture_unref(&p);
            return rc;
        }
    }
    damage_clear(&set->stale);
    copy_times(p, in);
    p->damage = d;
    *out = p;
    return 0;
}
