/* The kernels against the formulas of H.265 8.6.4.2, and those for SSE4.1 and AVX2 against the plain
 * ones. */
#include "encode/screen/kernels.h"
#include "formulas.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

enum { MOST = 32 * 32 };

static uint32_t seed = 5;

static int rng(int below)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)below);
}

/* The matrix is a rounded cosine, tuned by a few units: each entry within 1.6 of it; and exact
 * where the standard prints it: the first column, and the signs of all others by symmetry. */
static void test_matrix(void **state)
{
    (void)state;
    static const int8_t first[32] = {64, 90, 90, 90, 89, 88, 87, 85, 83, 82, 80, 78, 75, 73, 70, 67,
                                     64, 61, 57, 54, 50, 46, 43, 38, 36, 31, 25, 22, 18, 13, 9, 4};
    for (int k = 0; k < 32; k++) {
        assert_int_equal(kernels_dct[k][0], first[k]);
        for (int i = 0; i < 32; i++) {
            double c = 64 * (k ? sqrt(2) : 1) * cos(M_PI * k * (2 * i + 1) / 64);
            assert_true(fabs(kernels_dct[k][i] - c) < 1.6);
            assert_int_equal(kernels_dct[k][31 - i], k & 1 ? -kernels_dct[k][i] : kernels_dct[k][i]);
            assert_int_equal(kernels_dct_t[i][k], kernels_dct[k][i]);
        }
    }
}

static void check_inverse(const struct kernels *k, int log2, bool dst, int spread)
{
    static int16_t coef[MOST], want[MOST], got[MOST];
    int n = 1 << log2, rows = 1 + rng(n), cols = 1 + rng(n);
    memset(coef, 0, sizeof coef);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++)
            coef[y * n + x] = (int16_t)(rng(2 * spread) - spread);
    formula_inverse(coef, want, n, dst);
    if (dst)
        k->idst4(coef, got);
    else
        k->idct[log2 - 2](coef, got, rows, cols);
    assert_memory_equal(got, want, (size_t)(n * n) * sizeof want[0]);
}

static void test_inverse(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        int spread = i % 3 == 0 ? 32768 : i % 3 == 1 ? 400 : 30;
        for (int log2 = 2; log2 <= 5; log2++)
            check_inverse(kernels_best(), log2, false, spread);
        check_inverse(kernels_best(), 2, true, spread);
    }
}

/* There and back, without quantization, costs little: rounding, and that the matrix is not quite
 * orthogonal. */
static void test_forward(void **state)
{
    (void)state;
    static int16_t res[MOST], coef[MOST], back[MOST];
    for (int i = 0; i < 40; i++)
        for (int log2 = 1; log2 <= 5; log2++) { /* 1: the DST */
            bool dst = log2 == 1;
            int l = dst ? 2 : log2, n = 1 << l;
            for (int j = 0; j < n * n; j++)
                res[j] = (int16_t)(i < 3 ? 255 - 510 * (i & 1) : rng(511) - 255);
            const struct kernels *k = kernels_best();
            (dst ? k->dst4 : k->dct[l - 2])(res, coef);
            formula_inverse(coef, back, n, dst);
            for (int j = 0; j < n * n; j++)
                if (abs(back[j] - res[j]) > 2 + n / 8)
                    fail_msg("size %d, dst %d: %d became %d", n, dst, res[j], back[j]);
        }
}

static void test_quantize(void **state)
{
    (void)state;
    const struct kernels *k = kernels_best();
    for (int i = 0; i < 200; i++) {
        int16_t coef[64], level[64], back[64];
        int shift = 19 + rng(9), scale = 14564 + rng(11651), offset = rng(1 << shift), nonzero = 0;
        for (int j = 0; j < 64; j++)
            coef[j] = (int16_t)(rng(65536) - 32768 + (j == 0));
        int got = k->quantize(coef, level, 64, scale, offset, shift);
        for (int j = 0; j < 64; j++) {
            int64_t a = ((int64_t)abs(coef[j]) * scale + offset) >> shift;
            assert_int_equal(level[j], coef[j] < 0 ? -a : a);
            nonzero += a != 0;
        }
        assert_int_equal(got, nonzero);
        k->dequantize(level, back, 64, 16 * 40, 5);
        for (int j = 0; j < 64; j++) {
            int64_t v = ((int64_t)level[j] * 640 + 16) >> 5;
            assert_int_equal(back[j], v < -32768 ? -32768 : v > 32767 ? 32767 : v);
        }
    }
}

/* Of each place by its definition, in rows one after the other. */
static void check_hash(const struct kernels *k)
{
    static uint8_t x[40 * 96];
    uint32_t column[96], hash[96];
    for (int i = 0; i < (int)sizeof x; i++)
        x[i] = (uint8_t)rng(256);
    int n = 1 + rng(80);
    for (int y = 0; y < 20; y++) {
        k->hash_row(x + y * 96, 96, n, y == 0, column, hash);
        for (int at = 0; at < n; at++) {
            uint32_t want = 0;
            for (int i = 0; i < 8; i++) {
                uint32_t sum = 0;
                for (int j = 0; j < 8; j++)
                    sum = sum * HASH_A + x[(y + j) * 96 + at + i];
                want = want * HASH_B + sum;
            }
            assert_int_equal(hash[at], want);
        }
    }
}

/* What is entered stands first in its bucket, but what is flat; the rest is as the plain one's. */
static void check_enter(const struct kernels *k)
{
    enum { LOG2 = 3, N = 40 };
    static uint64_t mine[HASH_WAYS << LOG2], plain[HASH_WAYS << LOG2];
    uint32_t hash[N], flat = HASH_A;
    uint8_t p[N];
    memset(mine, 0, sizeof mine);
    memset(plain, 0, sizeof plain);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++) {
            p[i] = (uint8_t)rng(256);
            hash[i] = rng(5) ? (uint32_t)rng(9) * 77777777u : flat * p[i];
        }
        uint64_t place = (uint64_t)rng(1 << 20);
        k->hash_enter(mine, LOG2, hash, p, flat, N, place);
        kernels_plain.hash_enter(plain, LOG2, hash, p, flat, N, place);
        assert_memory_equal(mine, plain, sizeof mine);
        int i = N - 1;
        while (i > 0 && hash[i] == flat * p[i])
            i--;
        assert_true(hash_bucket(mine, LOG2, hash[i])[0] ==
                    ((uint64_t)(hash[i] & 0xffffff) << 40 | (place + (uint64_t)i * HASH_STEP)));
    }
}

static void test_hash(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        check_hash(&kernels_plain);
        check_hash(kernels_best());
        check_enter(&kernels_plain);
        check_enter(kernels_best());
    }
}

static void check_as_plain(const struct kernels *a)
{
    const struct kernels *p = &kernels_plain;
    static uint8_t x[64 * 80], y[64 * 80], d1[64 * 80], d2[64 * 80];
    static int16_t r1[MOST], r2[MOST], c1[MOST], c2[MOST];
    for (int i = 0; i < 60; i++) {
        for (int j = 0; j < (int)sizeof x; j++) {
            x[j] = (uint8_t)rng(256);
            y[j] = (uint8_t)(rng(40) ? x[j] : rng(256));
        }
        for (int log2 = 2; log2 <= 5; log2++) {
            int n = 1 << log2;
            assert_int_equal(a->sad(x, 80, y, 80, n, n), p->sad(x, 80, y, 80, n, n));
            assert_int_equal(a->sse(x, 80, y, 80, n, n), p->sse(x, 80, y, 80, n, n));
            assert_int_equal(a->activity(x, 80, n), p->activity(x, 80, n));
            assert_int_equal(a->equal(x, 80, y, 80, n, n), p->equal(x, 80, y, 80, n, n));
            assert_true(a->equal(x, 80, x, 80, n, n));
            a->subtract(x, 80, y, 80, r1, n);
            p->subtract(x, 80, y, 80, r2, n);
            assert_memory_equal(r1, r2, (size_t)(n * n) * 2);
            a->add(y, 80, r1, d1, 80, n);
            p->add(y, 80, r1, d2, 80, n);
            assert_memory_equal(d1, d2, sizeof d1);
            a->dct[log2 - 2](r1, c1);
            p->dct[log2 - 2](r1, c2);
            assert_memory_equal(c1, c2, (size_t)(n * n) * 2);
            a->idct[log2 - 2](c1, r1, n, n);
            p->idct[log2 - 2](c1, r2, n, n);
            assert_memory_equal(r1, r2, (size_t)(n * n) * 2);
            for (int j = 0; j < n * n; j++)
                r1[j] = (int16_t)(rng(i + 2) ? 0 : rng(4) ? rng(7) - 3 : rng(65535) - 32767);
            assert_int_equal(a->level_cost(r1, n * n), p->level_cost(r1, n * n));
        }
        for (int j = 0; j < 16; j++)
            r1[j] = (int16_t)(rng(511) - 255);
        for (int unit = 4; unit <= 8; unit += 4)
            assert_int_equal(a->equal8(x, 80, y, 80, unit), p->equal8(x, 80, y, 80, unit));
        assert_int_equal(a->equal8(x, 80, x, 80, 8), 255);
        uint32_t m1[40], m2[40];
        int n = 1 + rng(1200);
        a->anchors(x, n, m1);
        p->anchors(x, n, m2);
        assert_memory_equal(m1, m2, (size_t)(n + 31) / 32 * 4);
        a->dst4(r1, c1);
        p->dst4(r1, c2);
        assert_memory_equal(c1, c2, 32);
    }
}

static void check_small_blocks(const struct kernels *a)
{
    const struct kernels *p = &kernels_plain;
    static uint8_t x[64 * 16], left[17], top[17];
    for (int i = 0; i < 4000; i++) {
        int spread = 1 + rng(i & 1 ? 255 : 12);
        for (int j = 0; j < (int)sizeof x; j++)
            x[j] = (uint8_t)(100 * (i & 1) + rng(spread) * (rng(3) > 0));
        for (int j = 0; j < 17; j++) {
            left[j] = (uint8_t)rng(256);
            top[j] = (uint8_t)rng(256);
        }
        uint32_t s1[4], s2[4];
        for (int n = 4; n <= 8; n += 4) {
            a->intra_sads(x, 64, n, left, top, s1);
            p->intra_sads(x, 64, n, left, top, s2);
            assert_memory_equal(s1, s2, sizeof s1);
        }
        assert_int_equal(a->level_steps(x, 64), p->level_steps(x, 64));
        uint8_t rec1[4 * 7], rec2[4 * 7];
        for (int j = 0; j < 4 * 7; j++)
            rec1[j] = rec2[j] = (uint8_t)(rng(3) ? x[j % 7 + j / 7 * 64] : rng(256));
        int qp = rng(52), per = qp / 6;
        struct quant4 q = {14564 + rng(11651), (171 - 61 * rng(2)) << (10 + per), 19 + per,
                           16 * (40 + rng(33)) << per, (uint32_t)rng(1 << 20)};
        struct coded4 c1 = {0}, c2 = {0};
        bool dst = rng(2);
        a->code4(x, 64, rec1, 7, dst, &q, &c1);
        p->code4(x, 64, rec2, 7, dst, &q, &c2);
        assert_memory_equal(rec1, rec2, sizeof rec1);
        assert_int_equal(c1.nonzero, c2.nonzero);
        assert_int_equal(c1.skip, c2.skip);
        assert_int_equal(c1.bits, c2.bits);
        assert_int_equal(c1.error, c2.error);
        assert_memory_equal(c1.level, c2.level, sizeof c1.level);
    }
}

/* Which lines of pieces differ, and only those are marked. */
static void check_differ(const struct kernels *a)
{
    static uint8_t x[64 * 20], y[64 * 20];
    for (int i = 0; i < 400; i++) {
        int unit = i & 1 ? 64 : 32, n = 1 + rng(20), at = rng(unit * n);
        uint8_t marks[20] = {0};
        for (int j = 0; j < (int)sizeof x; j++)
            x[j] = y[j] = (uint8_t)rng(256);
        a->differ(x, y, unit, n, marks);
        for (int j = 0; j < 20; j++)
            assert_int_equal(marks[j], 0);
        y[at] ^= (uint8_t)(1 << rng(8));
        marks[rng(n)] = 1; /* what differed in a line above stays marked */
        uint8_t want[20];
        memcpy(want, marks, sizeof want);
        want[at / unit] = 1;
        a->differ(x, y, unit, n, marks);
        assert_memory_equal(marks, want, sizeof want);
    }
}

/* Blocks of any width, and not a sample beside them. */
static void check_copy(const struct kernels *a)
{
    static uint8_t from[80 * 9], to[80 * 9], want[80 * 9];
    for (int i = 0; i < 200; i++) {
        int w = 1 + rng(70), h = 1 + rng(8), x = rng(80 - w);
        for (int j = 0; j < (int)sizeof from; j++) {
            from[j] = (uint8_t)rng(256);
            to[j] = want[j] = (uint8_t)rng(256);
        }
        for (int y = 0; y < h; y++)
            memcpy(want + y * 80 + x, from + y * 80 + x, (size_t)w);
        a->copy(from + x, 80, to + x, 80, w, h);
        assert_memory_equal(to, want, sizeof to);
    }
}

static void check_half(const struct kernels *a)
{
    static uint8_t from[80 * 40], d1[32 * 32], d2[32 * 32];
    for (int i = 0; i < 200; i++) {
        int w = 4 << rng(4), h = 4 << rng(4), way = 1 + rng(3);
        for (int j = 0; j < (int)sizeof from; j++)
            from[j] = (uint8_t)(i & 1 ? rng(256) : 255 * rng(2));
        a->half(from + 81, 80, d1, 32, w, h, way & 1, way >> 1);
        kernels_plain.half(from + 81, 80, d2, 32, w, h, way & 1, way >> 1);
        for (int y = 0; y < h; y++)
            assert_memory_equal(d1 + 32 * y, d2 + 32 * y, (size_t)w);
        uint16_t s1[32] = {0}, s2[32] = {0};
        a->half_sums(from, 80, from + 81, 80, w, 1 + i % 8, way & 1, way >> 1, s1);
        kernels_plain.half_sums(from, 80, from + 81, 80, w, 1 + i % 8, way & 1, way >> 1, s2);
        assert_memory_equal(s1, s2, sizeof s1);
    }
}

static void check_all(const struct kernels *a)
{
    if (!a)
        skip();
    check_as_plain(a);
    check_small_blocks(a);
    check_differ(a);
    check_copy(a);
    check_half(a);
}

static void test_sse4_is_plain(void **state)
{
    (void)state;
    check_all(kernels_sse4());
}

static void test_avx2_is_plain(void **state)
{
    (void)state;
    check_all(kernels_avx2());
}

static void test_differ(void **state)
{
    (void)state;
    check_differ(&kernels_plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),   cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_forward),  cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_differ),   cmocka_unit_test(test_hash),
        cmocka_unit_test(test_sse4_is_plain), cmocka_unit_test(test_avx2_is_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
