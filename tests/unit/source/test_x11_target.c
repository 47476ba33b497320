/* What of an X display is captured: monitor, region, window; and how it changes and ends. */
#include "x11_fixture.h"

#include "source/x11_list.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Opening must fail with this code, and say this. */
static void assert_refused(struct source_config config, int code, const char *says)
{
    struct source *s = NULL;
    if (!config.spec)
        config.spec = spec;
    config.fps = 60;
    int e = source_open(&s, &config);
    if (e != code || !strstr(error_text(), says))
        fail_msg("%d \"%s\" is not %d \"%s\"", e, error_text(), code, says);
    assert_null(s);
}

static void wrong_wishes_get_an_answer(void **state)
{
    (void)state;
    artist_window(&artist, (struct rect){0, 0, 50, 50}, 1, "Editor one");
    artist_window(&artist, (struct rect){60, 0, 50, 50}, 1, "Editor two");
    assert_refused((struct source_config){.spec = "x11:999"}, ERR_NOT_FOUND,
                   "cannot open X display \":999\"");
    assert_refused((struct source_config){.spec = "x11:what"}, ERR_INVALID, "not an X display");
    assert_refused((struct source_config){.monitor = "HDMI-7"}, ERR_NOT_FOUND,
                   "no monitor \"HDMI-7\"; it has: 0 screen");
    assert_refused((struct source_config){.monitor = "1"}, ERR_NOT_FOUND, "it has: 0 screen");
    assert_refused((struct source_config){.region = "100x100+600+0"}, ERR_INVALID,
                   "not inside the screen, which is 641x403");
    const char *wrong[] = {"",           "100",        "100x",    "0x10+0+0",         "10x10+0",
                           "10x10+0+0+", "10x10+-1+0", "axb+c+d", "99999999999x1+0+0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused((struct source_config){.region = wrong[i]}, ERR_INVALID, "not a region");
    assert_refused((struct source_config){.window = "nothing like it"}, ERR_NOT_FOUND, "no window");
    assert_refused((struct source_config){.window = "0x7654321"}, ERR_NOT_FOUND, "no window");
    assert_refused((struct source_config){.window = "editor"}, ERR_INVALID, "\"Editor one\"");
    assert_refused((struct source_config){.window = "editor"}, ERR_INVALID, "\"Editor two\"");
    assert_refused((struct source_config){.window = "editor one", .monitor = "0"}, ERR_INVALID,
                   "one of");
    unsetenv("DISPLAY");
    assert_refused((struct source_config){.spec = "x11"}, ERR_NOT_FOUND, "DISPLAY is not set");
}

static int setup_without_damage(void **state)
{
    (void)state;
    const char *const extra[] = {"-extension", "DAMAGE", NULL};
    return fixture_start("Xvfb", extra);
}
static void a_missing_extension_is_named(void **state)
{
    (void)state;
    assert_refused((struct source_config){0}, ERR_UNSUPPORTED, "DAMAGE");
}

static int setup_16_bit(void **state)
{
    (void)state;
    const char *const extra[] = {"-screen", "0", "320x200x16", NULL};
    return fixture_start("Xvfb", extra);
}
static void other_depths_are_refused(void **state)
{
    (void)state;
    assert_refused((struct source_config){0}, ERR_UNSUPPORTED, "24-bit");
}

static void screen_is_the_display_of_the_session(void **state)
{
    (void)state;
    setenv("DISPLAY", server.display, 1);
    struct source *s = NULL;
    assert_int_equal(source_open(&s, &(struct source_config){.spec = "screen", .fps = 30}), 0);
    assert_string_equal(s->ops->name, "x11");
    assert_non_null(strstr(s->info.text, server.display));
    source_close(&s);
    unsetenv("DISPLAY");
}

static void a_region(void **state)
{
    (void)state;
    struct source *s = fixture_open((struct source_config){.region = "203x101+37+59"});
    assert_int_equal(s->info.width, 203);
    assert_int_equal(s->info.height, 101);
    struct picture *last = settle(s);
    for (int i = 0; i < 60; i++) {
        struct rect r = artist_noise(&artist, artist.screen->root, W, H, 120);
        artist_sync(&artist);
        struct rect inside = rect_intersect(r, (struct rect){37, 59, 203, 101});
        if (rect_empty(&inside)) {
            struct picture *p = take(s);
            assert_int_equal(p->damage.n, 0);
            picture_unref(&p);
            continue;
        }
        struct picture *p = wait_and_take(s);
        assert_shows(p, artist.screen->root, (struct rect){37, 59, 203, 101});
        assert_damage_tells(last, p);
        picture_unref(&last);
        last = p;
    }
    artist_fill(&artist, artist.screen->root, (struct rect){300, 300, 50, 50}, 0x123456);
    artist_sync(&artist);
    assert_int_equal(s->ops->wait(s, QUIET_US), SOURCE_IDLE); /* elsewhere */
    picture_unref(&last);
    source_close(&s);
}

static void a_monitor_by_name_and_number(void **state)
{
    (void)state;
    const char *names[] = {"screen", "0"};
    for (int i = 0; i < 2; i++) {
        struct source *s = fixture_open((struct source_config){.monitor = names[i]});
        artist_noise(&artist, artist.screen->root, W, H, 300);
        artist_sync(&artist);
        struct picture *p = settle(s);
        assert_shows_screen(p);
        picture_unref(&p);
        source_close(&s);
    }
}

static void a_covered_window_has_its_pixels(void **state)
{
    (void)state;
    struct rect area = {100, 50, 301, 199}, all = {0, 0, 301, 199};
    xcb_window_t w = artist_window(&artist, area, 0x336699, "A Window");
    artist_window(&artist, (struct rect){0, 0, W, H}, 0x777777, NULL);
    struct source *s = fixture_open((struct source_config){.window = "a wIn"});
    struct picture *last = settle(s);
    assert_int_equal(pixel(last, 150, 100), 0x336699);
    for (int i = 0; i < 50; i++) {
        artist_noise(&artist, w, all.w, all.h, 100);
        artist_sync(&artist);
        struct picture *p = wait_and_take(s);
        assert_shows(p, w, all);
        assert_damage_tells(last, p);
        picture_unref(&last);
        last = p;
    }
    artist_fill(&artist, w, all, 0xabcdef);
    artist_sync(&artist);
    struct picture *p = wait_and_take(s);
    assert_int_equal(pixel(p, 0, 0), 0xabcdef);
    assert_int_equal(pixel(p, 300, 198), 0xabcdef);
    picture_unref(&p);
    picture_unref(&last);
    source_close(&s);
}

static void set_size(xcb_window_t w, uint32_t width, uint32_t height)
{
    uint32_t v[] = {width, height};
    xcb_configure_window(artist.c, w, XCB_CONFIG_WINDOW_WIDTH | XCB_CONFIG_WINDOW_HEIGHT, v);
    artist_sync(&artist);
}

static void a_window_changes_its_size_and_place(void **state)
{
    (void)state;
    xcb_window_t w = artist_window(&artist, (struct rect){50, 50, 200, 100}, 0x336699, "one");
    uint32_t border = 3;
    xcb_configure_window(artist.c, w, XCB_CONFIG_WINDOW_BORDER_WIDTH, &border);
    char id[16];
    snprintf(id, sizeof id, "0x%x", w);
    struct source *s = fixture_open((struct source_config){.window = id});
    struct picture *held = settle(s);
    for (int i = 0; i < 20; i++) {
        int width = 20 + (int)artist_random(&artist, 500);
        int height = 20 + (int)artist_random(&artist, 300);
        set_size(w, (uint32_t)width, (uint32_t)height);
        artist_noise(&artist, w, width, height, 200);
        artist_sync(&artist);
        struct picture *p = settle(s);
        assert_shows(p, w, (struct rect){0, 0, width, height});
        picture_unref(&held);
        held = p;
    }
    uint32_t v[] = {(uint32_t)-40, (uint32_t)-30}; /* partly off the screen: still its pixels */
    xcb_configure_window(artist.c, w, XCB_CONFIG_WINDOW_X | XCB_CONFIG_WINDOW_Y, v);
    artist_fill(&artist, w, (struct rect){0, 0, 20, 20}, 0x00ff7f);
    artist_sync(&artist);
    struct picture *p = settle(s);
    assert_int_equal(pixel(p, 0, 0), 0x00ff7f);
    picture_unref(&p);
    picture_unref(&held);
    source_close(&s);
}

static void a_hidden_window_comes_back(void **state)
{
    (void)state;
    xcb_window_t w = artist_window(&artist, (struct rect){50, 50, 200, 100}, 0x336699, "one");
    struct source *s = fixture_open((struct source_config){.window = "one"});
    struct picture *p = settle(s);
    picture_unref(&p);
    xcb_unmap_window(artist.c, w);
    artist_sync(&artist);
    p = settle(s); /* its last pixels */
    assert_int_equal(pixel(p, 10, 10), 0x336699);
    picture_unref(&p);
    assert_refused((struct source_config){.window = "one"}, ERR_NOT_FOUND, "no window");
    uint32_t back = 0x996633;
    xcb_change_window_attributes(artist.c, w, XCB_CW_BACK_PIXEL, &back);
    xcb_map_window(artist.c, w);
    artist_sync(&artist);
    p = settle(s);
    assert_int_equal(pixel(p, 10, 10), 0x996633);
    artist_noise(&artist, w, 200, 100, 50);
    artist_sync(&artist);
    picture_unref(&p);
    p = wait_and_take(s);
    assert_shows(p, w, (struct rect){0, 0, 200, 100});
    picture_unref(&p);
    source_close(&s);
}

static void a_closed_window_ends_it(void **state)
{
    (void)state;
    xcb_window_t w = artist_window(&artist, (struct rect){50, 50, 200, 100}, 0x336699, "my title");
    struct source *s = fixture_open((struct source_config){.window = "title", .cursor = true});
    struct picture *p = settle(s);
    picture_unref(&p);
    xcb_destroy_window(artist.c, w);
    artist_sync(&artist);
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_ENDED);
    assert_string_equal(s->end_reason, "the window \"my title\" was closed");
    assert_false(s->failed);
    assert_int_equal(s->ops->read(s, &p), ERR_ENDED);
    source_close(&s);
}

static void xrandr(int width, int height)
{
    char command[128];
    snprintf(command, sizeof command, "xrandr -d %s -s %dx%d >/dev/null", server.display, width,
             height);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void the_screen_changes_its_size(void **state)
{
    (void)state;
    struct source *s = fixture_open((struct source_config){0});
    struct picture *held = settle(s), *p;
    const int sizes[][2] = {{1024, 768}, {640, 480}, {800, 600}, {W, H}};
    for (int i = 0; i < 4; i++) {
        struct rect all = {0, 0, sizes[i][0], sizes[i][1]};
        xrandr(all.w, all.h);
        artist_noise(&artist, artist.screen->root, all.w, all.h, 300);
        artist_sync(&artist);
        p = wait_and_take(s);
        assert_int_equal(p->width, all.w);
        assert_true(damage_is_all(&p->damage, all.w, all.h));
        picture_unref(&p);
        p = settle(s);
        assert_shows(p, artist.screen->root, all);
        picture_unref(&p);
    }
    assert_int_equal(held->width, W); /* an old picture stays as it was */
    pixel(held, W - 1, H - 1);
    picture_unref(&held);
    source_close(&s);
}

static void a_region_shrinks_with_the_screen(void **state)
{
    (void)state;
    xrandr(1024, 768);
    struct rect part = {400, 300, 300, 200};
    struct source *s = fixture_open((struct source_config){.region = "300x200+400+300"});
    struct source *gone = fixture_open((struct source_config){.region = "100x50+700+10"});
    struct picture *p = settle(s);
    assert_shows(p, artist.screen->root, part);
    picture_unref(&p);
    xrandr(640, 480);
    artist_noise(&artist, artist.screen->root, 640, 480, 400);
    artist_sync(&artist);
    p = settle(s);
    assert_shows(p, artist.screen->root, (struct rect){400, 300, 240, 180});
    picture_unref(&p);
    xrandr(1024, 768);
    p = settle(s);
    assert_shows(p, artist.screen->root, part);
    picture_unref(&p);
    source_close(&s);

    xrandr(640, 480); /* nothing of the other is left */
    int r;
    while ((r = gone->ops->wait(gone, LONG_US)) == SOURCE_CHANGED &&
           (r = gone->ops->read(gone, &p)) == 0)
        picture_unref(&p);
    assert_true(r == ERR_ENDED || r == SOURCE_ENDED);
    assert_non_null(strstr(gone->end_reason, "nothing of the captured part"));
    assert_true(gone->failed);
    source_close(&gone);
}

/* What a window manager does: a frame that bears the title too, and WM_STATE on the client. */
static xcb_window_t managed_window(struct rect r, const char *title, xcb_window_t *frame)
{
    xcb_window_t w = artist_window(&artist, r, 0x336699, title);
    *frame = artist_window(&artist, (struct rect){r.x, r.y, r.w + 20, r.h + 40}, 0x555555, title);
    xcb_reparent_window(artist.c, w, *frame, 10, 30);
    xcb_intern_atom_reply_t *a =
        xcb_intern_atom_reply(artist.c, xcb_intern_atom(artist.c, 0, 8, "WM_STATE"), NULL);
    assert_non_null(a);
    uint32_t normal[2] = {1, 0};
    xcb_change_property(artist.c, XCB_PROP_MODE_REPLACE, w, a->atom, a->atom, 32, 2, normal);
    free(a);
    artist_sync(&artist);
    return w;
}

static void a_framed_window_is_meant_without_its_frame(void **state)
{
    (void)state;
    xcb_window_t frame;
    xcb_window_t w = managed_window((struct rect){50, 60, 200, 100}, "Terminal", &frame);
    artist_window(&artist, (struct rect){0, 0, W, H}, 0x777777, "Terminal two"); /* over it */
    /* One of two is called exactly so. */
    struct source *s = fixture_open((struct source_config){.window = "terminal"});
    struct picture *p = settle(s);
    assert_shows(p, w, (struct rect){0, 0, 200, 100});
    picture_unref(&p);
    artist_noise(&artist, w, 200, 100, 90);
    artist_sync(&artist);
    p = wait_and_take(s);
    assert_shows(p, w, (struct rect){0, 0, 200, 100});
    picture_unref(&p);
    source_close(&s);

    xcb_unmap_window(artist.c, w); /* minimised */
    artist_sync(&artist);
    assert_refused((struct source_config){.window = "terminal"}, ERR_NOT_FOUND, "minimised");
    struct x11_list *l = NULL;
    assert_int_equal(x11_list_new(&l, server.display), 0);
    assert_int_equal(l->n_windows, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(l->windows[i].shown, l->windows[i].id != w);
    x11_list_free(&l);
}

static void monitor(const char *arguments)
{
    char command[160];
    snprintf(command, sizeof command, "xrandr -d %s %s >/dev/null", server.display, arguments);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_monitor_moves_and_goes(void **state)
{
    (void)state;
    monitor("--setmonitor left 300/100x403/100+0+0 none");
    monitor("--setmonitor right 341/100x403/100+300+0 none");
    struct source *s = fixture_open((struct source_config){.monitor = "right"});
    artist_noise(&artist, artist.screen->root, W, H, 400);
    artist_sync(&artist);
    struct picture *p = settle(s);
    assert_shows(p, artist.screen->root, (struct rect){300, 0, 341, 403});
    picture_unref(&p);
    assert_refused((struct source_config){.monitor = "up"}, ERR_NOT_FOUND, "left");
    /* A monitor's place is looked at when RandR reports something, as a mode change. */
    monitor("--delmonitor right");
    monitor("--setmonitor right 200/100x100/100+400+50 none");
    xrandr(1024, 768);
    artist_noise(&artist, artist.screen->root, 1024, 768, 400);
    artist_sync(&artist);
    p = settle(s);
    assert_shows(p, artist.screen->root, (struct rect){400, 50, 200, 100});
    picture_unref(&p);
    monitor("--delmonitor right");
    xrandr(640, 480);
    int r;
    while ((r = s->ops->wait(s, LONG_US)) == SOURCE_CHANGED && (r = s->ops->read(s, &p)) == 0)
        picture_unref(&p);
    assert_true(r == ERR_ENDED || r == SOURCE_ENDED);
    assert_string_equal(s->end_reason, "the monitor right was switched off");
    assert_true(s->failed);
    source_close(&s);
}

struct resizer {
    const char *display;
    xcb_window_t window; /* 0: the screen, by xrandr */
    bool done;
};

static void *resize_on(void *arg)
{
    struct resizer *z = arg;
    struct artist a;
    if (!artist_open(&a, z->display))
        return NULL;
    if (!z->window)
        for (int i = 0; i < 10; i++)
            xrandr(i % 2 ? 1024 : 640, i % 2 ? 768 : 480);
    for (int i = 0; z->window && i < 400; i++) {
        uint32_t v[] = {50 + artist_random(&a, 500), 50 + artist_random(&a, 300)};
        xcb_configure_window(a.c, z->window, XCB_CONFIG_WINDOW_WIDTH | XCB_CONFIG_WINDOW_HEIGHT, v);
        artist_noise(&a, z->window, (int)v[0], (int)v[1], 100);
        if (i % 3 == 0)
            artist_sync(&a);
    }
    artist_sync(&a);
    artist_close(&a);
    z->done = true;
    return z;
}

/* Sizes change between every two requests: reads must never fail, and the end must be right. */
static void sizes_change_all_the_time(void **state)
{
    (void)state;
    for (int screen = 0; screen < 2; screen++) {
        struct resizer z = {.display = server.display};
        if (!screen)
            z.window = artist_window(&artist, (struct rect){9, 9, 99, 99}, 0x336699, "one");
        struct source *s =
            fixture_open((struct source_config){.window = screen ? NULL : "one", .cursor = false});
        struct picture *last = settle(s);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, resize_on, &z), 0);
        while (s->ops->wait(s, 1000000) == SOURCE_CHANGED) {
            struct picture *p = take(s);
            assert_damage_tells(last, p);
            picture_unref(&last);
            last = p;
        }
        pthread_join(t, NULL);
        assert_true(z.done);
        picture_unref(&last);
        last = settle(s);
        xcb_drawable_t d = screen ? artist.screen->root : z.window;
        xcb_get_geometry_reply_t *g =
            xcb_get_geometry_reply(artist.c, xcb_get_geometry(artist.c, d), NULL);
        assert_non_null(g);
        assert_shows(last, d, (struct rect){0, 0, g->width, g->height});
        free(g);
        picture_unref(&last);
        source_close(&s);
        if (!screen)
            xcb_destroy_window(artist.c, z.window);
        artist_sync(&artist);
    }
}

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void nothing_stays_open(void **state)
{
    (void)state;
    artist_window(&artist, (struct rect){0, 0, 50, 50}, 1, "one");
    int before = open_files();
    for (int i = 0; i < 20; i++) {
        struct source *s = fixture_open(
            (struct source_config){.window = i % 2 ? "one" : NULL, .cursor = i % 3 != 0});
        struct picture *p = take(s);
        source_close(&s);
        picture_unref(&p);
        assert_refused((struct source_config){.window = "two"}, ERR_NOT_FOUND, "no window");
    }
    assert_int_equal(open_files(), before);
}

static void the_list_names_them(void **state)
{
    (void)state;
    xcb_window_t one = artist_window(&artist, (struct rect){10, 20, 30, 40}, 1, "Caf\xe9\n1");
    artist_window(&artist, (struct rect){0, 0, 9, 9}, 1, NULL);
    struct x11_list *l = NULL;
    assert_int_equal(x11_list_new(&l, server.display + 1), 0);
    assert_string_equal(l->display, server.display);
    assert_int_equal(l->width, W);
    assert_int_equal(l->n_monitors, 1);
    assert_string_equal(l->monitors[0].name, "screen");
    assert_int_equal(l->monitors[0].area.w, W);
    assert_int_equal(l->n_windows, 1);
    assert_int_equal(l->windows[0].id, one);
    assert_string_equal(l->windows[0].title, "Caf\xc3\xa9 1"); /* Latin-1 made UTF-8 */
    assert_int_equal(l->windows[0].area.x, 10);
    assert_int_equal(l->windows[0].area.h, 40);
    assert_true(l->windows[0].shown);
    x11_list_free(&l);
    assert_null(l);
    assert_int_equal(x11_list_new(&l, ":998"), ERR_NOT_FOUND);
}

int main(void)
{
    xserver_need("Xvfb");
    xserver_need("Xvnc");
    xserver_need("xrandr");
    const struct CMUnitTest tests[] = {
        X11_TEST(wrong_wishes_get_an_answer),
        X11_TEST_AS(a_missing_extension_is_named, setup_without_damage, "no DAMAGE"),
        X11_TEST_AS(other_depths_are_refused, setup_16_bit, "16 bits"),
        X11_TEST(screen_is_the_display_of_the_session),
        X11_TEST(a_region),
        X11_TEST(a_monitor_by_name_and_number),
        X11_TEST(a_covered_window_has_its_pixels),
        X11_TEST(a_window_changes_its_size_and_place),
        X11_TEST(a_hidden_window_comes_back),
        X11_TEST(a_closed_window_ends_it),
        X11_TEST_AS(the_screen_changes_its_size, fixture_setup_xvnc, "Xvnc"),
        X11_TEST_AS(a_region_shrinks_with_the_screen, fixture_setup_xvnc, "Xvnc"),
        X11_TEST(a_framed_window_is_meant_without_its_frame),
        X11_TEST_AS(a_monitor_moves_and_goes, fixture_setup_xvnc, "Xvnc"),
        X11_TEST_AS(sizes_change_all_the_time, fixture_setup_xvnc, "Xvnc"),
        X11_TEST(nothing_stays_open),
        X11_TEST(the_list_names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
