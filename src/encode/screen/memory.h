/* memory: what the encoder keeps of pictures that went before, and what the next one refers to.
 *
 *   the picture before        reference 0, short-term; all others are long-term ones
 *   one that waits            kept until every viewer acknowledges it, then it is
 *   the anchor                the newest that all viewers have: a loss is repaired from there
 *   memories                  what was on the screen for a while before much of it changed:
 *                             the other window, the other slide; found again by hashes
 *
 * Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_MEMORY_H
#define HEVCAST_ENCODE_SCREEN_MEMORY_H

#include "encode/screen/coder.h"

struct memory {
    struct dpb dpb;
    const struct geometry *g; /* borrows */
    int capacity;      /* pictures to refer to, the one before included */
    bool acks;         /* viewers acknowledge: an anchor is kept */
    uint64_t *hash;    /* owns; of the source's 8x8 blocks, as coded last */
    uint64_t *fresh;   /* owns; of those that are dirty */
    uint16_t *found;   /* owns; of each block of a changed tile: the pictures that have it */
    bool matched;      /* fresh[] and found[] are of this picture */
    int changed;       /* blocks that are neither kept nor moved in this picture */
    uint64_t count;    /* pictures that were coded */
    int poc;           /* of the picture that is coded now */
    int calls;         /* since much changed, of the encoder */
    int64_t changed_pts_us; /* when that was */
    bool keep_last;    /* the picture before stays when this one is coded */
    bool no_last;      /* this picture does not refer to the one before */
};

/* The planes and maps of the encoder that a repair takes back. */
struct canvas {
    struct frame rec;
    uint8_t *inexact, *dirty, *todo;
    bool *stale;
    int n_inexact;
};

bool memory_init(struct memory *m, const struct geometry *g, int capacity);
void memory_clear(struct memory *m);
/* Before an IDR picture. */
void memory_empty(struct memory *m);

/* Looks for the blocks of the tiles to do in the pictures kept: gives them bits in c->match and
 * vectors that refer to those pictures. For dirty blocks pic is the new source. */
void memory_hash(struct memory *m, const struct picture *pic, const uint8_t *dirty,
                 const uint8_t *todo);
/* How many of the dirty blocks one picture has. */
int memory_best(const struct memory *m, const uint8_t *dirty);
/* Gives blocks that are found bits of c->match, and the pictures reference indices. */
void memory_match(struct memory *m, struct coder *c, block_match *match, const uint8_t *dirty,
                  const uint8_t *todo);
/* How exact a block is that is coded by this match: the QP it has in the picture that it comes
 * from; 0: it is coded anew, or moved, or exact. */
int memory_inexact(const struct coder *c, block_match match, int t, int in_tile);
/* Decides what stays, before the tiles to do are written, and keeps what they are now. pts_us: of
 * the new picture. false: out of memory. */
bool memory_begin(struct memory *m, struct coder *c, const struct dpb_now *now,
                  const uint8_t *todo, const uint8_t *dirty, int64_t pts_us);
/* The reference picture set of this picture, and which of it it refers to. */
void memory_slice(struct memory *m, const struct coder *c, struct slice_params *out);
/* The pictures that this one refers to; how many. */
int memory_refs(const struct memory *m, const struct coder *c, uint64_t out[REFS_MAX]);
/* The picture was coded. false: out of memory. */
bool memory_end(struct memory *m, uint64_t pic_id, bool key);
/* Is there a picture that all viewers have? */
bool memory_can_repair(const struct memory *m);
/* Every viewer has this picture. */
void memory_acked(struct memory *m, uint64_t pic_id);
/* Takes the canvas back to the newest picture that all viewers have, and forgets those that they
 * may not have; blocks whose source is another now are dirty. There must be one. */
void memory_repair(struct memory *m, struct canvas *canvas);

#endif
