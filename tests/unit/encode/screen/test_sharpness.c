/* How soon a change is sharp, and how well pictures keep to their bytes, in virtual time: the encoder
 * is called 30 times a second with what a link of 10 Mb/s carries between two calls; what it gives
 * arrives when the link has carried it. */
#include "convert/convert.h"
#include "encode/encoder.h"
#include "encode/screen/screen.h"
#include "rig.h"
#include "scenes.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

enum { WIDTH = 1920, HEIGHT = 1080, RATE = 10000000, FPS = 30, BUDGET = RATE / 8 / FPS };

struct world {
    struct scene scene; /* owns its picture, BGRX */
    struct converter *converter;
    struct picture *pic; /* I420 */
    struct encoder *e;
    uint64_t id;
    bool more;
};

struct outcome {
    size_t total;
    size_t first;   /* bytes of the first picture that shows the change */
    int qp;
    int sharp_ms, exact_ms; /* when 45 dB-Y, and the source itself, had arrived; -1: never */
    double psnr_500;        /* what had arrived after 500 ms */
};

static size_t encode(struct world *w, size_t budget, bool refine, int *qp)
{
    struct encode_out out;
    struct encode_in in = {.pic = w->pic, .damage = &w->scene.pic->damage, .pic_id = ++w->id,
                           .budget_bytes = budget, .refine = refine};
    w->pic->pts_us = (int64_t)w->id * 1000000 / FPS;
    assert_int_equal(encoder_screen.encode(w->e, &in, &out), 0);
    damage_clear(&w->scene.pic->damage);
    w->more = out.wants_more;
    size_t len = out.au ? out.au->len : 0;
    if (out.au && qp)
        *qp = out.au->qp;
    access_unit_unref(&out.au);
    return len;
}

#if defined(__SANITIZE_THREAD__)
enum { SHARE = 3 }; /* a third: there is one thread here, and it is slow */
#else
enum { SHARE = 1 };
#endif

static void world_open(struct world *w, enum scene_kind kind)
{
    *w = (struct world){.converter = converter_new(PIX_I420)};
    struct encoder_config config = {WIDTH, HEIGHT, PIX_I420, FPS, RATE, 186, false};
    assert_true(w->converter && scene_init(&w->scene, kind, WIDTH, HEIGHT));
    assert_int_equal(encoder_open(&w->e, &encoder_screen, &config), 0);
    assert_int_equal(converter_run(w->converter, w->scene.pic, &w->pic), 0);
    encode(w, 1 << 24, false, NULL); /* with so many bytes it is exact at once */
    assert_false(w->more);
}

static void world_close(struct world *w)
{
    encoder_close(&w->e);
    converter_free(&w->converter);
    picture_unref(&w->pic);
    scene_free(&w->scene);
}

struct change {
    const char *name;
    struct rect text; /* that is written; w 0: another scene instead */
    enum scene_kind kind;
};

static void apply(struct world *w, const struct change *c)
{
    uint32_t seed = 99;
    if (c->text.w) {
        scene_text(w->scene.pic, c->text, 0x202020, 0xfcfcfc, &seed);
        damage_add(&w->scene.pic->damage, c->text);
    } else {
        struct scene other;
        assert_true(scene_init(&other, c->kind, WIDTH, HEIGHT));
        scene_free(&w->scene);
        w->scene = other;
    }
    picture_unref(&w->pic);
    assert_int_equal(converter_run(w->converter, w->scene.pic, &w->pic), 0);
}

static size_t lossless_size(const struct change *c)
{
    struct world w;
    world_open(&w, SCENE_STILL);
    apply(&w, c);
    size_t len = encode(&w, 1 << 24, false, NULL);
    for (int i = 0; i < 20 && w.more; i++) /* chroma of moved blocks may be left for later */
        len += encode(&w, 1 << 24, true, NULL);
    assert_false(w.more);
    world_close(&w);
    return len;
}

static struct outcome run(const struct change *c)
{
    struct outcome o = {.sharp_ms = -1, .exact_ms = -1};
    struct world w;
    world_open(&w, SCENE_STILL);
    apply(&w, c);
    double free_ms = 0; /* when the link has carried all */
    for (int call = 0; call < 10 * FPS && o.exact_ms < 0; call++) {
        double now_ms = call * 1000. / FPS;
        if (free_ms > now_ms + 1000. / FPS)
            continue; /* the sender waits for its link */
        size_t len = encode(&w, BUDGET, call > 0, call ? NULL : &o.qp);
        o.total += len;
        o.first = call ? o.first : len;
        free_ms = (free_ms > now_ms ? free_ms : now_ms) + (double)len * 8000 / RATE;
        double psnr = plane_psnr(w.pic, screen_reconstruction(w.e), 0);
        if (free_ms <= 500)
            o.psnr_500 = psnr;
        if (o.sharp_ms < 0 && psnr >= 45)
            o.sharp_ms = (int)free_ms;
        if (!w.more)
            o.exact_ms = (int)free_ms;
    }
    world_close(&w);
    return o;
}

static void test_sharp(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"a word", {300, 300, 64, 16}, 0},
        {"a tenth of text", {100, 100, 600, 345}, 0},
        {"a third of text", {100, 100, 1000, 690}, 0},
        {"half of text", {100, 100, 1300, 800}, 0},
        {"a screen of text", {0, 0, WIDTH, HEIGHT}, 0},
        {"a page with pictures", {0}, SCENE_PAGE},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0] / SHARE; i++) {
        size_t size = lossless_size(&changes[i]);
        struct outcome o = run(&changes[i]);
        print_message("%-22s %7zu bytes lossless; first %6zu (budget %d) at qp %d, %.1f dB-Y after "
                      "500 ms, 45 dB-Y after %d ms, exact after %d ms, %zu bytes\n",
                      changes[i].name, size, o.first, BUDGET, o.qp, o.psnr_500, o.sharp_ms,
                      o.exact_ms, o.total);
        assert_true(o.exact_ms >= 0 && o.exact_ms <= (size <= 300000 ? 500 : 2000));
        assert_true(o.psnr_500 >= 45 && o.sharp_ms >= 0 && o.sharp_ms <= 500);
        assert_true((double)o.first <= 1.1 * BUDGET);
    }
}

/* A change of the whole screen, then what scrolls or moves there, at 1 to 16 Mb/s: each picture comes at
 * once, and one that cannot be exact is as coarse as it must be: within a tenth of its bytes. At QP
 * 51 it cannot be coarser. */
static void test_budget(void **state)
{
    (void)state;
    static const enum scene_kind kinds[] = {SCENE_TERMINAL, SCENE_PAGE, SCENE_FILM};
    double most = 0, least = 9;
    int n = 0;
    for (size_t k = 0; k < 3 / SHARE; k++)
        for (int mbps = 1; mbps <= 16; mbps *= 4) {
            size_t budget = (size_t)mbps * 1000000 / 8 / FPS;
            struct change c = {.kind = kinds[k]};
            struct world w;
            world_open(&w, SCENE_STILL);
            apply(&w, &c);
            for (int i = 0; i < 7; i++) {
                int qp = 0;
                size_t len = encode(&w, budget, false, &qp);
                double share = (double)len / (double)budget;
                assert_true(len > 0);
                if (qp > 0 && qp < 51) {
                    n++;
                    if (share > 1.1)
                        print_error("%s at %d Mb/s: picture %d took %.2f of its bytes\n",
                                    scene_name(kinds[k]), mbps, i, share);
                    most = share > most ? share : most;
                    least = share < least ? share : least;
                }
                if (i == 6)
                    break;
                scene_step(&w.scene);
                picture_unref(&w.pic);
                assert_int_equal(converter_run(w.converter, w.scene.pic, &w.pic), 0);
            }
            world_close(&w);
        }
    print_message("%d pictures took %.2f to %.2f of their bytes\n", n, least, most);
    assert_true(n > 30 / (SHARE * SHARE) && most <= 1.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sharp),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
