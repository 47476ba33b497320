/* An X client that draws, and knows what the screen then looks like. For tests of capturing. */
#ifndef HEVCAST_TESTS_ARTIST_H
#define HEVCAST_TESTS_ARTIST_H

#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>
#include <xcb/xcb.h>

struct artist {
    xcb_connection_t *c;
    xcb_screen_t *screen;
    xcb_gcontext_t gc;
    uint64_t seed;
};

bool artist_open(struct artist *a, const char *display);
void artist_close(struct artist *a);
/* All that was asked for has been done by the server. */
void artist_sync(struct artist *a);
uint32_t artist_random(struct artist *a, uint32_t below);
void artist_fill(struct artist *a, xcb_drawable_t d, struct rect r, uint32_t colour);
/* A random rectangle of noise within width x height; synced when small. */
struct rect artist_noise(struct artist *a, xcb_drawable_t d, int width, int height, int max);
/* A mapped window without a window manager; title NULL: none. */
xcb_window_t artist_window(struct artist *a, struct rect r, uint32_t colour, const char *title);
/* The pointer becomes a square of one colour, hot spot in its middle, on the root window. */
void artist_square_cursor(struct artist *a, int size, uint32_t colour);
/* XWarpPointer, as programs do it; and XTEST's fake motion, as a mouse does it. */
void artist_warp(struct artist *a, int x, int y);
void artist_move_mouse(struct artist *a, int x, int y);
/* The drawable's pixels, 24 bits each, by the plain core request; the caller frees it. */
uint32_t *artist_pixels(struct artist *a, xcb_drawable_t d, struct rect r);

#endif
