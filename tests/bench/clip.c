#include "clip.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdlib.h>
#include <string.h>

enum { BAND = 16 };

struct clip {
    AVFormatContext *format;
    AVCodecContext *ctx;
    AVFrame *frame;
    AVPacket *packet;
    struct picture *pic[2]; /* own; they take turns */
    int now;
    bool any;
};

struct clip *clip_open(const char *path, int *width, int *height)
{
    struct clip *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->frame = av_frame_alloc();
    c->packet = av_packet_alloc();
    if (!c->frame || !c->packet || avformat_open_input(&c->format, path, NULL, NULL) < 0 ||
        avformat_find_stream_info(c->format, NULL) < 0 || c->format->nb_streams != 1)
        goto fail;
    const AVCodecParameters *par = c->format->streams[0]->codecpar;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    c->ctx = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!c->ctx || avcodec_parameters_to_context(c->ctx, par) < 0)
        goto fail;
    c->ctx->thread_count = 1;
    if (avcodec_open2(c->ctx, codec, NULL) < 0)
        goto fail;
    *width = par->width;
    *height = par->height;
    for (int i = 0; i < 2; i++)
        if (!(c->pic[i] = picture_new(PIX_BGRX, par->width, par->height)))
            goto fail;
    return c;
fail:
    clip_close(&c);
    return NULL;
}

void clip_close(struct clip **pc)
{
    struct clip *c = *pc;
    *pc = NULL;
    if (!c)
        return;
    avformat_close_input(&c->format);
    avcodec_free_context(&c->ctx);
    av_frame_free(&c->frame);
    av_packet_free(&c->packet);
    picture_unref(&c->pic[0]);
    picture_unref(&c->pic[1]);
    free(c);
}

/* The columns in which BAND rows from y on differ; w 0: none. */
static struct rect band_damage(const struct picture *a, const struct picture *b, int y)
{
    int rows = a->height - y < BAND ? a->height - y : BAND, left = a->width, right = -1;
    for (int j = y; j < y + rows; j++) {
        const uint32_t *p = (const uint32_t *)(const void *)(a->plane[0] + (ptrdiff_t)j * a->stride[0]);
        const uint32_t *q = (const uint32_t *)(const void *)(b->plane[0] + (ptrdiff_t)j * b->stride[0]);
        if (!memcmp(p, q, (size_t)a->width * 4))
            continue;
        int x = 0, end = a->width - 1;
        while (p[x] == q[x])
            x++;
        while (p[end] == q[end])
            end--;
        left = x < left ? x : left;
        right = end > right ? end : right;
    }
    return (struct rect){left, y, right >= left ? right - left + 1 : 0, rows};
}

static void set_damage(struct clip *c)
{
    struct picture *now = c->pic[c->now], *before = c->pic[!c->now];
    damage_clear(&now->damage);
    if (!c->any) {
        damage_set_all(&now->damage, now->width, now->height);
        return;
    }
    struct rect open = {0};
    for (int y = 0; y < now->height; y += BAND) {
        struct rect r = band_damage(now, before, y);
        if (r.w && open.w && r.x == open.x && r.w == open.w) {
            open.h += r.h;
            continue;
        }
        if (open.w)
            damage_add(&now->damage, open);
        open = r;
    }
    if (open.w)
        damage_add(&now->damage, open);
}

struct picture *clip_next(struct clip *c)
{
    while (avcodec_receive_frame(c->ctx, c->frame) < 0) {
        if (av_read_frame(c->format, c->packet) < 0)
            return NULL;
        int rc = avcodec_send_packet(c->ctx, c->packet);
        av_packet_unref(c->packet);
        if (rc < 0)
            return NULL;
    }
    c->now ^= 1;
    struct picture *p = c->pic[c->now];
    for (int y = 0; y < p->height; y++)
        memcpy(p->plane[0] + (ptrdiff_t)y * p->stride[0],
               c->frame->data[0] + (ptrdiff_t)y * c->frame->linesize[0], (size_t)p->width * 4);
    av_frame_unref(c->frame);
    set_damage(c);
    c->any = true;
    return p;
}
