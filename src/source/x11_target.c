#include "source/x11_target.h"

#include "source/x11_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/composite.h>

/* "WxH+X+Y" or "WxH". */
static bool parse_region(const char *s, struct rect *r)
{
    int end = -1;
    *r = (struct rect){0, 0, 0, 0};
    if (sscanf(s, "%6dx%6d+%6d+%6d%n", &r->w, &r->h, &r->x, &r->y, &end) == 4 && end > 0 && !s[end])
        return r->w > 0 && r->h > 0 && r->x >= 0 && r->y >= 0;
    end = -1;
    r->x = r->y = 0;
    return sscanf(s, "%6dx%6d%n", &r->w, &r->h, &end) == 2 && end > 0 && !s[end] && r->w > 0 &&
           r->h > 0;
}

static int root_size(struct x11_target *t, struct rect *r)
{
    xcb_get_geometry_reply_t *g =
        xcb_get_geometry_reply(t->x->c, xcb_get_geometry(t->x->c, t->x->screen->root), NULL);
    if (!g)
        return error_set(ERR_IO, "X display %s went away", t->x->display);
    *r = (struct rect){0, 0, g->width, g->height};
    free(g);
    return 0;
}

static int find_monitor(struct x11_target *t, const char *wanted, struct x11_monitor *found)
{
    struct x11_monitor *list;
    int n = x11_list_monitors(t->x, &list);
    if (n < 0)
        return n;
    int hit = -1;
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].name, wanted))
            hit = i;
    char *end;
    long number = strtol(wanted, &end, 10);
    if (hit < 0 && *wanted && !*end && number >= 0 && number < n)
        hit = (int)number;
    if (hit >= 0) {
        *found = list[hit];
        free(list);
        return 0;
    }
    char names[300] = "";
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%d %s", i ? ", " : "", i, list[i].name);
    }
    free(list);
    return error_set(ERR_NOT_FOUND, "X display %s has no monitor \"%.64s\"; it has: %s",
                     t->x->display, wanted, n ? names : "none");
}

static int choose_title(struct x11_window *list, int n, const char *wanted, uint32_t *id)
{
    int hits = 0, exact = 0;
    uint32_t exact_id = 0;
    char names[300] = "";
    for (int i = 0; i < n; i++) {
        if (!strcasestr(list[i].title, wanted))
            continue;
        *id = list[i].id;
        if (!strcasecmp(list[i].title, wanted)) {
            exact++;
            exact_id = list[i].id;
        }
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s0x%x \"%.60s\"", hits++ ? ", " : "",
                 list[i].id, list[i].title);
    }
    if (exact == 1)
        *id = exact_id;
    if (hits == 1 || exact == 1)
        return 0;
    if (!hits)
        return error_set(ERR_NOT_FOUND,
                         "no window has the id or \"%.64s\" in its title; "
                         "`hevcast list` shows the windows",
                         wanted);
    return error_set(ERR_INVALID, "%d windows have \"%.64s\" in their title, give one's id: %s",
                     hits, wanted, names);
}

static bool window_exists(struct x11_conn *x, uint32_t id)
{
    xcb_get_window_attributes_reply_t *a =
        xcb_get_window_attributes_reply(x->c, xcb_get_window_attributes(x->c, id), NULL);
    bool is = a != NULL;
    free(a);
    return is;
}

static int find_window(struct x11_target *t, const char *wanted)
{
    char *end;
    unsigned long id = strtoul(wanted, &end, 0);
    if (*wanted && !*end && id && id <= UINT32_MAX && window_exists(t->x, (uint32_t)id)) {
        t->window = (xcb_window_t)id;
    } else {
        struct x11_window *list;
        int n = x11_list_windows(t->x, &list);
        if (n < 0)
            return n;
        int e = choose_title(list, n, wanted, &t->window);
        free(list);
        if (e)
            return e;
    }
    if (t->window == t->x->screen->root)
        return error_set(ERR_INVALID, "window 0x%x is the whole screen; leave --window out",
                         t->window);
    x11_window_title(t->x, t->window, t->name, sizeof t->name);
    if (!t->name[0])
        snprintf(t->name, sizeof t->name, "0x%x", t->window);
    return 0;
}

static void find_toplevel(struct x11_target *t)
{
    xcb_window_t w = t->window;
    t->toplevel = w;
    for (int depth = 0; depth < 32; depth++) { /* bounded: the tree may change under us */
        xcb_query_tree_reply_t *r = xcb_query_tree_reply(t->x->c, xcb_query_tree(t->x->c, w), NULL);
        xcb_window_t parent = r ? r->parent : XCB_NONE, root = r ? r->root : XCB_NONE;
        free(r);
        if (!parent || parent == root)
            break;
        t->toplevel = w = parent;
    }
}

static int window_gone(struct x11_target *t)
{
    if (xcb_connection_has_error(t->x->c))
        return error_set(ERR_ENDED, "X display %s went away", t->x->display);
    return error_set(ERR_ENDED, "the window \"%s\" was closed", t->name);
}

/* Gives the window's present pixmap a name. It stays readable at its size even after the window
 * is resized, unmapped or destroyed, so reads never race with those. */
static int refresh_window(struct x11_target *t)
{
    xcb_connection_t *c = t->x->c;
    xcb_pixmap_t pixmap = xcb_generate_id(c);
    xcb_get_window_attributes_cookie_t attr = xcb_get_window_attributes(c, t->window);
    xcb_void_cookie_t named = xcb_composite_name_window_pixmap_checked(c, t->window, pixmap);
    xcb_get_geometry_cookie_t size = xcb_get_geometry(c, pixmap);
    xcb_get_geometry_cookie_t win = xcb_get_geometry(c, t->window);
    xcb_generic_error_t *error = xcb_request_check(c, named);
    xcb_get_window_attributes_reply_t *a = xcb_get_window_attributes_reply(c, attr, NULL);
    xcb_get_geometry_reply_t *p = xcb_get_geometry_reply(c, size, NULL);
    xcb_get_geometry_reply_t *w = xcb_get_geometry_reply(c, win, NULL);
    int result = 0;
    if (!a || !w) {
        result = window_gone(t);
    } else if (error || !p) {
        t->shown = false; /* unmapped: its MapNotify brings us here again */
    } else {
        if (t->pixmap)
            xcb_free_pixmap(c, t->pixmap);
        t->pixmap = pixmap;
        t->border = w->border_width;
        t->area = (struct rect){t->border, t->border, p->width - 2 * t->border,
                                p->height - 2 * t->border};
        t->shown = true;
        find_toplevel(t);
        result = 1;
    }
    if (result != 1 && !error && p)
        xcb_free_pixmap(c, pixmap);
    free(error);
    free(a);
    free(p);
    free(w);
    return result;
}

static int refresh_on_screen(struct x11_target *t)
{
    struct rect screen, now;
    int e = root_size(t, &screen);
    if (e)
        return error_set(ERR_ENDED, "X display %s went away", t->x->display);
    now = screen;
    if (t->kind == X11_REGION) {
        now = t->wanted;
    } else if (t->kind == X11_MONITOR) {
        struct x11_monitor m;
        e = find_monitor(t, t->name, &m);
        if (xcb_connection_has_error(t->x->c))
            return error_set(ERR_ENDED, "X display %s went away", t->x->display);
        if (e)
            return error_set(ERR_ENDED, "the monitor %s was switched off", t->name);
        now = m.area;
    }
    now = rect_intersect(now, screen);
    if (rect_empty(&now))
        return error_set(ERR_ENDED,
                         "the screen became %dx%d, and nothing of the captured part "
                         "is left",
                         screen.w, screen.h);
    bool same = !memcmp(&now, &t->area, sizeof now);
    t->area = now;
    return same ? 0 : 1;
}

int x11_target_refresh(struct x11_target *t)
{
    return t->kind == X11_WINDOW ? refresh_window(t) : refresh_on_screen(t);
}

static int open_window(struct x11_target *t, const char *wanted)
{
    t->kind = X11_WINDOW;
    if (!t->x->composite)
        return error_set(ERR_UNSUPPORTED,
                         "X display %s has no Composite extension, which --window "
                         "needs; use --region",
                         t->x->display);
    int e = find_window(t, wanted);
    if (e)
        return e;
    xcb_connection_t *c = t->x->c;
    /* Before anything else, so that no change after this is missed. */
    uint32_t mask = XCB_EVENT_MASK_STRUCTURE_NOTIFY;
    xcb_change_window_attributes(c, t->window, XCB_CW_EVENT_MASK, &mask);
    xcb_generic_error_t *error = xcb_request_check(
        c, xcb_composite_redirect_window_checked(c, t->window, XCB_COMPOSITE_REDIRECT_AUTOMATIC));
    if (error) {
        int code = error->error_code;
        free(error);
        return error_set(ERR_UNSUPPORTED,
                         "window 0x%x cannot be captured by itself (X error %d); "
                         "use --region",
                         t->window, code);
    }
    e = refresh_window(t);
    if (e < 0)
        return error_set(ERR_NOT_FOUND, "%s", error_text());
    if (!t->shown)
        return error_set(ERR_NOT_FOUND,
                         "the window \"%s\" has no pixels now (minimised, or it "
                         "takes input only); show it first",
                         t->name);
    return 0;
}

static int open_on_screen(struct x11_target *t, const struct source_config *config)
{
    struct rect screen;
    t->window = t->x->screen->root;
    t->shown = true;
    uint32_t mask = XCB_EVENT_MASK_STRUCTURE_NOTIFY;
    xcb_change_window_attributes(t->x->c, t->window, XCB_CW_EVENT_MASK, &mask);
    int e = root_size(t, &screen);
    if (e)
        return e;
    if (config->region) {
        t->kind = X11_REGION;
        if (!parse_region(config->region, &t->wanted))
            return error_set(ERR_INVALID, "\"%.64s\" is not a region; one looks like 640x480+10+20",
                             config->region);
        if (!rect_contains(screen, t->wanted))
            return error_set(ERR_INVALID,
                             "the region %dx%d+%d+%d is not inside the screen, which "
                             "is %dx%d",
                             t->wanted.w, t->wanted.h, t->wanted.x, t->wanted.y, screen.w,
                             screen.h);
    } else if (config->monitor) {
        t->kind = X11_MONITOR;
        struct x11_monitor m;
        e = find_monitor(t, config->monitor, &m);
        if (e)
            return e;
        /* By name from now on: the numbers move when another monitor is plugged in. */
        snprintf(t->name, sizeof t->name, "%s", m.name);
    }
    e = refresh_on_screen(t);
    return e < 0 ? error_set(ERR_NOT_FOUND, "%s", error_text()) : 0;
}

int x11_target_open(struct x11_target *t, struct x11_conn *x, const struct source_config *config)
{
    memset(t, 0, sizeof *t);
    t->x = x;
    if (!!config->monitor + !!config->region + !!config->window > 1)
        return error_set(ERR_INVALID, "give one of --monitor, --region and --window");
    return config->window ? open_window(t, config->window) : open_on_screen(t, config);
}

void x11_target_close(struct x11_target *t)
{
    /* The server undoes the redirection and frees the pixmap with the connection. */
    t->pixmap = XCB_NONE;
}

void x11_target_describe(const struct x11_target *t, char *text, int size)
{
    const char *d = t->x->display;
    switch (t->kind) {
    case X11_SCREEN:
        snprintf(text, (size_t)size, "screen %.40s, %dx%d", d, t->area.w, t->area.h);
        break;
    case X11_MONITOR:
        snprintf(text, (size_t)size, "monitor %.40s of %.40s, %dx%d", t->name, d, t->area.w,
                 t->area.h);
        break;
    case X11_REGION:
        snprintf(text, (size_t)size, "region %dx%d+%d+%d of %.40s", t->area.w, t->area.h, t->area.x,
                 t->area.y, d);
        break;
    case X11_WINDOW:
        snprintf(text, (size_t)size, "window \"%.60s\" of %.40s, %dx%d", t->name, d, t->area.w,
                 t->area.h);
        break;
    }
}
