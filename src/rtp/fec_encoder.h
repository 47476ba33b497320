/* fec_encoder: repair packets for a stream, by exclusive or (RFC 8627). Pure.
 *
 * A block is up to FEC_SPAN packets in a row; packet i belongs to column i modulo the number of
 * columns, and each column becomes one repair packet. So a burst of losses no longer than the
 * columns are many takes one packet from each of them, and all come back; of losses at random,
 * those that are alone in their column do. Crossed, each packet belongs to two columns, the pairs as
 * different as they can be: two packets that are lost from one column come back by their other ones,
 * and a repair packet that is lost has a second for each of its packets. Of 16 packets with 4 repair
 * packets, 5 % lost at random, something is missing at the end in 4.7 % of the blocks instead of
 * 8.9 %; of 24 with 6, in 3.5 % instead of 12.7 %.
 * The parities are kept up packet by packet: nothing is stored but them. */
#ifndef HEVCAST_RTP_FEC_ENCODER_H
#define HEVCAST_RTP_FEC_ENCODER_H

#include "rtp/fec_header.h"

enum { FEC_COLUMNS = 24 };

struct fec_encoder;
/* For packets of at most max_packet bytes. NULL: out of memory. */
struct fec_encoder *fec_encoder_new(size_t max_packet);
void fec_encoder_free(struct fec_encoder **e);
/* The next packet of the stream (RTP). columns and crossed count when it begins a block. false: it
 * follows not on the last one, or is too large; what was open is forgotten, and it is not protected. */
bool fec_encoder_add(struct fec_encoder *e, const uint8_t *packet, size_t len, int columns,
                     bool crossed);
int fec_encoder_open(const struct fec_encoder *e); /* packets in the open block */
/* Ends the block, with at most `repairs` repair packets: columns are folded into as many; crossed
 * ones stay as they are. Those of the block before that were not taken are gone. */
void fec_encoder_close(struct fec_encoder *e, int repairs);
void fec_encoder_forget(struct fec_encoder *e); /* open block and what is ready */
int fec_encoder_ready(const struct fec_encoder *e);
/* The next repair packet's FEC header and payload, into FEC_HEADER_MAX + max_packet bytes. Its
 * length; 0: none is ready. */
size_t fec_encoder_next(struct fec_encoder *e, uint8_t *out);

#endif
