#include "display/record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "decode/refs.h"
#include "display/mux.h"
#include "display/writer.h"
#include "hevc/nal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    QUEUE_UNITS = 256,
    QUEUE_BYTES = 32 << 20,
    FLUSH_US = 500000, /* what came is in the file after this much: half of what is promised */
    ASK_AGAIN_US = 1000000,
    JUMP_90K = 10 * 90000,    /* time stamps that jump by more began anew */
    LAST_DURATION_90K = 3000, /* of the last picture, when nothing is known */
};

struct record {
    struct record_config config;
    char *path;
    bool mp4;
    struct queue *queue;
    struct writer writer;
    atomic_size_t bytes; /* in the queue */
    atomic_llong gap_drops;
    /* The pushing thread's. */
    bool in_gap;
    /* The sink of the open file. `lock` guards it: record_close aborts it from outside. */
    pthread_mutex_t lock;
    struct sink *sink;
    bool give_up; /* later sinks are aborted at once */

    /* The writer thread's. */
    struct mux *mux;
    struct refs *refs;
    struct hevc_sps sps; /* of the open file */
    int files;
    struct access_unit *held; /* is written when its duration is known, or at the next flush */
    int64_t held_90k;
    int64_t begun_90k, now_90k; /* of the file's first picture, and of the newest */
    uint32_t last_rtp_ts;
    int64_t last_complete_us;
    bool has_time;
    int64_t flush_at_us; /* 0: nothing is waiting */
    int64_t asked_us;
};

static void free_unit(void *item)
{
    struct access_unit *au = item;
    access_unit_unref(&au);
}

/* NAME.EXT, then NAME-2.EXT, NAME-3.EXT. */
static void file_name(const struct record *r, int number, char *out, size_t len)
{
    const char *dot = strrchr(r->path, '.');
    if (number < 2)
        snprintf(out, len, "%s", r->path);
    else
        snprintf(out, len, "%.*s-%d%s", (int)(dot - r->path), r->path, number, dot);
}

static void set_sink(struct record *r, struct sink *s)
{
    pthread_mutex_lock(&r->lock);
    r->sink = s;
    if (s && r->give_up)
        sink_abort(s);
    pthread_mutex_unlock(&r->lock);
}

/* Media time of au in 90 kHz since the recording's beginning (RTP time stamps wrap around). */
static void advance_time(struct record *r, const struct access_unit *au)
{
    int64_t step = (int32_t)(au->rtp_ts - r->last_rtp_ts);
    if (!r->has_time)
        step = 0;
    else if (step <= 0 || step > JUMP_90K) {
        int64_t arrival = (au->complete_us - r->last_complete_us) * 9 / 100;
        if (step <= 0 || step > arrival + JUMP_90K)
            step = arrival > 0 && arrival < (1 << 30) ? arrival : LAST_DURATION_90K;
    }
    r->has_time = true;
    r->now_90k += step;
    r->last_rtp_ts = au->rtp_ts;
    r->last_complete_us = au->complete_us;
}

static int write_held(struct record *r, int64_t duration_90k)
{
    if (!r->held)
        return 0;
    int e =
        mux_write(r->mux, r->held, r->held_90k - r->begun_90k, duration_90k > 0 ? duration_90k : 1);
    access_unit_unref(&r->held);
    return e;
}

static int flush(struct record *r)
{
    r->flush_at_us = 0;
    int e = write_held(r, LAST_DURATION_90K);
    return e < 0 ? e : mux_flush(r->mux);
}

static int close_file(struct record *r)
{
    int e = 0;
    if (r->mux && (e = write_held(r, LAST_DURATION_90K)) < 0)
        mux_abandon(&r->mux);
    else
        e = mux_close(&r->mux);
    r->flush_at_us = 0;
    struct sink *sink = r->sink;
    set_sink(r, NULL);
    sink_close(&sink);
    return e;
}

static bool same_format(const struct hevc_sps *a, const struct hevc_sps *b)
{
    return a->width == b->width && a->height == b->height &&
           a->chroma_format_idc == b->chroma_format_idc && a->bit_depth_luma == b->bit_depth_luma;
}

/* The file for the pictures that begin with this IRAP: the one that is open, or a new one. */
static int file_for(struct record *r, const struct access_unit *irap)
{
    struct nal n;
    struct hevc_sps sps;
    size_t pos = 0;
    bool found = false;
    while (!found && annexb_next(irap->data, irap->len, &pos, &n))
        found = nal_type(&n) == NAL_SPS && hevc_parse_sps(&n, &sps);
    if (!found || (r->mux && same_format(&sps, &r->sps)))
        return 0;
    if (r->files++) {
        char name[4096];
        struct sink *sink;
        int e = close_file(r);
        if (e < 0)
            return e;
        file_name(r, r->files, name, sizeof name);
        if ((e = sink_open(&sink, name)) < 0)
            return e;
        LOG_WARN(record, "the picture is now %dx%d; the recording goes on in %s", sps.width,
                 sps.height, name);
        set_sink(r, sink);
    }
    r->sps = sps;
    r->begun_90k = r->now_90k;
    return mux_open(&r->mux, r->sink, r->mp4, irap, &sps);
}

/* Nothing can be recorded until an IRAP comes. */
static void ask(struct record *r)
{
    int64_t now = clock_now_us();
    if (r->asked_us && now - r->asked_us < ASK_AGAIN_US)
        return;
    r->asked_us = now;
    if (r->config.on_gap)
        r->config.on_gap(r->config.ctx);
}

static int add(struct record *r, struct access_unit *au)
{
    bool irap;
    advance_time(r, au);
    switch (refs_check(r->refs, au, &irap)) {
    case REFS_MISSING:
        ask(r);
        return 0;
    case REFS_LEADING:
    case REFS_NONE:
        return 0;
    case REFS_WHOLE:
        break;
    }
    r->asked_us = 0;
    int e = write_held(r, r->now_90k - r->held_90k);
    if (e < 0 || (irap && (e = file_for(r, au)) < 0))
        return e;
    if (!r->mux) { /* an IRAP without an SPS of its own */
        refs_reset(r->refs);
        return 0;
    }
    r->held = access_unit_ref(au);
    r->held_90k = r->now_90k;
    if (!r->flush_at_us)
        r->flush_at_us = clock_now_us() + FLUSH_US;
    return 0;
}

static int record_all(struct record *r)
{
    for (;;) {
        int64_t wait = r->flush_at_us ? r->flush_at_us - clock_now_us() : -1;
        struct access_unit *au = queue_pop(r->queue, r->flush_at_us && wait < 0 ? 0 : wait);
        int e = 0;
        if (au) {
            atomic_fetch_sub(&r->bytes, au->len);
            e = add(r, au);
            access_unit_unref(&au);
        } else if (queue_closed(r->queue)) {
            return 0;
        }
        if (e == 0 && r->flush_at_us && clock_now_us() >= r->flush_at_us)
            e = flush(r);
        if (e < 0)
            return e;
    }
}

static void run(void *ctx)
{
    struct record *r = ctx;
    int e = record_all(r);
    if (e == 0)
        e = close_file(r);
    if (e < 0) {
        queue_close(r->queue);
        queue_flush(r->queue);
        pthread_mutex_lock(&r->lock);
        bool given_up = r->give_up;
        pthread_mutex_unlock(&r->lock);
        if (!given_up && r->config.on_end)
            r->config.on_end(r->config.ctx, e, error_text());
    }
    access_unit_unref(&r->held);
    mux_abandon(&r->mux);
}

static void record_free(struct record *r)
{
    queue_free(&r->queue);
    sink_close(&r->sink);
    refs_free(&r->refs);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

int record_open(struct record **out, const struct record_config *config)
{
    *out = NULL;
    const char *dot = strrchr(config->path, '.');
    bool mp4 = dot && strcasecmp(dot, ".mp4") == 0;
    if (!mp4 && !(dot && strcasecmp(dot, ".mkv") == 0))
        return error_set(ERR_INVALID, "a recording ends in .mkv or .mp4, %s does not",
                         config->path);
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(ERR_MEMORY, "out of memory");
    pthread_mutex_init(&r->lock, NULL);
    r->config = *config;
    r->mp4 = mp4;
    r->path = strdup(config->path);
    r->config.path = r->path;
    r->refs = refs_new();
    r->queue = queue_new("record", QUEUE_UNITS, QUEUE_REJECT, free_unit);
    int e = ERR_MEMORY;
    if (!r->path || !r->refs || !r->queue) {
        error_set(e, "out of memory");
        goto fail;
    }
    if ((e = sink_open(&r->sink, r->path)) < 0)
        goto fail;
    if (!writer_start(&r->writer, "record", run, r)) {
        e = error_set(ERR_MEMORY, "no thread can be started");
        goto fail;
    }
    *out = r;
    return 0;
fail:
    record_free(r);
    return e;
}

void record_push(struct record *r, struct access_unit *au)
{
    struct queue_stats st = queue_get_stats(r->queue);
    bool full = st.length >= st.capacity || atomic_load(&r->bytes) + au->len > QUEUE_BYTES;
    if (full && (!r->in_gap || au->irap)) {
        if (!queue_closed(r->queue))
            LOG_RATE(record, LOG_LEVEL_WARN,
                     "the disk is too slow: pictures are left out of the recording");
        r->in_gap = true;
        if (r->config.on_gap)
            r->config.on_gap(r->config.ctx);
    }
    if (full || (r->in_gap && !au->irap)) {
        atomic_fetch_add(&r->gap_drops, 1);
        access_unit_unref(&au);
        return;
    }
    r->in_gap = false;
    size_t len = au->len;
    atomic_fetch_add(&r->bytes, len);
    if (queue_push(r->queue, au) != QUEUE_OK)
        atomic_fetch_sub(&r->bytes, len);
}

struct queue_stats record_stats(struct record *r)
{
    struct queue_stats st = queue_get_stats(r->queue);
    st.drops += atomic_load(&r->gap_drops);
    return st;
}

void record_close(struct record **pr, int64_t timeout_us)
{
    struct record *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    queue_close(r->queue);
    if (!writer_wait(&r->writer, timeout_us)) {
        queue_flush(r->queue);
        pthread_mutex_lock(&r->lock);
        r->give_up = true;
        if (r->sink)
            sink_abort(r->sink);
        pthread_mutex_unlock(&r->lock);
    }
    writer_join(&r->writer);
    record_free(r);
}
