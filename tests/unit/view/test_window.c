/* The window, on an X server of its own: what is seen, how it is fitted, the overlay, the keys. */
#include "base/clock.h"
#include "base/error.h"
#include "display/display.h"
#include "display/font.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xcb/xcb.h>

#include <cmocka.h>

enum { SCREEN_W = 800, SCREEN_H = 600, W = 160, H = 120, PATIENCE_US = 15 * 1000000 };

static pid_t server;
static xcb_connection_t *x;
static xcb_window_t root, window;
static struct display *d;

/* SDL's connection to D-Bus leaves a buffer behind. Only LeakSanitizer calls this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdbus-1";
}

static bool have(const char *program)
{
    char cmd[64];
    snprintf(cmd, sizeof cmd, "command -v %s >/dev/null 2>&1", program);
    return system(cmd) == 0;
}

/* Starts Xvfb on a free number; false: it did not come up. */
static bool start_server(void)
{
    int fds[2];
    if (pipe(fds) < 0)
        return false;
    server = fork();
    if (server == 0) {
        char fd[16], screen[32];
        snprintf(fd, sizeof fd, "%d", fds[1]);
        snprintf(screen, sizeof screen, "%dx%dx24", SCREEN_W, SCREEN_H);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("Xvfb", "Xvfb", "-displayfd", fd, "-screen", "0", screen, "-nolisten", "tcp",
               (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    char number[16] = "";
    ssize_t n = read(fds[0], number, sizeof number - 1);
    close(fds[0]);
    if (n <= 0)
        return false;
    char name[32];
    snprintf(name, sizeof name, ":%d", atoi(number));
    setenv("DISPLAY", name, 1);
    x = xcb_connect(NULL, NULL);
    if (xcb_connection_has_error(x))
        return false;
    root = xcb_setup_roots_iterator(xcb_get_setup(x)).data->root;
    return true;
}

static void stop_server(void)
{
    xcb_disconnect(x);
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
}

/* The newest child of the root of that size that is mapped (0: none). */
static xcb_window_t find_window(int w, int h)
{
    xcb_query_tree_reply_t *t = xcb_query_tree_reply(x, xcb_query_tree(x, root), NULL);
    xcb_window_t *child = xcb_query_tree_children(t), found = 0;
    for (int i = 0; i < xcb_query_tree_children_length(t); i++) {
        xcb_get_geometry_reply_t *g =
            xcb_get_geometry_reply(x, xcb_get_geometry(x, child[i]), NULL);
        xcb_get_window_attributes_reply_t *a =
            xcb_get_window_attributes_reply(x, xcb_get_window_attributes(x, child[i]), NULL);
        if (g && a && g->width == w && g->height == h && a->map_state == XCB_MAP_STATE_VIEWABLE)
            found = child[i];
        free(g);
        free(a);
    }
    free(t);
    return found;
}

static uint32_t pixel(int px, int py)
{
    xcb_get_image_reply_t *r = xcb_get_image_reply(
        x, xcb_get_image(x, XCB_IMAGE_FORMAT_Z_PIXMAP, window, (int16_t)px, (int16_t)py, 1, 1, ~0u),
        NULL);
    uint32_t v = 0xff000000;
    if (r) {
        memcpy(&v, xcb_get_image_data(r), 4);
        v &= 0xffffff;
    }
    free(r);
    return v;
}

static bool near(uint32_t a, uint32_t b, int tolerance)
{
    for (int shift = 0; shift < 24; shift += 8)
        if (abs((int)(a >> shift & 0xff) - (int)(b >> shift & 0xff)) > tolerance)
            return false;
    return !(a >> 24);
}

/* Lets the window work until the pixel is that colour. */
static void expect_pixel(int px, int py, uint32_t colour)
{
    int64_t until = clock_now_us() + PATIENCE_US;
    uint32_t seen;
    do {
        d->ops->wait(d, 20000);
        seen = pixel(px, py);
    } while (!near(seen, colour, 4) && clock_now_us() < until);
    if (!near(seen, colour, 4))
        fail_msg("pixel %d,%d is %06x, not %06x", px, py, seen, colour);
}

static void expect_window(int w, int h)
{
    int64_t until = clock_now_us() + PATIENCE_US;
    while (!(window = find_window(w, h)) && clock_now_us() < until)
        d->ops->wait(d, 20000);
    if (!window)
        fail_msg("there is no window of %dx%d", w, h);
}

/* Four quarters: red, green, blue, white. YUV of BT.709 limited range, or BT.601 full range. */
static struct picture *quarters(enum pix_fmt fmt, int w, int h, bool full601)
{
    static const uint8_t h709[4][3] = {
        {63, 102, 240}, {173, 42, 26}, {32, 240, 118}, {235, 128, 128}};
    static const uint8_t j601[4][3] = {
        {76, 85, 255}, {150, 44, 21}, {29, 255, 107}, {255, 128, 128}};
    struct picture *p = picture_new(fmt, w, h);
    p->full_range = p->bt601 = full601;
    for (int i = 0; i < picture_planes(fmt); i++) {
        int rows = picture_rows(fmt, h, i), bytes = picture_row_bytes(fmt, w, i);
        for (int row = 0; row < rows; row++)
            for (int col = 0; col < bytes; col++) {
                int q = (row >= rows / 2) * 2 + (col >= bytes / 2);
                int plane = fmt == PIX_NV12 && i ? 1 + (col & 1) : i;
                p->plane[i][row * p->stride[i] + col] = full601 ? j601[q][plane] : h709[q][plane];
            }
    }
    return p;
}

static void show(enum pix_fmt fmt, int w, int h, bool full601)
{
    struct picture *p = quarters(fmt, w, h, full601);
    assert_int_equal(d->ops->show(d, p), 0);
    picture_unref(&p);
}

static void expect_quarters(int x0, int y0, int w, int h)
{
    expect_pixel(x0 + w / 4, y0 + h / 4, 0xff0000);
    expect_pixel(x0 + w * 3 / 4, y0 + h / 4, 0x00ff00);
    expect_pixel(x0 + w / 4, y0 + h * 3 / 4, 0x0000ff);
    expect_pixel(x0 + w * 3 / 4, y0 + h * 3 / 4, 0xffffff);
}

static int open_window(void **state)
{
    (void)state;
    if (display_sdl.open(&d, "hevcast test", false) != 0) {
        print_error("%s\n", error_text());
        return -1;
    }
    show(PIX_I420, W, H, false);
    expect_window(W, H);
    return 0;
}

static int close_window(void **state)
{
    (void)state;
    d->ops->close(d);
    d = NULL;
    return 0;
}

static void colours(void **state)
{
    (void)state;
    expect_quarters(0, 0, W, H);
    static const enum pix_fmt fmts[] = {PIX_I444, PIX_NV12, PIX_I420};
    for (int full601 = 0; full601 < 2; full601++)
        for (int i = 0; i < 3; i++) {
            struct picture *black = picture_new(PIX_BGRX, W, H);
            memset(black->plane[0], 0, (size_t)black->stride[0] * H);
            d->ops->show(d, black);
            picture_unref(&black);
            expect_pixel(W / 4, H / 4, 0);
            show(fmts[i], W, H, full601);
            expect_quarters(0, 0, W, H);
        }
}

static void resize(int w, int h)
{
    uint32_t place[4] = {10, 10, (uint32_t)w, (uint32_t)h};
    xcb_configure_window(x, window,
                         XCB_CONFIG_WINDOW_X | XCB_CONFIG_WINDOW_Y | XCB_CONFIG_WINDOW_WIDTH |
                             XCB_CONFIG_WINDOW_HEIGHT,
                         place);
    xcb_flush(x);
}

/* The aspect is kept on black, without a new picture. */
static void letterbox(void **state)
{
    (void)state;
    resize(400, 120);
    expect_quarters(120, 0, 160, 120);
    expect_pixel(50, 60, 0);
    expect_pixel(350, 60, 0);
    resize(320, 400);
    expect_quarters(0, 80, 320, 240);
    expect_pixel(160, 40, 0);
    expect_pixel(160, 360, 0);
    /* A picture of another size and aspect goes into the same window. */
    show(PIX_I420, 300, 100, false);
    expect_pixel(160, 100, 0);
    expect_quarters(0, 147, 320, 107);
}

static void covered(void **state)
{
    (void)state;
    xcb_window_t top = xcb_generate_id(x);
    uint32_t white = 0x123456;
    xcb_create_window(x, XCB_COPY_FROM_PARENT, top, root, 0, 0, SCREEN_W, SCREEN_H, 0,
                      XCB_WINDOW_CLASS_INPUT_OUTPUT, XCB_COPY_FROM_PARENT, XCB_CW_BACK_PIXEL,
                      &white);
    xcb_map_window(x, top);
    xcb_flush(x);
    d->ops->wait(d, 50000);
    xcb_destroy_window(x, top);
    xcb_flush(x);
    expect_quarters(0, 0, W, H); /* drawn again by wait alone */
}

static void overlay(void **state)
{
    (void)state;
    d->ops->overlay(d, "stats\nH");
    expect_pixel(5, 5, 0x3f0000); /* red under three quarters of black */
    /* The H of the second line: margin 3, second row of cells, at 4,4. */
    int top = 4 + 3 + FONT_CELL_H, left = 4 + 3;
    expect_pixel(left, top, 0xffffff);
    expect_pixel(left + 4, top + 6, 0xffffff);
    expect_pixel(left + 2, top + 3, 0xffffff);
    expect_pixel(left + 2, top, 0x3f0000);
    d->ops->overlay(d, NULL);
    expect_pixel(left, top, 0xff0000);
}

/* Of the red quarter, where the first half of the text's first line is. */
static int white_pixels(void)
{
    int n = 0;
    for (int py = H / 2 - 14; py < H / 2; py++)
        for (int px = 20; px < W / 2; px++)
            n += pixel(px, py) == 0xffffff;
    return n;
}

/* The connection was lost: the last picture stays, darkened, and the text is in its middle. */
static void message(void **state)
{
    (void)state;
    d->ops->message(d, "Reconnecting in 3 s\nno share");
    expect_pixel(5, 5, 0x6f0000); /* red under 0x90 of black */
    expect_pixel(W - 5, H - 5, 0x6f6f6f);
    assert_in_range(white_pixels(), 50, 400); /* letters */
    d->ops->message(d, NULL);
    expect_pixel(5, 5, 0xff0000);
    assert_int_equal(white_pixels(), 0);
}

static void press(const char *key)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "xdotool mousemove %d %d key %s", SCREEN_W / 2, SCREEN_H / 2, key);
    assert_int_equal(system(cmd), 0);
}

static enum display_event next_event(void)
{
    int64_t until = clock_now_us() + PATIENCE_US;
    enum display_event e;
    do
        e = d->ops->wait(d, 100000);
    while (e == DISPLAY_NONE && clock_now_us() < until);
    return e;
}

static void keys(void **state)
{
    (void)state;
    press("s");
    assert_int_equal(next_event(), DISPLAY_TOGGLE_STATS);
    press("x"); /* means nothing */
    press("q");
    assert_int_equal(next_event(), DISPLAY_QUIT);
    press("Escape");
    assert_int_equal(next_event(), DISPLAY_QUIT);
}

/* As a window manager closes it. */
static void close_button(void **state)
{
    (void)state;
    const char *names[2] = {"WM_PROTOCOLS", "WM_DELETE_WINDOW"};
    xcb_atom_t atom[2];
    for (int i = 0; i < 2; i++) {
        xcb_intern_atom_reply_t *r = xcb_intern_atom_reply(
            x, xcb_intern_atom(x, 0, (uint16_t)strlen(names[i]), names[i]), NULL);
        atom[i] = r->atom;
        free(r);
    }
    xcb_client_message_event_t m = {
        .response_type = XCB_CLIENT_MESSAGE, .format = 32, .window = window, .type = atom[0]};
    m.data.data32[0] = atom[1];
    xcb_send_event(x, 0, window, 0, (const char *)&m);
    xcb_flush(x);
    assert_int_equal(next_event(), DISPLAY_QUIT);
}

static void *wake_later(void *arg)
{
    usleep(50000);
    d->ops->wake(d);
    d->ops->wake(d);
    return arg;
}

static void wakes(void **state)
{
    (void)state;
    while (d->ops->wait(d, 10000) != DISPLAY_NONE)
        ;
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        pthread_create(&t, NULL, wake_later, NULL);
        assert_int_equal(d->ops->wait(d, -1), DISPLAY_NONE); /* for ever, if it is not woken */
        pthread_join(t, NULL);
    }
}

/* Waiting costs no CPU: far below what looking a thousand times a second would. */
static void waits_idle(void **state)
{
    (void)state;
    struct rusage a, b;
    d->ops->wait(d, 200000);
    getrusage(RUSAGE_SELF, &a);
    int64_t begin = clock_now_us();
    while (clock_now_us() - begin < 2000000)
        d->ops->wait(d, 2000000);
    getrusage(RUSAGE_SELF, &b);
    int64_t us = (b.ru_utime.tv_sec - a.ru_utime.tv_sec) * 1000000 +
                 (b.ru_utime.tv_usec - a.ru_utime.tv_usec) +
                 (b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000 +
                 (b.ru_stime.tv_usec - a.ru_stime.tv_usec);
    long switches = b.ru_nvcsw - a.ru_nvcsw;
    print_message("2 s of waiting: %lld us of CPU, %ld sleeps\n", (long long)us, switches);
    assert_true(switches < 400);
}

static void big_picture(void **state)
{
    (void)state;
    assert_int_equal(display_sdl.open(&d, "hevcast test", false), 0);
    show(PIX_I420, 1920, 1080, false);
    expect_window(800, 450); /* fits the screen */
    expect_quarters(0, 0, 800, 450);
    d->ops->close(d);
}

static void leaves_signals(void **state)
{
    (void)state;
    struct sigaction before, after;
    sigaction(SIGINT, NULL, &before);
    assert_int_equal(display_sdl.open(&d, "hevcast test", false), 0);
    sigaction(SIGINT, NULL, &after);
    assert_true(before.sa_handler == after.sa_handler);
    /* No picture came yet: waiting and waking work all the same. */
    wakes(NULL);
    d->ops->close(d);
}

static void no_display(void **state)
{
    (void)state;
    char *name = strdup(getenv("DISPLAY"));
    char reason[160] = "";
    unsetenv("DISPLAY");
    assert_false(display_sdl.probe(reason, sizeof reason));
    assert_non_null(strstr(reason, "DISPLAY"));
    assert_int_equal(display_sdl.open(&d, "x", false), ERR_UNSUPPORTED);
    assert_non_null(strstr(error_text(), "--no-window"));
    setenv("DISPLAY", ":9999", 1);
    assert_false(display_sdl.probe(reason, sizeof reason));
    setenv("DISPLAY", name, 1);
    assert_true(display_sdl.probe(reason, sizeof reason));
    free(name);
}

static void null_display(void **state)
{
    (void)state;
    assert_int_equal(display_null.open(&d, "x", false), 0);
    show(PIX_I420, 16, 16, false);
    assert_int_equal(d->ops->wait(d, 1000), DISPLAY_NONE);
    wakes(NULL);
    d->ops->close(d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_window, close_window)

int main(void)
{
    if (!have("Xvfb") || !have("xdotool")) {
        fprintf(stderr, "SKIPPED: the window is not tested: Xvfb or xdotool is missing; "
                        "install xvfb and xdotool\n");
        return 77;
    }
    unsetenv("WAYLAND_DISPLAY");
    unsetenv("SDL_VIDEODRIVER");
    if (!start_server()) {
        fprintf(stderr, "Xvfb does not start\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_display),
        cmocka_unit_test(no_display),
        TEST(colours),
        TEST(letterbox),
        TEST(covered),
        TEST(overlay),
        TEST(message),
        TEST(keys),
        TEST(close_button),
        TEST(wakes),
        TEST(waits_idle),
        cmocka_unit_test(big_picture),
        cmocka_unit_test(leaves_signals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_server();
    return failed;
}
