/* formulas: the decoding process of H.265, written as the text has it, sample by sample and without
 * a thought of speed: what the screen encoder's own prediction and reconstruction are compared with.
 * For 8 bits; strong_intra_smoothing, constrained intra prediction and scaling lists are off, as in
 * the encoder's parameter sets. */
#ifndef TEST_SCREEN_FORMULAS_H
#define TEST_SCREEN_FORMULAS_H

#include "encode/screen/frame.h"

/* p[-1][y] is left[y + 1], p[x][-1] is top[x + 1]; the corner is [0] of both. */
struct border {
    int left[65], top[65];
    bool left_there[65], top_there[65];
};

/* 6.5.2 with tree blocks of 64 and minimum transform blocks of 4: z-scan address of a place. */
unsigned formula_z_address(const struct geometry *g, int x, int y);
/* 6.4.1: is (xn, yn) there for the block at (x, y)? All is one slice. */
bool formula_available(const struct geometry *g, int x, int y, int xn, int yn);

/* 8.4.4.2.2: what is not there is substituted. */
void formula_substitute(struct border *b, int n);
/* 8.4.4.2.3 to .6: n×n samples; plane and chroma444 decide about filters. b: substituted. */
void formula_intra(uint8_t *out, int n, int mode, int plane, bool chroma444, const struct border *b);
/* All of 8.4.4.2.1: the block at (x, y) of a plane, from what is around it. */
void formula_intra_at(uint8_t *out, const struct geometry *g, const struct frame *f, int plane,
                      int x, int y, int n, int mode);

/* 8.6.1: the QP of a plane (without an offset in the slice). */
int formula_qp(const struct geometry *g, int plane, int qp_y, int offset);
/* 8.6.4.2: the inverse DCT, or the DST of 4x4. */
void formula_inverse(const int16_t *coef, int16_t *res, int n, bool dst);
/* 8.6.2 to 8.6.4: the residual of levels. qp: of the plane. */
void formula_residual(const int16_t *level, int16_t *res, int log2, int qp, bool skip, bool dst);

/* 8.5.3.3.3: one sample of a plane at (x, y) moved by a vector in quarter luma samples. */
int formula_inter(const struct geometry *g, const struct frame *ref, int plane, int x, int y,
                  int mvx, int mvy);

#endif
