/* Draws a scene with a readable clock (cells.h) on an X display, until SIGTERM or SIGINT.
 *
 *   cellclock typing|terminal [RATE_HZ [SEED]]       the display comes from $DISPLAY
 *
 * typing:   a page of text; about RATE (8) characters a second are typed at irregular times.
 * terminal: a full-screen terminal that scrolls 120 lines a second, in RATE (30) steps a second.
 *
 * The clock is redrawn with every change and is read right before the requests are written, so
 * it says when the client drew. Text comes first and the cells last, in one write: a
 * capture that shows the new clock shows the new text. The intervals are random on purpose: a
 * steady rate could lock to the phase of a capture timer, and the latency would be luck.
 *
 * Text is drawn by the server in its built-in font "fixed", so no terminal's own speed counts. */
#include "cells.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/xcb.h>

enum { CHAR_W = 6, LINE_H = 13, ASCENT = 11, LINES_PER_S = 120, LINE_MAX_CHARS = 250 };

struct scene {
    xcb_connection_t *c;
    xcb_screen_t *screen;
    xcb_window_t win;
    xcb_gcontext_t gc;
    bool terminal;
    uint32_t background, ink;
    int width, height;
    int cursor_x, cursor_y; /* typing: where the next character goes */
    double lines_due;       /* terminal: lines that were not drawn yet */
    uint64_t random;
    unsigned line_no;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static uint32_t rnd(struct scene *s, uint32_t below)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((s->random >> 33) % below);
}

static double rnd_unit(struct scene *s)
{
    return (rnd(s, 1u << 30) + 0.5) / (1u << 30);
}

static void set_ink(struct scene *s, uint32_t ink)
{
    uint32_t v[2] = {ink, s->background};

    xcb_change_gc(s->c, s->gc, XCB_GC_FOREGROUND | XCB_GC_BACKGROUND, v);
}

static void fill(struct scene *s, uint32_t colour, int x, int y, int w, int h)
{
    xcb_rectangle_t r = {(int16_t)x, (int16_t)y, (uint16_t)w, (uint16_t)h};

    set_ink(s, colour);
    xcb_poly_fill_rectangle(s->c, s->win, s->gc, 1, &r);
}

static void text(struct scene *s, uint32_t ink, int x, int y, const char *str)
{
    size_t n = strlen(str);

    set_ink(s, ink);
    xcb_image_text_8(s->c, (uint8_t)(n > 255 ? 255 : n), s->win, s->gc, (int16_t)x,
                     (int16_t)(y + ASCENT), str);
}

static void words(struct scene *s, char *out, size_t len)
{
    static const char *const list[] = {
        "the", "of", "picture", "encoder", "a", "screen", "is", "sent", "when", "it", "changes",
        "and", "latency", "queue", "packet", "buffer", "has", "window", "colour", "text", "by",
        "every", "frame", "network", "to", "viewer", "which", "waits", "for", "nothing"};
    size_t n = 0;

    while (n + 12 < len)
        n += (size_t)snprintf(out + n, len - n, "%s ", list[rnd(s, sizeof list / sizeof *list)]);
}

/* Lines like those of a build: paths, options, numbers, and now and then colour. */
static void terminal_line(struct scene *s, int y)
{
    char line[LINE_MAX_CHARS];
    uint32_t ink = 0xd0d0d0;

    s->line_no++;
    switch (rnd(s, 6)) {
    case 0:
        snprintf(line, sizeof line, "[%u/9999] cc -Isrc -Iinclude -O2 -g -Wall -Wextra -MD -MF "
                 "obj/unit_%08x.o.d -o obj/unit_%08x.o -c ../src/part%u/unit_%u.c",
                 s->line_no % 9999, rnd(s, ~0u), rnd(s, ~0u), rnd(s, 40), rnd(s, 9999));
        break;
    case 1:
        snprintf(line, sizeof line, "-rw-r--r-- 1 user user %9u Mar %2u %02u:%02u file-%06x.tar",
                 rnd(s, 99999999), 1 + rnd(s, 30), rnd(s, 24), rnd(s, 60), rnd(s, 1 << 24));
        break;
    case 2:
        snprintf(line, sizeof line, "src/part%u/unit_%u.c:%u:%u: warning: unused variable 'v%u'",
                 rnd(s, 40), rnd(s, 9999), rnd(s, 900), rnd(s, 80), rnd(s, 100));
        ink = 0xff60ff;
        break;
    default:
        words(s, line, 40 + rnd(s, LINE_MAX_CHARS - 40));
        ink = rnd(s, 8) ? 0xd0d0d0 : 0x60ff60;
        break;
    }
    text(s, ink, 2, y, line);
}

static void draw_cells(struct scene *s)
{
    uint8_t cell[CELL_COUNT];
    xcb_rectangle_t white[CELL_COUNT], black[CELL_COUNT];
    uint32_t n_white = 0, n_black = 0;

    cells_encode((uint32_t)(cells_now_us() / CELL_TICK_US), cell);
    for (int i = 0; i < CELL_COUNT; i++) {
        xcb_rectangle_t r = {(int16_t)(i * CELL_PX), 0, CELL_PX, CELL_PX};
        if (cell[i])
            white[n_white++] = r;
        else
            black[n_black++] = r;
    }
    set_ink(s, s->screen->black_pixel);
    xcb_poly_fill_rectangle(s->c, s->win, s->gc, n_black, black);
    set_ink(s, s->screen->white_pixel);
    xcb_poly_fill_rectangle(s->c, s->win, s->gc, n_white, white);
}

static void draw_page(struct scene *s)
{
    fill(s, s->background, 0, 0, s->width, s->height);
    for (int y = CELL_PX; y + LINE_H <= s->height; y += LINE_H) {
        if (s->terminal) {
            terminal_line(s, y);
        } else {
            char line[LINE_MAX_CHARS];
            int row = (y - CELL_PX) / LINE_H;
            words(s, line, row % 12 == 0 ? 40 : row % 12 == 11 ? 1 : 180);
            text(s, row % 12 == 0 ? 0xa02020 : row % 12 == 5 ? 0x2020a0 : 0x101010, 40, y, line);
        }
    }
    s->cursor_x = 40;
    s->cursor_y = CELL_PX + 11 * LINE_H;
}

static void type_character(struct scene *s)
{
    char str[2] = {(char)(rnd(s, 6) ? 'a' + rnd(s, 26) : ' '), 0};

    if (s->cursor_x + 2 * CHAR_W > s->width - 40) {
        s->cursor_x = 40;
        s->cursor_y += 12 * LINE_H; /* the empty lines of the page, over and over */
        if (s->cursor_y + LINE_H > s->height)
            s->cursor_y = CELL_PX + 11 * LINE_H;
        fill(s, s->background, 0, s->cursor_y, s->width, LINE_H);
    }
    text(s, s->ink, s->cursor_x, s->cursor_y, str);
    s->cursor_x += CHAR_W;
    fill(s, 0x404040, s->cursor_x, s->cursor_y, CHAR_W, LINE_H);
}

static void scroll(struct scene *s, double rate_hz)
{
    int rows = (s->height - CELL_PX) / LINE_H;
    int n;

    s->lines_due += LINES_PER_S / rate_hz;
    n = (int)s->lines_due;
    s->lines_due -= n;
    if (n < 1)
        return;
    if (n > rows)
        n = rows;
    xcb_copy_area(s->c, s->win, s->win, s->gc, 0, (int16_t)(CELL_PX + n * LINE_H), 0, CELL_PX,
                  (uint16_t)s->width, (uint16_t)((rows - n) * LINE_H));
    fill(s, s->background, 0, CELL_PX + (rows - n) * LINE_H, s->width, n * LINE_H);
    for (int i = 0; i < n; i++)
        terminal_line(s, CELL_PX + (rows - n + i) * LINE_H);
}

/* The round trip keeps the clock honest: the next one is not stamped while this one waits. */
static bool sync_server(struct scene *s)
{
    free(xcb_get_input_focus_reply(s->c, xcb_get_input_focus(s->c), NULL));
    return !xcb_connection_has_error(s->c);
}

static bool open_scene(struct scene *s)
{
    uint32_t v[2];
    xcb_font_t font;
    xcb_generic_error_t *err;

    s->c = xcb_connect(NULL, NULL);
    if (xcb_connection_has_error(s->c)) {
        fprintf(stderr, "cellclock: cannot open the X display\n");
        return false;
    }
    s->screen = xcb_setup_roots_iterator(xcb_get_setup(s->c)).data;
    s->width = s->screen->width_in_pixels;
    s->height = s->screen->height_in_pixels;
    if (s->width < CELL_ROW_PX || s->screen->root_depth < 24) {
        fprintf(stderr, "cellclock: needs %d pixels of width in 24 bits\n", CELL_ROW_PX);
        return false;
    }
    s->background = s->terminal ? 0x000000 : 0xffffff;
    s->ink = s->terminal ? 0xd0d0d0 : 0x101010;

    s->win = xcb_generate_id(s->c);
    v[0] = s->background;
    v[1] = 1;
    xcb_create_window(s->c, XCB_COPY_FROM_PARENT, s->win, s->screen->root, 0, 0,
                      (uint16_t)s->width, (uint16_t)s->height, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT,
                      XCB_COPY_FROM_PARENT, XCB_CW_BACK_PIXEL | XCB_CW_OVERRIDE_REDIRECT, v);
    xcb_map_window(s->c, s->win);

    font = xcb_generate_id(s->c);
    err = xcb_request_check(s->c, xcb_open_font_checked(s->c, font, 5, "fixed"));
    if (err) {
        fprintf(stderr, "cellclock: the server has no font \"fixed\"\n");
        free(err);
        return false;
    }
    s->gc = xcb_generate_id(s->c);
    v[0] = font;
    v[1] = 0;
    xcb_create_gc(s->c, s->gc, s->win, XCB_GC_FONT | XCB_GC_GRAPHICS_EXPOSURES, v);
    draw_page(s);
    draw_cells(s);
    return sync_server(s);
}

static void sleep_until_us(int64_t t_us)
{
    struct timespec ts = {t_us / 1000000, t_us % 1000000 * 1000};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL); /* a signal ends it early */
}

int main(int argc, char **argv)
{
    struct scene s = {0};
    struct sigaction sa = {.sa_handler = on_signal};
    double rate_hz;
    int64_t due_us;

    if (argc < 2 || (strcmp(argv[1], "typing") && strcmp(argv[1], "terminal"))) {
        fprintf(stderr, "usage: cellclock typing|terminal [RATE_HZ [SEED]]\n");
        return 2;
    }
    s.terminal = !strcmp(argv[1], "terminal");
    rate_hz = argc > 2 ? atof(argv[2]) : s.terminal ? 30 : 8;
    s.random = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    if (!(rate_hz > 0.1 && rate_hz < 1000)) {
        fprintf(stderr, "cellclock: the rate is between 0.1 and 1000 Hz\n");
        return 2;
    }
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    if (!open_scene(&s))
        return 1;

    due_us = cells_now_us();
    while (!stop) {
        /* Means of one interval both: people type in bursts, a terminal is nearly regular. */
        double wait = s.terminal ? 0.75 + 0.5 * rnd_unit(&s) : 0.4 - 0.6 * log(rnd_unit(&s));
        due_us += (int64_t)(wait * 1e6 / rate_hz);
        if (due_us < cells_now_us() - 100000)
            due_us = cells_now_us(); /* the server cannot follow: no burst afterwards */
        sleep_until_us(due_us);
        if (stop)
            break;
        if (s.terminal)
            scroll(&s, rate_hz);
        else
            type_character(&s);
        draw_cells(&s);
        if (!sync_server(&s)) {
            fprintf(stderr, "cellclock: the X display went away\n");
            return 1;
        }
    }
    xcb_disconnect(s.c);
    return 0;
}
