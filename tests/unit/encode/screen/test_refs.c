/* What the screen encoder refers to: pictures that were on the screen before, and, after losses,
 * what every viewer has. Random streams by seed; each is decoded by libavcodec, by libde265 where
 * it is, and followed by the receiver's own tracking of references. Of what a lossy channel drops
 * a decoder sees nothing: what it is given must all the same come out sample by sample.
 * HEVCAST_SCREEN_SEED runs one seed alone, HEVCAST_SCREEN_STREAMS so many. */
#include "avdecode.h"
#include "base/error.h"
#include "de265decode.h"
#include "decode/refs.h"
#include "encode/encoder.h"
#include "encode/screen/screen.h"
#include "rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <cmocka.h>

enum { SAVED = 4, NEWS = 64, SEEN = 512 };

struct news { /* on its way back to the sender */
    uint64_t pic_id;
    int due; /* call */
    bool lost;
};

struct world {
    struct encoder *e;
    struct avdecode *d;
    struct de265decode *second; /* NULL: not there */
    struct refs *refs;
    struct picture *pic, *saved[SAVED];
    uint64_t id;
    int call, loss_percent, delay;
    bool damage_pending;
    bool seen[SEEN]; /* by pic_id: the viewer decoded it */
    bool stuck;      /* it misses something */
    struct news news[NEWS];
    int news_n;
    int memory_used, repairs, keys, iraps_asked;
    bool want_key;
    size_t last_bytes;
    int64_t encode_us;
    bool more;
    bool stay; /* encoder_config.pictures_stay */
};

static void send_news(struct world *w, uint64_t pic_id, bool lost)
{
    if (w->news_n < NEWS)
        w->news[w->news_n++] = (struct news){pic_id, w->call + w->delay, lost};
}

static void hear_news(struct world *w)
{
    int n = 0;
    for (int i = 0; i < w->news_n; i++) {
        struct news *a = &w->news[i];
        if (a->due > w->call)
            w->news[n++] = *a;
        else if (!a->lost)
            encoder_screen.acked(w->e, a->pic_id);
        else
            w->want_key |= !encoder_screen.lost(w->e, a->pic_id);
    }
    w->news_n = n;
}

static bool has_all(const struct world *w, const struct access_unit *au)
{
    if (au->irap)
        return true;
    assert_true(au->n_refers > 0);
    for (int i = 0; i < au->n_refers; i++)
        if (!w->seen[au->refers_to[i] % SEEN])
            return false;
    return true;
}

static bool check(const char *what, struct picture *got, const struct picture *rec)
{
    bool good = got && same(rec, got);
    if (!good)
        print_error("%s: %s\n", what, got ? "differs" : "gave no picture");
    picture_unref(&got);
    return good;
}

/* The viewer gets an access unit. */
static bool receive(struct world *w, struct access_unit *au)
{
    bool irap, whole = has_all(w, au);
    enum refs_verdict v = refs_check(w->refs, au, &irap);
    if (au->irap)
        memset(w->seen, 0, sizeof w->seen);
    w->seen[au->pic_id % SEEN] = whole;
    if ((v == REFS_WHOLE) != whole) {
        print_error("the receiver thinks %d of a picture that is %swhole\n", v, whole ? "" : "not ");
        return false;
    }
    if (!whole) {
        w->stuck = true;
        send_news(w, au->pic_id, true);
        return true;
    }
    w->stuck = false;
    send_news(w, au->pic_id, false);
    const struct picture *rec = screen_reconstruction(w->e);
    return check("libavcodec", avdecode_run(w->d, au), rec) &&
           (!w->second || check("libde265", de265decode_run(w->second, au), rec));
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool code(struct world *w, struct encode_in in)
{
    struct encode_out out;
    struct picture *given = w->pic;
    if (w->stay) { /* the encoder may keep it; w->pic is painted on */
        given = picture_new(w->pic->fmt, w->pic->width, w->pic->height);
        assert_non_null(given);
        struct damage damage = w->pic->damage;
        copy_part(given, w->pic, (struct rect){0, 0, given->width, given->height});
        given->damage = damage;
        given->pts_us = w->pic->pts_us;
    }
    hear_news(w);
    w->call++;
    in.pic = given;
    in.damage = &w->pic->damage;
    in.pic_id = w->id + 1;
    in.key_wanted |= w->want_key;
    w->want_key = false;
    w->encode_us = cpu_us();
    if (encoder_screen.encode(w->e, &in, &out)) {
        print_error("%s\n", error_text());
        return false;
    }
    w->encode_us = cpu_us() - w->encode_us;
    if (w->stay)
        picture_unref(&given);
    damage_clear(&w->pic->damage);
    w->more = out.wants_more;
    if (!out.au)
        return true;
    w->id++;
    w->keys += out.au->irap;
    w->repairs += out.au->repair;
    w->memory_used += out.au->n_refers > 1;
    w->last_bytes = out.au->len;
    bool good = true;
    if ((int)rng(100) < w->loss_percent) {
        w->seen[out.au->pic_id % SEEN] = false;
        send_news(w, out.au->pic_id, true);
    } else {
        good = receive(w, out.au);
    }
    if (!good)
        print_error("picture %d (%s), %dx%d, format %d, %zu bytes\n", (int)w->id,
                    out.au->irap ? "IDR" : out.au->repair ? "repair" : "P", w->pic->width,
                    w->pic->height, w->pic->fmt, out.au->len);
    access_unit_unref(&out.au);
    return good;
}

static void world_open(struct world *w, const struct encoder_config *config)
{
    *w = (struct world){.d = avdecode_new(), .second = de265decode_new(), .refs = refs_new(),
                        .pic = picture_new(config->fmt, config->width, config->height)};
    assert_true(w->d && w->pic && w->refs);
    assert_int_equal(encoder_open(&w->e, &encoder_screen, config), 0);
    w->stay = config->pictures_stay;
    struct rect all = {0, 0, config->width, config->height};
    for (int i = 0; i < SAVED; i++) {
        w->saved[i] = picture_new(config->fmt, config->width, config->height);
        assert_non_null(w->saved[i]);
        paint(w->saved[i], all, (enum paint)rng(PAINT_KINDS));
        for (int k = 0; k < 3; k++)
            paint(w->saved[i], random_rect(w->pic), PAINT_TEXT);
    }
    damage_clear(&w->pic->damage);
    copy_part(w->pic, w->saved[0], all);
}

static void world_close(struct world *w)
{
    encoder_close(&w->e);
    avdecode_free(&w->d);
    de265decode_free(&w->second);
    refs_free(&w->refs);
    picture_unref(&w->pic);
    for (int i = 0; i < SAVED; i++)
        picture_unref(&w->saved[i]);
}

/* Another window comes up, whole or in part; or things change as anywhere; or it is saved. */
static void next_picture(struct world *w)
{
    struct rect all = {0, 0, w->pic->width, w->pic->height};
    uint32_t which = rng(SAVED);
    switch (rng(5)) {
    case 0: copy_part(w->pic, w->saved[which], all); break;
    case 1: copy_part(w->pic, w->saved[which], random_rect(w->pic)); break;
    case 2: copy_part(w->saved[which], w->pic, all); break;
    default: change(w->pic); break;
    }
}

static bool refine(struct world *w, int times)
{
    bool good = true;
    for (; times > 0 && w->more && good; times--)
        good = code(w, (struct encode_in){.budget_bytes = 6000, .refine = true});
    return good;
}

/* The channel is good from here on: all is exact at last. */
static bool settle(struct world *w)
{
    bool good = true;
    w->loss_percent = 0;
    for (int i = 0; good && (w->more || w->news_n > 0); i++)
        good = i < 600 && code(w, (struct encode_in){.budget_bytes = 20000, .refine = true});
    if (good && (w->stuck || !w->seen[w->id % SEEN])) {
        print_error("the viewer was left without the last picture\n");
        good = false;
    }
    return good;
}

static bool random_stream(uint32_t seed, int *memory, int *repairs)
{
    rng_seed(seed + 1000000);
    int most = rng(6) ? 200 : 400;
    static const int levels[] = {0, 186, 93, 153};
    struct encoder_config config = {.width = 40 + (int)rng((uint32_t)most),
                                    .height = 40 + (int)rng((uint32_t)most),
                                    .fmt = rng(3) ? PIX_I420 : PIX_I444, .fps = 30,
                                    .bitrate_bps = 8000000, .max_level_idc = levels[rng(4)]};
    config.pictures_stay = seed & 1;
    if (config.pictures_stay && seed & 2) { /* kept by reference: no edges */
        config.width &= ~7;
        config.height &= ~7;
    }
    struct world w;
    world_open(&w, &config);
    w.loss_percent = rng(2) ? 0 : 3 + (int)rng(30);
    w.delay = 1 + (int)rng(6);
    bool good = true;
    for (uint32_t n = 12 + rng(30), i = 0; i < n && good; i++) {
        next_picture(&w);
        good = code(&w, (struct encode_in){.budget_bytes = (size_t)1 << (9 + rng(10)),
                                           .key_wanted = rng(40) == 0}) &&
               refine(&w, (int)rng(4));
    }
    good = good && settle(&w);
    *memory += w.memory_used;
    *repairs += w.repairs;
    world_close(&w);
    return good;
}

static void test_random_streams(void **state)
{
    (void)state;
    const char *one = getenv("HEVCAST_SCREEN_SEED"), *many = getenv("HEVCAST_SCREEN_STREAMS");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    uint32_t count = 12;
#else
    uint32_t count = 50;
#endif
    if (many)
        count = (uint32_t)strtoul(many, NULL, 10);
    uint32_t first = one ? (uint32_t)strtoul(one, NULL, 10) : 0;
    int memory = 0, repairs = 0;
    for (uint32_t seed = first; seed < (one ? first + 1 : count); seed++)
        if (!random_stream(seed, &memory, &repairs))
            fail_msg("stream %u", seed);
    print_message("%d pictures referred to memories, %d repaired a loss\n", memory, repairs);
    if (!one && count >= 10) { /* else it tests nothing */
        assert_true(memory > (int)count / 4);
        assert_true(repairs > (int)count / 4);
    }
}

/* Two windows of text that take turns: the first time each costs what it is; then a switch costs
 * some hundred bytes, and is exact when what was remembered was. A third of one over the other is
 * found again too. */
static void test_switch(void **state)
{
    (void)state;
    struct encoder_config config = {.width = 1280, .height = 720, .fmt = PIX_I420, .fps = 30,
                                    .bitrate_bps = 8000000, .pictures_stay = true};
    rng_seed(1);
    struct world w;
    world_open(&w, &config);
    struct rect all = {0, 0, config.width, config.height}, third = {200, 120, 640, 360};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 60; k++) /* lines of text on a page */
            paint(w.saved[i], (struct rect){40, 10 + 12 * k, 300 + (int)rng(800), 8}, PAINT_TEXT);
    copy_part(w.pic, w.saved[0], all);
    struct encode_in in = {.budget_bytes = 1 << 20};
    assert_true(code(&w, in) && settle(&w));
    size_t most = 0;
    for (int i = 1; i < 9; i++) {
        bool part = i > 5;
        if (i == 6) { /* the third window is new */
            copy_part(w.pic, w.saved[3], third);
            assert_true(code(&w, in) && settle(&w));
            continue;
        }
        copy_part(w.pic, w.saved[part ? i == 7 ? 1 : 3 : i % 2], part ? third : all);
        w.last_bytes = 0;
        assert_true(code(&w, in));
        print_message("switch %d: %d bytes, %d us of CPU%s\n", i, (int)w.last_bytes, (int)w.encode_us,
                      w.more ? ", not exact" : "");
        size_t bytes = w.last_bytes;
        assert_true(settle(&w));
        assert_false(w.more);
        if (i > 1 && bytes > most)
            most = bytes;
    }
    assert_true(most > 0 && most <= 1000);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
