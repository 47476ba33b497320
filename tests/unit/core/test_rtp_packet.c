/* src/rtp/packet, rtx: headers and extensions, both ways. */
#include "test_util.h"

#include "rtp/packet.h"
#include "rtp/rtx.h"

#define HEADER "\x80\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd"

static void parse_cases(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t len;
        bool ok;
        size_t payload_len;
    } cases[] = {
        {"empty", "", 0, false, 0},
        {"header alone: a probe", HEADER, 12, true, 0},
        {"payload", HEADER "abc", 15, true, 3},
        {"version 1", "\x40\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd", 12, false, 0},
        {"a byte short", HEADER, 11, false, 0},
        {"two CSRCs", "\x82\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "11112222p", 21, true, 1},
        {"CSRC cut", "\x82\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "1111222", 19, false, 0},
        {"extension", "\x90\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd\xbe\xde\0\1\x10\xff\0\0p", 21,
         true, 1},
        {"extension cut", "\x90\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd\xbe\xde\0\2\x10\xff\0\0",
         20, false, 0},
        {"extension header cut", "\x90\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd\xbe\xde\0", 15,
         false, 0},
        {"padding", "\xa0\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "p\0\0\3", 16, true, 1},
        {"all padding", "\xa0\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "\0\0\0\4", 16, true, 0},
        {"padding of 0", "\xa0\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "p\0\0\0", 16, false, 0},
        {"too much padding", "\xa0\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd" "p\0\0\5", 16, false, 0},
        {"padding without a byte", "\xa0\x31\x12\x34\x01\x02\x03\x04\xaa\xbb\xcc\xdd", 12, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *data = exact_copy(cases[i].bytes, cases[i].len);
        struct rtp_view v;
        if (rtp_parse(data, cases[i].len, &v) != cases[i].ok)
            fail_msg("%s", cases[i].name);
        if (cases[i].ok) {
            assert_int_equal(v.pt, 0x31);
            assert_false(v.marker);
            assert_int_equal(v.seq, 0x1234);
            assert_int_equal(v.ts, 0x01020304);
            assert_int_equal(v.ssrc, 0xaabbccdd);
            if (v.payload_len != cases[i].payload_len)
                fail_msg("%s: payload of %zu", cases[i].name, v.payload_len);
        }
        free(data);
    }
}

static void extension_cases(void **state)
{
    (void)state;
    /* RFC 8285: section 4.2 one-byte, 4.3 two-byte; padding anywhere, 15 stops, cut ones end. */
    static const struct {
        uint16_t profile;
        const char *bytes;
        size_t len;
        int n;
        uint8_t id[3];
        size_t ext_len[3];
    } cases[] = {
        {0xbede, "", 0, 0, {0}, {0}},
        {0xbede, "\0\0\0\0", 4, 0, {0}, {0}},
        {0xbede, "\x10\xaa\0\x21\xbb\xcc\0\0", 8, 2, {1, 2}, {1, 2}},
        {0xbede, "\x10\xaa\xf0\x21\xbb\xcc\0\0", 8, 1, {1}, {1}},
        {0xbede, "\x10\xaa\x35\1", 4, 1, {1}, {1}},          /* says 6, has 1 */
        {0xbede, "\x01\xaa\xaa\x20\xbb\0\0\0", 8, 1, {2}, {1}}, /* id 0 with a length: skipped */
        {0x1000, "\1\0\x20\3abc\0\0\0\xff", 11, 2, {1, 32}, {0, 3}}, /* last: id without length */
        {0x1005, "\1\1x\0", 4, 1, {1}, {1}},                 /* any appbits */
        {0x1000, "\1\4abc\0", 6, 1, {1}, {4}},
        {0x1000, "\1\5abc\0", 6, 0, {0}, {0}},
        {0x2000, "\1\1x\0", 4, 0, {0}, {0}},                 /* another profile: ignored */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *data = exact_copy(cases[i].bytes, cases[i].len);
        struct rtp_view v = {.ext_profile = cases[i].profile, .ext = data, .ext_len = cases[i].len};
        struct rtp_ext e;
        size_t pos = 0;
        int n = 0;
        while (rtp_ext_next(&v, &pos, &e)) {
            assert_true(n < cases[i].n);
            assert_int_equal(e.id, cases[i].id[n]);
            assert_int_equal(e.len, cases[i].ext_len[n]);
            n++;
        }
        if (n != cases[i].n)
            fail_msg("case %zu: %d elements", i, n);
        assert_false(rtp_ext_find(&v, 0, &e));
        free(data);
    }
}

static void written_extensions_are_read(void **state)
{
    (void)state;
    static const uint8_t ids[][3] = {{1, 2, 14}, {1, 15, 3}, {1, 200, 3}, {0, 5, 0}, {0, 0, 0}};
    static const size_t lens[3] = {1, 16, 3};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct rtp_ext_layout l;
        rtp_ext_layout_init(&l);
        for (int k = 0; k < 3; k++)
            rtp_ext_layout_add(&l, ids[i][k], lens[k]);
        assert_int_equal(l.header_len % 4, 0);
        uint8_t *p = malloc(l.header_len + 1);
        rtp_write_header(p, &l, 49, true, 65535, 0xdeadbeef, 7);
        p[l.header_len] = 'x';
        for (int k = 0; k < 3; k++)
            if (ids[i][k])
                memset(rtp_ext_value(&l, p, ids[i][k]), 'a' + k, lens[k]);
        struct rtp_view v;
        assert_true(rtp_parse(p, l.header_len + 1, &v));
        assert_true(v.marker);
        assert_int_equal(v.pt, 49);
        assert_int_equal(v.seq, 65535);
        assert_int_equal(v.ts, 0xdeadbeef);
        assert_int_equal(v.payload_len, 1);
        for (int k = 0; k < 3; k++) {
            struct rtp_ext e;
            assert_int_equal(rtp_ext_find(&v, ids[i][k], &e), ids[i][k] != 0);
            if (ids[i][k]) {
                assert_int_equal(e.len, lens[k]);
                assert_int_equal(e.data[0], 'a' + k);
                assert_int_equal(e.data[e.len - 1], 'a' + k);
            }
        }
        assert_null(rtp_ext_value(&l, p, 0));
        assert_null(rtp_ext_value(&l, p, 99));
        free(p);
    }
}

static void layout_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct rtp_ext_layout l;
    rtp_ext_layout_init(&l);
    assert_int_equal(l.header_len, 12);
    rtp_ext_layout_add(&l, 1, 0);
    rtp_ext_layout_add(&l, 1, 17);
    assert_int_equal(l.n, 0);
    for (int i = 0; i < 20; i++)
        rtp_ext_layout_add(&l, (uint8_t)(i + 1), 16);
    assert_int_equal(l.n, RTP_MAX_EXTENSIONS);
}

static void send_time(void **state)
{
    (void)state;
    assert_int_equal(abs_send_time(0), 0);
    assert_int_equal(abs_send_time(1000000), 1 << 18);
    assert_int_equal(abs_send_time(500000), 1 << 17);
    assert_int_equal(abs_send_time(64000000), 0); /* wraps at 64 s */
    assert_int_equal(abs_send_time(63999999), 0xffffff);
    assert_int_equal(abs_send_time(INT64_MAX / 2), abs_send_time(INT64_MAX / 2 % 64000000));
}

static void rtx(void **state)
{
    (void)state;
    static const uint8_t payload[] = {0x12, 0x34, 0xaa};
    struct rtp_view v = {.pt = 50, .ssrc = 2, .seq = 9, .payload = payload, .payload_len = 3};
    assert_true(rtx_unwrap(&v, 49, 1));
    assert_int_equal(v.seq, 0x1234);
    assert_int_equal(v.pt, 49);
    assert_int_equal(v.ssrc, 1);
    assert_int_equal(v.payload_len, 1);
    assert_int_equal(v.payload[0], 0xaa);
    for (size_t len = 0; len < 2; len++) {
        v = (struct rtp_view){.payload = payload, .payload_len = len};
        assert_false(rtx_unwrap(&v, 49, 1));
    }
    /* The original was empty: legal, RFC 4588 section 4. */
    v = (struct rtp_view){.payload = payload, .payload_len = 2};
    assert_true(rtx_unwrap(&v, 49, 1));
    assert_int_equal(v.payload_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_cases),
        cmocka_unit_test(extension_cases),
        cmocka_unit_test(written_extensions_are_read),
        cmocka_unit_test(layout_refuses_what_does_not_fit),
        cmocka_unit_test(send_time),
        cmocka_unit_test(rtx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
