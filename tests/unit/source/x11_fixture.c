#include "x11_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct xserver server;
struct artist artist;
char spec[32];

int fixture_start(const char *program, const char *const *extra)
{
    if (!xserver_start(&server, program, W, H, extra) || !artist_open(&artist, server.display))
        return -1;
    snprintf(spec, sizeof spec, "x11:%s", server.display + 1);
    return 0;
}
int fixture_setup(void **state)
{
    (void)state;
    return fixture_start("Xvfb", NULL);
}
int fixture_setup_without_shm(void **state)
{
    (void)state;
    const char *const extra[] = {"-extension", "MIT-SHM", NULL};
    return fixture_start("Xvfb", extra);
}
int fixture_setup_xvnc(void **state)
{
    (void)state;
    return fixture_start("Xvnc", NULL);
}
int fixture_teardown(void **state)
{
    (void)state;
    artist_close(&artist);
    xserver_stop(&server);
    return 0;
}

struct source *fixture_open(struct source_config config)
{
    struct source *s = NULL;
    config.spec = spec;
    config.fps = 60;
    if (source_open(&s, &config)) {
        fprintf(stderr, "%s\n", error_text());
        fail();
    }
    return s;
}

uint32_t pixel(const struct picture *p, int x, int y)
{
    return ((const uint32_t *)(p->plane[0] + (size_t)y * (size_t)p->stride[0]))[x] & 0xffffff;
}

void assert_shows(const struct picture *p, xcb_drawable_t d, struct rect r)
{
    assert_int_equal(p->fmt, PIX_BGRX);
    assert_int_equal(p->width, r.w);
    assert_int_equal(p->height, r.h);
    uint32_t *want = artist_pixels(&artist, d, r);
    assert_non_null(want);
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++)
            if (pixel(p, x, y) != want[y * r.w + x])
                fail_msg("pixel %d,%d is %06x, not %06x", x, y, pixel(p, x, y), want[y * r.w + x]);
    free(want);
}

void assert_shows_screen(const struct picture *p)
{
    assert_shows(p, artist.screen->root, (struct rect){0, 0, W, H});
}

void assert_damage_tells(const struct picture *before, const struct picture *p)
{
    if (before->width != p->width || before->height != p->height) {
        assert_true(damage_is_all(&p->damage, p->width, p->height));
        return;
    }
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            if (pixel(before, x, y) == pixel(p, x, y))
                continue;
            bool told = false;
            for (int i = 0; i < p->damage.n && !told; i++)
                told = rect_contains(p->damage.r[i], (struct rect){x, y, 1, 1});
            if (!told)
                fail_msg("pixel %d,%d changed outside of the damage", x, y);
        }
    }
}

struct picture *take(struct source *s)
{
    struct picture *p = NULL;
    assert_int_equal(s->ops->read(s, &p), 0);
    assert_non_null(p);
    return p;
}

struct picture *wait_and_take(struct source *s)
{
    assert_int_equal(s->ops->wait(s, LONG_US), SOURCE_CHANGED);
    return take(s);
}

struct picture *settle(struct source *s)
{
    struct picture *p = take(s);
    while (s->ops->wait(s, QUIET_US) == SOURCE_CHANGED) {
        picture_unref(&p);
        p = take(s);
    }
    return p;
}
