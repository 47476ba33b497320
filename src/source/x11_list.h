/* The monitors and windows of an X display, for `hevcast list` and for finding what --monitor
 * and --window name. Any thread; nothing is shared. */
#ifndef HEVCAST_SOURCE_X11_LIST_H
#define HEVCAST_SOURCE_X11_LIST_H

#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>

struct x11_conn;

struct x11_monitor {
    char name[64];    /* as RandR and `xrandr --listmonitors` have it: "HDMI-1" */
    struct rect area; /* on the screen; its number is its place in the list, from 0 */
    bool primary;
};

struct x11_window {
    uint32_t id;
    char title[192];  /* UTF-8 */
    struct rect area; /* without the frame, on the screen */
    bool shown;       /* false: minimised or on another desktop; has no pixels now */
};

struct x11_list {
    char display[128]; /* ":0" */
    int width, height; /* of the whole screen */
    struct x11_monitor *monitors;
    int n_monitors;
    struct x11_window *windows; /* those with a title */
    int n_windows;
};

/* display: as in x11:DISPLAY, "7" and ":7" alike; NULL: $DISPLAY. */
int x11_list_new(struct x11_list **out, const char *display);
void x11_list_free(struct x11_list **list);

/* The parts, over a connection that is there. The caller frees *out. */
int x11_list_monitors(struct x11_conn *x, struct x11_monitor **out);
int x11_list_windows(struct x11_conn *x, struct x11_window **out);
/* Of a window: its title, "" when it has none. */
void x11_window_title(struct x11_conn *x, uint32_t id, char *title, int size);
/* ":7" of "7", as x11_connect wants it. NULL stays NULL. buf: where a change is written. */
const char *x11_display_name(const char *display, char *buf, int size);

#endif
