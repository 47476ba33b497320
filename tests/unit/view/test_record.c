/* Recordings: every access unit as it came, readable although the program was killed. */
#include "base/clock.h"
#include "base/error.h"
#include "clip.h"
#include "decode/avlog.h"
#include "decode/decoder.h"
#include "display/record.h"

#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/md5.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_US = 20 * 1000000 };
static const char *const kinds[] = {"mkv", "mp4"};

static char dir[64], path[128];

static void name_file(const char *kind)
{
    snprintf(path, sizeof path, "%s/out.%s", dir, kind);
}

static int make_dir(void **state)
{
    (void)state;
    avlog_route();
    snprintf(dir, sizeof dir, "/tmp/hevcast-rec-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    return system(cmd);
}

/* What FFmpeg finds in a file. */
struct found {
    int frames, errors, width, height, parameter_sets;
    double last_pts_s;
    char md5[33];
};

static void decode_packet(AVCodecContext *c, const AVPacket *packet, struct AVMD5 *md5,
                          struct found *out)
{
    AVFrame *f = av_frame_alloc();
    if (avcodec_send_packet(c, packet) < 0)
        out->errors++;
    while (avcodec_receive_frame(c, f) == 0) {
        struct picture pic = {.fmt = PIX_I420, .width = f->width, .height = f->height};
        for (int i = 0; i < 3; i++) {
            pic.plane[i] = f->data[i];
            pic.stride[i] = f->linesize[i];
        }
        picture_md5_update(md5, &pic);
        out->frames++;
        out->width = f->width;
        out->height = f->height;
    }
    av_frame_free(&f);
}

static bool read_recording(const char *name, struct found *out)
{
    memset(out, 0, sizeof *out);
    AVFormatContext *fmt = NULL;
    if (avformat_open_input(&fmt, name, NULL, NULL) < 0)
        return false;
    if (avformat_find_stream_info(fmt, NULL) < 0 || fmt->nb_streams != 1) {
        avformat_close_input(&fmt);
        return false;
    }
    AVStream *st = fmt->streams[0];
    AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_HEVC));
    avcodec_parameters_to_context(c, st->codecpar);
    c->err_recognition = AV_EF_EXPLODE;
    c->thread_count = 1;
    assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
    struct AVMD5 *md5 = av_md5_alloc();
    av_md5_init(md5);
    AVPacket *p = av_packet_alloc();
    while (av_read_frame(fmt, p) == 0) {
        for (int at = 0; at + 4 < p->size;) { /* length-prefixed NAL units */
            int len =
                p->data[at] << 24 | p->data[at + 1] << 16 | p->data[at + 2] << 8 | p->data[at + 3];
            int type = p->data[at + 4] >> 1 & 0x3f;
            out->parameter_sets += type >= 32 && type <= 34;
            at += 4 + len;
        }
        out->last_pts_s = (double)p->pts * av_q2d(st->time_base);
        decode_packet(c, p, md5, out);
        av_packet_unref(p);
    }
    decode_packet(c, NULL, md5, out);
    md5_hex(md5, out->md5);
    av_free(md5);
    av_packet_free(&p);
    avcodec_free_context(&c);
    avformat_close_input(&fmt);
    return true;
}

static void push_all(struct record *r, const struct clip *c)
{
    for (int i = 0; i < c->n; i++)
        record_push(r, access_unit_ref(c->au[i]));
}

/* Everything is there: pictures, times, and the parameter sets in-band. */
static void whole(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        name_file(kinds[k]);
        struct clip c;
        struct record *r;
        struct found f;
        clip_load(&c, "keys.hevc", 30);
        assert_int_equal(record_open(&r, &(struct record_config){.path = path}), 0);
        push_all(r, &c);
        record_close(&r, LONG_US);
        assert_true(read_recording(path, &f));
        assert_int_equal(f.frames, 30);
        assert_int_equal(f.errors, 0);
        assert_string_equal(f.md5, "120021ad7303a05518ea55230866192f"); /* see test_decoder.c */
        assert_int_equal(f.parameter_sets, 9);
        assert_true(f.last_pts_s > 0.965 && f.last_pts_s < 0.968);
        clip_free(&c);
    }
}

/* A process that pushes some pictures and then sits still is killed once they can be read (the
 * parent's polling reads the file while it grows). */
static void killed(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        name_file(kinds[k]);
        struct clip c;
        clip_load(&c, "plain.hevc", 30);
        pid_t pid = fork();
        if (pid == 0) {
            struct record *r;
            if (record_open(&r, &(struct record_config){.path = path}) < 0)
                _exit(1);
            for (int i = 0; i < 25; i++) {
                record_push(r, access_unit_ref(c.au[i]));
                usleep(20000);
            }
            pause();
            _exit(2);
        }
        struct found f = {0};
        for (int i = 0; i < 200 && f.frames < 25; i++) {
            usleep(100000);
            read_recording(path, &f);
            assert_int_equal(f.errors, 0); /* never half a cluster or fragment */
        }
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_true(read_recording(path, &f));
        assert_int_equal(f.frames, 25);
        assert_int_equal(f.errors, 0);
        assert_true(f.last_pts_s > 0.799 && f.last_pts_s < 0.801);
        clip_free(&c);
    }
}

/* It starts at an IRAP, and asks for one. */
static void joins_late(void **state)
{
    (void)state;
    name_file("mkv");
    struct clip c;
    struct record *r;
    struct found f;
    clip_load(&c, "keys.hevc", 30);
    assert_int_equal(record_open(&r, &(struct record_config){.path = path}), 0);
    for (int i = 3; i < c.n; i++)
        if (i != 15) /* lost: 16..19 cannot be decoded */
            record_push(r, access_unit_ref(c.au[i]));
    record_close(&r, LONG_US);
    assert_true(read_recording(path, &f));
    assert_int_equal(f.errors, 0);
    assert_int_equal(f.frames, 5 + 10);
    assert_true(f.last_pts_s > 0.632 && f.last_pts_s < 0.635); /* from picture 10 to 29 */
    clip_free(&c);
}

/* Another size goes into a second file. */
static void second_file(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        name_file(kinds[k]);
        struct clip a, b;
        struct record *r;
        struct found f;
        clip_load(&a, "plain.hevc", 30);
        clip_load(&b, "big.hevc", 10);
        assert_int_equal(record_open(&r, &(struct record_config){.path = path}), 0);
        push_all(r, &a);
        for (int i = 0; i < b.n; i++)
            b.au[i]->rtp_ts += 90000;
        push_all(r, &b);
        record_close(&r, LONG_US);
        assert_true(read_recording(path, &f));
        assert_int_equal(f.frames, 30);
        assert_int_equal(f.width, 198);
        assert_int_equal(f.height, 106);
        char second[160];
        snprintf(second, sizeof second, "%s/out-2.%s", dir, kinds[k]);
        assert_true(read_recording(second, &f));
        assert_int_equal(f.frames, 10);
        assert_int_equal(f.errors, 0);
        assert_int_equal(f.width, 160);
        assert_true(f.last_pts_s > 0.899 && f.last_pts_s < 0.901); /* begins at 0 too */
        clip_free(&a);
        clip_free(&b);
    }
}

struct calls {
    atomic_int gaps, ends, error;
    char text[256];
};

static void on_gap(void *ctx)
{
    atomic_fetch_add(&((struct calls *)ctx)->gaps, 1);
}

static void on_end(void *ctx, int error, const char *text)
{
    struct calls *c = ctx;
    snprintf(c->text, sizeof c->text, "%s", text);
    atomic_store(&c->error, error);
    atomic_fetch_add(&c->ends, 1);
}

/* A stalled disk (a FIFO that nobody reads): pushing never waits, memory is bounded, a key frame
 * is asked for, the gap ends at an IRAP, and closing gives up. */
static void stalled(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        name_file(kinds[k]);
        assert_int_equal(mkfifo(path, 0600), 0);
        struct clip c;
        struct record *r;
        struct calls calls = {0};
        clip_load(&c, "keys.hevc", 30);
        struct record_config config = {
            .path = path, .on_gap = on_gap, .on_end = on_end, .ctx = &calls};
        assert_int_equal(record_open(&r, &config), 0);
        /* The header blocks: there is no reader. */
        for (int i = 0; i < 3000; i++)
            record_push(r, access_unit_ref(c.au[i % 30]));
        struct queue_stats st = record_stats(r);
        assert_string_equal(st.name, "record");
        assert_true(st.length <= st.capacity);
        assert_true(st.drops >= 3000 - st.capacity - 10);
        assert_true(atomic_load(&calls.gaps) > 0);
        record_close(&r, 200000);
        assert_int_equal(atomic_load(&calls.ends), 0);
        unlink(path);
        clip_free(&c);
    }
}

static void disk_full(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        name_file(kinds[k]);
        assert_int_equal(symlink("/dev/full", path), 0);
        struct clip c;
        struct record *r;
        struct calls calls = {0};
        clip_load(&c, "keys.hevc", 30);
        struct record_config config = {.path = path, .on_end = on_end, .ctx = &calls};
        assert_int_equal(record_open(&r, &config), 0);
        push_all(r, &c);
        for (int i = 0; i < 2000 && !atomic_load(&calls.ends); i++)
            usleep(10000);
        assert_int_equal(atomic_load(&calls.ends), 1);
        assert_int_equal(atomic_load(&calls.error), ERR_IO);
        assert_non_null(strstr(calls.text, "space"));
        assert_non_null(strstr(calls.text, path));
        record_push(r, access_unit_ref(c.au[0])); /* is freed */
        record_close(&r, LONG_US);
        unlink(path);
        clip_free(&c);
    }
}

static void bad_paths(void **state)
{
    (void)state;
    struct record *r;
    assert_int_equal(record_open(&r, &(struct record_config){.path = "/tmp/x.avi"}), ERR_INVALID);
    assert_int_equal(record_open(&r, &(struct record_config){.path = "/nonexistent/x.mkv"}),
                     ERR_IO);
    assert_non_null(strstr(error_text(), "/nonexistent/x.mkv"));
    assert_null(r);
    /* Nothing came: an empty file stays, and closing is clean. */
    name_file("mkv");
    assert_int_equal(record_open(&r, &(struct record_config){.path = path}), 0);
    record_close(&r, LONG_US);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole),   TEST(killed),    TEST(joins_late), TEST(second_file),
        TEST(stalled), TEST(disk_full), TEST(bad_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
