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
    const struct kernels *k;
    int capacity;      /* pictures to refer to, the one before included */
    bool acks;         /* viewers acknowledge: an anchor is kept */
    uint16_t *found;   /* owns; of each block of a changed tile: the pictures that have it */
    uint8_t *given;    /* owns; of each tile: it is a memory's, as it is; found[] has its bit alone */
    bool any_found;    /* found[] is not all 0 */
    bool matched;      /* found[] is of this picture */
    int changed;       /* blocks that are neither kept nor moved in this picture */
    uint64_t count;    /* pictures that were coded */
    int poc;           /* of the picture that is coded now */
    int calls;         /* since much changed, of the encoder */
    int64_t changed_pts_us; /* when that was */
    bool keep_last;    /* the picture before stays when this one is coded */
    bool no_last;      /* this picture does not refer to the one before */
};

/* What the encoder has now, of which tiles are kept: all but the samples. */
struct dpb_now {
    const struct frame *src; /* the source that was coded last */
    uint8_t *inexact;
};

/* What a repair takes back, and what it finds. */
struct canvas {
    struct dpb_now now;
    uint8_t *dirty;
    int count; /* blocks it made dirty */
};

bool memory_init(struct memory *m, const struct geometry *g, const struct kernels *k, int capacity);
void memory_clear(struct memory *m);
/* Before an IDR picture. */
void memory_empty(struct memory *m);

/* First of all, for every change: are whole tiles of the damage what a picture that is kept has? They
 * are dirty then; returns how many blocks. pic: the new source, of its own size. */
int memory_returned(struct memory *m, const struct frame *pic, const struct damage *damage,
                    uint8_t *dirty);
/* Looks for the dirty blocks that have no match, and what else is in the tiles to do, in the pictures
 * kept. Most pictures are not looked through: some samples tell whether much is there. match: NULL
 * at first, before motion is looked for: only what came back as a whole is. */
void memory_search(struct memory *m, const struct frame *pic, const uint8_t *dirty,
                   const uint8_t *todo, const block_match *match);
/* How many of the dirty blocks one picture has. */
int memory_best(const struct memory *m, const uint8_t *dirty, const uint8_t *todo);
/* Gives blocks that were found bits of c->match and vectors that refer to those pictures, and the
 * pictures reference indices. */
void memory_match(struct memory *m, struct coder *c, block_match *match, const uint8_t *dirty,
                  const uint8_t *todo);
/* Decides what stays, keeps what the tiles to do are now, and in which frame the picture is
 * written: m->dpb.now, from m->dpb.before. Tiles that are given have the right samples there; their
 * match is the memory's alone, and now->inexact is set. moved: it must be another than that before.
 * pts_us: of the new picture. false: out of memory. */
bool memory_begin(struct memory *m, struct coder *c, const struct dpb_now *now, block_match *match,
                  const uint8_t *todo, bool moved, int64_t pts_us);
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
/* Takes the reconstruction back to the newest picture that all viewers have, and forgets those that
 * they may not have; blocks of which pic is another now are dirty. There must be one. false: out of
 * memory. */
bool memory_repair(struct memory *m, const struct frame *pic, struct canvas *v);

#endif
