#include "encode/encoder.h"

#include "base/error.h"
#include "base/log.h"
#include "encode/au_pool.h"
#include "encode/handover.h"
#include "hevc/nal.h"

#include <string.h>

/* Hardware first: it leaves the processor to the programs on the screen. */
const struct encoder_ops *const encoder_table[] = {
    &encoder_nvenc, &encoder_vaapi, &encoder_qsv, &encoder_x265, &encoder_screen, NULL,
};

static int pick_named(const struct encoder_ops **out, const char *name, enum pix_fmt fmt)
{
    char reason[200];
    for (int i = 0; encoder_table[i]; i++) {
        if (strcmp(encoder_table[i]->name, name) != 0)
            continue;
        if (!encoder_table[i]->probe(fmt, reason, sizeof reason))
            return error_set(ERR_UNSUPPORTED, "the encoder %s does not work here: %s", name, reason);
        *out = encoder_table[i];
        return 0;
    }
    return error_set(ERR_INVALID, "there is no encoder \"%s\"; `hevcast list` names them", name);
}

int encoder_pick(const struct encoder_ops **out, const char *name, enum pix_fmt fmt)
{
    if (name && strcmp(name, "auto") != 0)
        return pick_named(out, name, fmt);
    char reason[200] = "";
    for (int i = 0; encoder_table[i]; i++) {
        if (encoder_table[i] == &encoder_screen)
            continue; /* as a part of the one below */
        if (encoder_table[i] == &encoder_x265 && encoder_handover.probe(fmt, reason, sizeof reason)) {
            *out = &encoder_handover;
            return 0;
        }
        if (encoder_table[i]->probe(fmt, reason, sizeof reason)) {
            LOG_DEBUG(encode, "encoder %s", encoder_table[i]->name);
            *out = encoder_table[i];
            return 0;
        }
        LOG_DEBUG(encode, "%s: %s", encoder_table[i]->name, reason);
    }
    return error_set(ERR_UNSUPPORTED, "no HEVC encoder works here: %s", reason);
}

int encoder_open(struct encoder **out, const struct encoder_ops *ops,
                 const struct encoder_config *config)
{
    *out = NULL;
    if (config->fmt != PIX_I420 && config->fmt != PIX_I444)
        return error_set(ERR_INVALID, "encoders take 4:2:0 or 4:4:4 planes, not format %d",
                         config->fmt);
    if (config->width < 1 || config->height < 1 || config->fps < 1)
        return error_set(ERR_INVALID, "%dx%d at %d pictures a second cannot be encoded",
                         config->width, config->height, config->fps);
    return ops->open(out, config);
}

void encoder_close(struct encoder **e)
{
    if (*e)
        (*e)->ops->close(*e);
    *e = NULL;
}

int encoder_check_picture(const struct encoder_config *config, const struct picture *pic)
{
    if (pic->width == config->width && pic->height == config->height && pic->fmt == config->fmt)
        return 0;
    return error_set(ERR_INVALID, "the encoder was opened for %dx%d, not %dx%d", config->width,
                     config->height, pic->width, pic->height);
}

struct level {
    int idc;
    int64_t max_luma_ps, max_luma_sr, max_kbps; /* H.265 tables A.8 and A.9, Main tier */
};
static const struct level levels[] = {
    {30, 36864, 552960, 128},
    {60, 122880, 3686400, 1500},
    {63, 245760, 7372800, 3000},
    {90, 552960, 16588800, 6000},
    {93, 983040, 33177600, 10000},
    {120, 2228224, 66846720, 12000},
    {123, 2228224, 133693440, 20000},
    {150, 8912896, 267386880, 25000},
    {153, 8912896, 534773760, 40000},
    {156, 8912896, 1069547520, 60000},
    {180, 35651584, 1069547520, 60000},
    {183, 35651584, 2139095040, 120000},
    {186, 35651584, 4278190080, 240000},
};

int hevc_level_for(int width, int height, int fps, int64_t bitrate_bps)
{
    const size_t n = sizeof levels / sizeof levels[0];
    int64_t w = (width + 7) / 8 * 8, h = (height + 7) / 8 * 8; /* coded in blocks of 8 */
    for (size_t i = 0; i < n; i++) {
        const struct level *l = &levels[i];
        /* A.4.1: neither side over sqrt(8 MaxLumaPs). */
        if (w * h <= l->max_luma_ps && w * w <= 8 * l->max_luma_ps && h * h <= 8 * l->max_luma_ps &&
            w * h * fps <= l->max_luma_sr && bitrate_bps <= l->max_kbps * 1000)
            return l->idc;
    }
    return levels[n - 1].idc;
}

/* A.4.2, equation A-2, with maxDpbPicBuf 6. */
static int dpb_size(const struct level *l, int64_t luma_ps)
{
    if (luma_ps <= l->max_luma_ps >> 2)
        return 16;
    if (luma_ps <= l->max_luma_ps >> 1)
        return 12;
    return luma_ps <= 3 * l->max_luma_ps >> 2 ? 8 : 6;
}

static int64_t coded_luma_ps(int width, int height)
{
    return (int64_t)((width + 7) / 8 * 8) * ((height + 7) / 8 * 8);
}

int hevc_dpb_size(int level_idc, int width, int height)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i].idc == level_idc)
            return dpb_size(&levels[i], coded_luma_ps(width, height));
    return 6;
}

int hevc_level_for_dpb(int level_idc, int width, int height)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i].idc >= level_idc &&
            dpb_size(&levels[i], coded_luma_ps(width, height)) == 16)
            return levels[i].idc;
    return level_idc;
}

struct access_unit *au_pool_get(struct au_pool *pool, const struct picture *pic)
{
    struct access_unit *au = NULL;
    int empty = -1;
    for (int i = 0; i < AU_POOL_SLOTS && !au; i++) {
        if (!pool->slot[i])
            empty = i;
        else if (atomic_load_explicit(&pool->slot[i]->refs, memory_order_acquire) == 1)
            au = pool->slot[i];
    }
    if (au) {
        uint8_t *data = au->data;
        size_t cap = au->cap;
        struct access_unit fresh = {.data = data, .cap = cap, .qp = -1};
        memcpy(au, &fresh, sizeof fresh);
        atomic_init(&au->refs, 2); /* the pool's and the caller's */
    } else {
        au = access_unit_new(16384);
        if (!au)
            return NULL;
        if (empty >= 0)
            pool->slot[empty] = access_unit_ref(au);
    }
    au->event_us = pic->event_us;
    au->capture_us = pic->capture_us;
    au->convert_us = pic->ready_us;
    au->pts_us = pic->pts_us;
    return au;
}

void au_pool_clear(struct au_pool *pool)
{
    for (int i = 0; i < AU_POOL_SLOTS; i++)
        access_unit_unref(&pool->slot[i]);
}

bool au_append_annexb(struct access_unit *au, const uint8_t *data, size_t len)
{
    size_t pos = 0;
    struct nal nal;
    while (annexb_next(data, len, &pos, &nal))
        if (nal_type(&nal) != NAL_AUD && !au_append_nal(au, nal.data, nal.len))
            return false;
    return true;
}
