#include "source/x11_list.h"

#include "source/x11_conn.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/randr.h>

/* Window managers reparent into frames, at most a few deep. */
enum { DEPTH_MAX = 4, WINDOWS_MAX = 20000, TITLE_MAX = 191 };

const char *x11_display_name(const char *display, char *buf, int size)
{
    if (display && !*display)
        return NULL; /* "x11:" */
    if (!display || !isdigit((unsigned char)display[0]) || strchr(display, ':'))
        return display;
    snprintf(buf, (size_t)size, ":%s", display);
    return buf;
}

int x11_list_monitors(struct x11_conn *x, struct x11_monitor **out)
{
    *out = NULL;
    if (!x->randr)
        return error_set(ERR_UNSUPPORTED,
                         "X display %s has no RandR 1.5, so no monitors; "
                         "use --region",
                         x->display);
    xcb_randr_get_monitors_reply_t *r =
        xcb_randr_get_monitors_reply(x->c, xcb_randr_get_monitors(x->c, x->screen->root, 1), NULL);
    if (!r)
        return error_set(ERR_IO, "X display %s does not name its monitors", x->display);
    int n = 0;
    int max = xcb_randr_get_monitors_monitors_length(r);
    struct x11_monitor *list = calloc((size_t)max + 1, sizeof *list);
    xcb_get_atom_name_cookie_t *names = calloc((size_t)max + 1, sizeof *names);
    if (!list || !names) {
        free(list);
        free(names);
        free(r);
        return error_set(ERR_MEMORY, "out of memory");
    }
    xcb_randr_monitor_info_iterator_t it = xcb_randr_get_monitors_monitors_iterator(r);
    for (; it.rem && n < max; xcb_randr_monitor_info_next(&it), n++) {
        list[n].area = (struct rect){it.data->x, it.data->y, it.data->width, it.data->height};
        list[n].primary = it.data->primary;
        names[n] = xcb_get_atom_name(x->c, it.data->name);
    }
    for (int i = 0; i < n; i++) {
        xcb_get_atom_name_reply_t *a = xcb_get_atom_name_reply(x->c, names[i], NULL);
        if (a)
            snprintf(list[i].name, sizeof list[i].name, "%.*s", xcb_get_atom_name_name_length(a),
                     xcb_get_atom_name_name(a));
        free(a);
    }
    free(names);
    free(r);
    *out = list;
    return n;
}

/* One window of the walk: requests of a whole level go out before its replies are read. */
struct node {
    xcb_window_t id;
    int parent; /* index, -1: the root */
    struct rect area;
    char title[TITLE_MAX + 1];
    bool viewable, managed, input_only;
    bool frame; /* holds a managed window: that one is meant, not its frame */
    xcb_get_window_attributes_cookie_t attr;
    xcb_get_geometry_cookie_t geom;
    xcb_translate_coordinates_cookie_t place;
    xcb_get_property_cookie_t utf8_name, name, state;
    xcb_query_tree_cookie_t tree;
};

struct atoms {
    xcb_atom_t utf8_name, state;
};

static xcb_get_property_cookie_t ask_property(struct x11_conn *x, xcb_window_t w, xcb_atom_t atom)
{
    return xcb_get_property(x->c, 0, w, atom, XCB_GET_PROPERTY_TYPE_ANY, 0, (TITLE_MAX + 3) / 4);
}

/* Control characters and cut UTF-8 sequences would spoil a terminal or JSON. */
static void clean_title(char *s)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            s[i] = ' ';
    size_t start = len; /* of the last sequence */
    while (start > 0 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)s[start - 1];
    size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (len - start < need)
        s[start - 1] = '\0';
}

/* WM_NAME of type STRING is Latin-1. */
static void latin1_to_utf8(const unsigned char *in, int len, char *out, int size)
{
    int o = 0;
    for (int i = 0; i < len && o + 2 < size; i++) {
        if (in[i] < 0x80) {
            out[o++] = (char)in[i];
        } else {
            out[o++] = (char)(0xc0 | in[i] >> 6);
            out[o++] = (char)(0x80 | (in[i] & 0x3f));
        }
    }
    out[o] = '\0';
}

static void take_title(xcb_get_property_reply_t *r, char *title, int size)
{
    int len = r ? xcb_get_property_value_length(r) : 0;
    if (len > 0 && r->format == 8 && !title[0]) {
        if (r->type == XCB_ATOM_STRING)
            latin1_to_utf8(xcb_get_property_value(r), len, title, size);
        else
            snprintf(title, (size_t)size, "%.*s", len, (const char *)xcb_get_property_value(r));
        clean_title(title);
    }
    free(r);
}

void x11_window_title(struct x11_conn *x, uint32_t id, char *title, int size)
{
    title[0] = '\0';
    xcb_atom_t atom = x11_atom(x, "_NET_WM_NAME");
    xcb_get_property_cookie_t name = ask_property(x, id, XCB_ATOM_WM_NAME);
    if (atom)
        take_title(xcb_get_property_reply(x->c, ask_property(x, id, atom), NULL), title, size);
    take_title(xcb_get_property_reply(x->c, name, NULL), title, size);
}

static void ask(struct x11_conn *x, struct node *n, const struct atoms *a)
{
    n->attr = xcb_get_window_attributes(x->c, n->id);
    n->geom = xcb_get_geometry(x->c, n->id);
    n->place = xcb_translate_coordinates(x->c, n->id, x->screen->root, 0, 0);
    n->name = ask_property(x, n->id, XCB_ATOM_WM_NAME);
    if (a->utf8_name)
        n->utf8_name = ask_property(x, n->id, a->utf8_name);
    if (a->state)
        n->state = ask_property(x, n->id, a->state);
    n->tree = xcb_query_tree(x->c, n->id);
}

/* Windows come and go meanwhile: a missing reply is a window that is gone. */
static xcb_query_tree_reply_t *answer(struct x11_conn *x, struct node *n, const struct atoms *a)
{
    xcb_get_window_attributes_reply_t *attr = xcb_get_window_attributes_reply(x->c, n->attr, NULL);
    xcb_get_geometry_reply_t *geom = xcb_get_geometry_reply(x->c, n->geom, NULL);
    xcb_translate_coordinates_reply_t *place =
        xcb_translate_coordinates_reply(x->c, n->place, NULL);
    n->viewable = attr && attr->map_state == XCB_MAP_STATE_VIEWABLE;
    n->input_only = !attr || attr->_class == XCB_WINDOW_CLASS_INPUT_ONLY;
    if (geom && place)
        n->area = (struct rect){place->dst_x, place->dst_y, geom->width, geom->height};
    free(attr);
    free(geom);
    free(place);
    if (a->utf8_name)
        take_title(xcb_get_property_reply(x->c, n->utf8_name, NULL), n->title, sizeof n->title);
    take_title(xcb_get_property_reply(x->c, n->name, NULL), n->title, sizeof n->title);
    if (a->state) {
        xcb_get_property_reply_t *s = xcb_get_property_reply(x->c, n->state, NULL);
        n->managed = s && s->type != XCB_NONE;
        free(s);
    }
    return xcb_query_tree_reply(x->c, n->tree, NULL);
}

struct walk {
    struct node *v;
    int n, cap;
};

static bool add_children(struct walk *w, xcb_query_tree_reply_t *tree, int parent)
{
    int len = tree ? xcb_query_tree_children_length(tree) : 0;
    if (w->n + len > w->cap) {
        int cap = (w->n + len) * 2;
        struct node *v = realloc(w->v, (size_t)cap * sizeof *v);
        if (!v)
            return false;
        w->v = v;
        w->cap = cap;
    }
    for (int i = 0; i < len && w->n < WINDOWS_MAX; i++)
        w->v[w->n++] = (struct node){.id = xcb_query_tree_children(tree)[i], .parent = parent};
    return true;
}

/* The tree down to DEPTH_MAX, but not below a window that a window manager manages. */
static bool walk_tree(struct x11_conn *x, struct walk *w)
{
    struct atoms a = {x11_atom(x, "_NET_WM_NAME"), x11_atom(x, "WM_STATE")};
    xcb_query_tree_reply_t *tree =
        xcb_query_tree_reply(x->c, xcb_query_tree(x->c, x->screen->root), NULL);
    bool ok = add_children(w, tree, -1);
    free(tree);
    int from = 0;
    for (int depth = 1; ok && depth <= DEPTH_MAX && from < w->n; depth++) {
        int to = w->n;
        for (int i = from; i < to; i++)
            ask(x, &w->v[i], &a);
        for (int i = from; i < to; i++) {
            tree = answer(x, &w->v[i], &a);
            if (ok && depth < DEPTH_MAX && !w->v[i].managed)
                ok = add_children(w, tree, i);
            free(tree);
        }
        from = to;
    }
    return ok;
}

int x11_list_windows(struct x11_conn *x, struct x11_window **out)
{
    *out = NULL;
    struct walk w = {0};
    struct x11_window *list = NULL;
    if (!walk_tree(x, &w) || !(list = calloc((size_t)w.n + 1, sizeof *list))) {
        free(w.v);
        return error_set(ERR_MEMORY, "out of memory");
    }
    for (int i = 0; i < w.n; i++)
        if (w.v[i].managed)
            for (int p = w.v[i].parent; p >= 0; p = w.v[p].parent)
                w.v[p].frame = true;
    int n = 0;
    for (int i = 0; i < w.n; i++) {
        struct node *v = &w.v[i];
        bool inside_titled = false; /* toolkits name helper windows inside of their own */
        for (int p = v->parent; p >= 0; p = w.v[p].parent)
            inside_titled = inside_titled || (w.v[p].title[0] && !w.v[p].frame);
        if (!v->title[0] || v->frame || v->input_only || inside_titled ||
            (!v->viewable && !v->managed))
            continue;
        struct x11_window *o = &list[n++];
        o->id = v->id;
        o->area = v->area;
        o->shown = v->viewable;
        snprintf(o->title, sizeof o->title, "%s", v->title);
    }
    free(w.v);
    *out = list;
    return n;
}

int x11_list_new(struct x11_list **out, const char *display)
{
    char buf[128];
    struct x11_conn x;
    *out = NULL;
    int e = x11_connect(&x, x11_display_name(display, buf, sizeof buf));
    if (e)
        return e;
    struct x11_list *l = calloc(1, sizeof *l);
    if (!l) {
        e = error_set(ERR_MEMORY, "out of memory");
        goto fail;
    }
    snprintf(l->display, sizeof l->display, "%s", x.display);
    l->width = x.screen->width_in_pixels;
    l->height = x.screen->height_in_pixels;
    /* A display without RandR has no monitors to list; that is no failure. */
    l->n_monitors = x.randr ? x11_list_monitors(&x, &l->monitors) : 0;
    if (l->n_monitors < 0) {
        e = l->n_monitors;
        goto fail;
    }
    l->n_windows = x11_list_windows(&x, &l->windows);
    if (l->n_windows < 0) {
        e = l->n_windows;
        goto fail;
    }
    x11_disconnect(&x);
    *out = l;
    return 0;
fail:
    x11_list_free(&l);
    x11_disconnect(&x);
    return e;
}

void x11_list_free(struct x11_list **list)
{
    struct x11_list *l = *list;
    *list = NULL;
    if (!l)
        return;
    free(l->monitors);
    free(l->windows);
    free(l);
}
