/* file_decode: packets of any codec to pictures in BT.709 limited range, 8 bits. One thread. */
#ifndef HEVCAST_SOURCE_FILE_DECODE_H
#define HEVCAST_SOURCE_FILE_DECODE_H

#include "base/picture.h"

#include <libavcodec/avcodec.h>

struct file_decoder;
/* live: no picture is held back for the sake of speed. 0 or an error that names `shown`. */
int file_decoder_open(struct file_decoder **out, const AVCodecParameters *par, AVRational time_base,
                      bool live, const char *shown);
void file_decoder_free(struct file_decoder **d);
/* borrows pkt; NULL: no more. An AVERROR; AVERROR(EAGAIN): take the pictures first. */
int file_decoder_send(struct file_decoder *d, const AVPacket *pkt);
/* gives *out and its timestamp in the time base; AVERROR(EAGAIN): wants a packet; AVERROR_EOF:
 * that was all; AVERROR(EBUSY): all pictures are in use, call it again later. */
int file_decoder_receive(struct file_decoder *d, struct picture **out, int64_t *ts);
void file_decoder_reset(struct file_decoder *d); /* for a new start */

#endif
