/* writer: a thread that is joined with a time limit on the monotonic clock. (ThreadSanitizer does
 * not know pthread_clockjoin_np, and pthread_timedjoin_np follows a clock that jumps.) */
#ifndef HEVCAST_DISPLAY_WRITER_H
#define HEVCAST_DISPLAY_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct writer {
    pthread_t thread;
    pthread_mutex_t lock; /* guards `ended` */
    pthread_cond_t changed;
    bool ended;
    void (*run)(void *ctx);
    void *ctx;
};

/* name: at most 15 bytes. The thread takes no signal (thread_start), SIGPIPE neither: a reader that
 * goes away is an error of write(2). false: no thread can be started. */
bool writer_start(struct writer *w, const char *name, void (*run)(void *ctx), void *ctx);
/* true: run returned. Any number of times. */
bool writer_wait(struct writer *w, int64_t timeout_us);
void writer_join(struct writer *w); /* waits as long as it takes; once */

#endif
