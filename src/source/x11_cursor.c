#include "source/x11_cursor.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <xcb/xinput.h>

static void select_motion(struct x11_conn *x)
{
    /* Raw motion comes for every move by a device, whichever window or grab has the pointer. A
     * program's XWarpPointer has none: for that, plain motion too, where no window takes it. */
    struct {
        xcb_input_event_mask_t head;
        uint32_t mask;
    } want = {{XCB_INPUT_DEVICE_ALL_MASTER, 1},
              XCB_INPUT_XI_EVENT_MASK_RAW_MOTION | XCB_INPUT_XI_EVENT_MASK_MOTION};
    xcb_input_xi_select_events(x->c, x->screen->root, 1, &want.head);
}

void x11_cursor_open(struct x11_cursor *c, struct x11_conn *x, bool on)
{
    memset(c, 0, sizeof *c);
    c->x = x;
    c->on = on && x->xfixes;
    if (on && !x->xfixes)
        LOG_WARN(x11, "X display %s has no XFixes extension: the pointer is left out", x->display);
    if (!c->on)
        return;
    if (x->xinput)
        select_motion(x);
    else
        LOG_WARN(x11,
                 "X display %s has no XInput 2.1: the pointer is drawn anew only when "
                 "something else changes",
                 x->display);
    xcb_xfixes_select_cursor_input(x->c, x->screen->root,
                                   XCB_XFIXES_CURSOR_NOTIFY_MASK_DISPLAY_CURSOR);
    c->moved = c->shape_changed = true;
}

bool x11_cursor_event(struct x11_cursor *c, const xcb_generic_event_t *e)
{
    int type = e->response_type & 0x7f;
    if (c->on && type == XCB_GE_GENERIC && c->x->xinput &&
        ((const xcb_ge_generic_event_t *)e)->extension == c->x->xinput_opcode) {
        c->moved = true;
        return true;
    }
    if (c->on && type == c->x->xfixes_event + XCB_XFIXES_CURSOR_NOTIFY) {
        c->shape_changed = true;
        return true;
    }
    return false;
}

void x11_cursor_request(struct x11_cursor *c, const struct x11_target *t)
{
    c->image_asked = c->shape_changed;
    c->moved = c->shape_changed = false;
    if (!c->on)
        return;
    xcb_window_t root = c->x->screen->root;
    if (c->image_asked)
        c->image_cookie = xcb_xfixes_get_cursor_image(c->x->c);
    c->root_cookie = xcb_query_pointer(c->x->c, root);
    if (t->kind == X11_WINDOW)
        c->window_cookie = xcb_query_pointer(c->x->c, t->window);
}

static void take_image(struct x11_cursor *c, xcb_xfixes_get_cursor_image_reply_t *r)
{
    c->shape++;
    c->w = c->h = 0; /* without an answer there is no pointer to draw */
    size_t pixels = r ? (size_t)r->width * r->height : 0;
    if (!r || (size_t)xcb_xfixes_get_cursor_image_cursor_image_length(r) < pixels)
        return;
    if (pixels > c->argb_cap) {
        uint32_t *p = realloc(c->argb, pixels * 4);
        if (!p)
            return;
        c->argb = p;
        c->argb_cap = pixels;
    }
    if (pixels)
        memcpy(c->argb, xcb_xfixes_get_cursor_image_cursor_image(r), pixels * 4);
    c->w = r->width;
    c->h = r->height;
    c->hot_x = r->xhot;
    c->hot_y = r->yhot;
}

void x11_cursor_collect(struct x11_cursor *c, const struct x11_target *t)
{
    if (!c->on)
        return;
    if (c->image_asked) {
        xcb_xfixes_get_cursor_image_reply_t *r =
            xcb_xfixes_get_cursor_image_reply(c->x->c, c->image_cookie, NULL);
        take_image(c, r);
        free(r);
    }
    xcb_query_pointer_reply_t *root = xcb_query_pointer_reply(c->x->c, c->root_cookie, NULL);
    bool visible = root && root->same_screen;
    int x = root ? root->root_x - t->area.x : 0, y = root ? root->root_y - t->area.y : 0;
    if (t->kind == X11_WINDOW) {
        xcb_query_pointer_reply_t *w = xcb_query_pointer_reply(c->x->c, c->window_cookie, NULL);
        /* Over another window that covers ours there, it is not our pointer. */
        visible = visible && w && t->shown && root->child == t->toplevel;
        x = w ? w->win_x : 0;
        y = w ? w->win_y : 0;
        free(w);
    }
    free(root);
    c->now.shape = c->shape;
    c->now.area = (struct rect){x - c->hot_x, y - c->hot_y, visible ? c->w : 0, visible ? c->h : 0};
}

static struct rect clip(const struct x11_cursor_state *s, int w, int h)
{
    return rect_intersect(s->area, (struct rect){0, 0, w, h});
}

bool x11_cursor_differs(const struct x11_cursor *c, int w, int h)
{
    if (!c->on)
        return false;
    struct rect now = clip(&c->now, w, h), given = clip(&c->given, w, h);
    if (rect_empty(&now) && rect_empty(&given))
        return false;
    return c->now.shape != c->given.shape || memcmp(&c->now.area, &c->given.area, sizeof now);
}

/* Premultiplied source over: dst = src + dst * (255 - alpha) / 255. */
static inline uint32_t blend(uint32_t src, uint32_t dst)
{
    uint32_t keep = 255 - (src >> 24), out = 0;
    for (int shift = 0; shift < 24; shift += 8) {
        uint32_t v = (src >> shift & 0xff) + ((dst >> shift & 0xff) * keep + 127) / 255;
        out |= (v < 255 ? v : 255) << shift;
    }
    return out | 0xff000000u;
}

static void draw_rows(const struct x11_cursor *c, struct x11_buffer *b, struct rect r, int w)
{
    for (int y = 0; y < r.h; y++) {
        uint32_t *dst = (uint32_t *)b->mem + (size_t)(r.y + y) * (size_t)w + r.x;
        const uint32_t *src =
            c->argb + (size_t)(r.y + y - c->now.area.y) * (size_t)c->w + (r.x - c->now.area.x);
        uint32_t *keep = b->under_pixels + (size_t)y * (size_t)r.w;
        memcpy(keep, dst, (size_t)r.w * 4);
        for (int x = 0; x < r.w; x++)
            if (src[x] >> 24)
                dst[x] = blend(src[x], dst[x]);
    }
}

void x11_cursor_draw(struct x11_cursor *c, struct x11_buffer *b, int w, int h,
                     struct damage *damage)
{
    struct rect r = clip(&c->now, w, h);
    b->under = (struct rect){0, 0, 0, 0};
    if (!c->on)
        return;
    size_t pixels = (size_t)r.w * (size_t)r.h;
    if (pixels > b->under_cap) {
        uint32_t *p = realloc(b->under_pixels, pixels * 4);
        if (!p)
            return;
        b->under_pixels = p;
        b->under_cap = pixels;
    }
    if (!rect_empty(&r)) {
        draw_rows(c, b, r, w);
        b->under = r;
    }
    if (x11_cursor_differs(c, w, h)) {
        damage_add(damage, clip(&c->given, w, h));
        damage_add(damage, r);
    }
    c->given = c->now;
}

void x11_cursor_undraw(struct x11_buffer *b, int w)
{
    struct rect r = b->under;
    for (int y = 0; y < r.h; y++)
        memcpy(b->mem + ((size_t)(r.y + y) * (size_t)w + (size_t)r.x) * 4,
               b->under_pixels + (size_t)y * (size_t)r.w, (size_t)r.w * 4);
    b->under = (struct rect){0, 0, 0, 0};
}

void x11_cursor_close(struct x11_cursor *c)
{
    free(c->argb);
    c->argb = NULL;
}
