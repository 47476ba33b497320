/* Public functions that belong to no sender and no receiver. */
#include "base/error.h"
#include "base/log.h"
#include "convert/convert.h"
#include "decode/decoder.h"
#include "display/display.h"
#include "encode/encoder.h"
#include "hevcast/hevcast.h"
#include "source/x11_list.h"

#include <stdio.h>
#include <string.h>

const char *hevcast_error_text(void) { return error_text(); }
const char *hevcast_version(void) { return HEVCAST_VERSION; }
void hevcast_set_log_level(int level)
{
    log_set_level(level < 0 ? LOG_LEVEL_ERROR : level > 3 ? LOG_LEVEL_DEBUG : level);
}
void hevcast_set_log_hooks(void (*before)(void), void (*after)(void))
{
    log_set_hooks(before, after);
}

int hevcast_picture_to_rgb(const hevcast_picture *in, uint8_t *dst, int dst_stride, bool red_first)
{
    static const enum pix_fmt fmts[] = {PIX_BGRX, PIX_I420, PIX_I444, PIX_NV12};
    if (in->fmt < HEVCAST_PIX_BGRX || in->fmt > HEVCAST_PIX_NV12 || dst_stride < 3 * in->width)
        return error_set(ERR_INVALID, "this picture cannot be converted to 24-bit pixels");
    struct picture p = {.fmt = fmts[in->fmt], .width = in->width, .height = in->height};
    for (int i = 0; i < 3; i++) {
        p.plane[i] = (uint8_t *)in->plane[i]; /* only read */
        p.stride[i] = in->stride[i];
    }
    return convert_yuv_to_rgb(&p, dst, dst_stride, 3, red_first);
}

/* ------------------------------------------------------------------ what works here */

typedef void list_fn(void *ctx, const hevcast_list_item *item);

static void list_encoders(list_fn *item, void *ctx)
{
    for (int i = 0; encoder_table[i]; i++) {
        char reason[256] = "";
        hevcast_list_item it = {.kind = HEVCAST_LIST_ENCODER, .name = encoder_table[i]->name,
                                .detail = reason};
        it.works = encoder_table[i]->probe(PIX_I420, reason, sizeof reason);
        item(ctx, &it);
    }
}

static void list_decoders(list_fn *item, void *ctx)
{
    for (int i = 0; decoder_table[i]; i++) {
        char reason[256] = "";
        hevcast_list_item it = {.kind = HEVCAST_LIST_DECODER, .name = decoder_table[i]->name,
                                .detail = reason};
        it.works = decoder_table[i]->probe(reason, sizeof reason);
        item(ctx, &it);
    }
}

static void list_displays(list_fn *item, void *ctx)
{
    for (int i = 0; display_table[i]; i++) {
        char reason[256] = "";
        hevcast_list_item it = {.kind = HEVCAST_LIST_DISPLAY, .name = display_table[i]->name,
                                .detail = reason};
        it.works = display_table[i]->probe(reason, sizeof reason);
        item(ctx, &it);
    }
}

static void list_desktop(const struct x11_list *x, list_fn *item, void *ctx)
{
    for (int i = 0; i < x->n_monitors; i++) {
        const struct x11_monitor *m = &x->monitors[i];
        hevcast_list_item it = {HEVCAST_LIST_MONITOR, m->name, m->primary ? "primary" : "", true,
                                m->area.x, m->area.y, m->area.w, m->area.h};
        item(ctx, &it);
    }
    for (int i = 0; i < x->n_windows; i++) {
        const struct x11_window *w = &x->windows[i];
        char id[16];
        snprintf(id, sizeof id, "0x%x", w->id);
        hevcast_list_item it = {HEVCAST_LIST_WINDOW, id, w->title, w->shown,
                                w->area.x, w->area.y, w->area.w, w->area.h};
        item(ctx, &it);
    }
}

int hevcast_list(list_fn *item, void *ctx)
{
    struct x11_list *x = NULL;
    int err = x11_list_new(&x, NULL);
    if (!err)
        list_desktop(x, item, ctx);
    x11_list_free(&x);
    char why[256];
    snprintf(why, sizeof why, "%s", error_text()); /* the probes below may set another */
    list_encoders(item, ctx);
    list_decoders(item, ctx);
    list_displays(item, ctx);
    return err ? error_set(ERR_NOT_FOUND, "%s", why) : 0;
}
