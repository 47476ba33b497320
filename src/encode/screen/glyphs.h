/* glyphs: where the picture before has what an 8x8 block of the new one shows.
 *
 * A screen that scrolls shows the same letters and words again and again. Every place of the picture
 * before, in steps of one sample, is in a table by a hash of the 8x8 samples that begin there;
 * each new block is looked up, what is found is compared, and of several places the one is
 * taken from which most of the blocks beside and below come too. What the table says of where it saw
 * something is a hint, no more: entries stay while the picture changes, and follow its main motion;
 * nothing is given that the source before does not have at that place.
 *
 * The table is filled with what was coded anew; the rest of a picture (the first one's) follows in
 * parts. Pure; one thread: it is asked before the rows are coded. */
#ifndef HEVCAST_ENCODE_SCREEN_GLYPHS_H
#define HEVCAST_ENCODE_SCREEN_GLYPHS_H

#include "encode/screen/coder.h"

/* All pointers are borrowed; maps are of 8x8 blocks. */
struct glyphs_job {
    const struct frame *pic;    /* the new picture, of its own size */
    const struct frame *src;    /* the source of the picture before */
    const struct frame *rec;    /* its reconstruction */
    const uint8_t *inexact;     /* of that */
    const uint8_t *dirty;       /* blocks that changed */
    const uint8_t *todo;        /* of each tree block: it has such */
    const block_match *match;   /* those that are dirty and 0 are looked for */
    const struct mv *vectors;   /* of match; the first is the main motion */
    int n_vectors;
    bool in_place;              /* only blocks that are not dirty stay readable */
};

struct glyphs;
struct glyphs *glyphs_new(const struct geometry *g, const struct kernels *k); /* borrow; NULL: out of memory */
void glyphs_free(struct glyphs **gl);
/* How many blocks are to be looked for. */
int glyphs_wanted(const struct glyphs *gl, const struct glyphs_job *job);
/* For each picture with vectors. found: of each block where the picture before has the same, or
 * MV_NONE; it is kept until the next call (borrowed from gl). Returns how many were found. */
int glyphs_find(struct glyphs *gl, const struct glyphs_job *job);
/* Other pictures: these blocks are other ones now. NULL: all. */
void glyphs_changed(struct glyphs *gl, const uint8_t *dirty);
/* While there is time: src, the last source, goes into the table by so many blocks. */
void glyphs_learn(struct glyphs *gl, const struct frame *src, int blocks);
const struct mv *glyphs_found(const struct glyphs *gl);

#endif
