/* The display of --no-window: shows nothing, waits all the same. */
#include "base/error.h"
#include "display/display.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct null_display {
    struct display base;
    pthread_mutex_t lock; /* guards `woken` */
    pthread_cond_t changed;
    bool woken;
};

static bool null_probe(char *reason, size_t reason_len)
{
    (void)reason;
    (void)reason_len;
    return true;
}

static int null_open(struct display **out, const char *title, bool fullscreen)
{
    (void)title;
    (void)fullscreen;
    struct null_display *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(ERR_MEMORY, "out of memory");
    d->base.ops = &display_null;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&d->lock, NULL);
    *out = &d->base;
    return 0;
}

static int null_show(struct display *base, const struct picture *pic)
{
    (void)base;
    (void)pic;
    return 0;
}

static void null_overlay(struct display *base, const char *text)
{
    (void)base;
    (void)text;
}

static void null_message(struct display *base, const char *text)
{
    (void)base;
    (void)text;
}

static enum display_event null_wait(struct display *base, int64_t timeout_us)
{
    struct null_display *d = (struct null_display *)base;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (timeout_us > 0 ? timeout_us % 1000000 * 1000 : 0);
    until.tv_sec += (timeout_us > 0 ? timeout_us / 1000000 : 0) + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&d->lock);
    while (!d->woken)
        if (timeout_us < 0)
            pthread_cond_wait(&d->changed, &d->lock);
        else if (pthread_cond_timedwait(&d->changed, &d->lock, &until) == ETIMEDOUT)
            break;
    d->woken = false;
    pthread_mutex_unlock(&d->lock);
    return DISPLAY_NONE;
}

static void null_wake(struct display *base)
{
    struct null_display *d = (struct null_display *)base;
    pthread_mutex_lock(&d->lock);
    d->woken = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

static void null_close(struct display *base)
{
    struct null_display *d = (struct null_display *)base;
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

const struct display_ops display_null = {
    .name = "null",
    .probe = null_probe,
    .open = null_open,
    .show = null_show,
    .overlay = null_overlay,
    .message = null_message,
    .wait = null_wait,
    .wake = null_wake,
    .close = null_close,
};
