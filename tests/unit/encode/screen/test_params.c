/* Parameter sets of every size: the window, the level of table A.8, the picture buffer of A.4.2 and
 * the colours, as our own parser and libavcodec read them. */
#include "encode/screen/params.h"
#include "hevc/nal.h"

#include <libavcodec/avcodec.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

static const int sizes[] = {16,   17,   23,   24,   25,   63,   64,   65,   100,  127,  240,  321,
                            480,  540,  575,  600,  721,  768,  800,  1023, 1024, 1080, 1081, 1200,
                            1279, 1280, 1366, 1440, 1600, 1919, 1920, 1921, 2048, 2160, 2161, 2560,
                            3439, 3440, 3840, 4096, 4319, 4320, 5120, 7680, 8191, 8192};
enum { SIZES = sizeof sizes / sizeof sizes[0], MOST_HEIGHT = 4320 };

/* Table A.8, and A.9's MaxLumaSr: written down here once more, from the standard. */
static const struct {
    int idc;
    int64_t ps, sr;
} table[] = {{30, 36864, 552960},        {60, 122880, 3686400},      {63, 245760, 7372800},
             {90, 552960, 16588800},     {93, 983040, 33177600},     {120, 2228224, 66846720},
             {123, 2228224, 133693440},  {150, 8912896, 267386880},  {153, 8912896, 534773760},
             {156, 8912896, 1069547520}, {180, 35651584, 1069547520}, {183, 35651584, 2139095040},
             {186, 35651584, 4278190080}};

static int row_of(int idc)
{
    for (int i = 0; i < (int)(sizeof table / sizeof table[0]); i++)
        if (table[i].idc == idc)
            return i;
    fail_msg("there is no level %d", idc);
    return 0;
}

static bool fits(int row, int64_t w, int64_t h, int fps)
{
    int64_t ps = table[row].ps;
    return w * h <= ps && w * w <= 8 * ps && h * h <= 8 * ps && w * h * fps <= table[row].sr;
}

static int most_pictures(int row, int64_t ps)
{
    int64_t most = table[row].ps;
    return ps * 4 <= most ? 16 : ps * 2 <= most ? 12 : ps * 4 <= most * 3 ? 8 : 6;
}

static void check_level(const struct encoder_config *c, const struct hevc_sps *sps)
{
    int row = row_of(sps->level_idc);
    int64_t w = sps->coded_width, h = sps->coded_height;
    assert_true(fits(row, w, h, c->fps));
    assert_int_equal(sps->max_dec_pic_buffering, most_pictures(row, w * h));
    bool lowest = row == 0 || !fits(row - 1, w, h, c->fps);
    if (c->max_level_idc == 0)
        assert_true(lowest);
    else if (!lowest) /* for the buffer's sake, and no higher than that takes */
        assert_true(most_pictures(row, w * h) == 16 && sps->level_idc <= c->max_level_idc &&
                    most_pictures(row - 1, w * h) < 16);
}

static void read_by_libavcodec(const struct access_unit *au, const struct encoder_config *c,
                               const struct hevc_sps *sps)
{
    AVCodecContext *ctx = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_HEVC));
    assert_non_null(ctx);
    ctx->thread_count = 1;
    ctx->extradata = av_mallocz(au->len + AV_INPUT_BUFFER_PADDING_SIZE);
    assert_non_null(ctx->extradata);
    memcpy(ctx->extradata, au->data, au->len);
    ctx->extradata_size = (int)au->len;
    assert_int_equal(avcodec_open2(ctx, ctx->codec, NULL), 0);
    assert_int_equal(ctx->width, sps->width);
    assert_int_equal(ctx->height, sps->height);
    assert_int_equal(ctx->coded_width, sps->coded_width);
    assert_int_equal(ctx->coded_height, sps->coded_height);
    assert_int_equal(ctx->level, sps->level_idc);
    assert_int_equal(ctx->profile, c->fmt == PIX_I444 ? FF_PROFILE_HEVC_REXT : FF_PROFILE_HEVC_MAIN);
    assert_int_equal(ctx->pix_fmt, c->fmt == PIX_I444 ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P);
    assert_int_equal(ctx->color_range, AVCOL_RANGE_MPEG);
    assert_int_equal(ctx->color_primaries, AVCOL_PRI_BT709);
    assert_int_equal(ctx->color_trc, AVCOL_TRC_BT709);
    assert_int_equal(ctx->colorspace, AVCOL_SPC_BT709);
    assert_int_equal(ctx->has_b_frames, 0); /* no picture waits for another */
    avcodec_free_context(&ctx);
}

static void check_size(const struct encoder_config *c, bool libavcodec)
{
    struct screen_params p;
    struct access_unit *au = access_unit_new(512);
    assert_non_null(au);
    params_choose(&p, c);
    p.pps_id = 1 + (c->width + c->height) % SCREEN_PPS_IDS;
    assert_true(params_write_sets(au, &p));
    struct hevc_sps sps;
    struct nal nal;
    bool found = false;
    for (size_t pos = 0; annexb_next(au->data, au->len, &pos, &nal);)
        if (nal_type(&nal) == NAL_SPS)
            found = hevc_parse_sps(&nal, &sps);
    assert_true(found);
    int odd = c->fmt == PIX_I420;
    assert_int_equal(sps.width, (c->width + odd) & ~odd);
    assert_int_equal(sps.height, (c->height + odd) & ~odd);
    assert_true(sps.coded_width % 8 == 0 && sps.coded_width - c->width < 8);
    assert_true(sps.coded_height % 8 == 0 && sps.coded_height - c->height < 8);
    assert_int_equal(sps.max_num_reorder, 0);
    assert_int_equal(sps.profile_idc, c->fmt == PIX_I444 ? 4 : 1);
    assert_int_equal(sps.chroma_format_idc, c->fmt == PIX_I444 ? 3 : 1);
    assert_true(sps.has_vui_colour && !sps.full_range);
    assert_true(sps.colour_primaries == 1 && sps.transfer == 1 && sps.matrix == 1);
    check_level(c, &sps);
    if (libavcodec)
        read_by_libavcodec(au, c, &sps);
    access_unit_unref(&au);
}

static void test_sizes(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES && sizes[j] <= MOST_HEIGHT; j++)
            for (int k = 0; k < 8; k++, n++) {
                struct encoder_config c = {.width = sizes[i], .height = sizes[j],
                                           .fmt = k & 1 ? PIX_I444 : PIX_I420,
                                           .fps = k & 2 ? 60 : 30, .bitrate_bps = 100000,
                                           .max_level_idc = k & 4 ? 186 : 0};
                check_size(&c, n % 41 == 0);
            }
    /* What most screens have: at the lowest level six pictures, one or two levels higher sixteen. */
    assert_int_equal(hevc_dpb_size(120, 1920, 1080), 6);
    assert_int_equal(hevc_level_for_dpb(120, 1920, 1080), 150);
    assert_int_equal(hevc_level_for_dpb(150, 3840, 2160), 180);
}

int main(void)
{
    av_log_set_level(AV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
