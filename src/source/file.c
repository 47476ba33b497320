/* The file driver: a reader thread takes pictures or access units out of the file ahead of time,
 * a few; `wait` tells when the first of them is due.
 *
 * The thread is the source's own because libavformat's reads block, and can only be given up,
 * not gone on with after a time-out: the capture thread must be free to be woken. Closing ends
 * it, wherever it blocks. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "decode/avlog.h"
#include "source/file_pace.h"
#include "source/file_stream.h"
#include "source/source.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A full queue makes the reader wait, and through a pipe its writer: coded access units are
 * never dropped here. */
enum { QUEUE_MAX = 16, QUEUE_PICTURES = 3, QUEUE_UNITS = 16 };

struct queued {
    struct file_item item; /* owns */
    int64_t due_us, ready_us;
};

struct file_source {
    struct source base;
    struct file_stream *stream; /* the reader's; cancel is the capture thread's */
    bool loop;
    int64_t fewest_us; /* between two pictures, from --fps; 0: access units */
    pthread_t reader;
    bool have_lock, have_reader;

    pthread_mutex_t lock; /* guards the following */
    pthread_cond_t changed;
    struct queued queue[QUEUE_MAX];
    int head, len, capacity;
    bool closing, interrupted;
    bool ended, failed; /* the reader is done */
    int64_t end_us;     /* when the last one was shown for its time */
    char reason[256];

    /* The capture thread's. */
    struct picture *shown; /* owns a reference */
    int64_t late_drops;
};

static struct file_source *file_of(struct source *s) { return (struct file_source *)s; }

static void item_free(struct file_item *item)
{
    access_unit_unref(&item->au);
    picture_unref(&item->pic);
}

/* ---- the reader thread ---- */

/* takes item. false: closing. */
static bool queue_put(struct file_source *f, struct file_item *item, int64_t due_us)
{
    pthread_mutex_lock(&f->lock);
    while (f->len == f->capacity && !f->closing)
        pthread_cond_wait(&f->changed, &f->lock);
    bool open = !f->closing;
    if (open) {
        struct queued *q = &f->queue[(f->head + f->len++) % QUEUE_MAX];
        *q = (struct queued){.item = *item, .due_us = due_us, .ready_us = clock_now_us()};
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    if (!open)
        item_free(item);
    return open;
}

/* One run through the file. ERR_ENDED at its end, or an error. */
static int play_once(struct file_source *f, struct file_pace *pace, int64_t *next_ok_us, int *count)
{
    for (;;) {
        struct file_item item;
        int rc = file_stream_next(f->stream, &item);
        if (rc < 0)
            return rc;
        ++*count;
        int64_t due = file_pace_next(pace, item.media_us, clock_now_us());
        /* --fps bounds pictures; timestamps in milliseconds are rounded. */
        if (f->fewest_us && due + 2000 < *next_ok_us) {
            item_free(&item);
            continue;
        }
        int64_t base = *next_ok_us > due - f->fewest_us ? *next_ok_us : due - f->fewest_us;
        *next_ok_us = base + f->fewest_us;
        if (!queue_put(f, &item, due))
            return ERR_ENDED;
    }
}

static bool is_closing(struct file_source *f)
{
    pthread_mutex_lock(&f->lock);
    bool closing = f->closing;
    pthread_mutex_unlock(&f->lock);
    return closing;
}

static void *reader_main(void *arg)
{
    struct file_source *f = arg;
    struct file_pace pace = {.interval_us = file_stream_interval_us(f->stream),
                             .gap_us = file_stream_gap_us(f->stream),
                             .live = file_stream_live(f->stream),
                             .begun_us = file_stream_begun_us(f->stream)};
    int64_t next_ok_us = INT64_MIN / 2;
    char reason[sizeof f->reason] = "";
    int rc;
    do {
        int count = 0;
        rc = play_once(f, &pace, &next_ok_us, &count);
        if (rc != ERR_ENDED || is_closing(f))
            break;
        if (!pace.anchored)
            rc = error_set(ERR_UNSUPPORTED, "%s has no picture that can be decoded",
                           file_stream_name(f->stream));
        file_pace_jump(&pace);
        if (!f->loop || !count)
            break;
        int again = file_stream_rewind(f->stream);
        if (again == ERR_UNSUPPORTED) /* said at open */
            break;
        rc = again;
    } while (rc == 0);
    if (rc != ERR_ENDED)
        snprintf(reason, sizeof reason, "%.255s", error_text());
    pthread_mutex_lock(&f->lock);
    f->ended = true;
    f->failed = rc != ERR_ENDED;
    f->end_us = file_pace_end(&pace);
    memcpy(f->reason, reason, sizeof reason);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- open and close ---- */

static bool file_takes(const char *spec) { return spec && *spec; }

static void file_close(struct source *s)
{
    struct file_source *f = file_of(s);
    if (f->have_reader) {
        pthread_mutex_lock(&f->lock);
        f->closing = true;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
        file_stream_cancel(f->stream);
        pthread_join(f->reader, NULL);
    }
    if (f->late_drops)
        LOG_INFO(source, "%lld pictures came too late and were left out", (long long)f->late_drops);
    for (; f->len; f->len--, f->head = (f->head + 1) % QUEUE_MAX)
        item_free(&f->queue[f->head].item);
    picture_unref(&f->shown);
    file_stream_free(&f->stream);
    if (f->have_lock) {
        pthread_mutex_destroy(&f->lock);
        pthread_cond_destroy(&f->changed);
    }
    free(f);
}

static bool init_lock(struct file_source *f)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr))
        return false;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    f->have_lock = !pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (f->have_lock && pthread_mutex_init(&f->lock, NULL)) {
        pthread_cond_destroy(&f->changed);
        f->have_lock = false;
    }
    return f->have_lock;
}

static int file_open(struct source **out, const struct source_config *config)
{
    avlog_route();
    struct file_source *f = calloc(1, sizeof *f);
    if (!f || !init_lock(f)) {
        free(f);
        return error_set(ERR_MEMORY, "not enough memory to read a file");
    }
    f->base.ops = &source_file;
    f->loop = config->loop;
    int rc = file_stream_open(&f->stream, config, &f->base.info);
    if (rc < 0) {
        file_close(&f->base);
        return rc;
    }
    bool pictures = f->base.info.kind == SOURCE_PICTURES;
    f->capacity = pictures ? QUEUE_PICTURES : QUEUE_UNITS;
    f->fewest_us = pictures && config->fps > 0 ? 1000000 / config->fps : 0;
    *out = &f->base;
    return 0;
}

/* ---- the capture thread ---- */

/* At the first wait, not at open: a recording that waits for its first viewer begins then, and
 * not with what fell due meanwhile. */
static void start_reader(struct file_source *f)
{
    if (f->have_reader || f->ended)
        return;
    f->have_reader = !thread_start(&f->reader, "hc-file", reader_main, f);
    if (f->have_reader)
        return;
    f->ended = f->failed = true;
    snprintf(f->reason, sizeof f->reason, "cannot start the thread that reads %.200s",
             file_stream_name(f->stream));
}

static void wait_until(struct file_source *f, int64_t us)
{
    struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    if (us == INT64_MAX)
        pthread_cond_wait(&f->changed, &f->lock);
    else
        pthread_cond_timedwait(&f->changed, &f->lock, &ts);
}

static int file_wait(struct source *s, int64_t timeout_us)
{
    struct file_source *f = file_of(s);
    int64_t deadline = timeout_us < 0 ? INT64_MAX : clock_now_us() + timeout_us;
    int what = -1;
    pthread_mutex_lock(&f->lock);
    start_reader(f);
    while (what < 0) {
        int64_t now = clock_now_us(), due = INT64_MAX;
        if (f->len)
            due = f->queue[f->head].due_us;
        else if (f->ended)
            due = f->failed ? now : f->end_us;
        if (f->interrupted)
            what = SOURCE_IDLE;
        else if (now >= due)
            what = f->len ? SOURCE_CHANGED : SOURCE_ENDED;
        else if (now >= deadline)
            what = SOURCE_IDLE;
        else
            wait_until(f, due < deadline ? due : deadline);
    }
    f->interrupted = false;
    if (what == SOURCE_ENDED) {
        memcpy(s->end_reason, f->reason, sizeof s->end_reason);
        s->failed = f->failed;
    }
    pthread_mutex_unlock(&f->lock);
    return what;
}

/* The first of the queue if it is due. With `newest`, those that a later one replaces are
 * dropped. 0, ERR_ENDED or ERR_TIMEOUT. */
static int take(struct file_source *f, bool newest, struct queued *out)
{
    int rc = ERR_TIMEOUT;
    pthread_mutex_lock(&f->lock);
    start_reader(f);
    int64_t now = clock_now_us();
    while (f->len && f->queue[f->head].due_us <= now && (rc < 0 || newest)) {
        if (rc == 0) {
            f->late_drops++;
            item_free(&out->item);
        }
        *out = f->queue[f->head];
        f->head = (f->head + 1) % QUEUE_MAX;
        f->len--;
        rc = 0;
    }
    if (rc < 0 && !f->len && f->ended && (f->failed || now >= f->end_us))
        rc = ERR_ENDED;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

/* The time when it could be handed on: what happens from then on is delay. */
static int64_t capture_time(const struct queued *q)
{
    return q->ready_us > q->due_us ? q->ready_us : q->due_us;
}

static int file_read_au(struct source *s, struct access_unit **out)
{
    struct queued q = {0};
    int rc = take(file_of(s), false, &q);
    if (rc < 0)
        return error_set(rc, rc == ERR_ENDED ? "the file is at its end" : "no picture is due yet");
    struct access_unit *au = q.item.au;
    au->pts_us = q.due_us;
    au->event_us = au->capture_us = capture_time(&q);
    au->convert_us = au->encode_start_us = au->encode_us = au->capture_us;
    *out = au;
    return 0;
}

static void release_again(struct picture *p, void *ctx)
{
    struct picture *shown = ctx;
    picture_unref(&shown);
    free(p);
}

/* The picture that was given last under a new header, since pictures are immutable: this one has
 * no damage. */
static struct picture *picture_again(struct picture *shown)
{
    struct picture *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    const size_t after = offsetof(struct picture, fmt); /* another thread may count right now */
    memset(p, 0, sizeof *p);
    memcpy((char *)p + after, (const char *)shown + after, sizeof *p - after);
    atomic_init(&p->refs, 1);
    damage_clear(&p->damage);
    p->release = release_again;
    p->release_ctx = picture_ref(shown);
    return p;
}

static int file_read(struct source *s, struct picture **out)
{
    struct file_source *f = file_of(s);
    struct queued q = {0};
    int rc = take(f, true, &q);
    if (rc == ERR_ENDED)
        return error_set(rc, "the file is at its end");
    if (rc < 0) {
        *out = f->shown ? picture_again(f->shown) : NULL;
        return *out ? 0 : error_set(ERR_TIMEOUT, "no picture is due yet");
    }
    struct picture *p = q.item.pic;
    damage_set_all(&p->damage, p->width, p->height);
    p->pts_us = q.due_us;
    p->event_us = p->capture_us = capture_time(&q);
    picture_unref(&f->shown);
    f->shown = picture_ref(p);
    *out = p;
    return 0;
}

static void file_interrupt(struct source *s)
{
    struct file_source *f = file_of(s);
    pthread_mutex_lock(&f->lock);
    f->interrupted = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

const struct source_ops source_file = {
    .name = "file",
    .takes = file_takes,
    .open = file_open,
    .wait = file_wait,
    .read = file_read,
    .read_au = file_read_au,
    .interrupt = file_interrupt,
    .close = file_close,
};
