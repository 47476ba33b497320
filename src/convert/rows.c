#include "convert/rows.h"

#include <stddef.h>

/* round(32768 × 219/255 × K) and round(32768 × 224/255 × K / (2 (1 - Kx))), the largest of each
 * chroma row adjusted by the rounding so that the sums are 28142 and 0. */
const struct row_weights row_weights_y = {2032, 20127, 5983};
const struct row_weights row_weights_u = {14392, -11094, -3298};
const struct row_weights row_weights_v = {-1320, -13072, 14392};

static void plane_plain(const uint8_t *p, uint8_t *dst, int n, const struct row_weights *w,
                        int offset)
{
    int add = (offset << ROW_SHIFT) + (1 << (ROW_SHIFT - 1));
    for (int i = 0; i < n; i++, p += 4)
        dst[i] = (uint8_t)((p[0] * w->b + p[1] * w->g + p[2] * w->r + add) >> ROW_SHIFT);
}

static void chroma420_plain(const uint8_t *a, const uint8_t *b, uint8_t *u, uint8_t *v, int n)
{
    const struct row_weights *wu = &row_weights_u, *wv = &row_weights_v;
    int add = (128 << (ROW_SHIFT + 3)) + (1 << (ROW_SHIFT + 2));
    for (int i = 0; i < n; i++, a += 8, b += 8) {
        int s[3]; /* eight times the mean */
        for (int c = 0; c < 3; c++)
            s[c] = a[c - 4] + b[c - 4] + 2 * (a[c] + b[c]) + a[c + 4] + b[c + 4];
        u[i] = (uint8_t)((s[0] * wu->b + s[1] * wu->g + s[2] * wu->r + add) >> (ROW_SHIFT + 3));
        v[i] = (uint8_t)((s[0] * wv->b + s[1] * wv->g + s[2] * wv->r + add) >> (ROW_SHIFT + 3));
    }
}

const struct row_ops row_ops_plain = {plane_plain, chroma420_plain};

const struct row_ops *row_ops_best(void)
{
    const struct row_ops *ops = row_ops_avx2();
    return ops ? ops : &row_ops_plain;
}
