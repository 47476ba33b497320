/* The text of the kernels: included by kernels.c and kernels_avx2.c with K(name) for their names;
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
#define KERNEL_TABLE                                                                               \
    {                                                                                              \
        .sad = K(sad), .sse = K(sse), .equal = K(equal), .subtract = K(subtract), .add = K(add),   \
        .dct = {K(dct2), K(dct3), K(dct4), K(dct5)},                                               \
        .idct = {K(idct2), K(idct3), K(idct4), K(idct5)}, .dst4 = K(dst4), .idst4 = K(idst4),      \
        .quantize = K(quantize), .level_cost = K(level_cost), .dequantize = K(dequantize),         \
        .activity = K(activity),                                                                   \
    }
#endif
