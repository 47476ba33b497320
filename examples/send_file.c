/* Sends an .hevc file (raw Annex B) as if it came from an encoder of one's own.
 *
 *     send_file FILE.hevc [FPS [SECONDS]]
 *
 * Prints the address to open. Starts with the first viewer; begins again at the end of the file,
 * and whenever a viewer needs a key frame (a real encoder would make one instead). */
#include <hevcast/hevcast.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_bool rewind_wanted, watched;

static void on_keyframe_request(void *ctx)
{
    (void)ctx;
    atomic_store(&rewind_wanted, true);
}

static void on_target_bitrate(void *ctx, int64_t bps)
{
    (void)ctx;
    atomic_store(&watched, true); /* comes with the first viewer, too */
    fprintf(stderr, "aim for %lld bit/s\n", (long long)bps);
}

/* Where the next start code begins at or after p; end if none. */
static const uint8_t *start_code(const uint8_t *p, const uint8_t *end)
{
    for (; p + 3 < end; p++)
        if (!p[0] && !p[1] && p[2] == 1)
            return p;
    return end;
}

/* The end of the access unit that begins at p: before the first NAL after a slice that starts a
 * new picture (first_slice_segment_in_pic_flag), or that is a parameter set or a delimiter. */
static const uint8_t *access_unit_end(const uint8_t *p, const uint8_t *end, bool *key)
{
    bool slice_seen = false;
    *key = false;
    while (p < end) {
        int type = p[3] >> 1 & 0x3f;
        bool slice = type < 32, first = slice && p + 5 < end && p[5] & 0x80;
        bool opens = (slice && first) || (type >= 32 && type <= 35) || type == 39;
        if (slice_seen && opens)
            return p;
        slice_seen |= slice;
        *key |= type >= 16 && type <= 23;
        p = start_code(p + 3, end);
    }
    return end;
}

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    uint8_t *data = n > 0 ? malloc((size_t)n) : NULL;
    if (data && fread(data, 1, (size_t)n, f) != (size_t)n) {
        free(data);
        data = NULL;
    }
    fclose(f);
    *len = data ? (size_t)n : 0;
    return data;
}

int main(int argc, char **argv)
{
    size_t len = 0;
    uint8_t *data = argc > 1 ? read_file(argv[1], &len) : NULL;
    int fps = argc > 2 ? atoi(argv[2]) : 30;
    double seconds = argc > 3 ? atof(argv[3]) : 1e9;
    if (!data || fps < 1) {
        fprintf(stderr, "usage: send_file FILE.hevc [FPS [SECONDS]]\n");
        return 2;
    }
    hevcast_sender_config config;
    hevcast_sender_default_config(&config);
    config.input = HEVCAST_INPUT_ACCESS_UNITS;
    config.listen = "127.0.0.1:0";
    config.on_keyframe_request = on_keyframe_request;
    config.on_target_bitrate = on_target_bitrate;
    hevcast_sender *sender;
    if (hevcast_sender_new(&sender, &config)) {
        fprintf(stderr, "send_file: %s\n", hevcast_error_text());
        return 1;
    }
    printf("%s\n", hevcast_sender_url(sender));
    fflush(stdout);

    const uint8_t *end = data + len, *p = end;
    int64_t interval_us = 1000000 / fps;
    for (int64_t t = 0; t < (int64_t)(seconds * 1e6); t += interval_us) {
        if (hevcast_sender_wait(sender, interval_us) != 1)
            break;
        if (!atomic_load(&watched))
            continue;
        if (p == end || atomic_exchange(&rewind_wanted, false))
            p = start_code(data, end);
        hevcast_access_unit au = {.data = p, .pts_us = t};
        const uint8_t *next = access_unit_end(p, end, &au.keyframe);
        au.len = (size_t)(next - p);
        if (hevcast_sender_push_access_unit(sender, &au) < 0) {
            fprintf(stderr, "send_file: %s\n", hevcast_error_text());
            atomic_store(&rewind_wanted, true);
        }
        p = next;
    }
    hevcast_sender_free(&sender);
    free(data);
    return 0;
}
