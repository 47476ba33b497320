/* transport/srtp: round trips, tampering, replays, repetitions, and one vector. */
#include "base/bytes.h"
#include "base/error.h"
#include "transport/srtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const enum srtp_suite suites[] = {SRTP_SUITE_GCM_128, SRTP_SUITE_CM_SHA1_80};

struct link {
    struct srtp_link *a, *b;
};

static struct link open_link(enum srtp_suite suite)
{
    struct srtp_keys a = {.suite = suite}, b = {.suite = suite};
    struct link l;
    for (int i = 0; i < SRTP_MAX_KEY; i++) {
        a.local[i] = b.remote[i] = (uint8_t)(i + 1);
        a.remote[i] = b.local[i] = (uint8_t)(200 - i);
    }
    assert_int_equal(srtp_link_new(&l.a, &a), 0);
    assert_int_equal(srtp_link_new(&l.b, &b), 0);
    return l;
}

static void close_link(struct link *l)
{
    srtp_link_free(&l->a);
    srtp_link_free(&l->b);
    assert_null(l->a);
}

static size_t packet(uint8_t *out, uint16_t seq, uint32_t ssrc, size_t len)
{
    memset(out, seq * 7, len);
    out[0] = 0x80;
    out[1] = 96;
    wr_be16(out + 2, seq);
    wr_be32(out + 4, 3000u * seq);
    wr_be32(out + 8, ssrc);
    return len;
}

static size_t report(uint8_t *out, uint32_t ssrc)
{
    memset(out, 0, 32);
    out[0] = 0x80;
    out[1] = 201;
    out[3] = 1;
    wr_be32(out + 4, ssrc);
    return 8;
}

static void round_trips(void **state)
{
    (void)state;
    for (int s = 0; s < 2; s++) {
        struct link l = open_link(suites[s]);
        uint8_t plain[1300], wire[1300];
        for (uint32_t i = 0; i < 200000; i += i < 2000 ? 1 : 500) { /* over some wraps */
            size_t len = 12 + i % 1189;
            packet(plain, (uint16_t)i, 0xabcdef01, len);
            memcpy(wire, plain, len);
            int n = srtp_link_protect_rtp(l.a, wire, len);
            assert_int_equal(n, len + (suites[s] == SRTP_SUITE_GCM_128 ? 16 : 10));
            assert_memory_equal(wire, plain, 12); /* the header stays readable */
            if (len >= 40)
                assert_memory_not_equal(wire + 12, plain + 12, len - 12);
            assert_int_equal(srtp_link_unprotect_rtp(l.b, wire, (size_t)n), len);
            assert_memory_equal(wire, plain, len);
        }
        for (int i = 0; i < 100; i++) {
            size_t len = report(plain, 5);
            memcpy(wire, plain, len);
            int n = srtp_link_protect_rtcp(l.b, wire, len);
            assert_true(n > (int)len && n <= (int)len + SRTP_MAX_OVERHEAD);
            assert_int_equal(srtp_link_unprotect_rtcp(l.a, wire, (size_t)n), len);
            assert_memory_equal(wire, plain, len);
        }
        close_link(&l);
    }
}

static void every_changed_bit_is_noticed(void **state)
{
    (void)state;
    for (int s = 0; s < 2; s++) {
        struct link l = open_link(suites[s]);
        uint8_t plain[80], wire[128], changed[128];
        size_t len = packet(plain, 77, 9, 60);
        memcpy(wire, plain, len);
        int n = srtp_link_protect_rtp(l.a, wire, len);
        for (int bit = 0; bit < n * 8; bit++) {
            memcpy(changed, wire, (size_t)n);
            changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(srtp_link_unprotect_rtp(l.b, changed, (size_t)n), ERR_PROTOCOL);
        }
        for (int cut = 0; cut < n; cut++) {
            memcpy(changed, wire, (size_t)n);
            assert_int_equal(srtp_link_unprotect_rtp(l.b, changed, (size_t)cut), ERR_PROTOCOL);
        }
        assert_int_equal(srtp_link_unprotect_rtp(l.b, wire, (size_t)n), len); /* still good */
        len = report(wire, 4);
        n = srtp_link_protect_rtcp(l.a, wire, len);
        for (int bit = 0; bit < n * 8; bit++) {
            memcpy(changed, wire, (size_t)n);
            changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(srtp_link_unprotect_rtcp(l.b, changed, (size_t)n), ERR_PROTOCOL);
        }
        close_link(&l);
    }
}

static void replays_are_dropped(void **state)
{
    (void)state;
    struct link l = open_link(SRTP_SUITE_GCM_128);
    uint8_t wire[1100][64], copy[64];
    int n = 0;
    for (int i = 0; i < 1100; i++) {
        packet(wire[i], (uint16_t)(1000 + i), 1, 40);
        n = srtp_link_protect_rtp(l.a, wire[i], 40);
        assert_int_equal(n, 56);
    }
    /* the newest first, then backward: 1024 are within the window */
    for (int i = 1099; i >= 0; i--) {
        memcpy(copy, wire[i], 64);
        assert_int_equal(srtp_link_unprotect_rtp(l.b, copy, 56),
                         1099 - i < 1024 ? 40 : ERR_PROTOCOL);
        memcpy(copy, wire[i], 64);
        assert_int_equal(srtp_link_unprotect_rtp(l.b, copy, 56), ERR_PROTOCOL);
    }
    close_link(&l);
}

/* The same bytes give the same datagram; others under the same number never leave. */
static void a_nonce_is_never_reused(void **state)
{
    (void)state;
    struct link l = open_link(SRTP_SUITE_GCM_128);
    uint8_t first[64], again[64];
    for (uint32_t i = 0; i < 70000; i++) {
        packet(first, (uint16_t)i, 1, 40);
        assert_int_equal(srtp_link_protect_rtp(l.a, first, 40), 56);
        if (i % 397 || i < 8192)
            continue;
        for (int back = 0; back < 8192; back += 341) {
            packet(again, (uint16_t)(i - back), 1, 40);
            assert_int_equal(srtp_link_protect_rtp(l.a, again, 40), 56);
            if (back == 0)
                assert_memory_equal(first, again, 56);
            packet(again, (uint16_t)(i - back), 1, 40);
            again[20] ^= 1;
            assert_int_equal(srtp_link_protect_rtp(l.a, again, 40), ERR_INVALID);
            packet(again, (uint16_t)(i - back), 1, 41);
            assert_int_equal(srtp_link_protect_rtp(l.a, again, 41), ERR_INVALID);
        }
        packet(again, (uint16_t)(i - 8192), 1, 40);
        assert_int_equal(srtp_link_protect_rtp(l.a, again, 40), ERR_INVALID);
    }
    close_link(&l);
}

/* Numbers of other SSRCs do not count, and late first sends are fine. */
static void ssrcs_and_order(void **state)
{
    (void)state;
    struct link l = open_link(SRTP_SUITE_GCM_128);
    uint8_t wire[64];
    static const uint16_t order[] = {10, 14, 12, 11, 13, 15};
    for (uint32_t ssrc = 1; ssrc <= SRTP_MAX_SSRCS_OUT; ssrc++) {
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
            packet(wire, order[i], ssrc, 40);
            wire[30] = (uint8_t)ssrc;
            int n = srtp_link_protect_rtp(l.a, wire, 40);
            assert_int_equal(n, 56);
            assert_int_equal(srtp_link_unprotect_rtp(l.b, wire, (size_t)n), 40);
        }
    }
    packet(wire, 1, 99, 40);
    assert_int_equal(srtp_link_protect_rtp(l.a, wire, 40), ERR_INVALID);
    assert_int_equal(srtp_link_protect_rtp(l.a, wire, 11), ERR_INVALID);
    assert_int_equal(srtp_link_protect_rtp(l.a, wire, SRTP_MAX_PACKET + 1), ERR_INVALID);
    close_link(&l);
}

/* A peer that holds the keys must not make us keep a stream for each of 2^32 SSRCs. */
static void incoming_ssrcs_are_bounded(void **state)
{
    (void)state;
    struct link to = open_link(SRTP_SUITE_GCM_128);
    uint8_t wire[64];
    for (uint32_t ssrc = 1; ssrc <= 100; ssrc++) {
        struct link from = open_link(SRTP_SUITE_GCM_128);
        packet(wire, 5, ssrc, 40);
        int n = srtp_link_protect_rtp(from.a, wire, 40);
        assert_int_equal(srtp_link_unprotect_rtp(to.b, wire, (size_t)n),
                         ssrc <= SRTP_MAX_SSRCS_IN ? 40 : ERR_PROTOCOL);
        close_link(&from);
    }
    close_link(&to);
}

/* The master key and salt of RFC 3711 appendix B.3, which gives the session key and salt that
 * follow from them: C61E7A93744F39EE10734AFE3FF7A087 and 30CBBC08863D8C85D49DB34A9AE1. Zeros in a
 * packet of SSRC 0 and index 0 become the key stream: `openssl enc -aes-128-ctr` of zeros under
 * that key, with the salt and two zero bytes for its -iv (section 4.1.1). */
static void a_vector_of_rfc_3711(void **state)
{
    (void)state;
    static const uint8_t master[30] = {0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F,
                                       0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39, 0x0E, 0xC6, 0x75, 0xAD,
                                       0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6};
    struct srtp_keys keys = {.suite = SRTP_SUITE_CM_SHA1_80};
    memcpy(keys.local, master, 30);
    struct srtp_link *l;
    assert_int_equal(srtp_link_new(&l, &keys), 0);
    uint8_t wire[64] = {0x80, 96};
    assert_int_equal(srtp_link_protect_rtp(l, wire, 28), 38);
    static const uint8_t expected[16] = {0xfa, 0x63, 0xbc, 0x46, 0x68, 0x68, 0x5b, 0x65, 0xf8, 0xfa, 0x1c, 0xe3, 0x90, 0x9c, 0xea, 0xd5};
    assert_memory_equal(wire + 12, expected, 16); /* of zeros: the key stream itself */
    srtp_link_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(replays_are_dropped),
        cmocka_unit_test(a_nonce_is_never_reused),
        cmocka_unit_test(ssrcs_and_order),
        cmocka_unit_test(incoming_ssrcs_are_bounded),
        cmocka_unit_test(a_vector_of_rfc_3711),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
