/* Shows raw pictures on an X display, exactly: the known desktop of the end-to-end tests.
 *
 *   xshow WIDTHxHEIGHT             the display comes from $DISPLAY
 *
 * Opens an override-redirect window of that size at the display's top left corner (no window manager
 * moves it), reads commands from standard input, and answers each with a line "ok" once the
 * server has done it:
 *
 *   show FILE          a raw picture, 4 bytes a pixel in the order B, G, R, ignored
 *   rect X Y W H RGB   fills a rectangle; RGB is hexadecimal
 *
 * It ends at the end of its input. The picture is a window's pixmap-backed content as long as
 * nothing covers the window, and a server of the tests shows nothing else. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/xcb.h>

struct show {
    xcb_connection_t *c;
    xcb_window_t win;
    xcb_gcontext_t gc;
    uint8_t depth;
    int width, height;
    uint8_t *pixels;
};

static bool synced(struct show *s)
{
    free(xcb_get_input_focus_reply(s->c, xcb_get_input_focus(s->c), NULL));
    return !xcb_connection_has_error(s->c);
}

static bool show_file(struct show *s, const char *path)
{
    size_t len = (size_t)s->width * (size_t)s->height * 4;
    FILE *f = fopen(path, "rb");
    size_t got = f ? fread(s->pixels, 1, len, f) : 0;
    /* A request holds at least 64 kB less its header, with or without BIG-REQUESTS. */
    int rows = 65000 / (s->width * 4);

    if (f)
        fclose(f);
    if (got != len) {
        fprintf(stderr, "xshow: %s: not %zu bytes\n", path, len);
        return false;
    }
    for (int y = 0; y < s->height; y += rows) {
        int h = rows < s->height - y ? rows : s->height - y;
        xcb_put_image(s->c, XCB_IMAGE_FORMAT_Z_PIXMAP, s->win, s->gc, (uint16_t)s->width,
                      (uint16_t)h, 0, (int16_t)y, 0, s->depth, (uint32_t)(s->width * 4 * h),
                      s->pixels + (size_t)y * (size_t)s->width * 4);
    }
    return synced(s);
}

static bool fill_rect(struct show *s, int x, int y, int w, int h, uint32_t rgb)
{
    xcb_rectangle_t r = {(int16_t)x, (int16_t)y, (uint16_t)w, (uint16_t)h};

    xcb_change_gc(s->c, s->gc, XCB_GC_FOREGROUND, &rgb);
    xcb_poly_fill_rectangle(s->c, s->win, s->gc, 1, &r);
    return synced(s);
}

static bool open_window(struct show *s)
{
    xcb_screen_t *screen;
    uint32_t v[2] = {0, 1};

    s->c = xcb_connect(NULL, NULL);
    if (xcb_connection_has_error(s->c)) {
        fprintf(stderr, "xshow: cannot open the X display\n");
        return false;
    }
    screen = xcb_setup_roots_iterator(xcb_get_setup(s->c)).data;
    s->depth = screen->root_depth;
    if (s->depth != 24) {
        fprintf(stderr, "xshow: needs a display of depth 24\n");
        return false;
    }
    s->win = xcb_generate_id(s->c);
    xcb_create_window(s->c, XCB_COPY_FROM_PARENT, s->win, screen->root, 0, 0, (uint16_t)s->width,
                      (uint16_t)s->height, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT, XCB_COPY_FROM_PARENT,
                      XCB_CW_BACK_PIXEL | XCB_CW_OVERRIDE_REDIRECT, v);
    xcb_change_property(s->c, XCB_PROP_MODE_REPLACE, s->win, XCB_ATOM_WM_NAME, XCB_ATOM_STRING, 8,
                        5, "xshow");
    xcb_map_window(s->c, s->win);
    s->gc = xcb_generate_id(s->c);
    xcb_create_gc(s->c, s->gc, s->win, 0, NULL);
    return synced(s);
}

int main(int argc, char **argv)
{
    struct show s = {0};
    char line[4200], path[4096];
    bool ok = true;

    if (argc != 2 || sscanf(argv[1], "%dx%d", &s.width, &s.height) != 2 || s.width < 1 ||
        s.height < 1 || s.width > 16000 || s.height > 16000) {
        fprintf(stderr, "usage: xshow WIDTHxHEIGHT\n");
        return 2;
    }
    s.pixels = malloc((size_t)s.width * (size_t)s.height * 4);
    if (!s.pixels || !open_window(&s))
        return 1;
    puts("ok");
    fflush(stdout);
    while (ok && fgets(line, sizeof line, stdin)) {
        int x, y, w, h;
        unsigned rgb;
        if (sscanf(line, "show %4095[^\n]", path) == 1) {
            ok = show_file(&s, path);
        } else if (sscanf(line, "rect %d %d %d %d %x", &x, &y, &w, &h, &rgb) == 5) {
            ok = fill_rect(&s, x, y, w, h, rgb);
        } else {
            fprintf(stderr, "xshow: unknown command: %s", line);
            ok = false;
        }
        puts(ok ? "ok" : "failed");
        fflush(stdout);
    }
    xcb_disconnect(s.c);
    free(s.pixels);
    return !ok;
}
