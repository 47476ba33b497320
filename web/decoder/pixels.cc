// Planes to RGB, and which rows of a picture are new. Everything in steps of 16 pixels.
#include "pixels.h"

#include <stdlib.h>
#include <string.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

enum {
    MAX_BANDS = 8,
    GAP = 32,    // rows that are cheaper drawn again than passed over
    MARGIN = 2,  // rows beside a change that its chroma reaches, where chroma is interpolated
};

static uint8_t *rgba;
static size_t rgba_cap;
static planes kept;      // the picture of the last pixels_changed; its planes are in kept_pixels
static uint8_t *kept_pixels;
static size_t kept_cap;
static int32_t bands[1 + 2 * MAX_BANDS];

// Y, Cb and Cr to RGB in 1/64 with 15-bit factors: what a factor has above its whole part.
struct weights {
    int16_t luma, luma_offset;          // factor - 1
    int16_t red_v, green_u, green_v, blue_u; // red - 1, green negated, blue - 1 or - 2
    bool blue_twice;
};

static v128_t widen_low(v128_t v) { return wasm_u16x8_extend_low_u8x16(v); }
static v128_t widen_high(v128_t v) { return wasm_u16x8_extend_high_u8x16(v); }

static v128_t scaled(v128_t v, int16_t factor)
{
    return wasm_i16x8_q15mulr_sat(v, wasm_i16x8_splat(factor));
}

static void rgb_of(v128_t y, v128_t u, v128_t v, const weights &w, v128_t out[3])
{
    const v128_t half = wasm_i16x8_splat(32);
    y = wasm_i16x8_shl(wasm_i16x8_sub(y, wasm_i16x8_splat(w.luma_offset)), 6);
    u = wasm_i16x8_shl(wasm_i16x8_sub(u, wasm_i16x8_splat(128)), 6);
    v = wasm_i16x8_shl(wasm_i16x8_sub(v, wasm_i16x8_splat(128)), 6);
    y = wasm_i16x8_add(wasm_i16x8_add(y, scaled(y, w.luma)), half);
    v128_t r = wasm_i16x8_add(v, scaled(v, w.red_v));
    v128_t b = wasm_i16x8_add(u, scaled(u, w.blue_u));
    if (w.blue_twice)
        b = wasm_i16x8_add_sat(b, u);
    v128_t g = wasm_i16x8_add(scaled(u, w.green_u), scaled(v, w.green_v));
    // What saturates here is beyond white anyway.
    out[0] = wasm_i16x8_shr(wasm_i16x8_add_sat(y, r), 6);
    out[1] = wasm_i16x8_shr(wasm_i16x8_sub_sat(y, g), 6);
    out[2] = wasm_i16x8_shr(wasm_i16x8_add_sat(y, b), 6);
}

// 16 pixels from 16 bytes of each.
static void store_rgba(v128_t r, v128_t g, v128_t b, v128_t a, uint8_t *out)
{
#define INTERLEAVE(p, q, from) \
    wasm_i8x16_shuffle(p, q, from, from + 16, from + 1, from + 17, from + 2, from + 18, from + 3, \
                       from + 19, from + 4, from + 20, from + 5, from + 21, from + 6, from + 22, \
                       from + 7, from + 23)
    v128_t rg[2] = {INTERLEAVE(r, g, 0), INTERLEAVE(r, g, 8)};
    v128_t ba[2] = {INTERLEAVE(b, a, 0), INTERLEAVE(b, a, 8)};
#undef INTERLEAVE
    for (int i = 0; i < 2; i++) {
        wasm_v128_store(out + 32 * i, wasm_i16x8_shuffle(rg[i], ba[i], 0, 8, 1, 9, 2, 10, 3, 11));
        wasm_v128_store(out + 32 * i + 16,
                        wasm_i16x8_shuffle(rg[i], ba[i], 4, 12, 5, 13, 6, 14, 7, 15));
    }
}

static void convert16(v128_t y, v128_t u, v128_t v, const weights &w, uint8_t *out)
{
    v128_t low[3], high[3];
    rgb_of(widen_low(y), widen_low(u), widen_low(v), w, low);
    rgb_of(widen_high(y), widen_high(u), widen_high(v), w, high);
    v128_t r = wasm_u8x16_narrow_i16x8(low[0], high[0]);
    v128_t g = wasm_u8x16_narrow_i16x8(low[1], high[1]);
    v128_t b = wasm_u8x16_narrow_i16x8(low[2], high[2]);
    store_rgba(r, g, b, wasm_i8x16_splat(-1), out);
}

static v128_t doubled(const uint8_t *p) // 8 bytes, each twice
{
    v128_t v = wasm_v128_load64_zero(p);
    return wasm_i8x16_shuffle(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
}

static weights weights_of(bool full, bool bt601)
{
    const double kr = bt601 ? 0.299 : 0.2126, kb = bt601 ? 0.114 : 0.0722, kg = 1 - kr - kb;
    const double l = full ? 1 : 255 / 219.0, c = full ? 1 : 255 / 224.0;
    const double red = c * (2 - 2 * kr), blue = c * (2 - 2 * kb);
    weights w;
    w.luma = (int16_t)((l - 1) * 32768);
    w.luma_offset = full ? 0 : 16;
    w.red_v = (int16_t)((red - 1) * 32768 + 0.5);
    w.blue_twice = blue >= 2;
    w.blue_u = (int16_t)((blue - (w.blue_twice ? 2 : 1)) * 32768 + 0.5);
    w.green_u = (int16_t)(kb * blue / kg * 32768 + 0.5);
    w.green_v = (int16_t)(kr * red / kg * 32768 + 0.5);
    return w;
}

static int padded(const plane &p) { return (p.width + 15) & ~15; }

static bool same(v128_t a, v128_t b) { return !wasm_v128_any_true(wasm_v128_xor(a, b)); }

static bool same_row(const uint8_t *a, const uint8_t *b, int width)
{
    int i = 0;
    for (; i + 16 <= width; i += 16)
        if (!same(wasm_v128_load(a + i), wasm_v128_load(b + i)))
            return false;
    return memcmp(a + i, b + i, (size_t)(width - i)) == 0;
}

// true: the row is another one now.
static bool take_row(const plane &from, const plane &to, int row)
{
    const uint8_t *a = from.data + (size_t)row * from.stride;
    uint8_t *b = (uint8_t *)to.data + (size_t)row * to.stride;
    if (same_row(a, b, from.width))
        return false;
    memcpy(b, a, (size_t)from.width);
    return true;
}

// Room for the planes of p. false: it was another format, or there is no memory; nothing is kept.
static bool keep_format(const planes &p)
{
    size_t need = 0;
    if (kept_pixels && kept.width == p.width && kept.height == p.height &&
        kept.chroma == p.chroma && kept.full == p.full && kept.bt601 == p.bt601)
        return true;
    for (int i = 0; i < 3; i++)
        need += (size_t)padded(p.plane[i]) * p.plane[i].height;
    if (need > kept_cap) {
        free(kept_pixels);
        kept_pixels = (uint8_t *)malloc(need);
        kept_cap = kept_pixels ? need : 0;
    }
    kept = p;
    if (!kept_pixels)
        return false;
    uint8_t *at = kept_pixels;
    for (int i = 0; i < 3; i++) {
        kept.plane[i].data = at;
        kept.plane[i].stride = padded(p.plane[i]);
        at += (size_t)kept.plane[i].stride * p.plane[i].height;
    }
    return false;
}

static void add_band(int from, int to)
{
    int n = bands[0];
    if (n > 0 && (n == MAX_BANDS || from - bands[2 * n] < GAP)) {
        bands[2 * n] = to;
        return;
    }
    bands[1 + 2 * n] = from;
    bands[2 + 2 * n] = to;
    bands[0] = n + 1;
}

const int32_t *pixels_changed(const planes &p)
{
    const bool known = keep_format(p);
    const int half = p.chroma == 1, count = p.chroma == 0 ? 1 : 3;
    bands[0] = 0;
    for (int row = 0; kept_pixels && row < p.height; row++) {
        bool other = take_row(p.plane[0], kept.plane[0], row);
        if (!half || !(row & 1))
            for (int i = 1; i < count; i++)
                other |= take_row(p.plane[i], kept.plane[i], row >> half);
        if (other && known) {
            int from = row - MARGIN, to = row + 1 + half + MARGIN;
            add_band(from < 0 ? 0 : from, to > p.height ? p.height : to);
        }
    }
    if (!known)
        add_band(0, p.height);
    return bands;
}

uint8_t *pixels_rgba(const planes &p, int from, int to)
{
    const size_t need = (size_t)p.width * (to - from) * 4;
    if (need > rgba_cap) {
        free(rgba);
        rgba = (uint8_t *)malloc(need);
        rgba_cap = rgba ? need : 0;
    }
    if (!rgba)
        return NULL;
    const weights w = weights_of(p.full, p.bt601);
    const int half = p.chroma == 1;
    for (int row = from; row < to; row++) {
        const uint8_t *y = p.plane[0].data + (size_t)row * p.plane[0].stride;
        const uint8_t *u = p.plane[1].data + (size_t)(row >> half) * p.plane[1].stride;
        const uint8_t *v = p.plane[2].data + (size_t)(row >> half) * p.plane[2].stride;
        uint8_t *out = rgba + (size_t)(row - from) * p.width * 4;
        // Steps are of 16 pixels: one over the end of the last row would be over the buffer's.
        alignas(16) uint8_t last[64];
        for (int x = 0; x < p.width; x += 16) {
            const bool over = x + 16 > p.width;
            v128_t cu = wasm_i8x16_splat(-128), cv = cu;
            if (p.chroma == 1 || p.chroma == 2) {
                cu = doubled(u + x / 2);
                cv = doubled(v + x / 2);
            } else if (p.chroma == 3) {
                cu = wasm_v128_load(u + x);
                cv = wasm_v128_load(v + x);
            }
            convert16(wasm_v128_load(y + x), cu, cv, w, over ? last : out + 4 * x);
            if (over)
                memcpy(out + 4 * x, last, 4 * (size_t)(p.width - x));
        }
    }
    return rgba;
}

extern "C" {

// Firefox converts pictures of WebCodecs to RGB with 2.0 where BT.709 has 2.112 (blue from Cb), so
// that blue comes out as 243. Undone here, and BGRX becomes RGBA, in place. With L = 0.2126 R +
// 0.7152 G, Cb is (0.9278 B - L) / 2.112, so B = 1.05193 B' - 0.05597 L.
void EXPORT(hv_mend_blue)(uint8_t *pixels, int count)
{
    const v128_t ff = wasm_i8x16_splat(-1);
    for (int i = 0; i < count; i += 16) {
        uint8_t *p = pixels + 4 * (size_t)i;
        v128_t out[3][2];
        for (int h = 0; h < 2; h++) {
            v128_t lo = wasm_v128_load(p + 32 * h), hi = wasm_v128_load(p + 32 * h + 16);
            const v128_t zero = wasm_i8x16_splat(0);
#define CHANNEL(c) \
    wasm_i16x8_shl(wasm_i8x16_shuffle(wasm_i8x16_shuffle(lo, hi, c, c + 4, c + 8, c + 12, c + 16, \
        c + 20, c + 24, c + 28, 0, 0, 0, 0, 0, 0, 0, 0), zero, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, \
        5, 16, 6, 16, 7, 16), 6)
            v128_t b = CHANNEL(0), g = CHANNEL(1), r = CHANNEL(2);
#undef CHANNEL
            v128_t less = wasm_i16x8_add(scaled(r, 390), scaled(g, 1312));
            b = wasm_i16x8_add_sat(b, wasm_i16x8_sub(scaled(b, 1702), less));
            out[0][h] = wasm_u16x8_shr(r, 6);
            out[1][h] = wasm_u16x8_shr(g, 6);
            out[2][h] = wasm_i16x8_shr(wasm_i16x8_add(b, wasm_i16x8_splat(32)), 6);
        }
        v128_t c[3];
        for (int k = 0; k < 3; k++)
            c[k] = wasm_u8x16_narrow_i16x8(out[k][0], out[k][1]);
        store_rgba(c[0], c[1], c[2], ff, p);
    }
}

// Room for a picture of so many pixels for hv_mend_blue. NULL: out of memory.
uint8_t *EXPORT(hv_pixels)(int count)
{
    const size_t need = 4 * (size_t)count + 64;
    if (need > rgba_cap) {
        free(rgba);
        rgba = (uint8_t *)malloc(need);
        rgba_cap = rgba ? need : 0;
    }
    return rgba;
}
}
