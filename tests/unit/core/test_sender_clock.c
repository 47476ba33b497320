/* src/rtp/rtcp_xr and src/jitter/sender_clock. */
#include "test_util.h"

#include "jitter/sender_clock.h"
#include "rtp/rtcp_xr.h"

static struct rtcp_packet parse(const uint8_t *data, size_t len)
{
    struct byte_reader r = byte_reader_of(data, len);
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&r, &p), 1);
    return p;
}

static void blocks(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    xr_write_reference_time(&w, 0x11223344, 0x0102030405060708);
    /* RFC 3611 section 4.4 */
    static const uint8_t rrtr[] = {0x80, 207, 0, 4, 0x11, 0x22, 0x33, 0x44, 4, 0, 0, 2,
                                   1, 2, 3, 4, 5, 6, 7, 8};
    assert_int_equal(bw_len(&w), sizeof rrtr);
    assert_int_equal(sizeof rrtr, XR_RRTR_LEN);
    assert_memory_equal(buf, rrtr, sizeof rrtr);
    struct rtcp_packet p = parse(buf, sizeof rrtr);
    struct xr_block b;
    size_t pos = 0;
    uint64_t ntp;
    struct xr_dlrr d = {0xaabbccdd, 0x03040506, 0x8000}, out;
    assert_true(xr_next(&p, &pos, &b));
    assert_true(xr_reference_time(&b, &ntp));
    assert_true(ntp == 0x0102030405060708);
    assert_false(xr_dlrr(&b, 0, &out));
    assert_false(xr_next(&p, &pos, &b));

    w = byte_writer_of(buf, sizeof buf);
    xr_write_dlrr(&w, 1, &d);
    static const uint8_t dlrr[] = {0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3, 0xaa, 0xbb, 0xcc, 0xdd,
                                   3, 4, 5, 6, 0, 0, 0x80, 0};
    assert_int_equal(bw_len(&w), sizeof dlrr);
    assert_int_equal(sizeof dlrr, XR_DLRR_LEN);
    assert_memory_equal(buf, dlrr, sizeof dlrr);
    p = parse(buf, sizeof dlrr);
    pos = 0;
    assert_true(xr_next(&p, &pos, &b));
    assert_true(xr_dlrr(&b, 0, &out));
    assert_memory_equal(&out, &d, sizeof d);
    assert_false(xr_dlrr(&b, 1, &out));
    w = byte_writer_of(buf, sizeof dlrr - 1);
    xr_write_dlrr(&w, 1, &d);
    assert_true(w.failed);
}

/* Blocks that are unknown, cut, empty; packets of other types. */
static void odd_blocks(void **state)
{
    (void)state;
    static const uint8_t odd[] = {0x80, 207, 0, 8, 0, 0, 0, 1,
                                  99, 0, 0, 1, 1, 2, 3, 4,                    /* unknown: skipped */
                                  4, 0, 0, 0,                                 /* too short a time */
                                  5, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2,         /* two thirds of a DLRR */
                                  4, 0, 0, 2};                                /* its end is missing */
    struct rtcp_packet p = parse(odd, sizeof odd);
    struct xr_block b;
    struct xr_dlrr d;
    uint64_t ntp;
    size_t pos = 0;
    int n = 0;
    for (; xr_next(&p, &pos, &b); n++) {
        assert_false(xr_reference_time(&b, &ntp));
        assert_false(xr_dlrr(&b, 0, &d));
    }
    assert_int_equal(n, 3);
    struct xr_answer a = {0};
    assert_false(xr_answer_take(&a, &p, 5));
    p.type = RTCP_RR;
    pos = 0;
    assert_false(xr_next(&p, &pos, &b));
    p.type = RTCP_XR;
    for (p.len = 0; p.len < 8; p.len++) {
        pos = 0;
        assert_false(xr_next(&p, &pos, &b));
    }
}

static void answers(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct xr_answer a = {0};
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    xr_answer_write(&a, &w, 7, 1000);
    assert_int_equal(bw_len(&w), 0); /* nothing was asked */
    xr_write_reference_time(&w, 0x99, 0x1111222233334444);
    struct rtcp_packet p = parse(buf, bw_len(&w));
    assert_true(xr_answer_take(&a, &p, 2000000));
    assert_false(xr_answer_take(&a, &p, 3000000));
    w = byte_writer_of(buf, sizeof buf);
    xr_answer_write(&a, &w, 7, 3500000);
    p = parse(buf, bw_len(&w));
    struct xr_block b;
    struct xr_dlrr d;
    size_t pos = 0;
    assert_true(xr_next(&p, &pos, &b) && xr_dlrr(&b, 0, &d));
    assert_int_equal(d.ssrc, 0x99);
    assert_int_equal(d.lrr, 0x22223333);
    assert_int_equal(d.dlrr, 0x8000);
    w = byte_writer_of(buf, sizeof buf);
    xr_answer_write(&a, &w, 7, 20000000);
    assert_int_equal(bw_len(&w), 0); /* too long ago */
}

enum { OFFSET = 1000000000 }; /* the sender's clock is so far ahead */

/* A reference time at t0 that takes there_us, is answered hold_us later, and takes back_us. */
static int64_t round_trip(struct sender_clock *c, int64_t t0, int64_t there_us, int64_t hold_us,
                          int64_t back_us)
{
    int64_t answered = t0 + there_us + hold_us, now = answered + back_us;
    struct rtcp_sender_info info = {.ntp = ntp_of_us(answered + OFFSET), .rtp_ts = 90000};
    sender_clock_report(c, &info, now);
    sender_clock_answer(c, ntp_mid(ntp_of_us(t0)), (uint32_t)(hold_us * 65536 / 1000000), now);
    return now;
}

static void near(int64_t a, int64_t b, int64_t by) { assert_true(a - b <= by && b - a <= by); }

static void offset(void **state)
{
    (void)state;
    struct sender_clock c = {0};
    int64_t off, error, t = 5000000000;
    assert_false(sender_clock_get(&c, t, 50000, &off, &error));
    t = round_trip(&c, t, 20000, 300000, 20000);
    assert_true(sender_clock_get(&c, t, 0, &off, &error));
    near(off, OFFSET, 40); /* 1/65536 s is 15 us */
    near(error, 20000, 40);
    near(sender_clock_rtt_us(&c), 40000, 40);
    /* A queue on the way back: the shorter round trip stays believed. */
    t = round_trip(&c, t + 1000000, 20000, 900000, 120000);
    assert_true(sender_clock_get(&c, t, 0, &off, &error));
    near(off, OFFSET, 40);
    near(sender_clock_rtt_us(&c), 140000, 40);
    /* An asymmetric path: wrong by half the difference, within the error that is told. */
    c = (struct sender_clock){0};
    t = round_trip(&c, t + 1000000, 10000, 0, 50000);
    assert_true(sender_clock_get(&c, t, 0, &off, &error));
    near(off, OFFSET - 20000, 40);
    assert_true(error >= 20000 && error <= 31000);
    /* Where the clocks drift, what is newer wins in time. */
    for (int i = 0; i < 60; i++)
        t = round_trip(&c, t + 1000000, 30000, 0, 30000);
    assert_true(sender_clock_get(&c, t, 0, &off, &error));
    near(off, OFFSET, 40);
}

static void without_answers(void **state)
{
    (void)state;
    struct sender_clock c = {0};
    int64_t off, error;
    struct rtcp_sender_info info = {.ntp = ntp_of_us(OFFSET + 1000000), .rtp_ts = 0xffffff00};
    assert_true(sender_clock_ntp_of(&c, 5) == 0);
    sender_clock_report(&c, &info, 1000000 + 25000);
    assert_false(sender_clock_get(&c, 2000000, 0, &off, &error)); /* no round trip is known */
    assert_true(sender_clock_get(&c, 2000000, 50000, &off, &error));
    near(off, OFFSET, 10);
    info.ntp = ntp_of_us(OFFSET + 2000000);
    sender_clock_report(&c, &info, 2000000 + 90000); /* it came late */
    assert_true(sender_clock_get(&c, 3000000, 50000, &off, &error));
    near(off, OFFSET, 10);
    /* RTP timestamps, over the wrap-around and back. */
    near(us_of_ntp(sender_clock_ntp_of(&c, 0xffffff00 + 90000)), OFFSET + 3000000, 2);
    near(us_of_ntp(sender_clock_ntp_of(&c, 0xffffff00 - 9000)), OFFSET + 1900000, 2);
    /* Answers that make no sense, and one without the report that belongs to it. */
    sender_clock_answer(&c, 0, 0, 2090000);
    sender_clock_answer(&c, ntp_mid(ntp_of_us(9000000)), 0, 2090000);
    sender_clock_answer(&c, ntp_mid(ntp_of_us(1000000)), 0, 2500000);
    assert_int_equal(sender_clock_rtt_us(&c), 0);
    for (int64_t us = 0; us < 5000000; us += 333333)
        near(us_of_ntp(ntp_of_us(us)), us, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),          cmocka_unit_test(odd_blocks),
        cmocka_unit_test(answers),         cmocka_unit_test(offset),
        cmocka_unit_test(without_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
