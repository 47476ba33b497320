/* rate: how many bytes blocks take at each QP, learnt from every picture.
 *
 * Model: an 8x8 block of which neighbours differ by `a` on average takes
 * scale · samples · ½ log2(1 + (a / step(QP))²) bits, where lossless is a step of half a sample.
 * Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_RATE_H
#define HEVCAST_ENCODE_SCREEN_RATE_H

#include <stddef.h>
#include <stdint.h>

enum { RATE_BINS = 24, RATE_QP_MIN = 10, RATE_QP_MAX = 51, RATE_LOSSLESS = 0 };

struct rate {
    double scale[2][2]; /* [lossless][first time or refinement] */
    float unit[RATE_QP_MAX + 1][RATE_BINS]; /* bytes of a block without the scale; 0: lossless */
};

/* What is to be coded: how many blocks of each activity. */
struct rate_work {
    int blocks[RATE_BINS];
    int refine; /* 0 or 1 */
};

void rate_init(struct rate *r);
/* activity: of kernels.activity for 8x8 */
int rate_bin(uint32_t activity);
/* Bytes; qp may be RATE_LOSSLESS. */
double rate_estimate(const struct rate *r, const struct rate_work *w, int qp);
/* The finest that fits: RATE_LOSSLESS, or RATE_QP_MIN … RATE_QP_MAX. */
int rate_pick(const struct rate *r, const struct rate_work *w, size_t budget);
/* A picture that was estimated at so many bytes took so many. */
void rate_learn(struct rate *r, int qp, int refine, double estimated, size_t bytes);

#endif
