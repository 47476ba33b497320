/* kernels: the loops over samples, as a table, compiled plainly, for SSE4.1 and for AVX2 from the
 * same text (kernels_body.h; for AVX2 partly by hand), so that all give the same bits. Pure; any thread.
 *
 * Residuals and coefficients are int16_t blocks without gaps: n samples a row. */
#ifndef HEVCAST_ENCODE_SCREEN_KERNELS_H
#define HEVCAST_ENCODE_SCREEN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_A UINT32_C(0x2c1b3c6d)
#define HASH_B UINT32_C(0x85ebca6b)

enum { HASH_WAYS = 4, HASH_STEP = 1 << 14 };

static inline uint64_t *hash_bucket(uint64_t *table, int log2, uint32_t hash)
{
    return table + (size_t)HASH_WAYS * (hash * UINT32_C(2654435761) >> (32 - log2));
}

struct quant4 {
    int forward, offset, shift; /* as of quantize, for a 4x4 block */
    int scale;                  /* as of dequantize */
    uint32_t lambda;            /* squared error of one bit, 1/256 */
};

struct coded4 {
    int16_t level[16];
    uint32_t bits, error; /* 1/16 bits; squared */
    bool nonzero, skip;   /* skip: transform_skip_flag */
};

struct kernels {
    /* Sum of absolute differences, of w × h samples; w a multiple of 4. */
    uint32_t (*sad)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h);
    uint64_t (*sse)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h);
    bool (*equal)(const uint8_t *a, int sa, const uint8_t *b, int sb, int w, int h);
    /* Of eight blocks beside each other, `unit` samples (4 or 8) wide and high: bit i: the i-th is
     * equal. */
    unsigned (*equal8)(const uint8_t *a, ptrdiff_t sa, const uint8_t *b, ptrdiff_t sb, int unit);
    /* Of n pieces of `unit` samples (32 or 64) beside each other: differ[i] becomes 1 where they do. */
    void (*differ)(const uint8_t *a, const uint8_t *b, int unit, int n, uint8_t *differ);
    void (*copy)(const uint8_t *from, ptrdiff_t sf, uint8_t *to, ptrdiff_t st, int w, int h);
    /* Half a sample to the right, further down, or both (8.5.3.3.3.2, 8.5.3.3.4.2; chroma of 4:2:0), of at
     * most 32x32; reads one sample before and two after. */
    void (*half)(const uint8_t *p, ptrdiff_t sp, uint8_t *dst, ptrdiff_t sd, int w, int h, bool hx,
                 bool hy);
    /* sum[x] += what a column of w × h samples differs by from r half a sample further, about: two taps;
     * w at most 32, h at most 8. */
    void (*half_sums)(const uint8_t *p, ptrdiff_t sp, const uint8_t *r, ptrdiff_t sr, int w, int h,
                      bool hx, bool hy, uint16_t *sum);
    void (*subtract)(const uint8_t *src, int ss, const uint8_t *pred, int sp, int16_t *res, int n);
    /* dst = clip(pred + res) */
    void (*add)(const uint8_t *pred, int sp, const int16_t *res, uint8_t *dst, int sd, int n);
    /* 8.6.4.2 for n = 4, 8, 16, 32, [log2 n - 2]; and the DST of 4x4 intra luma. The inverse
     * needs not look at rows and columns of coefficients from `rows` and `cols` on: all zero. */
    void (*dct[4])(const int16_t *res, int16_t *coef);
    void (*idct[4])(const int16_t *coef, int16_t *res, int rows, int cols);
    void (*dst4)(const int16_t *res, int16_t *coef);
    void (*idst4)(const int16_t *coef, int16_t *res);
    /* level = sign(c) * ((|c| * scale + offset) >> shift), of count coefficients; the number
     * that is not 0. */
    int (*quantize)(const int16_t *coef, int16_t *level, int count, int scale, int offset,
                    int shift);
    /* What residual_write would take for count levels, in 1/16 bits, about: without contexts. */
    uint32_t (*level_cost)(const int16_t *level, int count);
    /* Equation 8-309 with a flat scaling list: (level * scale + round) >> shift, clipped. */
    void (*dequantize)(const int16_t *level, int16_t *coef, int count, int scale, int shift);
    /* A 4x4 block of which rec holds the prediction, both ways, by its transform (the DST if `dst`)
     * and by transform skip: the levels of the cheaper; rec becomes what the decoder will have. */
    void (*code4)(const uint8_t *src, int ss, uint8_t *rec, int sr, bool dst,
                  const struct quant4 *q, struct coded4 *out);
    /* What predictions of an n×n block (4 or 8) by DC, horizontal, vertical and planar differ by,
     * without the edge filters: edges point to the first sample beside the block and above. */
    void (*intra_sads)(const uint8_t *src, int stride, int n, const uint8_t *left,
                       const uint8_t *top, uint32_t sad[4]);
    /* Of 8x8 samples: of the 56 steps along rows how many are at most 1. */
    int (*level_steps)(const uint8_t *p, int stride);
    /* Marks where a hash is taken among n samples, by what stands there: where a sample differs from
     * the next and a mix of three has four zero bits. A bit each; reads 2 samples beyond n. */
    void (*anchors)(const uint8_t *p, int n, uint32_t *bits);
    /* Of each of n places of a row from p on: Σ p[y][x] · A^(7-y) · B^(7-x) of the 8x8 samples that
     * begin there, modulo 2^32, with the constants below. column and hash: n + 7 of them; column is kept
     * from one row to the next, and made in the first. */
    void (*hash_row)(const uint8_t *p, ptrdiff_t stride, int n, bool first, uint32_t *column,
                     uint32_t *hash);
    /* Enters n places beside each other into a table of 2^log2 buckets of HASH_WAYS, the newest first,
     * by their hashes; not those of flat blocks, where hash is `flat` times the sample at p. An entry is
     * hash << 40 | place; the first's place is given, the next ones' are HASH_STEP more each. The oldest
     * goes, or of three with the same hash their oldest. */
    void (*hash_enter)(uint64_t *table, int log2, const uint32_t *hash, const uint8_t *p,
                       uint32_t flat, int n, uint64_t place);
    /* The steps between neighbours: Σ |x(i) - x(i-1)| along rows and columns of a block. */
    uint32_t (*activity)(const uint8_t *p, int stride, int n);
};

/* The 32x32 matrix of 8.6.4.2, and its transpose; for n samples every (32 / n)-th row. */
extern const int16_t kernels_dct[32][32], kernels_dct_t[32][32];

extern const struct kernels kernels_plain;
const struct kernels *kernels_sse4(void); /* NULL where there is no SSE4.1 */
const struct kernels *kernels_avx2(void); /* NULL where there is no AVX2 */
const struct kernels *kernels_best(void);

#endif
