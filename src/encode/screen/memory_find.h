/* memory_find: which blocks the pictures kept have. Its functions for the encoder stand in memory.h;
 * here is what memory.c needs of it. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_MEMORY_FIND_H
#define HEVCAST_ENCODE_SCREEN_MEMORY_FIND_H

#include "encode/screen/map.h"
#include "encode/screen/memory.h"

/* What found[] says of a tile's blocks where all are alike. */
static inline unsigned memory_found_in(const struct memory *m, int t)
{
    struct rect r = map_tile(m->g, t);
    return m->found[r.y * m->g->w8 + r.x];
}

uint64_t memory_hash_block(const struct geometry *g, const struct frame *src, int bx, int by);
/* Of n blocks of the picture from (bx, by) on, which has this tile the same? Where it is exact that
 * is seen from its samples, else by a hash of what its source was. */
unsigned memory_same_in_tile(const struct memory *m, const struct frame *pic,
                             const struct dpb_tile *tile, int bx, int by, int n);

#endif
