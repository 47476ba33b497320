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
