/* A connection to an X server, and which of its extensions can be used. One thread. */
#ifndef HEVCAST_SOURCE_X11_CONN_H
#define HEVCAST_SOURCE_X11_CONN_H

#include "base/error.h"
#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>
#include <xcb/xcb.h>

struct x11_conn {
    xcb_connection_t *c;
    xcb_screen_t *screen; /* borrowed from the connection; its size is that at connecting */
    char display[128];    /* for people: ":0" */
    bool local;           /* over a Unix socket: file descriptors can be passed */
    bool shm, damage, xfixes, randr, composite, xinput;
    uint8_t damage_event, xfixes_event, randr_event; /* first event codes */
    uint8_t xinput_opcode;
};

/* display NULL: $DISPLAY. */
int x11_connect(struct x11_conn *x, const char *display);
void x11_disconnect(struct x11_conn *x);
/* An atom by its name, XCB_NONE when the server does not have it. */
xcb_atom_t x11_atom(struct x11_conn *x, const char *name);

#endif
