#include "rtp/rtx.h"

bool rtx_unwrap(struct rtp_view *v, uint8_t original_pt, uint32_t original_ssrc)
{
    if (v->payload_len < RTX_OSN_LEN)
        return false;
    v->seq = rd_be16(v->payload);
    v->payload += RTX_OSN_LEN;
    v->payload_len -= RTX_OSN_LEN;
    v->pt = original_pt;
    v->ssrc = original_ssrc;
    return true;
}
