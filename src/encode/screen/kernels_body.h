/* The text of the kernels: included by kernels.c, kernels_sse4.c and kernels_avx2.c with K(name) for their names;
 * with KERNELS_BY_HAND without those that kernels_avx2.c writes out itself.
 * No include guard: it is no header. */

#ifndef KERNELS_BY_HAND
static uint32_t K(sad)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h)
{
    uint32_t sum = 0;
    for (int y = 0; y < h; y++, a += sa, b += sb)
        for (int x = 0; x < w; x++)
            sum += (uint32_t)abs(a[x] - b[x]);
    return sum;
}

static uint64_t K(sse)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h)
{
    uint64_t sum = 0;
    for (int y = 0; y < h; y++, a += sa, b += sb) {
        uint32_t row = 0;
        for (int x = 0; x < w; x++)
            row += (uint32_t)((a[x] - b[x]) * (a[x] - b[x]));
        sum += row;
    }
    return sum;
}

#endif

static bool K(equal)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h)
{
    if (w == 8) { /* most often, and mostly the first row tells */
        for (; h > 0; h--, a += sa, b += sb) {
            uint64_t p, q;
            memcpy(&p, a, 8);
            memcpy(&q, b, 8);
            if (p != q)
                return false;
        }
        return true;
    }
    if (w == 4) {
        for (; h > 0; h--, a += sa, b += sb) {
            uint32_t p, q;
            memcpy(&p, a, 4);
            memcpy(&q, b, 4);
            if (p != q)
                return false;
        }
        return true;
    }
    for (int y = 0; y < h; y++, a += sa, b += sb) {
        uint64_t differ = 0, p, q;
        int x = 0;
        for (; x + 8 <= w; x += 8) {
            memcpy(&p, a + x, 8);
            memcpy(&q, b + x, 8);
            differ |= p ^ q;
        }
        for (; x < w; x++)
            differ |= (uint64_t)(a[x] ^ b[x]);
        if (differ)
            return false;
    }
    return true;
}

#ifndef KERNELS_BY_HAND
static unsigned K(equal8)(const uint8_t *a, ptrdiff_t sa, const uint8_t *b, ptrdiff_t sb, int unit)
{
    unsigned same = 0;
    for (int i = 0; i < 8; i++, a += unit, b += unit)
        same |= (unsigned)K(equal)(a, (int)sa, b, (int)sb, unit, unit) << i;
    return same;
}

static void K(differ)(const uint8_t *a, const uint8_t *b, int unit, int n, uint8_t *differ)
{
    for (int i = 0; i < n; i++, a += unit, b += unit)
        if (memcmp(a, b, (size_t)unit))
            differ[i] = 1;
}

static void K(copy)(const uint8_t *from, ptrdiff_t sf, uint8_t *to, ptrdiff_t st, int w, int h)
{
    for (; h > 0; h--, from += sf, to += st)
        memcpy(to, from, (size_t)w);
}
#endif

static void K(subtract)(const uint8_t *src, int ss, const uint8_t *pred, int sp, int16_t *res,
                        int n)
{
    for (int y = 0; y < n; y++, src += ss, pred += sp, res += n)
        for (int x = 0; x < n; x++)
            res[x] = (int16_t)(src[x] - pred[x]);
}

static void K(add)(const uint8_t *pred, int sp, const int16_t *res, uint8_t *dst, int sd, int n)
{
    for (int y = 0; y < n; y++, pred += sp, res += n, dst += sd)
        for (int x = 0; x < n; x++) {
            int v = pred[x] + res[x];
            dst[x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
}

/* Table 8-12, position 4: at most 36 · 510, so that 16 bits do. */
static inline int16_t K(half_tap)(int a, int b, int d, int e)
{
    return (int16_t)(36 * (b + d) - 4 * (a + e));
}

static inline uint8_t K(round6)(int v)
{
    v = (v + 32) >> 6;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void K(half)(const uint8_t *p, ptrdiff_t sp, uint8_t *dst, ptrdiff_t sd, int w, int h,
                    bool hx, bool hy)
{
    int16_t mid[(32 + 3) * 32];
    if (!hx || !hy) {
        ptrdiff_t step = hx ? 1 : sp;
        for (int y = 0; y < h; y++, p += sp, dst += sd)
            for (int x = 0; x < w; x++)
                dst[x] = K(round6)(K(half_tap)(p[x - step], p[x], p[x + step], p[x + 2 * step]));
        return;
    }
    p -= sp;
    for (int y = 0; y < h + 3; y++, p += sp)
        for (int x = 0; x < w; x++)
            mid[y * 32 + x] = K(half_tap)(p[x - 1], p[x], p[x + 1], p[x + 2]);
    for (int y = 0; y < h; y++, dst += sd) {
        const int16_t *m = mid + y * 32;
        for (int x = 0; x < w; x++)
            dst[x] = K(round6)((36 * (m[x + 32] + m[x + 64]) - 4 * (m[x] + m[x + 96])) >> 6);
    }
}

static void K(half_sums)(const uint8_t *p, ptrdiff_t sp, const uint8_t *r, ptrdiff_t sr, int w,
                         int h, bool hx, bool hy, uint16_t *sum)
{
    for (int y = 0; y < h; y++, p += sp, r += sr) {
        const uint8_t *right = r + hx, *below = r + (hy ? sr : 0), *corner = below + hx;
        for (int x = 0; x < w; x++) {
            int d = p[x] - ((r[x] + right[x] + below[x] + corner[x] + 2) >> 2);
            sum[x] = (uint16_t)(sum[x] + (d < 0 ? -d : d));
        }
    }
}

static inline int16_t K(clip16)(int32_t v)
{
    return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

#ifndef KERNELS_BY_HAND
/* Columns, then rows. The shifts keep 16 bits: log2 n - 1, then log2 n + 6 (for 8 bits). */
static inline __attribute__((always_inline)) void K(forward)(const int16_t *res, int16_t *coef,
                                                             int log2, const int16_t *matrix,
                                                             const int16_t *transposed, int step)
{
    const int n = 1 << log2;
    int16_t mid[32 * 32];
    const int shift1 = log2 - 1, shift2 = log2 + 6;
    for (int k = 0; k < n; k++) {
        int32_t sum[32] = {0};
        for (int y = 0; y < n; y++) {
            int32_t m = matrix[k * step + y];
            for (int x = 0; x < n; x++)
                sum[x] += m * res[y * n + x];
        }
        for (int x = 0; x < n; x++)
            mid[k * n + x] = (int16_t)((sum[x] + (1 << shift1 >> 1)) >> shift1);
    }
    for (int k = 0; k < n; k++) {
        int32_t sum[32] = {0};
        for (int x = 0; x < n; x++) {
            int32_t v = mid[k * n + x];
            for (int j = 0; j < n; j++)
                sum[j] += v * transposed[x * n + j];
        }
        for (int j = 0; j < n; j++)
            coef[k * n + j] = (int16_t)((sum[j] + (1 << (shift2 - 1))) >> shift2);
    }
}

/* 8.6.4.2: columns with a shift of 7 and a clip, then rows with a shift of 12. */
static inline __attribute__((always_inline)) void K(inverse)(const int16_t *coef, int16_t *res,
                                                             int n, const int16_t *matrix,
                                                             int step, int rows, int cols)
{
    int16_t mid[32 * 32];
    for (int y = 0; y < n; y++) {
        int32_t sum[32] = {0};
        for (int k = 0; k < rows; k++) {
            int32_t m = matrix[k * step + y];
            for (int x = 0; x < n; x++)
                sum[x] += m * coef[k * n + x];
        }
        for (int x = 0; x < n; x++)
            mid[y * n + x] = K(clip16)((sum[x] + 64) >> 7);
    }
    for (int y = 0; y < n; y++) {
        int32_t sum[32] = {0};
        for (int k = 0; k < cols; k++) {
            int32_t v = mid[y * n + k];
            for (int x = 0; x < n; x++)
                sum[x] += v * matrix[k * step + x];
        }
        for (int x = 0; x < n; x++)
            res[y * n + x] = K(clip16)((sum[x] + 2048) >> 12);
    }
}

#define TRANSFORM(log2)                                                                            \
    static void K(dct##log2)(const int16_t *res, int16_t *coef)                                    \
    {                                                                                              \
        const int n = 1 << log2;                                                                   \
        int16_t t[(1 << log2) * (1 << log2)];                                                      \
        for (int x = 0; x < n; x++)                                                                \
            for (int j = 0; j < n; j++)                                                            \
                t[x * n + j] = kernels_dct_t[x][j << (5 - log2)];                                  \
        K(forward)(res, coef, log2, kernels_dct[0], t, 32 << (5 - log2));                          \
    }                                                                                              \
    static void K(idct##log2)(const int16_t *coef, int16_t *res, int rows, int cols)               \
    {                                                                                              \
        K(inverse)(coef, res, 1 << log2, kernels_dct[0], 32 << (5 - log2), rows, cols);            \
    }
TRANSFORM(2)
TRANSFORM(3)
TRANSFORM(4)
TRANSFORM(5)
#undef TRANSFORM

static void K(dst4)(const int16_t *res, int16_t *coef)
{
    K(forward)(res, coef, 2, kernels_dst[0], kernels_dst_t[0], 4);
}

static void K(idst4)(const int16_t *coef, int16_t *res)
{
    K(inverse)(coef, res, 4, kernels_dst[0], 4, 4, 4);
}

static int K(quantize)(const int16_t *coef, int16_t *level, int count, int scale, int offset,
                       int shift)
{
    int nonzero = 0;
    for (int i = 0; i < count; i++) {
        int32_t c = coef[i], a = c < 0 ? -c : c;
        int32_t q = (a * scale + offset) >> shift;
        level[i] = (int16_t)(c < 0 ? -q : q);
        nonzero += q != 0;
    }
    return nonzero;
}

static uint32_t K(level_cost)(const int16_t *level, int count)
{
    uint32_t cost = 0, any = 0;
    for (int i = 0; i < count; i += 4) {
        uint64_t four;
        memcpy(&four, level + i, 8);
        if (!four)
            continue;
        any = 1;
        for (int j = i; j < i + 4; j++) {
            int a = level[j] < 0 ? -level[j] : level[j];
            if (!a)
                cost += 8;
            else if (a == 1)
                cost += 44; /* significant, sign, not greater than 1 */
            else
                cost += 64 + 28 * (uint32_t)(31 - __builtin_clz((unsigned)a));
        }
    }
    return any ? cost + 24 + 8 * (uint32_t)__builtin_ctz((unsigned)count) : 0;
}

#endif

static void K(dequantize)(const int16_t *level, int16_t *coef, int count, int scale, int shift)
{
    for (int i = 0; i < count; i++)
        coef[i] = K(clip16)((level[i] * scale + (1 << (shift - 1))) >> shift);
}

#include "encode/screen/kernels_hash.h"

static uint32_t K(activity)(const uint8_t *p, int stride, int n)
{
    uint32_t sum = 0;
    for (int y = 0; y < n; y++) {
        const uint8_t *row = p + (ptrdiff_t)y * stride;
        for (int x = 1; x < n; x++)
            sum += (uint32_t)abs(row[x] - row[x - 1]);
        if (y)
            for (int x = 0; x < n; x++)
                sum += (uint32_t)abs(row[x] - row[x - stride]);
    }
    return sum;
}

#ifndef KERNELS_BY_HAND
static uint32_t K(error16)(const int16_t *a, const int16_t *b)
{
    uint32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += (uint32_t)((a[i] - b[i]) * (a[i] - b[i]));
    return sum;
}

static void K(code4)(const uint8_t *src, int ss, uint8_t *rec, int sr, bool dst,
                     const struct quant4 *q, struct coded4 *out)
{
    int16_t residual[16], coef[16], level[16], by[16] = {0}, skip[16];
    if (K(equal)(src, ss, rec, sr, 4, 4)) {
        *out = (struct coded4){0};
        return;
    }
    K(subtract)(src, ss, rec, sr, residual, 4);
    (dst ? K(dst4) : K(dct2))(residual, coef);
    out->nonzero = K(quantize)(coef, out->level, 16, q->forward, q->offset, q->shift);
    if (out->nonzero) {
        K(dequantize)(out->level, coef, 16, q->scale, 5);
        dst ? K(idst4)(coef, by) : K(idct2)(coef, by, 4, 4);
    }
    out->skip = false;
    out->bits = K(level_cost)(out->level, 16);
    out->error = K(error16)(residual, by);
    /* 8.6.4.2 with transform_skip_flag: the residual, times 128, shifted by 12. */
    for (int i = 0; i < 16; i++)
        coef[i] = (int16_t)(residual[i] * 32);
    if (K(quantize)(coef, level, 16, q->forward, q->offset, q->shift)) {
        K(dequantize)(level, coef, 16, q->scale, 5);
        for (int i = 0; i < 16; i++)
            skip[i] = (int16_t)((coef[i] + 16) >> 5);
        uint32_t bits = K(level_cost)(level, 16), error = K(error16)(residual, skip);
        if (error * UINT64_C(4096) + (uint64_t)bits * q->lambda <
            out->error * UINT64_C(4096) + (uint64_t)out->bits * q->lambda) {
            *out = (struct coded4){.bits = bits, .error = error, .nonzero = true, .skip = true};
            memcpy(out->level, level, sizeof level);
            memcpy(by, skip, sizeof by);
        }
    }
    if (out->nonzero)
        K(add)(rec, sr, by, rec, sr, 4);
}

static void K(intra_sads)(const uint8_t *src, int stride, int n, const uint8_t *left,
                          const uint8_t *top, uint32_t sad[4])
{
    int dc = n, shift = n == 8 ? 4 : 3;
    for (int i = 0; i < n; i++)
        dc += left[i] + top[i];
    dc >>= shift;
    memset(sad, 0, 4 * sizeof sad[0]);
    for (int y = 0; y < n; y++, src += stride)
        for (int x = 0; x < n; x++) {
            int planar = ((n - 1 - x) * left[y] + (x + 1) * top[n] + (n - 1 - y) * top[x] +
                          (y + 1) * left[n] + n) >> shift;
            sad[0] += (uint32_t)abs(src[x] - dc);
            sad[1] += (uint32_t)abs(src[x] - left[y]);
            sad[2] += (uint32_t)abs(src[x] - top[x]);
            sad[3] += (uint32_t)abs(src[x] - planar);
        }
}

static int K(level_steps)(const uint8_t *p, int stride)
{
    int count = 0;
    for (int y = 0; y < 8; y++, p += stride)
        for (int x = 1; x < 8; x++)
            count += abs(p[x] - p[x - 1]) <= 1;
    return count;
}

static void K(anchors)(const uint8_t *p, int n, uint32_t *bits)
{
    memset(bits, 0, (size_t)(n + 31) / 32 * sizeof bits[0]);
    for (int x = 0; x < n; x++)
        if (p[x] != p[x + 1] && ((p[x] * 3 + p[x + 1] * 5 + p[x + 2] * 7) & 15) == 0)
            bits[x / 32] |= 1u << x % 32;
}

#define KERNEL_TABLE                                                                               \
    {                                                                                              \
        .sad = K(sad), .sse = K(sse), .equal = K(equal), .equal8 = K(equal8), .differ = K(differ), .copy = K(copy), .half = K(half), .half_sums = K(half_sums), \
        .subtract = K(subtract), .add = K(add),                                                    \
        .dct = {K(dct2), K(dct3), K(dct4), K(dct5)},                                               \
        .idct = {K(idct2), K(idct3), K(idct4), K(idct5)}, .dst4 = K(dst4), .idst4 = K(idst4),      \
        .quantize = K(quantize), .level_cost = K(level_cost), .dequantize = K(dequantize),         \
        .code4 = K(code4), .intra_sads = K(intra_sads), .level_steps = K(level_steps),             \
        .anchors = K(anchors), .hash_row = K(hash_row), .hash_enter = K(hash_enter),                   \
        .activity = K(activity),                                                                   \
    }
#endif
