/* intra: prediction of a block from the samples around it, H.265 8.4.4.2. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_INTRA_H
#define HEVCAST_ENCODE_SCREEN_INTRA_H

#include <stdbool.h>
#include <stdint.h>

enum { INTRA_PLANAR = 0, INTRA_DC = 1, INTRA_HORIZONTAL = 10, INTRA_VERTICAL = 26,
       INTRA_MODES = 35 };

/* [0] is the corner; then 2n samples down or to the right. */
struct intra_edges {
    uint8_t left[65], top[65];
};

/* How many samples around a block are there: downward from its first row, to the right from its
 * first column; at most 2n. The corner is where both are: everything is one slice. */
struct intra_available {
    int left, top;
};

/* 8.4.4.2.2: gathers the edges of the n×n block at p; what is missing is substituted. */
void intra_gather(struct intra_edges *e, const uint8_t *p, int stride, int n,
                  const struct intra_available *a);
/* 8.4.4.2.3, [1 2 1] along the edges. */
void intra_smooth(struct intra_edges *out, const struct intra_edges *in, int n);
/* Does this mode use smoothed edges? Luma, or chroma of 4:4:4. */
bool intra_smoothed(int mode, int n);
/* e: smoothed if so. luma: with the edge filters of DC, horizontal, vertical for n below 32. */
void intra_predict(uint8_t *dst, int stride, int n, int mode, const struct intra_edges *e,
                   bool luma);

#endif
