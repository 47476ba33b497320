/* content: what a new picture holds that the last one did not, cell by cell.
 *
 * A cell is 64x64 luma samples (one coding tree block). For every row of a cell a hash of its
 * samples is kept; a row of a damaged cell is then unchanged, moved (its hash stands elsewhere in
 * the same column of the last picture: it scrolled), or novel. A small histogram of how steep its
 * samples are says how many bits a cell takes at each QP. Pure; one thread. */
#ifndef HEVCAST_ENCODE_CONTENT_H
#define HEVCAST_ENCODE_CONTENT_H

#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>

enum { CELL = 64, CELL_BINS = 9, QP_NEVER = 255 };

struct cell {
    uint16_t hist[CELL_BINS];  /* of the dirty part: samples by steepness 0, 1, 2–3, 4–7, …
                                  128–255, of 4096 */
    uint16_t whole[CELL_BINS]; /* the same of the whole cell, about */
    uint16_t dirty_area;      /* luma samples to be coded, 0: none */
    uint8_t novel;            /* 0…255: the share of the dirty rows that is new */
    uint8_t qp;               /* the coarsest with which a part of it was coded; QP_NEVER at first */
    struct rect dirty;        /* in the picture, rounded outward to 8; empty when dirty_area is 0 */
};

struct content {
    int width, height, cols, rows;
    enum pix_fmt fmt;
    struct cell *cells; /* owns; rows × cols */
    uint64_t *hashes;   /* owns; height × cols: of each row of each cell of the last picture */
    uint64_t *set;      /* owns; those of the column at work, open addressing */
    bool known;         /* the hashes are those of the last picture */
};

/* false: out of memory (free it all the same). */
bool content_init(struct content *c, enum pix_fmt fmt, int width, int height);
void content_free(struct content *c);
/* Looks at the damaged cells of pic; afterwards `dirty` of each cell is what differs from the
 * last picture. all: everything is dirty and novel (a key frame). */
void content_update(struct content *c, const struct picture *pic, const struct damage *damage,
                    bool all);
/* Nothing is dirty (before cells are chosen for a refinement). */
void content_clean(struct content *c);
struct rect content_cell_rect(const struct content *c, int index);

#endif
