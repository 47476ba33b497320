#include "rtp/packet.h"

enum { PROFILE_ONE_BYTE = 0xbede, PROFILE_TWO_BYTE = 0x1000 };

bool rtp_parse(const uint8_t *data, size_t len, struct rtp_view *out)
{
    memset(out, 0, sizeof *out);
    struct byte_reader r = byte_reader_of(data, len);
    const uint8_t *h = br_take(&r, RTP_HEADER_LEN);
    if (!h || h[0] >> 6 != 2)
        return false;
    out->marker = h[1] >> 7;
    out->pt = h[1] & 0x7f;
    out->seq = rd_be16(h + 2);
    out->ts = rd_be32(h + 4);
    out->ssrc = rd_be32(h + 8);
    br_take(&r, 4 * (size_t)(h[0] & 0xf)); /* CSRCs */
    if (h[0] & 0x10) {
        out->ext_profile = br_u16(&r);
        out->ext_len = 4 * (size_t)br_u16(&r);
        out->ext = br_take(&r, out->ext_len);
    }
    if (r.failed)
        return false;
    if (h[0] & 0x20) { /* padding: its last byte counts all of it */
        size_t padding = r.left ? r.p[r.left - 1] : 0;
        if (padding == 0 || padding > r.left)
            return false;
        r.left -= padding;
    }
    out->payload = r.p;
    out->payload_len = r.left;
    return true;
}

static bool next_one_byte(const struct rtp_view *v, size_t *pos, struct rtp_ext *out)
{
    while (*pos < v->ext_len) {
        uint8_t b = v->ext[(*pos)++];
        if (b == 0) /* padding */
            continue;
        out->id = b >> 4;
        out->len = (size_t)(b & 0xf) + 1;
        if (out->id == 15 || out->len > v->ext_len - *pos) /* 15: stop, RFC 8285 section 4.2 */
            break;
        out->data = v->ext + *pos;
        *pos += out->len;
        if (out->id != 0)
            return true;
    }
    *pos = v->ext_len;
    return false;
}

static bool next_two_byte(const struct rtp_view *v, size_t *pos, struct rtp_ext *out)
{
    while (*pos < v->ext_len) {
        out->id = v->ext[(*pos)++];
        if (out->id == 0)
            continue;
        if (*pos == v->ext_len)
            break;
        out->len = v->ext[(*pos)++];
        if (out->len > v->ext_len - *pos)
            break;
        out->data = v->ext + *pos;
        *pos += out->len;
        return true;
    }
    *pos = v->ext_len;
    return false;
}

bool rtp_ext_next(const struct rtp_view *v, size_t *pos, struct rtp_ext *out)
{
    if (v->ext_profile == PROFILE_ONE_BYTE)
        return next_one_byte(v, pos, out);
    if ((v->ext_profile & 0xfff0) == PROFILE_TWO_BYTE)
        return next_two_byte(v, pos, out);
    return false;
}

bool rtp_ext_find(const struct rtp_view *v, uint8_t id, struct rtp_ext *out)
{
    size_t pos = 0;
    while (id != 0 && rtp_ext_next(v, &pos, out))
        if (out->id == id)
            return true;
    return false;
}

static void place(struct rtp_ext_layout *l)
{
    size_t at = RTP_HEADER_LEN;
    l->two_byte = false;
    for (int i = 0; i < l->n; i++)
        l->two_byte |= l->element[i].id > 14;
    if (l->n > 0)
        at += 4;
    for (int i = 0; i < l->n; i++) {
        at += l->two_byte ? 2 : 1;
        l->element[i].at = (uint16_t)at;
        at += l->element[i].len;
    }
    l->header_len = (at + 3) & ~(size_t)3;
}

void rtp_ext_layout_init(struct rtp_ext_layout *l)
{
    memset(l, 0, sizeof *l);
    place(l);
}

void rtp_ext_layout_add(struct rtp_ext_layout *l, uint8_t id, size_t len)
{
    if (id == 0 || len == 0 || len > 16 || l->n == RTP_MAX_EXTENSIONS)
        return;
    l->element[l->n].id = id;
    l->element[l->n++].len = (uint8_t)len;
    place(l);
}

void rtp_write_header(uint8_t *p, const struct rtp_ext_layout *l, uint8_t pt, bool marker,
                      uint16_t seq, uint32_t ts, uint32_t ssrc)
{
    p[0] = (uint8_t)(0x80 | (l->n > 0 ? 0x10 : 0));
    p[1] = (uint8_t)((marker ? 0x80 : 0) | pt);
    wr_be16(p + 2, seq);
    wr_be32(p + 4, ts);
    wr_be32(p + 8, ssrc);
    if (l->n == 0)
        return;
    memset(p + RTP_HEADER_LEN, 0, l->header_len - RTP_HEADER_LEN);
    wr_be16(p + RTP_HEADER_LEN, l->two_byte ? PROFILE_TWO_BYTE : PROFILE_ONE_BYTE);
    wr_be16(p + RTP_HEADER_LEN + 2, (uint16_t)((l->header_len - RTP_HEADER_LEN - 4) / 4));
    for (int i = 0; i < l->n; i++) {
        uint8_t *value = p + l->element[i].at;
        if (l->two_byte) {
            value[-2] = l->element[i].id;
            value[-1] = l->element[i].len;
        } else {
            value[-1] = (uint8_t)(l->element[i].id << 4 | (l->element[i].len - 1));
        }
    }
}

uint8_t *rtp_ext_value(const struct rtp_ext_layout *l, uint8_t *packet, uint8_t id)
{
    for (int i = 0; id != 0 && i < l->n; i++)
        if (l->element[i].id == id)
            return packet + l->element[i].at;
    return NULL;
}
