/* Watches the access units of scene_send through the public library, without decoding: checks that
 * each has its reference, and logs when it came.
 *
 *     scene_recv URL --log FILE [--viewers N] [--seconds N] [--visits N]
 *
 * --visits N: instead of watching, joins and leaves N times within --seconds, each as soon as the
 * first access unit is there. The log, a line each (V: which viewer):
 *     au V T_US NUMBER LATENCY_US BYTES GOOD KEY | event V T_US TEXT | end V NACKS PLIS LOST RECOVERED RECEIVED */
#include <hevcast/hevcast.h>

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_VIEWERS = 64, RING = 256, TAG = 40 };

struct viewer {
    int id;
    hevcast_receiver *receiver;
    uint32_t had[RING]; /* numbers that came */
    bool any;
    atomic_int count;
};

static FILE *log_file;
static volatile sig_atomic_t stopped;

static void on_signal(int sig) { (void)sig; stopped = 1; }

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The tag stands behind the first slice's start code and three bytes; parameter sets come first. */
static bool find_tag(const hevcast_access_unit *au, uint32_t *number, uint32_t *reference, int64_t *t_us)
{
    for (size_t i = 0; i + 6 + TAG <= au->len; i++) {
        const uint8_t *p = au->data + i;
        if (p[0] || p[1] || p[2] != 1 || (p[3] >> 1) >= 32)
            continue;
        char text[TAG + 1] = {0};
        uint64_t t;
        unsigned len;
        memcpy(text, p + 6, TAG);
        if (sscanf(text, "%8x%8x%16" SCNx64 "%8x", number, reference, &t, &len) != 4)
            return false;
        *t_us = (int64_t)t;
        return len == au->len - i - 3; /* all of it came */
    }
    return false;
}

static void on_access_unit(void *ctx, const hevcast_access_unit *au)
{
    struct viewer *v = ctx;
    uint32_t number = 0, reference = 0;
    int64_t sent = 0, now = now_us();
    bool good = find_tag(au, &number, &reference, &sent);
    good = good && (au->keyframe || (v->any && v->had[reference % RING] == reference));
    v->had[number % RING] = number;
    v->any = true;
    atomic_fetch_add(&v->count, 1);
    fprintf(log_file, "au %d %" PRId64 " %u %" PRId64 " %zu %d %d\n", v->id, now, number, now - sent,
            au->len, good, au->keyframe);
}

static void on_event(void *ctx, const hevcast_event *e)
{
    const struct viewer *v = ctx;
    fprintf(log_file, "event %d %" PRId64 " %d %s\n", v->id, now_us(), (int)e->type, e->text);
}

static bool open_viewer(struct viewer *v, const char *url)
{
    hevcast_receiver_config c;
    hevcast_receiver_default_config(&c);
    c.url = url;
    c.decoder = "none";
    c.on_access_unit = on_access_unit;
    c.on_event = on_event;
    c.ctx = v;
    if (hevcast_receiver_new(&v->receiver, &c) == 0)
        return true;
    fprintf(stderr, "scene_recv: %s\n", hevcast_error_text());
    return false;
}

static void close_viewer(struct viewer *v)
{
    hevcast_receiver_stats s;
    hevcast_receiver_get_stats(v->receiver, &s);
    fprintf(log_file, "end %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", v->id, s.nacks,
            s.plis, s.packets_lost, s.packets_recovered, s.packets_received);
    hevcast_receiver_free(&v->receiver);
}

static void watch(struct viewer *v, int n, const char *url, int64_t end_us)
{
    for (int i = 0; i < n; i++)
        if (!open_viewer(&v[i], url))
            stopped = 1;
    while (!stopped && now_us() < end_us)
        if (hevcast_receiver_wait(v[0].receiver, 100000) != 1)
            break;
    for (int i = 0; i < n; i++)
        if (v[i].receiver)
            close_viewer(&v[i]);
}

static void visit(struct viewer *v, int visits, const char *url, int64_t begin_us, int64_t end_us)
{
    for (int i = 0; i < visits && !stopped; i++) {
        int64_t due = begin_us + (end_us - begin_us) * i / visits;
        while (!stopped && now_us() < due)
            nanosleep(&(struct timespec){0, 5000000}, NULL);
        memset(v->had, 0, sizeof v->had);
        v->any = false;
        atomic_store(&v->count, 0);
        v->id = 1000 + i;
        if (!open_viewer(v, url))
            return;
        while (!stopped && atomic_load(&v->count) == 0)
            if (hevcast_receiver_wait(v->receiver, 10000) != 1)
                break;
        close_viewer(v);
    }
}

static double number_option(int argc, char **argv, const char *name, double otherwise)
{
    for (int i = 2; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return atof(argv[i + 1]);
    return otherwise;
}

int main(int argc, char **argv)
{
    static struct viewer v[MAX_VIEWERS];
    const char *path = NULL;
    for (int i = 2; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--log") == 0)
            path = argv[i + 1];
    int viewers = (int)number_option(argc, argv, "--viewers", 1);
    int visits = (int)number_option(argc, argv, "--visits", 0);
    double seconds = number_option(argc, argv, "--seconds", 3600);
    log_file = path ? fopen(path, "w") : NULL;
    if (!log_file || viewers < 1 || viewers > MAX_VIEWERS) {
        fprintf(stderr, "usage: scene_recv URL --log FILE [--viewers N] [--seconds N] [--visits N]\n");
        return 2;
    }
    setvbuf(log_file, NULL, _IOLBF, 0);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    for (int i = 0; i < viewers; i++)
        v[i].id = i;
    int64_t begin = now_us(), end = begin + (int64_t)(seconds * 1e6);
    if (visits > 0)
        visit(&v[0], visits, argv[1], begin, end);
    else
        watch(v, viewers, argv[1], end);
    fclose(log_file);
    return 0;
}
