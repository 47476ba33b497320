/* frame: planes of the coded size, and the geometry that every file of the encoder shares. */
#ifndef HEVCAST_ENCODE_SCREEN_FRAME_H
#define HEVCAST_ENCODE_SCREEN_FRAME_H

#include "base/picture.h"

struct geometry {
    enum pix_fmt fmt;
    int width, height;   /* of the source */
    int cw, ch;          /* coded: multiples of 8 */
    int w8, h8;          /* the same in blocks of 8 */
    int ctb_cols, ctb_rows;
    int cshift;          /* of chroma coordinates: 1 for 4:2:0, 0 for 4:4:4 */
};

struct frame {
    uint8_t *plane[3];
    int stride[3];
};

static inline uint8_t *frame_at(const struct frame *f, int plane, int x, int y)
{
    return f->plane[plane] + (ptrdiff_t)y * f->stride[plane] + x;
}

#endif
