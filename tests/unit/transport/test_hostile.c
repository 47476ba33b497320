/* A peer whose other side is put together by hand from ICE, DTLS and SRTP, so that it can send
 * what no peer sends. */
#include "pair.h"
#include "transport/dtls.h"
#include "transport/srtp.h"

struct hand {
    struct pair pair; /* only a is a peer */
    struct ice *ice;
    struct dtls *dtls;
    struct srtp_link *srtp;
    struct dtls_identity *identity;
    bool ice_connected;
    bool hold_dtls; /* the client does not begin on its own */
};

static void hand_candidate(void *ctx, const char *candidate)
{
    struct hand *h = ctx;
    assert_int_equal(peer_add_remote_candidate(h->pair.a.peer, candidate), 0);
}
static void hand_gathered(void *ctx) { (void)ctx; }

static void hand_dtls_send(void *ctx, const uint8_t *data, size_t len)
{
    struct hand *h = ctx;
    h->ice->ops->send(h->ice, data, len);
}

static void hand_state(void *ctx, int state)
{
    struct hand *h = ctx;
    if (state != ICE_CONNECTED)
        return;
    h->ice_connected = true;
    if (!h->hold_dtls)
        dtls_start(h->dtls);
}

static void hand_packet(void *ctx, uint8_t *data, size_t len)
{
    struct hand *h = ctx;
    if (data[0] < 20 || data[0] > 63)
        return;
    if (dtls_feed(h->dtls, data, len) == DTLS_OPEN && !h->srtp) {
        struct srtp_keys keys;
        assert_int_equal(dtls_export_srtp(h->dtls, &keys), 0);
        assert_int_equal(srtp_link_new(&h->srtp, &keys), 0);
    }
}

static void hand_open(struct hand *h)
{
    struct pair *pair = &h->pair;
    pair->loop = loop_new();
    pair->poll = loop_timer_new(pair->loop, pair_poll, pair);
    pair->watchdog = loop_timer_new(pair->loop, pair_watchdog, pair);
    pair->trickle = CANDIDATES_LAST; /* a's candidates are told below */
    pair_open_end(pair, &pair->a, &pair->b, NULL, true);
    h->identity = dtls_identity_new();
    struct ice_config ice = {
        .loop = pair->loop,
        .on_candidate = hand_candidate,
        .on_gathered = hand_gathered,
        .on_state = hand_state,
        .on_packet = hand_packet,
        .ctx = h,
    };
    assert_int_equal(ice_nice.open(&h->ice, &ice), 0);
    struct dtls_config dtls = {
        .identity = h->identity,
        .role = DTLS_CLIENT,
        .fingerprint = dtls_identity_fingerprint(pair->a.identity),
        .send = hand_dtls_send,
        .ctx = h,
    };
    assert_int_equal(dtls_new(&h->dtls, &dtls), 0);
}

static void hand_introduce(struct hand *h, bool tell_a)
{
    struct peer *a = h->pair.a.peer;
    char ufrag[64], pwd[128];
    peer_local_credentials(a, ufrag, pwd);
    assert_int_equal(ice_nice.set_remote_credentials(h->ice, ufrag, pwd), 0);
    assert_int_equal(peer_gather(a), 0);
    const char *c[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(a, c);
    assert_true(n > 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(ice_nice.add_remote_candidate(h->ice, c[i]), 0);
    if (tell_a) {
        ice_nice.local_credentials(h->ice, ufrag, pwd);
        assert_int_equal(peer_set_remote(a, ufrag, pwd, dtls_identity_fingerprint(h->identity),
                                         DTLS_SERVER),
                         0);
    }
    assert_int_equal(ice_nice.gather(h->ice), 0);
}

static void hand_close(struct hand *h)
{
    struct pair *pair = &h->pair;
    ice_nice.close(h->ice);
    dtls_free(&h->dtls);
    srtp_link_free(&h->srtp);
    dtls_identity_free(&h->identity);
    peer_free(&pair->a.peer);
    dtls_identity_free(&pair->a.identity);
    loop_timer_free(&pair->poll);
    loop_timer_free(&pair->watchdog);
    loop_free(&pair->loop);
}

static void hand_send(struct hand *h, const void *data, size_t len)
{
    assert_true(h->ice->ops->send(h->ice, data, len) > 0);
}

static struct hand *hand_of(struct pair *pair) { return (struct hand *)pair; }
static bool hand_ice_connected(struct pair *pair) { return hand_of(pair)->ice_connected; }
static bool hand_connected(struct pair *pair)
{
    return pair->a.connected && hand_of(pair)->srtp != NULL;
}

/* The peer has all that was sent before: an RTCP packet (or, before the keys, any of them, which
 * is counted) comes last. */
static bool a_has_rtcp(struct pair *pair) { return pair->a.rtcp > 0; }

static void fence(struct hand *h)
{
    uint8_t packet[64];
    size_t len = make_rtcp(packet, 3);
    h->pair.a.rtcp = 0;
    int n = srtp_link_protect_rtcp(h->srtp, packet, len);
    hand_send(h, packet, (size_t)n);
    assert_true(pair_run(&h->pair, a_has_rtcp, 10));
}

static bool a_counted_20(struct pair *pair)
{
    struct peer_stats stats;
    peer_get_stats(pair->a.peer, &stats);
    return stats.packets_before_keys >= 20;
}

static void rtp_before_the_keys_is_counted(void **state)
{
    (void)state;
    struct hand h = {.hold_dtls = true};
    hand_open(&h);
    hand_introduce(&h, true);
    assert_true(pair_run(&h.pair, hand_ice_connected, 20));
    uint8_t packet[PAIR_PACKET + 64];
    for (int i = 0; i < 10; i++) {
        make_rtp(packet, (uint16_t)i, 1, PAIR_PACKET);
        hand_send(&h, packet, PAIR_PACKET);
        hand_send(&h, packet, make_rtcp(packet, 1));
    }
    assert_true(pair_run(&h.pair, a_counted_20, 10));
    assert_int_equal(h.pair.a.rtp + h.pair.a.rtcp, 0);
    dtls_start(h.dtls); /* and it goes on as if nothing had been */
    assert_true(pair_run(&h.pair, hand_connected, 10));
    struct peer_stats stats;
    peer_get_stats(h.pair.a.peer, &stats);
    assert_int_equal(stats.packets_before_keys, 20);
    assert_int_equal(stats.srtp_failed, 0);
    hand_close(&h);
}

static void garbage_of_every_class_is_dropped(void **state)
{
    (void)state;
    struct hand h = {0};
    hand_open(&h);
    hand_introduce(&h, true);
    assert_true(pair_run(&h.pair, hand_connected, 20));
    uint8_t packet[PAIR_PACKET + 64];
    srandom(5);
    for (int first = 0; first < 256; first++) {
        for (int i = 0; i < 8; i++) {
            size_t len = i < 3 ? (size_t)i + 1 : 4 + (size_t)random() % 1200;
            for (size_t j = 0; j < len; j++)
                packet[j] = (uint8_t)random();
            packet[0] = (uint8_t)first;
            hand_send(&h, packet, len);
        }
        if (first % 16 == 15)
            fence(&h); /* the socket's buffer is not to overflow */
    }
    struct peer_stats stats;
    peer_get_stats(h.pair.a.peer, &stats);
    assert_int_equal(h.pair.a.rtp, 0);
    assert_false(h.pair.a.ended);
    /* 80..127 and 192..255 and what is short are of no class; 128..191 fail to authenticate */
    assert_true(stats.unknown_packets >= 8 * (48 + 64 + 16));
    assert_true(stats.srtp_failed >= 4 * 64);
    assert_int_equal(stats.packets_before_keys, 0);
    print_message("unknown %lld, failed %lld\n", (long long)stats.unknown_packets,
                  (long long)stats.srtp_failed);
    hand_close(&h);
}

static void tampered_and_repeated_packets_fail(void **state)
{
    (void)state;
    struct hand h = {0};
    hand_open(&h);
    hand_introduce(&h, true);
    assert_true(pair_run(&h.pair, hand_connected, 20));
    uint8_t packet[PAIR_PACKET + SRTP_MAX_OVERHEAD];
    make_rtp(packet, 1, 1, PAIR_PACKET);
    int n = srtp_link_protect_rtp(h.srtp, packet, PAIR_PACKET);
    packet[100] ^= 4;
    hand_send(&h, packet, (size_t)n); /* changed */
    hand_send(&h, packet, 40);        /* cut */
    packet[100] ^= 4;
    hand_send(&h, packet, (size_t)n); /* as it was */
    hand_send(&h, packet, (size_t)n); /* again */
    fence(&h);
    struct peer_stats stats;
    peer_get_stats(h.pair.a.peer, &stats);
    assert_int_equal(h.pair.a.rtp, 1);
    assert_int_equal(stats.srtp_failed, 3);
    hand_close(&h);
}

static bool a_connected(struct pair *pair) { return pair->a.connected; }

/* The answer takes its time: checks, and what else the other side sends, come long before it. */
static void a_late_description_does_no_harm(void **state)
{
    (void)state;
    struct hand h = {0};
    hand_open(&h);
    hand_introduce(&h, false);
    pair_run(&h.pair, never, 1);
    assert_false(h.pair.a.connected);
    char ufrag[64], pwd[128];
    ice_nice.local_credentials(h.ice, ufrag, pwd);
    assert_int_equal(peer_set_remote(h.pair.a.peer, ufrag, pwd,
                                     dtls_identity_fingerprint(h.identity), DTLS_SERVER),
                     0);
    assert_true(pair_run(&h.pair, a_connected, 10));
    hand_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtp_before_the_keys_is_counted),
        cmocka_unit_test(garbage_of_every_class_is_dropped),
        cmocka_unit_test(tampered_and_repeated_packets_fail),
        cmocka_unit_test(a_late_description_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
