#include "rtp/rtcp.h"

int rtcp_next(struct byte_reader *r, struct rtcp_packet *out)
{
    if (r->left == 0)
        return 0;
    const uint8_t *h = br_take(r, 4);
    if (!h || h[0] >> 6 != 2)
        return -1;
    out->count = h[0] & 0x1f;
    out->type = h[1];
    out->len = 4 * (size_t)rd_be16(h + 2);
    out->body = br_take(r, out->len);
    if (!out->body)
        return -1;
    if (h[0] & 0x20) {
        size_t padding = out->len ? out->body[out->len - 1] : 0;
        /* A multiple of 4 (RFC 3550 section 6.4.1), but libwebrtc's transport-wide feedback has
         * one to three bytes. */
        bool odd = padding % 4 && (out->type != RTCP_RTPFB || out->count != RTPFB_TWCC);
        if (padding == 0 || odd || padding > out->len)
            return -1;
        out->len -= padding;
    }
    return 1;
}

bool rtcp_sender_info(const struct rtcp_packet *p, struct rtcp_sender_info *out)
{
    if (p->type != RTCP_SR || p->len < 24)
        return false;
    out->ssrc = rd_be32(p->body);
    out->ntp = rd_be64(p->body + 4);
    out->rtp_ts = rd_be32(p->body + 12);
    out->packets = rd_be32(p->body + 16);
    out->octets = rd_be32(p->body + 20);
    return true;
}

bool rtcp_report(const struct rtcp_packet *p, int i, struct rtcp_report *out)
{
    size_t first = p->type == RTCP_SR ? 24 : 4;
    size_t at = first + 24 * (size_t)i;
    if ((p->type != RTCP_SR && p->type != RTCP_RR) || i >= p->count || p->len < at + 24)
        return false;
    const uint8_t *b = p->body + at;
    uint32_t lost = rd_be24(b + 5);
    out->ssrc = rd_be32(b);
    out->fraction_lost = b[4];
    out->cumulative_lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost;
    out->highest_seq = rd_be32(b + 8);
    out->jitter = rd_be32(b + 12);
    out->lsr = rd_be32(b + 16);
    out->dlsr = rd_be32(b + 20);
    return true;
}

bool rtcp_bye_has(const struct rtcp_packet *p, uint32_t ssrc)
{
    if (p->type != RTCP_BYE)
        return false;
    for (int i = 0; i < p->count && p->len >= 4 * ((size_t)i + 1); i++)
        if (rd_be32(p->body + 4 * i) == ssrc)
            return true;
    return false;
}

uint32_t rtcp_media_ssrc(const struct rtcp_packet *p)
{
    bool feedback = p->type == RTCP_RTPFB || p->type == RTCP_PSFB;
    return feedback && p->len >= 8 ? rd_be32(p->body + 4) : 0;
}

bool rtcp_nack(const struct rtcp_packet *p, int i, uint16_t *pid, uint16_t *blp)
{
    size_t at = 8 + 4 * (size_t)i;
    if (p->type != RTCP_RTPFB || p->count != RTPFB_NACK || p->len < at + 4)
        return false;
    *pid = rd_be16(p->body + at);
    *blp = rd_be16(p->body + at + 2);
    return true;
}

bool rtcp_fir(const struct rtcp_packet *p, uint32_t ssrc, uint8_t *seq_nr)
{
    if (p->type != RTCP_PSFB || p->count != PSFB_FIR)
        return false;
    for (size_t at = 8; at + 8 <= p->len; at += 8) {
        if (rd_be32(p->body + at) == ssrc) {
            *seq_nr = p->body[at + 4];
            return true;
        }
    }
    return false;
}

bool rtcp_remb(const struct rtcp_packet *p, int64_t *bps)
{
    if (p->type != RTCP_PSFB || p->count != PSFB_APP || p->len < 16 ||
        memcmp(p->body + 8, "REMB", 4) != 0)
        return false;
    int exponent = p->body[13] >> 2;
    int64_t mantissa = (int64_t)(p->body[13] & 3) << 16 | rd_be16(p->body + 14);
    *bps = exponent > 44 ? INT64_MAX : mantissa << exponent;
    return true;
}

/* The 4-byte header; body_len is a multiple of 4. */
static bool begin(struct byte_writer *w, int type, int count, size_t body_len)
{
    if (w->failed || w->left < 4 + body_len) {
        w->failed = true;
        return false;
    }
    bw_u8(w, (uint8_t)(0x80 | count));
    bw_u8(w, (uint8_t)type);
    bw_u16(w, (uint16_t)(body_len / 4));
    return true;
}

void rtcp_write_sr(struct byte_writer *w, const struct rtcp_sender_info *s)
{
    if (!begin(w, RTCP_SR, 0, 24))
        return;
    bw_u32(w, s->ssrc);
    bw_u32(w, (uint32_t)(s->ntp >> 32));
    bw_u32(w, (uint32_t)s->ntp);
    bw_u32(w, s->rtp_ts);
    bw_u32(w, s->packets);
    bw_u32(w, s->octets);
}

void rtcp_write_rr(struct byte_writer *w, uint32_t ssrc, const struct rtcp_report *report, int n)
{
    if (!begin(w, RTCP_RR, n, 4 + 24 * (size_t)n))
        return;
    bw_u32(w, ssrc);
    for (int i = 0; i < n; i++) {
        const struct rtcp_report *r = &report[i];
        int32_t lost = r->cumulative_lost;
        lost = lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost;
        bw_u32(w, r->ssrc);
        bw_u32(w, (uint32_t)r->fraction_lost << 24 | ((uint32_t)lost & 0xffffff));
        bw_u32(w, r->highest_seq);
        bw_u32(w, r->jitter);
        bw_u32(w, r->lsr);
        bw_u32(w, r->dlsr);
    }
}

void rtcp_write_sdes(struct byte_writer *w, uint32_t ssrc, const char *cname)
{
    size_t len = strlen(cname);
    len = len > 255 ? 255 : len;
    /* SSRC, item header, text, and one to four zero bytes that end the chunk. */
    size_t chunk = 4 + 2 + len, padded = (chunk + 4) & ~(size_t)3;
    if (!begin(w, RTCP_SDES, 1, padded))
        return;
    bw_u32(w, ssrc);
    bw_u8(w, 1); /* CNAME */
    bw_u8(w, (uint8_t)len);
    bw_bytes(w, cname, len);
    for (size_t i = chunk; i < padded; i++)
        bw_u8(w, 0);
}

void rtcp_write_bye(struct byte_writer *w, const uint32_t *ssrc, int n)
{
    if (!begin(w, RTCP_BYE, n, 4 * (size_t)n))
        return;
    for (int i = 0; i < n; i++)
        bw_u32(w, ssrc[i]);
}

void rtcp_write_pli(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc)
{
    if (!begin(w, RTCP_PSFB, PSFB_PLI, 8))
        return;
    bw_u32(w, ssrc);
    bw_u32(w, media_ssrc);
}

/* RFC 4585 section 6.3.3 around ten hexadecimal digits: nuh_layer_id and PicOrderCntVal. */
enum { RPSI_DIGITS = 10, RPSI_LEN = 8 + 2 + RPSI_DIGITS };

void rtcp_write_rpsi(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, uint8_t pt,
                     int32_t poc)
{
    static const char digits[] = "0123456789ABCDEF";
    if (!begin(w, RTCP_PSFB, PSFB_RPSI, RPSI_LEN))
        return;
    bw_u32(w, ssrc);
    bw_u32(w, media_ssrc);
    bw_u8(w, 0); /* no padding bits: 12 bytes */
    bw_u8(w, pt & 0x7f);
    for (int i = RPSI_DIGITS - 1; i >= 0; i--)
        bw_u8(w, (uint8_t)digits[i < 8 ? (uint32_t)poc >> (4 * i) & 15 : 0]);
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rtcp_rpsi(const struct rtcp_packet *p, uint8_t pt, int32_t *poc)
{
    if (p->type != RTCP_PSFB || p->count != PSFB_RPSI || p->len < RPSI_LEN ||
        p->body[8] != 8 * (p->len - RPSI_LEN) || (p->body[9] & 0x7f) != pt)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < RPSI_DIGITS; i++) {
        int digit = hex_digit(p->body[10 + i]);
        if (digit < 0 || (i < 2 && digit))
            return false;
        v = v << 4 | (uint32_t)digit;
    }
    *poc = (int32_t)v;
    return true;
}

void rtcp_write_fir(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, uint8_t seq_nr)
{
    if (!begin(w, RTCP_PSFB, PSFB_FIR, 16))
        return;
    bw_u32(w, ssrc);
    bw_u32(w, 0); /* RFC 5104 section 4.3.1.2: the entries name the media */
    bw_u32(w, media_ssrc);
    bw_u32(w, (uint32_t)seq_nr << 24);
}

void rtcp_write_remb(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, int64_t bps)
{
    uint32_t exponent = 0;
    for (; bps >> exponent > 0x3ffff; exponent++) /* a mantissa of 18 bits */
        ;
    if (!begin(w, RTCP_PSFB, PSFB_APP, 20))
        return;
    bw_u32(w, ssrc);
    bw_u32(w, 0); /* draft-alvestrand-rmcat-remb-03 section 2.2: unused */
    bw_bytes(w, "REMB", 4);
    bw_u32(w, 1u << 24 | exponent << 18 | (uint32_t)(bps >> exponent));
    bw_u32(w, media_ssrc);
}

void rtcp_write_nack(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc,
                     const uint16_t *seq, int n)
{
    size_t items = 0;
    for (int i = 0, pid = 0; i < n; i++) {
        if (i == 0 || (uint16_t)(seq[i] - seq[pid]) > 16) {
            pid = i;
            items++;
        }
    }
    if (!begin(w, RTCP_RTPFB, RTPFB_NACK, 8 + 4 * items))
        return;
    bw_u32(w, ssrc);
    bw_u32(w, media_ssrc);
    for (int i = 0; i < n;) {
        uint16_t pid = seq[i++], blp = 0;
        while (i < n && (uint16_t)(seq[i] - pid) <= 16 && seq[i] != pid)
            blp |= (uint16_t)(1u << ((uint16_t)(seq[i++] - pid) - 1));
        bw_u16(w, pid);
        bw_u16(w, blp);
    }
}
