/* src/rtp/rtcp: what is written is read; vectors by hand from RFC 3550, 4585, 5104, REMB. */
#include "test_util.h"

#include "rtp/rtcp.h"

static struct rtcp_packet only(const uint8_t *data, size_t len)
{
    struct byte_reader r = byte_reader_of(data, len);
    struct rtcp_packet p, more;
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_int_equal(rtcp_next(&r, &more), 0);
    return p;
}

static void sender_report_vector(void **state)
{
    (void)state;
    static const uint8_t sr[] = {
        0x81, 200, 0, 12, 0x11, 0x22, 0x33, 0x44, /* SSRC */
        0xe0, 0, 0, 1, 0x80, 0, 0, 0,             /* NTP */
        0, 1, 0x5f, 0x90, 0, 0, 0, 10, 0, 0, 4, 0,
        0xaa, 0xbb, 0xcc, 0xdd, 0x40, 0xff, 0xff, 0xff, 0, 1, 0, 5, 0, 0, 0, 9,
        0, 1, 0x80, 0, 0, 0, 0x80, 0};
    struct rtcp_packet p = only(sr, sizeof sr);
    struct rtcp_sender_info s;
    assert_true(rtcp_sender_info(&p, &s));
    assert_int_equal(s.ssrc, 0x11223344);
    assert_true(s.ntp == 0xe000000180000000u);
    assert_int_equal(ntp_mid(s.ntp), 0x00018000);
    assert_int_equal(s.rtp_ts, 90000);
    assert_int_equal(s.packets, 10);
    assert_int_equal(s.octets, 1024);
    struct rtcp_report r;
    assert_true(rtcp_report(&p, 0, &r));
    assert_int_equal(r.ssrc, 0xaabbccdd);
    assert_int_equal(r.fraction_lost, 64);
    assert_int_equal(r.cumulative_lost, -1); /* duplicates: 24 bits, signed */
    assert_int_equal(r.highest_seq, 65541);
    assert_int_equal(r.jitter, 9);
    assert_int_equal(r.lsr, 0x00018000);
    assert_int_equal(r.dlsr, 0x8000);
    assert_false(rtcp_report(&p, 1, &r));
}

static void compound_round_trip(void **state)
{
    (void)state;
    uint8_t buf[512];
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    const struct rtcp_sender_info info = {1, 0x0102030405060708, 9, 10, 11};
    const struct rtcp_report report[2] = {{5, 255, 0x7fffffff, 6, 7, 8, 9}, {6, 0, -9000000, 1, 2, 3, 4}};
    const uint32_t gone[2] = {77, 78};
    rtcp_write_sr(&w, &info);
    rtcp_write_rr(&w, 2, report, 2);
    for (int len = 0; len < 5; len++)
        rtcp_write_sdes(&w, 3, (const char *[]){"", "a", "ab", "abc", "abcd"}[len]);
    rtcp_write_pli(&w, 4, 40);
    rtcp_write_fir(&w, 4, 41, 200);
    rtcp_write_bye(&w, gone, 2);
    assert_false(w.failed);

    struct byte_reader r = byte_reader_of(buf, bw_len(&w));
    struct rtcp_packet p;
    struct rtcp_sender_info s;
    struct rtcp_report b;
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_true(rtcp_sender_info(&p, &s));
    assert_true(s.ssrc == info.ssrc && s.ntp == info.ntp && s.rtp_ts == info.rtp_ts);
    assert_true(s.packets == info.packets && s.octets == info.octets);
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_int_equal(p.type, RTCP_RR);
    assert_true(rtcp_report(&p, 0, &b));
    assert_int_equal(b.cumulative_lost, 0x7fffff); /* clamped */
    assert_int_equal(b.fraction_lost, 255);
    assert_true(rtcp_report(&p, 1, &b));
    assert_int_equal(b.cumulative_lost, -0x800000);
    assert_int_equal(b.dlsr, 4);
    for (size_t len = 0; len < 5; len++) { /* each chunk ends in a zero byte and on 4 */
        assert_int_equal(rtcp_next(&r, &p), 1);
        assert_int_equal(p.type, RTCP_SDES);
        assert_int_equal(p.body[5], len);
        assert_int_equal(p.body[p.len - 1], 0);
        assert_int_equal(p.len, (4 + 2 + len) / 4 * 4 + 4);
    }
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_int_equal(p.count, PSFB_PLI);
    assert_int_equal(rtcp_media_ssrc(&p), 40);
    assert_int_equal(rtcp_next(&r, &p), 1);
    uint8_t seq = 0;
    assert_false(rtcp_fir(&p, 40, &seq));
    assert_true(rtcp_fir(&p, 41, &seq));
    assert_int_equal(seq, 200);
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_true(rtcp_bye_has(&p, 78));
    assert_false(rtcp_bye_has(&p, 79));
    assert_int_equal(rtcp_next(&r, &p), 0);
}

static void nack_round_trips(void **state)
{
    (void)state;
    static const struct {
        int n, items;
        uint16_t seq[8];
    } cases[] = {
        {1, 1, {0}},
        {3, 1, {10, 11, 26}},             /* the 16th after it still fits */
        {2, 2, {10, 27}},
        {4, 1, {65530, 65535, 0, 10}},    /* wraps */
        {8, 2, {1, 2, 3, 4, 17, 18, 19, 34}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t buf[256];
        struct byte_writer w = byte_writer_of(buf, sizeof buf);
        rtcp_write_nack(&w, 1, 2, cases[i].seq, cases[i].n);
        assert_int_equal(bw_len(&w), 12 + 4 * cases[i].items);
        struct rtcp_packet p = only(buf, bw_len(&w));
        assert_int_equal(rtcp_media_ssrc(&p), 2);
        int n = 0;
        uint16_t pid, blp;
        for (int k = 0; rtcp_nack(&p, k, &pid, &blp); k++) {
            assert_int_equal(pid, cases[i].seq[n++]);
            for (int bit = 0; bit < 16; bit++)
                if (blp >> bit & 1)
                    assert_int_equal((uint16_t)(pid + bit + 1), cases[i].seq[n++]);
        }
        assert_int_equal(n, cases[i].n);
    }
}

static void remb_vectors(void **state)
{
    (void)state;
    static const struct {
        uint8_t last[4]; /* number of SSRCs, exponent and mantissa */
        int64_t bps;
    } cases[] = {
        {{1, 0, 0, 0}, 0},
        {{1, 0, 0x03, 0xe8}, 1000},
        {{1, 6 << 2 | 3, 0xff, 0xff}, (int64_t)0x3ffff << 6},
        {{1, 44 << 2 | 3, 0xff, 0xff}, (int64_t)0x3ffff << 44},
        {{1, 63 << 2 | 3, 0xff, 0xff}, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t b[24] = {0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B'};
        memcpy(b + 16, cases[i].last, 4);
        struct rtcp_packet p = only(b, sizeof b);
        int64_t bps = -1;
        assert_true(rtcp_remb(&p, &bps));
        assert_true(bps == cases[i].bps);
        b[12] = 'X';
        assert_false(rtcp_remb(&p, &bps));
        b[12] = 'R';
        if (bps == INT64_MAX)
            continue;
        uint8_t written[24];
        struct byte_writer w = byte_writer_of(written, sizeof written);
        rtcp_write_remb(&w, 1, 0x22, bps);
        assert_int_equal(bw_len(&w), sizeof written);
        assert_memory_equal(written, b, 16);
        assert_int_equal(rd_be32(written + 20), 0x22);
        p = only(written, sizeof written);
        assert_true(rtcp_remb(&p, &bps) && bps == cases[i].bps);
    }
}

static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int first; /* rtcp_next's result */
    } cases[] = {
        {"", 0, 0},
        {"\x80", 1, -1},
        {"\x80\xc9\0", 3, -1},
        {"\x40\xc9\0\0", 4, -1},                 /* version 1 */
        {"\x80\xc9\0\1", 4, -1},                 /* length beyond the end */
        {"\x80\xc9\xff\xff" "1234", 8, -1},
        {"\xa0\xc9\0\1\0\0\0\4", 8, 1},          /* all padding */
        {"\xa0\xc9\0\1\0\0\0\10", 8, -1},        /* more padding than body */
        {"\xa0\xc9\0\1\0\0\0\3", 8, -1},
        {"\xa0\xc9\0\0", 4, -1},
        {"\x9f\xc9\0\1\0\0\0\1", 8, 1},          /* 31 reports that are not there */
        {"\x9f\xcb\0\0", 4, 1},                  /* BYE of 31 without any */
        {"\x81\xcd\0\0", 4, 1},                  /* NACK without SSRCs */
        {"\x84\xce\0\2" "11112222", 12, 1},      /* FIR without entries */
        {"\x8f\xce\0\2" "11112222", 12, 1},      /* REMB cut */
        {"\x80\xc8\0\1" "1111", 8, 1},           /* SR cut */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *data = exact_copy(cases[i].bytes, cases[i].len);
        struct byte_reader r = byte_reader_of(data, cases[i].len);
        struct rtcp_packet p;
        assert_int_equal(rtcp_next(&r, &p), cases[i].first);
        if (cases[i].first == 1) {
            struct rtcp_report report;
            struct rtcp_sender_info info;
            uint16_t pid, blp;
            uint8_t seq;
            int64_t bps;
            assert_false(rtcp_report(&p, 0, &report));
            assert_false(rtcp_sender_info(&p, &info));
            assert_false(rtcp_bye_has(&p, 0));
            assert_false(rtcp_nack(&p, 0, &pid, &blp));
            assert_false(rtcp_fir(&p, 0x31313131, &seq));
            assert_false(rtcp_remb(&p, &bps));
            rtcp_media_ssrc(&p);
        }
        free(data);
    }
}

static void writers_respect_the_end(void **state)
{
    (void)state;
    const uint32_t gone[1] = {1};
    const uint16_t seq[3] = {1, 100, 200};
    const struct rtcp_report report = {0};
    const struct rtcp_sender_info info = {0};
    for (size_t cap = 0; cap < 200; cap++) {
        uint8_t *buf = malloc(cap ? cap : 1);
        struct byte_writer w = byte_writer_of(buf, cap);
        rtcp_write_sr(&w, &info);
        rtcp_write_rr(&w, 1, &report, 1);
        rtcp_write_sdes(&w, 1, "name");
        rtcp_write_nack(&w, 1, 2, seq, 3);
        rtcp_write_pli(&w, 1, 2);
        rtcp_write_fir(&w, 1, 2, 3);
        rtcp_write_bye(&w, gone, 1);
        assert_int_equal(w.failed, cap < 28 + 32 + 16 + 24 + 12 + 20 + 8);
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sender_report_vector), cmocka_unit_test(compound_round_trip),
        cmocka_unit_test(nack_round_trips),     cmocka_unit_test(remb_vectors),
        cmocka_unit_test(malformed),            cmocka_unit_test(writers_respect_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
