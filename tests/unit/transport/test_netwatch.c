/* Changes of this machine's addresses are told, once for those that come together. */
#include "net/netwatch.h"
#include "netns.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

struct rig {
    struct loop *loop;
    struct loop_timer *timer;
    struct netwatch *watch;
    int told, addresses;
};

static void on_change(void *ctx, bool addresses)
{
    struct rig *r = ctx;
    r->told++;
    r->addresses += addresses;
    loop_quit(r->loop);
}

static void on_timer(void *ctx) { loop_quit(((struct rig *)ctx)->loop); }

/* Until something is told, or for that long. */
static void wait_ms(struct rig *r, int ms)
{
    loop_timer_set(r->timer, clock_now_us() + ms * 1000);
    loop_run(r->loop);
    loop_timer_set(r->timer, INT64_MAX);
}

static void ip(const char *command)
{
    char text[200];
    snprintf(text, sizeof text, "ip %s", command);
    assert_int_equal(system(text), 0);
}

static void changes_are_told(void **state)
{
    (void)state;
    struct rig r = {.loop = loop_new()};
    r.timer = loop_timer_new(r.loop, on_timer, &r);
    r.watch = netwatch_new(r.loop, on_change, &r);
    assert_non_null(r.watch);
    wait_ms(&r, 300);
    assert_int_equal(r.told, 0);

    ip("addr add 10.77.0.1/32 dev lo");
    ip("addr add 10.77.0.2/32 dev lo");
    wait_ms(&r, 5000);
    assert_int_equal(r.told, 1);
    assert_int_equal(r.addresses, 1);
    assert_true(netwatch_has_address("10.77.0.1"));
    assert_false(netwatch_has_address("10.77.0.3"));
    wait_ms(&r, 300); /* on a slow machine the second comes on its own */

    int addresses = r.addresses;
    ip("addr del 10.77.0.1/32 dev lo");
    wait_ms(&r, 5000);
    assert_int_equal(r.addresses, addresses + 1);
    assert_false(netwatch_has_address("10.77.0.1"));

    /* A route is told, but as no change of the addresses. */
    int told = r.told;
    addresses = r.addresses;
    ip("route add 10.78.0.0/24 dev lo");
    wait_ms(&r, 5000);
    assert_true(r.told > told);
    assert_int_equal(r.addresses, addresses);

    /* What is turned off keeps its addresses, which are of no use. */
    assert_true(netwatch_has_address("10.77.0.2"));
    ip("link set lo down");
    wait_ms(&r, 5000);
    assert_int_equal(r.addresses, addresses + 1);
    assert_false(netwatch_has_address("10.77.0.2"));
    netwatch_free(&r.watch);
    assert_null(r.watch);
    loop_timer_free(&r.timer);
    loop_free(&r.loop);
}

int main(void)
{
    if (!netns_enter())
        return TEST_SKIPPED;
    if (system("ip link show lo >/dev/null") != 0) {
        fprintf(stderr, "SKIPPED: ip (iproute2) is not installed\n");
        return TEST_SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(changes_are_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
