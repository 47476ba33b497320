#include "display/writer.h"

#include "base/thread.h"

#include <time.h>

static void *start(void *arg)
{
    struct writer *w = arg;
    w->run(w->ctx);
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool writer_start(struct writer *w, const char *name, void (*run)(void *ctx), void *ctx)
{
    w->run = run;
    w->ctx = ctx;
    w->ended = false;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (!thread_start(&w->thread, name, start, w))
        return true;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return false;
}

bool writer_wait(struct writer *w, int64_t timeout_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (timeout_us > 0 ? timeout_us % 1000000 * 1000 : 0);
    until.tv_sec += (timeout_us > 0 ? timeout_us / 1000000 : 0) + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->ended && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0)
        ;
    bool ended = w->ended;
    pthread_mutex_unlock(&w->lock);
    return ended;
}

void writer_join(struct writer *w)
{
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}
