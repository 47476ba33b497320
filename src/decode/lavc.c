/* The decoders of libavcodec: on the CPU, by VA-API, by CUDA (NVDEC). */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "decode/avlog.h"
#include "decode/decoder.h"
#include "decode/frame_picture.h"
#include "decode/refs.h"

#include <libavcodec/avcodec.h>
#include <libavutil/hwcontext.h>
#include <libavutil/imgutils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More threads than these do not help: they work on rows of one picture. */
enum { MAX_THREADS = 8 };
/* Access units inside the decoder: 0 after each call, but for streams that reorder. */
enum { IN_FLIGHT = 32 };

struct times {
    int64_t pts_us, event_us, capture_us, first_packet_us, complete_us, show_us, decode_start_us;
    uint64_t capture_ntp;
};

struct lavc {
    struct decoder base;
    AVCodecContext *ctx;
    AVBufferRef *device;       /* NULL: on the CPU */
    enum AVPixelFormat hw_fmt; /* NONE: on the CPU */
    AVBufferRef *input;        /* the packet's bytes, padded; reused */
    AVPacket *packet;
    struct frame_pictures *pictures;
    struct refs *refs;
    int64_t count;
    struct times times[IN_FLIGHT];
};

static void lavc_close(struct decoder *base)
{
    struct lavc *d = (struct lavc *)base;
    if (!d)
        return;
    avcodec_free_context(&d->ctx);
    av_buffer_unref(&d->device);
    av_buffer_unref(&d->input);
    av_packet_free(&d->packet);
    frame_pictures_free(&d->pictures);
    refs_free(&d->refs);
    free(d);
}

static enum AVPixelFormat choose_hw_format(AVCodecContext *ctx, const enum AVPixelFormat *list)
{
    const struct lavc *d = ctx->opaque;
    for (; *list != AV_PIX_FMT_NONE; list++)
        if (*list == d->hw_fmt)
            return *list;
    return AV_PIX_FMT_NONE;
}

static int lavc_open(struct decoder **out, const struct decoder_ops *ops, enum AVHWDeviceType type,
                     enum AVPixelFormat hw_fmt)
{
    avlog_route();
    const AVCodec *codec = avcodec_find_decoder_by_name("hevc");
    if (!codec)
        return error_set(ERR_UNSUPPORTED, "libavcodec was built without its HEVC decoder; install "
                                          "the distribution's libavcodec");
    struct lavc *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(ERR_MEMORY, "out of memory");
    int error = ERR_MEMORY;
    d->base.ops = ops;
    d->hw_fmt = hw_fmt;
    d->ctx = avcodec_alloc_context3(codec);
    d->packet = av_packet_alloc();
    d->pictures = frame_pictures_new();
    d->refs = refs_new();
    if (!d->ctx || !d->packet || !d->pictures || !d->refs)
        goto fail;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    d->ctx->opaque = d;
    /* Frame threads would hold back a picture each. Slice threads work on the rows of a picture
     * that was coded with wavefronts. */
    d->ctx->thread_type = FF_THREAD_SLICE;
    d->ctx->thread_count = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
    d->ctx->flags |= AV_CODEC_FLAG_LOW_DELAY | AV_CODEC_FLAG_UNALIGNED;
    d->ctx->err_recognition = AV_EF_EXPLODE; /* a broken slice is an error, not a concealment */
    if (hw_fmt != AV_PIX_FMT_NONE) {
        error = ERR_UNSUPPORTED;
        if (av_hwdevice_ctx_create(&d->device, type, NULL, NULL, 0) < 0)
            goto fail;
        d->ctx->hw_device_ctx = av_buffer_ref(d->device);
        d->ctx->get_format = choose_hw_format;
        d->ctx->thread_count = 1;
    }
    if (avcodec_open2(d->ctx, codec, NULL) < 0) {
        error = ERR_UNSUPPORTED;
        goto fail;
    }
    *out = &d->base;
    return 0;
fail:
    lavc_close(&d->base);
    return error_set(error,
                     error == ERR_MEMORY ? "out of memory"
                                         : "the decoder %s cannot be opened; use "
                                           "--decoder auto",
                     ops->name);
}

/* Copies au into the packet without its SEI messages (a broken one must not cost a picture).
 * libavcodec reads past the end, so the copy is padded. */
static int fill_packet(struct lavc *d, const struct access_unit *au)
{
    size_t need = au->len + AV_INPUT_BUFFER_PADDING_SIZE;
    if (au->len > INT32_MAX / 2)
        return error_set(ERR_PROTOCOL, "an access unit is too large");
    if (!d->input || d->input->size < need || !av_buffer_is_writable(d->input)) {
        av_buffer_unref(&d->input);
        d->input = av_buffer_alloc(need + need / 2);
        if (!d->input)
            return error_set(ERR_MEMORY, "out of memory");
    }
    size_t len = refs_copy_without_sei(d->input->data, au->data, au->len);
    memset(d->input->data + len, 0, AV_INPUT_BUFFER_PADDING_SIZE);
    d->packet->buf = av_buffer_ref(d->input);
    if (!d->packet->buf)
        return error_set(ERR_MEMORY, "out of memory");
    d->packet->data = d->input->data;
    d->packet->size = (int)len;
    d->packet->pts = d->packet->dts = d->count;
    return 0;
}

static void remember_times(struct lavc *d, const struct access_unit *au)
{
    d->times[d->count % IN_FLIGHT] = (struct times){
        .pts_us = au->pts_us,
        .event_us = au->event_us,
        .capture_us = au->capture_us,
        .first_packet_us = au->first_packet_us,
        .complete_us = au->complete_us,
        .show_us = au->show_us,
        .decode_start_us = clock_now_us(),
        .capture_ntp = au->capture_ntp,
    };
}

static void fill_times(const struct lavc *d, int64_t number, struct picture *pic)
{
    const struct times *t = &d->times[(uint64_t)number % IN_FLIGHT];
    pic->pts_us = t->pts_us;
    pic->event_us = t->event_us;
    pic->capture_us = t->capture_us;
    pic->first_packet_us = t->first_packet_us;
    pic->complete_us = t->complete_us;
    pic->show_us = t->show_us;
    pic->decode_start_us = t->decode_start_us;
    pic->capture_ntp = t->capture_ntp;
    pic->ready_us = clock_now_us();
}

/* Forgets all pictures: after a failure in the middle of one, nothing is to be trusted. */
static void start_over(struct lavc *d)
{
    avcodec_flush_buffers(d->ctx);
    refs_reset(d->refs);
}

static int receive(struct lavc *d, struct picture **out)
{
    for (;;) {
        AVFrame *frame = frame_pictures_frame(d->pictures);
        if (!frame)
            return error_set(ERR_MEMORY, "out of memory");
        int r = avcodec_receive_frame(d->ctx, frame);
        if (r == AVERROR(EAGAIN) || r == AVERROR_EOF)
            return 0;
        if (r < 0)
            return error_set(ERR_PROTOCOL, "a picture could not be decoded: %s", av_err2str(r));
        if (frame->decode_error_flags || (frame->flags & AV_FRAME_FLAG_CORRUPT))
            return error_set(ERR_PROTOCOL, "a picture is corrupt");
        int64_t number = frame->pts;
        struct picture *pic = NULL;
        r = frame_pictures_take(d->pictures, &pic);
        if (r < 0)
            return r;
        picture_unref(out); /* a stream that reorders gave two: the newer one is shown */
        *out = pic;
        fill_times(d, number, pic);
    }
}

static int lavc_decode(struct decoder *base, const struct access_unit *au, struct picture **out)
{
    struct lavc *d = (struct lavc *)base;
    bool was_started = refs_started(d->refs), irap;
    *out = NULL;
    switch (refs_check(d->refs, au, &irap)) {
    case REFS_MISSING:
        return error_set(ERR_PROTOCOL, was_started
                                           ? "a picture refers to one that was lost; waiting for "
                                             "a key frame"
                                           : "waiting for a key frame");
    case REFS_LEADING:
        return 0;
    case REFS_NONE:
        if (!refs_started(d->refs))
            return error_set(ERR_PROTOCOL, "waiting for a key frame");
        break;
    case REFS_WHOLE:
        break;
    }
    remember_times(d, au);
    int r = fill_packet(d, au);
    if (r == 0) {
        r = avcodec_send_packet(d->ctx, d->packet);
        av_packet_unref(d->packet);
        if (r < 0)
            r = error_set(ERR_PROTOCOL, "a picture could not be decoded: %s", av_err2str(r));
        else
            r = receive(d, out);
    }
    d->count++;
    if (r < 0) {
        picture_unref(out);
        if (r == ERR_PROTOCOL)
            start_over(d);
    }
    return r;
}

static bool cpu_probe(char *reason, size_t reason_len)
{
    if (avcodec_find_decoder_by_name("hevc"))
        return true;
    snprintf(reason, reason_len, "libavcodec was built without its HEVC decoder");
    return false;
}

static int cpu_open(struct decoder **out)
{
    return lavc_open(out, &decoder_cpu, AV_HWDEVICE_TYPE_NONE, AV_PIX_FMT_NONE);
}

/* Does libavcodec's HEVC decoder know the device, and is there one? */
static bool hw_probe(enum AVHWDeviceType type, char *reason, size_t reason_len)
{
    avlog_route();
    const AVCodec *codec = avcodec_find_decoder_by_name("hevc");
    bool known = false;
    for (int i = 0; codec; i++) {
        const AVCodecHWConfig *c = avcodec_get_hw_config(codec, i);
        if (!c)
            break;
        known |=
            c->device_type == type && (c->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX) != 0;
    }
    if (!known) {
        snprintf(reason, reason_len, "libavcodec was built without it");
        return false;
    }
    AVBufferRef *device = NULL;
    int r = av_hwdevice_ctx_create(&device, type, NULL, NULL, 0);
    av_buffer_unref(&device);
    if (r < 0)
        snprintf(reason, reason_len, "no device (%s)", av_err2str(r));
    return r >= 0;
}

static bool vaapi_probe(char *reason, size_t reason_len)
{
    return hw_probe(AV_HWDEVICE_TYPE_VAAPI, reason, reason_len);
}
static int vaapi_open(struct decoder **out)
{
    return lavc_open(out, &decoder_vaapi, AV_HWDEVICE_TYPE_VAAPI, AV_PIX_FMT_VAAPI);
}
static bool cuda_probe(char *reason, size_t reason_len)
{
    return hw_probe(AV_HWDEVICE_TYPE_CUDA, reason, reason_len);
}
static int cuda_open(struct decoder **out)
{
    return lavc_open(out, &decoder_cuda, AV_HWDEVICE_TYPE_CUDA, AV_PIX_FMT_CUDA);
}

const struct decoder_ops decoder_cpu = {"cpu", cpu_probe, cpu_open, lavc_decode, lavc_close};
const struct decoder_ops decoder_vaapi = {"vaapi", vaapi_probe, vaapi_open, lavc_decode,
                                          lavc_close};
const struct decoder_ops decoder_cuda = {"cuda", cuda_probe, cuda_open, lavc_decode, lavc_close};
