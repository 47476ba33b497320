/* params: VPS, SPS, PPS and slice headers of the screen encoder (H.265 7.3.2, 7.3.6), and the NAL
 * unit around them. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_PARAMS_H
#define HEVCAST_ENCODE_SCREEN_PARAMS_H

#include "base/picture.h"

enum {
    SCREEN_CTB_LOG2 = 6,
    SCREEN_CTB = 64,
    SCREEN_POC_BITS = 16,
    SCREEN_INIT_QP = 26,
    SCREEN_CHROMA_QP_OFFSET = -3, /* coloured text: chroma is sharper than film would need it */
    SCREEN_MERGE_CANDIDATES = 5,
};

struct screen_params {
    enum pix_fmt fmt;
    int coded_width, coded_height; /* multiples of 8 */
    int width, height;             /* shown; even for 4:2:0 */
    int level_idc;
};

struct slice_params {
    bool key;   /* IDR, else P with the picture before as its only reference */
    int poc;    /* since the IDR */
    int qp;     /* SliceQpY */
};

/* Appends the three parameter sets. false: out of memory. */
bool params_write_sets(struct access_unit *au, const struct screen_params *p);
/* Appends a slice segment that is the whole picture: its header and `data`, with emulation
 * prevention (7.4.2). */
bool params_write_slice(struct access_unit *au, const struct slice_params *s, const uint8_t *data,
                        size_t len);

#endif
