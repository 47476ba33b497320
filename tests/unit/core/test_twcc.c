/* src/rtp/twcc. */
#include "test_util.h"

#include "rtp/twcc.h"

enum { SSRC = 9, MEDIA = 0x1000 };

static size_t feedback(struct twcc_recorder *r, uint8_t *buf, size_t cap, int64_t now_us)
{
    struct byte_writer w = byte_writer_of(buf, cap);
    twcc_write(r, &w, SSRC, MEDIA, now_us);
    assert_false(w.failed);
    assert_int_equal(bw_len(&w) % 4, 0);
    return bw_len(&w);
}

static bool read(const uint8_t *data, size_t len, struct twcc_reader *out)
{
    struct byte_reader r = byte_reader_of(data, len);
    struct rtcp_packet p;
    return rtcp_next(&r, &p) == 1 && twcc_read(out, &p);
}

struct told {
    uint16_t seq;
    enum twcc_status status;
    int64_t at_us;
};

static int tell(const uint8_t *data, size_t len, struct told *out, int cap)
{
    struct twcc_reader r;
    struct byte_reader in = byte_reader_of(data, len);
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&in, &p), 1);
    assert_int_equal(rtcp_media_ssrc(&p), MEDIA);
    assert_int_equal(in.left, 0);
    assert_true(twcc_read(&r, &p));
    int n = 0;
    while (n < cap && twcc_next(&r, &out[n].seq, &out[n].status, &out[n].at_us))
        out[n++].at_us += (int64_t)r.reference * 64000;
    assert_int_equal(n, r.n);
    return n;
}

/* The draft's forms, by hand: a run, a vector of one bit, one of two bits, all deltas. */
static void known_packet(void **state)
{
    (void)state;
    static const uint8_t packet[] = {
        0x8f, 205,  0,    8,             /* FMT 15 */
        0,    0,    0,    9,    0, 0, 0x10, 0,
        0xff, 0xfe, 0,    22,            /* from 65534 on, 22 packets */
        0,    0,    2,    5,             /* 128 ms; feedback packet 5 */
        0x20, 3,                         /* three: small */
        0xa0, 0x01,                      /* 1 0 0 0 0 0 0 0 0 0 0 0 0 1 */
        0xd9, 0x00,                      /* 1 2 1 0 0 (…) */
        4,    0,    8,    1,    2, 3, 0xff, 0xf0, 0,
        0,
    };
    static const int want[22] = {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0};
    struct told t[32];
    assert_int_equal(sizeof packet % 4, 0);
    assert_int_equal(tell(packet, sizeof packet, t, 32), 22);
    for (int i = 0; i < 22; i++) {
        assert_int_equal(t[i].seq, (uint16_t)(65534 + i));
        if (t[i].status != (want[i] ? TWCC_RECEIVED : TWCC_LOST))
            fail_msg("packet %d", i);
    }
    assert_int_equal(t[0].at_us, 128000 + 1000);
    assert_int_equal(t[1].at_us, 129000);
    assert_int_equal(t[2].at_us, 131000);
    assert_int_equal(t[3].at_us, 131250);
    assert_int_equal(t[16].at_us, 131750);
    assert_int_equal(t[17].at_us, 131750 + 750);
    assert_int_equal(t[18].at_us, 132500 - 16 * 250);
    /* Cut at any place, with a length that says so, it is refused or has no more than it had. */
    for (size_t len = 4; len < sizeof packet - 1; len += 4) {
        uint8_t *cut = exact_copy(packet, len);
        struct twcc_reader r;
        wr_be16(cut + 2, (uint16_t)(len / 4 - 1));
        assert_false(read(cut, len, &r));
        free(cut);
    }
    /* libwebrtc counts its padding, one to three bytes. */
    uint8_t padded[sizeof packet];
    memcpy(padded, packet, sizeof packet);
    padded[0] |= 0x20;
    padded[sizeof padded - 1] = 1;
    assert_int_equal(tell(padded, sizeof padded, t, 32), 22);
}

static void empty_run_is_refused(void **state)
{
    (void)state;
    uint8_t packet[] = {0x8f, 205, 0, 5, 0, 0, 0, 9, 0, 0, 0x10, 0, 0, 1, 0, 3, 0, 0, 2, 5,
                        0x20, 0,   0, 0};
    struct twcc_reader r;
    assert_false(read(packet, sizeof packet, &r));
    packet[21] = 3;
    assert_false(read(packet, sizeof packet, &r)); /* three deltas, room for two */
    packet[21] = 2;
    packet[15] = 2;
    assert_true(read(packet, sizeof packet, &r));
    packet[15] = 0; /* tells of nothing */
    assert_false(read(packet, sizeof packet, &r));
}

/* Whatever comes, is told as it came: in order or not, with gaps, wrap-around, long pauses. */
static void round_trips(void **state)
{
    (void)state;
    enum { PACKETS = 3000 };
    static int64_t came[PACKETS + 64]; /* -1: lost */
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t rnd = seed * 7919;
        struct twcc_recorder rec;
        twcc_recorder_init(&rec);
        int64_t now = (int64_t)(seed % 3) * ((INT64_C(1) << 24) * 64000 - 300000) + 5000;
        uint16_t first = (uint16_t)(65000 + seed * 13);
        unsigned loss = (unsigned)(seed % 4) * 20, swap = seed % 2 ? 10 : 0;
        int told_up_to = 0;
        for (int i = 0; i < PACKETS; i++)
            came[i] = -1;
        for (int i = 0; i < PACKETS; i++) {
            unsigned r = test_random(&rnd) % 1000;
            now += r < 5 ? 900000 : r < 40 ? 70000 : r < 600 ? 300 : 0;
            if (test_random(&rnd) % 100 < loss && i > 0 && i + 1 < PACKETS)
                continue;
            if (test_random(&rnd) % 100 < swap && i > 0 && i + 1 < PACKETS && came[i] < 0) {
                came[i + 1] = now;
                twcc_record(&rec, (uint16_t)(first + i + 1), 1000, now);
                now += 400;
            }
            if (came[i] < 0) {
                came[i] = now;
                twcc_record(&rec, (uint16_t)(first + i), 1000, now);
            }
            twcc_record(&rec, (uint16_t)(first + i), 1000, now + 1); /* a duplicate */
            bool last = i == PACKETS - 1;
            while (twcc_due_us(&rec) <= now || (last && twcc_due_us(&rec) != INT64_MAX)) {
                uint8_t buf[1200];
                struct told t[2048];
                size_t cap = 200 + test_random(&rnd) % 1000;
                int n = tell(buf, feedback(&rec, buf, cap, now), t, 2048);
                assert_true(n > 0);
                for (int k = 0; k < n; k++) {
                    int at = (int16_t)(t[k].seq - (uint16_t)(first + told_up_to)) + told_up_to;
                    assert_true(at >= 0 && at <= i + 1);
                    assert_int_equal(t[k].status, came[at] >= 0 ? TWCC_RECEIVED : TWCC_LOST);
                    if (came[at] < 0)
                        continue;
                    /* The reference time has 24 bits. */
                    int64_t error = (came[at] - t[k].at_us) % (INT64_C(64000) << 24);
                    assert_true(error >= 0 && error < 250);
                }
                int end = (int16_t)(t[n - 1].seq - (uint16_t)(first + told_up_to)) + told_up_to;
                told_up_to = end + 1 > told_up_to ? end + 1 : told_up_to;
            }
        }
        assert_true(told_up_to >= PACKETS - 64);
        assert_int_equal(twcc_due_us(&rec), INT64_MAX);
    }
}

/* What is missing costs two bytes a run. */
static void long_runs_are_short(void **state)
{
    (void)state;
    struct twcc_recorder rec;
    uint8_t buf[1200];
    struct told t[2048];
    twcc_recorder_init(&rec);
    twcc_record(&rec, 10, 1000, 1000000);
    twcc_record(&rec, 810, 1000, 1001000); /* 799 are missing */
    size_t len = feedback(&rec, buf, sizeof buf, 1100000);
    assert_true(len <= 20 + 3 * 2 + 2 + 4);
    assert_int_equal(tell(buf, len, t, 2048), 801);
    assert_int_equal(t[800].status, TWCC_RECEIVED);
    assert_int_equal(t[799].status, TWCC_LOST);
    assert_int_equal(t[800].at_us - t[0].at_us, 1000);
    /* So far ahead that nothing before it counts any more. */
    twcc_record(&rec, 10000, 1000, 1200000);
    len = feedback(&rec, buf, sizeof buf, 1300000);
    assert_int_equal(tell(buf, len, t, 2048), 1);
    assert_int_equal(t[0].seq, 10000);
}

static void late_packets_are_told_again(void **state)
{
    (void)state;
    struct twcc_recorder rec;
    uint8_t buf[200];
    struct told t[64];
    twcc_recorder_init(&rec);
    assert_int_equal(twcc_due_us(&rec), INT64_MAX);
    twcc_record(&rec, 65535, 1000, 1000000);
    twcc_record(&rec, 1, 1000, 1001000);
    assert_int_equal(twcc_due_us(&rec), 1010000);
    assert_int_equal(tell(buf, feedback(&rec, buf, sizeof buf, 1010000), t, 64), 3);
    assert_int_equal(t[1].status, TWCC_LOST);
    assert_int_equal(twcc_due_us(&rec), INT64_MAX);
    twcc_record(&rec, 0, 1000, 1020000);
    twcc_record(&rec, 2, 1000, 1020000);
    int64_t due = twcc_due_us(&rec); /* 50 to 100 ms after the last */
    assert_true(due >= 1060000 && due <= 1110000);
    assert_int_equal(tell(buf, feedback(&rec, buf, sizeof buf, due), t, 64), 3);
    assert_int_equal(t[0].seq, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(t[i].status, TWCC_RECEIVED);
    assert_true(t[1].at_us < t[0].at_us); /* a negative delta */
    /* Much at once does not wait. */
    for (int i = 3; i < 300; i++)
        twcc_record(&rec, (uint16_t)i, 1000, due + 1);
    assert_true(twcc_due_us(&rec) <= due + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_packet),        cmocka_unit_test(empty_run_is_refused),
        cmocka_unit_test(round_trips),         cmocka_unit_test(long_runs_are_short),
        cmocka_unit_test(late_packets_are_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
