/* repixel: any decoder output as one pixel format and size, tightly packed, for --raw and --y4m.
 * YUV is BT.709 limited range whatever came; another size is fitted with its aspect kept, on
 * black. One thread. */
#ifndef HEVCAST_DISPLAY_REPIXEL_H
#define HEVCAST_DISPLAY_REPIXEL_H

#include "base/picture.h"
#include "display/rawout.h"

struct repixel;
/* fmt is not RAW_AUTO. NULL: out of memory. */
struct repixel *repixel_new(enum raw_fmt fmt, int width, int height);
void repixel_free(struct repixel **r);
size_t repixel_bytes(const struct repixel *r); /* of one picture */
/* borrows pic; gives the bytes of the picture, borrowed until the next call. ERR_UNSUPPORTED,
 * ERR_MEMORY. */
int repixel_run(struct repixel *r, const struct picture *pic, const uint8_t **bytes);
/* Where a w x h picture is fitted: the largest of its aspect, in the middle, even. */
struct rect repixel_fit(int width, int height, int w, int h);

#endif
