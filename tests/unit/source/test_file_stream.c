/* What a file, a pipe or standard input gives: access units as they came, or pictures. */
#include "base/error.h"
#include "file_fixture.h"
#include "hevc/nal.h"
#include "source/file_pace.h"
#include "source/file_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Everything but the NALs that hevcast leaves out, or writes again at each IRAP, or that one
 * container keeps and the other doesn't: the pictures themselves. */
static struct bytes pictures_of(const uint8_t *data, size_t len)
{
    struct bytes out = {.data = malloc(len + 1)};
    struct nal nal;
    assert_non_null(out.data);
    for (size_t pos = 0; annexb_next(data, len, &pos, &nal);) {
        if (!nal_is_vcl(nal_type(&nal)))
            continue;
        memcpy(out.data + out.len, nal.data, nal.len);
        out.len += nal.len;
    }
    return out;
}

static int nal_count(const struct access_unit *au, int type)
{
    struct nal nal;
    int n = 0;
    for (size_t pos = 0; annexb_next(au->data, au->len, &pos, &nal);)
        n += nal_type(&nal) == type;
    return n;
}

/* An access unit begins with its first slice, and has no other first slice. */
static int first_slices(const struct access_unit *au)
{
    struct nal nal;
    int n = 0;
    for (size_t pos = 0; annexb_next(au->data, au->len, &pos, &nal);)
        n += nal_is_vcl(nal_type(&nal)) && nal.len > 2 && nal.data[2] & 0x80;
    return n;
}

static struct file_stream *open_stream(const char *spec, struct source_info *info, bool decode)
{
    struct file_stream *s = NULL;
    struct source_config config = {.spec = spec, .fps = 25, .decode_always = decode};
    if (file_stream_open(&s, &config, info) < 0)
        fail_msg("%s: %s", spec, error_text());
    return s;
}

/* Reads all access units of a stream, checks each, and gives the bytes of their pictures. */
static struct bytes read_units(struct file_stream *s, int *units, int *iraps)
{
    struct bytes all = {0};
    struct file_item item;
    *units = *iraps = 0;
    while (file_stream_next(s, &item) == 0) {
        assert_non_null(item.au);
        assert_int_equal(first_slices(item.au), 1);
        assert_int_equal(nal_count(item.au, NAL_AUD), 0);
        if (*units == 0)
            assert_true(item.au->irap);
        if (item.au->irap) {
            assert_true(nal_count(item.au, NAL_VPS) >= 1);
            assert_true(nal_count(item.au, NAL_SPS) >= 1);
            assert_true(nal_count(item.au, NAL_PPS) >= 1);
            ++*iraps;
        }
        struct bytes part = pictures_of(item.au->data, item.au->len);
        all.data = realloc(all.data, all.len + part.len + 1);
        memcpy(all.data + all.len, part.data, part.len);
        all.len += part.len;
        free(part.data);
        access_unit_unref(&item.au);
        ++*units;
    }
    return all;
}

static void assert_same(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

/* ---- passing through ---- */

static void passes_hevc_through(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct bytes file = slurp(in_dir("plain.hevc")), want = pictures_of(file.data, file.len);
    static const char *const names[] = {"plain.hevc", "plain.mp4", "plain.mkv", "plain.ts"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct source_info info;
        struct file_stream *s = open_stream(in_dir(names[i]), &info, false);
        assert_int_equal(info.kind, SOURCE_ACCESS_UNITS);
        assert_int_equal(info.width, 320);
        assert_int_equal(info.height, 240);
        assert_int_equal(info.profile_idc, 1);
        assert_true(info.level_idc >= 30);
        assert_false(info.yuv444);
        assert_true(fabs(info.fps - 25) < 0.1);
        for (int round = 0; round < 2; round++) {
            int units, iraps;
            struct bytes got = read_units(s, &units, &iraps);
            assert_int_equal(units, 25);
            assert_int_equal(iraps, 3);
            assert_same(got, want);
            free(got.data);
            assert_int_equal(file_stream_rewind(s), 0);
        }
        file_stream_free(&s);
    }
    free(file.data);
    free(want.data);
}

static void tells_444(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source_info info;
    struct file_stream *s = open_stream(in_dir("444.mkv"), &info, false);
    assert_int_equal(info.kind, SOURCE_ACCESS_UNITS);
    assert_true(info.yuv444);
    assert_int_equal(info.profile_idc, 4);
    assert_int_equal(info.width, 322);
    file_stream_free(&s);
}

/* ---- pipes ---- */

static void pipes_have_no_boundaries(void **state)
{
    (void)state;
    NEED_FFMPEG();
    static const char *const names[] = {"plain.hevc", "slices.hevc", "plain.mkv", "plain.ts",
                                        "plain.nut"};
    static const char *const same_as[] = {"plain.hevc", "slices.hevc", "plain.hevc", "plain.hevc",
                                          "plain.hevc"};
    static const int units_of[] = {25, 15, 25, 25, 25};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bytes raw = slurp(in_dir(same_as[i])), want = pictures_of(raw.data, raw.len);
        for (unsigned seed = 1; seed <= 3; seed++) {
            struct writer w = {.bytes = slurp(in_dir(names[i])), .seed = seed};
            pthread_t thread = stdin_from(&w);
            struct source_info info;
            int units, iraps;
            struct file_stream *s = open_stream("-", &info, false);
            assert_int_equal(info.kind, SOURCE_ACCESS_UNITS);
            assert_int_equal(info.width, 320);
            assert_true(file_stream_live(s));
            struct bytes got = read_units(s, &units, &iraps);
            assert_int_equal(units, units_of[i]);
            assert_same(got, want);
            assert_int_equal(file_stream_rewind(s), ERR_UNSUPPORTED);
            file_stream_free(&s);
            stdin_back(thread);
            free(got.data);
            free(w.bytes.data);
        }
        free(raw.data);
        free(want.data);
    }
}

static void reads_a_fifo(void **state)
{
    (void)state;
    NEED_FFMPEG();
    const char *fifo = in_dir("fifo");
    char command[512];
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(command, sizeof command, "(sleep 0.1; cat %s/plain.hevc > %s) &", clip_dir, fifo);
    assert_int_equal(system(command), 0);
    struct source_info info;
    int units, iraps;
    struct file_stream *s = open_stream(fifo, &info, false); /* before its writer */
    struct bytes got = read_units(s, &units, &iraps);
    assert_int_equal(units, 25);
    free(got.data);
    file_stream_free(&s);
}

static void encoder_program_through_a_pipe(void **state)
{
    (void)state;
    NEED_FFMPEG();
    FILE *program = popen("timeout 60 ffmpeg -nostdin -loglevel error -f lavfi -i "
                          "testsrc2=s=320x240:r=25:d=1 -pix_fmt yuv420p " X265
                          "-x265-params " QUIET " -f hevc -", "r");
    assert_non_null(program);
    int saved = dup(STDIN_FILENO);
    assert_true(dup2(fileno(program), STDIN_FILENO) == STDIN_FILENO);
    struct source_info info;
    int units, iraps;
    struct file_stream *s = open_stream("-", &info, false);
    assert_int_equal(info.kind, SOURCE_ACCESS_UNITS);
    struct bytes got = read_units(s, &units, &iraps);
    assert_int_equal(units, 25);
    free(got.data);
    file_stream_free(&s);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    assert_int_equal(pclose(program), 0);
}

/* ---- decoding ---- */

/* Compares all pictures with what the ffmpeg program decodes, and counts them. */
static int compare_with(struct file_stream *s, const char *yuv_name, enum pix_fmt fmt)
{
    struct bytes want = slurp(in_dir(yuv_name));
    struct file_item item;
    size_t at = 0;
    int n = 0;
    while (file_stream_next(s, &item) == 0) {
        struct picture *p = item.pic;
        assert_non_null(p);
        assert_int_equal(p->fmt, fmt);
        assert_false(p->full_range || p->bt601);
        for (int i = 0; i < 3; i++) {
            size_t bytes = (size_t)picture_row_bytes(p->fmt, p->width, i);
            for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++, at += bytes) {
                assert_true(at + bytes <= want.len);
                assert_memory_equal(p->plane[i] + (ptrdiff_t)y * p->stride[i], want.data + at,
                                    bytes);
            }
        }
        picture_unref(&item.pic);
        n++;
    }
    assert_int_equal(at, want.len);
    free(want.data);
    return n;
}

static void decodes_the_same_pictures(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source_info info;
    assert_true(ffmpeg("-i %d/h264.mp4 -f rawvideo %d/h264.yuv"));
    struct file_stream *s = open_stream(in_dir("h264.mp4"), &info, false);
    assert_int_equal(info.kind, SOURCE_PICTURES);
    assert_int_equal(info.width, 1280);
    assert_int_equal(info.profile_idc, 0);
    assert_non_null(strstr(info.text, "h264"));
    assert_int_equal(compare_with(s, "h264.yuv", PIX_I420), 10);
    assert_int_equal(file_stream_rewind(s), 0);
    assert_int_equal(compare_with(s, "h264.yuv", PIX_I420), 10);
    file_stream_free(&s);
}

/* Through a pipe nothing is held back, and the pictures are in order all the same (H.264 with
 * B-frames here). Nut is the container for pipes: it writes each packet, with its size, at once. */
static void decodes_a_pipe(void **state)
{
    (void)state;
    NEED_FFMPEG();
    assert_true(ffmpeg("-i %d/h264.mp4 -fps_mode passthrough -f rawvideo %d/h264.yuv"));
    assert_true(ffmpeg("-i %d/h264.mp4 -c copy %d/h264.nut"));
    struct writer w = {.bytes = slurp(in_dir("h264.nut")), .seed = 7};
    pthread_t thread = stdin_from(&w);
    struct source_info info;
    struct file_stream *s = open_stream("-", &info, false);
    assert_int_equal(info.kind, SOURCE_PICTURES);
    assert_int_equal(compare_with(s, "h264.yuv", PIX_I420), 10);
    file_stream_free(&s);
    stdin_back(thread);
    free(w.bytes.data);
}

/* Reordered and decoded_always streams come as pictures; the raw and the contained one alike. */
static void decodes_what_cannot_pass(void **state)
{
    (void)state;
    NEED_FFMPEG();
    static const struct {
        const char *name;
        bool always;
        int pictures;
        enum pix_fmt fmt;
    } cases[] = {
        {"bframes.mkv", false, 15, PIX_I420}, {"bframes.hevc", false, 15, PIX_I420},
        {"ten.mkv", false, 10, PIX_I420},     {"plain.mkv", true, 25, PIX_I420},
        {"plain.hevc", true, 25, PIX_I420},   {"444.mkv", true, 15, PIX_I444},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct source_info info;
        struct file_stream *s = open_stream(in_dir(cases[i].name), &info, cases[i].always);
        assert_int_equal(info.kind, SOURCE_PICTURES);
        for (int round = 0; round < 2; round++) {
            struct file_item item;
            int n = 0;
            int64_t last = INT64_MIN;
            while (file_stream_next(s, &item) == 0) {
                assert_int_equal(item.pic->fmt, cases[i].fmt);
                assert_int_equal(item.pic->width, info.width);
                if (item.media_us != FILE_PACE_UNKNOWN) {
                    assert_true(item.media_us > last); /* in the order of display */
                    last = item.media_us;
                }
                picture_unref(&item.pic);
                n++;
            }
            assert_int_equal(n, cases[i].pictures);
            assert_int_equal(file_stream_rewind(s), 0);
        }
        file_stream_free(&s);
    }
}

/* 0x3c8cdc by the equations of BT.709, in limited range. */
static void colours_become_bt709(void **state)
{
    (void)state;
    NEED_FFMPEG();
    const double r = 0x3c / 255.0, g = 0x8c / 255.0, b = 0xdc / 255.0;
    const double y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    const double want[3] = {16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748};
    static const char *const names[] = {"c601.mkv", "cfull.mkv", "crgb.mkv"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct source_info info;
        struct file_stream *s = open_stream(in_dir(names[i]), &info, false);
        struct file_item item;
        assert_int_equal(file_stream_next(s, &item), 0);
        for (int k = 0; k < 3; k++) {
            int got = item.pic->plane[k][40 * item.pic->stride[k] + 40];
            if (fabs(got - want[k]) > 2.0)
                fail_msg("%s: plane %d is %d, should be %.1f", names[i], k, got, want[k]);
        }
        picture_unref(&item.pic);
        file_stream_free(&s);
    }
}

static void survives_a_truncated_file(void **state)
{
    (void)state;
    NEED_FFMPEG();
    static const char *const names[] = {"plain.mkv", "plain.ts", "plain.hevc"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int k = 1; k <= 8; k++) {
            struct bytes b = slurp(in_dir(names[i]));
            char name[32];
            snprintf(name, sizeof name, "cut-%zu-%d", i, k);
            spit(in_dir(name), b.data, b.len * (size_t)k / 9);
            struct source_info info;
            struct source_config config = {.spec = in_dir(name), .fps = 25};
            struct file_stream *s = NULL;
            int units = -1, iraps;
            if (file_stream_open(&s, &config, &info) == 0) {
                struct bytes got = read_units(s, &units, &iraps);
                free(got.data);
                file_stream_free(&s);
                assert_true(units <= 25);
            } else {
                assert_true(error_text()[0]);
            }
            if (k == 8)
                assert_true(units > 10);
            free(b.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_hevc_through),
        cmocka_unit_test(tells_444),
        cmocka_unit_test(pipes_have_no_boundaries),
        cmocka_unit_test(reads_a_fifo),
        cmocka_unit_test(encoder_program_through_a_pipe),
        cmocka_unit_test(decodes_the_same_pictures),
        cmocka_unit_test(decodes_a_pipe),
        cmocka_unit_test(decodes_what_cannot_pass),
        cmocka_unit_test(colours_become_bt709),
        cmocka_unit_test(survives_a_truncated_file),
    };
    return cmocka_run_group_tests(tests, make_clips, remove_clips);
}
