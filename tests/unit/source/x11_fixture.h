/* What the tests of the X11 driver share: a server and an artist for each test, and how a picture
 * is compared with the screen. */
#ifndef HEVCAST_TESTS_X11_FIXTURE_H
#define HEVCAST_TESTS_X11_FIXTURE_H

#include "artist.h"
#include "base/clock.h"
#include "base/error.h"
#include "source/source.h"
#include "xserver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { W = 641, H = 403, LONG_US = 10000000, QUIET_US = 150000 };

extern struct xserver server;
extern struct artist artist;
extern char spec[32]; /* "x11:3" */

/* A server for each test: what one leaves (windows, cursors) is not there in the next. */
int fixture_start(const char *program, const char *const *extra); /* as xserver_start */
int fixture_setup(void **state);
int fixture_setup_without_shm(void **state);
int fixture_setup_xvnc(void **state);
int fixture_teardown(void **state);

struct source *fixture_open(struct source_config config);
uint32_t pixel(const struct picture *p, int x, int y);
/* Every pixel as the drawable has it in r. */
void assert_shows(const struct picture *p, xcb_drawable_t d, struct rect r);
void assert_shows_screen(const struct picture *p);
/* What differs lies within the damage of the later picture. */
void assert_damage_tells(const struct picture *before, const struct picture *p);
/* A read that must give a picture. */
struct picture *take(struct source *s);
struct picture *wait_and_take(struct source *s);
/* Reads until nothing changes any more; the last picture. */
struct picture *settle(struct source *s);

#define X11_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
#define X11_TEST_AS(f, set_up, how)                                                                \
    {                                                                                              \
#f " (" how ")", f, set_up, fixture_teardown, NULL                                         \
    }

#endif
