/* rig: random pictures by seed, for the tests of the screen encoder. */
#ifndef TEST_SCREEN_RIG_H
#define TEST_SCREEN_RIG_H

#include "base/picture.h"

/* GLYPHS: lines of a few letters, the same in all pictures, at any place, some in colour. */
enum paint { PAINT_FLAT, PAINT_NOISE, PAINT_SMOOTH, PAINT_TEXT, PAINT_GLYPHS, PAINT_KINDS };

void rng_seed(uint32_t seed);
uint32_t rng(uint32_t below);
void paint(struct picture *p, struct rect r, enum paint kind);
struct rect random_rect(const struct picture *p);
/* Paints and moves here and there, and says so in its damage. */
void change(struct picture *p);
/* Part of another picture of the same size, at its place. Damage is added. */
void copy_part(struct picture *to, const struct picture *from, struct rect r);
/* Is what was decoded the reconstruction, which may be larger? Prints where not. */
bool same(const struct picture *rec, const struct picture *got);
bool equals_source(const struct picture *src, const struct picture *got);

#endif
