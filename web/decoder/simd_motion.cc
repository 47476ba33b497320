// Motion compensation (H.265 section 8.5.3.3). Samples of a prediction are 16 bits with 6 bits below
// the point; rows of a block are written in steps of 8, which its buffer has room for: its stride is
// the coding block's size, a multiple of 8. Reading may go past a row's end, never past the heap's.
#include "simd.h"

#include <string.h>
#include <wasm_simd128.h>

namespace {

// ---- whole-sample vectors: nothing is computed before it is known what for ----
//
// Most of a screen stands still or moves as a whole. libde265 first widens the samples of the reference
// and then rounds them back; remembering where they come from makes that one copy. Every prediction
// is taken by one of the put_ functions below, each of which looks here first.

struct lazy {
    int16_t *out;
    const uint8_t *src;
    ptrdiff_t stride;
};
enum { LAZY = 8 }; // luma and two chroma, from two lists, and some more
lazy pending[LAZY];

void remember(int16_t *out, const uint8_t *src, ptrdiff_t stride)
{
    int slot = 0;
    for (int i = 0; i < LAZY; i++) {
        if (pending[i].out == out) {
            slot = i;
            break;
        }
        if (!pending[i].out)
            slot = i;
    }
    pending[slot] = lazy{out, src, stride};
}

// false: the samples are in `out` already.
bool recall(const int16_t *out, lazy *found)
{
    for (int i = 0; i < LAZY; i++) {
        if (pending[i].out == out) {
            *found = pending[i];
            pending[i].out = NULL;
            return true;
        }
    }
    return false;
}

void forget(const int16_t *out)
{
    lazy l;
    recall(out, &l);
}

void widen(int16_t *out, ptrdiff_t out_stride, const uint8_t *src, ptrdiff_t stride, int width,
           int height)
{
    for (int y = 0; y < height; y++, out += out_stride, src += stride)
        for (int x = 0; x < width; x += 8)
            wasm_v128_store(out + x, wasm_i16x8_shl(wasm_u16x8_load8x8(src + x), 6));
}

void materialise(const int16_t *out, ptrdiff_t out_stride, int width, int height)
{
    lazy l;
    if (recall(out, &l))
        widen(l.out, out_stride, l.src, l.stride, width, height);
}

void copy_block(uint8_t *dst, ptrdiff_t dst_stride, const uint8_t *src, ptrdiff_t stride, int width,
                int height)
{
    for (int y = 0; y < height; y++, dst += dst_stride, src += stride) {
        int x = 0;
        for (; x + 16 <= width; x += 16)
            wasm_v128_store(dst + x, wasm_v128_load(src + x));
        if (width & 8) {
            memcpy(dst + x, src + x, 8);
            x += 8;
        }
        if (width & 4) {
            memcpy(dst + x, src + x, 4);
            x += 4;
        }
        if (width & 2)
            memcpy(dst + x, src + x, 2);
    }
}

// The low 8 bytes of v, as many as there are: 8, 6, 4 or 2.
inline void store_some(uint8_t *dst, v128_t v, int n)
{
    if (n >= 8) {
        wasm_v128_store64_lane(dst, v, 0);
        return;
    }
    if (n & 4) {
        wasm_v128_store32_lane(dst, v, 0);
        v = wasm_i8x16_shuffle(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
        dst += 4;
    }
    if (n & 2)
        wasm_v128_store16_lane(dst, v, 0);
}

void put_unweighted(uint8_t *dst, ptrdiff_t dst_stride, const int16_t *src, ptrdiff_t stride, int width,
                    int height)
{
    lazy l;
    if (recall(src, &l)) {
        copy_block(dst, dst_stride, l.src, l.stride, width, height);
        return;
    }
    const v128_t half = wasm_i16x8_splat(32);
    for (int y = 0; y < height; y++, dst += dst_stride, src += stride)
        for (int x = 0; x < width; x += 8) {
            // Saturation is harmless: what is near the limits becomes 0 or 255 all the same.
            v128_t v = wasm_i16x8_shr(wasm_i16x8_add_sat(wasm_v128_load(src + x), half), 6);
            store_some(dst + x, wasm_u8x16_narrow_i16x8(v, v), width - x);
        }
}

void put_average(uint8_t *dst, ptrdiff_t dst_stride, const int16_t *a, const int16_t *b,
                 ptrdiff_t stride, int width, int height)
{
    materialise(a, stride, width, height);
    materialise(b, stride, width, height);
    const v128_t half = wasm_i16x8_splat(64);
    for (int y = 0; y < height; y++, dst += dst_stride, a += stride, b += stride)
        for (int x = 0; x < width; x += 8) {
            v128_t sum = wasm_i16x8_add_sat(wasm_v128_load(a + x), wasm_v128_load(b + x));
            v128_t v = wasm_i16x8_shr(wasm_i16x8_add_sat(sum, half), 7);
            store_some(dst + x, wasm_u8x16_narrow_i16x8(v, v), width - x);
        }
}

// 8 samples times a weight, in two vectors of 32 bits.
struct wide {
    v128_t low, high;
};

inline wide times(v128_t v, int weight)
{
    v128_t w = wasm_i16x8_splat((int16_t)weight);
    return wide{wasm_i32x4_extmul_low_i16x8(v, w), wasm_i32x4_extmul_high_i16x8(v, w)};
}

inline v128_t to_bytes(v128_t low, v128_t high)
{
    v128_t v = wasm_i16x8_narrow_i32x4(low, high);
    return wasm_u8x16_narrow_i16x8(v, v);
}

void put_weighted(uint8_t *dst, ptrdiff_t dst_stride, const int16_t *src, ptrdiff_t stride, int width,
                  int height, int w, int o, int log2_wd)
{
    materialise(src, stride, width, height);
    const v128_t round = wasm_i32x4_splat(1 << (log2_wd - 1)), offset = wasm_i32x4_splat(o);
    for (int y = 0; y < height; y++, dst += dst_stride, src += stride)
        for (int x = 0; x < width; x += 8) {
            wide v = times(wasm_v128_load(src + x), w);
            v.low = wasm_i32x4_add(wasm_i32x4_shr(wasm_i32x4_add(v.low, round), log2_wd), offset);
            v.high = wasm_i32x4_add(wasm_i32x4_shr(wasm_i32x4_add(v.high, round), log2_wd), offset);
            store_some(dst + x, to_bytes(v.low, v.high), width - x);
        }
}

void put_weighted_two(uint8_t *dst, ptrdiff_t dst_stride, const int16_t *a, const int16_t *b,
                      ptrdiff_t stride, int width, int height, int w1, int o1, int w2, int o2,
                      int log2_wd)
{
    materialise(a, stride, width, height);
    materialise(b, stride, width, height);
    const v128_t round = wasm_i32x4_splat((o1 + o2 + 1) * (1 << log2_wd));
    for (int y = 0; y < height; y++, dst += dst_stride, a += stride, b += stride)
        for (int x = 0; x < width; x += 8) {
            wide v = times(wasm_v128_load(a + x), w1), u = times(wasm_v128_load(b + x), w2);
            v.low = wasm_i32x4_add(wasm_i32x4_add(v.low, u.low), round);
            v.high = wasm_i32x4_add(wasm_i32x4_add(v.high, u.high), round);
            store_some(dst + x, to_bytes(wasm_i32x4_shr(v.low, log2_wd + 1),
                                         wasm_i32x4_shr(v.high, log2_wd + 1)), width - x);
        }
}

// ---- interpolation ----

// H.265 tables 8-11 and 8-12. Chroma's four taps stand in the middle of eight, so that one loop does.
const int8_t luma_taps[4][8] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                {-1, 4, -10, 58, 17, -5, 1, 0},
                                {-1, 4, -11, 40, 40, -11, 4, -1},
                                {0, 1, -5, 17, 58, -10, 4, -1}};
const int8_t chroma_taps[8][4] = {{0, 64, 0, 0},     {-2, 58, 10, -2},  {-4, 54, 16, -2},
                                  {-6, 46, 28, -4},  {-4, 36, 36, -4},  {-4, 28, 46, -6},
                                  {-2, 16, 54, -4},  {-2, 10, 58, -2}};

// From bytes, along a step of 1 (a row) or of the stride (a column). All sums fit in 16 bits.
template <int TAPS>
void filter_bytes(int16_t *out, ptrdiff_t out_stride, const uint8_t *src, ptrdiff_t stride,
                  ptrdiff_t step, int width, int height, const int8_t *taps)
{
    v128_t tap[TAPS];
    for (int k = 0; k < TAPS; k++)
        tap[k] = wasm_i16x8_splat(taps[k]);
    src -= (TAPS / 2 - 1) * step;
    for (int y = 0; y < height; y++, out += out_stride, src += stride)
        for (int x = 0; x < width; x += 8) {
            v128_t sum = wasm_i16x8_mul(wasm_u16x8_load8x8(src + x), tap[0]);
            for (int k = 1; k < TAPS; k++)
                sum = wasm_i16x8_add(sum, wasm_i16x8_mul(wasm_u16x8_load8x8(src + x + k * step),
                                                         tap[k]));
            wasm_v128_store(out + x, sum);
        }
}

inline v128_t zip_low(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline v128_t zip_high(v128_t a, v128_t b)
{
    return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// Down the columns of what filter_bytes made of the rows.
template <int TAPS>
void filter_columns(int16_t *out, ptrdiff_t out_stride, const int16_t *src, ptrdiff_t stride, int width,
                    int height, const int8_t *taps)
{
    v128_t pair[TAPS / 2];
    for (int k = 0; k < TAPS / 2; k++)
        pair[k] = wasm_i32x4_splat((int32_t)((uint32_t)(uint16_t)taps[2 * k] |
                                             (uint32_t)(uint16_t)taps[2 * k + 1] << 16));
    for (int x = 0; x < width; x += 8) {
        v128_t row[TAPS];
        const int16_t *in = src + x;
        for (int k = 0; k < TAPS - 1; k++, in += stride)
            row[k] = wasm_v128_load(in);
        for (int y = 0; y < height; y++, in += stride) {
            row[TAPS - 1] = wasm_v128_load(in);
            v128_t low = wasm_i32x4_dot_i16x8(zip_low(row[0], row[1]), pair[0]);
            v128_t high = wasm_i32x4_dot_i16x8(zip_high(row[0], row[1]), pair[0]);
            for (int k = 1; k < TAPS / 2; k++) {
                v128_t a = row[2 * k], b = row[2 * k + 1];
                low = wasm_i32x4_add(low, wasm_i32x4_dot_i16x8(zip_low(a, b), pair[k]));
                high = wasm_i32x4_add(high, wasm_i32x4_dot_i16x8(zip_high(a, b), pair[k]));
            }
            wasm_v128_store(out + y * out_stride + x,
                            wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(low, 6), wasm_i32x4_shr(high, 6)));
            for (int k = 0; k < TAPS - 1; k++)
                row[k] = row[k + 1];
        }
    }
}

template <int TAPS>
void filter_both(int16_t *out, ptrdiff_t out_stride, const uint8_t *src, ptrdiff_t stride, int width,
                 int height, const int8_t *across, const int8_t *down)
{
    enum { WIDEST = 64 };
    int16_t rows[WIDEST * (WIDEST + TAPS - 1)];
    filter_bytes<TAPS>(rows, WIDEST, src - (TAPS / 2 - 1) * stride, stride, 1, width,
                       height + TAPS - 1, across);
    filter_columns<TAPS>(out, out_stride, rows, WIDEST, width, height, down);
}

void qpel_whole(int16_t *out, ptrdiff_t, const uint8_t *src, ptrdiff_t stride, int, int, int16_t *)
{
    remember(out, src, stride);
}

template <int X, int Y>
void qpel(int16_t *out, ptrdiff_t out_stride, const uint8_t *src, ptrdiff_t stride, int width,
          int height, int16_t *)
{
    forget(out);
    if (X == 0)
        filter_bytes<8>(out, out_stride, src, stride, stride, width, height, luma_taps[Y]);
    else if (Y == 0)
        filter_bytes<8>(out, out_stride, src, stride, 1, width, height, luma_taps[X]);
    else
        filter_both<8>(out, out_stride, src, stride, width, height, luma_taps[X], luma_taps[Y]);
}

void epel_whole(int16_t *out, ptrdiff_t, const uint8_t *src, ptrdiff_t stride, int, int, int, int,
                int16_t *)
{
    remember(out, src, stride);
}

void epel(int16_t *out, ptrdiff_t out_stride, const uint8_t *src, ptrdiff_t stride, int width,
          int height, int mx, int my, int16_t *, int)
{
    forget(out);
    if (mx == 0)
        filter_bytes<4>(out, out_stride, src, stride, stride, width, height, chroma_taps[my]);
    else if (my == 0)
        filter_bytes<4>(out, out_stride, src, stride, 1, width, height, chroma_taps[mx]);
    else
        filter_both<4>(out, out_stride, src, stride, width, height, chroma_taps[mx], chroma_taps[my]);
}

} // namespace

void simd_motion_init(acceleration_functions *t)
{
    memset(pending, 0, sizeof pending);
    t->put_unweighted_pred_8 = put_unweighted;
    t->put_weighted_pred_avg_8 = put_average;
    t->put_weighted_pred_8 = put_weighted;
    t->put_weighted_bipred_8 = put_weighted_two;
    t->put_hevc_epel_8 = epel_whole;
    t->put_hevc_epel_h_8 = epel;
    t->put_hevc_epel_v_8 = epel;
    t->put_hevc_epel_hv_8 = epel;
    t->put_hevc_qpel_8[0][0] = qpel_whole;
#define ROW(x) \
    t->put_hevc_qpel_8[x][1] = qpel<x, 1>; \
    t->put_hevc_qpel_8[x][2] = qpel<x, 2>; \
    t->put_hevc_qpel_8[x][3] = qpel<x, 3>;
    ROW(0) ROW(1) ROW(2) ROW(3)
#undef ROW
    t->put_hevc_qpel_8[1][0] = qpel<1, 0>;
    t->put_hevc_qpel_8[2][0] = qpel<2, 0>;
    t->put_hevc_qpel_8[3][0] = qpel<3, 0>;
}
