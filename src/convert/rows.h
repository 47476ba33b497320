/* Rows of BGRX to BT.709 limited range: the inner loops of convert, as a table so that the plain
 * and the vector versions can be compared bit by bit. Pure; any thread. */
#ifndef HEVCAST_CONVERT_ROWS_H
#define HEVCAST_CONVERT_ROWS_H

#include <stdint.h>

/* Weights of B, G, R in 1/32768, and what is added before the shift (offset and half). */
struct row_weights {
    int16_t b, g, r;
};
/* ITU-R BT.709-6 item 3.2 to 3.4: Kr 0.2126, Kb 0.0722; luma spans 219 steps, chroma 224. The
 * chroma weights sum to exactly 0, so that grey stays grey. */
enum { ROW_SHIFT = 15 };
extern const struct row_weights row_weights_y, row_weights_u, row_weights_v;

struct row_ops {
    /* One sample a pixel: dst[i] = offset + weights · bgrx[i], rounded to nearest. */
    void (*plane)(const uint8_t *bgrx, uint8_t *dst, int n, const struct row_weights *w,
                  int offset);
    /* n samples of 4:2:0 chroma from two rows: horizontally [1 2 1]/4 around every even pixel,
     * vertically the mean of both rows. Reads the pixels -1 … 2n-1 of each row: the caller sees
     * to the edges. */
    void (*chroma420)(const uint8_t *row0, const uint8_t *row1, uint8_t *u, uint8_t *v, int n);
};
extern const struct row_ops row_ops_plain;
/* The fastest that this processor can run. */
const struct row_ops *row_ops_best(void);
/* NULL where it was not compiled in or the processor lacks AVX2. */
const struct row_ops *row_ops_avx2(void);

#endif
