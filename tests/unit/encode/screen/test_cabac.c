/* The arithmetic coder against the decoder of H.265 9.3.4.3, written here bit by bit as there. */
#include "encode/screen/cabac.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

struct decoder {
    const uint8_t *data;
    size_t len, bit;
    unsigned range, offset;
    uint8_t state[CTX_COUNT];
};

static unsigned read_bit(struct decoder *d)
{
    assert_true(d->bit / 8 < d->len); /* arithmetic decoding never reads past the stop bit */
    unsigned b = d->data[d->bit / 8] >> (7 - d->bit % 8) & 1;
    d->bit++;
    return b;
}

static void decoder_start(struct decoder *d, const struct cabac *c, const uint8_t *state)
{
    *d = (struct decoder){.data = c->data, .len = c->len, .range = 510};
    for (int i = 0; i < 9; i++)
        d->offset = d->offset << 1 | read_bit(d);
    memcpy(d->state, state, CTX_COUNT);
}

static int decode_bin(struct decoder *d, int ctx) /* 9.3.4.3.2 */
{
    static const uint8_t next_lps[64] = { /* table 9-53 */
        0,  0,  1,  2,  2,  4,  4,  5,  6,  7,  8,  9,  9,  11, 11, 12, 13, 13, 15, 15, 16, 16,
        18, 18, 19, 19, 21, 21, 22, 22, 23, 24, 24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30,
        31, 32, 32, 33, 33, 33, 34, 34, 35, 35, 35, 36, 36, 36, 37, 37, 37, 38, 38, 63};
    unsigned idx = d->state[ctx] >> 1, mps = d->state[ctx] & 1, bin = mps;
    unsigned lps = cabac_range_lps[idx] >> (d->range >> 6 & 3) * 8 & 0xff;
    d->range -= lps;
    if (d->offset >= d->range) {
        bin = !mps;
        d->offset -= d->range;
        d->range = lps;
        if (idx == 0)
            mps = !mps;
        idx = next_lps[idx];
    } else if (idx < 62) {
        idx++;
    }
    d->state[ctx] = (uint8_t)(idx << 1 | mps);
    while (d->range < 256) {
        d->range <<= 1;
        d->offset = d->offset << 1 | read_bit(d);
    }
    return (int)bin;
}

static int decode_bypass(struct decoder *d) /* 9.3.4.3.4 */
{
    d->offset = d->offset << 1 | read_bit(d);
    if (d->offset < d->range)
        return 0;
    d->offset -= d->range;
    return 1;
}

static int decode_terminate(struct decoder *d) /* 9.3.4.3.5 */
{
    d->range -= 2;
    if (d->offset >= d->range)
        return 1;
    if (d->range < 256) {
        d->range <<= 1;
        d->offset = d->offset << 1 | read_bit(d);
    }
    return 0;
}

static uint32_t seed;

static uint32_t rng(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* 0 … 39: a context bin, 40 … 59: bypass bins, 60: terminate with 0. Bins are lopsided, so that
 * long runs without output, and carries, come about. */
static void round_trip(uint32_t start, int count, uint32_t bias)
{
    struct cabac c = {0};
    uint8_t state[CTX_COUNT];
    cabac_start(&c, start & 1, (int)(start % 52));
    memcpy(state, c.state, sizeof state);
    seed = start;
    for (int i = 0; i < count; i++) {
        assert_true(cabac_reserve(&c, 64));
        uint32_t what = rng(61);
        if (what < 40) {
            int ctx = (int)rng(CTX_COUNT), bin = rng(bias) == 0;
            cabac_bin(&c, ctx, bin);
        } else if (what < 60) {
            struct cabac_run r = cabac_run(&c);
            run_bypass_long(&r, bias > 9 ? (1u << (what - 39)) - 1 : rng(1u << (what - 39)),
                            (int)what - 39);
            cabac_run_end(&r);
        } else {
            cabac_terminate(&c, 0);
        }
    }
    cabac_terminate(&c, 1);
    cabac_finish(&c);

    struct decoder d;
    decoder_start(&d, &c, state);
    seed = start;
    for (int i = 0; i < count; i++) {
        uint32_t what = rng(61);
        if (what < 40) {
            int ctx = (int)rng(CTX_COUNT), bin = rng(bias) == 0;
            assert_int_equal(decode_bin(&d, ctx), bin);
        } else if (what < 60) {
            uint32_t bins = bias > 9 ? (1u << (what - 39)) - 1 : rng(1u << (what - 39)), got = 0;
            for (uint32_t k = 0; k < what - 39; k++)
                got = got << 1 | (uint32_t)decode_bypass(&d);
            assert_int_equal(got, bins);
        } else {
            assert_int_equal(decode_terminate(&d), 0);
        }
    }
    assert_int_equal(decode_terminate(&d), 1);
    /* 9.3.4.3.5: the last bit that the decoder read is rbsp_stop_one_bit; zeros align it. */
    size_t stop = d.bit - 1;
    assert_true(stop / 8 == c.len - 1);
    assert_int_equal(c.data[stop / 8] >> (7 - stop % 8) & 1, 1);
    assert_int_equal((uint8_t)(c.data[stop / 8] << (stop % 8 + 1)), 0);
    cabac_free(&c);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < 400; i++)
        round_trip(i, 1 + (int)(i * 7), 2 + i % 12);
}

/* 9.3.2.2 worked by hand: initValue 154 is the state of even odds at every QP, 197 is not. */
static void test_start(void **unused)
{
    (void)unused;
    struct cabac c = {0};
    for (int qp = 0; qp <= 51; qp++) {
        cabac_start(&c, false, qp);
        assert_int_equal(c.state[CTX_BYPASS] >> 1, 0);
    }
    cabac_start(&c, false, 26); /* 197: m = 15, n = 24; 15 * 26 >> 4 = 24; 48: 63 - 48, MPS 0 */
    assert_int_equal(c.state[CTX_SKIP], 15 << 1);
    cabac_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
