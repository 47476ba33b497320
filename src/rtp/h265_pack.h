/* RFC 7798 packetizer: an access unit to payload descriptions, and these to payloads.
 *
 * A description is a few numbers that point into the access unit: the history keeps descriptions
 * instead of packets, so viewers share one copy of the data, and nothing is allocated for a
 * packet. Single NAL unit, AP and FU packets; no DONL, no PACI. Pure. */
#ifndef HEVCAST_RTP_H265_PACK_H
#define HEVCAST_RTP_H265_PACK_H

#include "hevc/nal.h"

enum h265_payload_kind {
    H265_SINGLE, H265_AP, H265_FU,
    H265_CARRIER, /* of rtp/carrier_pack.h: offset counts from the frame's first byte */
    H265_AUDIO_CARRIER, /* the same, of the audio carrier */
};

struct h265_payload {
    uint8_t kind;
    uint8_t nal_count;          /* AP: how many */
    bool fu_start, fu_end;
    uint8_t nal_header[2];      /* FU: of the NAL unit that is cut; AP: of the payload */
    uint32_t offset, len;       /* in the access unit's bytes. Single: the NAL unit; FU: this piece
                                   of its payload; AP: its NAL units from their first start code */
    uint32_t size;              /* of the payload */
    bool last;                  /* of the access unit: the marker */
    uint32_t frame;             /* carrier: the frame's number */
    uint16_t piece, pieces;     /* audio carrier: which packet of the frame, of how many */
};

struct h265_packer {
    const struct access_unit *au; /* borrows */
    size_t max_payload;
    bool aggregate;
    size_t pos;           /* of the scan */
    bool has_next;
    struct nal next;      /* looked ahead: so that the last packet is known */
    /* The NAL unit that is being cut into FUs. */
    struct nal cut;
    uint32_t pieces, piece, piece_at;
};

/* max_payload: at least 16. */
void h265_packer_start(struct h265_packer *p, const struct access_unit *au, size_t max_payload,
                       bool aggregate);
bool h265_packer_next(struct h265_packer *p, struct h265_payload *out); /* false: no more */
/* out->size bytes. */
void h265_write_payload(const struct access_unit *au, const struct h265_payload *d, uint8_t *out);

#endif
