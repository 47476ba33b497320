/* A sender without an encoder, for browser.py: plays a file of HEVC pictures through libhevcast at a steady
 * rate, and says when it handed each on.
 *
 *     playback FILE.hevc FPS
 *
 * Standard output: the address, then for each picture "INDEX UNIX_TIME_IN_US". The film begins again at
 * its end and when a viewer needs a key frame, which is its first picture alone. */
#include <hevcast/hevcast.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_PICTURES = 4096 };

struct film {
    uint8_t *data;
    size_t len;
    size_t start[MAX_PICTURES + 1]; /* of each picture, and the end */
    int count;
};

static atomic_bool rewind_wanted, watched;

static void on_keyframe_request(void *ctx)
{
    (void)ctx;
    atomic_store(&rewind_wanted, true);
}

static void on_target_bitrate(void *ctx, int64_t bps)
{
    (void)ctx;
    (void)bps;
    atomic_store(&watched, true);
}

static int64_t now_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool load(struct film *f, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return false;
    fseek(in, 0, SEEK_END);
    f->len = (size_t)ftell(in);
    rewind(in);
    f->data = malloc(f->len);
    bool ok = f->data && fread(f->data, 1, f->len, in) == f->len;
    fclose(in);
    return ok;
}

/* A picture begins with the first parameter set or delimiter before its first slice segment
 * (H.265 section 7.4.2.4.4), with its start code of three or four bytes. */
static void find_pictures(struct film *f)
{
    const uint8_t *d = f->data;
    bool open = false; /* parameter sets of the next picture were seen */
    for (size_t i = 0; i + 5 < f->len && f->count < MAX_PICTURES; i++) {
        if (d[i] || d[i + 1] || d[i + 2] != 1)
            continue;
        int type = d[i + 3] >> 1 & 0x3f;
        bool first = type < 32 && d[i + 5] & 0x80, before = (type >= 32 && type <= 35) || type == 39;
        if ((first || before) && !open)
            f->start[f->count++] = i > 0 && !d[i - 1] ? i - 1 : i;
        open = before || (open && type >= 32);
    }
    f->start[f->count] = f->len;
}

static void play(hevcast_sender *sender, const struct film *f, int fps)
{
    int64_t due_us = now_us(CLOCK_MONOTONIC);
    for (int at = 0;; due_us += 1000000 / fps) {
        int64_t wait_us = due_us - now_us(CLOCK_MONOTONIC);
        if (hevcast_sender_wait(sender, wait_us > 0 ? wait_us : 0) != 1)
            return;
        if (!atomic_load(&watched))
            continue;
        if (at == f->count || atomic_exchange(&rewind_wanted, false))
            at = 0;
        hevcast_access_unit au = {.data = f->data + f->start[at], .len = f->start[at + 1] - f->start[at],
                                  .pts_us = due_us, .keyframe = at == 0};
        int64_t t_us = now_us(CLOCK_REALTIME);
        if (hevcast_sender_push_access_unit(sender, &au) < 0) {
            fprintf(stderr, "playback: %s\n", hevcast_error_text());
            atomic_store(&rewind_wanted, true);
        } else {
            printf("%d %lld\n", at, (long long)t_us);
            fflush(stdout);
        }
        at++;
    }
}

int main(int argc, char **argv)
{
    static struct film film;
    int fps = argc > 2 ? atoi(argv[2]) : 0;
    if (fps < 1 || !load(&film, argv[1])) {
        fprintf(stderr, "usage: playback FILE.hevc FPS\n");
        return 2;
    }
    find_pictures(&film);
    hevcast_sender_config config;
    hevcast_sender_default_config(&config);
    config.input = HEVCAST_INPUT_ACCESS_UNITS;
    config.listen = "127.0.0.1:0";
    config.on_keyframe_request = on_keyframe_request;
    config.on_target_bitrate = on_target_bitrate;
    hevcast_sender *sender;
    if (hevcast_sender_new(&sender, &config)) {
        fprintf(stderr, "playback: %s\n", hevcast_error_text());
        return 1;
    }
    printf("%s\n", hevcast_sender_url(sender));
    fflush(stdout);
    play(sender, &film, fps);
    hevcast_sender_free(&sender);
    free(film.data);
    return 0;
}
