/* file_stream: what is in a file, URL or pipe, one picture or access unit after another, as fast
 * as it can be read; when each is due is the business of file.c.
 *
 * `next` and `rewind` belong to one thread at a time and block; `cancel` is for any. */
#ifndef HEVCAST_SOURCE_FILE_STREAM_H
#define HEVCAST_SOURCE_FILE_STREAM_H

#include "source/source.h"

struct file_item { /* one of the two is set */
    struct access_unit *au;
    struct picture *pic;
    int64_t media_us; /* or FILE_PACE_UNKNOWN */
};

struct file_stream;
/* Fills info, whose kind says what `next` gives. 0, or an error that says it. May wait for what
 * comes first through a pipe. */
int file_stream_open(struct file_stream **out, const struct source_config *config,
                     struct source_info *info);
void file_stream_free(struct file_stream **s);
/* gives what *out holds. 0, ERR_ENDED (also when cancelled), or an error that says it. */
int file_stream_next(struct file_stream *s, struct file_item *out);
/* To the start again; ERR_UNSUPPORTED when that is not possible. */
int file_stream_rewind(struct file_stream *s);
void file_stream_cancel(struct file_stream *s);

const char *file_stream_name(const struct file_stream *s); /* for messages */
bool file_stream_live(const struct file_stream *s);          /* has its own pace */
int64_t file_stream_begun_us(const struct file_stream *s);    /* see file_pace.h */
int64_t file_stream_interval_us(const struct file_stream *s); /* between two pictures */
int64_t file_stream_gap_us(const struct file_stream *s);      /* see file_pace.h */

#endif
