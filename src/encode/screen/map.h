/* map: maps of the picture's 8x8 blocks, a byte each; the (at most eight) blocks of a row of a tree
 * block are looked at together, as one word. A tree block that nobody marked is not looked at. */
#ifndef HEVCAST_ENCODE_SCREEN_MAP_H
#define HEVCAST_ENCODE_SCREEN_MAP_H

#include "encode/screen/frame.h"

#include <string.h>

enum { MAP_TILE = 8 }; /* blocks a side of a tree block */

/* The blocks of tree block t. */
static inline struct rect map_tile(const struct geometry *g, int t)
{
    struct rect r = {t % g->ctb_cols * MAP_TILE, t / g->ctb_cols * MAP_TILE, MAP_TILE, MAP_TILE};
    return rect_intersect(r, (struct rect){0, 0, g->w8, g->h8});
}

/* How many blocks from bx on, at most eight, a row of the picture has. */
static inline int map_width(const struct geometry *g, int bx)
{
    return g->w8 - bx < MAP_TILE ? g->w8 - bx : MAP_TILE;
}

/* n bytes, at most eight, the first the lowest on any processor that stores so; others are 0. */
static inline uint64_t map_row(const uint8_t *p, int n)
{
    uint64_t v = 0;
    if (n == MAP_TILE) {
        memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
        v = __builtin_bswap64(v);
#endif
        return v;
    }
    for (int i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Of eight bytes: 1 in each that is not 0. */
static inline uint64_t map_ones(uint64_t v)
{
    const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
    return (((v & low) + low) | v) >> 7 & UINT64_C(0x0101010101010101);
}

/* How many of eight bytes are not 0. */
static inline int map_count(uint64_t v)
{
    return (int)(map_ones(v) * UINT64_C(0x0101010101010101) >> 56);
}

/* A bit for each of them, the first the lowest. */
static inline unsigned map_bits(uint64_t v)
{
    return (unsigned)(map_ones(v) * UINT64_C(0x0102040810204080) >> 56);
}

static inline void map_fill(uint8_t *map, const struct geometry *g, struct rect r, int value)
{
    for (int y = r.y; y < r.y + r.h; y++)
        memset(map + y * g->w8 + r.x, value, (size_t)r.w);
}

#endif
