/* The screen encoder against libavcodec, and libde265 where it is: whatever is coded, the decoder's picture is the
 * encoder's reconstruction, sample by sample. Random streams by seed; HEVCAST_SCREEN_STREAMS says
 * how many (a failing seed is printed; HEVCAST_SCREEN_SEED runs that one alone). */
#include "avdecode.h"
#include "base/error.h"
#include "de265decode.h"
#include "encode/encoder.h"
#include "encode/screen/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

static uint32_t rng_state;

static uint32_t rng(uint32_t below)
{
    rng_state = rng_state * 1664525u + 1013904223u;
    return below ? (rng_state >> 8) % below : 0;
}

static void plane_size(const struct picture *p, int i, int *w, int *h)
{
    *w = picture_row_bytes(p->fmt, p->width, i);
    *h = picture_rows(p->fmt, p->height, i);
}

enum paint { PAINT_FLAT, PAINT_NOISE, PAINT_SMOOTH, PAINT_TEXT, PAINT_KINDS };

static void paint(struct picture *p, struct rect r, enum paint kind)
{
    int shift = p->fmt == PIX_I420;
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h, base = (int)rng(256), ink = (int)rng(256);
        plane_size(p, i, &w, &h);
        int x1 = (r.x + r.w + s) >> s, y1 = (r.y + r.h + s) >> s;
        for (int y = r.y >> s; y < y1 && y < h; y++)
            for (int x = r.x >> s; x < x1 && x < w; x++) {
                int v = base;
                if (kind == PAINT_NOISE)
                    v = (int)rng(256);
                else if (kind == PAINT_SMOOTH)
                    v = base + x * 3 / 2 - y + (int)rng(3);
                else if (kind == PAINT_TEXT)
                    v = rng(3) ? base : ink;
                p->plane[i][(ptrdiff_t)y * p->stride[i] + x] = (uint8_t)v;
            }
    }
}

static struct rect random_rect(const struct picture *p)
{
    struct rect r = {(int)rng((uint32_t)p->width), (int)rng((uint32_t)p->height), 0, 0};
    r.w = 1 + (int)rng((uint32_t)(p->width - r.x));
    r.h = 1 + (int)rng((uint32_t)(p->height - r.y));
    return r;
}

/* Moves a rectangle of the picture by any vector within it: a scroll, or a dragged window. */
static void move(struct picture *p, struct damage *damage)
{
    struct rect r = random_rect(p);
    int dx = (int)rng((uint32_t)(p->width - r.w + 1)) - r.x;
    int dy = (int)rng((uint32_t)(p->height - r.h + 1)) - r.y;
    if (rng(2))
        dx = 0;
    struct picture *old = picture_new(p->fmt, p->width, p->height);
    assert_non_null(old);
    int shift = p->fmt == PIX_I420;
    for (int i = 0; i < 3; i++) {
        int s = i ? shift : 0, w, h;
        plane_size(p, i, &w, &h);
        for (int y = 0; y < h; y++)
            memcpy(old->plane[i] + (ptrdiff_t)y * old->stride[i],
                   p->plane[i] + (ptrdiff_t)y * p->stride[i], (size_t)w);
        for (int y = r.y >> s; y < (r.y + r.h) >> s; y++)
            for (int x = r.x >> s; x < (r.x + r.w) >> s; x++) {
                int tx = x + (dx >> s), ty = y + (dy >> s);
                if (tx >= 0 && ty >= 0 && tx < w && ty < h)
                    p->plane[i][(ptrdiff_t)ty * p->stride[i] + tx] =
                        old->plane[i][(ptrdiff_t)y * old->stride[i] + x];
            }
    }
    picture_unref(&old);
    damage_set_all(damage, p->width, p->height);
}

static void change(struct picture *p)
{
    damage_clear(&p->damage);
    for (uint32_t n = 1 + rng(4); n > 0; n--) {
        struct rect r = random_rect(p);
        switch (rng(4)) {
        case 0: move(p, &p->damage); break;
        case 1: damage_add(&p->damage, r); break; /* damage without a change */
        default:
            paint(p, r, (enum paint)rng(PAINT_KINDS));
            r.x &= ~1;
            r.y &= ~1;
            r.w += 2;
            r.h += 2;
            damage_add(&p->damage, r);
            break;
        }
    }
    damage_clip(&p->damage, p->width, p->height, 2);
}

/* The first sample at which the decoder differs; the number of planes if none does. */
static bool same(const struct picture *rec, const struct picture *got)
{
    for (int i = 0; i < 3; i++) {
        int w, h;
        plane_size(got, i, &w, &h);
        for (int y = 0; y < h; y++) {
            const uint8_t *a = rec->plane[i] + (ptrdiff_t)y * rec->stride[i];
            const uint8_t *b = got->plane[i] + (ptrdiff_t)y * got->stride[i];
            for (int x = 0; x < w; x++)
                if (a[x] != b[x]) {
                    print_error("plane %d differs at %d,%d: %d, decoded %d\n", i, x, y, a[x], b[x]);
                    return false;
                }
        }
    }
    return true;
}

static bool equals_source(const struct picture *src, const struct picture *got)
{
    for (int i = 0; i < 3; i++) {
        int w, h;
        plane_size(src, i, &w, &h);
        for (int y = 0; y < h; y++)
            if (memcmp(src->plane[i] + (ptrdiff_t)y * src->stride[i],
                       got->plane[i] + (ptrdiff_t)y * got->stride[i], (size_t)w))
                return false;
    }
    return true;
}

struct stream {
    struct encoder *e;
    struct avdecode *d;
    struct de265decode *second; /* NULL: not there */
    struct picture *pic;
    uint64_t id;
};

static bool code(struct stream *s, struct encode_in in, bool *more)
{
    struct encode_out out;
    in.pic = s->pic;
    in.damage = &s->pic->damage;
    in.pic_id = ++s->id;
    if (encoder_screen.encode(s->e, &in, &out)) {
        print_error("%s\n", error_text());
        return false;
    }
    *more = out.wants_more;
    if (!out.au)
        return true;
    struct picture *got = avdecode_run(s->d, out.au);
    bool good = got && same(screen_reconstruction(s->e), got);
    if (!got)
        print_error("picture %d was not decoded\n", (int)s->id);
    if (good && s->second) {
        struct picture *again = de265decode_run(s->second, out.au);
        good = again && same(screen_reconstruction(s->e), again);
        if (!good)
            print_error("by libde265%s\n", again ? "" : ", which gave none");
        picture_unref(&again);
    }
    if (good && !*more)
        good = equals_source(s->pic, got);
    if (!good)
        print_error("picture %d, %dx%d, format %d, qp %d, %zu bytes\n", (int)s->id, s->pic->width,
                    s->pic->height, s->pic->fmt, out.au->qp, out.au->len);
    picture_unref(&got);
    access_unit_unref(&out.au);
    return good;
}

static bool random_stream(uint32_t seed)
{
    rng_state = seed * 2654435761u + 1;
    enum pix_fmt fmt = rng(3) ? PIX_I420 : PIX_I444;
    int most = rng(8) ? 200 : 420;
    struct encoder_config config = {16 + (int)rng((uint32_t)most), 16 + (int)rng((uint32_t)most),
                                    fmt, 30, 8000000};
    struct stream s = {.d = avdecode_new(), .second = de265decode_new(),
                       .pic = picture_new(fmt, config.width, config.height)};
    assert_int_equal(encoder_open(&s.e, &encoder_screen, &config), 0);
    assert_true(s.d && s.pic);
    paint(s.pic, (struct rect){0, 0, config.width, config.height},
          (enum paint)rng(PAINT_KINDS));
    bool good = true, more = true;
    for (uint32_t n = 2 + rng(8), i = 0; i < n && good; i++) {
        change(s.pic);
        struct encode_in in = {.budget_bytes = (size_t)1 << (6 + rng(13)),
                               .key_wanted = rng(12) == 0};
        good = code(&s, in, &more);
        for (uint32_t r = rng(4); r > 0 && more && good; r--) {
            damage_clear(&s.pic->damage);
            good = code(&s, (struct encode_in){.budget_bytes = 4000, .refine = true}, &more);
        }
    }
    for (int i = 0; more && good; i++) { /* until it is exact */
        damage_clear(&s.pic->damage);
        good = i < 500 && code(&s, (struct encode_in){.budget_bytes = 20000, .refine = true},
                               &more);
    }
    encoder_close(&s.e);
    avdecode_free(&s.d);
    de265decode_free(&s.second);
    picture_unref(&s.pic);
    return good;
}

static void test_random_streams(void **state)
{
    (void)state;
    const char *one = getenv("HEVCAST_SCREEN_SEED"), *many = getenv("HEVCAST_SCREEN_STREAMS");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    uint32_t count = 25;
#else
    uint32_t count = 150;
#endif
    if (many)
        count = (uint32_t)strtoul(many, NULL, 10);
    uint32_t first = one ? (uint32_t)strtoul(one, NULL, 10) : 0;
    for (uint32_t seed = first; seed < (one ? first + 1 : count); seed++)
        if (!random_stream(seed))
            fail_msg("stream %u", seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
