/* What is captured: the screen, a monitor or region of it, or a window.
 *
 * A window is redirected (Composite), so that it has pixels of its own where others cover it;
 * they are read from its named pixmap. Capture thread, but for open. */
#ifndef HEVCAST_SOURCE_X11_TARGET_H
#define HEVCAST_SOURCE_X11_TARGET_H

#include "source/source.h"
#include "source/x11_conn.h"

enum x11_target_kind { X11_SCREEN, X11_MONITOR, X11_REGION, X11_WINDOW };

struct x11_target {
    struct x11_conn *x; /* borrows */
    enum x11_target_kind kind;
    char name[192];        /* of the monitor; the window's title, or its id as text */
    struct rect wanted;    /* the region as asked for */
    xcb_window_t window;   /* whose damage is watched: the root, or the window */
    xcb_window_t toplevel; /* the root's child that holds the window */
    xcb_pixmap_t pixmap;   /* owns; the window's pixels, with its border */
    struct rect area;      /* what is captured, in the drawable's coordinates */
    int border;
    bool shown; /* false: the window is unmapped; its last pixels stay */
};

/* Finds what config names. */
int x11_target_open(struct x11_target *t, struct x11_conn *x, const struct source_config *config);
/* Asks the server again, after events said that sizes changed. 0: same; 1: size, place or pixels
 * are others (all is damaged); ERR_ENDED: it is gone; or another error. */
int x11_target_refresh(struct x11_target *t);
void x11_target_close(struct x11_target *t);

/* Where pixels are read. */
static inline xcb_drawable_t x11_target_drawable(const struct x11_target *t)
{
    return t->kind == X11_WINDOW ? t->pixmap : t->window;
}
/* Of the watched window's coordinates (damage, pointer) those of the picture. */
static inline struct rect x11_target_to_picture(const struct x11_target *t, struct rect r)
{
    if (t->kind != X11_WINDOW) {
        r.x -= t->area.x;
        r.y -= t->area.y;
    }
    return r;
}
/* For people: `monitor HDMI-1 of :0`. */
void x11_target_describe(const struct x11_target *t, char *text, int size);

#endif
