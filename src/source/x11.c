/* The X11 driver: sleeps until the server reports a change, reads what changed, draws the
 * pointer in. The parts: x11_conn (extensions), x11_target (what), x11_damage (which part),
 * x11_capture (pixels, buffers), x11_cursor (pointer). */
#include "source/source.h"

#include "base/clock.h"
#include "base/log.h"
#include "source/wake.h"
#include "source/x11_capture.h"
#include "source/x11_conn.h"
#include "source/x11_cursor.h"
#include "source/x11_damage.h"
#include "source/x11_list.h"
#include "source/x11_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xcb/randr.h>

struct x11_source {
    struct source base;
    struct x11_conn x;
    struct x11_target target;
    struct x11_capture capture;
    struct x11_damage damage;
    struct x11_cursor cursor;
    int wake;          /* source/wake.h; signalled by any thread */
    bool target_dirty; /* sizes may have changed: ask before the next read */
    bool ended;
};

static struct x11_source *self(struct source *s)
{
    return (struct x11_source *)s;
}

static bool x11_takes(const char *spec)
{
    return !strcmp(spec, "screen") || !strcmp(spec, "x11") || !strncmp(spec, "x11:", 4);
}

static void end(struct x11_source *s, bool failed, const char *reason)
{
    if (s->ended)
        return;
    s->ended = true;
    s->base.failed = failed;
    snprintf(s->base.end_reason, sizeof s->base.end_reason, "%s", reason);
}

static bool is_over(struct x11_source *s)
{
    if (!s->ended && xcb_connection_has_error(s->x.c)) {
        char reason[256];
        snprintf(reason, sizeof reason, "X display %s went away", s->x.display);
        end(s, true, reason);
    }
    return s->ended;
}

static void window_closed(struct x11_source *s)
{
    char reason[256];
    snprintf(reason, sizeof reason, "the window \"%s\" was closed", s->target.name);
    end(s, false, reason); /* its owner's wish, like the end of a file */
}

static void on_configure(struct x11_source *s, const xcb_configure_notify_event_t *e)
{
    struct x11_target *t = &s->target;
    if (e->window != t->window)
        return;
    s->cursor.moved = true;
    if (t->kind != X11_WINDOW || e->width != t->area.w || e->height != t->area.h ||
        e->border_width != t->border)
        s->target_dirty = true;
}

static void on_event(struct x11_source *s, const xcb_generic_event_t *e)
{
    struct x11_target *t = &s->target;
    int type = e->response_type & 0x7f;
    if (x11_damage_event(&s->damage, e, t, &s->capture) || x11_cursor_event(&s->cursor, e))
        return;
    if (s->x.randr && (type == s->x.randr_event + XCB_RANDR_SCREEN_CHANGE_NOTIFY ||
                       type == s->x.randr_event + XCB_RANDR_NOTIFY)) {
        s->target_dirty = true;
        return;
    }
    switch (type) {
    case XCB_CONFIGURE_NOTIFY:
        on_configure(s, (const xcb_configure_notify_event_t *)e);
        break;
    case XCB_MAP_NOTIFY: /* the window has another pixmap now */
        s->target_dirty =
            s->target_dirty || ((const xcb_map_notify_event_t *)e)->window == t->window;
        break;
    case XCB_UNMAP_NOTIFY:
        if (((const xcb_unmap_notify_event_t *)e)->window == t->window)
            t->shown = false;
        s->cursor.moved = true;
        break;
    case XCB_REPARENT_NOTIFY: /* another toplevel */
        s->target_dirty = true;
        break;
    case XCB_DESTROY_NOTIFY:
        if (((const xcb_destroy_notify_event_t *)e)->window == t->window)
            window_closed(s);
        break;
    case 0:
        LOG_DEBUG(x11, "X error %d of request %d.%d", ((const xcb_generic_error_t *)e)->error_code,
                  ((const xcb_generic_error_t *)e)->major_code,
                  ((const xcb_generic_error_t *)e)->minor_code);
        break;
    }
}

/* Takes all events that are here, without waiting. */
static void drain_events(struct x11_source *s)
{
    xcb_generic_event_t *e;
    while ((e = xcb_poll_for_event(s->x.c))) {
        on_event(s, e);
        free(e);
    }
}

static int check_extensions(struct x11_conn *x)
{
    if (!x->damage || !x->xfixes) /* Damage's requests use XFixes' regions */
        return error_set(ERR_UNSUPPORTED,
                         "X display %s has no %s extension, without which changes "
                         "are not seen; enable it in the X server",
                         x->display, x->damage ? "XFixes" : "DAMAGE");
    return 0;
}

static int drawable_depth(struct x11_source *s)
{
    xcb_get_geometry_reply_t *g = xcb_get_geometry_reply(
        s->x.c, xcb_get_geometry(s->x.c, x11_target_drawable(&s->target)), NULL);
    int depth = g ? g->depth : s->x.screen->root_depth;
    free(g);
    return depth;
}

static int open_parts(struct x11_source *s, const struct source_config *config)
{
    int e = check_extensions(&s->x);
    if (e)
        return e;
    /* Events are selected before the sizes are asked for: no change falls in between. */
    if (s->x.randr && !config->window)
        xcb_randr_select_input(s->x.c, s->x.screen->root,
                               XCB_RANDR_NOTIFY_MASK_SCREEN_CHANGE |
                                   XCB_RANDR_NOTIFY_MASK_CRTC_CHANGE |
                                   XCB_RANDR_NOTIFY_MASK_OUTPUT_CHANGE);
    if ((e = x11_target_open(&s->target, &s->x, config)))
        return e;
    if ((e = x11_capture_open(&s->capture, &s->x, (uint8_t)drawable_depth(s))))
        return e;
    x11_capture_resize(&s->capture, s->target.area.w, s->target.area.h);
    if ((e = x11_damage_open(&s->damage, &s->x, s->target.window)))
        return e;
    x11_cursor_open(&s->cursor, &s->x, config->cursor);
    x11_damage_all(&s->damage, &s->target);
    return 0;
}

static void x11_close(struct source *source)
{
    struct x11_source *s = self(source);
    if (s->x.c) {
        x11_cursor_close(&s->cursor);
        x11_capture_close(&s->capture);
        x11_disconnect(&s->x); /* frees what the server keeps for us, redirection too */
    }
    if (s->wake >= 0)
        close(s->wake);
    free(s);
}

static int x11_open(struct source **out, const struct source_config *config)
{
    *out = NULL;
    struct x11_source *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory");
    s->base.ops = &source_x11;
    s->wake = wake_new();
    char buf[128];
    const char *display = !strncmp(config->spec, "x11:", 4) ? config->spec + 4 : NULL;
    int e = s->wake < 0 ? error_set(ERR_IO, "no file descriptor is left")
                        : x11_connect(&s->x, x11_display_name(display, buf, sizeof buf));
    if (e)
        goto fail;
    if ((e = open_parts(s, config)))
        goto fail;
    if (xcb_connection_has_error(s->x.c)) {
        e = error_set(ERR_NOT_FOUND, "X display %s went away", s->x.display);
        goto fail;
    }
    s->base.info.kind = SOURCE_PICTURES;
    s->base.info.width = s->target.area.w;
    s->base.info.height = s->target.area.h;
    s->base.info.fps = config->fps;
    x11_target_describe(&s->target, s->base.info.text, sizeof s->base.info.text);
    *out = &s->base;
    return 0;
fail:
    x11_close(&s->base);
    return e;
}

/* The pointer's events say only that it moved, maybe outside of what is captured. */
static bool pointer_changed(struct x11_source *s)
{
    if (!s->cursor.moved && !s->cursor.shape_changed)
        return false;
    x11_cursor_request(&s->cursor, &s->target);
    x11_cursor_collect(&s->cursor, &s->target);
    return x11_cursor_differs(&s->cursor, s->target.area.w, s->target.area.h);
}

static int x11_wait(struct source *source, int64_t timeout_us)
{
    struct x11_source *s = self(source);
    int64_t deadline_us = timeout_us < 0 ? -1 : clock_now_us() + timeout_us;
    for (;;) {
        if (wake_clear(s->wake))
            return SOURCE_IDLE;
        drain_events(s);
        bool moved = s->cursor.moved || s->cursor.shape_changed;
        bool pointer = pointer_changed(s);
        if (is_over(s))
            return SOURCE_ENDED;
        if (pointer || s->target_dirty || s->damage.pending.n) {
            if (!s->damage.event_us)
                s->damage.event_us = clock_now_us();
            return SOURCE_CHANGED;
        }
        if (moved)
            continue; /* the answer may have brought events along, which no poll would report */
        int64_t left_us = deadline_us < 0 ? -1 : deadline_us - clock_now_us();
        if (deadline_us >= 0 && left_us <= 0)
            return SOURCE_IDLE;
        xcb_flush(s->x.c);
        wake_wait(s->wake, xcb_get_file_descriptor(s->x.c), left_us);
    }
}

/* Where the captured part is, and how large. 0, or ERR_ENDED. */
static int follow_target(struct x11_source *s)
{
    s->target_dirty = false;
    int r = x11_target_refresh(&s->target);
    if (r == 1) {
        x11_capture_resize(&s->capture, s->target.area.w, s->target.area.h);
        x11_damage_all(&s->damage, &s->target);
        LOG_DEBUG(x11, "captured part: %dx%d+%d+%d", s->target.area.w, s->target.area.h,
                  s->target.area.x, s->target.area.y);
    }
    if (r >= 0)
        return 0;
    if (s->target.kind == X11_WINDOW && !xcb_connection_has_error(s->x.c))
        window_closed(s);
    else
        end(s, true, error_text());
    return ERR_ENDED;
}

static bool read_rects(struct x11_source *s, struct x11_buffer *b, const struct damage *rects)
{
    struct x11_target *t = &s->target;
    x11_capture_request(&s->capture, b, x11_target_drawable(t), t->area.x, t->area.y, rects);
    return x11_capture_collect(&s->capture, b);
}

/* Brings b up to date. false: nothing is lost, but sizes are to be asked for again. changes: what
 * may differ from the picture before. */
static bool update_buffer(struct x11_source *s, struct x11_buffer *b, struct damage *changes)
{
    struct x11_damage *d = &s->damage;
    struct damage want = b->stale;
    *changes = d->pending;
    damage_clear(&d->pending);
    damage_add_all(&want, changes);

    x11_cursor_undraw(b, s->capture.width);
    x11_damage_begin(d);
    s->capture.last_sequence = d->subtract_sequence;
    x11_cursor_request(&s->cursor, &s->target);
    bool ok = read_rects(s, b, &want);
    x11_cursor_collect(&s->cursor, &s->target);
    drain_events(s);
    if (ok && d->missed.n) {
        /* Damaged before the pixels were read, but not known then: once more for those, so that
         * what an application drew together is shown together. */
        struct damage missed = d->missed;
        damage_clear(&d->missed);
        damage_add_all(changes, &missed);
        ok = read_rects(s, b, &missed);
        drain_events(s);
    }
    damage_add_all(changes, &d->during);
    damage_add_all(changes, &d->missed);
    d->reading = false;
    if (ok) {
        damage_clear(&b->stale);
        x11_capture_stale(&s->capture, b, changes);
    } else {
        damage_add_all(&b->stale, changes);
        damage_add_all(&d->pending, changes);
    }
    return ok;
}

static int read_once(struct x11_source *s, struct picture **out)
{
    int e = 0;
    struct x11_buffer *b = x11_capture_get(&s->capture, &e);
    if (!b)
        return e;
    int w = s->capture.width, h = s->capture.height;
    int64_t event_us = s->damage.event_us;
    struct damage changes;
    s->damage.event_us = 0;
    if (!update_buffer(s, b, &changes)) {
        s->damage.event_us = event_us;
        return ERR_IO;
    }
    struct picture *p = x11_capture_give(b, w, h);
    p->damage = changes;
    x11_cursor_draw(&s->cursor, b, w, h, &p->damage);
    damage_clip(&p->damage, w, h, 1);
    p->capture_us = p->pts_us = clock_now_us();
    p->event_us = event_us ? event_us : p->damage.n ? p->capture_us : 0;
    *out = p;
    return 0;
}

static int x11_read(struct source *source, struct picture **out)
{
    struct x11_source *s = self(source);
    *out = NULL;
    /* A read fails when the screen shrinks between asking for its size and reading. */
    for (int attempt = 0; attempt < 4; attempt++) {
        drain_events(s);
        if (is_over(s) || (s->target_dirty && follow_target(s)))
            return error_set(ERR_ENDED, "%s", s->base.end_reason);
        int e = read_once(s, out);
        if (e != ERR_IO)
            return e;
        s->target_dirty = true;
    }
    if (is_over(s))
        return error_set(ERR_ENDED, "%s", s->base.end_reason);
    return error_set(ERR_IO, "X display %s refuses to give its pixels", s->x.display);
}

static void x11_interrupt(struct source *source)
{
    wake_signal(self(source)->wake);
}

const struct source_ops source_x11 = {
    .name = "x11",
    .takes = x11_takes,
    .open = x11_open,
    .wait = x11_wait,
    .read = x11_read,
    .interrupt = x11_interrupt,
    .close = x11_close,
};
