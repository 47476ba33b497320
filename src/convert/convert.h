/* convert: BGRX screens to BT.709 limited-range planes, only where something changed.
 *
 * Keeps up to three sets of planes, each with its own stale region, because the encoder reads the
 * previous planes at its next call. Two take turns where every picture is encoded. One thread at a time. */
#ifndef HEVCAST_CONVERT_CONVERT_H
#define HEVCAST_CONVERT_CONVERT_H

#include "base/picture.h"

struct converter;
struct converter *converter_new(enum pix_fmt to); /* PIX_I420 or PIX_I444 */
void converter_free(struct converter **c);
/* borrows in; gives *out: planes of the same size as `in`, whose damage is that of `in` rounded
 * outward to even (in 4:2:0 one more chroma sample to the right, which its filter reaches), and whose times are copied (ready_us is left to the caller). A picture already
 * in the wanted format is passed on by reference. Another size than last time: all is damaged.
 * ERR_MEMORY, ERR_UNSUPPORTED (format), ERR_TIMEOUT (all sets are still held). */
int converter_run(struct converter *c, struct picture *in, struct picture **out);

/* The plain conversions below are what the converter uses on a rectangle, and tests use.
 * BT.709 limited range (Y 16..235, C 16..240), chroma of 4:2:0 sited left (MPEG-2 style), as the
 * encoders signal it. x, y even for 4:2:0. */
void convert_bgrx_to_yuv709(const struct picture *in, struct picture *out, struct rect r);
/* Any decoder output (I420, I444, NV12, either matrix and range) to tightly strided BGRX-like
 * bytes with bytes_per_pixel 3 or 4, B first or R first. For --pix-fmt bgr24 and rgb24, and PPM. */
int convert_yuv_to_rgb(const struct picture *in, uint8_t *dst, int dst_stride, int bytes_per_pixel,
                       bool red_first);

#endif
