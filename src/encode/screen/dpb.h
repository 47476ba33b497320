/* dpb: the pictures that the decoder keeps for reference (H.265 C.5.2), as the encoder needs them:
 * their samples, and of each 8x8 block how exact it is.
 *
 * The reconstruction stands in one of several frames. A picture owns only those tiles (tree blocks)
 * in which the reconstruction has changed since; the others are still the encoder's own. When most
 * of a picture changes, the encoder goes on in another frame, and the tiles of those that stay are
 * views of the one that was left; else they are copies. A picture that is on the screen again gives
 * its frame back: nothing is copied. Tiles are shared between pictures. Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_DPB_H
#define HEVCAST_ENCODE_SCREEN_DPB_H

#include "encode/screen/frame.h"

enum {
    DPB_MOST = 15,  /* besides the picture that is being coded; table A.8 allows 16 in all */
    REFS_MAX = 8,   /* reference indices of one picture (A.4.2) */
    DPB_TILE = 64,  /* luma samples a side: SCREEN_CTB */
    DPB_TILE_BLOCKS = 64,
    DPB_FRAMES_MOST = 12,
};

struct dpb_frame {
    struct picture *pic; /* owns */
    struct frame at;
    int views;           /* tiles that stand here; 0 in the one that is written */
    uint64_t *content;   /* owns; of each tile: a number of what stands there, 0: nothing */
};

struct dpb_tile {
    int users;
    bool exact;           /* all of it: inexact and hash say nothing */
    struct dpb_tile *next_free;
    struct dpb_frame *in; /* borrows; it is a view of this frame. NULL: it has its own samples */
    struct frame at;      /* the planes from its first samples on */
    uint8_t inexact[DPB_TILE_BLOCKS]; /* as in screen.c, by rows of 8; unless exact */
    uint64_t hash[DPB_TILE_BLOCKS];   /* of the source of each block that is inexact */
    uint8_t samples[];                /* of its own */
};

static inline int dpb_tile_inexact(const struct dpb_tile *tile, int i)
{
    return tile->exact ? 0 : tile->inexact[i];
}

struct dpb_picture {
    uint64_t pic_id;
    int poc;
    bool acked;    /* every viewer has it */
    bool waits;    /* kept until it is acknowledged, to become what repairs refer to */
    bool memory;   /* kept since it was on the screen for a while */
    bool shown;    /* the picture that is coded has what it has */
    uint64_t used; /* number of the picture that referred to it, or stored it, last */
    struct dpb_tile **tile; /* owns; NULL: as the encoder's reconstruction now */
};

struct dpb {
    const struct geometry *g; /* borrows */
    struct dpb_picture *pic[DPB_MOST + 1]; /* in decoding order; all owned */
    int n;
    struct dpb_picture *spare;
    struct dpb_frame *frame[DPB_FRAMES_MOST]; /* owned */
    int n_frames;
    struct dpb_frame *now;    /* the reconstruction */
    struct dpb_frame *before; /* the one before this picture; it may be the same */
    uint64_t contents;        /* the number that what is written gets: another for each picture */
    struct dpb_tile *free[2]; /* lists: views, and those with samples */
    size_t bytes;             /* allocated in all, but for some pointers */
};

bool dpb_init(struct dpb *d, const struct geometry *g); /* false: out of memory */
void dpb_clear(struct dpb *d); /* frees all; of a zeroed one nothing */
void dpb_empty(struct dpb *d); /* an IDR picture: drops all pictures */
/* The reconstruction, as it is now, becomes the newest picture. NULL: out of memory. */
struct dpb_picture *dpb_add(struct dpb *d, uint64_t pic_id, int poc);
void dpb_drop(struct dpb *d, int i);
struct dpb_picture *dpb_find(struct dpb *d, uint64_t pic_id);
/* Frees what is not in use. */
void dpb_trim(struct dpb *d);

/* Before tile t of the reconstruction is changed: those of the first `count` pictures that have it
 * get it as their own: *own, which is set for the first of them, for the caller to say how exact
 * it is; else NULL. view: the encoder leaves the frame. false: out of memory. */
bool dpb_detach(struct dpb *d, int count, int t, bool view, struct dpb_tile **own);
/* The next picture is written to another frame; the tiles to do are left out. false: out of memory. */
bool dpb_leave(struct dpb *d, const uint8_t *todo);
/* The same, but the frame is that of p's tiles: those given become the reconstruction, as they are,
 * and p's own no more. given: on return those for which that was possible. *done: whether it was
 * worth it. false: out of memory. */
bool dpb_adopt(struct dpb *d, const struct dpb_picture *p, const uint8_t *todo, uint8_t *given,
               bool *done);
/* A tile that was to do is not written after all. */
void dpb_carry(struct dpb *d, int t);
/* Is what is kept of tile t in the frame that is written already? Else it is to be copied. */
static inline bool dpb_is_carried(const struct dpb *d, int t)
{
    return d->now->content[t] == d->before->content[t];
}
/* Tile t was written. Like dpb_carry this is for any thread, for tiles of its own. */
void dpb_wrote(struct dpb *d, int t);
/* Tile t of the picture to the reconstruction, which must not be the picture's own. */
void dpb_restore(struct dpb *d, const struct dpb_picture *p, int t);
/* The samples that a picture has at a place, in a tile that is its own. */
void dpb_predict(const struct dpb_picture *p, const struct geometry *g, int plane, int x, int y,
                 int w, int h, uint8_t *dst, int stride);

#endif
