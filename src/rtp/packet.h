/* RTP packets: RFC 3550 section 5.1, header extensions of RFC 8285. Pure. */
#ifndef HEVCAST_RTP_PACKET_H
#define HEVCAST_RTP_PACKET_H

#include "base/bytes.h"

enum { RTP_HEADER_LEN = 12, RTP_MAX_EXTENSIONS = 8 };

struct rtp_view {
    uint8_t pt;
    bool marker;
    uint16_t seq;
    uint32_t ts, ssrc;
    const uint8_t *payload; /* borrows; without padding */
    size_t payload_len;     /* 0: padding or a probe */
    uint16_t ext_profile;   /* 0xbede, 0x100x; 0: no extension */
    const uint8_t *ext;     /* borrows */
    size_t ext_len;
};
bool rtp_parse(const uint8_t *data, size_t len, struct rtp_view *out); /* false: malformed */

struct rtp_ext {
    uint8_t id;
    const uint8_t *data; /* borrows */
    size_t len;
};
/* Walks the extension elements: start with *pos = 0; false at the end, or where they are cut. */
bool rtp_ext_next(const struct rtp_view *v, size_t *pos, struct rtp_ext *out);
bool rtp_ext_find(const struct rtp_view *v, uint8_t id, struct rtp_ext *out);

/* The header extensions of packets to send, laid out once; their values are written over at
 * fixed places in each packet. Elements are added in order; more than fit are refused. */
struct rtp_ext_layout {
    struct {
        uint8_t id, len;
        uint16_t at; /* of the value, from the start of the packet */
    } element[RTP_MAX_EXTENSIONS];
    int n;
    size_t header_len; /* RTP header and extensions, a multiple of 4 */
    bool two_byte;
};
void rtp_ext_layout_init(struct rtp_ext_layout *l);
/* id 0 (not negotiated) is ignored; len at most 16. */
void rtp_ext_layout_add(struct rtp_ext_layout *l, uint8_t id, size_t len);
/* The header with all values 0; l->header_len bytes of space. */
void rtp_write_header(uint8_t *p, const struct rtp_ext_layout *l, uint8_t pt, bool marker,
                      uint16_t seq, uint32_t ts, uint32_t ssrc);
/* Where the value of an element is in a packet, or NULL. */
uint8_t *rtp_ext_value(const struct rtp_ext_layout *l, uint8_t *packet, uint8_t id);

/* 24 bits of abs-send-time: 6.18 fixed point seconds. */
static inline uint32_t abs_send_time(int64_t us)
{
    return (uint32_t)((((uint64_t)us % 64000000) << 18) / 1000000) & 0xffffff;
}

#endif
