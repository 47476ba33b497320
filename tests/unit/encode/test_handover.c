/* The hand-over between the screen encoder and x265: the decision, and that what comes out decodes. */
#include "base/error.h"
#include "decode/decoder.h"
#include "encode/handover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void film_hands_over_and_stillness_back(void **state)
{
    (void)state;
    struct handover_policy p;
    handover_policy_init(&p);
    int64_t now = 1000000;
    for (int i = 0; i < 4; i++)
        handover_policy_picture(&p, 200000, 200000, 0.5);
    assert_false(handover_policy_change(&p, false, now));
    handover_policy_picture(&p, 200000, 200000, 0.5);
    assert_true(handover_policy_change(&p, false, now));
    assert_int_equal(p.side, HANDOVER_FILM);
    for (int i = 0; i < 100; i++)
        handover_policy_picture(&p, 90000, 90000, 0.5);
    assert_false(handover_policy_change(&p, true, now + 1000)); /* an IDR was just made */
    assert_false(handover_policy_change(&p, false, now + 5000000)); /* x265 is faster: it stays */
    assert_true(handover_policy_change(&p, true, now + 5000000));
    assert_int_equal(p.side, HANDOVER_SCREEN);
}

static void single_slow_pictures_do_not_count(void **state)
{
    (void)state;
    struct handover_policy p;
    handover_policy_init(&p);
    for (int i = 0; i < 100; i++) {
        handover_policy_picture(&p, i % 3 ? 5000 : 300000, i % 3 ? 5000 : 300000, 0.5);
        assert_false(handover_policy_change(&p, false, i * 33000));
    }
    for (int i = 0; i < 100; i++) /* others use the processor */
        handover_policy_picture(&p, 300000, 20000, 0.5);
    assert_false(handover_policy_change(&p, false, 100000000));
    for (int i = 0; i < 100; i++) /* slow, though hardly anything changed: the machine is busy */
        handover_policy_picture(&p, 300000, 300000, 0.01);
    assert_false(handover_policy_change(&p, false, 100000000));
}

static void a_film_encoder_that_is_no_faster_gives_back(void **state)
{
    (void)state;
    struct handover_policy p;
    handover_policy_init(&p);
    int64_t now = 10000000, last = 0;
    int changes = 0;
    for (int i = 0; i < 10000; i++, now += 100000) {
        handover_policy_picture(&p, 120000, 120000, 1); /* both take 120 ms */
        if (!handover_policy_change(&p, false, now))
            continue;
        changes++;
        if (p.side == HANDOVER_FILM) {
            if (last)
                assert_true(now - last > 20000000);
            last = now;
        }
    }
    assert_in_range(changes, 4, 16); /* in 1000 s: it tries again, ever more seldom */
}

/* What looked slow for a moment does not stay with x265 for ever, though nothing stands still. */
static void film_is_doubted_after_a_while(void **state)
{
    (void)state;
    struct handover_policy p;
    handover_policy_init(&p);
    int64_t now = 10000000;
    for (int i = 0; i < 5; i++)
        handover_policy_picture(&p, 400000, 150000, 0.5);
    assert_true(handover_policy_change(&p, false, now));
    for (int i = 0; i < 19; i++, now += 1000000) {
        handover_policy_picture(&p, 90000, 90000, 0.5);
        assert_false(handover_policy_change(&p, false, now));
    }
    now += 1000000;
    assert_true(handover_policy_change(&p, false, now));
    assert_int_equal(p.side, HANDOVER_SCREEN);
    handover_policy_picture(&p, 12000, 12000, 0.5);
    assert_false(handover_policy_change(&p, false, now + 5000000));
}

static void fill(struct picture *p, unsigned seed)
{
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++)
            for (int x = 0; x < picture_row_bytes(p->fmt, p->width, i); x++) {
                seed = seed * 1664525 + 1013904223;
                p->plane[i][y * p->stride[i] + x] = (uint8_t)(100 + (seed >> 27) + x / 8);
            }
}

/* Every picture is "slow": it goes to x265 and, when still, back; each of them decodes. */
static void what_comes_out_decodes(void **state)
{
    (void)state;
    struct encoder_config c = {.width = 320, .height = 192, .fmt = PIX_I420, .fps = 30,
                               .bitrate_bps = 8000000};
    struct encoder *e = NULL;
    struct decoder *d = NULL;
    assert_int_equal(encoder_open(&e, &encoder_handover, &c), 0);
    assert_int_equal(decoder_open(&d, "cpu"), 0);
    handover_policy_of(e)->slow_us = -1;
    struct picture *two[2] = {picture_new(PIX_I420, 320, 192), picture_new(PIX_I420, 320, 192)};
    struct damage all, none = {.n = 0};
    damage_set_all(&all, 320, 192);
    int keys = 0, shown = 0, sent = 0;
    bool was_film = false, was_back = false;
    for (int i = 0; i < 16; i++) {
        bool refine = i >= 12;
        struct picture *pic = two[refine ? 1 : i & 1];
        if (!refine)
            fill(pic, (unsigned)i);
        if (i == 12) {
            handover_policy_of(e)->hold_until_us = 0;
            handover_age(e, 1000000);
        }
        struct encode_in in = {.pic = pic, .damage = &all, .pic_id = (uint64_t)i + 1,
                               .budget_bytes = 60000, .refine = refine};
        if (refine)
            in.damage = &none;
        struct encode_out out = {0};
        assert_int_equal(e->ops->encode(e, &in, &out), 0);
        was_film |= handover_policy_of(e)->side == HANDOVER_FILM;
        was_back |= was_film && handover_policy_of(e)->side == HANDOVER_SCREEN;
        if (!out.au)
            continue;
        sent++;
        keys += out.au->irap;
        struct picture *got = NULL;
        assert_int_equal(decoder_decode(d, out.au, &got), 0);
        if (got) {
            shown++;
            assert_int_equal(got->width, 320);
            assert_true(abs(got->plane[0][0] - pic->plane[0][0]) < 60);
        }
        picture_unref(&got);
        access_unit_unref(&out.au);
    }
    assert_true(was_film);
    assert_true(was_back);
    assert_int_equal(keys, 3); /* the first, and one for each hand-over */
    assert_int_equal(shown, sent);
    picture_unref(&two[0]);
    picture_unref(&two[1]);
    encoder_close(&e);
    decoder_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(film_hands_over_and_stillness_back),
        cmocka_unit_test(single_slow_pictures_do_not_count),
        cmocka_unit_test(a_film_encoder_that_is_no_faster_gives_back),
        cmocka_unit_test(film_is_doubted_after_a_while),
        cmocka_unit_test(what_comes_out_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
