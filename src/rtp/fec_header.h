/* FlexFEC's header (RFC 8627 section 4.2): which packets of a stream a repair packet is the parity
 * of. Written with the flexible mask (F = 0); read in that form and as fixed rows and columns
 * (F = 1). One protected stream; no retransmissions (R = 1). Pure.
 *
 * A repair packet: RTP header with the protected SSRC as its CSRC, extensions, FEC header, and the
 * exclusive or of all that follows the first 12 bytes of the protected packets. */
#ifndef HEVCAST_RTP_FEC_HEADER_H
#define HEVCAST_RTP_FEC_HEADER_H

#include "base/bytes.h"

enum {
    FEC_SPAN = 110,         /* packets that a mask reaches over */
    FEC_HEADER_MAX = 24,    /* with the largest mask */
    FEC_CSRC_LEN = 4,
};

/* Bit i: the packet with sequence number base + i. */
struct fec_mask {
    uint64_t bits[2];
};
static inline void fec_mask_set(struct fec_mask *m, int i) { m->bits[i >> 6] |= UINT64_C(1) << (i & 63); }
static inline bool fec_mask_has(const struct fec_mask *m, int i) { return m->bits[i >> 6] >> (i & 63) & 1; }

/* The exclusive or of packets, or a packet as one of them. */
struct fec_parity {
    uint8_t first[2];       /* of the RTP header: P, X, CC, M, PT */
    uint16_t length;        /* of what follows the 12 bytes */
    uint32_t ts;
};

struct fec_header {
    uint32_t ssrc;          /* that is protected */
    uint16_t base;
    struct fec_mask mask;   /* not empty */
    struct fec_parity parity;
};

/* Of a whole repair packet: *payload behind the header (borrows). false: malformed, or of a form
 * that is not supported. */
bool fec_header_read(const uint8_t *packet, size_t len, struct fec_header *out,
                     const uint8_t **payload, size_t *payload_len);
/* Its length: as small a mask as it takes. 24 bytes of room. */
size_t fec_header_write(const struct fec_header *h, uint8_t *out);

#endif
