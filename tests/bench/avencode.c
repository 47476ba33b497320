#include "avencode.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What each is told; "%d" in params is the quality. */
static const struct setting {
    const char *name, *codec, *preset, *key, *params;
    int quality[AVENCODE_POINTS];
} settings[] = {
    {"x265-ultrafast", "libx265", "ultrafast", "x265-params",
     "log-level=error:pools=none:frame-threads=1:keyint=-1:crf=%d", {16, 22, 28, 34}},
    {"x265-superfast", "libx265", "superfast", "x265-params",
     "log-level=error:pools=none:frame-threads=1:keyint=-1:crf=%d", {16, 22, 28, 34}},
    {"x265-veryfast-umh", "libx265", "veryfast", "x265-params",
     "log-level=error:pools=none:frame-threads=1:keyint=-1:me=umh:merange=128:crf=%d",
     {16, 22, 28, 34}},
    {"x264-ultrafast", "libx264", "ultrafast", "x264-params",
     "threads=1:sliced-threads=0:keyint=infinite:crf=%d", {16, 22, 28, 34}},
    {"x264-veryfast-umh", "libx264", "veryfast", "x264-params",
     "threads=1:sliced-threads=0:keyint=infinite:me=umh:merange=128:crf=%d", {16, 22, 28, 34}},
    {"libaom-rt", "libaom-av1", NULL, "aom-params",
     "tune-content=screen:enable-palette=1:enable-intrabc=1:cq-level=%d", {20, 32, 44, 56}},
};

struct avencode {
    AVCodecContext *ctx, *decoder;
    AVFrame *frame, *got;
    AVPacket *packet;
    int64_t pts;
};

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double avencode_cpu_ms(void) { return clock_ms(CLOCK_PROCESS_CPUTIME_ID); }

double avencode_wall_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

const char *avencode_name(int i)
{
    return i < (int)(sizeof settings / sizeof settings[0]) ? settings[i].name : NULL;
}

static bool open_encoder(struct avencode *e, const struct setting *s, int width, int height,
                         int point)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(s->codec);
    e->ctx = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!e->ctx)
        return false;
    char params[256];
    snprintf(params, sizeof params, s->params, s->quality[point]);
    e->ctx->width = width;
    e->ctx->height = height;
    e->ctx->pix_fmt = AV_PIX_FMT_YUV420P;
    e->ctx->time_base = (AVRational){1, 30};
    e->ctx->framerate = (AVRational){30, 1};
    e->ctx->thread_count = 1;
    e->ctx->gop_size = 9999;
    e->ctx->max_b_frames = 0;
    if (s->preset) {
        av_opt_set(e->ctx->priv_data, "preset", s->preset, 0);
        av_opt_set(e->ctx->priv_data, "tune", "zerolatency", 0);
    } else {
        av_opt_set(e->ctx->priv_data, "usage", "realtime", 0);
        av_opt_set_int(e->ctx->priv_data, "cpu-used", 8, 0);
        av_opt_set_int(e->ctx->priv_data, "lag-in-frames", 0, 0);
        av_opt_set_int(e->ctx->priv_data, "crf", s->quality[point], 0);
    }
    av_opt_set(e->ctx->priv_data, s->key, params, 0);
    return avcodec_open2(e->ctx, codec, NULL) >= 0;
}

static bool open_decoder(struct avencode *e)
{
    const AVCodec *codec = avcodec_find_decoder(e->ctx->codec_id);
    e->decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!e->decoder)
        return false;
    e->decoder->thread_count = 1;
    e->decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    return avcodec_open2(e->decoder, codec, NULL) >= 0;
}

struct avencode *avencode_new(const char *name, int width, int height, int point)
{
    const struct setting *s = NULL;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!strcmp(settings[i].name, name))
            s = &settings[i];
    av_log_set_level(AV_LOG_ERROR);
    struct avencode *e = s && point < AVENCODE_POINTS ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->frame = av_frame_alloc();
    e->got = av_frame_alloc();
    e->packet = av_packet_alloc();
    if (!e->frame || !e->got || !e->packet || !open_encoder(e, s, width, height, point) ||
        !open_decoder(e)) {
        avencode_free(&e);
        return NULL;
    }
    e->frame->width = width;
    e->frame->height = height;
    e->frame->format = AV_PIX_FMT_YUV420P;
    if (av_frame_get_buffer(e->frame, 32) < 0)
        avencode_free(&e);
    return e;
}

void avencode_free(struct avencode **pe)
{
    struct avencode *e = *pe;
    *pe = NULL;
    if (!e)
        return;
    avcodec_free_context(&e->ctx);
    avcodec_free_context(&e->decoder);
    av_frame_free(&e->frame);
    av_frame_free(&e->got);
    av_packet_free(&e->packet);
    free(e);
}

static struct picture *decode(struct avencode *e)
{
    if (avcodec_send_packet(e->decoder, e->packet) < 0 ||
        avcodec_receive_frame(e->decoder, e->got) < 0)
        return NULL;
    struct picture *p = picture_new(PIX_I420, e->got->width, e->got->height);
    for (int i = 0; p && i < 3; i++)
        for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++)
            memcpy(p->plane[i] + (ptrdiff_t)y * p->stride[i],
                   e->got->data[i] + (ptrdiff_t)y * e->got->linesize[i],
                   (size_t)picture_row_bytes(p->fmt, p->width, i));
    av_frame_unref(e->got);
    return p;
}

struct picture *avencode_run(struct avencode *e, const struct picture *pic, size_t *bytes,
                             double *cpu_ms, double *wall_ms)
{
    if (av_frame_make_writable(e->frame) < 0)
        return NULL;
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < picture_rows(pic->fmt, pic->height, i); y++)
            memcpy(e->frame->data[i] + (ptrdiff_t)y * e->frame->linesize[i],
                   pic->plane[i] + (ptrdiff_t)y * pic->stride[i],
                   (size_t)picture_row_bytes(pic->fmt, pic->width, i));
    e->frame->pts = e->pts++;
    double start = avencode_cpu_ms(), since = avencode_wall_ms();
    int rc = avcodec_send_frame(e->ctx, e->frame);
    if (rc >= 0)
        rc = avcodec_receive_packet(e->ctx, e->packet);
    *cpu_ms = avencode_cpu_ms() - start;
    *wall_ms = avencode_wall_ms() - since;
    if (rc < 0)
        return NULL;
    *bytes = (size_t)e->packet->size;
    struct picture *p = decode(e);
    av_packet_unref(e->packet);
    return p;
}
