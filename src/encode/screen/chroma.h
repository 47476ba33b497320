/* chroma: may a block of 4:2:0 be moved by an odd number of luma samples? Its chroma is interpolated
 * by the decoder then (8.5.3.3.3.2), which blurs what is coloured. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_CHROMA_H
#define HEVCAST_ENCODE_SCREEN_CHROMA_H

#include "encode/screen/coder.h"

/* What is compared; all borrowed. */
struct chroma_view {
    const struct geometry *g;
    const struct kernels *k;
    const struct frame *pic;  /* the new source, of its own size */
    const struct frame *rec;  /* what vectors point into: from the reconstruction, so that no blur adds up */
    const uint8_t *inexact;   /* of each 8x8 block of rec: the QP it was coded with, 0: exact */
};

static inline bool chroma_is_half(const struct geometry *g, struct mv mv)
{
    return g->cshift && ((mv.x | mv.y) & 4);
}

/* Of n blocks (at most 8) from (bx, by) on, in blocks of 8: bit i: the chroma of the i-th, moved by
 * mv, is near what it should be. */
unsigned chroma_bearable(const struct chroma_view *v, int bx, int by, int n, struct mv mv);

#endif
