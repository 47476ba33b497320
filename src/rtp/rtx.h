/* RFC 4588, session multiplexing by SSRC: the payload of a retransmission is the original sequence
 * number and the original payload. Pure. */
#ifndef HEVCAST_RTP_RTX_H
#define HEVCAST_RTP_RTX_H

#include "rtp/packet.h"

enum { RTX_OSN_LEN = 2 };

static inline void rtx_write_osn(uint8_t *payload, uint16_t original_seq)
{
    wr_be16(payload, original_seq);
}
/* Turns the view of a retransmission into that of the original, with its payload type and SSRC.
 * false: padding or malformed; nothing was retransmitted. */
bool rtx_unwrap(struct rtp_view *v, uint8_t original_pt, uint32_t original_ssrc);

#endif
