#include "encode/screen/intra.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Inlined where the size is a constant. */
#define INLINE static inline __attribute__((always_inline))

/* All or half of an edge is what is mostly there. */
INLINE void gather(struct intra_edges *e, const uint8_t *p, ptrdiff_t stride, int n,
                   const struct intra_available *a)
{
    const uint8_t *above = p - stride;
    if (a->left >= n) {
        for (int i = 0; i < n; i++)
            e->left[1 + i] = p[i * stride - 1];
        for (int i = n; i < a->left; i++)
            e->left[1 + i] = p[i * stride - 1];
    }
    if (a->left < 2 * n) {
        uint8_t last = a->left ? e->left[a->left] : above[0];
        if (a->left == n)
            memset(e->left + 1 + n, last, (size_t)n);
        else
            memset(e->left + 1 + a->left, last, (size_t)(2 * n - a->left));
    }
    /* Where only one side is there, the corner and the other side repeat its first sample. */
    e->left[0] = e->top[0] = a->left && a->top ? above[-1] : a->left ? p[-1] : above[0];
    if (a->top == 2 * n) {
        memcpy(e->top + 1, above, (size_t)(2 * n));
    } else if (a->top == n) {
        memcpy(e->top + 1, above, (size_t)n);
        memset(e->top + 1 + n, above[n - 1], (size_t)n);
    } else {
        memcpy(e->top + 1, above, (size_t)a->top);
        memset(e->top + 1 + a->top, e->top[a->top], (size_t)(2 * n - a->top));
    }
}

void intra_gather(struct intra_edges *e, const uint8_t *p, int stride, int n,
                  const struct intra_available *a)
{
    if (!a->left && !a->top)
        memset(e, 128, sizeof *e);
    else if (n == 4)
        gather(e, p, stride, 4, a);
    else if (n == 8)
        gather(e, p, stride, 8, a);
    else
        gather(e, p, stride, n, a);
}

void intra_smooth(struct intra_edges *out, const struct intra_edges *in, int n)
{
    uint8_t corner = (uint8_t)((in->left[1] + 2 * in->left[0] + in->top[1] + 2) >> 2);
    out->left[0] = out->top[0] = corner;
    for (int i = 1; i < 2 * n; i++) {
        out->left[i] = (uint8_t)((in->left[i - 1] + 2 * in->left[i] + in->left[i + 1] + 2) >> 2);
        out->top[i] = (uint8_t)((in->top[i - 1] + 2 * in->top[i] + in->top[i + 1] + 2) >> 2);
    }
    out->left[2 * n] = in->left[2 * n];
    out->top[2 * n] = in->top[2 * n];
}

bool intra_smoothed(int mode, int n)
{
    if (mode == INTRA_DC || n == 4)
        return false;
    int v = abs(mode - INTRA_VERTICAL), h = abs(mode - INTRA_HORIZONTAL);
    return (v < h ? v : h) > (n == 8 ? 7 : n == 16 ? 1 : 0);
}

INLINE void predict_planar(uint8_t *dst, int stride, int n, const struct intra_edges *e)
{
    /* In 16 bits: at most 64 · 255. What falls along a column and what rises along a row of it is
     * counted up, so that the compiler makes vectors of the rest. */
    int shift = __builtin_ctz((unsigned)n) + 1;
    const uint8_t *top = e->top + 1, *left = e->left + 1;
    uint16_t column[32], right[32];
    for (int x = 0; x < n; x++) {
        column[x] = (uint16_t)(n * top[x] + (x + 1) * top[n] + n);
        right[x] = (uint16_t)(n - 1 - x);
    }
    for (int y = 0; y < n; y++, dst += stride)
        for (int x = 0; x < n; x++) {
            column[x] = (uint16_t)(column[x] - top[x] + left[n]);
            dst[x] = (uint8_t)((uint16_t)(column[x] + right[x] * left[y]) >> shift);
        }
}

INLINE void predict_dc(uint8_t *dst, int stride, int n, const struct intra_edges *e, bool filter)
{
    int sum = n;
    for (int i = 1; i <= n; i++)
        sum += e->left[i] + e->top[i];
    int dc = sum >> (__builtin_ctz((unsigned)n) + 1);
    for (int y = 0; y < n; y++)
        memset(dst + (ptrdiff_t)y * stride, dc, (size_t)n);
    if (!filter)
        return;
    dst[0] = (uint8_t)((e->left[1] + 2 * dc + e->top[1] + 2) >> 2);
    for (int i = 1; i < n; i++) {
        dst[i] = (uint8_t)((e->top[i + 1] + 3 * dc + 2) >> 2);
        dst[(ptrdiff_t)i * stride] = (uint8_t)((e->left[i + 1] + 3 * dc + 2) >> 2);
    }
}

/* Table 8-5, from mode 2; and -8192 / angle for the negative ones, table 8-6, from mode 11. */
static const int8_t angles[33] = {32,  26,  21,  17,  13,  9,   5,   2,   0,   -2, -5,
                                  -9,  -13, -17, -21, -26, -32, -26, -21, -17, -13, -9,
                                  -5,  -2,  0,   2,   5,   9,   13,  17,  21,  26, 32};
static const int16_t inverse_angles[15] = {-4096, -1638, -910, -630, -482, -390, -315, -256,
                                           -315,  -390,  -482, -630, -910, -1638, -4096};

static inline uint8_t clip8(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void transpose(uint8_t *dst, int stride, const uint8_t *t, int n)
{
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++)
            dst[(ptrdiff_t)y * stride + x] = t[x * n + y];
}

/* Modes 26 and 10 of the same: each column or row repeats its edge. */
INLINE void predict_vertical(uint8_t *dst, int stride, int n, const struct intra_edges *e,
                             bool filter)
{
    for (int y = 0; y < n; y++)
        memcpy(dst + (ptrdiff_t)y * stride, e->top + 1, (size_t)n);
    for (int y = 0; filter && y < n; y++)
        dst[(ptrdiff_t)y * stride] = clip8(e->top[1] + ((e->left[y + 1] - e->left[0]) >> 1));
}

INLINE void predict_horizontal(uint8_t *dst, int stride, int n, const struct intra_edges *e,
                               bool filter)
{
    for (int y = 0; y < n; y++)
        memset(dst + (ptrdiff_t)y * stride, e->left[y + 1], (size_t)n);
    for (int x = 0; filter && x < n; x++)
        dst[x] = clip8(e->left[1] + ((e->top[x + 1] - e->top[0]) >> 1));
}

/* 8.4.4.2.6 with the main edge above; horizontal modes come with the edges swapped and their
 * result is transposed. */
static void predict_rows(uint8_t *dst, int stride, int n, int mode, const uint8_t *main_edge,
                         const uint8_t *side)
{
    int angle = angles[mode - 2];
    uint8_t line[32 + 65];
    const uint8_t *ref = main_edge;
    if (angle < 0) {
        int last = (n * angle) >> 5;
        uint8_t *own = line + 32;
        memcpy(own, main_edge, (size_t)n + 1);
        if (last < -1)
            for (int x = -1; x >= last; x--)
                own[x] = side[(x * inverse_angles[mode - 11] + 128) >> 8];
        ref = own;
    }
    for (int y = 0; y < n; y++) {
        int at = ((y + 1) * angle) >> 5, part = ((y + 1) * angle) & 31;
        const uint8_t *r = ref + at + 1;
        uint8_t *out = dst + (ptrdiff_t)y * stride;
        if (part)
            for (int x = 0; x < n; x++)
                out[x] = (uint8_t)(((32 - part) * r[x] + part * r[x + 1] + 16) >> 5);
        else
            memcpy(out, r, (size_t)n);
    }
}

INLINE void predict(uint8_t *dst, int stride, int n, int mode, const struct intra_edges *e,
                    bool luma)
{
    bool filter = luma && n < 32;
    if (mode == INTRA_PLANAR) {
        predict_planar(dst, stride, n, e);
    } else if (mode == INTRA_DC) {
        predict_dc(dst, stride, n, e, filter);
    } else if (mode == INTRA_VERTICAL) {
        predict_vertical(dst, stride, n, e, filter);
    } else if (mode == INTRA_HORIZONTAL) {
        predict_horizontal(dst, stride, n, e, filter);
    } else if (mode >= 18) {
        predict_rows(dst, stride, n, mode, e->top, e->left);
    } else {
        uint8_t t[32 * 32];
        predict_rows(t, n, n, mode, e->left, e->top);
        transpose(dst, stride, t, n);
    }
}

void intra_predict(uint8_t *dst, int stride, int n, int mode, const struct intra_edges *e,
                   bool luma)
{
    switch (n) { /* the usual sizes as constants, for the compiler */
    case 4: predict(dst, stride, 4, mode, e, luma); break;
    case 8: predict(dst, stride, 8, mode, e, luma); break;
    default: predict(dst, stride, n, mode, e, luma); break;
    }
}
