/* src/rtp/fec_*: the header of RFC 8627, parities that give back what was lost, adaptation. */
#include "test_util.h"

#include "rtp/fec_control.h"
#include "rtp/fec_decoder.h"
#include "rtp/fec_encoder.h"
#include "rtp/packet.h"

enum { SSRC = 0x01020304, MAX = 1200 };

struct packet {
    uint8_t data[MAX];
    size_t len;
};

/* A repair packet as it goes over the wire: header with one CSRC, no extension. */
static size_t wrap(uint8_t *out, const uint8_t *fec, size_t len)
{
    memset(out, 0, 16);
    out[0] = 0x81;
    out[1] = 51;
    wr_be32(out + 8, 0x4444);
    wr_be32(out + 12, SSRC);
    memcpy(out + 16, fec, len);
    return 16 + len;
}

static struct packet media(uint16_t seq, uint32_t *random)
{
    struct packet p;
    *random = *random * 1664525 + 1013904223;
    p.len = 12 + *random % (MAX - 12);
    for (size_t i = 0; i < p.len; i++) {
        *random = *random * 1664525 + 1013904223;
        p.data[i] = (uint8_t)(*random >> 24);
    }
    p.data[0] = (uint8_t)(0x80 | (p.data[0] & 0x3f)); /* P, X, CC and the rest are protected too */
    wr_be16(p.data + 2, seq);
    wr_be32(p.data + 8, SSRC);
    return p;
}

static void header_is_that_of_the_rfc(void **state)
{
    (void)state;
    /* Section 4.2.2.1 by hand: 0, 14, 15, 45, 46 and 109 after 65530. */
    struct fec_header h = {.ssrc = SSRC, .base = 65530,
                           .parity = {{0x3f, 0xab}, 0x1234, 0x55667788}}, r;
    static const int bits[] = {0, 14, 15, 45, 46, 109};
    static const uint8_t want[] = {0x3f, 0xab, 0x12, 0x34, 0x55, 0x66, 0x77, 0x88,
                                   0xff, 0xfa, 0xc0, 0x01, 0xc0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 1};
    static const size_t len[] = {12, 12, 16, 16, 24, 24};
    uint8_t out[64], packet[64];
    const uint8_t *payload;
    size_t n, left;
    for (int i = 0; i < 6; i++) {
        fec_mask_set(&h.mask, bits[i]);
        n = fec_header_write(&h, out);
        assert_int_equal(n, len[i]);
        memcpy(out + n, "xyz", 3);
        assert_true(fec_header_read(packet, wrap(packet, out, n + 3), &r, &payload, &left));
        assert_memory_equal(&r, &h, sizeof h);
        assert_int_equal(left, 3);
        assert_memory_equal(payload, "xyz", 3);
        assert_false(fec_header_read(packet, 16 + n - 1, &r, &payload, &left));
    }
    assert_memory_equal(out, want, sizeof want);
    /* Fixed: L = 5, D = 3 is columns: 0, 5, 10; D = 1 or 0 is a row. */
    uint8_t fixed[12] = {0x40, 0, 0, 0, 0, 0, 0, 0, 0, 7, 5, 3};
    assert_true(fec_header_read(packet, wrap(packet, fixed, 12), &r, &payload, &left));
    assert_true(r.mask.bits[0] == (1u | 1u << 5 | 1u << 10) && r.base == 7);
    fixed[11] = 1;
    assert_true(fec_header_read(packet, wrap(packet, fixed, 12), &r, &payload, &left));
    assert_true(r.mask.bits[0] == 0x1f);
    fixed[10] = fixed[11] = 200; /* beyond what is kept */
    assert_false(fec_header_read(packet, wrap(packet, fixed, 12), &r, &payload, &left));
    fixed[0] = 0x80; /* R */
    assert_false(fec_header_read(packet, wrap(packet, fixed, 12), &r, &payload, &left));
    uint8_t empty[12] = {0};
    assert_false(fec_header_read(packet, wrap(packet, empty, 12), &r, &payload, &left));
}

/* n packets in `columns`; those in lost do not come, nor does the repair packet gone (-1: all do). How
 * many come back, each checked. */
static int lose_of(int n, int columns, bool crossed, int repairs, const bool *lost, int gone, uint16_t first)
{
    struct fec_encoder *e = fec_encoder_new(MAX);
    struct fec_decoder *d = fec_decoder_new();
    struct packet *all = calloc((size_t)n, sizeof *all);
    uint32_t random = 7;
    uint8_t fec[MAX + FEC_HEADER_MAX], packet[MAX + 64];
    size_t len;
    int back = 0;
    for (int i = -1; i < n; i++) { /* one before them, so that the decoder knows the stream */
        struct packet p = media((uint16_t)(first + i), &random);
        if (i >= 0) {
            all[i] = p;
            assert_true(fec_encoder_add(e, p.data, p.len, columns, crossed));
        }
        if (i < 0 || !lost[i])
            fec_decoder_media(d, p.data, p.len);
    }
    fec_encoder_close(e, repairs);
    assert_int_equal(fec_encoder_ready(e), repairs);
    for (int k = 0; (len = fec_encoder_next(e, fec)) > 0; k++) {
        if (k == gone)
            continue;
        assert_true(fec_decoder_repair(d, packet, wrap(packet, fec, len)));
        const uint8_t *got;
        while ((got = fec_decoder_next(d, &len))) {
            int i = (uint16_t)(rd_be16(got + 2) - first);
            assert_true(i < n && lost[i]);
            assert_int_equal(len, all[i].len);
            assert_memory_equal(got, all[i].data, len);
            back++;
        }
    }
    free(all);
    fec_encoder_free(&e);
    fec_decoder_free(&d);
    return back;
}

static int lose(int n, int columns, int repairs, const bool *lost, uint16_t first)
{
    return lose_of(n, columns, false, repairs, lost, -1, first);
}

/* Any packet without any of the repair packets, and any two but those few whose columns are the same. */
static void crossed_columns(void **state)
{
    (void)state;
    enum { N = 16, COLUMNS = 5 };
    int failed = 0, pairs = 0;
    for (int a = 0; a < N; a++) {
        bool one[N] = {[0] = false};
        one[a] = true;
        for (int gone = -1; gone < COLUMNS; gone++)
            assert_int_equal(lose_of(N, COLUMNS, true, COLUMNS, one, gone, (uint16_t)(65530 + a)), 1);
        for (int b = a + 1; b < N; b++, pairs++) {
            bool two[N] = {[0] = false};
            two[a] = two[b] = true;
            failed += lose_of(N, COLUMNS, true, COLUMNS, two, -1, 1) != 2;
        }
    }
    /* 10 pairs of columns for 16 packets: six of them twice. */
    assert_int_equal(pairs, 120);
    assert_int_equal(failed, 6);
    /* Blocks that end early, and those with too few columns to cross. */
    for (int n = 1; n <= 3; n++) {
        for (int a = 0; a < n; a++) {
            bool one[3] = {false};
            one[a] = true;
            assert_int_equal(lose_of(n, 4, true, n, one, -1, 1), 1);
            assert_int_equal(lose_of(n, 2, true, n < 2 ? n : 2, one, -1, 1), 1);
        }
    }
}

static void bursts_come_back(void **state)
{
    (void)state;
    for (int at = 0; at <= 40; at++) { /* wherever the burst is, and over the wrap of numbers */
        bool lost[48] = {false};
        for (int i = 0; i < 8; i++)
            lost[at + i] = true;
        assert_int_equal(lose(48, 8, 8, lost, (uint16_t)(65510 + at)), 8);
    }
    bool none[48] = {false};
    assert_int_equal(lose(48, 8, 8, none, 1), 0);
    bool two[10] = {[1] = true, [9] = true}; /* in one column of eight */
    assert_int_equal(lose(10, 8, 8, two, 1), 0);
    bool one[1] = {true};
    assert_int_equal(lose(1, 8, 1, one, 1), 1);
    bool folded[10] = {[3] = true, [4] = true}; /* eight columns, folded into two: even, odd */
    assert_int_equal(lose(10, 8, 2, folded, 1), 2);
    bool longest[110] = {[109] = true, [0] = true};
    assert_int_equal(lose(110, 24, 24, longest, 1), 2);
}

/* A parity that misses two waits for one of them to come another way. */
static void late_packets_help(void **state)
{
    (void)state;
    struct fec_encoder *e = fec_encoder_new(MAX);
    struct fec_decoder *d = fec_decoder_new();
    uint32_t random = 3;
    struct packet p[4];
    uint8_t fec[MAX + FEC_HEADER_MAX], packet[MAX + 64];
    size_t len;
    for (int i = 0; i < 4; i++) {
        p[i] = media((uint16_t)(100 + i), &random);
        assert_true(fec_encoder_add(e, p[i].data, p[i].len, 1, false));
    }
    fec_encoder_close(e, 1);
    len = fec_encoder_next(e, fec);
    fec_decoder_media(d, p[0].data, p[0].len);
    fec_decoder_media(d, p[3].data, p[3].len);
    assert_true(fec_decoder_repair(d, packet, wrap(packet, fec, len)));
    assert_null(fec_decoder_next(d, &len));
    fec_decoder_media(d, p[2].data, p[2].len);
    const uint8_t *got = fec_decoder_next(d, &len);
    assert_true(got && len == p[1].len && memcmp(got, p[1].data, len) == 0);
    assert_null(fec_decoder_next(d, &len));
    wr_be32(packet + 12, SSRC + 1); /* of another stream */
    assert_false(fec_decoder_repair(d, packet, 60));
    fec_encoder_free(&e);
    fec_decoder_free(&d);
}

static void as_much_as_needed(void **state)
{
    (void)state;
    struct fec_control c;
    struct fec_plan p;
    fec_control_init(&c);
    for (int i = 0; i < 5000; i++)
        fec_control_packet(&c, false);
    fec_control_plan(&c, 200000, 15, &p);
    assert_false(p.on || p.twice); /* clean */
    for (int i = 0; i < 5000; i++)
        fec_control_packet(&c, i % 160 < 8);
    fec_control_plan(&c, 30000, 15, &p);
    assert_false(p.on); /* short */
    fec_control_plan(&c, 55000, 15, &p);
    assert_true(p.on && !p.crossed); /* not where losses are frequent */
    fec_control_plan(&c, 150000, 15, &p);
    assert_true(p.on);
    assert_true(p.columns >= 8 && p.columns <= 16); /* a burst of 8 fits */
    assert_true(p.block > 3 * p.columns && p.block <= FEC_SPAN);
    assert_true(p.wait_us <= 75000);
    assert_int_equal(fec_plan_repairs(&p, p.block), p.columns);
    assert_int_equal(fec_plan_repairs(&p, 1), 1);
    assert_true(fec_plan_repairs(&p, p.block / 2) <= p.columns / 2 + 1);
    for (int i = 0; i < 20000; i++)
        fec_control_packet(&c, i % 5 == 0);
    fec_control_plan(&c, 150000, 15, &p);
    assert_true(p.twice && p.crossed && p.columns == 5 && p.block == 15); /* of a picture of 15 */
    fec_control_plan(&c, 150000, 130, &p);
    assert_true(p.block >= 33 && p.block <= 35 && p.columns == 12); /* a large one in four blocks */
    fec_control_plan(&c, 150000, 1, &p);
    assert_true(p.columns == 1 && p.block == 3); /* of three small pictures */
    int64_t again_us = p.again_us;
    assert_true(again_us < 10000);
    for (int i = 0; i < 20000; i++)
        fec_control_packet(&c, false);
    fec_control_plan(&c, 150000, 15, &p);
    assert_false(p.on || p.twice);
    /* An outage is no burst to be prepared for. */
    for (int i = 0; i < 3000; i++)
        fec_control_packet(&c, true);
    fec_control_packet(&c, false);
    assert_true(c.burst < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_that_of_the_rfc),
        cmocka_unit_test(bursts_come_back),
        cmocka_unit_test(crossed_columns),
        cmocka_unit_test(late_packets_help),
        cmocka_unit_test(as_much_as_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
