/* dpb: the pictures that the decoder keeps for reference (H.265 C.5.2), as the encoder needs them:
 * their samples, and of each 8x8 block a hash of its source and how exact it is.
 *
 * A picture owns only those tiles (tree blocks) in which the reconstruction has changed since;
 * the others are still the encoder's own. Tiles are shared between pictures. Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_DPB_H
#define HEVCAST_ENCODE_SCREEN_DPB_H

#include "encode/screen/frame.h"

enum {
    DPB_MOST = 15,  /* besides the picture that is being coded; table A.8 allows 16 in all */
    REFS_MAX = 8,   /* reference indices of one picture (A.4.2) */
    DPB_TILE = 64,  /* luma samples a side: SCREEN_CTB */
    DPB_TILE_BLOCKS = 64,
};

struct dpb_tile {
    int users;
    struct dpb_tile *next_free;
    uint64_t hash[DPB_TILE_BLOCKS];   /* of the source of each 8x8 block, by rows of 8 */
    uint8_t inexact[DPB_TILE_BLOCKS]; /* as in screen.c */
    uint8_t samples[];                /* planes one after the other, DPB_TILE >> cshift wide */
};

struct dpb_picture {
    uint64_t pic_id;
    int poc;
    bool acked;    /* every viewer has it */
    bool waits;    /* kept until it is acknowledged, to become what repairs refer to */
    bool memory;   /* kept since it was on the screen for a while */
    uint64_t used; /* number of the picture that referred to it, or stored it, last */
    struct dpb_tile **tile; /* owns; NULL: as the encoder's reconstruction now */
};

struct dpb {
    const struct geometry *g; /* borrows */
    struct dpb_picture *pic[DPB_MOST + 1]; /* in decoding order; all owned */
    int n;
    struct dpb_picture *spare;
    struct dpb_tile *free; /* a list */
    size_t tiles;          /* that are in use */
};

/* What the encoder has now, of which tiles are taken. */
struct dpb_now {
    struct frame rec;
    const uint64_t *hash;   /* of each 8x8 block of the picture, w8 wide */
    const uint8_t *inexact;
};

void dpb_init(struct dpb *d, const struct geometry *g);
void dpb_clear(struct dpb *d); /* frees all */
void dpb_empty(struct dpb *d); /* an IDR picture: drops all pictures */
/* The reconstruction, as it is now, becomes the newest picture. NULL: out of memory. */
struct dpb_picture *dpb_add(struct dpb *d, uint64_t pic_id, int poc);
void dpb_drop(struct dpb *d, int i);
struct dpb_picture *dpb_find(struct dpb *d, uint64_t pic_id);
/* Before tile t of the reconstruction is written: those of the first `count` pictures that have it
 * get it as their own. false: out of memory. */
bool dpb_detach(struct dpb *d, int count, int t, const struct dpb_now *now);
/* Tile t of the picture to the reconstruction, which must not be the picture's own; its hashes
 * and exactness go to hash[] and inexact[] by rows of 8. */
void dpb_restore(struct dpb *d, struct dpb_picture *p, int t, const struct frame *rec);
/* Blocks in which the picture's source is another than that of `hash`; counts up to `most`. */
int dpb_differs(const struct dpb *d, const struct dpb_picture *p, const uint64_t *hash, int most);
/* The samples that a picture has at a place, in a tile that is its own. */
void dpb_predict(const struct dpb_picture *p, const struct geometry *g, int plane, int x, int y,
                 int w, int h, uint8_t *dst, int stride);

#endif
