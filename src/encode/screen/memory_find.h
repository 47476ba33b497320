/* memory_find: which blocks the pictures kept have. Its functions for the encoder stand in memory.h;
 * here is what memory.c needs of it. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_MEMORY_FIND_H
#define HEVCAST_ENCODE_SCREEN_MEMORY_FIND_H

#include "encode/screen/memory.h"

/* The 8x8 blocks of a tile. */
static inline struct rect memory_tile_blocks(const struct geometry *g, int t)
{
    struct rect r = {t % g->ctb_cols * 8, t / g->ctb_cols * 8, 8, 8};
    return rect_intersect(r, (struct rect){0, 0, g->w8, g->h8});
}

uint64_t memory_hash_block(const struct geometry *g, const struct frame *src, int bx, int by);
/* Of n blocks of the picture from (bx, by) on, which has this tile the same? Where it is exact that
 * is seen from its samples, else by a hash of what its source was. */
unsigned memory_same_in_tile(const struct memory *m, const struct frame *pic,
                             const struct dpb_tile *tile, int bx, int by, int n);

#endif
