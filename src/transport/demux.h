/* demux: what a datagram on a BUNDLE transport is (RFC 7983 section 7, RFC 5761 section 4). Pure. */
#ifndef HEVCAST_TRANSPORT_DEMUX_H
#define HEVCAST_TRANSPORT_DEMUX_H

#include <stddef.h>
#include <stdint.h>

enum packet_class {
    PACKET_STUN, /* 0..3 */
    PACKET_DTLS, /* 20..63 */
    PACKET_TURN, /* 64..79: channel data */
    PACKET_RTP,  /* 128..191 */
    PACKET_RTCP, /* the same with a second byte of 192..223 */
    PACKET_UNKNOWN,
};

static inline enum packet_class packet_classify(const uint8_t *data, size_t len)
{
    if (len == 0)
        return PACKET_UNKNOWN;
    uint8_t b = data[0];
    if (b <= 3)
        return PACKET_STUN;
    if (b >= 20 && b <= 63)
        return PACKET_DTLS;
    if (b >= 64 && b <= 79)
        return PACKET_TURN;
    if (b < 128 || b > 191)
        return PACKET_UNKNOWN;
    if (len >= 8 && data[1] >= 192 && data[1] <= 223)
        return PACKET_RTCP;
    return len >= 12 ? PACKET_RTP : PACKET_UNKNOWN;
}

#endif
