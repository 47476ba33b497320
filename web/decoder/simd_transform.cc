// Inverse transforms (H.265 section 8.6.4): both passes as sums of products of pairs, where even and
// odd rows of the matrix give half of the outputs each and the other half by symmetry. Coefficients
// beyond the last that is not zero are not looked at; most blocks have a few in a corner.
#include "simd.h"

#include <wasm_simd128.h>

namespace {

// The matrix's first column, by k; an entry depends on the angle k (2 i + 1) alone.
const int8_t cosine[33] = {64, 90, 90, 90, 89, 88, 87, 85, 83, 82, 80, 78, 75, 73, 70, 67, 64,
                           61, 57, 54, 50, 46, 43, 38, 36, 31, 25, 22, 18, 13, 9,  4,  0};

int entry(int k, int i) // of the matrix of 32
{
    int angle = k * (2 * i + 1) % 128;
    if (angle > 64)
        angle = 128 - angle;
    return angle > 32 ? -cosine[64 - angle] : cosine[angle];
}

// For each size: pairs of matrix rows (0, 2), (1, 3), (4, 6), (5, 7), …; of each the outputs of the
// first half, as 16 + 16 bits.
int32_t pairs_4[2 * 2], pairs_8[4 * 4], pairs_16[8 * 8], pairs_32[16 * 16];

void make_pairs(int32_t *out, int n)
{
    for (int p = 0; p < n / 2; p++) {
        int k = p / 2 * 4 + p % 2;
        for (int i = 0; i < n / 2; i++) {
            // Rows of a smaller matrix are every (32 / n)th of the large one's.
            int a = entry(k * 32 / n, i), b = entry((k + 2) * 32 / n, i);
            *out++ = (int32_t)((uint32_t)(uint16_t)a | (uint32_t)(uint16_t)b << 16);
        }
    }
}

template <int N> const int32_t *pairs_of()
{
    return N == 4 ? pairs_4 : N == 8 ? pairs_8 : N == 16 ? pairs_16 : pairs_32;
}

inline v128_t zip_low(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline v128_t rounded(v128_t v, int32_t half, int shift)
{
    return wasm_i32x4_shr(wasm_i32x4_add(v, wasm_i32x4_splat(half)), shift);
}
inline v128_t reversed(v128_t v) { return wasm_i32x4_shuffle(v, v, 3, 2, 1, 0); }

// Adds 4 or 8 differences of 16 bits to samples.
inline void add_to(uint8_t *dst, v128_t difference, int n)
{
    v128_t v = n == 4 ? wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(dst))
                      : wasm_u16x8_load8x8(dst);
    v = wasm_i16x8_add_sat(v, difference);
    v = wasm_u8x16_narrow_i16x8(v, v);
    if (n == 4)
        wasm_v128_store32_lane(dst, v, 0);
    else
        wasm_v128_store64_lane(dst, v, 0);
}

// Columns: 4 of them at a time, the sums of all N outputs at once. rows: how many of coeffs count.
template <int N> void columns(int16_t *out, const int16_t *coeffs, int rows, int cols)
{
    const int32_t *pairs = pairs_of<N>();
    for (int c = 0; c < cols; c += 4) {
        v128_t even[N / 2], odd[N / 2];
        for (int i = 0; i < N / 2; i++)
            even[i] = odd[i] = wasm_i32x4_splat(0);
        for (int k = 0; k < rows; k += 4) {
            const int16_t *in = coeffs + k * N + c;
            v128_t a = zip_low(wasm_v128_load64_zero(in), wasm_v128_load64_zero(in + 2 * N));
            v128_t b = zip_low(wasm_v128_load64_zero(in + N), wasm_v128_load64_zero(in + 3 * N));
            const int32_t *p = pairs + k / 2 * (N / 2), *q = p + N / 2;
            for (int i = 0; i < N / 2; i++) {
                even[i] = wasm_i32x4_add(even[i],
                                         wasm_i32x4_dot_i16x8(a, wasm_v128_load32_splat(p + i)));
                odd[i] = wasm_i32x4_add(odd[i],
                                        wasm_i32x4_dot_i16x8(b, wasm_v128_load32_splat(q + i)));
            }
        }
        for (int i = 0; i < N / 2; i++) {
            v128_t sum = rounded(wasm_i32x4_add(even[i], odd[i]), 64, 7);
            v128_t other = rounded(wasm_i32x4_sub(even[i], odd[i]), 64, 7);
            v128_t v = wasm_i16x8_narrow_i32x4(sum, other);
            wasm_v128_store64_lane(out + i * N + c, v, 0);
            wasm_v128_store64_lane(out + (N - 1 - i) * N + c, v, 1);
        }
    }
}

// One row: N outputs, of its first `cols` inputs.
template <int N> void row(uint8_t *dst, const int16_t *in, int cols)
{
    enum { VECTORS = N == 4 ? 1 : N / 8 };
    const int32_t *pairs = pairs_of<N>();
    v128_t even[VECTORS], odd[VECTORS];
    for (int i = 0; i < VECTORS; i++)
        even[i] = odd[i] = wasm_i32x4_splat(0);
    for (int k = 0; k < cols; k += 4) {
        const int32_t *p = pairs + k / 2 * (N / 2), *q = p + N / 2;
        // (0, 2) and (1, 3) of the four inputs, everywhere
        v128_t four = wasm_v128_load64_splat(in + k);
        v128_t a = wasm_i16x8_shuffle(four, four, 0, 2, 0, 2, 0, 2, 0, 2);
        v128_t b = wasm_i16x8_shuffle(four, four, 1, 3, 1, 3, 1, 3, 1, 3);
        for (int i = 0; i < VECTORS; i++) {
            v128_t m = N == 4 ? wasm_v128_load64_zero(p) : wasm_v128_load(p + 4 * i);
            v128_t n = N == 4 ? wasm_v128_load64_zero(q) : wasm_v128_load(q + 4 * i);
            even[i] = wasm_i32x4_add(even[i], wasm_i32x4_dot_i16x8(a, m));
            odd[i] = wasm_i32x4_add(odd[i], wasm_i32x4_dot_i16x8(b, n));
        }
    }
    v128_t first[VECTORS], last[VECTORS];
    for (int i = 0; i < VECTORS; i++) {
        first[i] = rounded(wasm_i32x4_add(even[i], odd[i]), 2048, 12);
        last[VECTORS - 1 - i] =
            reversed(rounded(wasm_i32x4_sub(even[i], odd[i]), 2048, 12));
    }
    if (N == 4) {
        v128_t v = wasm_i32x4_shuffle(first[0], last[0], 0, 1, 6, 7);
        add_to(dst, wasm_i16x8_narrow_i32x4(v, v), 4);
    } else if (N == 8) {
        add_to(dst, wasm_i16x8_narrow_i32x4(first[0], last[0]), 8);
    } else {
        for (int i = 0; i < VECTORS; i += 2) {
            add_to(dst + 4 * i, wasm_i16x8_narrow_i32x4(first[i], first[i + (VECTORS > 1)]), 8);
            add_to(dst + N / 2 + 4 * i, wasm_i16x8_narrow_i32x4(last[i], last[i + (VECTORS > 1)]), 8);
        }
    }
}

// The same difference everywhere: the block has a mean alone.
template <int N> void add_mean(uint8_t *dst, ptrdiff_t stride, int coeff)
{
    int mean = (64 * ((64 * coeff + 64) >> 7) + 2048) >> 12;
    v128_t v = wasm_i16x8_splat((int16_t)mean);
    for (int y = 0; y < N; y++, dst += stride)
        for (int x = 0; x < N; x += 8)
            add_to(dst + x, v, N == 4 ? 4 : 8);
}

template <int N> void idct_add(uint8_t *dst, const int16_t *coeffs, ptrdiff_t stride)
{
    // The rows and columns that count, in fours; pairs never leave the block.
    int rows = 0;
    v128_t any[N == 4 ? 1 : N / 8];
    for (int i = 0; i < (N == 4 ? 1 : N / 8); i++)
        any[i] = wasm_i32x4_splat(0);
    for (int y = 0; y < N; y += N == 4 ? 4 : 1) {
        v128_t seen = wasm_i32x4_splat(0);
        for (int i = 0; i < (N == 4 ? 2 : N / 8); i++) {
            v128_t v = wasm_v128_load(coeffs + y * N + 8 * i);
            seen = wasm_v128_or(seen, v);
            if (N > 4)
                any[i] = wasm_v128_or(any[i], v);
        }
        if (wasm_v128_any_true(seen))
            rows = (y & ~3) + 4;
    }
    int cols = N == 4 ? 4 : 0;
    for (int i = 0; N > 4 && i < N / 8; i++) {
        if (wasm_i64x2_extract_lane(any[i], 0))
            cols = 8 * i + 4;
        if (wasm_i64x2_extract_lane(any[i], 1))
            cols = 8 * i + 8;
    }
    if (rows == 0)
        return;
    if (rows == 4 && cols == 4) {
        v128_t first = wasm_i16x8_replace_lane(wasm_v128_load64_zero(coeffs), 0, 0);
        v128_t more = wasm_v128_or(wasm_v128_load64_zero(coeffs + N),
                                   wasm_v128_or(wasm_v128_load64_zero(coeffs + 2 * N),
                                                wasm_v128_load64_zero(coeffs + 3 * N)));
        if (!wasm_v128_any_true(wasm_v128_or(first, more))) {
            add_mean<N>(dst, stride, coeffs[0]);
            return;
        }
    }
    int16_t between[N * N];
    columns<N>(between, coeffs, rows, cols);
    for (int y = 0; y < N; y++)
        row<N>(dst + y * stride, between + y * N, cols);
}

// The sine transform of 4x4 intra luma (8.6.4.2).
void idst_add(uint8_t *dst, const int16_t *coeffs, ptrdiff_t stride)
{
    static const int16_t matrix[4][4] = {
        {29, 55, 74, 84}, {74, 74, 0, -74}, {84, -29, -74, 55}, {55, -84, 74, -29}};
    int16_t between[16];
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 4; i++) {
            int sum = 64;
            for (int j = 0; j < 4; j++)
                sum += matrix[j][i] * coeffs[c + 4 * j];
            sum >>= 7;
            between[4 * i + c] = (int16_t)(sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum);
        }
    for (int y = 0; y < 4; y++, dst += stride) {
        v128_t sum = wasm_i32x4_splat(2048);
        for (int j = 0; j < 4; j++)
            sum = wasm_i32x4_add(sum, wasm_i32x4_mul(wasm_i32x4_splat(between[4 * y + j]),
                                                     wasm_i32x4_load16x4(matrix[j])));
        sum = wasm_i32x4_shr(sum, 12);
        add_to(dst, wasm_i16x8_narrow_i32x4(sum, sum), 4);
    }
}

// Differences of 32 bits, of blocks without a transform.
void add_residual(uint8_t *dst, ptrdiff_t stride, const int32_t *r, int n, int)
{
    for (int y = 0; y < n; y++, dst += stride, r += n) {
        if (n == 4) {
            v128_t v = wasm_v128_load(r);
            add_to(dst, wasm_i16x8_narrow_i32x4(v, v), 4);
        }
        for (int x = 0; n > 4 && x < n; x += 8)
            add_to(dst + x, wasm_i16x8_narrow_i32x4(wasm_v128_load(r + x), wasm_v128_load(r + x + 4)),
                   8);
    }
}

} // namespace

void simd_transform_init(acceleration_functions *t)
{
    make_pairs(pairs_4, 4);
    make_pairs(pairs_8, 8);
    make_pairs(pairs_16, 16);
    make_pairs(pairs_32, 32);
    t->transform_4x4_dst_add_8 = idst_add;
    t->transform_add_8[0] = idct_add<4>;
    t->transform_add_8[1] = idct_add<8>;
    t->transform_add_8[2] = idct_add<16>;
    t->transform_add_8[3] = idct_add<32>;
    t->add_residual_8 = add_residual;
}
