/* Raw pictures: the bytes, and what happens when the reader is slow, gone, or the disk is full. */
#include "base/clock.h"
#include "base/error.h"
#include "clip.h"
#include "convert/convert.h"
#include "decode/decoder.h"
#include "display/rawout.h"
#include "display/repixel.h"

#include <fcntl.h>
#include <libavutil/md5.h>
#include <libavutil/mem.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_US = 20 * 1000000 };

static char dir[64], path[128];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hevcast-raw-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/out", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

struct ended {
    atomic_int count, error;
    char text[256];
};

static void on_end(void *ctx, int error, const char *text)
{
    struct ended *e = ctx;
    snprintf(e->text, sizeof e->text, "%s", text);
    atomic_store(&e->error, error);
    atomic_fetch_add(&e->count, 1);
}

static void wait_ended(struct ended *e)
{
    for (int i = 0; i < 2000 && !atomic_load(&e->count); i++)
        usleep(10000);
    assert_int_equal(atomic_load(&e->count), 1);
}

static struct picture *grey(enum pix_fmt fmt, int w, int h, int y, int u, int v)
{
    struct picture *p = picture_new(fmt, w, h);
    int value[3] = {y, u, v};
    for (int i = 0; i < picture_planes(fmt); i++)
        for (int row = 0; row < picture_rows(fmt, h, i); row++)
            memset(p->plane[i] + row * p->stride[i], value[i],
                   (size_t)picture_row_bytes(fmt, w, i));
    return p;
}

static size_t read_file(uint8_t *data, size_t cap)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(data, 1, cap, f);
    fclose(f);
    return n;
}

static void push_slowly(struct rawout *r, struct picture *p)
{
    while (rawout_stats(r).length == rawout_stats(r).capacity)
        usleep(1000);
    rawout_push(r, p);
}

static void file_equals_ffmpeg(void **state)
{
    (void)state;
    struct clip c;
    clip_load(&c, "plain.hevc", 30);
    struct decoder *d;
    struct rawout *r;
    assert_int_equal(decoder_open(&d, "cpu"), 0);
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = path}), 0);
    for (int i = 0; i < c.n; i++) {
        struct picture *pic;
        assert_int_equal(decoder_decode(d, c.au[i], &pic), 0);
        push_slowly(r, pic);
    }
    rawout_close(&r, LONG_US);
    static uint8_t data[2 << 20];
    size_t n = read_file(data, sizeof data);
    assert_int_equal(n, 30 * (198 * 106 * 3 / 2));
    struct AVMD5 *md5 = av_md5_alloc();
    av_md5_init(md5);
    av_md5_update(md5, data, n);
    char hex[33];
    md5_hex(md5, hex);
    assert_string_equal(hex, "d5fcb0f51b4fd2118f0047333a39a0ee"); /* see test_decoder.c */
    av_free(md5);
    decoder_close(&d);
    clip_free(&c);
}

/* BT.709 limited-range red, in each format. */
static void formats(void **state)
{
    (void)state;
    static const struct {
        enum raw_fmt fmt;
        size_t bytes;
        int first[3]; /* of the picture */
        size_t at[3];
    } rows[] = {
        {RAW_I420, 64 * 32 * 3 / 2, {63, 102, 240}, {0, 2048, 2048 + 512}},
        {RAW_I444, 64 * 32 * 3, {63, 102, 240}, {0, 2048, 4096}},
        {RAW_NV12, 64 * 32 * 3 / 2, {63, 102, 240}, {0, 2048, 2049}},
        {RAW_BGR24, 64 * 32 * 3, {0, 0, 255}, {0, 1, 2}},
        {RAW_RGB24, 64 * 32 * 3, {255, 0, 0}, {0, 1, 2}},
    };
    /* The same red as full range and as BT.601 reads: all come out the same. */
    const struct {
        enum pix_fmt fmt;
        int y, u, v;
        bool full, bt601;
    } in[] = {
        {PIX_I420, 63, 102, 240, false, false},
        {PIX_I444, 63, 102, 240, false, false},
        {PIX_I444, 54, 99, 255, true, false},
        {PIX_I420, 82, 90, 240, false, true},
    };
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
        for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
            struct repixel *r = repixel_new(rows[k].fmt, 64, 32);
            struct picture *p = grey(in[i].fmt, 64, 32, in[i].y, in[i].u, in[i].v);
            p->full_range = in[i].full;
            p->bt601 = in[i].bt601;
            const uint8_t *bytes;
            assert_int_equal(repixel_run(r, p, &bytes), 0);
            assert_int_equal(repixel_bytes(r), rows[k].bytes);
            for (int j = 0; j < 3; j++)
                if (abs(bytes[rows[k].at[j]] - rows[k].first[j]) > 3)
                    fail_msg("format %zu input %zu component %d: %d, not %d", k, i, j,
                             bytes[rows[k].at[j]], rows[k].first[j]);
            picture_unref(&p);
            repixel_free(&r);
        }
}

static int rounded(double v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (int)lrint(v);
}

/* Every sample of RGB is within one of the exact value, saturated blue included. */
static void rgb_is_exact(void **state)
{
    (void)state;
    enum { W = 53, H = 6 }; /* vectors and what is left over */
    static const enum pix_fmt fmts[] = {PIX_I420, PIX_I444, PIX_NV12};
    srand(3);
    for (int k = 0; k < 3 * 4 * 4; k++) {
        enum pix_fmt fmt = fmts[k % 3];
        bool full = k / 3 & 1, bt601 = k / 3 & 2, red_first = k / 12 & 1;
        int bytes = k / 24 ? 3 : 4;
        struct picture *p = picture_new(fmt, W, H);
        p->full_range = full;
        p->bt601 = bt601;
        for (int i = 0; i < picture_planes(fmt); i++)
            for (int y = 0; y < picture_rows(fmt, H, i); y++)
                for (int x = 0; x < picture_row_bytes(fmt, W, i); x++)
                    p->plane[i][y * p->stride[i] + x] = (uint8_t)rand();
        static uint8_t rgb[W * H * 4];
        assert_int_equal(convert_yuv_to_rgb(p, rgb, W * bytes, bytes, red_first), 0);
        double kr = bt601 ? 0.299 : 0.2126, kb = bt601 ? 0.114 : 0.0722, kg = 1 - kr - kb;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                int s = fmt == PIX_I444 ? 0 : 1;
                const uint8_t *c1 = p->plane[1] + (y >> s) * p->stride[1];
                int u = fmt == PIX_NV12 ? c1[(x >> 1) * 2] : c1[x >> s];
                int v = fmt == PIX_NV12 ? c1[(x >> 1) * 2 + 1]
                                        : p->plane[2][(y >> s) * p->stride[2] + (x >> s)];
                double l = (p->plane[0][y * p->stride[0] + x] - (full ? 0 : 16)) *
                           (full ? 1 : 255 / 219.0);
                double cb = (u - 128) * (full ? 1 : 255 / 224.0);
                double cr = (v - 128) * (full ? 1 : 255 / 224.0);
                double r = l + 2 * (1 - kr) * cr, b = l + 2 * (1 - kb) * cb;
                double g = l - 2 * (1 - kb) * kb / kg * cb - 2 * (1 - kr) * kr / kg * cr;
                const uint8_t *px = rgb + (y * W + x) * bytes;
                assert_in_range(px[red_first ? 0 : 2] + 1 - rounded(r), 0, 2);
                assert_in_range(px[1] + 1 - rounded(g), 0, 2);
                assert_in_range(px[red_first ? 2 : 0] + 1 - rounded(b), 0, 2);
            }
        picture_unref(&p);
    }
}

static void y4m(void **state)
{
    (void)state;
    struct rawout *r;
    struct rawout_config config = {.path = path, .y4m = true, .fps = 25};
    assert_int_equal(rawout_open(&r, &config), 0);
    for (int i = 0; i < 3; i++)
        push_slowly(r, grey(PIX_I420, 33, 17, 50 + i, 128, 128)); /* odd: chroma rounds up */
    rawout_close(&r, LONG_US);
    static uint8_t data[1 << 16];
    size_t n = read_file(data, sizeof data);
    const char *header = "YUV4MPEG2 W33 H17 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n";
    size_t one = 33 * 17 + 2 * 17 * 9;
    assert_memory_equal(data, header, strlen(header));
    assert_int_equal(n, strlen(header) + 3 * (6 + one));
    for (int i = 0; i < 3; i++) {
        const uint8_t *frame = data + strlen(header) + (size_t)i * (6 + one);
        assert_memory_equal(frame, "FRAME\n", 6);
        assert_int_equal(frame[6], 50 + i);
        assert_int_equal(frame[6 + 33 * 17], 128);
    }
    config.fmt = RAW_RGB24;
    assert_int_equal(rawout_open(&r, &config), ERR_INVALID);
}

static void resize_scales(void **state)
{
    (void)state;
    struct rawout *r;
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = path}), 0);
    push_slowly(r, grey(PIX_I420, 64, 64, 200, 128, 128));
    push_slowly(r, grey(PIX_I420, 128, 64, 200, 128, 128));
    push_slowly(r, grey(PIX_I420, 64, 64, 100, 128, 128));
    push_slowly(r, grey(PIX_I420, 128, 64, 200, 128, 128));
    rawout_close(&r, LONG_US);
    static uint8_t data[1 << 16];
    assert_int_equal(read_file(data, sizeof data), 4 * 6144);
    for (int k = 1; k < 4; k += 2) {
        const uint8_t *scaled = data + k * 6144;
        for (int y = 0; y < 64; y++) {
            int v = scaled[y * 64 + 32]; /* 64 x 32, in the middle */
            if (y < 15 || y > 48)
                assert_int_equal(v, 16);
            if (y > 17 && y < 46)
                assert_in_range(v, 198, 202);
        }
        assert_int_equal(scaled[4096], 128);
    }
    assert_int_equal(data[2 * 6144], 100);
}

static void resize_stops(void **state)
{
    (void)state;
    struct ended e = {0};
    struct rawout *r;
    struct rawout_config config = {
        .path = path, .stop_on_resize = true, .on_end = on_end, .ctx = &e};
    assert_int_equal(rawout_open(&r, &config), 0);
    push_slowly(r, grey(PIX_I420, 64, 64, 200, 128, 128));
    push_slowly(r, grey(PIX_I420, 128, 64, 200, 128, 128));
    wait_ended(&e);
    assert_int_equal(atomic_load(&e.error), 0);
    assert_non_null(strstr(e.text, "128x64"));
    rawout_push(r, grey(PIX_I420, 64, 64, 1, 1, 1)); /* is freed, not kept */
    assert_int_equal(rawout_written(r), 1);
    rawout_close(&r, LONG_US);
}

static void fit(void **state)
{
    (void)state;
    struct rect f = repixel_fit(1920, 1080, 1024, 768);
    assert_int_equal(f.h, 1080);
    assert_int_equal(f.w, 1440);
    assert_int_equal(f.x, 240);
    f = repixel_fit(1920, 1080, 3840, 1080);
    assert_int_equal(f.w, 1920);
    assert_int_equal(f.h, 540);
    assert_int_equal(f.y, 270);
    f = repixel_fit(100, 100, 16000, 2); /* never empty */
    assert_int_equal(f.h, 2);
    f = repixel_fit(65, 33, 65, 33);
    assert_true(f.w == 65 && f.h == 33 && f.x == 0 && f.y == 0);
}

/* Nobody reads the pipe: pushing goes on and counts its drops, and closing gives up. */
static void stalled_pipe(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    struct ended e = {0};
    struct rawout *r;
    assert_int_equal(
        rawout_open(&r, &(struct rawout_config){.path = path, .on_end = on_end, .ctx = &e}), 0);
    int64_t begin = clock_now_us();
    for (int i = 0; i < 60; i++)
        rawout_push(r, grey(PIX_I420, 640, 480, 1, 1, 1));
    struct queue_stats st = rawout_stats(r);
    assert_string_equal(st.name, "raw");
    assert_true(st.drops >= 60 - 8 - 4); /* the pipe holds at most three, one is in hand */
    rawout_close(&r, 200000);
    assert_true(clock_now_us() - begin < LONG_US);
    assert_int_equal(atomic_load(&e.count), 0);
    close(reader);
}

static void reader_leaves(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct ended e = {0};
    struct rawout *r;
    assert_int_equal(
        rawout_open(&r, &(struct rawout_config){.path = path, .on_end = on_end, .ctx = &e}), 0);
    rawout_push(r, grey(PIX_I420, 64, 64, 1, 1, 1));
    for (int i = 0; i < 1000 && rawout_written(r) < 1; i++)
        usleep(10000);
    close(reader);
    rawout_push(r, grey(PIX_I420, 64, 64, 1, 1, 1));
    wait_ended(&e);
    assert_int_equal(atomic_load(&e.error), ERR_ENDED);
    assert_non_null(strstr(e.text, "reader"));
    rawout_close(&r, LONG_US);
}

/* A FIFO that nobody opened: opening does not hang, nor does closing. Then a reader comes. */
static void fifo_waits(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    struct rawout *r;
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = path}), 0);
    rawout_push(r, grey(PIX_I420, 64, 64, 1, 1, 1));
    rawout_close(&r, 100000);
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = path}), 0);
    rawout_push(r, grey(PIX_I420, 64, 64, 77, 1, 1));
    int reader = open(path, O_RDONLY);
    uint8_t byte;
    assert_int_equal(read(reader, &byte, 1), 1);
    assert_int_equal(byte, 77);
    rawout_close(&r, LONG_US);
    close(reader);
}

static void disk_full(void **state)
{
    (void)state;
    struct ended e = {0};
    struct rawout *r;
    struct rawout_config config = {.path = "/dev/full", .on_end = on_end, .ctx = &e};
    assert_int_equal(rawout_open(&r, &config), 0);
    rawout_push(r, grey(PIX_I420, 64, 64, 1, 1, 1));
    wait_ended(&e);
    assert_int_equal(atomic_load(&e.error), ERR_IO);
    assert_non_null(strstr(e.text, "/dev/full"));
    assert_non_null(strstr(e.text, "space"));
    rawout_close(&r, LONG_US);
}

static void unwritable(void **state)
{
    (void)state;
    struct rawout *r;
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = "/nonexistent/x"}), ERR_IO);
    assert_non_null(strstr(error_text(), "/nonexistent/x"));
    assert_null(r);
    assert_int_equal(rawout_open(&r, &(struct rawout_config){.path = "/tmp"}), ERR_IO);
}

/* "-" on a pipe that others share: it must stay a blocking one for them. */
static void standard_output(void **state)
{
    (void)state;
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        struct rawout *r;
        if (rawout_open(&r, &(struct rawout_config){.path = "-"}) < 0)
            _exit(2);
        rawout_push(r, grey(PIX_I420, 640, 480, 9, 8, 7));
        rawout_close(&r, LONG_US);
        _exit(fcntl(1, F_GETFL) & O_NONBLOCK ? 3 : 0);
    }
    close(fds[1]);
    static uint8_t data[640 * 480 * 2];
    size_t n = 0;
    for (ssize_t k; (k = read(fds[0], data + n, sizeof data - n)) > 0;)
        n += (size_t)k;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(n, 640 * 480 * 3 / 2);
    assert_int_equal(data[0], 9);
    assert_int_equal(data[n - 1], 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_equals_ffmpeg), TEST(formats),      TEST(y4m),       TEST(rgb_is_exact),
        TEST(resize_scales),      TEST(resize_stops), TEST(fit),       TEST(stalled_pipe),
        TEST(reader_leaves),      TEST(fifo_waits),   TEST(disk_full), TEST(unwritable),
        TEST(standard_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
