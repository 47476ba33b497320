/* fec_decoder: packets of a stream that were lost, out of those that came and of FlexFEC's repair
 * packets (RFC 8627 section 6). Keeps the last 256 packets and 64 repair packets, so half a
 * megabyte. Pure. */
#ifndef HEVCAST_RTP_FEC_DECODER_H
#define HEVCAST_RTP_FEC_DECODER_H

#include "rtp/fec_header.h"

enum { FEC_MEDIA_RING = 256, FEC_REPAIR_RING = 64, FEC_MAX_PACKET = 1500 };

struct fec_decoder;
struct fec_decoder *fec_decoder_new(void); /* NULL: out of memory */
void fec_decoder_free(struct fec_decoder **d);
/* A packet of the stream as it came (RTP; not out of a retransmission, whose header extensions are
 * others). One of another SSRC begins anew. */
void fec_decoder_media(struct fec_decoder *d, const uint8_t *packet, size_t len);
/* A repair packet as it came. false: malformed, or of another stream. */
bool fec_decoder_repair(struct fec_decoder *d, const uint8_t *packet, size_t len);
/* The next packet that was recovered, as it was sent. Borrowed until the next call; NULL: none. */
const uint8_t *fec_decoder_next(struct fec_decoder *d, size_t *len);

#endif
