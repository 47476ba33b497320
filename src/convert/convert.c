#include "convert/convert.h"

#include "convert/rows.h"

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
