/* Files and pipes as a source. The clips are made by the ffmpeg program when the test runs; with
 * no ffmpeg the tests that need it are skipped, and say so. */
#include "base/clock.h"
#include "base/error.h"
#include "hevc/nal.h"
#include "source/file_input.h"
#include "source/file_pace.h"
#include "source/file_stream.h"
#include "source/source.h"

#include <libavutil/log.h>

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static bool have_ffmpeg;

#define NEED_FFMPEG()                                                                              \
    do {                                                                                           \
        if (!have_ffmpeg) {                                                                        \
            print_message("SKIPPED: there is no ffmpeg program with libx265 here\n");              \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static const char *in_dir(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

/* Runs ffmpeg with the arguments; %s in them is the directory. */
static bool ffmpeg(const char *args)
{
    char command[2048], expanded[1536];
    size_t n = 0;
    for (const char *p = args; *p && n < sizeof expanded - 80; p++) {
        if (p[0] == '%' && p[1] == 'd') {
            n += (size_t)sprintf(expanded + n, "%s", dir);
            p++;
        } else {
            expanded[n++] = *p;
        }
    }
    expanded[n] = 0;
    snprintf(command, sizeof command, "timeout 60 ffmpeg -nostdin -y -loglevel error %s", expanded);
    int status = system(command);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define X265  "-c:v libx265 -preset ultrafast -tune zerolatency "
#define QUIET "log-level=error"

static int make_clips(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hevcast-file-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    av_log_set_level(AV_LOG_QUIET);
    have_ffmpeg =
        ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25:d=1 -pix_fmt yuv420p " X265
               "-x265-params " QUIET ":keyint=10:min-keyint=10:scenecut=0:repeat-headers=1 "
               "%d/plain.hevc");
    if (!have_ffmpeg)
        return 0;
    bool ok =
        ffmpeg("-r 25 -i %d/plain.hevc -c copy %d/plain.mp4") &&
        ffmpeg("-r 25 -i %d/plain.hevc -c copy %d/plain.mkv") &&
        ffmpeg("-r 25 -i %d/plain.hevc -c copy -f mpegts %d/plain.ts") &&
        ffmpeg("-i %d/plain.mp4 -c copy -bsf:v hevc_mp4toannexb %d/plain.nut") &&
        ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25:d=0.6 -pix_fmt yuv420p " X265
               "-x265-params " QUIET ":aud=1:slices=4:repeat-headers=1 %d/slices.hevc") &&
        ffmpeg("-f lavfi -i testsrc2=s=322x242:r=25:d=0.6 -pix_fmt yuv444p " X265
               "-x265-params " QUIET " %d/444.mkv") &&
        ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25:d=0.6 -pix_fmt yuv420p -c:v libx265 "
               "-x265-params " QUIET ":bframes=3:b-adapt=0 %d/bframes.mkv") &&
        ffmpeg("-i %d/bframes.mkv -c copy -bsf:v hevc_mp4toannexb -f hevc %d/bframes.hevc") &&
        ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25:d=0.4 -pix_fmt yuv420p10le " X265
               "-x265-params " QUIET " %d/ten.mkv") &&
        ffmpeg("-f lavfi -i testsrc2=s=1280x720:r=25:d=0.4 -pix_fmt yuv420p -c:v libx264 "
               "-colorspace bt709 -color_range tv %d/h264.mp4") &&
        ffmpeg("-f lavfi -i sine=d=0.2 -c:a aac %d/audio.mp4") &&
        ffmpeg("-f lavfi -i sine=d=0.2 -f lavfi -i color=red:s=64x64:d=0.1 -map 0 -map 1 -frames:v 1 "
               "-c:a flac -c:v png -disposition:v attached_pic %d/cover.flac") &&
        /* The colour 0x3c8cdc, as each matrix and range has it. */
        ffmpeg("-f lavfi -i color=0x3c8cdc:s=640x360:r=10:d=0.2 -vf "
               "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p -colorspace smpte170m "
               "-color_range tv -c:v ffv1 %d/c601.mkv") &&
        ffmpeg("-f lavfi -i color=0x3c8cdc:s=640x360:r=10:d=0.2 -vf "
               "scale=out_color_matrix=bt709:out_range=pc,format=yuv420p -colorspace bt709 "
               "-color_range pc -c:v ffv1 %d/cfull.mkv") &&
        ffmpeg("-f lavfi -i color=0x3c8cdc:s=640x360:r=10:d=0.2 -pix_fmt bgr0 -c:v ffv1 %d/crgb.mkv");
    return ok ? 0 : -1;
}

static int remove_clips(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? -1 : 0;
}

/* ---- helpers ---- */

struct bytes {
    uint8_t *data;
    size_t len;
};

static struct bytes slurp(const char *path)
{
    struct bytes b = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    b.len = (size_t)ftell(f);
    rewind(f);
    b.data = malloc(b.len + 1);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.len, f), b.len);
    fclose(f);
    return b;
}

static void spit(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

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

struct writer {
    struct bytes bytes;
    int fd;
    unsigned seed;
    bool hold; /* keep it open at the end */
};

/* Pieces of 1 to 5000 bytes, with pauses: a pipe's read boundaries mean nothing. */
static void *write_pieces(void *arg)
{
    struct writer *w = arg;
    size_t at = 0;
    while (at < w->bytes.len) {
        size_t n = 1 + (size_t)rand_r(&w->seed) % 5000;
        if (n > w->bytes.len - at)
            n = w->bytes.len - at;
        ssize_t did = write(w->fd, w->bytes.data + at, n);
        if (did <= 0)
            break;
        at += (size_t)did;
        if (rand_r(&w->seed) % 4 == 0)
            usleep(1000);
    }
    if (!w->hold)
        close(w->fd);
    return NULL;
}

/* Runs with standard input from a pipe that a thread writes. */
static int saved_stdin;
static pthread_t stdin_from(struct writer *w)
{
    int fds[2];
    pthread_t thread;
    assert_int_equal(pipe(fds), 0);
    saved_stdin = dup(STDIN_FILENO);
    assert_true(dup2(fds[0], STDIN_FILENO) == STDIN_FILENO);
    close(fds[0]);
    w->fd = fds[1];
    assert_int_equal(pthread_create(&thread, NULL, write_pieces, w), 0);
    return thread;
}

static void stdin_back(pthread_t thread)
{
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO); /* a writer that is not done sees its pipe broken */
    close(null);
    pthread_join(thread, NULL);
    if (saved_stdin >= 0) {
        dup2(saved_stdin, STDIN_FILENO);
        close(saved_stdin);
    }
}

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
    snprintf(command, sizeof command, "(sleep 0.1; cat %s/plain.hevc > %s) &", dir, fifo);
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

/* ---- errors ---- */

static void expect_error(const char *spec, int code, const char *words)
{
    struct source *s = NULL;
    struct source_config config = {.spec = spec, .fps = 25};
    int rc = source_file.open(&s, &config);
    if (rc != code || !strstr(error_text(), words))
        fail_msg("%s: %d, \"%s\"", spec, rc, rc < 0 ? error_text() : "opened");
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    expect_error(in_dir("nothing.mkv"), ERR_NOT_FOUND, "No such file");
    expect_error("screeen", ERR_NOT_FOUND, "a source is");
    expect_error(dir, ERR_INVALID, "is a directory");
    expect_error("/dev/null", ERR_IO, "is empty");
    spit(in_dir("empty"), "", 0);
    expect_error(in_dir("empty"), ERR_IO, "is empty");
    char text[3000];
    memset(text, 'x', sizeof text);
    spit(in_dir("text.dat"), text, sizeof text);
    expect_error(in_dir("text.dat"), ERR_UNSUPPORTED, "is not a video");
    /* A start code and a VPS, and no more. */
    static const uint8_t vps[] = {0, 0, 0, 1, 0x40, 1, 0x0c, 1, 0xff, 0xff, 0, 0, 0, 1, 0x42, 1, 1};
    spit(in_dir("stub.hevc"), vps, sizeof vps);
    expect_error(in_dir("stub.hevc"), ERR_UNSUPPORTED, "begins like HEVC");
    if (geteuid() != 0) {
        spit(in_dir("secret"), text, 10);
        chmod(in_dir("secret"), 0);
        expect_error(in_dir("secret"), ERR_IO, "Permission denied");
    }
    /* Refused at once; and the password is not shown. */
    expect_error("http://user:pass@127.0.0.1:1/x.mkv?key=pass", ERR_IO, "127.0.0.1:1/x.mkv");
    assert_null(strstr(error_text(), "pass"));
    struct writer nobody = {0};
    pthread_t thread = stdin_from(&nobody);
    expect_error("-", ERR_IO, "standard input is empty");
    stdin_back(thread);
    if (have_ffmpeg) {
        expect_error(in_dir("audio.mp4"), ERR_UNSUPPORTED, "has no video stream");
        expect_error(in_dir("cover.flac"), ERR_UNSUPPORTED, "has no video stream");
    }
}

static void tells_annexb_apart(void **state)
{
    (void)state;
    static const struct {
        uint8_t data[12];
        size_t len;
        int want;
    } cases[] = {
        {{0, 0, 0, 1, 0x40, 1}, 6, 1},        {{0, 0, 1, 0x40, 1}, 5, 1},
        {{0, 0, 0, 0, 1, 0x42, 1}, 7, 1},     {{0, 0, 0, 1, 0x46, 1}, 6, 1},
        {{0, 0, 0, 1, 0x4e, 1}, 6, 1},        {{0, 0, 0, 1, 0x40}, 5, -1},
        {{0, 0, 0}, 3, -1},                   {{0}, 1, -1},
        {{0, 0, 0, 1, 0x67, 0x42}, 6, 0},     {{0, 0, 0, 1, 0x09, 0xf0}, 6, 0},
        {{0, 0, 1, 0xba, 0x44}, 5, 0},        {{0, 0, 1, 0xb3, 0x14}, 5, 0},
        {{0, 0, 0, 0x20, 'f', 't', 'y', 'p'}, 8, 0}, {{0x47, 0x40, 0x11}, 3, 0},
        {{0x1a, 0x45, 0xdf, 0xa3}, 4, 0},     {{0, 1, 0x40, 1}, 4, 0},
        {{0, 0, 0, 1, 0x40, 9}, 6, 0},        {{0, 0, 0, 1, 0x26, 1}, 6, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (file_looks_like_hevc(cases[i].data, cases[i].len) != cases[i].want)
            fail_msg("case %zu", i);
}

/* ---- pacing, in virtual time ---- */

static void pace_follows_timestamps(void **state)
{
    (void)state;
    struct file_pace p = {.interval_us = 40000, .gap_us = 1000000};
    assert_int_equal(file_pace_next(&p, 500000, 1000), 1000); /* anchored when it came */
    assert_int_equal(file_pace_next(&p, 540000, 2000), 41000);
    assert_int_equal(file_pace_next(&p, 600000, 3000), 101000);
    /* Late by half a second: at once, and the media time stays. */
    assert_int_equal(file_pace_next(&p, 640000, 641000), 141000);
    /* No timestamp: an interval. */
    assert_int_equal(file_pace_next(&p, FILE_PACE_UNKNOWN, 4000), 181000);
    /* Back, and far ahead: an interval; then on from there. */
    assert_int_equal(file_pace_next(&p, 0, 4000), 221000);
    assert_int_equal(file_pace_next(&p, 30000, 4000), 251000);
    assert_int_equal(file_pace_next(&p, 90000000, 4000), 291000);
    assert_int_equal(file_pace_next(&p, 90010000, 4000), 301000);
    file_pace_jump(&p); /* --loop, to a timestamp that would seem to go on */
    assert_int_equal(file_pace_next(&p, 90020000, 4000), 341000);
    /* More than a second late: a new schedule. */
    assert_int_equal(file_pace_next(&p, 90060000, 5000000), 5000000);
    assert_int_equal(file_pace_next(&p, 90100000, 5000000), 5040000);
    assert_int_equal(file_pace_end(&p), 5080000);
    /* Extreme values of a broken file don't overflow, and time still goes on. */
    int64_t last = 5040000;
    static const int64_t odd[] = {INT64_MAX, INT64_MIN + 1, INT64_MAX - 1, 0, INT64_MIN + 2, 7, 7};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        int64_t due = file_pace_next(&p, odd[i], 5000000);
        assert_true(due > last && due <= last + 1000000);
        last = due;
    }
}

static void pace_of_a_live_pipe_never_lags(void **state)
{
    (void)state;
    /* 60 a second by --fps, 30 come: each is due when it comes. */
    struct file_pace p = {.interval_us = 16667, .gap_us = 1000000, .live = true};
    for (int i = 0; i < 300; i++) {
        int64_t arrival = 5000 + i * 33333;
        assert_int_equal(file_pace_next(&p, FILE_PACE_UNKNOWN, arrival), arrival);
    }
    /* 25 a second with half a second piled up at first: worked off within a minute. */
    struct file_pace q = {.interval_us = 40000, .gap_us = 1000000, .live = true};
    int64_t delay = 0;
    for (int i = 0; i < 60 * 25; i++) {
        int64_t arrival = i < 13 ? 0 : (i - 12) * 40000;
        delay = file_pace_next(&q, i * 40000, arrival) - arrival;
        assert_true(delay >= 0 && delay <= 520000);
    }
    assert_int_equal(delay, 0);
    /* Nobody reads for three seconds; then what waited comes at once, and is due at once. */
    for (int i = 60 * 25; i < 60 * 25 + 20; i++) {
        int64_t arrival = (60 * 25 - 12) * 40000 + 3000000;
        delay = file_pace_next(&q, i * 40000, arrival) - arrival;
        assert_true(delay >= 0 && delay <= 20000); /* a millisecond apart */
    }
    /* All at once (cat FILE |): the file's own pace, a hundredth faster. */
    struct file_pace r = {.interval_us = 40000, .gap_us = 1000000, .live = true};
    int64_t due = 0;
    for (int i = 0; i <= 250; i++)
        due = file_pace_next(&r, FILE_PACE_UNKNOWN, 0);
    assert_true(due > 9890000 && due < 9910000);
}

/* ---- the driver ---- */

static struct source *open_file(const char *spec, bool loop, bool decode)
{
    struct source *s = NULL;
    struct source_config config = {.spec = spec, .fps = 25, .loop = loop, .decode_always = decode};
    if (source_file.open(&s, &config) < 0)
        fail_msg("%s: %s", spec, error_text());
    return s;
}

static void plays_in_real_time(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source *s = open_file(in_dir("slices.hevc"), false, false); /* 15 at 25 a second */
    struct access_unit *au = NULL;
    int64_t start = clock_now_us(), last = 0;
    int n = 0, what;
    while ((what = s->ops->wait(s, 10000000)) == SOURCE_CHANGED) {
        assert_int_equal(s->ops->read_au(s, &au), 0);
        assert_true(au->pts_us > last);
        assert_true(n == 0 || au->pts_us - last == 40000);
        assert_true(au->pts_us <= clock_now_us());
        assert_true(au->capture_us >= au->pts_us);
        last = au->pts_us;
        access_unit_unref(&au);
        n++;
    }
    assert_int_equal(what, SOURCE_ENDED);
    assert_int_equal(n, 15);
    assert_true(clock_now_us() - start >= 550000);
    assert_string_equal(s->end_reason, "");
    assert_false(s->failed);
    assert_int_equal(s->ops->read_au(s, &au), ERR_ENDED);
    assert_int_equal(s->ops->wait(s, 0), SOURCE_ENDED); /* it stays so */
    source_file.close(s);
}

/* A header that promises a picture, and none behind it. Also with --loop it ends. */
static void ends_when_there_is_no_picture(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct bytes b = slurp(in_dir("plain.hevc"));
    struct nal nal;
    size_t end = 0;
    for (size_t pos = 0; !end && annexb_next(b.data, b.len, &pos, &nal);)
        if (nal_is_vcl(nal_type(&nal)))
            end = (size_t)(nal.data - b.data) - 4;
    assert_true(end > 40);
    spit(in_dir("header.hevc"), b.data, end);
    free(b.data);
    for (int decode = 0; decode < 2; decode++) {
        struct source *s = open_file(in_dir("header.hevc"), true, decode);
        assert_int_equal(s->ops->wait(s, 10000000), SOURCE_ENDED);
        assert_true(s->failed);
        assert_non_null(strstr(s->end_reason, "has no picture"));
        source_file.close(s);
    }
}

static void loops_without_a_break(void **state)
{
    (void)state;
    NEED_FFMPEG();
    static const char *const names[] = {"slices.hevc", "444.mkv"};
    for (size_t i = 0; i < 2; i++) {
        struct source *s = open_file(in_dir(names[i]), true, false);
        struct access_unit *au = NULL;
        int64_t last = 0;
        for (int n = 0; n < 35; n++) {
            assert_int_equal(s->ops->wait(s, 10000000), SOURCE_CHANGED);
            assert_int_equal(s->ops->read_au(s, &au), 0);
            assert_true(n == 0 || llabs(au->pts_us - last - 40000) < 1000);
            assert_true(n % 15 ? !au->irap || n == 0 : au->irap);
            last = au->pts_us;
            access_unit_unref(&au);
        }
        source_file.close(s);
    }
}

static void shows_the_newest_picture(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source *s = open_file(in_dir("plain.mkv"), false, true);
    struct picture *p = NULL, *again = NULL;
    assert_int_equal(s->ops->wait(s, 10000000), SOURCE_CHANGED);
    assert_int_equal(s->ops->read(s, &p), 0);
    assert_true(damage_is_all(&p->damage, 320, 240));
    int64_t first = p->pts_us;
    /* Not due yet (unless this machine stood still): the same again, unchanged. */
    assert_int_equal(s->ops->read(s, &again), 0);
    if (again->pts_us == first) {
        assert_int_equal(again->damage.n, 0);
        assert_memory_equal(again->plane[0], p->plane[0], 320);
    }
    picture_unref(&p);
    picture_unref(&again);
    usleep(150000); /* four pictures fall due; the reader has decoded three */
    assert_int_equal(s->ops->wait(s, 10000000), SOURCE_CHANGED);
    assert_int_equal(s->ops->read(s, &p), 0);
    assert_true(p->pts_us - first >= 3 * 40000 - 1000);
    uint8_t row[320];
    memcpy(row, p->plane[0] + 239 * p->stride[0], sizeof row);
    source_file.close(s); /* while a picture is held, which goes on living */
    assert_memory_equal(row, p->plane[0] + 239 * p->stride[0], sizeof row);
    picture_unref(&p);
}

static void keeps_every_access_unit(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source *s = open_file(in_dir("plain.hevc"), false, false);
    struct access_unit *au = NULL;
    int n = 0;
    usleep(100000);
    int64_t begun = clock_now_us();
    assert_int_equal(s->ops->wait(s, 10000000), SOURCE_CHANGED);
    usleep(300000); /* a slow consumer */
    assert_int_equal(s->ops->read_au(s, &au), 0);
    assert_true(au->pts_us >= begun); /* it begins at the first wait, not at open */
    access_unit_unref(&au);
    n++;
    while (s->ops->wait(s, 10000000) == SOURCE_CHANGED) {
        assert_int_equal(s->ops->read_au(s, &au), 0);
        access_unit_unref(&au);
        n++;
    }
    assert_int_equal(n, 25);
    source_file.close(s);
}

static void *interrupt_soon(void *arg)
{
    usleep(50000);
    source_file.interrupt(arg);
    return NULL;
}

/* Raw and in a container, the writer stops in the middle. */
static void an_idle_pipe_blocks_nobody(void **state)
{
    (void)state;
    NEED_FFMPEG();
    static const char *const names[] = {"plain.hevc", "plain.mkv", "h264.mkv"};
    assert_true(ffmpeg("-i %d/h264.mp4 -c copy %d/h264.mkv"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct writer w = {.bytes = slurp(in_dir(names[i])), .seed = 1, .hold = true};
        w.bytes.len = w.bytes.len * 2 / 3;
        pthread_t thread = stdin_from(&w);
        struct source *s = open_file("-", false, false);
        int what;
        while ((what = s->ops->wait(s, 300000)) == SOURCE_CHANGED) {
            struct access_unit *au = NULL;
            struct picture *p = NULL;
            if (s->info.kind == SOURCE_PICTURES)
                assert_int_equal(s->ops->read(s, &p), 0);
            else
                assert_int_equal(s->ops->read_au(s, &au), 0);
            access_unit_unref(&au);
            picture_unref(&p);
        }
        assert_int_equal(what, SOURCE_IDLE);
        pthread_t other;
        assert_int_equal(pthread_create(&other, NULL, interrupt_soon, s), 0);
        assert_int_equal(s->ops->wait(s, -1), SOURCE_IDLE);
        pthread_join(other, NULL);
        source_file.close(s); /* while its reader blocks */
        close(w.fd);
        stdin_back(thread);
        free(w.bytes.data);
    }
}

static void bounds_the_rate_of_pictures(void **state)
{
    (void)state;
    NEED_FFMPEG();
    struct source *s = NULL;
    struct source_config config = {.spec = in_dir("plain.mkv"), .fps = 10, .decode_always = true};
    assert_int_equal(source_file.open(&s, &config), 0);
    int64_t first = 0, last = 0;
    int n = 0;
    while (s->ops->wait(s, 10000000) == SOURCE_CHANGED) {
        struct picture *p = NULL;
        assert_int_equal(s->ops->read(s, &p), 0);
        first = n ? first : p->pts_us;
        last = p->pts_us;
        picture_unref(&p);
        n++;
    }
    assert_true(n <= 11);
    assert_true(last - first >= 900000 - 50000);
    source_file.close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_annexb_apart),
        cmocka_unit_test(pace_follows_timestamps),
        cmocka_unit_test(pace_of_a_live_pipe_never_lags),
        cmocka_unit_test(says_what_is_wrong),
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
        cmocka_unit_test(plays_in_real_time),
        cmocka_unit_test(ends_when_there_is_no_picture),
        cmocka_unit_test(loops_without_a_break),
        cmocka_unit_test(shows_the_newest_picture),
        cmocka_unit_test(keeps_every_access_unit),
        cmocka_unit_test(an_idle_pipe_blocks_nobody),
        cmocka_unit_test(bounds_the_rate_of_pictures),
    };
    return cmocka_run_group_tests(tests, make_clips, remove_clips);
}
