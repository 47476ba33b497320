/* Pictures that were decoded and wait to be shown, each until its show_us (jitter/playout.h).
 * Of those whose time has come the newest wins; the others are dropped and counted. Thread-safe. */
#ifndef HEVCAST_SESSION_SHOW_QUEUE_H
#define HEVCAST_SESSION_SHOW_QUEUE_H

#include "base/queue.h"

/* Above either bound the oldest is dropped: half a second at 120 Hz, the default delay at 4K. */
enum { SHOW_QUEUE_MAX = 64, SHOW_QUEUE_MAX_BYTES = 256 << 20 };

struct show_queue;
struct show_queue *show_queue_new(const char *name); /* NULL: out of memory */
void show_queue_free(struct show_queue **q);
/* takes p. true: wake the one who shows; else it wakes up in time by itself. */
bool show_queue_put(struct show_queue *q, struct picture *p, int64_t now_us);
struct picture *show_queue_take(struct show_queue *q, int64_t now_us); /* gives; NULL: none is due */
int64_t show_queue_next_us(struct show_queue *q); /* INT64_MAX: nothing waits */
struct queue_stats show_queue_stats(struct show_queue *q);

#endif
