/* rawout: raw pictures, or Y4M, to a file, a pipe or standard output.
 *
 * Owns one writer thread ("raw") behind a bounded queue (QUEUE_DROP_OLDEST, 8 pictures, counted
 * under the name "raw"): a slow or stopped reader never delays the decoder nor grows memory. */
#ifndef HEVCAST_DISPLAY_RAWOUT_H
#define HEVCAST_DISPLAY_RAWOUT_H

#include "base/picture.h"
#include "base/queue.h"

enum raw_fmt { RAW_AUTO, RAW_I420, RAW_I444, RAW_NV12, RAW_BGR24, RAW_RGB24 };
struct rawout_config {
    const char *path; /* "-": standard output */
    bool y4m;
    enum raw_fmt fmt;    /* RAW_AUTO: i420, or i444 for a 4:4:4 stream */
    bool stop_on_resize; /* else later pictures are scaled into the first size, aspect kept */
    int fps;             /* for the Y4M header */
    void (*on_end)(void *ctx, int error, const char *text); /* the writer thread stopped by itself:
                        reader gone (EPIPE), disk full, or a resize with stop_on_resize (error 0) */
    void *ctx;
};
struct rawout;
int rawout_open(struct rawout **out, const struct rawout_config *config); /* creates the file now */
/* takes pic; any one thread (decode). */
void rawout_push(struct rawout *r, struct picture *pic);
struct queue_stats rawout_stats(struct rawout *r);
int64_t rawout_written(struct rawout *r); /* pictures written whole */
/* Writes what is queued (at most timeout_us; then gives up even on a stuck pipe), stops the thread.
 */
void rawout_close(struct rawout **r, int64_t timeout_us);

#endif
