/* transport/srtp_gcm and srtp_index: the vectors of RFC 7714, libsrtp on the other side with equal bytes, and
 * what the index and the replay window do around a wrap. */
#include "base/bytes.h"
#include "base/error.h"
#include "transport/srtp.h"
#include "transport/srtp_gcm.h"
#include "transport/srtp_index.h"

#include <setjmp.h>
#include <srtp2/srtp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SSRC = 0x1234abcd, LEN = 60, SEALED = LEN + SRTP_GCM_TAG };

/* --- RFC 7714 sections 16 and 17: session keys are given --- */

static const struct srtp_gcm_keys rfc_keys = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {'Q', 'u', 'i', 'd', ' ', 'p', 'r', 'o', ' ', 'q', 'u', 'o'}};

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;
    for (unsigned v; sscanf(text, "%2x", &v) == 1; text += 2)
        out[n++] = (uint8_t)v;
    return n;
}

static void vectors_of_rfc_7714(void **state)
{
    (void)state;
    static const char *rtp[] = {
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"};
    static const char *rtcp[] = {
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b"
        "c84aa45896cf4d2fc5abf87245d9eade800005d4"};
    struct srtp_gcm *g;
    uint8_t plain[128], sealed[128], data[128];
    assert_int_equal(srtp_gcm_new(&g, &rfc_keys, &rfc_keys), 0);
    for (int i = 0; i < 3; i++) { /* one context for many packets */
        size_t len = unhex(rtp[0], plain), n = unhex(rtp[1], sealed);
        memcpy(data, plain, len);
        assert_int_equal(srtp_gcm_seal_rtp(g, data, len, 0xf17b), n);
        assert_memory_equal(data, sealed, n);
        assert_int_equal(srtp_gcm_open_rtp(g, data, n, 0xf17b), len);
        assert_memory_equal(data, plain, len);

        len = unhex(rtcp[0], plain), n = unhex(rtcp[1], sealed);
        memcpy(data, plain, len);
        assert_int_equal(srtp_gcm_seal_rtcp(g, data, len, 0x5d4), n);
        assert_memory_equal(data, sealed, n);
        assert_int_equal(srtp_gcm_rtcp_index(data, n), 0x5d4);
        assert_int_equal(srtp_gcm_open_rtcp(g, data, n), len);
        assert_memory_equal(data, plain, len);
    }
    srtp_gcm_free(&g);
    assert_null(g);
}

static void keys_wear_out(void **state)
{
    (void)state;
    struct srtp_gcm *g;
    uint8_t data[128] = {0x80, 96};
    assert_int_equal(srtp_gcm_new(&g, &rfc_keys, &rfc_keys), 0);
    assert_int_equal(srtp_gcm_seal_rtp(g, data, 40, SRTP_INDEX_LIMIT - 1), 56);
    assert_int_equal(srtp_gcm_seal_rtp(g, data, 40, SRTP_INDEX_LIMIT), ERR_INVALID);
    assert_int_equal(srtp_gcm_seal_rtcp(g, data, 40, SRTCP_INDEX_LIMIT - 1), 60);
    assert_int_equal(srtp_gcm_seal_rtcp(g, data, 40, SRTCP_INDEX_LIMIT), ERR_INVALID);
    srtp_gcm_free(&g);
}

static void malformed_packets(void **state)
{
    (void)state;
    struct srtp_gcm *g;
    uint8_t data[128] = {0x80, 96};
    assert_int_equal(srtp_rtp_header_len(data, 11), 0);
    assert_int_equal(srtp_rtp_header_len(data, 12), 12);
    data[0] = 0x8f; /* 15 CSRCs */
    assert_int_equal(srtp_rtp_header_len(data, 71), 0);
    assert_int_equal(srtp_rtp_header_len(data, 72), 72);
    data[0] = 0x90; /* an extension of two words */
    data[15] = 2;
    assert_int_equal(srtp_rtp_header_len(data, 15), 0);
    assert_int_equal(srtp_rtp_header_len(data, 23), 0);
    assert_int_equal(srtp_rtp_header_len(data, 24), 24);
    data[14] = 255;
    assert_int_equal(srtp_rtp_header_len(data, sizeof data), 0);
    data[0] = 0x40;
    assert_int_equal(srtp_rtp_header_len(data, sizeof data), 0);
    assert_int_equal(srtp_gcm_new(&g, &rfc_keys, &rfc_keys), 0);
    assert_int_equal(srtp_gcm_seal_rtp(g, data, 40, 1), ERR_INVALID);
    data[0] = 0x90; /* the header would reach into the tag */
    data[14] = 0;
    data[15] = 2;
    assert_int_equal(srtp_gcm_open_rtp(g, data, 39, 1), ERR_PROTOCOL);
    /* Without the E bit: RFC 7714 section 17.3's packet is authentic, and not what was agreed on. */
    size_t n = unhex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                     "deadbeef841dd9683dd78ec92ae58790125f62b3000005d4", data);
    assert_int_equal(srtp_gcm_open_rtcp(g, data, n), ERR_PROTOCOL);
    srtp_gcm_free(&g);
}

/* --- libsrtp on the other side --- */

static struct srtp_keys master(void)
{
    struct srtp_keys k = {.suite = SRTP_SUITE_GCM_128};
    for (int i = 0; i < 28; i++) {
        k.local[i] = (uint8_t)(i * 37 + 11);
        k.remote[i] = (uint8_t)(i * 91 + 5);
    }
    return k;
}

static srtp_t other(const uint8_t *key, srtp_ssrc_type_t type)
{
    srtp_policy_t policy = {.ssrc.type = type, .key = (uint8_t *)key, .window_size = 1024,
                            .allow_repeat_tx = 1};
    srtp_t out;
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    assert_int_equal(srtp_library_init(), 0);
    assert_int_equal(srtp_create(&out, &policy), srtp_err_status_ok);
    return out;
}

/* Ours, one that seals like ours, and libsrtp at the other end. */
struct both {
    struct srtp_keys keys;
    struct srtp_link *l;
    srtp_t to, like, from;
};

static void open_both(struct both *b)
{
    b->keys = master();
    b->to = other(b->keys.local, ssrc_any_inbound);
    b->like = other(b->keys.local, ssrc_any_outbound);
    b->from = other(b->keys.remote, ssrc_any_outbound);
    assert_int_equal(srtp_link_new(&b->l, &b->keys), 0);
}

static void close_both(struct both *b)
{
    srtp_dealloc(b->to);
    srtp_dealloc(b->like);
    srtp_dealloc(b->from);
    srtp_link_free(&b->l);
}

/* Headers of all shapes: CSRCs, extensions, no payload. */
static size_t shaped(uint8_t *out, uint16_t seq, uint32_t ssrc, uint32_t shape)
{
    size_t csrcs = shape % 5 == 1 ? 3 : 0, words = shape % 3 == 1 ? 2 : 0;
    size_t header = 12 + 4 * csrcs + (words ? 4 + 4 * words : 0);
    size_t len = header + (shape * 131) % 1170;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + seq);
    out[0] = (uint8_t)(0x80 | (words ? 0x10 : 0) | csrcs);
    out[1] = 96;
    wr_be16(out + 2, seq);
    wr_be32(out + 8, ssrc);
    if (words) {
        wr_be16(out + 12 + 4 * csrcs, 0xbede);
        wr_be16(out + 14 + 4 * csrcs, (uint16_t)words);
    }
    return len;
}

static void libsrtp_agrees_on_rtp(void **state)
{
    (void)state;
    struct both b;
    open_both(&b);
    uint8_t plain[1400], ours[1400], theirs[1400];
    for (uint32_t i = 65000; i < 300000; i += i % 65536 > 65400 || i % 65536 < 200 ? 1 : 389) {
        for (uint32_t ssrc = SSRC; ssrc < SSRC + 3; ssrc++) { /* media, RTX, FEC */
            size_t len = shaped(plain, (uint16_t)(i + ssrc), ssrc, i);
            memcpy(ours, plain, len);
            memcpy(theirs, plain, len);
            int n = srtp_link_protect_rtp(b.l, ours, len), m = (int)len;
            assert_int_equal(srtp_protect(b.like, theirs, &m), srtp_err_status_ok);
            assert_int_equal(n, m);
            assert_memory_equal(ours, theirs, (size_t)n);
            assert_int_equal(srtp_unprotect(b.to, ours, &m), srtp_err_status_ok);
            assert_int_equal(m, len);
            assert_memory_equal(ours, plain, len);

            memcpy(theirs, plain, len);
            m = (int)len;
            assert_int_equal(srtp_protect(b.from, theirs, &m), srtp_err_status_ok);
            assert_int_equal(srtp_link_unprotect_rtp(b.l, theirs, (size_t)m), len);
            assert_memory_equal(theirs, plain, len);
        }
    }
    close_both(&b);
}

static void libsrtp_agrees_on_rtcp(void **state)
{
    (void)state;
    struct both b;
    open_both(&b);
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t plain[700], ours[700], theirs[700];
        size_t len = 8 + 4 * (i % 150);
        for (size_t k = 0; k < len; k++)
            plain[k] = (uint8_t)(k + i);
        plain[0] = 0x81;
        plain[1] = 200;
        wr_be32(plain + 4, SSRC + i % 4);
        memcpy(ours, plain, len);
        memcpy(theirs, plain, len);
        int n = srtp_link_protect_rtcp(b.l, ours, len), m = (int)len;
        assert_int_equal(srtp_protect_rtcp(b.like, theirs, &m), srtp_err_status_ok);
        assert_int_equal(n, m);
        assert_memory_equal(ours, theirs, (size_t)n);
        assert_int_equal(srtp_unprotect_rtcp(b.to, ours, &m), srtp_err_status_ok);
        assert_int_equal(m, len);
        assert_memory_equal(ours, plain, len);

        memcpy(theirs, plain, len);
        m = (int)len;
        assert_int_equal(srtp_protect_rtcp(b.from, theirs, &m), srtp_err_status_ok);
        memcpy(ours, theirs, (size_t)m);
        assert_int_equal(srtp_link_unprotect_rtcp(b.l, theirs, (size_t)m), len);
        assert_memory_equal(theirs, plain, len);
        assert_int_equal(srtp_link_unprotect_rtcp(b.l, ours, (size_t)m), ERR_PROTOCOL); /* again */
    }
    close_both(&b);
}

/* --- the index and the window --- */

static void the_index_is_estimated(void **state)
{
    (void)state;
    static const struct {
        uint64_t newest;
        uint16_t seq;
        uint64_t index;
    } cases[] = {
        {0, 0, 0}, {0, 0x8000, 0x8000}, {0, 0xffff, 0xffff}, /* there is no lap before the first */
        {0x7fff, 0xffff, 0xffff}, {0x8000, 0, 0}, {0x8001, 0, 0x10000}, {0xffff, 0, 0x10000},
        {0xffff, 0x7ffe, 0x17ffe}, {0xffff, 0x7fff, 0x7fff}, {0x10000, 0xffff, 0xffff},
        {0x10000, 0x8001, 0x8001}, {0x10000, 0x8000, 0x18000}, {0x17fff, 0xffff, 0x1ffff},
        {0xffffffffffff, 1, 0x1000000000001}, /* above the limit */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(srtp_index_guess(cases[i].newest, cases[i].seq), cases[i].index);
    /* RFC 3711 section 3.3.1: within half a lap it is the nearest */
    for (uint64_t newest = 0x20000; newest < 0x40000; newest += 997)
        for (int64_t away = -0x7fff; away < 0x8000; away += 131) {
            uint64_t index = newest + (uint64_t)away;
            assert_int_equal(srtp_index_guess(newest, (uint16_t)index), index);
        }
}

static void the_window_knows_what_came(void **state)
{
    (void)state;
    enum { SPAN = 70000 };
    static bool came[SPAN];
    struct srtp_replay r = {0};
    uint64_t x = 1, newest = 0;
    memset(came, 0, sizeof came);
    for (int i = 0; i < 400000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint32_t random = (uint32_t)(x >> 33);
        uint64_t at = (uint64_t)i / 6; /* moves on, with jumps of up to 3000 both ways */
        uint64_t index = at + random % (i % 100 ? 700 : 3000);
        index = index > 1500 ? index - 1500 : index;
        if (index >= SPAN)
            break;
        bool fresh = !came[index] && (i == 0 || index + SRTP_WINDOW > newest);
        assert_int_equal(srtp_replay_fresh(&r, index), fresh);
        if (!fresh || random % 7 == 0)
            continue; /* or a forgery, which leaves no trace */
        srtp_replay_note(&r, index);
        came[index] = true;
        newest = index > newest ? index : newest;
    }
    assert_true(newest > 60000);
}

static void seal_one(struct srtp_link *l, uint8_t out[SEALED], uint64_t index)
{
    memset(out, (int)index, LEN);
    out[0] = 0x80;
    out[1] = 96;
    wr_be16(out + 2, (uint16_t)index);
    wr_be32(out + 8, SSRC);
    assert_int_equal(srtp_link_protect_rtp(l, out, LEN), SEALED);
}

static int open_one(struct srtp_link *l, const uint8_t sealed[SEALED])
{
    uint8_t data[SEALED];
    memcpy(data, sealed, SEALED);
    return srtp_link_unprotect_rtp(l, data, SEALED);
}

static void open_pair(struct srtp_link **a, struct srtp_link **b)
{
    struct srtp_keys keys = master(), mirrored = keys;
    memcpy(mirrored.local, keys.remote, sizeof keys.remote);
    memcpy(mirrored.remote, keys.local, sizeof keys.local);
    assert_int_equal(srtp_link_new(a, &keys), 0);
    assert_int_equal(srtp_link_new(b, &mirrored), 0);
}

/* Packets of both sides of a wrap in any order, none twice, and forgeries in between. */
static void late_packets_across_a_wrap(void **state)
{
    (void)state;
    enum { FIRST = 65000, N = 1100 };
    static uint8_t sealed[N][SEALED];
    struct srtp_link *a, *b;
    open_pair(&a, &b);
    for (uint64_t lap = 0; lap < 3; lap++) {
        uint64_t base = (lap << 16) + FIRST;
        for (uint64_t i = 0; i < N; i++)
            seal_one(a, sealed[i], base + i);
        for (int turn = 0; turn < 2; turn++)
            for (int i = 0; i < N; i++) {
                int k = i * 2 < N ? i * 2 : (i * 2 - N) | 1; /* the even ones, then the odd ones */
                bool old = k + SRTP_WINDOW <= (i * 2 < N ? k : N - 2);
                uint8_t forged[SEALED];
                memcpy(forged, sealed[k], SEALED);
                forged[SEALED - 1 - i % 48] ^= 4;
                assert_int_equal(open_one(b, forged), ERR_PROTOCOL);
                assert_int_equal(open_one(b, sealed[k]), turn || old ? ERR_PROTOCOL : LEN);
            }
        for (uint64_t i = base + N; i < base + 65536; i += 20000) { /* on to the next lap */
            seal_one(a, sealed[0], i);
            assert_int_equal(open_one(b, sealed[0]), LEN);
        }
    }
    srtp_link_free(&a);
    srtp_link_free(&b);
}

/* A forged number half a lap ahead must not move the index. */
static void forgeries_move_nothing(void **state)
{
    (void)state;
    struct srtp_link *a, *b;
    uint8_t sealed[SEALED], forged[SEALED];
    open_pair(&a, &b);
    for (uint64_t i = 100; i < 4000; i++) {
        seal_one(a, sealed, i);
        memcpy(forged, sealed, SEALED);
        for (uint32_t far = 1; far < 65536; far += 8191) {
            wr_be16(forged + 2, (uint16_t)(i + far));
            assert_int_equal(open_one(b, forged), ERR_PROTOCOL);
        }
        wr_be32(forged + 8, (uint32_t)i); /* SSRCs that nobody has take no place */
        assert_int_equal(open_one(b, forged), ERR_PROTOCOL);
        assert_int_equal(open_one(b, sealed), LEN);
    }
    srtp_link_free(&a);
    srtp_link_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_7714),
        cmocka_unit_test(keys_wear_out),
        cmocka_unit_test(malformed_packets),
        cmocka_unit_test(libsrtp_agrees_on_rtp),
        cmocka_unit_test(libsrtp_agrees_on_rtcp),
        cmocka_unit_test(the_index_is_estimated),
        cmocka_unit_test(the_window_knows_what_came),
        cmocka_unit_test(late_packets_across_a_wrap),
        cmocka_unit_test(forgeries_move_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
