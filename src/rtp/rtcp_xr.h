/* RTCP extended reports (RFC 3611): the two blocks by which one who sends no media learns its
 * round-trip time, and with the sender's report that comes along, how far the sender's clock is from
 * its own. Pure.
 *
 *   receiver  -- RR, XR receiver reference time (4.4) ->  sender
 *             <- SR, XR DLRR (4.5): which, how long ago --
 *
 * No negotiation: RFC 3611 section 5 leaves it optional, who does not know the type skips the
 * packet, and libwebrtc answers unasked too. */
#ifndef HEVCAST_RTP_RTCP_XR_H
#define HEVCAST_RTP_RTCP_XR_H

#include "rtp/rtcp.h"

enum { RTCP_XR = 207, XR_RECEIVER_REFERENCE_TIME = 4, XR_DLRR = 5 };
enum { XR_RRTR_LEN = 4 + 4 + 12, XR_DLRR_LEN = 4 + 4 + 4 + 12 }; /* as written here */

struct xr_block {
    uint8_t type;
    const uint8_t *body; /* borrows; behind the 4-byte header of the block */
    size_t len;
};
/* Walks the blocks of an XR packet: start with *pos = 0; false at the end, where they are cut, or
 * when p is none. */
bool xr_next(const struct rtcp_packet *p, size_t *pos, struct xr_block *out);
bool xr_reference_time(const struct xr_block *b, uint64_t *ntp);
struct xr_dlrr {
    uint32_t ssrc;  /* the receiver that is answered */
    uint32_t lrr;   /* middle 32 bits of the last reference time that it sent */
    uint32_t dlrr;  /* how long ago that came, in 1/65536 s */
};
bool xr_dlrr(const struct xr_block *b, int i, struct xr_dlrr *out); /* false: no more */

void xr_write_reference_time(struct byte_writer *w, uint32_t ssrc, uint64_t ntp);
void xr_write_dlrr(struct byte_writer *w, uint32_t ssrc, const struct xr_dlrr *d);

/* The sender's side: what came last, and the answer to it. Zeroed at the start. */
struct xr_answer {
    uint32_t ssrc, lrr;
    int64_t at_us; /* 0: nothing came */
};
/* true: its answer should go at once. It is the first that came, or it follows upon another so closely
 * (XR_URGENT_US) that the receiver doubts that anybody is there; reports carry one each second. */
enum { XR_URGENT_US = 400000 };
bool xr_answer_take(struct xr_answer *a, const struct rtcp_packet *p, int64_t now_us);
void xr_answer_write(const struct xr_answer *a, struct byte_writer *w, uint32_t ssrc,
                     int64_t now_us); /* nothing, when nothing came lately */

#endif
