#include "source/file_decode.h"

#include "base/error.h"
#include "base/log.h"

#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include <stdlib.h>

/* The reader's queue, the capture slot, convert and encode hold some of them. */
enum { PICTURES = 12 };

struct file_decoder {
    AVCodecContext *codec;
    AVFrame *frame;
    bool have_frame; /* decoded, and not handed on yet */
    struct picture_pool *pool;
    struct SwsContext *sws;
    /* What sws was set up for. */
    int width, height, matrix;
    enum AVPixelFormat from;
    bool full_range;
};

int file_decoder_open(struct file_decoder **out, const AVCodecParameters *par, AVRational time_base,
                      bool live, const char *shown)
{
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    if (!codec)
        return error_set(ERR_UNSUPPORTED, "%s is coded as %s, which this FFmpeg cannot decode",
                         shown, avcodec_get_name(par->codec_id));
    struct file_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(ERR_MEMORY, "not enough memory to decode %s", shown);
    d->codec = avcodec_alloc_context3(codec);
    d->frame = av_frame_alloc();
    d->pool = picture_pool_new(PICTURES);
    int av = AVERROR(ENOMEM);
    if (!d->codec || !d->frame || !d->pool ||
        (av = avcodec_parameters_to_context(d->codec, par)) < 0)
        goto fail;
    d->codec->pkt_timebase = time_base;
    d->codec->thread_count = 0;
    /* Frame threads hold back a picture for each thread. */
    d->codec->thread_type = live ? FF_THREAD_SLICE : FF_THREAD_FRAME | FF_THREAD_SLICE;
    if ((av = avcodec_open2(d->codec, codec, NULL)) < 0)
        goto fail;
    *out = d;
    return 0;
fail:
    file_decoder_free(&d);
    return error_set(ERR_UNSUPPORTED, "cannot decode %s (%s): %s", shown, codec->name,
                     av_err2str(av));
}

void file_decoder_free(struct file_decoder **pd)
{
    struct file_decoder *d = *pd;
    *pd = NULL;
    if (!d)
        return;
    avcodec_free_context(&d->codec);
    av_frame_free(&d->frame);
    picture_pool_free(&d->pool);
    sws_freeContext(d->sws);
    free(d);
}

int file_decoder_send(struct file_decoder *d, const AVPacket *pkt)
{
    return avcodec_send_packet(d->codec, pkt);
}

void file_decoder_reset(struct file_decoder *d)
{
    avcodec_flush_buffers(d->codec);
    av_frame_unref(d->frame);
    d->have_frame = false;
}

/* The J formats say full range in their name; elsewhere the frame says it. */
static enum AVPixelFormat plain_format(enum AVPixelFormat f, bool *full)
{
    switch (f) {
    case AV_PIX_FMT_YUVJ420P: *full = true; return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: *full = true; return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: *full = true; return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: *full = true; return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P: *full = true; return AV_PIX_FMT_YUV411P;
    default: return f;
    }
}

/* The matrix of the frame. Where it does not say, players take BT.601 for standard definition. */
static int matrix_of(const AVFrame *f)
{
    switch (f->colorspace) {
    case AVCOL_SPC_BT709: return SWS_CS_ITU709;
    case AVCOL_SPC_FCC: return SWS_CS_FCC;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M: return SWS_CS_ITU601;
    case AVCOL_SPC_SMPTE240M: return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: return SWS_CS_BT2020;
    default: return f->height <= 576 && f->width <= 1024 ? SWS_CS_ITU601 : SWS_CS_ITU709;
    }
}

static bool set_up_sws(struct file_decoder *d, const AVFrame *f, enum AVPixelFormat from,
                       enum AVPixelFormat to, bool full, int matrix)
{
    if (d->sws && d->width == f->width && d->height == f->height && d->from == from &&
        d->full_range == full && d->matrix == matrix)
        return true;
    sws_freeContext(d->sws);
    d->sws = sws_alloc_context();
    if (!d->sws)
        return false;
    av_opt_set_int(d->sws, "srcw", f->width, 0);
    av_opt_set_int(d->sws, "srch", f->height, 0);
    av_opt_set_int(d->sws, "src_format", from, 0);
    av_opt_set_int(d->sws, "dstw", f->width, 0);
    av_opt_set_int(d->sws, "dsth", f->height, 0);
    av_opt_set_int(d->sws, "dst_format", to, 0);
    av_opt_set_int(d->sws, "sws_flags", SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT |
                                            SWS_FULL_CHR_H_INP, 0);
    /* Before init: equal formats and ranges make it a plain copy, which it then stays. */
    av_opt_set_int(d->sws, "src_range", full, 0);
    av_opt_set_int(d->sws, "dst_range", 0, 0);
    if (sws_init_context(d->sws, NULL, NULL) < 0)
        return false;
    sws_setColorspaceDetails(d->sws, sws_getCoefficients(matrix), full,
                             sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
    d->width = f->width;
    d->height = f->height;
    d->from = from;
    d->full_range = full;
    d->matrix = matrix;
    return true;
}

static int convert(struct file_decoder *d, struct picture **out)
{
    const AVFrame *f = d->frame;
    bool full = f->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat from = plain_format(f->format, &full);
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(from);
    if (!desc || desc->flags & AV_PIX_FMT_FLAG_HWACCEL)
        return AVERROR(ENOSYS);
    bool rgb = desc->flags & AV_PIX_FMT_FLAG_RGB, gray = desc->nb_components < 3;
    bool sharp = !gray && !desc->log2_chroma_w && !desc->log2_chroma_h;
    enum AVPixelFormat to = sharp ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P;
    int matrix = matrix_of(f);
    struct picture *p = picture_pool_get(d->pool, sharp ? PIX_I444 : PIX_I420, f->width, f->height);
    if (!p)
        return AVERROR(EBUSY);
    if (from == to && !full && matrix == SWS_CS_ITU709) {
        for (int i = 0; i < 3; i++)
            av_image_copy_plane(p->plane[i], p->stride[i], f->data[i], f->linesize[i],
                                picture_row_bytes(p->fmt, p->width, i),
                                picture_rows(p->fmt, p->height, i));
    } else if (!set_up_sws(d, f, from, to, full || rgb, matrix) ||
               sws_scale(d->sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height,
                         p->plane, p->stride) != f->height) {
        picture_unref(&p);
        return AVERROR(ENOSYS);
    }
    *out = p;
    return 0;
}

int file_decoder_receive(struct file_decoder *d, struct picture **out, int64_t *ts)
{
    if (!d->have_frame) {
        int av = avcodec_receive_frame(d->codec, d->frame);
        if (av < 0)
            return av;
        d->have_frame = true;
    }
    int av = convert(d, out);
    if (av == AVERROR(EBUSY))
        return av;
    *ts = d->frame->best_effort_timestamp;
    av_frame_unref(d->frame);
    d->have_frame = false;
    return av;
}
