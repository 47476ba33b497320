/* coder: the state of the picture being coded, shared by the files that code its units.
 *
 *   ctu.c        which units a tree block is split into, and how each is coded
 *   cu_code.c    prediction, transform and reconstruction of one unit
 *   mode.c       which intra mode suits a block
 *   vector.c     which vector suits a unit
 *   trial.c      which of several ways to code a small unit takes least
 *   cu_write.c   its syntax
 *   inter.c      merge candidates, vector prediction, motion compensation
 *
 * Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_CODER_H
#define HEVCAST_ENCODE_SCREEN_CODER_H

#include "encode/screen/cabac.h"
#include "encode/screen/dpb.h"
#include "encode/screen/frame.h"
#include "encode/screen/intra.h"
#include "encode/screen/kernels.h"
#include "encode/screen/params.h"

#include <stddef.h>

struct mv {
    int16_t x, y; /* quarter luma samples; whole ones alone are used */
    uint8_t ref;  /* reference index; of others than 0 only what stands at the same place */
};

enum { MV_NONE_REF = 0xff };
#define MV_NONE ((struct mv){0, 0, MV_NONE_REF})

static inline bool mv_same(struct mv a, struct mv b)
{
    return a.x == b.x && a.y == b.y && a.ref == b.ref;
}

/* Of each 8x8 block, what its neighbours' syntax asks for. The default, all but `inter` and
 * `skip` 0, is a skipped tree block that did not move; only coded tree blocks differ from it. */
struct block_info {
    union {
        struct {
            struct mv mv, second; /* inter; second: of its other half, if it has two */
        };
        uint8_t mode[4]; /* intra; of each 4x4 block */
    };
    bool inter : 1, skip : 1;
    uint8_t depth : 2, parts : 2;
};

enum { MATCH_KEEP = 1, MATCH_VECTORS = 7 };

/* What the driver says of each 8x8 block: bit 0: keep what the reference has at the same place;
 * bit k: vector k - 1 points to just that; none: code it. */
typedef uint8_t block_match;

struct quantizer {
    int forward[2], scale[2], per[2]; /* luma, chroma: scales and qp / 6 */
    struct quant4 four[2][2];         /* of 4x4: [chroma][intra] */
};

struct coder {
    const struct geometry *g;
    const struct kernels *k;
    struct frame src, ref, rec; /* borrow; rec may be ref when no vector but 0 is used */
    const struct dpb_picture *memory[REFS_MAX]; /* borrow; reference indices from 1 on */
    int n_refs;                 /* num_ref_idx_active */
    bool first_long;            /* reference 0 is a long-term one too; all others always are */
    struct block_info *info;    /* borrows; w8 × h8 */
    const block_match *match;   /* borrows; w8 × h8 */
    const struct mv *found;     /* borrows; of blocks to be coded: where ref has the same, or MV_NONE;
                                   NULL: nothing is known */
    const uint8_t *dirty;       /* borrows; w8 × h8: when rec is ref, those not dirty alone stay readable;
                                   NULL: none */
    bool *plain;                /* borrows; of each tree block: it was kept: its info is of skipped
                                   units that did not move, as large as they can be */
    struct mv vectors[MATCH_VECTORS];
    int n_vectors;
    struct cabac cabac;
    bool key;
    bool lossless;   /* of units that are coded: cu_transquant_bypass */
    int qp;          /* of this tree block */
    int qp_before;   /* qPY_PRED: of the last that coded one */
    bool qp_written; /* in this tree block */
    struct quantizer quant;
    uint32_t lambda; /* squared error of one bit, 1/256 */
    uint32_t root_lambda; /* its root: what a bit is worth in absolute differences, 1/16 */
    uint16_t *activity; /* borrows; of each 8x8 block that is to be coded: kernels.activity */
    int ctb_x, ctb_y;
    bool thorough;   /* little is new: several ways to code it are tried */
    bool fill;       /* what is kept of this tree block is to be copied from ref to rec */
    bool given;      /* this tree block is a memory's, and stands in rec already */
};

enum { CU_MAX = 32 };

/* Whether a unit has one vector, or its halves have their own (of 8x8 alone): PART_2Nx2N, PART_2NxN
 * and PART_Nx2N of table 7-10. */
enum parts { PARTS_ONE, PARTS_ROWS, PARTS_COLUMNS };

/* How the vector of a unit or of a half is told. */
struct vector_code {
    bool merge;
    int merge_idx, mvp_idx;
    struct mv mvd;
};

/* A coding unit, and its levels. Transform blocks: one, or four of half the size. */
struct cu {
    int x, y, log2;
    bool inter, skip, lossless, nxn, split;
    enum parts parts;
    struct mv mv, second;       /* second: of the lower or right half, if there are two */
    struct vector_code vector[2];
    uint8_t mode[4];   /* intra luma; all the same unless nxn */
    uint8_t probable[4][3]; /* the modes that were most probable for each; [0] unless nxn */
    uint8_t mode_left[2], mode_above[2]; /* of the 4x4 blocks beside an nxn unit, as 8.4.2 has them */
    uint8_t cbf[3];    /* a bit for each transform block */
    uint8_t tskip[3];
    int16_t level[3][CU_MAX * CU_MAX];
};

static inline struct block_info *coder_info(const struct coder *c, int x, int y)
{
    return &c->info[(y >> 3) * c->g->w8 + (x >> 3)];
}

/* 6.5.2: z-scan order of 4x4 blocks within a tree block: the bits of x and y interleaved. */
static inline unsigned coder_z_inside(int x, int y)
{
    static const uint8_t bits[16] = {0,  1,  4,  5,  16, 17, 20, 21,
                                     64, 65, 68, 69, 80, 81, 84, 85};
    return bits[x >> 2 & 15] | (unsigned)bits[y >> 2 & 15] << 1;
}

/* The same in the picture, a tree block after the other. */
static inline unsigned coder_z_address(const struct coder *c, int x, int y)
{
    unsigned ctb = (unsigned)((y >> SCREEN_CTB_LOG2) * c->g->ctb_cols + (x >> SCREEN_CTB_LOG2));
    return ctb << 8 | coder_z_inside(x, y);
}

/* 6.4.1: is the block that holds (xn, yn) coded before the one at (x, y)? In 4x4 blocks. */
static inline bool coder_available(const struct coder *c, int x, int y, int xn, int yn)
{
    if (xn < 0 || yn < 0 || xn >= c->g->cw || yn >= c->g->ch)
        return false;
    if (((x ^ xn) | (y ^ yn)) >> SCREEN_CTB_LOG2 == 0)
        return coder_z_inside(xn, yn) < coder_z_inside(x, y);
    return coder_z_address(c, xn, yn) < coder_z_address(c, x, y);
}

void coder_set_qp(struct coder *c, int qp);

/* What has a vector: a unit, or one of its halves. */
struct prediction_unit {
    const struct cu *cu;
    int x, y, w, h;
    int index; /* 1: the second half */
};

struct prediction_unit inter_part(const struct cu *cu, int index);

/* inter.c */
int inter_merge_list(const struct coder *c, const struct prediction_unit *u, struct mv list[5]);
/* ref: the reference index that is to be predicted for. */
void inter_mvp_list(const struct coder *c, const struct prediction_unit *u, int ref,
                    struct mv list[2]);
/* The prediction of one plane's block, straight into dst. */
void inter_predict(const struct coder *c, int plane, int x, int y, int w, int h, struct mv mv,
                   uint8_t *dst, int stride);
/* Merge indices or predictions and differences of cu->mv, and cu->second. */
void inter_code_vector(const struct coder *c, struct cu *cu);
/* What a difference of vectors costs, 1/16 bits. */
uint32_t inter_mvd_cost(struct mv a, struct mv p);
/* What this vector would cost, 1/16 bits, with the lists of its unit. */
uint32_t inter_vector_cost(const struct mv merge[5], const struct mv mvp[2], struct mv mv);

/* vector.c */
enum { VECTORS_MOST = 5 + 1 + MATCH_VECTORS + 2 };
/* Vectors that may suit a unit and can be used there, each once; merge: its list. How many. */
int vector_candidates(const struct coder *c, const struct cu *cu, const struct mv merge[5], int n_merge,
                      struct mv list[VECTORS_MOST]);
/* What the luma of a prediction by this vector differs by. */
uint32_t vector_sad(const struct coder *c, const struct cu *cu, struct mv mv);
/* The one whose prediction of luma differs least; cost: 16 times the difference, with its bits. */
struct mv vector_best(const struct coder *c, const struct cu *cu, uint32_t *cost);
/* Where the picture before has a whole unit of n×n, or MV_NONE. */
struct mv vector_found(const struct coder *c, int x, int y, int n);

/* cu_code.c: both write the reconstruction and levels. The modes of an NxN unit are chosen on the
 * way, since each block's edges are the one's before. */
void cu_code_inter(struct coder *c, struct cu *cu);
/* The two steps of the first. */
void cu_predict_inter(struct coder *c, const struct cu *cu);
void cu_code_residual(struct coder *c, struct cu *cu);
void cu_code_intra(struct coder *c, struct cu *cu);
/* Luma edges of a block for its intra prediction. */
void cu_edges(const struct coder *c, int plane, int x, int y, int n, struct intra_edges *e);


/* 8.4.2: the three most probable modes of a part of an NxN unit, or of a whole one. */
void mode_probable(const struct coder *c, struct cu *cu, int part, int log2);
/* Before the first part of an NxN unit. */
void mode_look_around(const struct coder *c, struct cu *cu);
/* For a part that every mode predicts exactly: what mode_choose would choose. */
void mode_choose_any(const struct coder *c, struct cu *cu, int part);
/* mode.c: the intra mode whose prediction of the part's luma block differs least, into
 * cu->mode[part]; e: its edges; many: of some directions too. cost: 16 times the absolute
 * difference, with the mode's bits. */
uint32_t mode_choose(const struct coder *c, struct cu *cu, int part, int log2, bool many,
                     const struct intra_edges *e);
/* The same for a 4x4 block, by what is left to be coded. */
void mode_choose_coded(const struct coder *c, struct cu *cu, int part, const struct intra_edges *e);
static inline uint32_t mode_lambda(const struct coder *c)
{
    return c->lossless ? 4 : c->root_lambda;
}

/* trial.c: an 8x8 unit that is new, coded and written the way that takes least of several; *cu: with
 * its best vector and its best mode as a whole. */
void trial_code(struct coder *c, struct cu *cu);

/* cu_write.c */
void cu_write(struct coder *c, struct cu *cu);
/* Skipped units that did not move, as large as fit into the picture, from (x, y) on, where block_info
 * says that already, of their neighbours too. */
void cu_write_kept(struct coder *c, int x, int y, int log2);
void cu_write_split(struct coder *c, int x, int y, int depth, bool split);

/* ctu.c: codes one tree block. qp: for what is coded in it. ctu_keep: one in which nothing is. */
void ctu_code(struct coder *c, int ctb_x, int ctb_y, int qp);
void ctu_keep(struct coder *c, int ctb_x, int ctb_y);

#endif
