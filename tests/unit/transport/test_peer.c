/* transport/peer: two of them on one loop, over this machine's own addresses. */
#include "pair.h"
#include "transport/demux.h"

#include <unistd.h>

static bool rtp_both_ways(struct pair *pair) { return pair->a.rtp >= 1 && pair->b.rtp >= 50; }
static bool rtcp_both_ways(struct pair *pair) { return pair->a.rtcp >= 1 && pair->b.rtcp >= 1; }

/* 50 packets from a to b, one back, and RTCP both ways. */
static void exchange(struct pair *pair, uint16_t first_seq)
{
    uint8_t packet[PAIR_PACKET], copy[PAIR_PACKET];
    pair->a.rtp = pair->b.rtp = pair->a.rtcp = pair->b.rtcp = 0;
    for (int i = 0; i < 50; i++) {
        make_rtp(packet, (uint16_t)(first_seq + i), 0x1234, sizeof packet);
        memcpy(copy, packet, sizeof packet);
        assert_int_equal(peer_send_rtp(pair->a.peer, packet, sizeof packet), 0);
        assert_memory_equal(packet, copy, sizeof packet); /* the caller's bytes stay */
    }
    make_rtp(copy, first_seq, 0x5678, 100);
    assert_int_equal(peer_send_rtp(pair->b.peer, copy, 100), 0);
    if (!pair_run(pair, rtp_both_ways, 10))
        fail_msg("%d and %d packets came", pair->a.rtp, pair->b.rtp);
    assert_int_equal(pair->b.rtp, 50);
    assert_int_equal(pair->b.last_len, sizeof packet);
    assert_memory_equal(pair->b.last, packet, sizeof packet);
    assert_memory_equal(pair->a.last, copy, 100);
    uint8_t report[64];
    size_t len = make_rtcp(report, 7);
    assert_int_equal(peer_send_rtcp(pair->a.peer, report, len), 0);
    assert_int_equal(peer_send_rtcp(pair->b.peer, report, len), 0);
    assert_true(pair_run(pair, rtcp_both_ways, 10));
    assert_memory_equal(pair->a.last, report, len);
    assert_memory_equal(pair->b.last, report, len);
}

static void connects_in_every_order(void **state)
{
    (void)state;
    static const enum pair_trickle orders[] = {TRICKLE, CANDIDATES_FIRST, CANDIDATES_LAST,
                                               ONE_SIDE_ALONE};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        struct pair pair = {.trickle = orders[i]};
        pair_open(&pair, NULL);
        assert_false(peer_connected(pair.a.peer));
        pair_connect(&pair);
        assert_true(peer_connected(pair.a.peer));
        char text[256];
        peer_describe(pair.a.peer, text, sizeof text);
        assert_non_null(strstr(text, "AEAD_AES_128_GCM"));
        print_message("order %zu: connected in %.1f ms over %s\n", i,
                      (double)(clock_now_us() - pair.start_us) / 1000, text);
        exchange(&pair, 65530); /* wraps */
        struct peer_stats stats;
        peer_get_stats(pair.b.peer, &stats);
        assert_int_equal(stats.srtp_failed, 0);
        assert_int_equal(stats.unknown_packets, 0);
        assert_true(stats.bytes_received > 50 * PAIR_PACKET);
        pair_close(&pair);
    }
}

static void a_wrong_fingerprint_is_refused(void **state)
{
    (void)state;
    struct dtls_identity *other = dtls_identity_new();
    struct pair pair = {.wrong_fingerprint = dtls_identity_fingerprint(other)};
    pair_open(&pair, NULL);
    pair_introduce(&pair);
    assert_true(pair_run(&pair, both_ended, 20));
    assert_int_equal(pair.a.error, ERR_REFUSED);
    assert_non_null(strstr(pair.a.text, "fingerprint"));
    assert_int_equal(pair.b.error, ERR_IO); /* told by an alert, at once */
    assert_false(pair.a.connected);
    uint8_t packet[100];
    make_rtp(packet, 1, 1, sizeof packet);
    assert_true(peer_send_rtp(pair.a.peer, packet, sizeof packet) < 0);
    pair_close(&pair);
    dtls_identity_free(&other);
}

static bool b_ended(struct pair *pair) { return pair->b.ended; }

static void closing_is_noticed_at_once(void **state)
{
    (void)state;
    struct pair pair = {0};
    pair_open(&pair, NULL);
    pair_connect(&pair);
    int64_t start_us = clock_now_us();
    peer_close(pair.a.peer);
    assert_true(pair_run(&pair, b_ended, 5));
    assert_int_equal(pair.b.error, ERR_ENDED);
    assert_true(pair.b.ended_us - start_us < 2000000);
    assert_false(pair.a.ended); /* no callback after peer_close */
    assert_false(peer_connected(pair.a.peer));
    assert_false(peer_connected(pair.b.peer));
    assert_true(peer_gather(pair.a.peer) < 0);
    pair_close(&pair);
}

static void close_in_callback(struct end *e) { peer_close(e->peer); }
static void free_in_callback(struct end *e) { peer_free(&e->peer); }

static void a_callback_may_close_and_free(void **state)
{
    (void)state;
    struct pair pair = {.a.connected_hook = close_in_callback};
    pair_open(&pair, NULL);
    pair_introduce(&pair);
    assert_true(pair_run(&pair, b_ended, 20));
    assert_int_equal(pair.b.error, ERR_ENDED);
    pair_close(&pair);

    struct pair freed = {.a.connected_hook = free_in_callback, .b.ended_hook = free_in_callback};
    freed.b.connected_hook = close_in_callback;
    pair_open(&freed, NULL);
    pair_introduce(&freed);
    pair_run(&freed, both_connected, 20);
    assert_true(freed.a.connected);
    assert_null(freed.a.peer);
    pair_close(&freed);
}

static bool both_gathered_and_b_has_rtp(struct pair *pair)
{
    return both_gathered(pair) && pair->b.rtp > 0;
}

static void an_ice_restart_keeps_dtls(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, NULL);
    pair_connect(&pair);
    exchange(&pair, 0);
    char before[256], during[256], after[256], ufrag[64], new_ufrag[64], pwd[128];
    peer_describe(pair.a.peer, before, sizeof before);
    peer_local_credentials(pair.a.peer, ufrag, pwd);

    pair.a.gathered = pair.b.gathered = false;
    assert_int_equal(peer_restart_ice(pair.a.peer), 0);
    assert_int_equal(peer_restart_ice(pair.b.peer), 0);
    peer_local_credentials(pair.a.peer, new_ufrag, pwd);
    assert_string_not_equal(ufrag, new_ufrag);
    /* Packets go on over the old path meanwhile. */
    exchange(&pair, 100);
    peer_describe(pair.a.peer, during, sizeof during);
    assert_string_equal(before, during);
    pair.b.rtp = 1;
    pair.trickle = TRICKLE;
    assert_int_equal(peer_gather(pair.a.peer), 0);
    assert_int_equal(peer_gather(pair.b.peer), 0);
    assert_true(pair_run(&pair, both_gathered_and_b_has_rtp, 20));
    assert_true(peer_set_remote(pair.a.peer, "abcd", "0123456789012345678901",
                                dtls_identity_fingerprint(pair.a.identity), DTLS_SERVER) < 0);
    pair_tell_credentials(&pair.a, &pair.b, NULL);
    pair_tell_credentials(&pair.b, &pair.a, NULL);
    for (int i = 0; i < 100; i++) {
        pair_run(&pair, never, 0);
        usleep(20000);
        peer_describe(pair.a.peer, after, sizeof after);
        peer_describe(pair.b.peer, during, sizeof during);
        if (strcmp(before, after) && !any_ended(&pair))
            break;
    }
    assert_string_not_equal(before, after);
    pair_run(&pair, never, 1);
    exchange(&pair, 200);
    assert_false(any_ended(&pair)); /* on_connected came once: pair_on_connected checks */
    pair_close(&pair);
}

static void bad_descriptions_are_refused(void **state)
{
    (void)state;
    struct pair pair = {0};
    pair_open(&pair, NULL);
    struct peer *p = pair.a.peer;
    const char *good = dtls_identity_fingerprint(pair.b.identity);
    const char *pwd = "0123456789012345678901";
    assert_int_equal(peer_set_remote(p, "abc", pwd, good, DTLS_SERVER), ERR_PROTOCOL);
    assert_int_equal(peer_set_remote(p, "abcd", "short", good, DTLS_SERVER), ERR_PROTOCOL);
    assert_int_equal(peer_set_remote(p, "abcd", pwd, "sha-256 AB:CD", DTLS_SERVER), ERR_PROTOCOL);
    assert_int_equal(peer_set_remote(p, "abcd", pwd, "sha-1 AB:CD", DTLS_SERVER), ERR_PROTOCOL);
    assert_int_equal(peer_set_remote(p, "abcd", pwd, "", DTLS_SERVER), ERR_PROTOCOL);
    assert_int_equal(peer_set_remote(p, "abcd", pwd, good, DTLS_UNDECIDED), ERR_INVALID);
    assert_int_equal(peer_add_remote_candidate(p, "candidate:x"), ERR_PROTOCOL);
    assert_int_equal(
        peer_add_remote_candidate(
            p, "candidate:1 1 udp 2122260223 8b6a5a4c-1f55-4e46.local 50000 typ host"),
        0);
    for (int i = 0; i < 2 * ICE_MAX_CANDIDATES; i++)
        assert_int_equal(peer_add_remote_candidate(
                             p, "a=candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host"),
                         0);
    assert_int_equal(peer_set_remote(p, "abcd", pwd, good, DTLS_SERVER), 0);
    pair_close(&pair);
}

static void the_port_range_is_obeyed(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    struct ice_config ice = {.udp_port_min = 42600, .udp_port_max = 42699};
    pair_open(&pair, &ice);
    pair_connect(&pair);
    const char *c[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(pair.a.peer, c);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        struct ice_candidate parsed;
        assert_int_equal(ice_candidate_parse(c[i], &parsed), 1);
        assert_in_range(parsed.port, 42600, 42699);
    }
    exchange(&pair, 9);
    pair_close(&pair);
}

static void nothing_is_sent_before_the_keys(void **state)
{
    (void)state;
    struct pair pair = {0};
    pair_open(&pair, NULL);
    uint8_t packet[100];
    make_rtp(packet, 1, 1, sizeof packet);
    assert_true(peer_send_rtp(pair.a.peer, packet, sizeof packet) < 0);
    struct peer_stats stats;
    peer_get_stats(pair.a.peer, &stats);
    assert_int_equal(stats.send_failed, 1);
    assert_int_equal(stats.bytes_sent, 0);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_in_every_order),
        cmocka_unit_test(a_wrong_fingerprint_is_refused),
        cmocka_unit_test(closing_is_noticed_at_once),
        cmocka_unit_test(a_callback_may_close_and_free),
        cmocka_unit_test(an_ice_restart_keeps_dtls),
        cmocka_unit_test(bad_descriptions_are_refused),
        cmocka_unit_test(the_port_range_is_obeyed),
        cmocka_unit_test(nothing_is_sent_before_the_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
