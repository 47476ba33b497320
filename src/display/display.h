/* display: shows pictures in a window. All functions on the main thread (SDL wants that), but
 * display_wake. */
#ifndef HEVCAST_DISPLAY_DISPLAY_H
#define HEVCAST_DISPLAY_DISPLAY_H

#include "base/picture.h"

#include <stdbool.h>

enum display_event {
    DISPLAY_NONE,         /* the timeout passed, or woken */
    DISPLAY_QUIT,         /* Q, Esc, or the window was closed */
    DISPLAY_TOGGLE_STATS, /* S: the caller turns its overlay text on or off */
};

struct display;
struct display_ops {
    const char *name; /* sdl, null */
    bool (*probe)(char *reason, size_t reason_len);
    int (*open)(struct display **out, const char *title, bool fullscreen);
    /* borrows pic. The first picture makes the window, in its size or what fits the desktop. A
     * picture is fitted into the window with its aspect kept; F toggles full screen inside. */
    int (*show)(struct display *d, const struct picture *pic);
    /* Text drawn over the picture from the next draw on, lines by \n; NULL: none. Copied. */
    void (*overlay)(struct display *d, const char *text);
    /* Text in the middle of a darkened picture, lines by \n: what is shown is not the present.
     * NULL: none. Copied; drawn by the next wait. */
    void (*message)(struct display *d, const char *text);
    /* Waits for a window event, at most timeout_us; redraws by itself when exposed or resized. */
    enum display_event (*wait)(struct display *d, int64_t timeout_us);
    void (*wake)(struct display *d); /* any thread: makes wait return DISPLAY_NONE */
    void (*close)(struct display *d);
};
struct display {
    const struct display_ops *ops;
};
extern const struct display_ops display_sdl, display_null;
extern const struct display_ops *const display_table[];

#endif
