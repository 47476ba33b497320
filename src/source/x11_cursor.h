/* The pointer: where it is, how it looks, and drawing it into a buffer so that it can be taken
 * out again. Its events are XFixes' cursor changes and XInput's raw motion: nothing is polled.
 * Capture thread. */
#ifndef HEVCAST_SOURCE_X11_CURSOR_H
#define HEVCAST_SOURCE_X11_CURSOR_H

#include "source/x11_capture.h"
#include "source/x11_target.h"

#include <xcb/xfixes.h>

/* How the pointer looks in a picture. */
struct x11_cursor_state {
    struct rect area; /* its image, in the picture's coordinates, not clipped; empty: hidden */
    uint32_t shape;   /* counts shapes */
};

struct x11_cursor {
    struct x11_conn *x; /* borrows */
    bool on;
    bool moved;         /* it may be elsewhere: ask */
    bool shape_changed; /* it may look different: ask */
    uint32_t shape;
    uint32_t *argb;  /* owns; premultiplied */
    size_t argb_cap; /* pixels */
    int w, h, hot_x, hot_y;
    struct x11_cursor_state now, given; /* as of the last answer; in the last picture */
    xcb_xfixes_get_cursor_image_cookie_t image_cookie;
    xcb_query_pointer_cookie_t root_cookie, window_cookie;
    bool image_asked;
};

/* Selects the events. */
void x11_cursor_open(struct x11_cursor *c, struct x11_conn *x, bool on);
/* true: the event was the pointer's. */
bool x11_cursor_event(struct x11_cursor *c, const xcb_generic_event_t *e);
/* Asks for position and shape, and waits for the answer into c->now. */
void x11_cursor_request(struct x11_cursor *c, const struct x11_target *t);
void x11_cursor_collect(struct x11_cursor *c, const struct x11_target *t);
/* Is c->now not what the last picture shows? w, h: of the picture. */
bool x11_cursor_differs(const struct x11_cursor *c, int w, int h);
/* Draws c->now into the buffer, keeping what is under it; adds to damage what that changes
 * against the last picture. */
void x11_cursor_draw(struct x11_cursor *c, struct x11_buffer *b, int w, int h,
                     struct damage *damage);
/* Puts back what was under the pointer. Before the buffer is read into. */
void x11_cursor_undraw(struct x11_buffer *b, int w);
void x11_cursor_close(struct x11_cursor *c);

#endif
