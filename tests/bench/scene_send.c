/* Sends made-up access units through the public library: their sizes and references follow a
 * recorded encode (a .trace file), scaled to the target rate, with the policies of an encoder that
 * follows: a bucket of --queue ms, pictures left out before encoding when it or the pacer is full.
 *
 *     scene_send --listen ADDR:0 --log FILE [--trace FILE | --keys SECONDS] [--fps N] [--ceiling BPS]
 *                [--seconds N] [--quiet-from S --quiet-to S]
 *
 * The first line of standard output is the address. Each access unit carries its number, its
 * reference's, the time (CLOCK_MONOTONIC) and its length, which scene_recv reads. The log has a line for each:
 *     push T_US NUMBER REFERENCE BYTES | skip T_US | key T_US | target T_US BPS | stats T_US … */
#include <hevcast/hevcast.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_TRACE = 4096, MAX_BYTES = 4 << 20, TAG = 40, DEPTH_US = 100000, STATS_EVERY_US = 250000 };

struct sender {
    hevcast_sender *sender;
    FILE *log;
    int permille[MAX_TRACE], back[MAX_TRACE];
    int trace_n;
    double level_bits;
    int64_t filled_us, stats_us;
    uint32_t number, key_number;
    uint8_t *buffer;
};

static _Atomic int64_t target_bps;
static atomic_bool key_wanted;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_keyframe_request(void *ctx)
{
    struct sender *s = ctx;
    fprintf(s->log, "key %" PRId64 "\n", now_us());
    atomic_store(&key_wanted, true);
}

static void on_target_bitrate(void *ctx, int64_t bps)
{
    struct sender *s = ctx;
    fprintf(s->log, "target %" PRId64 " %" PRId64 "\n", now_us(), bps);
    atomic_store(&target_bps, bps);
}

static bool read_trace(struct sender *s, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[200];
    while (f && fgets(line, sizeof line, f) && s->trace_n < MAX_TRACE)
        if (sscanf(line, "%d %d", &s->permille[s->trace_n], &s->back[s->trace_n]) == 2)
            s->trace_n++;
    if (f)
        fclose(f);
    return s->trace_n > 1;
}

/* VPS, SPS and PPS of a 1920x1080 stream by x265. */
static const uint8_t sets[] = {
    0x00, 0x00, 0x00, 0x01, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00,
    0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xba, 0x02, 0x40, 0x00, 0x00, 0x00, 0x01,
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
    0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x11, 0x07, 0xcb, 0x96, 0xe9, 0x29, 0x30, 0xbc, 0x05, 0xa0,
    0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xc1, 0x00, 0x00, 0x00, 0x01, 0x44,
    0x01, 0xc0, 0x73, 0xc1, 0x89,
};

static size_t put_nal(uint8_t *p, int type, uint32_t number, uint32_t reference, int64_t t_us, size_t bytes)
{
    static const uint8_t start[] = {0, 0, 0, 1};
    size_t n = sizeof start;
    memcpy(p, start, n);
    p[n++] = (uint8_t)(type << 1);
    p[n++] = 1;
    p[n++] = 0xaf; /* first_slice_segment_in_pic_flag, and what looks like a slice */
    size_t len = n + TAG < bytes ? bytes : n + TAG;
    n += (size_t)sprintf((char *)p + n, "%08x%08x%016" PRIx64 "%08x", number, reference, (uint64_t)t_us,
                         (unsigned)(len - sizeof start));
    memset(p + n, 0x5a, len - n);
    return len;
}

static void push(struct sender *s, bool key, int back, double bytes)
{
    size_t n = 0;
    int64_t t = now_us();
    uint32_t reference = key ? ++s->number : ++s->number - (uint32_t)back;
    if (key) {
        memcpy(s->buffer, sets, n = sizeof sets);
        s->key_number = s->number;
    } else if (reference < s->key_number) {
        reference = s->key_number;
    }
    bytes = bytes < 100 ? 100 : bytes > MAX_BYTES - 1000 ? MAX_BYTES - 1000 : bytes;
    n += put_nal(s->buffer + n, key ? 19 : 1, s->number, reference, t, (size_t)bytes);
    hevcast_access_unit au = {.data = s->buffer, .len = n, .pts_us = t, .keyframe = key};
    int r = hevcast_sender_push_access_unit(s->sender, &au);
    if (r != 0) {
        fprintf(s->log, "skip %" PRId64 "\n", t);
        s->number--;
        if (r < 0)
            atomic_store(&key_wanted, true);
        return;
    }
    s->level_bits -= (double)n * 8;
    fprintf(s->log, "push %" PRId64 " %u %u %zu\n", t, s->number, reference, n);
}

static void log_stats(struct sender *s)
{
    hevcast_sender_stats st;
    hevcast_viewer_stats v[16];
    int n = hevcast_sender_get_stats(s->sender, &st, v, 16);
    fprintf(s->log, "stats %" PRId64 " %d %" PRId64 " %" PRId64 " %" PRId64, now_us(), st.viewers,
            st.packets_sent, st.packets_retransmitted, st.pacer_us);
    for (int i = 0; i < n && i < 16; i++)
        fprintf(s->log, " %" PRId64 ":%.3f:%" PRId64, v[i].estimate_bps, v[i].loss_ratio, v[i].rtt_us);
    fprintf(s->log, "\n");
}

/* One picture's turn. */
static void picture(struct sender *s, int i, int fps, double keys_s)
{
    int64_t t = now_us(), target = atomic_load(&target_bps);
    if (target == 0)
        return; /* nobody watches */
    hevcast_sender_stats st;
    hevcast_sender_get_stats(s->sender, &st, NULL, 0);
    double depth = (double)target * DEPTH_US / 1e6, frame = (double)target / fps;
    s->level_bits += (double)target * (double)(t - s->filled_us) / 1e6;
    s->level_bits = s->level_bits > depth ? depth : s->level_bits;
    s->filled_us = t;
    bool key = atomic_exchange(&key_wanted, false) || s->number == 0;
    if (st.pacer_us > DEPTH_US || s->level_bits < 0) {
        fprintf(s->log, "skip %" PRId64 "\n", t);
        atomic_store(&key_wanted, key);
        return;
    }
    if (keys_s > 0)
        push(s, key, 1, key ? depth / 8 : 400);
    else if (key)
        push(s, true, 0, s->permille[0] / 1000.0 * frame / 8);
    else {
        int k = 1 + i % (s->trace_n - 1);
        push(s, false, s->back[k], s->permille[k] / 1000.0 * frame / 8);
    }
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static double number_option(int argc, char **argv, const char *name, double otherwise)
{
    const char *text = option(argc, argv, name, NULL);
    return text ? atof(text) : otherwise;
}

int main(int argc, char **argv)
{
    static struct sender s;
    const char *trace = option(argc, argv, "--trace", NULL), *log = option(argc, argv, "--log", NULL);
    double keys_s = number_option(argc, argv, "--keys", 0);
    int fps = (int)number_option(argc, argv, "--fps", 30);
    double seconds = number_option(argc, argv, "--seconds", 3600);
    s.buffer = malloc(MAX_BYTES);
    s.log = log ? fopen(log, "w") : NULL;
    if (!s.buffer || !s.log || fps < 1 || (keys_s <= 0 && (!trace || !read_trace(&s, trace)))) {
        fprintf(stderr, "scene_send: --log FILE and --trace FILE or --keys SECONDS are needed\n");
        return 2;
    }
    setvbuf(s.log, NULL, _IOLBF, 0);
    hevcast_sender_config c;
    hevcast_sender_default_config(&c);
    c.input = HEVCAST_INPUT_ACCESS_UNITS;
    c.listen = option(argc, argv, "--listen", "127.0.0.1:0");
    c.token = "";
    c.bitrate_bps = (int64_t)number_option(argc, argv, "--ceiling", 20e6);
    c.min_bitrate_bps = 300000;
    c.max_viewers = 64;
    c.on_keyframe_request = on_keyframe_request;
    c.on_target_bitrate = on_target_bitrate;
    c.ctx = &s;
    if (hevcast_sender_new(&s.sender, &c)) {
        fprintf(stderr, "scene_send: %s\n", hevcast_error_text());
        return 1;
    }
    printf("%s\n", hevcast_sender_url(s.sender));
    fflush(stdout);
    int64_t interval = keys_s > 0 ? (int64_t)(keys_s * 1e6) : 1000000 / fps, begin = now_us(), next = begin;
    s.filled_us = begin;
    for (int i = 0; now_us() - begin < (int64_t)(seconds * 1e6); i++) {
        /* A key frame that was asked for does not wait for the next keystroke. */
        for (int64_t wait; (wait = next - now_us()) > 0;) {
            if (hevcast_sender_wait(s.sender, wait < 20000 ? wait : 20000) != 1)
                goto over;
            if (keys_s > 0 && atomic_load(&key_wanted) && atomic_load(&target_bps) > 0)
                picture(&s, i, fps, keys_s);
            if (now_us() - s.stats_us >= STATS_EVERY_US) {
                s.stats_us = now_us();
                log_stats(&s);
            }
        }
        next += interval;
        picture(&s, i, fps, keys_s);
    }
over:
    log_stats(&s);
    hevcast_sender_free(&s.sender);
    fclose(s.log);
    free(s.buffer);
    return 0;
}
