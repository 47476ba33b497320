/* x265 end to end: encoded, decoded by libavcodec, compared with what was given. */
#include "avdecode.h"
#include "base/error.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "hevc/nal.h"
#include "scenes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* x265 3.5 forgets its SAO buffers when SAO is off, and copies of file names: some kB a session. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libx265\n"; }

struct rig {
    struct encoder *e;
    struct converter *c;
    struct avdecode *d;
    struct picture *pic;  /* the planes that were encoded last */
    struct picture *shown; /* and as the decoder shows them */
    struct access_unit *au;
    bool wants_more;
    uint64_t id;
};

static void rig_open_for(struct rig *r, int w, int h, enum pix_fmt fmt, bool film)
{
    *r = (struct rig){0};
    struct encoder_config config = {.width = w, .height = h, .fmt = fmt, .fps = 30,
                                    .bitrate_bps = 8000000, .film = film};
    assert_int_equal(encoder_open(&r->e, &encoder_x265, &config), 0);
    r->c = converter_new(fmt);
    r->d = avdecode_new();
    assert_non_null(r->c);
    assert_non_null(r->d);
}

static void rig_open(struct rig *r, int w, int h, enum pix_fmt fmt)
{
    rig_open_for(r, w, h, fmt, false);
}

static void rig_close(struct rig *r)
{
    encoder_close(&r->e);
    converter_free(&r->c);
    avdecode_free(&r->d);
    picture_unref(&r->pic);
    picture_unref(&r->shown);
    access_unit_unref(&r->au);
}

/* Encodes and, when something comes out, decodes. */
static void rig_run(struct rig *r, struct picture *bgrx, size_t budget, bool key, bool refine)
{
    picture_unref(&r->pic);
    access_unit_unref(&r->au);
    assert_int_equal(converter_run(r->c, bgrx, &r->pic), 0);
    struct encode_in in = {.pic = r->pic, .damage = &r->pic->damage, .pic_id = ++r->id,
                           .budget_bytes = budget, .key_wanted = key, .refine = refine};
    struct encode_out out;
    assert_int_equal(r->e->ops->encode(r->e, &in, &out), 0);
    r->au = out.au;
    r->wants_more = out.wants_more;
    if (!out.au)
        return;
    assert_int_equal(out.au->pic_id, r->id);
    assert_in_range(out.au->qp, 10, 51);
    assert_true(out.au->encode_us >= out.au->encode_start_us);
    picture_unref(&r->shown);
    r->shown = avdecode_run(r->d, out.au);
    assert_non_null(r->shown);
}

static int rig_refine(struct rig *r, struct picture *bgrx, size_t budget)
{
    int n = 0;
    damage_clear(&bgrx->damage);
    while (r->wants_more && n < 200) {
        rig_run(r, bgrx, budget, false, true);
        n++;
    }
    assert_false(r->wants_more);
    rig_run(r, bgrx, budget, false, true);
    assert_null(r->au); /* as good as it gets: nothing more is sent */
    return n;
}

/* 4-byte start codes alone; the types in order. */
static int nal_types(const struct access_unit *au, int types[16], struct nal first[16])
{
    size_t pos = 0;
    int n = 0;
    struct nal nal;
    while (n < 16 && annexb_next(au->data, au->len, &pos, &nal)) {
        assert_true(nal.data - au->data >= 4);
        assert_memory_equal(nal.data - 4, "\0\0\0\1", 4);
        first[n] = nal;
        types[n++] = nal_type(&nal);
    }
    return n;
}

static struct hevc_sps check_irap(const struct access_unit *au)
{
    int types[16];
    struct nal nals[16];
    int n = nal_types(au, types, nals);
    assert_true(au->irap);
    assert_true(n >= 4);
    assert_int_equal(types[0], NAL_VPS);
    assert_int_equal(types[1], NAL_SPS);
    assert_int_equal(types[2], NAL_PPS);
    for (int i = 3; i < n; i++)
        assert_true(types[i] == NAL_IDR_W_RADL || types[i] == NAL_IDR_N_LP);
    struct hevc_sps sps;
    assert_true(hevc_parse_sps(&nals[1], &sps));
    return sps;
}

static void check_trailing(const struct access_unit *au)
{
    int types[16];
    struct nal nals[16];
    int n = nal_types(au, types, nals);
    assert_false(au->irap);
    assert_true(n >= 1);
    for (int i = 0; i < n; i++)
        assert_int_equal(types[i], NAL_TRAIL_R);
}

static double psnr_y(const struct rig *r) { return plane_psnr(r->pic, r->shown, 0); }

static void test_parameter_sets(void **state)
{
    (void)state;
    static const struct {
        enum pix_fmt fmt;
        int w, h, fps, profile, chroma;
    } cases[] = {{PIX_I420, 320, 176, 30, 1, 1}, {PIX_I444, 320, 176, 60, 4, 3},
                 {PIX_I420, 1280, 720, 60, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;
        assert_true(scene_init(&s, SCENE_TERMINAL, cases[i].w, cases[i].h));
        struct rig r = {0};
        struct encoder_config config = {cases[i].w, cases[i].h, cases[i].fmt, cases[i].fps, 8000000};
        assert_int_equal(encoder_open(&r.e, &encoder_x265, &config), 0);
        r.c = converter_new(cases[i].fmt);
        r.d = avdecode_new();
        rig_run(&r, s.pic, 60000, false, false);
        struct hevc_sps sps = check_irap(r.au); /* the first is an IDR unasked */
        assert_int_equal(sps.profile_idc, cases[i].profile);
        assert_int_equal(sps.profile_idc, r.e->profile_idc);
        assert_int_equal(sps.level_idc, r.e->level_idc);
        assert_int_equal(sps.tier, 0);
        assert_int_equal(sps.chroma_format_idc, cases[i].chroma);
        assert_int_equal(sps.bit_depth_luma, 8);
        assert_int_equal(sps.max_num_reorder, 0);
        assert_true(sps.has_vui_colour);
        assert_false(sps.full_range);
        assert_int_equal(sps.colour_primaries, 1);
        assert_int_equal(sps.transfer, 1);
        assert_int_equal(sps.matrix, 1);
        assert_int_equal(r.au->width, cases[i].w);
        for (int k = 0; k < 6; k++) {
            scene_step(&s);
            rig_run(&r, s.pic, 60000, k == 3, false);
            if (k == 3)
                check_irap(r.au);
            else
                check_trailing(r.au);
            assert_true(psnr_y(&r) > 20);
        }
        rig_close(&r);
        scene_free(&s);
    }
}

static void test_colour_bars(void **state)
{
    (void)state;
    static const int want[8][3] = {/* BT.709 limited range, 100 % bars */
                                   {235, 128, 128}, {219, 16, 138}, {188, 154, 16}, {173, 42, 26},
                                   {78, 214, 230},  {63, 102, 240}, {32, 240, 118}, {16, 128, 128}};
    for (int f = 0; f < 2; f++) {
        enum pix_fmt fmt = f ? PIX_I444 : PIX_I420;
        struct picture *bars = picture_new(PIX_BGRX, 640, 360);
        scene_bars(bars);
        damage_set_all(&bars->damage, 640, 360);
        struct rig r;
        rig_open(&r, 640, 360, fmt);
        rig_run(&r, bars, 30000, true, false);
        rig_refine(&r, bars, 30000);
        for (int i = 0; i < 8; i++)
            for (int k = 0; k < 3; k++) {
                int s = k && fmt == PIX_I420 ? 1 : 0;
                for (int y = 8; y < 352; y += 5)
                    for (int x = 80 * i + 12; x < 80 * i + 68; x += 3) {
                        int got = r.shown->plane[k][(y >> s) * r.shown->stride[k] + (x >> s)];
                        if (abs(got - want[i][k]) > 2)
                            fail_msg("plane %d at %d,%d: %d instead of %d", k, x, y, got, want[i][k]);
                    }
            }
        picture_unref(&bars);
        rig_close(&r);
    }
}

static void test_refined_text(void **state)
{
    (void)state;
    struct scene s;
    assert_true(scene_init(&s, SCENE_STILL, 1280, 720));
    struct rig r;
    rig_open(&r, 1280, 720, PIX_I420);
    rig_run(&r, s.pic, 60000, false, false);
    double first = psnr_y(&r);
    assert_true(r.wants_more);
    rig_refine(&r, s.pic, 33000);
    assert_true(psnr_y(&r) > first + 3);
    assert_true(psnr_y(&r) >= 44);
    rig_close(&r);

    rig_open(&r, 1280, 720, PIX_I444);
    damage_set_all(&s.pic->damage, 1280, 720);
    rig_run(&r, s.pic, 60000, false, false);
    rig_refine(&r, s.pic, 33000);
    struct picture *rgb = picture_new(PIX_BGRX, 1280, 720);
    assert_int_equal(convert_yuv_to_rgb(r.shown, rgb->plane[0], rgb->stride[0], 4, false), 0);
    for (int y = 0; y < 720; y++) /* the fourth byte is not compared */
        for (int x = 3; x < 4 * 1280; x += 4)
            rgb->plane[0][y * rgb->stride[0] + x] = s.pic->plane[0][y * s.pic->stride[0] + x];
    assert_true(plane_psnr(s.pic, rgb, 0) > 40);
    picture_unref(&rgb);
    rig_close(&r);
    scene_free(&s);
}

/* *state: for film */
static void test_sizes(void **state)
{
    bool film = *state;
    static const int sizes[][2] = {{17, 16},  {18, 33},  {32, 32},  {64, 200},   {33, 47},   {64, 64},
                                   {65, 63},  {99, 101}, {128, 130}, {322, 181}, {250, 642},
                                   {1366, 70}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int f = 0; f < 2; f++) {
            enum pix_fmt fmt = f ? PIX_I444 : PIX_I420;
            int w = sizes[i][0], h = sizes[i][1];
            struct scene s;
            assert_true(scene_init(&s, SCENE_PAGE, w, h));
            struct rig r;
            rig_open_for(&r, w, h, fmt, film);
            rig_run(&r, s.pic, 20000, false, false);
            for (int k = 0; k < 4; k++) {
                /* 4:2:0 has an even size; the decoded picture then holds one row or column more. */
                assert_int_equal(r.shown->width, f ? w : (w + 1) & ~1);
                assert_int_equal(r.shown->height, f ? h : (h + 1) & ~1);
                assert_int_equal(r.au->width, r.shown->width);
                assert_int_equal(r.au->height, r.shown->height);
                if (!f && w & 1)
                    assert_in_range(r.shown->plane[0][w] - r.shown->plane[0][w - 1] + 30, 0, 60);
                damage_clear(&s.pic->damage);
                struct rect part = {w / 3, h / 2, 9, 5};
                scene_fill(s.pic, part, k & 1 ? 0xff8000 : 0x0080ff);
                damage_add(&s.pic->damage, part);
                damage_clip(&s.pic->damage, w, h, 1);
                rig_run(&r, s.pic, 20000, false, false);
                assert_non_null(r.au);
            }
            rig_refine(&r, s.pic, 20000);
            for (int p = 0; p < 3; p++)
                if (plane_psnr(r.pic, r.shown, p) < 38)
                    fail_msg("%dx%d plane %d: %f", w, h, p, plane_psnr(r.pic, r.shown, p));
            scene_free(&s);
            rig_close(&r);
        }
    }
    struct encoder_config tiny = {8, 40, PIX_I420, 30, 1000000};
    struct encoder *e;
    assert_int_equal(encoder_open(&e, &encoder_x265, &tiny), ERR_UNSUPPORTED);
    assert_null(e);
    assert_non_null(strstr(error_text(), "17x16"));
}

/* Damage of a pixel changes nothing else: what was sharp stays sharp, at any QP. */
static void test_small_change(void **state)
{
    (void)state;
    struct scene s;
    assert_true(scene_init(&s, SCENE_TYPING, 1280, 720));
    struct rig r;
    rig_open(&r, 1280, 720, PIX_I420);
    rig_run(&r, s.pic, 100000, false, false);
    rig_refine(&r, s.pic, 60000);
    double sharp = psnr_y(&r);
    for (int i = 0; i < 12; i++) {
        scene_step(&s);
        rig_run(&r, s.pic, i & 1 ? 33000 : 200, false, false);
        assert_non_null(r.au);
        check_trailing(r.au);
        assert_true(r.au->len < 3000);
        assert_true(psnr_y(&r) > sharp - 3);
    }
    rig_refine(&r, s.pic, 33000);
    assert_true(psnr_y(&r) > sharp - 0.5);
    damage_clear(&s.pic->damage);
    rig_run(&r, s.pic, 33000, false, false);
    assert_null(r.au); /* no damage: nothing */
    damage_set_all(&s.pic->damage, 1280, 720);
    rig_run(&r, s.pic, 33000, false, false);
    assert_null(r.au); /* damage that changed nothing: nothing */
    rig_run(&r, s.pic, 33000, true, false);
    check_irap(r.au);
    rig_close(&r);
    scene_free(&s);
}

/* Who goes on typing on a blurred screen sees it become sharp all the same. */
static void test_typing_sharpens(void **state)
{
    (void)state;
    struct scene s;
    assert_true(scene_init(&s, SCENE_TYPING, 1280, 720));
    struct rig r;
    rig_open(&r, 1280, 720, PIX_I420);
    rig_run(&r, s.pic, 40000, false, false);
    assert_true(psnr_y(&r) < 35);
    for (int i = 0; i < 45 && r.wants_more; i++) {
        scene_step(&s);
        rig_run(&r, s.pic, 33000, false, false);
        assert_true(r.au->len < 66000);
    }
    assert_true(psnr_y(&r) > 43);
    rig_close(&r);
    scene_free(&s);
}

/* A change of colour that luma does not see is a change. */
static void test_colour_change(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 320, 192, PIX_I444);
    struct picture *p = picture_new(PIX_I444, 320, 192);
    memset(p->plane[0], 100, (size_t)p->stride[0] * 192);
    memset(p->plane[1], 120, (size_t)p->stride[1] * 192);
    memset(p->plane[2], 120, (size_t)p->stride[2] * 192);
    damage_set_all(&p->damage, 320, 192);
    rig_run(&r, p, 20000, false, false);
    memset(p->plane[1] + 64 * p->stride[1], 180, (size_t)p->stride[1] * 20);
    rig_run(&r, p, 20000, false, false);
    assert_non_null(r.au);
    rig_refine(&r, p, 20000);
    assert_true(plane_psnr(p, r.shown, 1) > 40);
    picture_unref(&p);
    rig_close(&r);
}

/* The target falls from 8 to 1.5 Mb/s while a terminal scrolls, and the next pictures follow;
 * contents change, and sizes stay near their budgets. */
static void test_rate_step(void **state)
{
    (void)state;
    struct scene s;
    assert_true(scene_init(&s, SCENE_TERMINAL, 1280, 720));
    struct rig r;
    rig_open(&r, 1280, 720, PIX_I420);
    size_t sent[2] = {0, 0}, budgets[2] = {8000000 / 8 / 30, 1500000 / 8 / 30};
    int over = 0, n = 0;
    rig_run(&r, s.pic, 4 * budgets[0], false, false);
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 24; i++) {
            scene_step(&s);
            rig_run(&r, s.pic, budgets[half], false, false);
            assert_non_null(r.au);
            assert_false(r.au->irap);
            assert_true(r.au->len < 4 * budgets[half]);
            over += r.au->len > budgets[half] * 3 / 2;
            n++;
            if (half == 0 || i >= 2)
                sent[half] += r.au->len;
            if (half == 1 && i == 0)
                assert_true(r.au->len < 2 * budgets[1]); /* at once */
        }
    }
    assert_true(sent[1] <= 22 * budgets[1] * 11 / 10);
    assert_true(sent[0] > 24 * budgets[0] / 5); /* and the larger budget is made use of */
    assert_true(over <= n / 10);
    rig_close(&r);
    scene_free(&s);
}

/* *state: for film */
static void test_scene_changes(void **state)
{
    struct rig r;
    rig_open_for(&r, 1280, 720, PIX_I420, *state);
    const size_t budget = 33000;
    int over = 0, n = 0;
    struct picture *screen = picture_new(PIX_BGRX, 1280, 720);
    static const enum scene_kind order[] = {SCENE_STILL, SCENE_TERMINAL, SCENE_PAGE, SCENE_FILM,
                                            SCENE_STILL, SCENE_FILM, SCENE_TERMINAL};
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++) {
        struct scene s;
        assert_true(scene_init(&s, order[k], 1280, 720));
        for (int i = 0; i < 6; i++) {
            memcpy(screen->plane[0], s.pic->plane[0], (size_t)s.pic->stride[0] * 720);
            screen->damage = s.pic->damage;
            rig_run(&r, screen, k || i ? budget : 4 * budget, false, false);
            if (r.au && (k || i)) {
                assert_true(r.au->len < 4 * budget);
                over += r.au->len > budget * 3 / 2;
                n++;
            }
            scene_step(&s);
        }
        scene_free(&s);
    }
    assert_true(over <= n / 6);
    picture_unref(&screen);
    rig_close(&r);
}

static void test_level(void **state)
{
    (void)state;
    static const struct {
        int w, h, fps;
        int64_t bps;
        int level;
    } cases[] = {{176, 144, 15, 100000, 30},      {640, 360, 30, 1000000, 63},
                 {960, 540, 30, 2000000, 90},     {1280, 720, 30, 5000000, 93},
                 {1920, 1080, 30, 8000000, 120},  {1920, 1080, 30, 13000000, 123},
                 {1920, 1080, 60, 8000000, 123},  {1920, 1080, 60, 21000000, 150},
                 {3840, 2160, 30, 20000000, 150}, {3840, 2160, 60, 30000000, 153},
                 {7680, 4320, 60, 100000000, 183}, {4216, 64, 30, 1000000, 120},
                 {4230, 64, 30, 1000000, 150},    {20000, 20000, 60, 1000000, 186}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(hevc_level_for(cases[i].w, cases[i].h, cases[i].fps, cases[i].bps),
                         cases[i].level);
}

static void test_pick(void **state)
{
    (void)state;
    const struct encoder_ops *ops = NULL;
    assert_int_equal(encoder_pick(&ops, "x265", PIX_I420), 0);
    assert_ptr_equal(ops, &encoder_x265);
    assert_int_equal(encoder_pick(&ops, NULL, PIX_I444), 0);
    assert_int_equal(encoder_pick(&ops, "auto", PIX_I420), 0);
    assert_int_equal(encoder_pick(&ops, "h264", PIX_I420), ERR_INVALID);
    for (int i = 0; encoder_table[i]; i++) {
        char reason[200] = "";
        if (!encoder_table[i]->probe(PIX_I420, reason, sizeof reason)) {
            assert_true(strlen(reason) > 10);
            assert_int_equal(encoder_pick(&ops, encoder_table[i]->name, PIX_I420), ERR_UNSUPPORTED);
        }
    }
}

static void test_refuses_other_size(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 320, 192, PIX_I420);
    struct picture *p = picture_new(PIX_I420, 322, 192);
    struct encode_in in = {.pic = p, .damage = &p->damage, .pic_id = 1, .budget_bytes = 1000};
    struct encode_out out;
    assert_int_equal(r.e->ops->encode(r.e, &in, &out), ERR_INVALID);
    assert_null(out.au);
    picture_unref(&p);
    rig_close(&r);
}

int main(void)
{
    static char film;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level),          cmocka_unit_test(test_pick),
        cmocka_unit_test(test_parameter_sets), cmocka_unit_test(test_colour_bars),
        cmocka_unit_test(test_refined_text),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_small_change),   cmocka_unit_test(test_colour_change),
        cmocka_unit_test(test_rate_step),      cmocka_unit_test(test_scene_changes),
        cmocka_unit_test(test_refuses_other_size),
        cmocka_unit_test(test_typing_sharpens),
        cmocka_unit_test_prestate(test_sizes, &film),
        cmocka_unit_test_prestate(test_scene_changes, &film),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
