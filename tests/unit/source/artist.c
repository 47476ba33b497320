#include "artist.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <xcb/xcbext.h>

bool artist_open(struct artist *a, const char *display)
{
    memset(a, 0, sizeof *a);
    a->c = xcb_connect(display, NULL);
    if (xcb_connection_has_error(a->c))
        return false;
    a->screen = xcb_setup_roots_iterator(xcb_get_setup(a->c)).data;
    a->gc = xcb_generate_id(a->c);
    uint32_t values[] = {1, 0}; /* draw over subwindows, no GraphicsExpose events */
    xcb_create_gc(a->c, a->gc, a->screen->root, XCB_GC_SUBWINDOW_MODE | XCB_GC_GRAPHICS_EXPOSURES,
                  values);
    a->seed = 88172645463325252u;
    return true;
}

void artist_close(struct artist *a)
{
    if (a->c)
        xcb_disconnect(a->c);
    a->c = NULL;
}

void artist_sync(struct artist *a)
{
    free(xcb_get_input_focus_reply(a->c, xcb_get_input_focus(a->c), NULL));
    free(xcb_poll_for_event(a->c));
}

uint32_t artist_random(struct artist *a, uint32_t below)
{
    a->seed ^= a->seed << 13; /* xorshift: the same pictures in every run */
    a->seed ^= a->seed >> 7;
    a->seed ^= a->seed << 17;
    return (uint32_t)(a->seed >> 32) % below;
}

void artist_fill(struct artist *a, xcb_drawable_t d, struct rect r, uint32_t colour)
{
    xcb_rectangle_t x = {(int16_t)r.x, (int16_t)r.y, (uint16_t)r.w, (uint16_t)r.h};
    xcb_change_gc(a->c, a->gc, XCB_GC_FOREGROUND, &colour);
    xcb_poly_fill_rectangle(a->c, d, a->gc, 1, &x);
    xcb_flush(a->c);
}

struct rect artist_noise(struct artist *a, xcb_drawable_t d, int width, int height, int max)
{
    struct rect r;
    r.w = 1 + (int)artist_random(a, (uint32_t)(max < width ? max : width));
    r.h = 1 + (int)artist_random(a, (uint32_t)(max < height ? max : height));
    if (r.w * r.h > 50000) /* the size of a request is limited */
        r.h = 1 + 50000 / r.w;
    r.x = (int)artist_random(a, (uint32_t)(width - r.w + 1));
    r.y = (int)artist_random(a, (uint32_t)(height - r.h + 1));
    uint32_t *pixels = malloc((size_t)(r.w * r.h) * 4);
    for (int i = 0; i < r.w * r.h; i++)
        pixels[i] = artist_random(a, 1 << 24);
    xcb_put_image(a->c, XCB_IMAGE_FORMAT_Z_PIXMAP, d, a->gc, (uint16_t)r.w, (uint16_t)r.h,
                  (int16_t)r.x, (int16_t)r.y, 0, 24, (uint32_t)(r.w * r.h * 4), (uint8_t *)pixels);
    free(pixels);
    xcb_flush(a->c);
    return r;
}

xcb_window_t artist_window(struct artist *a, struct rect r, uint32_t colour, const char *title)
{
    xcb_window_t w = xcb_generate_id(a->c);
    xcb_create_window(a->c, XCB_COPY_FROM_PARENT, w, a->screen->root, (int16_t)r.x, (int16_t)r.y,
                      (uint16_t)r.w, (uint16_t)r.h, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT,
                      XCB_COPY_FROM_PARENT, XCB_CW_BACK_PIXEL, &colour);
    if (title)
        xcb_change_property(a->c, XCB_PROP_MODE_REPLACE, w, XCB_ATOM_WM_NAME, XCB_ATOM_STRING, 8,
                            (uint32_t)strlen(title), title);
    xcb_map_window(a->c, w);
    artist_sync(a);
    return w;
}

void artist_square_cursor(struct artist *a, int size, uint32_t colour)
{
    xcb_pixmap_t bits = xcb_generate_id(a->c);
    xcb_gcontext_t gc = xcb_generate_id(a->c);
    uint32_t one = 1;
    xcb_create_pixmap(a->c, 1, bits, a->screen->root, (uint16_t)size, (uint16_t)size);
    xcb_create_gc(a->c, gc, bits, XCB_GC_FOREGROUND, &one);
    xcb_rectangle_t all = {0, 0, (uint16_t)size, (uint16_t)size};
    xcb_poly_fill_rectangle(a->c, bits, gc, 1, &all);
    xcb_cursor_t cursor = xcb_generate_id(a->c);
    uint16_t r = (uint16_t)((colour >> 16 & 0xff) * 257),
             g = (uint16_t)((colour >> 8 & 0xff) * 257), b = (uint16_t)((colour & 0xff) * 257);
    xcb_create_cursor(a->c, cursor, bits, bits, r, g, b, 0, 0, 0, (uint16_t)(size / 2),
                      (uint16_t)(size / 2));
    xcb_change_window_attributes(a->c, a->screen->root, XCB_CW_CURSOR, &cursor);
    xcb_free_cursor(a->c, cursor);
    xcb_free_gc(a->c, gc);
    xcb_free_pixmap(a->c, bits);
    artist_sync(a);
}

void artist_warp(struct artist *a, int x, int y)
{
    xcb_warp_pointer(a->c, XCB_NONE, a->screen->root, 0, 0, 0, 0, (int16_t)x, (int16_t)y);
    artist_sync(a);
}

void artist_move_mouse(struct artist *a, int x, int y)
{
    static xcb_extension_t xtest = {"XTEST", 0};
    /* XTestFakeInput, XTEST 2.2: type, detail, time, root, x, y */
    struct {
        uint8_t major, minor;
        uint16_t length;
        uint8_t type, detail, pad0[2];
        uint32_t time, root, pad1[2];
        int16_t x, y;
        uint8_t pad2[7], device;
    } fake = {.type = XCB_MOTION_NOTIFY, .root = a->screen->root, .x = (int16_t)x, .y = (int16_t)y};
    xcb_protocol_request_t r = {.count = 1, .ext = &xtest, .opcode = 2, .isvoid = 1};
    struct iovec v[4] = {{0}}; /* xcb wants two free ones before the first */
    v[2] = (struct iovec){&fake, sizeof fake};
    xcb_send_request(a->c, 0, v + 2, &r);
    artist_sync(a);
}

uint32_t *artist_pixels(struct artist *a, xcb_drawable_t d, struct rect r)
{
    xcb_get_image_reply_t *i =
        xcb_get_image_reply(a->c,
                            xcb_get_image(a->c, XCB_IMAGE_FORMAT_Z_PIXMAP, d, (int16_t)r.x,
                                          (int16_t)r.y, (uint16_t)r.w, (uint16_t)r.h, UINT32_MAX),
                            NULL);
    size_t n = (size_t)r.w * (size_t)r.h;
    uint32_t *p = i && (size_t)xcb_get_image_data_length(i) >= n * 4 ? malloc(n * 4) : NULL;
    for (size_t k = 0; p && k < n; k++)
        p[k] = ((uint32_t *)xcb_get_image_data(i))[k] & 0xffffff;
    free(i);
    return p;
}
