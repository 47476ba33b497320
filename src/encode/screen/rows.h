/* rows: codes the tree blocks of a picture, after it was planned, and keeps it within its bytes.
 *
 * With a pool, and enough to do, each row of tree blocks has its own arithmetic coder (wavefront parsing,
 * entropy_coding_sync_enabled_flag): it begins with the contexts that the row above had after two
 * tree blocks, so several threads of the encoder, and of the decoder, work on rows beside each other,
 * each two blocks behind the one above. What a row decides depends only on blocks that are done
 * then at any speed, so the bits are the same with any number of threads. */
#ifndef HEVCAST_ENCODE_SCREEN_ROWS_H
#define HEVCAST_ENCODE_SCREEN_ROWS_H

#include "encode/screen/coder.h"
#include "encode/screen/rate.h"

struct pool;

/* All pointers are borrowed for the call. Maps are of the whole picture. */
struct rows_job {
    const struct coder *coder; /* what the rows share; frames and vectors are set */
    const struct rate *rate;
    const struct rate_work *work;
    double budget;             /* bytes */
    int qp, slice_qp;          /* qp: of what is coded first, or RATE_LOSSLESS */
    block_match *match;        /* MATCH_KEEP everywhere afterwards */
    uint8_t *todo, *inexact;   /* as in screen.c; todo: all 0 afterwards */
    const uint8_t *bin;
    const uint8_t *before;     /* inexact as it was in the picture before */
    struct dpb *dpb;           /* its frames alone are written to */
    const uint8_t *given;      /* of each tree block: it stands in the reconstruction already */
};

struct rows_result {
    int qp;           /* of what was coded last */
    double estimated; /* bytes, of what was coded at its QPs */
    size_t bytes;
    int more_inexact; /* blocks than before */
};

struct rows;
/* pool: borrows; NULL: one arithmetic coder for the picture. NULL: out of memory. */
struct rows *rows_new(const struct geometry *g, struct pool *pool);
void rows_free(struct rows **r);
/* false: out of memory. */
bool rows_code(struct rows *r, const struct rows_job *job, struct rows_result *out);
/* The substreams of the slice: one, or with wavefronts one for each row; borrowed until the next call. */
const struct substream *rows_streams(const struct rows *r, int *count);

#endif
