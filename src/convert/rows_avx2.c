/* The AVX2 version of rows.c; a test holds both to the same bits. */
#include "convert/rows.h"

#include <stddef.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

AVX2 static inline __m256i weights_of(const struct row_weights *w)
{
    return _mm256_set1_epi64x((int64_t)((uint64_t)(uint16_t)w->b | (uint64_t)(uint16_t)w->g << 16 |
                                        (uint64_t)(uint16_t)w->r << 32));
}

/* Eight pixels to eight 32-bit samples, in order: unpack splits each 128-bit lane into pixels
 * 0 1 and 2 3, and hadd joins them again. */
AVX2 static inline __m256i eight(const uint8_t *p, __m256i w, __m256i add)
{
    __m256i zero = _mm256_setzero_si256(), px = load(p);
    __m256i lo = _mm256_madd_epi16(_mm256_unpacklo_epi8(px, zero), w);
    __m256i hi = _mm256_madd_epi16(_mm256_unpackhi_epi8(px, zero), w);
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_hadd_epi32(lo, hi), add), ROW_SHIFT);
}

AVX2 static void plane_avx2(const uint8_t *p, uint8_t *dst, int n, const struct row_weights *weights,
                            int offset)
{
    __m256i w = weights_of(weights);
    __m256i add = _mm256_set1_epi32((offset << ROW_SHIFT) + (1 << (ROW_SHIFT - 1)));
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int i = 0;
    for (; i + 32 <= n; i += 32, p += 128) {
        __m256i ab = _mm256_packs_epi32(eight(p, w, add), eight(p + 32, w, add));
        __m256i cd = _mm256_packs_epi32(eight(p + 64, w, add), eight(p + 96, w, add));
        __m256i out = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order);
        _mm256_storeu_si256((__m256i *)(dst + i), out);
    }
    if (i < n)
        row_ops_plain.plane(p, dst + i, n - i, weights, offset);
}

/* The sums of four chroma samples, eight times the mean, from pixels -1 … 7 of two rows. */
AVX2 static inline __m256i four_sums(const uint8_t *a, const uint8_t *b)
{
    __m256i zero = _mm256_setzero_si256();
    __m256i a0 = load(a), b0 = load(b), a1 = load(a - 4), b1 = load(b - 4);
    __m256i lo = _mm256_add_epi16(_mm256_unpacklo_epi8(a0, zero), _mm256_unpacklo_epi8(b0, zero));
    __m256i hi = _mm256_add_epi16(_mm256_unpackhi_epi8(a0, zero), _mm256_unpackhi_epi8(b0, zero));
    __m256i llo = _mm256_add_epi16(_mm256_unpacklo_epi8(a1, zero), _mm256_unpacklo_epi8(b1, zero));
    __m256i lhi = _mm256_add_epi16(_mm256_unpackhi_epi8(a1, zero), _mm256_unpackhi_epi8(b1, zero));
    /* The low half of each lane is the even pixel; its right neighbour is the high half. */
    __m256i slo = _mm256_add_epi16(_mm256_add_epi16(lo, lo),
                                   _mm256_add_epi16(llo, _mm256_srli_si256(lo, 8)));
    __m256i shi = _mm256_add_epi16(_mm256_add_epi16(hi, hi),
                                   _mm256_add_epi16(lhi, _mm256_srli_si256(hi, 8)));
    return _mm256_unpacklo_epi64(slo, shi);
}

AVX2 static void chroma420_avx2(const uint8_t *a, const uint8_t *b, uint8_t *u, uint8_t *v, int n)
{
    __m256i wu = weights_of(&row_weights_u), wv = weights_of(&row_weights_v);
    __m256i add = _mm256_set1_epi32((128 << (ROW_SHIFT + 3)) + (1 << (ROW_SHIFT + 2)));
    int i = 0;
    for (; i + 8 <= n; i += 8, a += 64, b += 64) {
        __m256i s0 = four_sums(a, b), s1 = four_sums(a + 32, b + 32);
        __m256i su = _mm256_hadd_epi32(_mm256_madd_epi16(s0, wu), _mm256_madd_epi16(s1, wu));
        __m256i sv = _mm256_hadd_epi32(_mm256_madd_epi16(s0, wv), _mm256_madd_epi16(s1, wv));
        su = _mm256_srai_epi32(_mm256_add_epi32(su, add), ROW_SHIFT + 3);
        sv = _mm256_srai_epi32(_mm256_add_epi32(sv, add), ROW_SHIFT + 3);
        /* Lanes hold samples 0 1 4 5 and 2 3 6 7 of u, then of v: interleave them by pairs. */
        __m256i uv = _mm256_packs_epi32(su, sv);
        uv = _mm256_packus_epi16(uv, uv);
        __m128i both = _mm_unpacklo_epi16(_mm256_castsi256_si128(uv),
                                          _mm256_extracti128_si256(uv, 1));
        _mm_storel_epi64((__m128i *)(u + i), both);
        _mm_storel_epi64((__m128i *)(v + i), _mm_srli_si128(both, 8));
    }
    if (i < n)
        row_ops_plain.chroma420(a, b, u + i, v + i, n - i);
}

static const struct row_ops avx2 = {plane_avx2, chroma420_avx2};

const struct row_ops *row_ops_avx2(void) { return __builtin_cpu_supports("avx2") ? &avx2 : NULL; }
#else
const struct row_ops *row_ops_avx2(void) { return NULL; }
#endif
