/* The text of the kernels that hash places (glyphs.h): included by kernels_body.h.
 * No include guard: it is no header. */

static void K(hash_row)(const uint8_t *p, ptrdiff_t stride, int n, bool first, uint32_t *column,
                        uint32_t *hash)
{
    const uint32_t a2 = HASH_A * HASH_A, a8 = a2 * a2 * a2 * a2, b2 = HASH_B * HASH_B;
    const uint8_t *in = p + 7 * stride, *out = p - stride;
    if (first) {
        memset(column, 0, (size_t)(n + 7) * sizeof column[0]);
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < n + 7; i++)
                column[i] = column[i] * HASH_A + p[j * stride + i];
    } else {
        for (int i = 0; i < n + 7; i++)
            column[i] = column[i] * HASH_A + in[i] - out[i] * a8;
    }
    /* Of 2, 4 and 8 columns. */
    for (int i = 0; i < n + 6; i++)
        hash[i] = column[i] * HASH_B + column[i + 1];
    for (int i = 0; i < n + 4; i++)
        hash[i] = hash[i] * b2 + hash[i + 2];
    for (int i = 0; i < n; i++)
        hash[i] = hash[i] * (b2 * b2) + hash[i + 4];
}

#ifndef KERNELS_BY_HAND
static void K(hash_enter)(uint64_t *table, int log2, const uint32_t *hash, const uint8_t *p,
                          uint32_t flat, int n, uint64_t place)
{
    for (int i = 0; i < n; i++, place += HASH_STEP) {
        if (hash[i] == flat * p[i])
            continue;
        uint64_t *b = hash_bucket(table, log2, hash[i]), tag = hash[i] & 0xffffff;
        if (b[0] >> 40 != tag || b[1] >> 40 != tag || b[2] >> 40 != tag)
            b[3] = b[2];
        b[2] = b[1];
        b[1] = b[0];
        b[0] = tag << 40 | place;
    }
}
#else
/* A bucket is one register. */
static void K(hash_enter)(uint64_t *table, int log2, const uint32_t *hash, const uint8_t *p,
                          uint32_t flat, int n, uint64_t place)
{
    for (int i = 0; i < n; i++, place += HASH_STEP) {
        if (hash[i] == flat * p[i])
            continue;
        uint64_t *b = hash_bucket(table, log2, hash[i]), tag = hash[i] & 0xffffff;
        __m256i v = _mm256_loadu_si256((const __m256i *)b);
        __m256i same = _mm256_cmpeq_epi64(_mm256_srli_epi64(v, 40), _mm256_set1_epi64x((long long)tag));
        __m256i moved = _mm256_permute4x64_epi64(v, 0x90); /* 0, 0, 1, 2 */
        if ((_mm256_movemask_pd(_mm256_castsi256_pd(same)) & 7) == 7)
            moved = _mm256_blend_epi32(moved, v, 0xc0);
        __m256i first = _mm256_set1_epi64x((long long)(tag << 40 | place));
        _mm256_storeu_si256((__m256i *)b, _mm256_blend_epi32(moved, first, 3));
    }
}
#endif
