/* params: VPS, SPS, PPS and slice headers of the screen encoder (H.265 7.3.2, 7.3.6), and the NAL
 * unit around them. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_PARAMS_H
#define HEVCAST_ENCODE_SCREEN_PARAMS_H

#include "encode/encoder.h"

enum {
    SCREEN_CTB_LOG2 = 6,
    SCREEN_CTB = 64,
    SCREEN_POC_BITS = 12,         /* two thousand pictures may be lost in a row */
    SCREEN_PPS_IDS = 7,
    SCREEN_PPS_WAVEFRONTS = 8,    /* added to the PPS id of a picture with wavefronts */
    SCREEN_INIT_QP = 26,
    SCREEN_CHROMA_QP_OFFSET = -3, /* coloured text: chroma is sharper than film would need it */
    SCREEN_MERGE_CANDIDATES = 5,
};

struct screen_params {
    enum pix_fmt fmt;
    int coded_width, coded_height; /* multiples of 8 */
    int width, height;             /* shown; even for 4:2:0 */
    int level_idc;
    int dpb_size; /* pictures of the decoder's buffer, the one it decodes included */
    int pps_id;   /* 1 … SCREEN_PPS_IDS, another for each IDR picture: see params_write_sets */
    bool wavefronts; /* pictures may have a substream for each row of tree blocks */
};

/* Slice segment data that ends at a byte: of the whole picture, or of a row of tree blocks. */
struct substream {
    const uint8_t *data;
    size_t len;
};

struct slice_params {
    bool key;    /* IDR, else P */
    bool wavefronts; /* each row of tree blocks is a substream */
    int poc;     /* since the IDR */
    int qp;      /* SliceQpY */
    int pps_id;
    int before;  /* reference 0 is the picture so much before in POC; 0: the first long-term one */
    int n_refs;  /* num_ref_idx_active */
    int n_lt;
    struct {
        int poc;
        bool used; /* it is a reference of this picture */
    } lt[16];    /* those used first, in the order of their indices */
};

/* The window, the level and the picture buffer. The level is the lowest that fits, or one with room
 * for 16 pictures, where config->max_level_idc allows it. */
void params_choose(struct screen_params *p, const struct encoder_config *config);
/* Appends the parameter sets, and an SEI message that says that this stream can be gone on
 * with after a loss at any picture of which the references are there. That is so because a
 * slice's PPS id modulo 8 tells to which IDR picture its POC belongs. There are two PPSs where
 * pictures may have wavefronts, which cost small pictures more than they gain. false: out of memory. */
bool params_write_sets(struct access_unit *au, const struct screen_params *p);
/* Appends a slice segment that is the whole picture: its header and its data, with emulation
 * prevention (7.4.2); n: of the wavefronts, of which the header tells the entry points, or 1. */
bool params_write_slice(struct access_unit *au, const struct slice_params *s,
                        const struct substream *streams, int n);

#endif
