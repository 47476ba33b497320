#include "source/x11_damage.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

int x11_damage_open(struct x11_damage *d, struct x11_conn *x, xcb_window_t window)
{
    memset(d, 0, sizeof *d);
    d->x = x;
    d->id = xcb_generate_id(x->c);
    xcb_generic_error_t *e = xcb_request_check(
        x->c,
        xcb_damage_create_checked(x->c, d->id, window, XCB_DAMAGE_REPORT_LEVEL_DELTA_RECTANGLES));
    if (!e)
        return 0;
    int code = e->error_code;
    free(e);
    return error_set(ERR_UNSUPPORTED,
                     "X display %s does not report changes of window 0x%x "
                     "(X error %d)",
                     x->display, window, code);
}

void x11_damage_all(struct x11_damage *d, const struct x11_target *t)
{
    damage_set_all(&d->pending, t->area.w, t->area.h);
    if (!d->event_us)
        d->event_us = clock_now_us();
}

static bool seq_before(unsigned a, unsigned b)
{
    return (int32_t)(a - b) < 0;
}

static bool is_covered(const struct damage *by, struct rect r)
{
    for (int i = 0; i < by->n; i++)
        if (rect_contains(by->r[i], r))
            return true;
    return false;
}

/* Storms of small events (a plot of ten thousand points) must not cost time: damage_add looks for
 * the best pair to merge, this only for the best partner. */
enum { STORM_EVENTS = 128 };
static void add(struct x11_damage *x, struct damage *d, struct rect r)
{
    if (x->events < STORM_EVENTS || d->n < DAMAGE_MAX) {
        damage_add(d, r);
        return;
    }
    int best = 0;
    int64_t best_growth = INT64_MAX;
    for (int i = 0; i < d->n; i++) {
        struct rect u = rect_union(d->r[i], r);
        int64_t growth = (int64_t)u.w * u.h - (int64_t)d->r[i].w * d->r[i].h;
        if (growth < best_growth) {
            best_growth = growth;
            best = i;
        }
    }
    d->r[best] = rect_union(d->r[best], r);
}

bool x11_damage_event(struct x11_damage *d, const xcb_generic_event_t *e,
                      const struct x11_target *t, const struct x11_capture *capture)
{
    if ((e->response_type & 0x7f) != d->x->damage_event + XCB_DAMAGE_NOTIFY)
        return false;
    const xcb_damage_notify_event_t *n = (const xcb_damage_notify_event_t *)e;
    struct rect r = x11_target_to_picture(
        t, (struct rect){n->area.x, n->area.y, n->area.width, n->area.height});
    r = rect_intersect(r, (struct rect){0, 0, t->area.w, t->area.h});
    if (rect_empty(&r))
        return true;
    d->events++;
    if (d->reading) {
        /* The sequence number says which of our requests the server had reached. */
        unsigned seq = e->full_sequence;
        if (!seq_before(capture->last_sequence, seq))
            add(d, &d->during, r);
        if (seq_before(seq, d->subtract_sequence)) {
            /* Older than every pixel that was read. */
            if (!is_covered(&capture->covered, r))
                add(d, &d->missed, r);
            return true;
        }
    }
    add(d, &d->pending, r);
    if (!d->event_us)
        d->event_us = clock_now_us();
    return true;
}

void x11_damage_begin(struct x11_damage *d)
{
    d->subtract_sequence = xcb_damage_subtract(d->x->c, d->id, XCB_NONE, XCB_NONE).sequence;
    damage_clear(&d->during);
    damage_clear(&d->missed);
    d->events = 0;
    d->reading = true;
}
