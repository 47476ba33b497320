/* RFC 7798 depacketizer: payloads of one access unit, in order, to Annex B. Pure. */
#ifndef HEVCAST_RTP_H265_DEPACK_H
#define HEVCAST_RTP_H265_DEPACK_H

#include "hevc/nal.h"

enum h265_depack_result {
    H265_DEPACK_OK,
    H265_DEPACK_IGNORED,   /* a type that RFC 7798 tells receivers to ignore */
    H265_DEPACK_MALFORMED, /* the access unit lacks data now */
    H265_DEPACK_NO_MEMORY, /* so does it */
};

struct h265_depack {
    bool in_fu;
    uint8_t fu_header[2];
    /* What was in the access unit. */
    bool has_vcl, has_irap, has_param_sets;
    int first_vcl_type;
};

void h265_depack_start(struct h265_depack *d); /* a new access unit */
/* Appends to au. AUD, filler, EOS and EOB are left out. */
enum h265_depack_result h265_depack_add(struct h265_depack *d, struct access_unit *au,
                                        const uint8_t *payload, size_t len);
/* No fragment is open: the access unit may end here. */
bool h265_depack_whole(const struct h265_depack *d);
/* The beginning of the first NAL unit of a payload that begins one: at most cap bytes; how many, 0
 * if none begins. */
size_t h265_payload_first_nal(const uint8_t *payload, size_t len, uint8_t *nal, size_t cap);
/* The type of the first NAL unit that a payload brings or begins; -1: a middle piece, malformed. */
int h265_payload_first_type(const uint8_t *payload, size_t len);

#endif
