/* x265 for screens: constant QP with a forced QP for each picture, one picture in, one out.
 *
 * What x265 is given is not the source as it is: where nothing changed it gets its own last
 * reconstruction, so that nothing is coded there, at whatever QP the changed part has (see
 * feed_build). Settings and their measurement: doc/encoder-settings.md. */
#include "encode/encoder.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "encode/au_pool.h"
#include "encode/content.h"
#include "encode/ratecontrol.h"
#include "encode/x265_hints.h"
#include "hevc/nal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x265.h>

enum {
    MIN_WIDTH = 17, MIN_HEIGHT = 16, /* see tree_block_size */
    FILM_QP_MIN = 24,          /* in motion: finer takes time, and is not seen */
    REFINE_CELLS_DIVISOR = 3,  /* a refinement takes a third of the time of a whole picture */
    EXTEND_CELLS_DIVISOR = 12, /* a picture with changes may not become much slower by it */
};

struct x265_session {
    struct encoder base;
    struct encoder_config config;
    int width, height; /* of the stream: even for 4:2:0 */
    x265_encoder *x265;
    x265_param *param;
    struct x265_hints *hints;
    struct content content;
    struct ratecontrol rc;
    struct rc_work work;
    int film_qp, film_step;   /* of the last picture that was no refinement; 0: none yet */
    struct picture *feed;     /* what x265 is given when a part did not change */
    bool *feed_old;           /* owns; cells of the feed that lag behind the reconstruction */
    x265_picture recon;       /* x265's last reconstruction; its planes live until the next call */
    bool have_recon;
    int poc;
    struct au_pool pool;
};

static bool probe(enum pix_fmt fmt, char *reason, size_t reason_len)
{
    const x265_api *api = x265_api_get(8);
    if (api && (fmt == PIX_I420 || fmt == PIX_I444))
        return true;
    snprintf(reason, reason_len, api ? "x265 takes 4:2:0 and 4:4:4 alone"
                                     : "this libx265 was built without 8 bits");
    return false;
}

static void set_colour(x265_param *p, enum pix_fmt fmt)
{
    /* H.265 tables E.3 to E.5: 1 is BT.709. */
    p->vui.bEnableVideoSignalTypePresentFlag = 1;
    p->vui.videoFormat = 5;
    p->vui.bEnableVideoFullRangeFlag = 0;
    p->vui.bEnableColorDescriptionPresentFlag = 1;
    p->vui.colorPrimaries = 1;
    p->vui.transferCharacteristics = 1;
    p->vui.matrixCoeffs = 1;
    p->vui.bEnableChromaLocInfoPresentFlag = fmt == PIX_I420;
    p->vui.chromaSampleLocTypeTopField = 0; /* left, as convert sites it */
    p->vui.chromaSampleLocTypeBottomField = 0;
}

/* Two tree blocks in a row at least: of narrower pictures x265 3.5 makes streams that do not
 * decode to what it thinks (it reads memory that it never wrote; seen with 32x32 and 16x31). */
static uint32_t tree_block_size(int width, int height)
{
    if (width > 64 && height >= 64)
        return 64;
    return width > 32 && height >= 32 ? 32 : 16;
}

/* What moves everywhere: x265's own decisions beat ours there, so it gets no hints, and the
 * preset's large blocks. Half the time of the screens' settings, fewer bytes, a sharper picture. */
static void set_film_tools(x265_param *p)
{
    uint32_t block = tree_block_size(p->sourceWidth, p->sourceHeight);
    p->maxCUSize = block > 32 ? 32 : block;
    p->minCUSize = 16;
    p->maxNumReferences = 1;
    p->rdLevel = 1;
    p->subpelRefine = 1;
    p->bEnableWeightedPred = 0;
    p->bEnableSAO = 0;
}

static void set_screen_tools(x265_param *p)
{
    p->maxCUSize = tree_block_size(p->sourceWidth, p->sourceHeight);
    p->minCUSize = 8;
    p->maxNumReferences = 1;
    p->searchMethod = X265_STAR_SEARCH;
    p->searchRange = 128; /* text scrolls by many rows */
    p->maxNumMergeCand = 2;
    p->bEnableEarlySkip = 1;
    p->recursionSkipMode = 1;
    p->bEnableWeightedPred = 0;
    p->cbQpOffset = p->crQpOffset = -4; /* flat colours within 2 steps when sharp */
    p->bEnableSAO = 0;
    p->bEnableStrongIntraSmoothing = 0; /* it blurs */
}

static int set_param(x265_param *p, const struct encoder_config *c, int width, int height)
{
    if (x265_param_default_preset(p, "ultrafast", "zerolatency") < 0)
        return error_set(ERR_UNSUPPORTED, "this libx265 lacks the preset ultrafast");
    p->logLevel = X265_LOG_NONE;
    p->internalCsp = c->fmt == PIX_I444 ? X265_CSP_I444 : X265_CSP_I420;
    p->sourceWidth = width;
    p->sourceHeight = height;
    p->fpsNum = (uint32_t)c->fps;
    p->fpsDenom = 1;
    p->frameNumThreads = 1;
    p->bframes = 0;
    p->keyframeMax = -1;
    p->bOpenGOP = 0;
    p->scenecutThreshold = 0;
    p->lookaheadDepth = 0;
    p->bRepeatHeaders = 1;
    p->bAnnexB = 1;
    p->bEmitInfoSEI = 0;
    p->bEnableAccessUnitDelimiters = 0;
    p->rc.rateControlMode = X265_RC_CQP;
    p->rc.qp = 30;
    p->bHighTier = 0;
    p->rc.aqMode = X265_AQ_NONE;
    p->rc.cuTree = 0;
    if (c->film)
        set_film_tools(p);
    else
        set_screen_tools(p);
    set_colour(p, c->fmt);
    if (x265_param_apply_profile(p, c->fmt == PIX_I444 ? "main444-8" : "main") < 0)
        return error_set(ERR_UNSUPPORTED, "this libx265 lacks the profile %s",
                         c->fmt == PIX_I444 ? "Main 4:4:4" : "Main");
    if (!c->film)
        x265_hints_param(p);
    return 0;
}

static void session_close(struct encoder *e)
{
    struct x265_session *s = (struct x265_session *)e;
    if (s->x265)
        x265_encoder_close(s->x265);
    if (s->param) {
        s->param->analysisLoad = NULL; /* ours, not x265's to free */
        x265_param_free(s->param);
    }
    x265_hints_free(&s->hints);
    content_free(&s->content);
    picture_unref(&s->feed);
    free(s->feed_old);
    au_pool_clear(&s->pool);
    free(s);
}

static bool open_hints(struct x265_session *s)
{
    x265_param effective;
    x265_encoder_parameters(s->x265, &effective);
    s->hints = x265_hints_new(&effective, s->width, s->height);
    free((char *)effective.analysisLoad); /* a copy that x265 leaves to its caller */
    return s->hints != NULL;
}

static int session_open(struct encoder **out, const struct encoder_config *config)
{
    if (config->width < MIN_WIDTH || config->height < MIN_HEIGHT)
        return error_set(ERR_UNSUPPORTED,
                         "%dx%d is too small for x265: at least %dx%d pixels are needed",
                         config->width, config->height, MIN_WIDTH, MIN_HEIGHT);
    struct x265_session *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory for an encoder");
    int rc = ERR_MEMORY;
    s->config = *config;
    int odd = config->fmt == PIX_I420 ? 1 : 0;
    s->width = (config->width + odd) & ~odd;
    s->height = (config->height + odd) & ~odd;
    s->base.ops = &encoder_x265;
    s->base.profile_idc = config->fmt == PIX_I444 ? 4 : 1; /* A.3.5 format range, A.3.2 Main */
    s->base.level_idc =
        hevc_level_for(config->width, config->height, config->fps, config->bitrate_bps);
    ratecontrol_init(&s->rc);
    s->param = x265_param_alloc();
    s->feed = picture_new(config->fmt, s->width, s->height);
    if (!s->param || !s->feed ||
        !content_init(&s->content, config->fmt, config->width, config->height))
        goto fail;
    s->feed_old = calloc((size_t)s->content.cols * s->content.rows, sizeof s->feed_old[0]);
    if (!s->feed_old)
        goto fail;
    rc = set_param(s->param, config, s->width, s->height);
    if (rc)
        goto fail_said;
    s->x265 = x265_encoder_open(s->param);
    if (!s->x265) {
        rc = error_set(ERR_UNSUPPORTED, "x265 cannot encode %dx%d at %d pictures a second",
                       config->width, config->height, config->fps);
        goto fail_said;
    }
    if (!config->film && !open_hints(s))
        goto fail;
    *out = &s->base;
    return 0;
fail:
    error_set(ERR_MEMORY, "out of memory for an encoder of %dx%d", config->width, config->height);
fail_said:
    session_close(&s->base);
    return rc;
}

struct planes {
    const uint8_t *plane[3];
    int stride[3];
};

/* Copies r, which is in luma samples and even where the format needs it. */
static void copy_rect(struct picture *dst, const struct planes *src, struct rect r)
{
    for (int i = 0; i < 3; i++) {
        int s = i && dst->fmt == PIX_I420 ? 1 : 0;
        int x = r.x >> s, w = (r.w + s) >> s, y1 = (r.y + r.h + s) >> s;
        for (int y = r.y >> s; y < y1; y++)
            memcpy(dst->plane[i] + (ptrdiff_t)y * dst->stride[i] + x,
                   src->plane[i] + (ptrdiff_t)y * src->stride[i] + x, (size_t)w);
    }
}

/* An odd picture in 4:2:0: the stream has one more column or row of luma, a copy of the last. */
static void replicate_edge(struct picture *feed, int width, int height, struct rect r)
{
    uint8_t *luma = feed->plane[0];
    int stride = feed->stride[0];
    if (feed->width > width && r.x + r.w == width)
        for (int y = r.y; y < r.y + r.h; y++)
            luma[(ptrdiff_t)y * stride + width] = luma[(ptrdiff_t)y * stride + width - 1];
    if (feed->height > height && r.y + r.h == height)
        memcpy(luma + (ptrdiff_t)height * stride + r.x,
               luma + (ptrdiff_t)(height - 1) * stride + r.x,
               (size_t)(r.x + r.w == width ? feed->width - r.x : r.w));
}

static struct rect feed_cell(const struct x265_session *s, int i)
{
    struct rect r = {i % s->content.cols * CELL, i / s->content.cols * CELL, CELL, CELL};
    return rect_intersect(r, (struct rect){0, 0, s->width, s->height});
}

static bool all_dirty(const struct content *c)
{
    for (int i = 0; i < c->cols * c->rows; i++) {
        struct rect whole = content_cell_rect(c, i);
        if (!c->cells[i].dirty_area || !rect_contains(c->cells[i].dirty, whole))
            return false;
    }
    return true;
}

/* The source where it changed, x265's last reconstruction elsewhere: there the residual is then
 * exactly 0, and however fine the QP is, no bit is spent on what did not change. */
static void feed_build(struct x265_session *s, const struct picture *pic, struct planes *out)
{
    struct content *c = &s->content;
    struct planes source = {{pic->plane[0], pic->plane[1], pic->plane[2]},
                            {pic->stride[0], pic->stride[1], pic->stride[2]}};
    bool even = s->width == pic->width && s->height == pic->height;
    if (even && all_dirty(c)) {
        *out = source;
        return;
    }
    struct planes recon = {{s->recon.planes[0], s->recon.planes[1], s->recon.planes[2]},
                           {s->recon.stride[0], s->recon.stride[1], s->recon.stride[2]}};
    for (int i = 0; i < c->cols * c->rows; i++) {
        const struct cell *cell = &c->cells[i];
        bool whole = cell->dirty_area && rect_contains(cell->dirty, content_cell_rect(c, i));
        if (s->feed_old[i] && !whole) {
            copy_rect(s->feed, &recon, feed_cell(s, i));
            s->feed_old[i] = false;
        }
        if (cell->dirty_area) {
            copy_rect(s->feed, &source, cell->dirty);
            replicate_edge(s->feed, pic->width, pic->height, cell->dirty);
        }
    }
    *out = (struct planes){{s->feed->plane[0], s->feed->plane[1], s->feed->plane[2]},
                           {s->feed->stride[0], s->feed->stride[1], s->feed->stride[2]}};
}

/* After a picture: the cells that were coded, and those around them, whose edge the deblocking
 * filter may have touched, have another reconstruction now. */
static void feed_coded(struct x265_session *s, int qp)
{
    struct content *c = &s->content;
    for (int i = 0; i < c->cols * c->rows; i++) {
        struct cell *cell = &c->cells[i];
        if (!cell->dirty_area)
            continue;
        bool whole = rect_contains(cell->dirty, content_cell_rect(c, i));
        if (whole || cell->qp == QP_NEVER || qp > cell->qp)
            cell->qp = (uint8_t)qp;
        int x0 = i % c->cols, y0 = i / c->cols;
        for (int y = y0 - 1; y <= y0 + 1; y++)
            for (int x = x0 - 1; x <= x0 + 1; x++)
                if (x >= 0 && y >= 0 && x < c->cols && y < c->rows)
                    s->feed_old[y * c->cols + x] = true;
    }
}

/* Finer by one step a picture at most, two where the last one was tiny: a step around the level of a film's noise changes the bytes
 * tenfold, which no model of the content foresees, and QPs that swing are seen. */
static int film_qp(const struct x265_session *s, int qp)
{
    if (s->film_qp && qp < s->film_qp - s->film_step)
        qp = s->film_qp - s->film_step;
    return qp < FILM_QP_MIN ? FILM_QP_MIN : qp;
}

/* What to code and with which QP. false: nothing. */
static bool plan(struct x265_session *s, const struct encode_in *in, bool key, int *qp)
{
    struct content *c = &s->content;
    if (in->refine && !key && (!in->damage || in->damage->n == 0)) {
        int most = c->cols * c->rows / REFINE_CELLS_DIVISOR;
        *qp = ratecontrol_plan_refine(&s->rc, c, &s->work, in->budget_bytes, most > 8 ? most : 8);
        return *qp > 0;
    }
    struct damage all;
    damage_set_all(&all, c->width, c->height);
    content_update(c, in->pic, in->damage ? in->damage : &all, key);
    bool dirty = false;
    for (int i = 0; i < c->cols * c->rows && !dirty; i++)
        dirty = c->cells[i].dirty_area > 0;
    if (!dirty)
        return false;
    ratecontrol_work(&s->work, c, key);
    *qp = ratecontrol_pick(&s->rc, &s->work, in->budget_bytes);
    if (s->config.film)
        *qp = film_qp(s, *qp);
    if (!key && *qp == RC_QP_MIN) /* room is left: who types does not wait for a sharp screen */
        ratecontrol_extend(&s->rc, c, &s->work, in->budget_bytes,
                           c->cols * c->rows / EXTEND_CELLS_DIVISOR);
    return true;
}

static int run(struct x265_session *s, const struct picture *source, const struct planes *planes,
               bool key, int qp, struct access_unit *au)
{
    x265_picture pic;
    x265_picture_init(s->param, &pic);
    for (int i = 0; i < 3; i++) {
        pic.planes[i] = (void *)planes->plane[i];
        pic.stride[i] = planes->stride[i];
    }
    pic.bitDepth = 8;
    pic.colorSpace = s->param->internalCsp;
    pic.pts = s->poc;
    pic.sliceType = key ? X265_TYPE_IDR : X265_TYPE_P;
    pic.forceqp = qp + 1; /* x265 takes 1 off: 0 is "automatic" */
    if (s->hints)
        x265_hints_fill(s->hints, &pic, &s->content, source, key, s->poc);

    x265_nal *nals;
    uint32_t n;
    x265_picture_init(s->param, &s->recon);
    int rc = x265_encoder_encode(s->x265, &nals, &n, &pic, &s->recon);
    if (rc != 1 || n == 0) {
        s->have_recon = false;
        return error_set(ERR_IO, "x265 gave %d for a picture of %dx%d", rc, s->width, s->height);
    }
    s->poc++;
    s->have_recon = true;
    size_t len = 0; /* the payloads of one picture follow each other */
    for (uint32_t i = 0; i < n; i++)
        len += nals[i].sizeBytes;
    if (!au_append_annexb(au, nals[0].payload, len))
        return error_set(ERR_MEMORY, "out of memory for a picture of %zu bytes", len);
    return 0;
}

/* Writes the level into VPS and SPS: x265 does not take one with constant QP, and its own guess
 * leaves the bitrate out. The byte is a fixed number of bytes of payload away (H.265 7.3.2.1,
 * 7.3.2.2, 7.3.3), emulation prevention bytes apart; a level is over 3, so none comes or goes. */
static void set_level(struct access_unit *au, int level_idc)
{
    size_t pos = 0;
    struct nal nal;
    while (annexb_next(au->data, au->len, &pos, &nal)) {
        int type = nal_type(&nal);
        if (type != NAL_VPS && type != NAL_SPS)
            continue;
        int wanted = type == NAL_VPS ? 15 : 12, zeros = 0;
        for (size_t i = 2; i < nal.len; i++) {
            if (zeros >= 2 && nal.data[i] == 3) {
                zeros = 0;
                continue;
            }
            if (wanted-- == 0) {
                au->data[nal.data - au->data + i] = (uint8_t)level_idc;
                break;
            }
            zeros = nal.data[i] ? 0 : zeros + 1;
        }
    }
}

static int session_encode(struct encoder *e, const struct encode_in *in, struct encode_out *out)
{
    struct x265_session *s = (struct x265_session *)e;
    const struct picture *pic = in->pic;
    *out = (struct encode_out){0};
    if (encoder_check_picture(&s->config, pic) < 0)
        return ERR_INVALID;
    int64_t start_us = clock_now_us();
    bool key = in->key_wanted || !s->have_recon;
    int qp;
    if (!plan(s, in, key, &qp)) {
        out->wants_more = ratecontrol_wants_more(&s->content);
        return 0;
    }
    struct access_unit *au = au_pool_get(&s->pool, pic);
    if (!au)
        return error_set(ERR_MEMORY, "out of memory for an access unit");
    struct planes planes;
    feed_build(s, pic, &planes);
    int rc = run(s, pic, &planes, key, qp, au);
    if (rc) {
        s->content.known = false;
        access_unit_unref(&au);
        return rc;
    }
    if (key)
        set_level(au, s->base.level_idc);
    feed_coded(s, qp);
    if (!in->refine) {
        s->film_qp = qp;
        s->film_step = au->len < in->budget_bytes / 8 ? 2 : 1;
    }
    ratecontrol_learn(&s->rc, &s->work, qp, au->len);
    au->pic_id = in->pic_id;
    au->width = s->width;
    au->height = s->height;
    au->irap = key;
    au->refinement = in->refine && !key;
    au->qp = qp;
    au->encode_start_us = start_us;
    au->encode_us = clock_now_us();
    out->au = au;
    out->wants_more = ratecontrol_wants_more(&s->content);
    LOG_DEBUG(encode, "picture %llu%s: qp %d, %zu of %zu bytes, %d us",
              (unsigned long long)in->pic_id, key ? " IDR" : in->refine ? " refined" : "", qp,
              au->len, in->budget_bytes, (int)(au->encode_us - start_us));
    return 0;
}

const struct encoder_ops encoder_x265 = {"x265", probe, session_open, session_encode,
                                         session_close};
