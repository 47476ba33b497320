/* The screen encoder against libavcodec, and libde265 where it is: whatever is coded, the decoder's picture is the
 * encoder's reconstruction, sample by sample. Random streams by seed; HEVCAST_SCREEN_STREAMS says
 * how many (a failing seed is printed; HEVCAST_SCREEN_SEED runs that one alone). */
#include "avdecode.h"
#include "base/error.h"
#include "de265decode.h"
#include "encode/encoder.h"
#include "encode/screen/screen.h"
#include "rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

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
    rng_seed(seed);
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
    uint32_t count = 1000;
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
