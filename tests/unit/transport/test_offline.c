/* transport/peer on a machine that has loopback alone. */
#include "netns.h"
#include "pair.h"

static void connects_over_loopback(void **state)
{
    (void)state;
    for (enum pair_trickle order = TRICKLE; order <= ONE_SIDE_ALONE; order++) {
        struct pair pair = {.trickle = order};
        pair_open(&pair, NULL);
        pair_connect(&pair);
        char text[256];
        peer_describe(pair.b.peer, text, sizeof text);
        assert_non_null(strstr(text, "127.0.0.1"));
        print_message("order %d: connected in %.1f ms\n", (int)order,
                      (double)(clock_now_us() - pair.start_us) / 1000);
        pair_close(&pair);
    }
}

/* No path: the candidate's port has nobody behind it, and a closed one says so at most by ICMP. */
static bool a_ended(struct pair *pair) { return pair->a.ended; }

static void no_path_fails_with_a_sentence(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, NULL);
    assert_int_equal(peer_set_remote(pair.a.peer, "abcd", "0123456789012345678901",
                                     dtls_identity_fingerprint(pair.b.identity), DTLS_SERVER),
                     0);
    assert_int_equal(
        peer_add_remote_candidate(pair.a.peer, "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host"),
        0);
    peer_remote_end_of_candidates(pair.a.peer);
    assert_int_equal(peer_gather(pair.a.peer), 0);
    int64_t start_us = clock_now_us();
    assert_true(pair_run(&pair, a_ended, 29));
    print_message("failed after %.1f s: %s\n", (double)(clock_now_us() - start_us) / 1e6,
                  pair.a.text);
    assert_true(pair.a.error == ERR_IO || pair.a.error == ERR_TIMEOUT);
    assert_non_null(strstr(pair.a.text, "path"));
    pair_close(&pair);
}

static void a_full_port_range_is_said(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    struct ice_config ice = {.udp_port_min = 42650, .udp_port_max = 42650};
    pair_open(&pair, &ice);
    assert_int_equal(peer_gather(pair.a.peer), 0);
    assert_int_equal(peer_gather(pair.b.peer), ERR_IO);
    assert_non_null(strstr(error_text(), "--udp-ports"));
    pair_close(&pair);
}

int main(void)
{
    if (!netns_enter())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_over_loopback),
        cmocka_unit_test(a_full_port_range_is_said),
        cmocka_unit_test(no_path_fails_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
