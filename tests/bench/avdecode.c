#include "avdecode.h"

#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include <string.h>

struct avdecode {
    AVCodecContext *ctx;
    AVFrame *frame;
    AVPacket *packet;
};

struct avdecode *avdecode_new(void)
{
    struct avdecode *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_HEVC);
    d->ctx = codec ? avcodec_alloc_context3(codec) : NULL;
    d->frame = av_frame_alloc();
    d->packet = av_packet_alloc();
    if (d->ctx) {
        d->ctx->thread_count = 1;
        d->ctx->flags |= AV_CODEC_FLAG_LOW_DELAY;
    }
    if (!d->ctx || !d->frame || !d->packet || avcodec_open2(d->ctx, codec, NULL) < 0)
        avdecode_free(&d);
    return d;
}

void avdecode_free(struct avdecode **pd)
{
    struct avdecode *d = *pd;
    *pd = NULL;
    if (!d)
        return;
    avcodec_free_context(&d->ctx);
    av_frame_free(&d->frame);
    av_packet_free(&d->packet);
    free(d);
}

struct picture *avdecode_run(struct avdecode *d, const struct access_unit *au)
{
    if (av_new_packet(d->packet, (int)au->len) < 0)
        return NULL;
    memcpy(d->packet->data, au->data, au->len);
    int rc = avcodec_send_packet(d->ctx, d->packet);
    av_packet_unref(d->packet);
    if (rc < 0 || avcodec_receive_frame(d->ctx, d->frame) < 0)
        return NULL;
    AVFrame *f = d->frame;
    bool i444 = f->format == AV_PIX_FMT_YUV444P;
    bool good = (i444 || f->format == AV_PIX_FMT_YUV420P) && !f->decode_error_flags &&
                !(f->flags & AV_FRAME_FLAG_CORRUPT);
    struct picture *p =
        good ? picture_new(i444 ? PIX_I444 : PIX_I420, f->width, f->height) : NULL;
    for (int i = 0; p && i < 3; i++)
        for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++)
            memcpy(p->plane[i] + (ptrdiff_t)y * p->stride[i],
                   f->data[i] + (ptrdiff_t)y * f->linesize[i],
                   (size_t)picture_row_bytes(p->fmt, p->width, i));
    av_frame_unref(f);
    return p;
}
