/* The screen encoder against libavcodec, and libde265 where it is: whatever is coded, the decoder's
 * picture is the encoder's reconstruction, sample by sample; and the bits are the same with any number
 * of threads. Random streams by seed:
 *
 *     unit-screen-stream [FIRST COUNT]
 *
 * A failing seed is printed; HEVCAST_SCREEN_SEED runs that one alone. Time goes by samples and bits,
 * most of it to the decoders; so most streams are of up to four tree blocks, and one in 64 is large.
 * The decoders stay from stream to stream, as a viewer's do: each stream begins with an IDR. */
#include "avdecode.h"
#include "base/error.h"
#include "base/pool.h"
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

enum { QPS = 52 };

/* Kept for all streams. */
static struct {
    struct avdecode *d;
    struct de265decode *second; /* NULL: not there */
    unsigned pictures, of_qp[QPS]; /* 0: lossless */
} all;

static uint32_t first_seed, seeds = 300;

struct stream {
    struct encoder *e;
    struct picture *pic;
    struct encoder *twin;        /* NULL, or with another pool: gives the same bits */
    uint64_t id;
};

enum { POOLS = 2 };
static const int pool_sizes[POOLS] = {1, 3};
static struct pool *pools[POOLS];

static bool twin_agrees(struct stream *s, const struct encode_in *in, const struct access_unit *au)
{
    struct encode_out out;
    if (!s->twin)
        return true;
    if (encoder_screen.encode(s->twin, in, &out))
        return false;
    bool good = !au == !out.au &&
                (!au || (au->len == out.au->len && !memcmp(au->data, out.au->data, au->len)));
    if (!good)
        print_error("other bits with other threads, picture %d\n", (int)s->id);
    access_unit_unref(&out.au);
    return good;
}

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
    if (!twin_agrees(s, &in, out.au)) {
        access_unit_unref(&out.au);
        return false;
    }
    if (!out.au)
        return true;
    struct picture *got = avdecode_run(all.d, out.au);
    bool good = got && same(screen_reconstruction(s->e), got);
    all.pictures++;
    all.of_qp[out.au->qp]++;
    if (!got)
        print_error("picture %d was not decoded\n", (int)s->id);
    if (good && all.second) {
        struct picture *again = de265decode_run(all.second, out.au);
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
    static const int levels[] = {0, 186, 93, 153};
    rng_seed(seed);
    enum pix_fmt fmt = rng(3) ? PIX_I420 : PIX_I444;
    uint32_t most = rng(64) == 0 ? 420 : rng(5) ? 56 : 112;
    struct encoder_config config = {16 + (int)rng(most), 16 + (int)rng(most), fmt, 30, 8000000,
                                    levels[rng(4)], .pool = rng(2) ? pools[0] : NULL};
    struct stream s = {.pic = picture_new(fmt, config.width, config.height)};
    assert_int_equal(encoder_open(&s.e, &encoder_screen, &config), 0);
    assert_non_null(s.pic);
    if (config.pool && (most > 400 || rng(4) == 0)) {
        config.pool = pools[1];
        assert_int_equal(encoder_open(&s.twin, &encoder_screen, &config), 0);
    }
    paint(s.pic, (struct rect){0, 0, config.width, config.height},
          (enum paint)rng(PAINT_KINDS));
    bool good = true, more = true;
    for (uint32_t n = 2 + rng(8), i = 0; i < n && good; i++) {
        change(s.pic);
        struct encode_in in = {.budget_bytes = (size_t)1 << (4 + rng(10)),
                               .key_wanted = rng(12) == 0};
        good = code(&s, in, &more);
        for (uint32_t r = rng(4); r > 0 && more && good; r--) {
            damage_clear(&s.pic->damage);
            good = code(&s, (struct encode_in){.budget_bytes = 1000, .refine = true}, &more);
        }
    }
    for (int i = 0; more && good; i++) { /* until it is exact */
        damage_clear(&s.pic->damage);
        good = i < 500 && code(&s, (struct encode_in){.budget_bytes = 20000, .refine = true},
                               &more);
    }
    encoder_close(&s.e);
    encoder_close(&s.twin);
    picture_unref(&s.pic);
    return good;
}

static void test_random_streams(void **state)
{
    (void)state;
    all.d = avdecode_new();
    all.second = de265decode_new();
    assert_non_null(all.d);
    for (int i = 0; i < POOLS; i++)
        assert_non_null(pools[i] = pool_new(pool_sizes[i], "rows"));
    for (uint32_t seed = first_seed; seed < first_seed + seeds; seed++)
        if (!random_stream(seed))
            fail_msg("stream %u", seed);
    avdecode_free(&all.d);
    de265decode_free(&all.second);
    for (int i = 0; i < POOLS; i++)
        pool_free(&pools[i]);
    unsigned kinds = 0;
    for (int qp = 0; qp < QPS; qp++)
        kinds += all.of_qp[qp] > 0;
    print_message("%u streams, %u pictures of %u QPs, %u of them lossless\n", seeds, all.pictures,
                  kinds, all.of_qp[0]);
    if (seeds >= 1000) /* QP 10 to 51, and lossless: else much is not tested */
        assert_true(kinds >= 43);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_streams),
    };
    const char *one = getenv("HEVCAST_SCREEN_SEED");
    if (argc == 3) {
        first_seed = (uint32_t)strtoul(argv[1], NULL, 10);
        seeds = (uint32_t)strtoul(argv[2], NULL, 10);
    }
    if (one) {
        first_seed = (uint32_t)strtoul(one, NULL, 10);
        seeds = 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
