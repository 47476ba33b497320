/* The carriers: HEVC access units that travel as what a browser takes for VP8 or for Opus, so that
 * its RTP receiver repairs them and hands them to the page's worker (doc/carrier.md).
 *
 *   VP8    RTP payload:  descriptor (1 byte, RFC 7741 section 4.2) | a piece of the frame
 *          frame:        VP8 frame header, fake (key 10 bytes, else 1) | header, 28 bytes | access unit
 *   audio  RTP payload:  frame's number (4) | which piece (2) | of how many (2) | a piece of the frame
 *          frame:        header, 28 bytes | access unit
 *
 * Like h265_pack it makes descriptions, which the history keeps, and payloads of them. Pure. */
#ifndef HEVCAST_RTP_CARRIER_PACK_H
#define HEVCAST_RTP_CARRIER_PACK_H

#include "rtp/h265_pack.h"

enum {
    CARRIER_HEADER_LEN = 28,
    CARRIER_PREFIX_MAX = 10 + CARRIER_HEADER_LEN,
    /* Chromium's packet buffer holds 2048 packets; a larger frame would never arrive:
     * nothing of it is sent, and the page notices by its number. */
    CARRIER_MAX_PACKETS = 2000,
    /* The page assembles by itself here. */
    CARRIER_MAX_AUDIO_PACKETS = 0xffff,
};

struct carrier_packer {
    const struct access_unit *au; /* borrows */
    uint32_t frame;               /* its number */
    uint32_t total, pieces, piece, at;
    bool audio;
};

/* frame: counts up by one from access unit to access unit; the page puts them in order by it. */
void carrier_packer_start(struct carrier_packer *p, const struct access_unit *au, uint32_t frame,
                          size_t max_payload, bool audio);
bool carrier_packer_next(struct carrier_packer *p, struct h265_payload *out); /* false: no more */
/* Audio: a packet that belongs to no frame, of so many bytes (at least 8). */
void carrier_empty_payload(struct h265_payload *out, size_t size);
/* out->size bytes. capture_ntp: as given for the access unit; 0: unknown. */
void carrier_write_payload(const struct access_unit *au, const struct h265_payload *d,
                           uint64_t capture_ntp, uint8_t *out);

#endif
