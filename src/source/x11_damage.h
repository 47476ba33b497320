/* Which part of the target changed, without ever losing a change.
 *
 * Report level DeltaRectangles: the server keeps the damaged area, and sends an event for each
 * part that is new in it; Subtract empties it. `read` sends Subtract and then the requests for
 * pixels, without waiting in between. A change at a time t was in the area already (then its
 * event is older than t) or sends an event at t. If that event was known before Subtract, the
 * pixels are read after t. If it comes later, it makes the next picture. So nothing is lost, in
 * one round trip; with NonEmpty the area would have to be fetched first, in a second one, and a
 * round trip to a busy server can take milliseconds. RawRectangles would send an event for every
 * drawing operation.
 *
 * Capture thread. */
#ifndef HEVCAST_SOURCE_X11_DAMAGE_H
#define HEVCAST_SOURCE_X11_DAMAGE_H

#include "source/x11_capture.h"
#include "source/x11_target.h"

#include <xcb/damage.h>

struct x11_damage {
    struct x11_conn *x; /* borrows */
    xcb_damage_damage_t id;
    struct damage pending; /* not in any picture yet; the picture's coordinates, clipped */
    int64_t event_us;      /* when the first of it was noticed; 0: nothing */
    unsigned events;       /* since the last Subtract */

    /* While a picture is read: what came since Subtract was sent. */
    bool reading;
    unsigned subtract_sequence;
    struct damage during; /* may be in the pixels just read: belongs to this picture */
    struct damage missed; /* damaged before Subtract, but not among what was read */
};

int x11_damage_open(struct x11_damage *d, struct x11_conn *x, xcb_window_t window);
/* Everything changed. */
void x11_damage_all(struct x11_damage *d, const struct x11_target *t);
/* true: the event was damage. capture: the jobs of the read that goes on. */
bool x11_damage_event(struct x11_damage *d, const xcb_generic_event_t *e,
                      const struct x11_target *t, const struct x11_capture *capture);
/* Sends Subtract; pixels requested after it belong to all damage known now. */
void x11_damage_begin(struct x11_damage *d);

#endif
