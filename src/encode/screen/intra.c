#include "encode/screen/intra.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void intra_gather(struct intra_edges *e, const uint8_t *p, int stride, int n,
                  const struct intra_available *a)
{
    /* In the order of the substitution: from the lowest left sample up, the corner, then right. */
    uint8_t line[129];
    int units = 2 * n / a->unit, last = -1;
    for (int i = units - 1; i >= 0; i--) {
        int at = (units - 1 - i) * a->unit;
        if (a->left >> i & 1) {
            for (int j = 0; j < a->unit; j++)
                line[at + j] = p[(ptrdiff_t)((i + 1) * a->unit - 1 - j) * stride - 1];
            if (last < 0 && at > 0)
                memset(line, line[at], (size_t)at);
            last = at + a->unit - 1;
        } else if (last >= 0) {
            memset(line + at, line[last], (size_t)a->unit);
        }
    }
    int corner = 2 * n;
    if (a->corner) {
        line[corner] = p[-stride - 1];
        if (last < 0)
            memset(line, line[corner], (size_t)corner);
        last = corner;
    } else if (last >= 0) {
        line[corner] = line[corner - 1];
    }
    for (int i = 0; i < units; i++) {
        int at = corner + 1 + i * a->unit;
        if (a->top >> i & 1) {
            memcpy(line + at, p - stride + (ptrdiff_t)i * a->unit, (size_t)a->unit);
            if (last < 0)
                memset(line, line[at], (size_t)at);
            last = at;
        } else if (last >= 0) {
            memset(line + at, line[at - 1], (size_t)a->unit);
        }
    }
    if (last < 0)
        memset(line, 128, sizeof line);
    for (int i = 0; i <= 2 * n; i++)
        e->left[i] = line[corner - i];
    memcpy(e->top, line + corner, (size_t)(2 * n + 1));
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

static void predict_planar(uint8_t *dst, int stride, int n, const struct intra_edges *e)
{
    int shift = __builtin_ctz((unsigned)n) + 1;
    const uint8_t *top = e->top + 1, *left = e->left + 1;
    for (int y = 0; y < n; y++, dst += stride)
        for (int x = 0; x < n; x++)
            dst[x] = (uint8_t)(((n - 1 - x) * left[y] + (x + 1) * top[n] + (n - 1 - y) * top[x] +
                                (y + 1) * left[n] + n) >> shift);
}

static void predict_dc(uint8_t *dst, int stride, int n, const struct intra_edges *e, bool filter)
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

/* 8.4.4.2.6 with the main edge above; horizontal modes come with the edges swapped and their
 * result is transposed. */
static void predict_rows(uint8_t *dst, int stride, int n, int mode, const uint8_t *main_edge,
                         const uint8_t *side, bool filter)
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
    if (angle == 0 && filter)
        for (int y = 0; y < n; y++)
            dst[(ptrdiff_t)y * stride] = clip8(main_edge[1] + ((side[y + 1] - side[0]) >> 1));
}

void intra_predict(uint8_t *dst, int stride, int n, int mode, const struct intra_edges *e,
                   bool luma)
{
    bool filter = luma && n < 32;
    if (mode == INTRA_PLANAR) {
        predict_planar(dst, stride, n, e);
    } else if (mode == INTRA_DC) {
        predict_dc(dst, stride, n, e, filter);
    } else if (mode >= 18) {
        predict_rows(dst, stride, n, mode, e->top, e->left, filter);
    } else {
        uint8_t t[32 * 32];
        predict_rows(t, n, n, mode, e->left, e->top, filter);
        transpose(dst, stride, t, n);
    }
}
