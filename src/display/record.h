/* record: access units as they came, into Matroska or fragmented MP4, never encoded again.
 *
 * Owns one writer thread ("record") behind a bounded queue: on overflow (a slow disk) it drops up
 * to the next IRAP, counts, and calls on_gap, so that the stream goes on and the file stays
 * decodable. Clusters and fragments are cut by time (at most 1 s) and flushed: the file is valid
 * whenever the program is killed. A new picture size starts NAME-2.EXT, NAME-3.EXT, … */
#ifndef HEVCAST_DISPLAY_RECORD_H
#define HEVCAST_DISPLAY_RECORD_H

#include "base/picture.h"
#include "base/queue.h"

struct record_config {
    const char *path;                                       /* .mkv or .mp4 */
    void (*on_gap)(void *ctx);                              /* a key frame is wanted */
    void (*on_end)(void *ctx, int error, const char *text); /* it failed: disk full, … */
    void *ctx;
};
struct record;
int record_open(struct record **out, const struct record_config *config); /* creates the file now */
void record_push(struct record *r, struct access_unit *au); /* takes; one thread (net) */
struct queue_stats record_stats(struct record *r);
void record_close(struct record **r,
                  int64_t timeout_us); /* writes what is queued and the trailer */

#endif
