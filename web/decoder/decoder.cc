// The page's HEVC decoder: a few C functions around libde265, one stream, one thread.
// Its caller is web/js/wasm.js. Access units in Annex B go in; pictures come out in the same call,
// because hevcast's streams have no reordering.
#include <libde265/de265.h>

#include <stdlib.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

static de265_decoder_context *ctx;
static const de265_image *image;
static uint8_t *input;
static size_t input_cap;
static int32_t info[18];
static uint8_t *rgba;
static size_t rgba_cap;

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
static void convert16(v128_t y, v128_t u, v128_t v, const weights &w, uint8_t *out)
{
    v128_t low[3], high[3];
    rgb_of(widen_low(y), widen_low(u), widen_low(v), w, low);
    rgb_of(widen_high(y), widen_high(u), widen_high(v), w, high);
    v128_t r = wasm_u8x16_narrow_i16x8(low[0], high[0]);
    v128_t g = wasm_u8x16_narrow_i16x8(low[1], high[1]);
    v128_t b = wasm_u8x16_narrow_i16x8(low[2], high[2]);
    v128_t a = wasm_i8x16_splat(-1);
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

extern "C" {

// Ready for a key frame; drops all state of an earlier stream. 0: out of memory.
int EXPORT(hv_reset)(void)
{
    if (ctx)
        de265_free_decoder(ctx);
    image = NULL;
    ctx = de265_new_decoder();
    if (!ctx)
        return 0;
    de265_set_parameter_bool(ctx, DE265_DECODER_PARAM_SUPPRESS_FAULTY_PICTURES, 0);
    return 1;
}

// Room for an access unit of len bytes; valid until the next call. NULL: out of memory.
uint8_t *EXPORT(hv_input)(size_t len)
{
    if (len > input_cap) {
        free(input);
        input_cap = len + len / 2;
        input = (uint8_t *)malloc(input_cap);
        if (!input)
            input_cap = 0;
    }
    return input;
}

static bool take_picture(void)
{
    if (!image)
        image = de265_get_next_picture(ctx);
    return image != NULL;
}

// Whether the pictures are checked against the MD5 (or CRC, checksum) that the stream carries.
void EXPORT(hv_check_hashes)(int on)
{
    de265_set_parameter_bool(ctx, DE265_DECODER_PARAM_BOOL_SEI_CHECK_HASH, on);
}

// Decodes the len bytes in the input. 0: fine; else libde265's error, and the stream has to start
// again at a key frame. Take the pictures with hv_picture afterwards.
int EXPORT(hv_decode)(size_t len)
{
    image = NULL;
    de265_error error = de265_push_data(ctx, input, (int)len, 0, NULL);
    if (error != DE265_OK)
        return error;
    de265_push_end_of_frame(ctx);
    int more = 1;
    // It goes on saying "more" while a picture waits to be taken.
    while (more && !take_picture()) {
        more = 0;
        error = de265_decode(ctx, &more);
        if (error == DE265_ERROR_WAITING_FOR_INPUT_DATA)
            break;
        if (error != DE265_OK && !de265_isOK(error))
            return error;
    }
    for (de265_error warning; (warning = de265_get_warning(ctx)) != DE265_OK;) {
        // A reference that is missing, a slice that is broken: the picture is not what was sent.
        if (warning != DE265_WARNING_NO_WPP_CANNOT_USE_MULTITHREADING)
            return warning;
    }
    return 0;
}

// The next picture, or NULL: {width, height, chroma (0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4), bits,
// full range, matrix coefficients, then for each plane: address, stride in bytes, width, height}.
// Its planes stay valid until the next hv_decode.
int32_t *EXPORT(hv_picture)(void)
{
    if (!take_picture())
        return NULL;
    info[0] = de265_get_image_width(image, 0);
    info[1] = de265_get_image_height(image, 0);
    info[2] = (int)de265_get_chroma_format(image);
    info[3] = de265_get_bits_per_pixel(image, 0);
    info[4] = de265_get_image_full_range_flag(image);
    info[5] = de265_get_image_matrix_coefficients(image);
    int planes = info[2] == 0 ? 1 : 3;
    for (int i = 0; i < 3; i++) {
        int stride = 0, c = i < planes ? i : 0;
        const uint8_t *p = de265_get_image_plane(image, c, &stride);
        info[6 + 4 * i] = (int32_t)(intptr_t)p;
        info[7 + 4 * i] = stride;
        info[8 + 4 * i] = de265_get_image_width(image, c);
        info[9 + 4 * i] = de265_get_image_height(image, c);
    }
    // The memory of the picture stays until the decoder decodes again.
    image = NULL;
    return info;
}

// The picture that hv_picture gave last, as RGBA without gaps. NULL: out of memory.
uint8_t *EXPORT(hv_rgba)(void)
{
    const int width = info[0], height = info[1], chroma = info[2];
    // Rows are written in steps of 16 pixels, so the last one runs over.
    const size_t need = (size_t)width * height * 4 + 64;
    if (need > rgba_cap) {
        free(rgba);
        rgba = (uint8_t *)malloc(need);
        rgba_cap = rgba ? need : 0;
    }
    if (!rgba)
        return NULL;
    const weights w = weights_of(info[4], info[5] == 5 || info[5] == 6);
    const int half = chroma == 1;
    for (int row = 0; row < height; row++) {
        // Strides are multiples of 16: reading to the next 16 stays in the row.
        const uint8_t *y = (const uint8_t *)info[6] + row * info[7];
        const uint8_t *u = (const uint8_t *)info[10] + (row >> half) * info[11];
        const uint8_t *v = (const uint8_t *)info[14] + (row >> half) * info[15];
        uint8_t *out = rgba + (size_t)row * width * 4;
        for (int x = 0; x < width; x += 16) {
            v128_t cu = wasm_i8x16_splat(-128), cv = cu;
            if (chroma == 1 || chroma == 2) {
                cu = doubled(u + x / 2);
                cv = doubled(v + x / 2);
            } else if (chroma == 3) {
                cu = wasm_v128_load(u + x);
                cv = wasm_v128_load(v + x);
            }
            convert16(wasm_v128_load(y + x), cu, cv, w, out + 4 * x);
        }
    }
    return rgba;
}
}
