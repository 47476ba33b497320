#include "rtp/rtcp_xr.h"

enum { ANSWERED_US = 10000000 }; /* what came longer ago says nothing of the path as it is */

bool xr_next(const struct rtcp_packet *p, size_t *pos, struct xr_block *out)
{
    size_t at = *pos ? *pos : 4; /* behind the SSRC */
    if (p->type != RTCP_XR || p->len < at + 4)
        return false;
    out->type = p->body[at];
    out->len = 4 * (size_t)rd_be16(p->body + at + 2);
    out->body = p->body + at + 4;
    *pos = at + 4 + out->len;
    return *pos <= p->len;
}

bool xr_reference_time(const struct xr_block *b, uint64_t *ntp)
{
    if (b->type != XR_RECEIVER_REFERENCE_TIME || b->len < 8)
        return false;
    *ntp = rd_be64(b->body);
    return true;
}

bool xr_dlrr(const struct xr_block *b, int i, struct xr_dlrr *out)
{
    size_t at = 12 * (size_t)i;
    if (b->type != XR_DLRR || b->len < at + 12)
        return false;
    *out = (struct xr_dlrr){rd_be32(b->body + at), rd_be32(b->body + at + 4),
                            rd_be32(b->body + at + 8)};
    return true;
}

/* The headers of a packet with one block. */
static bool begin(struct byte_writer *w, uint32_t ssrc, int block, size_t len)
{
    if (w->failed || w->left < 12 + len) {
        w->failed = true;
        return false;
    }
    bw_u8(w, 0x80);
    bw_u8(w, RTCP_XR);
    bw_u16(w, (uint16_t)((8 + len) / 4));
    bw_u32(w, ssrc);
    bw_u8(w, (uint8_t)block);
    bw_u8(w, 0);
    bw_u16(w, (uint16_t)(len / 4));
    return true;
}

void xr_write_reference_time(struct byte_writer *w, uint32_t ssrc, uint64_t ntp)
{
    if (!begin(w, ssrc, XR_RECEIVER_REFERENCE_TIME, 8))
        return;
    bw_u32(w, (uint32_t)(ntp >> 32));
    bw_u32(w, (uint32_t)ntp);
}

void xr_write_dlrr(struct byte_writer *w, uint32_t ssrc, const struct xr_dlrr *d)
{
    if (!begin(w, ssrc, XR_DLRR, 12))
        return;
    bw_u32(w, d->ssrc);
    bw_u32(w, d->lrr);
    bw_u32(w, d->dlrr);
}

bool xr_answer_take(struct xr_answer *a, const struct rtcp_packet *p, int64_t now_us)
{
    struct xr_block b;
    uint64_t ntp;
    bool first = false;
    for (size_t pos = 0; xr_next(p, &pos, &b);) {
        if (!xr_reference_time(&b, &ntp))
            continue;
        uint32_t ssrc = rd_be32(p->body);
        first |= a->at_us == 0 || now_us - a->at_us < XR_URGENT_US;
        *a = (struct xr_answer){ssrc, ntp_mid(ntp), now_us};
    }
    return first;
}

void xr_answer_write(const struct xr_answer *a, struct byte_writer *w, uint32_t ssrc, int64_t now_us)
{
    int64_t ago_us = now_us - a->at_us;
    if (a->at_us == 0 || ago_us < 0 || ago_us > ANSWERED_US)
        return;
    struct xr_dlrr d = {a->ssrc, a->lrr, (uint32_t)(ago_us * 65536 / 1000000)};
    xr_write_dlrr(w, ssrc, &d);
}
