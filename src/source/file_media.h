/* file_media: the packets of the one video stream of a container, by libavformat. One thread. */
#ifndef HEVCAST_SOURCE_FILE_MEDIA_H
#define HEVCAST_SOURCE_FILE_MEDIA_H

#include "source/file_input.h"

#include <libavformat/avformat.h>

struct file_media {
    struct file_input *in; /* borrows */
    AVFormatContext *fmt;
    AVIOContext *avio; /* NULL: libavformat reads by itself */
    AVStream *stream;  /* borrows from fmt */
    AVPacket **ahead;  /* packets that were looked at, and are given again */
    int ahead_len, ahead_pos;
    int64_t deadline_us; /* of a URL's answer at open; 0: none */
};

/* 0, or an error that says it; then nothing is left to close. */
int file_media_open(struct file_media *m, struct file_input *in);
void file_media_close(struct file_media *m);
/* The next packet of the stream. 0, or an AVERROR. */
int file_media_packet(struct file_media *m, AVPacket *pkt);
/* Looks further ahead by one packet, which file_media_packet gives later all the same. *pkt: lent
 * until then. 0 or an AVERROR; AVERROR(ENOSPC): far enough. */
int file_media_peek(struct file_media *m, const AVPacket **pkt);
/* libavcodec has to look into the stream before its size and rate are known. */
int file_media_find_info(struct file_media *m);
/* A timestamp of the stream in microseconds, or FILE_PACE_UNKNOWN. */
int64_t file_media_us(const struct file_media *m, int64_t ts);
int64_t file_media_interval_us(const struct file_media *m); /* 0: it does not say */

#endif
