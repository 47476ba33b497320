/* The conversion: right colours, the vector code equal to the plain code, and damage that says
 * enough whatever the order in which pictures are held. */
#include "base/error.h"
#include "convert/convert.h"
#include "convert/rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t rng_state = 1;
static uint32_t rng(void)
{
    rng_state = rng_state * 1664525u + 1013904223u;
    return rng_state >> 8;
}
static int below(int n) { return (int)(rng() % (uint32_t)n); }

static void fill_random(struct picture *p, struct rect r)
{
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = 4 * r.x; x < 4 * (r.x + r.w); x++)
            p->plane[0][(ptrdiff_t)y * p->stride[0] + x] = (uint8_t)rng();
}

/* BT.709 by its definition, in floating point. */
static void exact(const double bgr[3], double yuv[3])
{
    double y = (0.0722 * bgr[0] + 0.7152 * bgr[1] + 0.2126 * bgr[2]) / 255;
    yuv[0] = 16 + 219 * y;
    yuv[1] = 128 + 224 * (bgr[0] / 255 - y) / (2 * (1 - 0.0722));
    yuv[2] = 128 + 224 * (bgr[2] / 255 - y) / (2 * (1 - 0.2126));
}

static void near(double want, int got)
{
    if (fabs(want - got) > 0.51)
        fail_msg("%d instead of %f", got, want);
}

static void test_rounding(void **state)
{
    (void)state;
    uint8_t px[4 * 64], y[64], u[64], v[64];
    for (int round = 0; round < 5000; round++) {
        for (int i = 0; i < 256; i++)
            px[i] = round == 0 ? 0 : round == 1 ? 255 : (uint8_t)rng();
        row_ops_plain.plane(px, y, 64, &row_weights_y, 16);
        row_ops_plain.plane(px, u, 64, &row_weights_u, 128);
        row_ops_plain.plane(px, v, 64, &row_weights_v, 128);
        for (int i = 0; i < 64; i++) {
            double yuv[3];
            exact((double[3]){px[4 * i], px[4 * i + 1], px[4 * i + 2]}, yuv);
            near(yuv[0], y[i]);
            near(yuv[1], u[i]);
            near(yuv[2], v[i]);
        }
        row_ops_plain.chroma420(px + 4, px + 4 * 33, u, v, 15);
        for (int i = 0; i < 15; i++) {
            double bgr[3], yuv[3];
            for (int c = 0; c < 3; c++) {
                const uint8_t *a = px + 4 + 8 * i + c, *b = px + 4 * 33 + 8 * i + c;
                bgr[c] = (a[-4] + b[-4] + 2. * a[0] + 2. * b[0] + a[4] + b[4]) / 8;
            }
            exact(bgr, yuv);
            near(yuv[1], u[i]);
            near(yuv[2], v[i]);
        }
    }
}

static void test_vector_equals_plain(void **state)
{
    (void)state;
    const struct row_ops *fast = row_ops_avx2();
    if (!fast)
        skip();
    static uint8_t a[4 * 403], b[4 * 403];
    uint8_t d[2][400], e[2][400];
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof a; i++) {
            a[i] = round & 1 ? (uint8_t)(rng() & 1 ? 255 : 0) : (uint8_t)rng();
            b[i] = round & 1 ? (uint8_t)(rng() & 1 ? 255 : 0) : (uint8_t)rng();
        }
        int n = 1 + below(400), cn = 1 + below(200);
        const struct row_weights *w[] = {&row_weights_y, &row_weights_u, &row_weights_v};
        for (int i = 0; i < 3; i++) {
            row_ops_plain.plane(a + 4, d[0], n, w[i], i ? 128 : 16);
            fast->plane(a + 4, d[1], n, w[i], i ? 128 : 16);
            assert_memory_equal(d[0], d[1], (size_t)n);
        }
        row_ops_plain.chroma420(a + 4, b + 4, d[0], e[0], cn);
        fast->chroma420(a + 4, b + 4, d[1], e[1], cn);
        assert_memory_equal(d[0], d[1], (size_t)cn);
        assert_memory_equal(e[0], e[1], (size_t)cn);
    }
}

static void assert_same_planes(const struct picture *a, const struct picture *b)
{
    assert_int_equal(a->fmt, b->fmt);
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < picture_rows(a->fmt, a->height, i); y++)
            assert_memory_equal(a->plane[i] + (ptrdiff_t)y * a->stride[i],
                                b->plane[i] + (ptrdiff_t)y * b->stride[i],
                                (size_t)picture_row_bytes(a->fmt, a->width, i));
}

static struct picture *convert_whole(const struct picture *in, enum pix_fmt fmt)
{
    struct picture *p = picture_new(fmt, in->width, in->height);
    assert_non_null(p);
    convert_bgrx_to_yuv709(in, p, (struct rect){0, 0, in->width, in->height});
    return p;
}

/* Every sample that differs between a and b lies in d. */
static void assert_damage_covers(const struct picture *a, const struct picture *b,
                                 const struct damage *d)
{
    for (int i = 0; i < 3; i++) {
        int s = a->fmt == PIX_I420 && i ? 2 : 1;
        for (int y = 0; y < picture_rows(a->fmt, a->height, i); y++)
            for (int x = 0; x < picture_row_bytes(a->fmt, a->width, i); x++) {
                if (a->plane[i][y * a->stride[i] + x] == b->plane[i][y * b->stride[i] + x])
                    continue;
                bool in = false;
                for (int k = 0; k < d->n; k++)
                    in |= rect_contains(d->r[k], (struct rect){x * s, y * s, 1, 1});
                assert_true(in);
            }
    }
}

/* Random damage, planes that are kept for a while, refusals when all sets are kept: what comes
 * out always equals the whole picture converted at once. */
static void damage_sequence(enum pix_fmt fmt, int w, int h)
{
    struct converter *c = converter_new(fmt);
    struct picture *src = picture_new(PIX_BGRX, w, h), *held = NULL, *last = NULL;
    assert_non_null(c);
    assert_non_null(src);
    int refused = 0;
    struct damage since; /* of pictures that were refused */
    damage_clear(&since);
    for (int i = 0; i < 120; i++) {
        damage_clear(&src->damage);
        int changes = i ? below(5) : 0;
        for (int k = 0; k < changes; k++) {
            struct rect r = {below(w), below(h), 1 + below(9), 1 + below(9)};
            r = rect_intersect(r, (struct rect){0, 0, w, h});
            fill_random(src, r);
            damage_add(&src->damage, r);
        }
        if (i == 0) {
            fill_random(src, (struct rect){0, 0, w, h});
            damage_set_all(&src->damage, w, h);
        }
        damage_add_all(&since, &src->damage);
        src->event_us = i;
        struct picture *out = NULL;
        int rc = converter_run(c, src, &out);
        if (rc == ERR_TIMEOUT) {
            refused++;
            assert_null(out);
            picture_unref(&held);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(out->event_us, i);
        struct picture *want = convert_whole(src, fmt);
        assert_same_planes(want, out);
        if (last && since.n == src->damage.n)
            assert_damage_covers(last, want, &out->damage);
        damage_clear(&since);
        picture_unref(&last);
        last = want;
        if (!held && below(3) == 0)
            held = picture_ref(out);
        else if (held && below(4) == 0)
            picture_unref(&held);
        if (below(6) == 0) { /* hold all sets: the next run is refused */
            struct picture *more[3] = {NULL};
            int n = 0;
            damage_clear(&src->damage);
            while (n < 3 && (rc = converter_run(c, src, &more[n])) == 0)
                assert_same_planes(last, more[n++]);
            assert_int_equal(rc, ERR_TIMEOUT);
            refused++;
            for (int k = 0; k < n; k++)
                picture_unref(&more[k]);
        }
        picture_unref(&out);
    }
    assert_true(refused > 0);
    picture_unref(&held);
    picture_unref(&last);
    picture_unref(&src);
    converter_free(&c);
}

static void test_damage(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 48}, {101, 37}, {33, 64}, {17, 17}, {70, 35}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        damage_sequence(PIX_I420, sizes[i][0], sizes[i][1]);
        damage_sequence(PIX_I444, sizes[i][0], sizes[i][1]);
    }
}

static void test_small_sizes(void **state)
{
    (void)state;
    for (int w = 1; w <= 20; w++) {
        for (int h = 1; h <= 5; h++) {
            struct picture *src = picture_new(PIX_BGRX, w, h);
            fill_random(src, (struct rect){0, 0, w, h});
            struct picture *out = convert_whole(src, PIX_I420);
            int x = 2 * below((w + 1) / 2), y = 2 * below((h + 1) / 2);
            double bgr[3] = {0}, yuv[3];
            for (int j = 0; j < 2; j++) /* [1 2 1] over two rows, the edge replicated */
                for (int k = -1; k < 2; k++) {
                    int sx = x + k < 0 ? 0 : x + k < w ? x + k : w - 1;
                    int sy = y + j < h ? y + j : h - 1;
                    for (int c = 0; c < 3; c++)
                        bgr[c] += src->plane[0][sy * src->stride[0] + 4 * sx + c] *
                                  (k ? 0.125 : 0.25);
                }
            exact(bgr, yuv);
            near(yuv[1], out->plane[1][y / 2 * out->stride[1] + x / 2]);
            near(yuv[2], out->plane[2][y / 2 * out->stride[2] + x / 2]);
            picture_unref(&out);
            picture_unref(&src);
        }
    }
}

static void test_resize_damages_all(void **state)
{
    (void)state;
    struct converter *c = converter_new(PIX_I420);
    static const int sizes[][2] = {{64, 48}, {66, 50}, {64, 48}};
    struct picture *held = NULL;
    for (int i = 0; i < 3; i++) {
        struct picture *src = picture_new(PIX_BGRX, sizes[i][0], sizes[i][1]), *out;
        fill_random(src, (struct rect){0, 0, src->width, src->height});
        damage_clear(&src->damage);
        damage_add(&src->damage, (struct rect){2, 2, 4, 4});
        assert_int_equal(converter_run(c, src, &out), 0);
        assert_true(damage_is_all(&out->damage, src->width, src->height));
        struct picture *want = convert_whole(src, PIX_I420);
        assert_same_planes(want, out);
        picture_unref(&want);
        picture_unref(&held);
        held = out;
        picture_unref(&src);
    }
    picture_unref(&held);
    converter_free(&c);
}

/* Back to RGB by the decoder's path: every layout, matrix and range, both byte orders. */
static void test_to_rgb(void **state)
{
    (void)state;
    for (int v = 0; v < 3 * 4; v++) {
        enum pix_fmt fmt = v / 4 == 0 ? PIX_I420 : v / 4 == 1 ? PIX_I444 : PIX_NV12;
        bool full = v & 1, bt601 = v & 2;
        struct picture *p = picture_new(fmt, 32, 32);
        p->full_range = full;
        p->bt601 = bt601;
        double kr = bt601 ? 0.299 : 0.2126, kb = bt601 ? 0.114 : 0.0722;
        double r = 200, g = 60, b = 120;
        double yl = kr * r + (1 - kr - kb) * g + kb * b;
        double ys = full ? 1 : 219. / 255, cs = full ? 1 : 224. / 255;
        int yy = (int)lrint((full ? 0 : 16) + yl * ys);
        int uu = (int)lrint(128 + cs * (b - yl) / (2 * (1 - kb)));
        int vv = (int)lrint(128 + cs * (r - yl) / (2 * (1 - kr)));
        for (int i = 0; i < picture_planes(fmt); i++)
            for (int y = 0; y < picture_rows(fmt, 32, i); y++)
                for (int x = 0; x < picture_row_bytes(fmt, 32, i); x++)
                    p->plane[i][y * p->stride[i] + x] =
                        (uint8_t)(i == 0 ? yy : fmt == PIX_NV12 ? (x & 1 ? vv : uu)
                                            : i == 1            ? uu
                                                                : vv);
        for (int bytes = 3; bytes <= 4; bytes++)
            for (int red_first = 0; red_first < 2; red_first++) {
                uint8_t rgb[32 * 32 * 4];
                assert_int_equal(convert_yuv_to_rgb(p, rgb, 32 * bytes, bytes, red_first), 0);
                const uint8_t *px = rgb + 32 * bytes * 16 + bytes * 15;
                assert_in_range(px[red_first ? 0 : 2], 197, 203);
                assert_in_range(px[1], 57, 63);
                assert_in_range(px[red_first ? 2 : 0], 117, 123);
            }
        if (fmt == PIX_I420 || fmt == PIX_NV12 || full || bt601) {
            struct converter *c = converter_new(fmt == PIX_I444 ? PIX_I444 : PIX_I420);
            struct picture *out;
            damage_set_all(&p->damage, 32, 32);
            assert_int_equal(converter_run(c, p, &out), 0);
            double yuv[3];
            exact((double[3]){b, g, r}, yuv);
            for (int i = 0; i < 3; i++) {
                int got = out->plane[i][8 * out->stride[i] + 8];
                assert_in_range(got, (int)yuv[i] - 2, (int)yuv[i] + 3);
            }
            picture_unref(&out);
            converter_free(&c);
        }
        picture_unref(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),      cmocka_unit_test(test_vector_equals_plain),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_small_sizes),
        cmocka_unit_test(test_to_rgb),        cmocka_unit_test(test_resize_damages_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
