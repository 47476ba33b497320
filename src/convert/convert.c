#include "convert/convert.h"

#include "base/error.h"
#include "convert/rows.h"

#include <libyuv.h>
#include <string.h>

/* One chroma sample by the plain code with its neighbours gathered, for the samples whose
 * neighbour lies outside the picture: edges are replicated. */
static void chroma_edge(const struct picture *in, struct picture *out, int cx, int cy)
{
    uint8_t near[2][12]; /* pixels 2cx-1, 2cx, 2cx+1 of both rows */
    for (int j = 0; j < 2; j++) {
        int y = 2 * cy + j < in->height ? 2 * cy + j : in->height - 1;
        const uint8_t *row = in->plane[0] + (ptrdiff_t)y * in->stride[0];
        for (int i = 0; i < 3; i++) {
            int x = 2 * cx - 1 + i;
            x = x < 0 ? 0 : x < in->width ? x : in->width - 1;
            memcpy(near[j] + 4 * i, row + 4 * x, 4);
        }
    }
    row_ops_plain.chroma420(near[0] + 4, near[1] + 4,
                            out->plane[1] + (ptrdiff_t)cy * out->stride[1] + cx,
                            out->plane[2] + (ptrdiff_t)cy * out->stride[2] + cx, 1);
}

static void chroma_row(const struct row_ops *ops, const struct picture *in, struct picture *out,
                       int cy, int cx0, int cx1)
{
    int from = cx0, to = cx1;
    if (from == 0 && from < to)
        chroma_edge(in, out, from++, cy);
    if (2 * to > in->width && from < to) /* an odd width: the last sample lacks its right pixel */
        chroma_edge(in, out, --to, cy);
    if (from >= to)
        return;
    int y1 = 2 * cy + 1 < in->height ? 2 * cy + 1 : 2 * cy;
    const uint8_t *a = in->plane[0] + (ptrdiff_t)2 * cy * in->stride[0] + 8 * from;
    const uint8_t *b = in->plane[0] + (ptrdiff_t)y1 * in->stride[0] + 8 * from;
    ops->chroma420(a, b, out->plane[1] + (ptrdiff_t)cy * out->stride[1] + from,
                   out->plane[2] + (ptrdiff_t)cy * out->stride[2] + from, to - from);
}

void convert_bgrx_to_yuv709(const struct picture *in, struct picture *out, struct rect r)
{
    const struct row_ops *ops = row_ops_best();
    r = rect_intersect(r, (struct rect){0, 0, in->width, in->height});
    if (rect_empty(&r))
        return;
    const struct row_weights *weights[3] = {&row_weights_y, &row_weights_u, &row_weights_v};
    int planes = out->fmt == PIX_I444 ? 3 : 1;
    for (int y = r.y; y < r.y + r.h; y++) {
        const uint8_t *src = in->plane[0] + (ptrdiff_t)y * in->stride[0] + 4 * r.x;
        for (int i = 0; i < planes; i++)
            ops->plane(src, out->plane[i] + (ptrdiff_t)y * out->stride[i] + r.x, r.w, weights[i],
                       i ? 128 : 16);
        bool pair_done = y & 1 || y == r.y + r.h - 1;
        if (out->fmt == PIX_I420 && pair_done)
            chroma_row(ops, in, out, y / 2, r.x / 2, (r.x + r.w + 1) / 2);
    }
}

static const struct YuvConstants *constants_of(const struct picture *in, bool swapped)
{
    if (in->bt601 && in->full_range)
        return swapped ? &kYvuJPEGConstants : &kYuvJPEGConstants;
    if (in->bt601)
        return swapped ? &kYvuI601Constants : &kYuvI601Constants;
    if (in->full_range)
        return swapped ? &kYvuF709Constants : &kYuvF709Constants;
    return swapped ? &kYvuH709Constants : &kYuvH709Constants;
}

static int nv12_to_rgb(const struct picture *in, uint8_t *dst, int dst_stride, int bytes_per_pixel,
                       bool red_first)
{
    /* Red first: the same function for NV21 with U and V trading places in the constants. */
    int (*f)(const uint8_t *, int, const uint8_t *, int, uint8_t *, int,
             const struct YuvConstants *, int, int);
    if (bytes_per_pixel == 4)
        f = red_first ? NV21ToARGBMatrix : NV12ToARGBMatrix;
    else
        f = red_first ? NV21ToRGB24Matrix : NV12ToRGB24Matrix;
    return f(in->plane[0], in->stride[0], in->plane[1], in->stride[1], dst, dst_stride,
             constants_of(in, red_first), in->width, in->height);
}

int convert_yuv_to_rgb(const struct picture *in, uint8_t *dst, int dst_stride, int bytes_per_pixel,
                       bool red_first)
{
    if (bytes_per_pixel != 3 && bytes_per_pixel != 4)
        return error_set(ERR_INVALID, "a pixel has 3 or 4 bytes, not %d", bytes_per_pixel);
    int rc;
    int u = red_first ? 2 : 1, v = red_first ? 1 : 2;
    int (*f)(const uint8_t *, int, const uint8_t *, int, const uint8_t *, int, uint8_t *, int,
             const struct YuvConstants *, int, int);
    switch (in->fmt) {
    case PIX_NV12:
        rc = nv12_to_rgb(in, dst, dst_stride, bytes_per_pixel, red_first);
        break;
    case PIX_I420:
    case PIX_I444:
        if (in->fmt == PIX_I420)
            f = bytes_per_pixel == 4 ? I420ToARGBMatrix : I420ToRGB24Matrix;
        else
            f = bytes_per_pixel == 4 ? I444ToARGBMatrix : I444ToRGB24Matrix;
        rc = f(in->plane[0], in->stride[0], in->plane[u], in->stride[u], in->plane[v],
               in->stride[v], dst, dst_stride, constants_of(in, red_first), in->width, in->height);
        break;
    default:
        return error_set(ERR_UNSUPPORTED, "pixel format %d is not planes of YUV", in->fmt);
    }
    return rc ? error_set(ERR_INVALID, "libyuv refused a picture of %dx%d", in->width, in->height)
              : 0;
}
