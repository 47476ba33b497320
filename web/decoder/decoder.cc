// The page's HEVC decoder: a few C functions around libde265, one stream, one thread.
// Its caller is web/static/wasm.js. Access units in Annex B go in; pictures come out in the same call,
// because hevcast's streams have no reordering.
#include "pixels.h"

#include <libde265/de265.h>

#include <stdlib.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

static de265_decoder_context *ctx;
static const de265_image *image;
static uint8_t *input;
static size_t input_cap;
static int32_t info[18];
static planes taken; // what hv_picture gave last

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
        taken.plane[i] = {p, stride, info[8 + 4 * i], info[9 + 4 * i]};
    }
    taken.width = info[0];
    taken.height = info[1];
    taken.chroma = info[2];
    taken.full = info[4] != 0;
    taken.bt601 = info[5] == 5 || info[5] == 6;
    // The memory of the picture stays until the decoder decodes again.
    image = NULL;
    return info;
}

// What of the picture that hv_picture gave last is new since the last call: pixels_changed.
const int32_t *EXPORT(hv_changed)(void)
{
    return pixels_changed(taken);
}

// Its rows [from, to) as RGBA, until the next call. NULL: out of memory.
uint8_t *EXPORT(hv_rgba)(int from, int to)
{
    return pixels_rgba(taken, from, to);
}
}
