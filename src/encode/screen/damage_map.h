/* damage_map: which 8x8 blocks differ from the source picture that was coded before, and the
 * encoder's own copy of that source. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_DAMAGE_MAP_H
#define HEVCAST_ENCODE_SCREEN_DAMAGE_MAP_H

#include "encode/screen/coder.h"

/* pic is the new picture everywhere, of its own size: what lies beyond it is never looked at. */

/* Sets dirty[] of the blocks under the damage that differ from src, in any plane; returns how
 * many. Those that are dirty already are not looked at. Toolkits repaint more than they change. */
int damage_map_compare(const struct geometry *g, const struct kernels *k,
                       const struct frame *pic, const struct frame *src,
                       const struct damage *damage, uint8_t *dirty);
/* Copies n blocks from (bx, by) on, in blocks of 8, from the picture; beyond its edges its last
 * samples are repeated. */
void damage_map_copy(const struct geometry *g, const struct frame *pic, const struct frame *src,
                     int bx, int by, int n);
/* Of n blocks from (bx, by) on, at most eight: bit i: the i-th is as in `at`, planes that begin with
 * the first of them. Without chroma: luma alone. */
unsigned damage_map_same_at(const struct geometry *g, const struct kernels *k,
                            const struct frame *pic, const struct frame *at, int bx, int by, int n,
                            bool chroma);
/* The same with what src has there, moved by (dx, dy); chroma where that is whole samples. Not
 * those of which what they moved from is outside the coded size. */
unsigned damage_map_same_row(const struct geometry *g, const struct kernels *k,
                             const struct frame *pic, const struct frame *src, int bx, int by,
                             int n, int dx, int dy);
/* Of n blocks of two frames, in all planes: bit i: the i-th is equal. */
unsigned damage_map_equal_row(const struct geometry *g, const struct kernels *k,
                              const struct frame *a, const struct frame *b, int bx, int by, int n);

#endif
