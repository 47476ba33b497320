/* HEVC NAL units (H.265 section 7): Annex B scanning, types, parameter sets. Pure. */
#ifndef HEVCAST_HEVC_NAL_H
#define HEVCAST_HEVC_NAL_H

#include "base/picture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nal_type { /* H.265 table 7-1 */
    NAL_TRAIL_N = 0, NAL_TRAIL_R = 1, NAL_RASL_R = 9,
    NAL_BLA_W_LP = 16, NAL_IDR_W_RADL = 19, NAL_IDR_N_LP = 20, NAL_CRA = 21, NAL_IRAP_LAST = 23,
    NAL_VPS = 32, NAL_SPS = 33, NAL_PPS = 34, NAL_AUD = 35, NAL_EOS = 36, NAL_EOB = 37, NAL_FD = 38,
    NAL_SEI_PREFIX = 39, NAL_SEI_SUFFIX = 40,
};

struct nal {
    const uint8_t *data; /* borrows; begins with the two-byte NAL header, no start code */
    size_t len;
};
static inline int nal_type(const struct nal *n) { return n->data[0] >> 1 & 0x3f; }
static inline int nal_layer(const struct nal *n) { return (n->data[0] & 1) << 5 | n->data[1] >> 3; }
static inline int nal_tid(const struct nal *n) { return (n->data[1] & 7) - 1; }
static inline bool nal_is_vcl(int type) { return type < 32; }
static inline bool nal_is_irap(int type) { return type >= 16 && type <= 23; }

/* Walks Annex B: start with *pos = 0; false at the end. Trailing zero bytes are cut; NALs shorter
 * than the 2-byte header are skipped. */
bool annexb_next(const uint8_t *data, size_t len, size_t *pos, struct nal *out);
bool au_append_nal(struct access_unit *au, const uint8_t *nal, size_t len); /* with start code */

/* What hevcast needs of an SPS (7.3.2.2 and E.2.1). */
struct hevc_sps {
    int id, vps_id;
    int profile_idc, tier, level_idc;
    uint32_t profile_compat_flags;
    uint8_t constraint_flags[6];
    int chroma_format_idc, bit_depth_luma, bit_depth_chroma;
    int width, height;         /* after the conformance window */
    int coded_width, coded_height;
    int max_dec_pic_buffering, max_num_reorder, max_latency_increase; /* of the highest sub-layer */
    bool has_vui_colour;
    bool full_range;
    int colour_primaries, transfer, matrix; /* 2: unspecified */
};
bool hevc_parse_sps(const struct nal *nal, struct hevc_sps *out); /* false: malformed */

/* hvcC (ISO 14496-15 8.3.3) to Annex B parameter sets and the NAL length size. false: malformed. */
bool hvcc_to_annexb(const uint8_t *hvcc, size_t len, struct access_unit *out, int *nal_length_size);
/* A length-prefixed sample to Annex B, appended. */
bool hvcc_sample_to_annexb(const uint8_t *data, size_t len, int nal_length_size,
                           struct access_unit *out);

/* Remembers the newest VPS, SPS and PPS by id, and puts them in front of an IRAP that lacks them. */
struct param_sets;
struct param_sets *param_sets_new(void);
void param_sets_free(struct param_sets **p);
void param_sets_learn(struct param_sets *p, const struct access_unit *au);
/* Learns from au too. Rewrites it so that, when it is IRAP, it begins with VPS, SPS and PPS (7.4.2.4.4); drops AUD,
 * filler, EOS and EOB; sets au->irap, width, height (size of the active SPS). An IRAP picture whose
 * parameter sets were never seen cannot be decoded: irap is then false. false: no memory. */
bool param_sets_complete(struct param_sets *p, struct access_unit *au);
/* Of the last IRAP picture, or learned after it; NULL: none. Borrowed until the next call. */
const struct hevc_sps *param_sets_sps(const struct param_sets *p);

/* Cuts a stream of Annex B bytes, in pieces of any size, into access units (7.4.2.4.5). One is
 * given as soon as the first three bytes of the next one's first NAL unit are in.
 * Bounded: an access unit over max_bytes is dropped and counted; the next one is after_loss.
 * push: false when out of memory. */
struct au_splitter;
struct au_splitter *au_splitter_new(size_t max_bytes);
void au_splitter_free(struct au_splitter **s);
bool au_splitter_push(struct au_splitter *s, const uint8_t *data, size_t len);
void au_splitter_end(struct au_splitter *s);              /* no more input: the last one is whole */
struct access_unit *au_splitter_pop(struct au_splitter *s); /* gives; NULL: none is whole yet */
int64_t au_splitter_dropped(const struct au_splitter *s);

/* Of a user_data_unregistered SEI message (D.2.7) before an IRAP picture: each PPS id modulo 8 stands
 * for one IRAP picture and those after it. So a receiver can tell to which one a slice's POC is relative,
 * and may go on after a loss at any picture of which it has the references. */
extern const uint8_t hevc_resume_uuid[16];

#endif
