#include "file_fixture.h"

#include <libavutil/log.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char clip_dir[64];
bool have_ffmpeg;

const char *in_dir(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", clip_dir, name);
    return path[next];
}

bool ffmpeg(const char *args)
{
    char command[2048], expanded[1536];
    size_t n = 0;
    for (const char *p = args; *p && n < sizeof expanded - 80; p++) {
        if (p[0] == '%' && p[1] == 'd') {
            n += (size_t)sprintf(expanded + n, "%s", clip_dir);
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

int make_clips(void **state)
{
    (void)state;
    snprintf(clip_dir, sizeof clip_dir, "/tmp/hevcast-file-XXXXXX");
    if (!mkdtemp(clip_dir))
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

int remove_clips(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", clip_dir);
    return system(command) ? -1 : 0;
}

struct bytes slurp(const char *path)
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

void spit(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

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

static int saved_stdin;

pthread_t stdin_from(struct writer *w)
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

void stdin_back(pthread_t thread)
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
