#include "rtp/fec_header.h"

#include "rtp/packet.h"

enum { FIXED_LEN = 12, K_BIT = 0x80 };

/* n bits of the packet, most significant first, into the mask from bit `at` on. */
static void read_bits(struct fec_mask *m, int at, uint64_t bits, int n)
{
    for (int i = 0; i < n; i++)
        if (bits >> (n - 1 - i) & 1)
            fec_mask_set(m, at + i);
}

static uint64_t write_bits(const struct fec_mask *m, int at, int n)
{
    uint64_t bits = 0;
    for (int i = 0; i < n; i++)
        bits = bits << 1 | fec_mask_has(m, at + i);
    return bits;
}

/* Section 4.2.2.1. The header's length, or 0: cut. */
static size_t read_masks(const uint8_t *p, size_t len, struct fec_mask *m)
{
    read_bits(m, 0, rd_be16(p + 10) & 0x7fff, 15);
    if (!(p[10] & K_BIT))
        return FIXED_LEN;
    if (len < FIXED_LEN + 4)
        return 0;
    read_bits(m, 15, rd_be32(p + 12) & 0x7fffffff, 31);
    if (!(p[12] & K_BIT))
        return FIXED_LEN + 4;
    if (len < FEC_HEADER_MAX)
        return 0;
    read_bits(m, 46, rd_be64(p + 16), 64);
    return FEC_HEADER_MAX;
}

/* Section 4.2.2.2: L packets in a row, or with D > 1 each L-th of them. */
static bool read_fixed(const uint8_t *p, struct fec_mask *m)
{
    int columns = p[10], rows = p[11];
    int count = rows > 1 ? rows : columns, step = rows > 1 ? columns : 1;
    if (columns == 0 || (count - 1) * step >= FEC_SPAN)
        return false;
    for (int i = 0; i < count; i++)
        fec_mask_set(m, i * step);
    return true;
}

bool fec_header_read(const uint8_t *packet, size_t len, struct fec_header *out,
                     const uint8_t **payload, size_t *payload_len)
{
    struct rtp_view v;
    *out = (struct fec_header){0};
    if (!rtp_parse(packet, len, &v) || (packet[0] & 0xf) != 1 || v.payload_len < FIXED_LEN)
        return false;
    const uint8_t *p = v.payload;
    size_t header = FIXED_LEN;
    if (p[0] & 0x80) /* R: a retransmission inside the repair stream, section 4.2.2.3 */
        return false;
    if (p[0] & 0x40) {
        if (!read_fixed(p, &out->mask))
            return false;
    } else if ((header = read_masks(p, v.payload_len, &out->mask)) == 0) {
        return false;
    }
    out->ssrc = rd_be32(packet + RTP_HEADER_LEN);
    out->parity.first[0] = p[0] & 0x3f;
    out->parity.first[1] = p[1];
    out->parity.length = rd_be16(p + 2);
    out->parity.ts = rd_be32(p + 4);
    out->base = rd_be16(p + 8);
    *payload = p + header;
    *payload_len = v.payload_len - header;
    return (out->mask.bits[0] | out->mask.bits[1]) != 0;
}

size_t fec_header_write(const struct fec_header *h, uint8_t *p)
{
    uint64_t second = write_bits(&h->mask, 15, 31), third = write_bits(&h->mask, 46, 64);
    p[0] = h->parity.first[0] & 0x3f;
    p[1] = h->parity.first[1];
    wr_be16(p + 2, h->parity.length);
    wr_be32(p + 4, h->parity.ts);
    wr_be16(p + 8, h->base);
    wr_be16(p + 10, (uint16_t)write_bits(&h->mask, 0, 15));
    if (!second && !third)
        return FIXED_LEN;
    p[10] |= K_BIT;
    wr_be32(p + 12, (uint32_t)second);
    if (!third)
        return FIXED_LEN + 4;
    p[12] |= K_BIT;
    wr_be64(p + 16, third);
    return FEC_HEADER_MAX;
}
