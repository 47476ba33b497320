#include "display/rawout.h"

#include "base/error.h"
#include "base/log.h"
#include "display/repixel.h"
#include "display/sink.h"
#include "display/writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUE_PICTURES = 8 };

struct rawout {
    struct rawout_config config; /* path is the sink's */
    struct sink *sink;
    struct queue *queue;
    struct writer writer;
    atomic_llong written;
    /* The writer thread's. */
    struct repixel *repixel;
    int width, height;           /* the first size: what is written */
    int last_width, last_height; /* of the last picture */
};

static void free_picture(void *item)
{
    struct picture *p = item;
    picture_unref(&p);
}

static int write_y4m_header(struct rawout *r, enum raw_fmt fmt)
{
    /* Chroma of 4:2:0 sits left, as in MPEG-2 and in what HEVC signals by default. */
    char line[160];
    int n = snprintf(line, sizeof line, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C%s XCOLORRANGE=LIMITED\n",
                     r->width, r->height, r->config.fps > 0 ? r->config.fps : 60,
                     fmt == RAW_I444 ? "444" : "420mpeg2");
    return sink_write(r->sink, line, (size_t)n);
}

static int begin(struct rawout *r, const struct picture *pic)
{
    enum raw_fmt fmt = r->config.fmt;
    if (fmt == RAW_AUTO)
        fmt = pic->fmt == PIX_I444 || pic->fmt == PIX_BGRX ? RAW_I444 : RAW_I420;
    r->width = r->last_width = pic->width;
    r->height = r->last_height = pic->height;
    r->repixel = repixel_new(fmt, pic->width, pic->height);
    if (!r->repixel)
        return error_set(ERR_MEMORY, "out of memory");
    return r->config.y4m ? write_y4m_header(r, fmt) : 0;
}

/* 1: the size changed, and that was to end it. */
static int note_size(struct rawout *r, const struct picture *pic)
{
    if (pic->width == r->last_width && pic->height == r->last_height)
        return 0;
    r->last_width = pic->width;
    r->last_height = pic->height;
    if (r->config.stop_on_resize) {
        error_set(0, "the picture's size changed from %dx%d to %dx%d", r->width, r->height,
                  pic->width, pic->height);
        return 1;
    }
    LOG_WARN(raw, "the picture is now %dx%d; it is scaled into the %dx%d that were begun with",
             pic->width, pic->height, r->width, r->height);
    return 0;
}

static int write_picture(struct rawout *r, const struct picture *pic)
{
    int e = r->repixel ? note_size(r, pic) : begin(r, pic);
    if (e)
        return e;
    const uint8_t *bytes;
    if ((e = repixel_run(r->repixel, pic, &bytes)) < 0 ||
        (r->config.y4m && (e = sink_write(r->sink, "FRAME\n", 6)) < 0) ||
        (e = sink_write(r->sink, bytes, repixel_bytes(r->repixel))) < 0)
        return e;
    atomic_fetch_add(&r->written, 1);
    return 0;
}

static void run(void *ctx)
{
    struct rawout *r = ctx;
    struct picture *pic;
    while ((pic = queue_pop(r->queue, -1))) {
        int e = write_picture(r, pic);
        picture_unref(&pic);
        if (!e)
            continue;
        queue_close(r->queue);
        queue_flush(r->queue);
        if (!sink_aborted(r->sink) && r->config.on_end)
            r->config.on_end(r->config.ctx, e < 0 ? e : 0, error_text());
        break;
    }
}

int rawout_open(struct rawout **out, const struct rawout_config *config)
{
    *out = NULL;
    if (config->y4m && config->fmt != RAW_AUTO && config->fmt != RAW_I420 &&
        config->fmt != RAW_I444)
        return error_set(ERR_INVALID,
                         "Y4M holds i420 or i444 pictures alone; use --raw for others");
    struct rawout *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(ERR_MEMORY, "out of memory");
    r->config = *config;
    r->config.path = NULL;
    int e = sink_open(&r->sink, config->path);
    if (e < 0)
        goto fail;
    e = error_set(ERR_MEMORY, "out of memory");
    r->queue = queue_new("raw", QUEUE_PICTURES, QUEUE_DROP_OLDEST, free_picture);
    if (!r->queue || !writer_start(&r->writer, "raw", run, r))
        goto fail;
    *out = r;
    return 0;
fail:
    queue_free(&r->queue);
    sink_close(&r->sink);
    free(r);
    return e;
}

void rawout_push(struct rawout *r, struct picture *pic)
{
    queue_push(r->queue, pic);
}
struct queue_stats rawout_stats(struct rawout *r)
{
    return queue_get_stats(r->queue);
}
int64_t rawout_written(struct rawout *r)
{
    return atomic_load(&r->written);
}

void rawout_close(struct rawout **pr, int64_t timeout_us)
{
    struct rawout *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    queue_close(r->queue);
    if (!writer_wait(&r->writer, timeout_us)) {
        queue_flush(r->queue);
        sink_abort(r->sink);
    }
    writer_join(&r->writer);
    queue_free(&r->queue);
    sink_close(&r->sink);
    repixel_free(&r->repixel);
    free(r);
}
