#include "encode/screen/chroma.h"

/* What the chroma of a moved block may differ from the source by on average: more where it is
 * still coarse, since coding it again would cost more than it gains. */
static int steps(const struct chroma_view *v, int bx, int by)
{
    int qp = v->inexact[by * v->g->w8 + bx];
    return qp > 24 ? 4 + (qp - 24) / 2 : 4;
}

/* About: with two taps. */
unsigned chroma_bearable(const struct chroma_view *v, int bx, int by, int n, struct mv mv)
{
    const struct geometry *g = v->g;
    int dx = mv.x >> 2, dy = mv.y >> 2, hx = dx & 1, hy = dy & 1;
    int x = bx * 4 + (dx >> 1), y = by * 4 + (dy >> 1);
    int w = (g->width + 1) / 2 - bx * 4, h = (g->height + 1) / 2 - by * 4;
    while (n > 0 && x + n * 4 + hx > g->cw / 2)
        n--;
    if (n <= 0 || x < 0 || y < 0 || y + 4 + hy > g->ch / 2)
        return 0;
    w = w < 4 * n ? w : 4 * n;
    h = h < 4 ? h : 4;
    unsigned good = (1u << n) - 1;
    for (int plane = 1; plane < 3; plane++) {
        uint16_t sum[32] = {0};
        v->k->half_sums(frame_at(v->pic, plane, bx * 4, by * 4), v->pic->stride[plane],
                        frame_at(v->rec, plane, x, y), v->rec->stride[plane], w, h, hx, hy, sum);
        for (int i = 0; i < n; i++) {
            int part = w - 4 * i < 4 ? w - 4 * i : 4;
            int most = steps(v, (bx * 8 + 8 * i + dx) >> 3, (by * 8 + dy) >> 3) * part * h;
            if (sum[4 * i] + sum[4 * i + 1] + sum[4 * i + 2] + sum[4 * i + 3] > most)
                good &= ~(1u << i);
        }
    }
    return good;
}
