#include "decode/frame_picture.h"

#include "base/error.h"

#include <libavutil/hwcontext.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <pthread.h>
#include <stdlib.h>

struct node {
    struct picture pic;
    AVFrame *frame;
    struct node *next;
    struct frame_pictures *owner;
};

struct frame_pictures {
    atomic_int refs;      /* the owner and each picture that is out */
    pthread_mutex_t lock; /* guards `spare` */
    struct node *spare;
    struct node *current; /* what the next frame is decoded into */
    AVFrame *tmp;         /* read back or converted */
    struct SwsContext *sws;
};

struct frame_pictures *frame_pictures_new(void)
{
    struct frame_pictures *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    atomic_init(&p->refs, 1);
    pthread_mutex_init(&p->lock, NULL);
    p->tmp = av_frame_alloc();
    if (!p->tmp)
        frame_pictures_free(&p);
    return p;
}

static void node_free(struct node *n)
{
    if (n)
        av_frame_free(&n->frame);
    free(n);
}

static void unref(struct frame_pictures *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    for (struct node *n = p->spare, *next; n; n = next) {
        next = n->next;
        node_free(n);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void frame_pictures_free(struct frame_pictures **pp)
{
    struct frame_pictures *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    node_free(p->current);
    p->current = NULL;
    av_frame_free(&p->tmp);
    sws_freeContext(p->sws);
    p->sws = NULL;
    unref(p);
}

static void put_spare(struct frame_pictures *p, struct node *n)
{
    av_frame_unref(n->frame);
    pthread_mutex_lock(&p->lock);
    n->next = p->spare;
    p->spare = n;
    pthread_mutex_unlock(&p->lock);
}

static void release(struct picture *pic, void *ctx)
{
    (void)pic;
    struct node *n = ctx;
    struct frame_pictures *p = n->owner;
    put_spare(p, n);
    unref(p);
}

AVFrame *frame_pictures_frame(struct frame_pictures *p)
{
    if (p->current) {
        av_frame_unref(p->current->frame);
        return p->current->frame;
    }
    pthread_mutex_lock(&p->lock);
    struct node *n = p->spare;
    if (n)
        p->spare = n->next;
    pthread_mutex_unlock(&p->lock);
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n || !(n->frame = av_frame_alloc())) {
            free(n);
            return NULL;
        }
        n->owner = p;
    }
    p->current = n;
    return n->frame;
}

/* -1: it must be converted. */
static int pix_fmt_of(int av)
{
    switch (av) {
    case AV_PIX_FMT_YUV420P:
    case AV_PIX_FMT_YUVJ420P:
        return PIX_I420;
    case AV_PIX_FMT_YUV444P:
    case AV_PIX_FMT_YUVJ444P:
        return PIX_I444;
    case AV_PIX_FMT_NV12:
        return PIX_NV12;
    default:
        return -1;
    }
}

/* The frame's colours, which neither copy of it below may change. */
static void copy_colours(AVFrame *to, const AVFrame *from)
{
    to->color_range = from->color_range;
    to->colorspace = from->colorspace;
    to->decode_error_flags = from->decode_error_flags;
    to->pts = from->pts;
}

static int read_back(struct frame_pictures *p, AVFrame *frame)
{
    av_frame_unref(p->tmp);
    int r = av_hwframe_transfer_data(p->tmp, frame, 0);
    if (r < 0)
        return error_set(ERR_UNSUPPORTED,
                         "a picture cannot be read from the graphics card: %s; use --decoder cpu",
                         av_err2str(r));
    copy_colours(p->tmp, frame);
    p->tmp->width = frame->width;
    p->tmp->height = frame->height;
    av_frame_unref(frame);
    av_frame_move_ref(frame, p->tmp);
    return 0;
}

/* 10 bits, 4:2:2, grey or RGB: to 8 bits, with chroma no coarser than it was. */
static int convert(struct frame_pictures *p, AVFrame *frame)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(frame->format);
    if (!desc || (desc->flags & AV_PIX_FMT_FLAG_PAL))
        return error_set(ERR_UNSUPPORTED,
                         "pictures of the format %s cannot be shown; send 8-bit "
                         "4:2:0 or 4:4:4",
                         desc ? desc->name : "unknown");
    bool coarse = desc->nb_components < 3 || (desc->log2_chroma_w && desc->log2_chroma_h);
    av_frame_unref(p->tmp);
    p->tmp->format = coarse ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_YUV444P;
    p->tmp->width = frame->width;
    p->tmp->height = frame->height;
    if (av_frame_get_buffer(p->tmp, 0) < 0)
        return error_set(ERR_MEMORY, "out of memory");
    p->sws = sws_getCachedContext(p->sws, frame->width, frame->height, frame->format, frame->width,
                                  frame->height, p->tmp->format, SWS_BILINEAR | SWS_ACCURATE_RND,
                                  NULL, NULL, NULL);
    if (!p->sws)
        return error_set(ERR_UNSUPPORTED,
                         "pictures of the format %s cannot be shown; send 8-bit "
                         "4:2:0 or 4:4:4",
                         desc->name);
    /* Both sides in the same range and matrix: only the number of bits and chroma changes. RGB
     * becomes BT.709 of limited range. */
    bool rgb = desc->flags & AV_PIX_FMT_FLAG_RGB;
    int range = frame->color_range == AVCOL_RANGE_JPEG && !rgb;
    const int *table = sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(p->sws, table, range, table, range, 0, 1 << 16, 1 << 16);
    sws_scale(p->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
              p->tmp->data, p->tmp->linesize);
    copy_colours(p->tmp, frame);
    if (rgb) {
        p->tmp->color_range = AVCOL_RANGE_MPEG;
        p->tmp->colorspace = AVCOL_SPC_BT709;
    }
    av_frame_unref(frame);
    av_frame_move_ref(frame, p->tmp);
    return 0;
}

int frame_pictures_take(struct frame_pictures *p, struct picture **out)
{
    struct node *n = p->current;
    AVFrame *f = n->frame;
    int r = f->hw_frames_ctx ? read_back(p, f) : 0;
    if (r == 0 && pix_fmt_of(f->format) < 0)
        r = convert(p, f);
    if (r < 0)
        return r;
    struct picture fresh = {
        .fmt = (enum pix_fmt)pix_fmt_of(f->format),
        .width = f->width,
        .height = f->height,
        .full_range = f->color_range == AVCOL_RANGE_JPEG || f->format == AV_PIX_FMT_YUVJ420P ||
                      f->format == AV_PIX_FMT_YUVJ444P,
        .bt601 = f->colorspace == AVCOL_SPC_SMPTE170M || f->colorspace == AVCOL_SPC_BT470BG,
        .release = release,
        .release_ctx = n,
    };
    for (int i = 0; i < picture_planes(fresh.fmt); i++) {
        fresh.plane[i] = f->data[i];
        fresh.stride[i] = f->linesize[i];
    }
    damage_set_all(&fresh.damage, fresh.width, fresh.height);
    n->pic = fresh;
    atomic_init(&n->pic.refs, 1);
    p->current = NULL;
    atomic_fetch_add(&p->refs, 1);
    *out = &n->pic;
    return 0;
}
