#include "display/repixel.h"

#include "base/error.h"
#include "convert/convert.h"

#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>

struct repixel {
    enum AVPixelFormat to;
    int width, height;
    size_t bytes;
    uint8_t *out; /* tightly packed */
    uint8_t *plane[4];
    int stride[4];
    /* What `sws` was made for. */
    struct SwsContext *sws;
    enum AVPixelFormat from;
    int from_width, from_height;
    bool from_full, from_601;
    bool borders; /* what is outside of the fitted picture is black */
};

static enum AVPixelFormat av_of_raw(enum raw_fmt fmt)
{
    static const enum AVPixelFormat table[] = {
        [RAW_AUTO] = AV_PIX_FMT_YUV420P, [RAW_I420] = AV_PIX_FMT_YUV420P,
        [RAW_I444] = AV_PIX_FMT_YUV444P, [RAW_NV12] = AV_PIX_FMT_NV12,
        [RAW_BGR24] = AV_PIX_FMT_BGR24,  [RAW_RGB24] = AV_PIX_FMT_RGB24,
    };
    return table[fmt];
}

static enum AVPixelFormat av_of_pix(enum pix_fmt fmt)
{
    static const enum AVPixelFormat table[] = {
        [PIX_BGRX] = AV_PIX_FMT_BGR0,
        [PIX_I420] = AV_PIX_FMT_YUV420P,
        [PIX_I444] = AV_PIX_FMT_YUV444P,
        [PIX_NV12] = AV_PIX_FMT_NV12,
    };
    return table[fmt];
}

struct repixel *repixel_new(enum raw_fmt fmt, int width, int height)
{
    struct repixel *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->to = av_of_raw(fmt);
    r->width = width;
    r->height = height;
    int n = av_image_get_buffer_size(r->to, width, height, 1);
    r->out = n > 0 ? av_mallocz((size_t)n + 64) : NULL; /* SIMD stores may pass the end */
    if (!r->out || av_image_fill_arrays(r->plane, r->stride, r->out, r->to, width, height, 1) < 0) {
        repixel_free(&r);
        return NULL;
    }
    r->bytes = (size_t)n;
    return r;
}

void repixel_free(struct repixel **pr)
{
    struct repixel *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    sws_freeContext(r->sws);
    av_free(r->out);
    free(r);
}

size_t repixel_bytes(const struct repixel *r)
{
    return r->bytes;
}

struct rect repixel_fit(int width, int height, int w, int h)
{
    struct rect f = {0, 0, width, height};
    if ((int64_t)w * height > (int64_t)h * width)
        f.h = (int)(((int64_t)h * width + w / 2) / w);
    else
        f.w = (int)(((int64_t)w * height + h / 2) / h);
    /* Chroma has half the samples: everything starts on an even one. */
    if (f.w < width)
        f.w = f.w < 2 ? 2 : f.w & ~1;
    if (f.h < height)
        f.h = f.h < 2 ? 2 : f.h & ~1;
    f.w = f.w > width ? width : f.w;
    f.h = f.h > height ? height : f.h;
    f.x = (width - f.w) / 2 & ~1;
    f.y = (height - f.h) / 2 & ~1;
    return f;
}

/* Y 16, chroma 128 (BT.709 limited range), or RGB 0. */
static void clear_black(struct repixel *r)
{
    memset(r->out, 0, r->bytes);
    if (r->to == AV_PIX_FMT_BGR24 || r->to == AV_PIX_FMT_RGB24)
        return;
    size_t luma = (size_t)r->width * (size_t)r->height;
    memset(r->out, 16, luma);
    memset(r->out + luma, 128, r->bytes - luma);
}

static int set_up(struct repixel *r, const struct picture *pic, struct rect fit)
{
    enum AVPixelFormat from = av_of_pix(pic->fmt);
    if (r->sws && r->from == from && r->from_width == pic->width && r->from_height == pic->height &&
        r->from_full == pic->full_range && r->from_601 == pic->bt601)
        return 0;
    sws_freeContext(r->sws);
    r->sws = NULL;
    bool rgb = r->to == AV_PIX_FMT_BGR24 || r->to == AV_PIX_FMT_RGB24;
    bool full = pic->full_range || pic->fmt == PIX_BGRX;
    r->sws = sws_alloc_context();
    if (!r->sws)
        return error_set(ERR_MEMORY, "out of memory");
    av_opt_set_int(r->sws, "srcw", pic->width, 0);
    av_opt_set_int(r->sws, "srch", pic->height, 0);
    av_opt_set_int(r->sws, "src_format", from, 0);
    av_opt_set_int(r->sws, "dstw", fit.w, 0);
    av_opt_set_int(r->sws, "dsth", fit.h, 0);
    av_opt_set_int(r->sws, "dst_format", r->to, 0);
    /* The ranges must be known at init, which else takes a plain copy for equal formats. */
    av_opt_set_int(r->sws, "src_range", full, 0);
    av_opt_set_int(r->sws, "dst_range", rgb, 0);
    /* Sharp when it is enlarged or reduced; chroma is interpolated, not repeated. */
    av_opt_set_int(r->sws, "sws_flags",
                   SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP, 0);
    if (sws_init_context(r->sws, NULL, NULL) < 0) {
        sws_freeContext(r->sws);
        r->sws = NULL;
        return error_set(ERR_UNSUPPORTED, "a picture of %dx%d cannot be converted", pic->width,
                         pic->height);
    }
    const int *in = sws_getCoefficients(pic->bt601 ? SWS_CS_ITU601 : SWS_CS_ITU709);
    const int *out = rgb ? in : sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(r->sws, in, full, out, rgb, 0, 1 << 16, 1 << 16);
    r->from = from;
    r->from_width = pic->width;
    r->from_height = pic->height;
    r->from_full = pic->full_range;
    r->from_601 = pic->bt601;
    r->borders = false;
    return 0;
}

static void copy_planes(struct repixel *r, const struct picture *pic)
{
    for (int i = 0; i < picture_planes(pic->fmt); i++)
        av_image_copy_plane(r->plane[i], r->stride[i], pic->plane[i], pic->stride[i],
                            picture_row_bytes(pic->fmt, pic->width, i),
                            picture_rows(pic->fmt, pic->height, i));
}

int repixel_run(struct repixel *r, const struct picture *pic, const uint8_t **bytes)
{
    *bytes = r->out;
    if (av_of_pix(pic->fmt) == r->to && pic->width == r->width && pic->height == r->height &&
        !pic->full_range && !pic->bt601) {
        copy_planes(r, pic);
        r->borders = false;
        return 0;
    }
    bool rgb = r->to == AV_PIX_FMT_BGR24 || r->to == AV_PIX_FMT_RGB24;
    if (rgb && pic->width == r->width && pic->height == r->height && pic->fmt != PIX_BGRX) {
        r->borders = false;
        return convert_yuv_to_rgb(pic, r->out, r->stride[0], 3, r->to == AV_PIX_FMT_RGB24);
    }
    struct rect fit = repixel_fit(r->width, r->height, pic->width, pic->height);
    int e = set_up(r, pic, fit);
    if (e < 0)
        return e;
    if (!r->borders)
        clear_black(r);
    r->borders = true;
    uint8_t *dst[4] = {r->plane[0], r->plane[1], r->plane[2], NULL};
    int shift = r->to == AV_PIX_FMT_YUV444P ? 0 : 1;
    for (int i = 0; i < 3 && dst[i]; i++) {
        int x = i && shift ? fit.x >> 1 : fit.x, y = i && shift ? fit.y >> 1 : fit.y;
        int step = rgb ? 3 : i && r->to == AV_PIX_FMT_NV12 ? 2 : 1;
        dst[i] += (ptrdiff_t)y * r->stride[i] + (ptrdiff_t)x * step;
    }
    sws_scale(r->sws, (const uint8_t *const *)pic->plane, pic->stride, 0, pic->height, dst,
              r->stride);
    return 0;
}
