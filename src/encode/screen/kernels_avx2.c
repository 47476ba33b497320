/* The kernels for AVX2: the transforms, differences and quantization by hand, the rest once more
 * from kernels_body.h, where the compiler makes the vectors. */
#include "encode/screen/kernels.h"

#include "encode/screen/kernels_dst.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

/* Pairs of entries of a matrix of n samples, for _mm_madd_epi16: of neighbouring columns of each
 * row, and of neighbouring rows of each column. */
struct pairs {
    int32_t columns[16][32]; /* [p][row]: row's entries 2p (low half) and 2p + 1 */
    int32_t rows[16][32];    /* [p][column]: column's entries in rows 2p and 2p + 1 */
};

static struct pairs dct_pairs[4], dst_pairs;

static int32_t pair(int low, int high)
{
    return (int32_t)((uint32_t)(uint16_t)low | (uint32_t)(uint16_t)high << 16);
}

static void make_pairs(struct pairs *t, const int16_t *matrix, int step, int n)
{
    for (int p = 0; p < n / 2; p++)
        for (int i = 0; i < n; i++) {
            const int16_t *row = matrix + (ptrdiff_t)i * step;
            t->columns[p][i] = pair(row[2 * p], row[2 * p + 1]);
            t->rows[p][i] = pair(matrix[2 * p * step + i], matrix[(2 * p + 1) * step + i]);
        }
}

/* Before main, since several encoders may open at once; on any processor, so not for AVX2. */
__attribute__((constructor)) static void make_all_pairs(void)
{
    for (int i = 0; i < 4; i++)
        make_pairs(&dct_pairs[i], kernels_dct[0], 32 << (3 - i), 4 << i);
    make_pairs(&dst_pairs, kernels_dst[0], 4, 4);
}

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define K(name) avx2_##name
#define KERNELS_BY_HAND
#include "encode/screen/kernels_body.h"

#define INLINE static inline __attribute__((always_inline))

/* out[k][x] = (Σ_p left[p][k] · in[2p, 2p + 1][x] + round) >> shift for 8 columns from x on, of
 * every row k; `used`: rows of `in` that are not all 0. Both stages are of this shape. */
INLINE void multiply_left(const int16_t *in, int16_t *out, int n, const int32_t (*left)[32],
                          int used, int shift)
{
    const __m256i round = _mm256_set1_epi32(1 << shift >> 1);
    const int count = (used + 1) / 2;
    for (int x = 0; x < n; x += 8) {
        __m256i in_pairs[16];
        for (int p = 0; p < count; p++) {
            __m128i a = _mm_loadu_si128((const __m128i *)(in + 2 * p * n + x));
            __m128i b = _mm_loadu_si128((const __m128i *)(in + (2 * p + 1) * n + x));
            in_pairs[p] = _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b));
        }
        for (int k = 0; k < n; k++) {
            __m256i sum = round;
            for (int p = 0; p < count; p++)
                sum = _mm256_add_epi32(
                    sum, _mm256_madd_epi16(in_pairs[p], _mm256_set1_epi32(left[p][k])));
            sum = _mm256_srai_epi32(sum, shift);
            __m128i r = _mm_packs_epi32(_mm256_castsi256_si128(sum),
                                        _mm256_extracti128_si256(sum, 1));
            _mm_storeu_si128((__m128i *)(out + k * n + x), r);
        }
    }
}

/* out[k][j] = (Σ_p in[k][2p, 2p + 1] · right[p][j] + round) >> shift. */
INLINE void multiply_right(const int16_t *in, int16_t *out, int n, const int32_t (*right)[32],
                           int used, int shift)
{
    const __m256i round = _mm256_set1_epi32(1 << shift >> 1);
    const int count = (used + 1) / 2;
    for (int k = 0; k < n; k++)
        for (int j = 0; j < n; j += 8) {
            __m256i sum = round;
            for (int p = 0; p < count; p++) {
                int32_t two;
                memcpy(&two, in + k * n + 2 * p, 4);
                sum = _mm256_add_epi32(
                    sum, _mm256_madd_epi16(_mm256_set1_epi32(two),
                                           _mm256_loadu_si256((const __m256i *)(right[p] + j))));
            }
            sum = _mm256_srai_epi32(sum, shift);
            __m128i r = _mm_packs_epi32(_mm256_castsi256_si128(sum),
                                        _mm256_extracti128_si256(sum, 1));
            _mm_storeu_si128((__m128i *)(out + k * n + j), r);
        }
}

/* One stage of four samples: all 16 in two registers of rows 0, 1 and 2, 3. */
INLINE void stage4(__m128i in[2], const int32_t (*left)[32], int shift)
{
    const __m128i round = _mm_set1_epi32(1 << shift >> 1);
    /* Rows 0 and 1, then 2 and 3, a column's pair in each lane. */
    __m128i p0 = _mm_unpacklo_epi16(in[0], _mm_unpackhi_epi64(in[0], in[0]));
    __m128i p1 = _mm_unpacklo_epi16(in[1], _mm_unpackhi_epi64(in[1], in[1]));
    __m128i row[4];
    for (int k = 0; k < 4; k++)
        row[k] = _mm_srai_epi32(
            _mm_add_epi32(round, _mm_add_epi32(_mm_madd_epi16(p0, _mm_set1_epi32(left[0][k])),
                                               _mm_madd_epi16(p1, _mm_set1_epi32(left[1][k])))),
            shift);
    in[0] = _mm_packs_epi32(row[0], row[1]);
    in[1] = _mm_packs_epi32(row[2], row[3]);
}

INLINE void transpose4(__m128i in[2])
{
    __m128i a = _mm_unpacklo_epi16(in[0], in[1]), b = _mm_unpackhi_epi16(in[0], in[1]);
    in[0] = _mm_unpacklo_epi16(a, b);
    in[1] = _mm_unpackhi_epi16(a, b);
}

INLINE void both_stages4(const int16_t *from, int16_t *to, const int32_t (*left)[32], int shift1,
                         int shift2)
{
    __m128i v[2] = {_mm_loadu_si128((const __m128i *)from),
                    _mm_loadu_si128((const __m128i *)(from + 8))};
    stage4(v, left, shift1);
    transpose4(v);
    stage4(v, left, shift2);
    transpose4(v);
    _mm_storeu_si128((__m128i *)to, v[0]);
    _mm_storeu_si128((__m128i *)(to + 8), v[1]);
}

#define TRANSFORM(log2)                                                                            \
    static void hand_dct##log2(const int16_t *res, int16_t *coef)                                  \
    {                                                                                              \
        int16_t mid[1 << (2 * log2)];                                                              \
        const int32_t(*c)[32] = dct_pairs[log2 - 2].columns;                                       \
        multiply_left(res, mid, 1 << log2, c, 1 << log2, log2 - 1);                                \
        multiply_right(mid, coef, 1 << log2, c, 1 << log2, log2 + 6);                              \
    }                                                                                              \
    static void hand_idct##log2(const int16_t *coef, int16_t *res, int rows, int cols)             \
    {                                                                                              \
        int16_t mid[1 << (2 * log2)];                                                              \
        const int32_t(*r)[32] = dct_pairs[log2 - 2].rows;                                          \
        multiply_left(coef, mid, 1 << log2, r, rows, 7);                                           \
        multiply_right(mid, res, 1 << log2, r, cols, 12);                                          \
    }
TRANSFORM(3)
TRANSFORM(4)
TRANSFORM(5)
#undef TRANSFORM

static void hand_dct2(const int16_t *res, int16_t *coef)
{
    both_stages4(res, coef, dct_pairs[0].columns, 1, 8);
}

static void hand_idct2(const int16_t *coef, int16_t *res, int rows, int cols)
{
    (void)rows;
    (void)cols;
    both_stages4(coef, res, dct_pairs[0].rows, 7, 12);
}

static void hand_dst4(const int16_t *res, int16_t *coef)
{
    both_stages4(res, coef, dst_pairs.columns, 1, 8);
}

static void hand_idst4(const int16_t *coef, int16_t *res)
{
    both_stages4(coef, res, dst_pairs.rows, 7, 12);
}

INLINE __m128i load4(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm_cvtsi32_si128(v);
}

INLINE __m128i load8(const uint8_t *p)
{
    return _mm_loadl_epi64((const __m128i *)p);
}

INLINE uint64_t sum64(__m128i v)
{
    return (uint64_t)_mm_cvtsi128_si64(v) + (uint64_t)_mm_extract_epi64(v, 1);
}

static uint32_t hand_sad(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h)
{
    __m128i sum = _mm_setzero_si128();
    if (w == 8 && !(h & 1)) {
        for (; h > 0; h -= 2, a += 2 * sa, b += 2 * sb)
            sum = _mm_add_epi64(
                sum, _mm_sad_epu8(_mm_unpacklo_epi64(load8(a), load8(a + sa)),
                                  _mm_unpacklo_epi64(load8(b), load8(b + sb))));
        return (uint32_t)sum64(sum);
    }
    __m256i wide = _mm256_setzero_si256();
    for (; h > 0; h--, a += sa, b += sb) {
        int x = 0;
        for (; x + 32 <= w; x += 32)
            wide = _mm256_add_epi64(
                wide, _mm256_sad_epu8(_mm256_loadu_si256((const __m256i *)(a + x)),
                                      _mm256_loadu_si256((const __m256i *)(b + x))));
        for (; x + 16 <= w; x += 16)
            sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(a + x)),
                                                  _mm_loadu_si128((const __m128i *)(b + x))));
        for (; x + 8 <= w; x += 8)
            sum = _mm_add_epi64(sum, _mm_sad_epu8(load8(a + x), load8(b + x)));
        for (; x < w; x += 4)
            sum = _mm_add_epi64(sum, _mm_sad_epu8(load4(a + x), load4(b + x)));
    }
    sum = _mm_add_epi64(sum, _mm_add_epi64(_mm256_castsi256_si128(wide),
                                           _mm256_extracti128_si256(wide, 1)));
    return (uint32_t)sum64(sum);
}

static unsigned hand_equal8(const uint8_t *a, ptrdiff_t sa, const uint8_t *b, ptrdiff_t sb,
                            int unit)
{
    __m256i differ[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, none = differ[0];
    for (int y = 0; y < unit; y++, a += sa, b += sb)
        for (int i = 0; i < unit / 4; i++)
            differ[i] = _mm256_or_si256(
                differ[i], _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + 32 * i)),
                                            _mm256_loadu_si256((const __m256i *)(b + 32 * i))));
    if (unit == 4)
        return (unsigned)_mm256_movemask_ps(
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(differ[0], none)));
    return (unsigned)_mm256_movemask_pd(
               _mm256_castsi256_pd(_mm256_cmpeq_epi64(differ[0], none))) |
           (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(differ[1], none)))
               << 4;
}

INLINE __m256i difference(const uint8_t *a, const uint8_t *b)
{
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)a),
                            _mm256_loadu_si256((const __m256i *)b));
}

static void hand_differ(const uint8_t *a, const uint8_t *b, int unit, int n, uint8_t *differ)
{
    for (int i = 0; i < n; i++, a += unit, b += unit) {
        __m256i d = difference(a, b);
        if (unit == 64)
            d = _mm256_or_si256(d, difference(a + 32, b + 32));
        differ[i] = (uint8_t)(differ[i] | !_mm256_testz_si256(d, d));
    }
}

INLINE void move32(const uint8_t *from, uint8_t *to)
{
    _mm256_storeu_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
}

INLINE void move8(const uint8_t *from, uint8_t *to)
{
    memcpy(to, from, 8);
}

/* Mostly blocks: a call of memcpy for each row would take longer. */
static void hand_copy(const uint8_t *from, ptrdiff_t sf, uint8_t *to, ptrdiff_t st, int w, int h)
{
    for (; h > 0; h--, from += sf, to += st) {
        int x = 0;
        for (; x + 32 <= w; x += 32)
            move32(from + x, to + x);
        for (; x + 8 <= w; x += 8)
            move8(from + x, to + x);
        for (; x + 4 <= w; x += 4)
            memcpy(to + x, from + x, 4);
        for (; x < w; x++)
            to[x] = from[x];
    }
}

static uint64_t hand_sse(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h)
{
    /* Eight lanes of pairs: at most 64 rows of 64 samples are 2^8 · 2^17. */
    __m256i sum = _mm256_setzero_si256();
    for (; h > 0; h--, a += sa, b += sb) {
        int x = 0;
        for (; x + 16 <= w; x += 16) {
            __m256i d = _mm256_sub_epi16(
                _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(a + x))),
                _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(b + x))));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(d, d));
        }
        for (; x < w; x += x + 8 <= w ? 8 : 4) {
            __m128i p = x + 8 <= w ? load8(a + x) : load4(a + x);
            __m128i q = x + 8 <= w ? load8(b + x) : load4(b + x);
            __m128i d = _mm_sub_epi16(_mm_cvtepu8_epi16(p), _mm_cvtepu8_epi16(q));
            sum = _mm256_add_epi32(sum, _mm256_zextsi128_si256(_mm_madd_epi16(d, d)));
        }
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

static int hand_quantize(const int16_t *coef, int16_t *level, int count, int scale, int offset,
                         int shift)
{
    const __m256i s = _mm256_set1_epi32(scale), o = _mm256_set1_epi32(offset);
    const __m128i sh = _mm_cvtsi32_si128(shift);
    int zero = 0;
    for (int i = 0; i < count; i += 16) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(coef + i)), a = _mm256_abs_epi16(c);
        __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(a));
        __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1));
        lo = _mm256_srl_epi32(_mm256_add_epi32(_mm256_mullo_epi32(lo, s), o), sh);
        hi = _mm256_srl_epi32(_mm256_add_epi32(_mm256_mullo_epi32(hi, s), o), sh);
        __m256i q = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
        _mm256_storeu_si256((__m256i *)(level + i), _mm256_sign_epi16(q, c));
        zero += __builtin_popcount((unsigned)_mm256_movemask_epi8(
            _mm256_cmpeq_epi16(q, _mm256_setzero_si256())));
    }
    return count - zero / 2;
}

/* Of 8 absolute levels: 64 + 28 · log2, from the exponent of a float; 20 less for 1, 8 for 0. */
INLINE __m256i cost8(__m256i a)
{
    __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(a)), 23);
    __m256i cost = _mm256_add_epi32(_mm256_mullo_epi32(exponent, _mm256_set1_epi32(28)),
                                    _mm256_set1_epi32(64 - 28 * 127));
    __m256i one = _mm256_cmpeq_epi32(a, _mm256_set1_epi32(1));
    cost = _mm256_sub_epi32(cost, _mm256_and_si256(one, _mm256_set1_epi32(20)));
    __m256i zero = _mm256_cmpeq_epi32(a, _mm256_setzero_si256());
    return _mm256_blendv_epi8(cost, _mm256_set1_epi32(8), zero);
}

static uint32_t hand_level_cost(const int16_t *level, int count)
{
    const __m256i none = _mm256_setzero_si256();
    __m256i sum = none, any = none;
    for (int i = 0; i < count; i += 16) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(level + i)), a = _mm256_abs_epi16(v);
        if (_mm256_testz_si256(v, v))
            continue;
        any = v;
        __m256i lo = cost8(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)));
        __m256i hi = cost8(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
        both = _mm256_andnot_si256(_mm256_cmpeq_epi64(v, none), both);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(both, _mm256_set1_epi16(1)));
    }
    if (_mm256_testz_si256(any, any))
        return 0;
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s) + 24 + 8 * (uint32_t)__builtin_ctz((unsigned)count);
}

static void hand_anchors(const uint8_t *p, int n, uint32_t *bits)
{
    const __m256i low = _mm256_set1_epi8(15), none = _mm256_setzero_si256();
    int x = 0;
    for (; x + 34 <= n; x += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(p + x));
        __m256i b = _mm256_loadu_si256((const __m256i *)(p + x + 1));
        __m256i c = _mm256_loadu_si256((const __m256i *)(p + x + 2));
        /* 3a + 5b + 7c = 4 (a + b + 2c) + b - a - c, in bytes */
        __m256i sum = _mm256_add_epi8(_mm256_add_epi8(a, b), _mm256_add_epi8(c, c));
        sum = _mm256_add_epi8(sum, sum);
        sum = _mm256_add_epi8(sum, sum);
        sum = _mm256_sub_epi8(_mm256_add_epi8(sum, b), _mm256_add_epi8(a, c));
        __m256i chosen = _mm256_andnot_si256(
            _mm256_cmpeq_epi8(a, b), _mm256_cmpeq_epi8(_mm256_and_si256(sum, low), none));
        bits[x / 32] = (uint32_t)_mm256_movemask_epi8(chosen);
    }
    for (int from = x; x < n; x++) {
        if (x % 32 == 0 || x == from)
            bits[x / 32] = 0;
        if (p[x] != p[x + 1] && ((p[x] * 3 + p[x + 1] * 5 + p[x + 2] * 7) & 15) == 0)
            bits[x / 32] |= 1u << x % 32;
    }
}

struct way4 {
    __m256i level, res;
    uint32_t bits, error;
    bool nonzero;
};

INLINE uint32_t sum32(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

INLINE __m256i quantize16(__m256i c, const struct quant4 *q)
{
    const __m256i s = _mm256_set1_epi32(q->forward), o = _mm256_set1_epi32(q->offset);
    const __m128i sh = _mm_cvtsi32_si128(q->shift);
    __m256i a = _mm256_abs_epi16(c), none = _mm256_setzero_si256();
    __m256i lo = _mm256_unpacklo_epi16(a, none), hi = _mm256_unpackhi_epi16(a, none);
    lo = _mm256_srl_epi32(_mm256_add_epi32(_mm256_mullo_epi32(lo, s), o), sh);
    hi = _mm256_srl_epi32(_mm256_add_epi32(_mm256_mullo_epi32(hi, s), o), sh);
    return _mm256_sign_epi16(_mm256_packus_epi32(lo, hi), c);
}

INLINE __m256i dequantize16(__m256i level, int scale)
{
    const __m256i s = _mm256_set1_epi32(scale), round = _mm256_set1_epi32(16);
    __m256i sign = _mm256_srai_epi16(level, 15);
    __m256i lo = _mm256_mullo_epi32(_mm256_unpacklo_epi16(level, sign), s);
    __m256i hi = _mm256_mullo_epi32(_mm256_unpackhi_epi16(level, sign), s);
    return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(lo, round), 5),
                              _mm256_srai_epi32(_mm256_add_epi32(hi, round), 5));
}

INLINE uint32_t cost16(__m256i level)
{
    const __m256i none = _mm256_setzero_si256();
    __m256i a = _mm256_abs_epi16(level);
    __m256i both = _mm256_packus_epi32(cost8(_mm256_unpacklo_epi16(a, none)),
                                       cost8(_mm256_unpackhi_epi16(a, none)));
    both = _mm256_andnot_si256(_mm256_cmpeq_epi64(level, none), both);
    return sum32(_mm256_madd_epi16(both, _mm256_set1_epi16(1))) + 24 + 32;
}

INLINE uint32_t error16(__m256i residual, __m256i coded)
{
    __m256i d = _mm256_sub_epi16(residual, coded);
    return sum32(_mm256_madd_epi16(d, d));
}

INLINE __m128i load4x4(const uint8_t *p, int stride)
{
    return _mm_unpacklo_epi64(_mm_unpacklo_epi32(load4(p), load4(p + stride)),
                              _mm_unpacklo_epi32(load4(p + 2 * stride), load4(p + 3 * stride)));
}

INLINE void transform4(__m128i v[2], const int32_t (*matrix)[32], int shift1, int shift2)
{
    stage4(v, matrix, shift1);
    transpose4(v);
    stage4(v, matrix, shift2);
    transpose4(v);
}

INLINE uint64_t total(const struct way4 *w, const struct quant4 *q)
{
    return w->error * UINT64_C(4096) + (uint64_t)w->bits * q->lambda;
}

/* By transform skip, which costs less time. */
INLINE struct way4 skip4(__m256i r, const struct quant4 *q)
{
    struct way4 skip = {.level = quantize16(_mm256_slli_epi16(r, 5), q)};
    skip.nonzero = !_mm256_testz_si256(skip.level, skip.level);
    if (skip.nonzero) {
        /* (c + 16) >> 5, without an overflow of c + 16 */
        __m256i c = dequantize16(skip.level, q->scale);
        skip.res = _mm256_srai_epi16(_mm256_add_epi16(_mm256_srai_epi16(c, 4),
                                                      _mm256_set1_epi16(1)), 1);
        skip.error = error16(r, skip.res);
        skip.bits = cost16(skip.level);
    }
    return skip;
}

static void hand_code4(const uint8_t *src, int ss, uint8_t *rec, int sr, bool dst,
                       const struct quant4 *q, struct coded4 *out)
{
    const struct pairs *t = dst ? &dst_pairs : &dct_pairs[0];
    __m256i pred = _mm256_cvtepu8_epi16(load4x4(rec, sr)), none = _mm256_setzero_si256();
    __m256i r = _mm256_sub_epi16(_mm256_cvtepu8_epi16(load4x4(src, ss)), pred);
    struct way4 by = {.level = none, .res = none}, skip;
    *out = (struct coded4){0};
    if (_mm256_testz_si256(r, r))
        return;
    skip = skip4(r, q);
    __m128i v[2] = {_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)};
    transform4(v, t->columns, 1, 8);
    by.level = quantize16(_mm256_set_m128i(v[1], v[0]), q);
    by.nonzero = !_mm256_testz_si256(by.level, by.level);
    by.bits = by.nonzero ? cost16(by.level) : 0;
    /* Its error is not asked for where the bits alone are too many. */
    out->skip = skip.nonzero && (uint64_t)by.bits * q->lambda > total(&skip, q);
    if (!out->skip) {
        if (by.nonzero) {
            __m256i c = dequantize16(by.level, q->scale);
            v[0] = _mm256_castsi256_si128(c);
            v[1] = _mm256_extracti128_si256(c, 1);
            transform4(v, t->rows, 7, 12);
            by.res = _mm256_set_m128i(v[1], v[0]);
        }
        by.error = error16(r, by.res);
        out->skip = skip.nonzero && total(&skip, q) < total(&by, q);
    }
    if (out->skip)
        by = skip;
    _mm256_storeu_si256((__m256i *)out->level, by.level);
    out->bits = by.bits;
    out->error = by.error;
    out->nonzero = by.nonzero;
    if (!by.nonzero)
        return;
    __m256i sum = _mm256_adds_epi16(pred, by.res);
    __m128i rows = _mm_packus_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    for (int y = 0; y < 4; y++, rec += sr) {
        int32_t four = _mm_cvtsi128_si32(rows);
        memcpy(rec, &four, 4);
        rows = _mm_srli_si128(rows, 4);
    }
}

/* The four predictions of two rows of 8 or four of 4 at a time. */
struct sads {
    __m128i dc, horizontal, vertical, planar;
};

INLINE void add_sads(struct sads *s, __m128i src, __m128i dc, __m128i left, __m128i top,
                     __m128i planar)
{
    s->dc = _mm_add_epi64(s->dc, _mm_sad_epu8(src, dc));
    s->horizontal = _mm_add_epi64(s->horizontal, _mm_sad_epu8(src, left));
    s->vertical = _mm_add_epi64(s->vertical, _mm_sad_epu8(src, top));
    s->planar = _mm_add_epi64(s->planar, _mm_sad_epu8(src, planar));
}

/* One row of 8 of the planar prediction, in 16 bits; column: what falls along columns, by now. */
INLINE __m128i planar_row(__m128i column, __m128i falling, int left, int shift)
{
    return _mm_srl_epi16(
        _mm_add_epi16(column, _mm_mullo_epi16(falling, _mm_set1_epi16((short)left))),
        _mm_cvtsi32_si128(shift));
}

static void sads8(const uint8_t *src, int stride, const uint8_t *left, const uint8_t *top,
                  struct sads *s)
{
    const __m128i none = _mm_setzero_si128();
    __m128i above = load8(top), beside = load8(left);
    int sum = _mm_cvtsi128_si32(_mm_sad_epu8(above, none)) +
              _mm_cvtsi128_si32(_mm_sad_epu8(beside, none));
    __m128i dc = _mm_set1_epi8((char)((sum + 8) >> 4));
    __m128i top16 = _mm_cvtepu8_epi16(above), two_tops = _mm_unpacklo_epi64(above, above);
    __m128i rising = _mm_setr_epi16(1, 2, 3, 4, 5, 6, 7, 8);
    __m128i falling = _mm_setr_epi16(7, 6, 5, 4, 3, 2, 1, 0);
    __m128i column = _mm_add_epi16(_mm_add_epi16(_mm_slli_epi16(top16, 3), _mm_set1_epi16(8)),
                                   _mm_mullo_epi16(rising, _mm_set1_epi16(top[8])));
    __m128i step = _mm_sub_epi16(_mm_set1_epi16(left[8]), top16);
    for (int y = 0; y < 8; y += 2, src += 2 * stride) {
        __m128i rows = _mm_unpacklo_epi64(load8(src), load8(src + stride));
        column = _mm_add_epi16(column, step);
        __m128i first = planar_row(column, falling, left[y], 4);
        column = _mm_add_epi16(column, step);
        __m128i second = planar_row(column, falling, left[y + 1], 4);
        __m128i sides = _mm_unpacklo_epi64(_mm_set1_epi8((char)left[y]),
                                           _mm_set1_epi8((char)left[y + 1]));
        add_sads(s, rows, dc, sides, two_tops, _mm_packus_epi16(first, second));
    }
}

static void sads4(const uint8_t *src, int stride, const uint8_t *left, const uint8_t *top,
                  struct sads *s)
{
    __m128i rows = load4x4(src, stride);
    __m128i above = _mm_shuffle_epi32(load4(top), 0), beside = load4(left);
    __m128i sides = _mm_shuffle_epi8(
        beside, _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
    __m128i edges = _mm_unpacklo_epi32(beside, above);
    int sum = _mm_cvtsi128_si32(_mm_sad_epu8(_mm_move_epi64(edges), _mm_setzero_si128()));
    __m128i dc = _mm_set1_epi8((char)((sum + 4) >> 3));
    /* Rows 0 and 1, then 2 and 3, in 16 bits. */
    __m128i top16 = _mm_cvtepu8_epi16(above);
    __m128i base = _mm_add_epi16(_mm_mullo_epi16(_mm_setr_epi16(1, 2, 3, 4, 1, 2, 3, 4),
                                                 _mm_set1_epi16(top[4])),
                                 _mm_set1_epi16(4));
    __m128i falling = _mm_setr_epi16(3, 2, 1, 0, 3, 2, 1, 0);
    __m128i down[2] = {_mm_setr_epi16(1, 1, 1, 1, 2, 2, 2, 2),
                       _mm_setr_epi16(3, 3, 3, 3, 4, 4, 4, 4)};
    __m128i half[2];
    for (int i = 0; i < 2; i++) {
        __m128i side16 = _mm_cvtepu8_epi16(i ? _mm_srli_si128(sides, 8) : sides);
        __m128i up = _mm_sub_epi16(_mm_set1_epi16(4), down[i]);
        __m128i v = _mm_add_epi16(base, _mm_mullo_epi16(falling, side16));
        v = _mm_add_epi16(v, _mm_mullo_epi16(up, top16));
        v = _mm_add_epi16(v, _mm_mullo_epi16(down[i], _mm_set1_epi16(left[4])));
        half[i] = _mm_srli_epi16(v, 3);
    }
    add_sads(s, rows, dc, sides, above, _mm_packus_epi16(half[0], half[1]));
}

static void hand_intra_sads(const uint8_t *src, int stride, int n, const uint8_t *left,
                            const uint8_t *top, uint32_t sad[4])
{
    __m128i none = _mm_setzero_si128();
    struct sads s = {none, none, none, none};
    if (n == 8)
        sads8(src, stride, left, top, &s);
    else
        sads4(src, stride, left, top, &s);
    sad[0] = (uint32_t)sum64(s.dc);
    sad[1] = (uint32_t)sum64(s.horizontal);
    sad[2] = (uint32_t)sum64(s.vertical);
    sad[3] = (uint32_t)sum64(s.planar);
}

static int hand_level_steps(const uint8_t *p, int stride)
{
    const __m128i one = _mm_set1_epi8(1);
    int count = 0;
    for (int y = 0; y < 8; y += 2, p += 2 * stride) {
        __m128i rows = _mm_unpacklo_epi64(load8(p), load8(p + stride));
        __m128i next = _mm_srli_epi64(rows, 8);
        __m128i d = _mm_or_si128(_mm_subs_epu8(rows, next), _mm_subs_epu8(next, rows));
        unsigned small = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(d, one), d));
        count += __builtin_popcount(small & 0x7f7f);
    }
    return count;
}

/* The differences along a row of 8: of the last to nothing is masked away. */
static uint32_t hand_activity(const uint8_t *p, int stride, int n)
{
    if (n != 8)
        return avx2_activity(p, stride, n);
    __m128i sum = _mm_setzero_si128(), above = _mm_setzero_si128();
    for (int y = 0; y < 8; y++, p += stride) {
        __m128i row = load8(p), next = _mm_srli_epi64(row, 8);
        __m128i same = _mm_and_si128(row, _mm_set_epi64x(0, (long long)0xff00000000000000));
        next = _mm_or_si128(next, same);
        sum = _mm_add_epi64(sum, _mm_sad_epu8(row, next));
        if (y)
            sum = _mm_add_epi64(sum, _mm_sad_epu8(row, above));
        above = row;
    }
    return (uint32_t)_mm_cvtsi128_si64(sum);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct kernels table = {
    .sad = hand_sad, .sse = hand_sse, .equal = avx2_equal, .equal8 = hand_equal8,
    .differ = hand_differ, .copy = hand_copy, .half = avx2_half, .half_sums = avx2_half_sums,
    .subtract = avx2_subtract, .add = avx2_add,
    .dct = {hand_dct2, hand_dct3, hand_dct4, hand_dct5},
    .idct = {hand_idct2, hand_idct3, hand_idct4, hand_idct5},
    .dst4 = hand_dst4, .idst4 = hand_idst4, .quantize = hand_quantize,
    .level_cost = hand_level_cost, .dequantize = avx2_dequantize,
    .anchors = hand_anchors, .code4 = hand_code4, .intra_sads = hand_intra_sads, .level_steps = hand_level_steps,
    .hash_row = avx2_hash_row, .hash_enter = avx2_hash_enter, .activity = hand_activity,
};

const struct kernels *kernels_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? &table : NULL;
}

#else

const struct kernels *kernels_avx2(void)
{
    return NULL;
}

#endif
