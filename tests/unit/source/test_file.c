/* The file driver: what it takes and refuses, its pace in virtual time, its queue and its end. */
#include "base/clock.h"
#include "base/error.h"
#include "file_fixture.h"
#include "hevc/nal.h"
#include "source/file_input.h"
#include "source/file_pace.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    expect_error(clip_dir, ERR_INVALID, "is a directory");
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
    assert_int_equal(delay, 0); /* here, at the end of the minute */
    /* What came while the stream was looked into is no delay either. */
    struct file_pace b = {.interval_us = 40000, .gap_us = 1000000, .live = true, .begun_us = 100000};
    for (int i = 0; i < 25; i++) {
        int64_t arrival = i < 13 ? 600000 : 100000 + i * 40000;
        delay = file_pace_next(&b, i * 40000, arrival) - arrival;
        assert_true(delay >= 0 && delay <= 13000);
    }
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
        assert_true(n == 0 || au->pts_us - last >= 40000); /* more if this machine stood still */
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
            assert_true(n == 0 || au->pts_us - last >= 40000 - 1000);
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
    usleep(700000); /* the reader has decoded three, and all of them fell due */
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

/* Takes all that is due, until nothing comes for that long. */
static int consume(struct source *s, int64_t timeout_us)
{
    int what;
    while ((what = s->ops->wait(s, timeout_us)) == SOURCE_CHANGED) {
        struct access_unit *au = NULL;
        struct picture *p = NULL;
        if (s->info.kind == SOURCE_PICTURES)
            assert_int_equal(s->ops->read(s, &p), 0);
        else
            assert_int_equal(s->ops->read_au(s, &au), 0);
        access_unit_unref(&au);
        picture_unref(&p);
    }
    return what;
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
        assert_int_equal(consume(s, 300000), SOURCE_IDLE);
        pthread_t other;
        assert_int_equal(pthread_create(&other, NULL, interrupt_soon, s), 0);
        assert_int_equal(consume(s, -1), SOURCE_IDLE);
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
