/* Hardware encoders through libavcodec: hevc_nvenc, hevc_vaapi, hevc_qsv.
 *
 * Their rate control is their own; it is told the rate of each picture's budget where it can be
 * told (nvenc takes a new rate at any picture; the others keep the first one, so there the session's
 * pacing is what holds the rate). An encoder that keeps a picture back is of no use here: the
 * probe encodes one picture and wants it at once. */
#include "encode/encoder.h"

#include "base/clock.h"
#include "base/error.h"
#include "encode/au_pool.h"
#include "hevc/nal.h"

#include <libavcodec/avcodec.h>
#include <libavutil/hwcontext.h>
#include <libavutil/opt.h>
#include <libyuv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBE_WIDTH = 640, PROBE_HEIGHT = 384, /* above every driver's smallest size */
    NEVER = 1 << 29,                       /* pictures until an IDR that nobody asked for */
    REFINEMENTS = 12,                      /* of a still picture, where the QP is not known */
    SHARP_QP = 16,
};

struct lavc_kind {
    const struct encoder_ops *ops;
    const char *codec, *device_name;
    enum AVHWDeviceType device; /* AV_HWDEVICE_TYPE_NONE: takes planes in memory */
    bool i444;                  /* takes 4:4:4, and planar input at that; else NV12 */
    bool takes_rate;            /* at any picture */
    const char *const (*options)[2]; /* ended by NULL */
};

struct lavc_session {
    struct encoder base;
    const struct lavc_kind *kind;
    struct encoder_config config;
    int width, height; /* of the stream: even */
    AVCodecContext *ctx;
    AVBufferRef *device, *frames; /* own; NULL without a device */
    AVFrame *frame;               /* planes in memory */
    AVPacket *packet;
    struct param_sets *sets;
    struct au_pool pool;
    int64_t pts;
    int refined; /* times since the last change */
};

static const char *const nvenc_options[][2] = {
    {"preset", "p3"}, {"tune", "ull"}, {"rc", "cbr"}, {"zerolatency", "1"}, {"delay", "0"},
    {"forced-idr", "1"}, {"rc-lookahead", "0"}, {NULL, NULL}};
static const char *const vaapi_options[][2] = {
    {"async_depth", "1"}, {"idr_interval", "0"}, {"sei", "0"}, {NULL, NULL}};
static const char *const qsv_options[][2] = {
    {"preset", "veryfast"}, {"async_depth", "1"}, {"forced_idr", "1"}, {"look_ahead", "0"},
    {"low_delay_brc", "1"}, {NULL, NULL}};

static const struct lavc_kind kind_nvenc = {&encoder_nvenc, "hevc_nvenc", "an NVIDIA GPU",
                                            AV_HWDEVICE_TYPE_NONE, true, true, nvenc_options};
static const struct lavc_kind kind_vaapi = {&encoder_vaapi, "hevc_vaapi", "a VA-API device",
                                            AV_HWDEVICE_TYPE_VAAPI, false, false, vaapi_options};
static const struct lavc_kind kind_qsv = {&encoder_qsv, "hevc_qsv", "an Intel Quick Sync device",
                                          AV_HWDEVICE_TYPE_NONE, false, false, qsv_options};

static int av_fail(const char *what, int rc)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(rc, text, sizeof text);
    return error_set(ERR_UNSUPPORTED, "%s: %s", what, text);
}

static int open_device(struct lavc_session *s, enum AVPixelFormat sw_format)
{
    int rc = av_hwdevice_ctx_create(&s->device, s->kind->device, NULL, NULL, 0);
    if (rc < 0)
        return av_fail(s->kind->device_name, rc);
    s->frames = av_hwframe_ctx_alloc(s->device);
    if (!s->frames)
        return error_set(ERR_MEMORY, "out of memory for %s", s->kind->codec);
    AVHWFramesContext *f = (AVHWFramesContext *)s->frames->data;
    f->format = AV_PIX_FMT_VAAPI;
    f->sw_format = sw_format;
    f->width = s->width;
    f->height = s->height;
    f->initial_pool_size = 8;
    rc = av_hwframe_ctx_init(s->frames);
    if (rc < 0)
        return av_fail("surfaces on the VA-API device", rc);
    s->ctx->hw_frames_ctx = av_buffer_ref(s->frames);
    s->ctx->pix_fmt = AV_PIX_FMT_VAAPI;
    return 0;
}

static void set_context(struct lavc_session *s, enum AVPixelFormat format)
{
    AVCodecContext *c = s->ctx;
    c->width = s->width;
    c->height = s->height;
    c->pix_fmt = format;
    c->time_base = (AVRational){1, s->config.fps};
    c->framerate = (AVRational){s->config.fps, 1};
    c->gop_size = NEVER;
    c->max_b_frames = 0;
    c->bit_rate = c->rc_max_rate = s->config.bitrate_bps;
    c->rc_buffer_size = (int)(s->config.bitrate_bps / s->config.fps); /* one picture */
    c->color_range = AVCOL_RANGE_MPEG;
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_BT709;
    c->colorspace = AVCOL_SPC_BT709;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
    c->flags |= AV_CODEC_FLAG_LOW_DELAY;
    for (int i = 0; s->kind->options[i][0]; i++) /* older drivers lack some: no matter */
        av_opt_set(c->priv_data, s->kind->options[i][0], s->kind->options[i][1], 0);
}

static void session_close(struct encoder *e)
{
    struct lavc_session *s = (struct lavc_session *)e;
    avcodec_free_context(&s->ctx);
    av_buffer_unref(&s->frames);
    av_buffer_unref(&s->device);
    av_frame_free(&s->frame);
    av_packet_free(&s->packet);
    param_sets_free(&s->sets);
    au_pool_clear(&s->pool);
    free(s);
}

static int open_codec(struct lavc_session *s)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(s->kind->codec);
    if (!codec)
        return error_set(ERR_UNSUPPORTED, "this libavcodec was built without %s", s->kind->codec);
    if (s->config.fmt == PIX_I444 && !s->kind->i444)
        return error_set(ERR_UNSUPPORTED, "%s takes 4:2:0 alone", s->kind->codec);
    s->ctx = avcodec_alloc_context3(codec);
    s->frame = av_frame_alloc();
    s->packet = av_packet_alloc();
    s->sets = param_sets_new();
    if (!s->ctx || !s->frame || !s->packet || !s->sets)
        return error_set(ERR_MEMORY, "out of memory for %s", s->kind->codec);
    enum AVPixelFormat format = AV_PIX_FMT_NV12;
    if (s->kind->i444)
        format = s->config.fmt == PIX_I444 ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P;
    set_context(s, format);
    if (s->kind->device != AV_HWDEVICE_TYPE_NONE) {
        int rc = open_device(s, format);
        if (rc)
            return rc;
    }
    int rc = avcodec_open2(s->ctx, codec, NULL);
    if (rc < 0)
        return error_set(ERR_UNSUPPORTED, "%s was not found or does not take %dx%d",
                         s->kind->device_name, s->width, s->height);
    s->frame->format = format;
    s->frame->width = s->width;
    s->frame->height = s->height;
    rc = av_frame_get_buffer(s->frame, 0);
    return rc < 0 ? av_fail("a frame for the encoder", rc) : 0;
}

static int session_open(const struct lavc_kind *kind, struct encoder **out,
                        const struct encoder_config *config)
{
    struct lavc_session *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory for an encoder");
    s->kind = kind;
    s->config = *config;
    s->width = (config->width + 1) & ~1;
    s->height = (config->height + 1) & ~1;
    s->base.ops = kind->ops;
    s->base.profile_idc = config->fmt == PIX_I444 ? 4 : 1;
    s->base.level_idc =
        hevc_level_for(config->width, config->height, config->fps, config->bitrate_bps);
    int rc = open_codec(s);
    if (rc) {
        session_close(&s->base);
        return rc;
    }
    *out = &s->base;
    return 0;
}

/* An odd column or row of luma is there twice. */
static void replicate_edge(uint8_t *luma, int stride, const struct picture *pic)
{
    if (pic->width & 1)
        for (int y = 0; y < pic->height; y++)
            luma[(ptrdiff_t)y * stride + pic->width] = luma[(ptrdiff_t)y * stride + pic->width - 1];
    if (pic->height & 1)
        memcpy(luma + (ptrdiff_t)pic->height * stride,
               luma + (ptrdiff_t)(pic->height - 1) * stride, (size_t)(pic->width + 1) & ~1u);
}

static int fill_frame(struct lavc_session *s, const struct picture *pic)
{
    AVFrame *f = s->frame;
    int rc = av_frame_make_writable(f);
    if (rc < 0)
        return av_fail("a frame for the encoder", rc);
    int cw = picture_row_bytes(pic->fmt, pic->width, 1), ch = picture_rows(pic->fmt, pic->height, 1);
    CopyPlane(pic->plane[0], pic->stride[0], f->data[0], f->linesize[0], pic->width, pic->height);
    if (f->format == AV_PIX_FMT_NV12) {
        MergeUVPlane(pic->plane[1], pic->stride[1], pic->plane[2], pic->stride[2], f->data[1],
                     f->linesize[1], cw, ch);
    } else {
        for (int i = 1; i < 3; i++)
            CopyPlane(pic->plane[i], pic->stride[i], f->data[i], f->linesize[i], cw, ch);
    }
    replicate_edge(f->data[0], f->linesize[0], pic);
    if (f->format == AV_PIX_FMT_YUV444P)
        for (int i = 1; i < 3; i++)
            replicate_edge(f->data[i], f->linesize[i], pic);
    return 0;
}

static int send_frame(struct lavc_session *s, bool key)
{
    AVFrame *f = s->frame, *hw = NULL;
    int rc;
    if (s->frames) {
        hw = av_frame_alloc();
        if (!hw)
            return error_set(ERR_MEMORY, "out of memory for a frame");
        rc = av_hwframe_get_buffer(s->frames, hw, 0);
        if (rc >= 0)
            rc = av_hwframe_transfer_data(hw, f, 0);
        if (rc < 0) {
            av_frame_free(&hw);
            return av_fail("the upload to the encoder", rc);
        }
        f = hw;
    }
    f->pts = s->pts++;
    f->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    f->color_range = AVCOL_RANGE_MPEG;
    f->colorspace = AVCOL_SPC_BT709;
    rc = avcodec_send_frame(s->ctx, f);
    av_frame_free(&hw);
    return rc < 0 ? av_fail("the encoder", rc) : 0;
}

/* The mean QP, where the encoder tells it; else -1. */
static int packet_qp(const AVPacket *packet)
{
    size_t size = 0;
    const uint8_t *stats = av_packet_get_side_data(packet, AV_PKT_DATA_QUALITY_STATS, &size);
    if (!stats || size < 4)
        return -1;
    int lambda = stats[0] | stats[1] << 8 | stats[2] << 16 | stats[3] << 24;
    int qp = lambda / FF_QP2LAMBDA;
    return qp > 0 && qp <= 51 ? qp : -1;
}

static int take_packet(struct lavc_session *s, struct access_unit *au)
{
    int rc = avcodec_receive_packet(s->ctx, s->packet);
    if (rc == AVERROR(EAGAIN))
        return error_set(ERR_UNSUPPORTED, "%s keeps pictures back", s->kind->codec);
    if (rc < 0)
        return av_fail("the encoder", rc);
    au->qp = packet_qp(s->packet);
    bool ok = au_append_annexb(au, s->packet->data, (size_t)s->packet->size);
    av_packet_unref(s->packet);
    if (ok) {
        param_sets_learn(s->sets, au);
        ok = param_sets_complete(s->sets, au);
    }
    if (!ok)
        return error_set(ERR_MEMORY, "out of memory for a coded picture");
    const struct hevc_sps *sps = param_sets_sps(s->sets);
    if (sps) {
        s->base.profile_idc = sps->profile_idc;
        s->base.level_idc = sps->level_idc;
    }
    return 0;
}

static int session_encode(struct encoder *e, const struct encode_in *in, struct encode_out *out)
{
    struct lavc_session *s = (struct lavc_session *)e;
    const struct picture *pic = in->pic;
    *out = (struct encode_out){0};
    if (encoder_check_picture(&s->config, pic) < 0)
        return ERR_INVALID;
    bool first = s->pts == 0, still = in->damage && in->damage->n == 0;
    bool key = in->key_wanted || first;
    if (still && !key && (!in->refine || s->refined >= REFINEMENTS))
        return 0;
    s->refined = still && in->refine ? s->refined + 1 : 0;

    int64_t start_us = clock_now_us();
    struct access_unit *au = au_pool_get(&s->pool, pic);
    if (!au)
        return error_set(ERR_MEMORY, "out of memory for an access unit");
    if (s->kind->takes_rate && in->budget_bytes) {
        int64_t bps = (int64_t)in->budget_bytes * 8 * s->config.fps;
        s->ctx->bit_rate = s->ctx->rc_max_rate = bps;
        s->ctx->rc_buffer_size = (int)in->budget_bytes * 8;
    }
    int rc = fill_frame(s, pic);
    if (!rc)
        rc = send_frame(s, key);
    if (!rc)
        rc = take_packet(s, au);
    if (rc) {
        access_unit_unref(&au);
        return rc;
    }
    au->pic_id = in->pic_id;
    au->width = s->width;
    au->height = s->height;
    au->refinement = in->refine && !au->irap;
    au->encode_start_us = start_us;
    au->encode_us = clock_now_us();
    if (au->qp >= 0 && au->qp <= SHARP_QP)
        s->refined = REFINEMENTS;
    out->wants_more = s->refined < REFINEMENTS;
    out->au = au;
    return 0;
}

static int try_one(const struct lavc_kind *kind, enum pix_fmt fmt)
{
    struct encoder_config config = {PROBE_WIDTH, PROBE_HEIGHT, fmt, 30, 2000000};
    struct encoder *e;
    int rc = session_open(kind, &e, &config);
    if (rc)
        return rc;
    struct picture *pic = picture_new(fmt, PROBE_WIDTH, PROBE_HEIGHT);
    rc = ERR_MEMORY;
    if (pic) {
        for (int i = 0; i < 3; i++)
            memset(pic->plane[i], 128, (size_t)pic->stride[i] * picture_rows(fmt, PROBE_HEIGHT, i));
        struct encode_in in = {.pic = pic, .pic_id = 1, .budget_bytes = 8000, .key_wanted = true};
        struct encode_out out;
        rc = session_encode(e, &in, &out);
        if (!rc && (!out.au || !out.au->irap))
            rc = error_set(ERR_UNSUPPORTED, "%s gave no key frame", kind->codec);
        access_unit_unref(&out.au);
    }
    picture_unref(&pic);
    session_close(e);
    return rc;
}

static bool probe_kind(const struct lavc_kind *kind, enum pix_fmt fmt, char *reason, size_t len)
{
    /* The libraries under libavcodec say on standard error that they found no device. */
    int level = av_log_get_level();
    av_log_set_level(AV_LOG_QUIET);
    int rc = try_one(kind, fmt);
    av_log_set_level(level);
    if (rc)
        snprintf(reason, len, "%s", error_text());
    return rc == 0;
}

#define LAVC_ENCODER(id)                                                                           \
    static bool id##_probe(enum pix_fmt fmt, char *reason, size_t len)                             \
    {                                                                                              \
        return probe_kind(&kind_##id, fmt, reason, len);                                           \
    }                                                                                              \
    static int id##_open(struct encoder **out, const struct encoder_config *config)                \
    {                                                                                              \
        return session_open(&kind_##id, out, config);                                              \
    }                                                                                              \
    const struct encoder_ops encoder_##id = {#id, id##_probe, id##_open, session_encode,           \
                                             session_close}
LAVC_ENCODER(nvenc);
LAVC_ENCODER(vaapi);
LAVC_ENCODER(qsv);
