/* The life of a receiver, its window, and its public functions. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { OVERLAY_INTERVAL_US = 500000, MESSAGE_INTERVAL_US = 250000,
       MESSAGE_AFTER_US = 400000, /* a path that changes in less is not worth a flash */
       CLOSE_TIMEOUT_US = 4000000,
       MAX_PLAYOUT_MS = 1000 };

void hevcast_receiver_default_config(hevcast_receiver_config *c)
{
    *c = (hevcast_receiver_config){.decoder = "auto", .raw_fmt = HEVCAST_PIX_AUTO,
                                    .reconnect_us = -1, .playout_max_ms = 200};
}

static int check_config(const hevcast_receiver_config *c)
{
    bool none = c->decoder && !strcmp(c->decoder, "none");
    if (!c->url || !c->url[0])
        return error_set(ERR_INVALID, "an address is needed: the one that `hevcast share` prints");
    if (none && (c->window || c->raw_path || c->y4m_path || c->on_picture || c->max_frames))
        return error_set(ERR_INVALID, "without a decoder there are no pictures to show or write");
    if (c->raw_path && c->y4m_path && !strcmp(c->raw_path, "-") && !strcmp(c->y4m_path, "-"))
        return error_set(ERR_INVALID, "--raw - and --y4m - cannot both write to standard output");
    if (c->playout_min_ms < 0 || c->playout_max_ms < c->playout_min_ms ||
        c->playout_max_ms > MAX_PLAYOUT_MS)
        return error_set(ERR_INVALID, "the playout delay's bounds are 0 to %d ms, the lower first",
                         MAX_PLAYOUT_MS);
    if (c->raw_fmt == HEVCAST_PIX_BGRX)
        return error_set(ERR_INVALID, "raw pictures are i420, i444, nv12, bgr24 or rgb24");
    return 0;
}

static int copy_config(struct hevcast_receiver *r, const hevcast_receiver_config *c)
{
    r->config = *c;
    r->config.ice_servers = NULL;
    const char **fields[] = {&r->config.url, &r->config.bearer, &r->config.tls_pin,
                             &r->config.decoder, &r->config.raw_path, &r->config.y4m_path,
                             &r->config.record_path};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        *fields[i] = string_bag_copy(&r->strings, *fields[i]);
    if (r->strings.failed)
        return error_set(ERR_MEMORY, "out of memory");
    int n = ice_servers_parse(r->ice_servers, c->ice_servers, c->ice_server_count);
    if (n < 0)
        return n;
    r->ice_server_count = r->own_ice_server_count = n;
    return 0;
}

/* An output that fails ends the program: its user wanted the file. */
static void on_output_end(void *ctx, int error, const char *text) { receiver_end(ctx, error, text); }

static void on_record_gap(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    atomic_store(&r->key_needed, true);
    loop_event_notify(r->key_event);
}

static enum raw_fmt raw_format(enum hevcast_pix_fmt f)
{
    switch (f) {
    case HEVCAST_PIX_I420: return RAW_I420;
    case HEVCAST_PIX_I444: return RAW_I444;
    case HEVCAST_PIX_NV12: return RAW_NV12;
    case HEVCAST_PIX_BGR24: return RAW_BGR24;
    case HEVCAST_PIX_RGB24: return RAW_RGB24;
    default: return RAW_AUTO;
    }
}

static int open_outputs(struct hevcast_receiver *r)
{
    struct rawout_config raw = {.path = r->config.raw_path,
                                .fmt = raw_format(r->config.raw_fmt),
                                .stop_on_resize = r->config.stop_on_resize,
                                .fps = 60,
                                .on_end = on_output_end,
                                .ctx = r};
    int err = 0;
    if (raw.path)
        err = rawout_open(&r->raw, &raw);
    raw.path = r->config.y4m_path;
    raw.y4m = true;
    raw.fmt = RAW_AUTO;
    if (!err && raw.path)
        err = rawout_open(&r->y4m, &raw);
    struct record_config record = {.path = r->config.record_path, .on_gap = on_record_gap,
                                   .on_end = on_output_end, .ctx = r};
    if (!err && record.path)
        err = record_open(&r->record, &record);
    if (err || !r->config.window)
        return err;
    r->show_queue = show_queue_new("display");
    if (!r->show_queue)
        return error_set(ERR_MEMORY, "out of memory");
    return display_sdl.open(&r->display, "hevcast", r->config.fullscreen);
}

static void free_unit(void *au)
{
    struct access_unit *unit = au;
    access_unit_unref(&unit);
}

static int open_decoder(struct hevcast_receiver *r)
{
    if (r->config.decoder && !strcmp(r->config.decoder, "none"))
        return 0;
    r->decode_queue = queue_new("decode", DECODE_QUEUE_CAPACITY, QUEUE_FLUSH, free_unit);
    if (!r->decode_queue)
        return error_set(ERR_MEMORY, "out of memory");
    return decoder_open(&r->decoder, r->config.decoder);
}

static int start_threads(struct hevcast_receiver *r)
{
    int err = 0;
    if (r->decode_queue) {
        err = thread_start(&r->decode_thread, "hc-decode", receiver_decode_main, r);
        r->decode_started = !err;
    }
    if (!err) {
        err = thread_start(&r->net_thread, "hc-net", receiver_net_main, r);
        r->net_started = !err;
    }
    return err;
}

int hevcast_receiver_new(hevcast_receiver **out, const hevcast_receiver_config *config)
{
    *out = NULL;
    int err = check_config(config);
    if (err)
        return err;
    struct hevcast_receiver *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(ERR_MEMORY, "out of memory");
    r->start_us = clock_now_us();
    pthread_mutex_init(&r->stats_lock, NULL);
    r->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = r->ended_fd < 0 ? error_set(ERR_IO, "no file descriptor is left") : 0;
    if (!err)
        err = copy_config(r, config);
    if (!err)
        err = receiver_net_open(r);
    if (!err)
        err = open_decoder(r);
    if (!err)
        err = open_outputs(r);
    if (!err)
        err = start_threads(r);
    if (err) {
        hevcast_receiver_free(&r);
        return err;
    }
    *out = r;
    return 0;
}

void hevcast_receiver_stop(hevcast_receiver *r)
{
    /* In a signal handler: a store and a write to an eventfd, nothing else. */
    atomic_store(&r->stopping, true);
    loop_event_notify(r->stop_event);
}

static int result(struct hevcast_receiver *r)
{
    pthread_mutex_lock(&r->stats_lock);
    int error = r->end_error;
    if (error)
        error_set(error, "%s", r->end_text);
    pthread_mutex_unlock(&r->stats_lock);
    return error;
}

static bool ended(struct hevcast_receiver *r, const struct timespec *timeout)
{
    struct pollfd p = {.fd = r->ended_fd, .events = POLLIN};
    return ppoll(&p, 1, timeout, NULL) > 0;
}

/* ------------------------------------------------------------------ the window */

static void write_overlay(struct hevcast_receiver *r, char *text, size_t len)
{
    hevcast_receiver_stats st;
    char clock[60] = "if both clocks agree";
    hevcast_receiver_get_stats(r, &st);
    if (st.clock_offset_known)
        snprintf(clock, sizeof clock, "+-%.1f ms", (double)st.clock_error_us / 1e3);
    int n = snprintf(text, len,
                     "%dx%d  %.0f fps  %.2f Mb/s  rtt %.1f ms\nlost %lld  recovered %lld  dropped %lld\n"
                     "latency %.1f ms (95 %%: %.1f) %s\nplayout %.0f ms\n",
                     st.width, st.height, st.fps, (double)st.bitrate_bps / 1e6,
                     (double)st.rtt_us / 1e3, (long long)st.packets_lost,
                     (long long)st.packets_recovered, (long long)st.frames_dropped,
                     (double)st.latency_p50_us / 1e3, (double)st.latency_p95_us / 1e3, clock,
                     (double)st.playout_delay_us / 1e3);
    for (int i = 0; i < st.stage_count && n > 0 && (size_t)n < len; i++)
        n += snprintf(text + n, len - (size_t)n, "%s %.1f ms (%.1f)\n", st.stage[i].name,
                      (double)st.stage[i].p50_us / 1e3, (double)st.stage[i].p95_us / 1e3);
    for (int i = 0; i < st.queue_count && n > 0 && (size_t)n < len; i++)
        if (st.queue[i].drops || st.queue[i].length)
            n += snprintf(text + n, len - (size_t)n, "queue %s %lld/%lld, dropped %lld\n",
                          st.queue[i].name, (long long)st.queue[i].length,
                          (long long)st.queue[i].capacity, (long long)st.queue[i].drops);
}

/* Breaks at spaces, so that no line has more than width characters where that is possible. */
static void wrap_lines(char *text, int width)
{
    char *space = NULL, *start = text;
    for (char *p = text; *p; p++) {
        if (*p == ' ')
            space = p;
        if (p - start >= width && space) {
            *space = '\n';
            start = space + 1;
            space = NULL;
        }
    }
}

static void refresh_overlay(struct hevcast_receiver *r, int64_t now)
{
    if (!r->overlay_on || now < r->overlay_at_us)
        return;
    char text[1024];
    write_overlay(r, text, sizeof text);
    r->display->ops->overlay(r->display, text);
    r->overlay_at_us = now + OVERLAY_INTERVAL_US;
}

/* The connection was lost: the last picture stays, and this over it. */
static void refresh_message(struct hevcast_receiver *r)
{
    char text[400], why[sizeof r->shown.why];
    pthread_mutex_lock(&r->stats_lock);
    int64_t lost_us = r->shown.lost_us, retry_at_us = r->shown.retry_at_us;
    memcpy(why, r->shown.why, sizeof why);
    pthread_mutex_unlock(&r->stats_lock);
    bool lost = lost_us != 0;
    if (!lost && !r->message_on)
        return;
    r->message_on = lost;
    if (lost && clock_now_us() - lost_us < MESSAGE_AFTER_US)
        return;
    long long left_s = (retry_at_us - clock_now_us() + 999999) / 1000000;
    wrap_lines(why, 48);
    if (left_s > 0)
        snprintf(text, sizeof text, "Reconnecting in %lld s\n%s", left_s, why);
    else
        snprintf(text, sizeof text, "Reconnecting\n%s", why);
    r->display->ops->message(r->display, lost ? text : NULL);
}

static void show_newest(struct hevcast_receiver *r)
{
    struct picture *p = show_queue_take(r->show_queue, clock_now_us());
    if (!p)
        return;
    if (r->display->ops->show(r->display, p))
        LOG_RATE(session, LOG_LEVEL_WARN, "a picture could not be shown: %s", error_text());
    int64_t now = clock_now_us(), latency_us = receiver_latency_us(p, now);
    pthread_mutex_lock(&r->stats_lock);
    duration_add(&r->counters.stage[RSTAGE_DISPLAY], now - p->ready_us);
    if (latency_us)
        duration_add(&r->counters.latency, latency_us);
    pthread_mutex_unlock(&r->stats_lock);
    picture_unref(&p);
}

static int64_t window_timeout(const struct hevcast_receiver *r, int64_t now, int64_t deadline)
{
    int64_t until = deadline, show_us = show_queue_next_us(r->show_queue);
    until = show_us < until ? show_us : until;
    if (r->overlay_on && r->overlay_at_us < until)
        until = r->overlay_at_us;
    if (r->message_on && now + MESSAGE_INTERVAL_US < until) /* it counts the seconds down */
        until = now + MESSAGE_INTERVAL_US;
    return until > now ? until - now : 0;
}

static int wait_with_window(struct hevcast_receiver *r, int64_t timeout_us)
{
    int64_t now = clock_now_us(), deadline = timeout_us < 0 ? INT64_MAX : now + timeout_us;
    static const struct timespec at_once = {0, 0};
    do {
        if (ended(r, &at_once))
            return result(r);
        show_newest(r);
        refresh_overlay(r, clock_now_us());
        refresh_message(r);
        now = clock_now_us();
        int64_t wait_us = window_timeout(r, now, deadline);
        enum display_event ev = r->display->ops->wait(r->display, wait_us);
        if (ev == DISPLAY_QUIT)
            receiver_end(r, 0, "the window was closed");
        if (ev == DISPLAY_TOGGLE_STATS) {
            r->overlay_on = !r->overlay_on;
            r->overlay_at_us = 0;
            if (!r->overlay_on)
                r->display->ops->overlay(r->display, NULL);
        }
    } while (clock_now_us() < deadline);
    return 1;
}

int hevcast_receiver_wait(hevcast_receiver *r, int64_t timeout_us)
{
    if (r->display)
        return wait_with_window(r, timeout_us);
    struct timespec t = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    return ended(r, timeout_us < 0 ? NULL : &t) ? result(r) : 1;
}

/* ------------------------------------------------------------------ statistics */

static void add_queue(hevcast_receiver_stats *st, struct queue_stats q)
{
    if (st->queue_count < HEVCAST_MAX_QUEUES)
        st->queue[st->queue_count++] = (hevcast_queue_stats){q.name, q.length, q.capacity, q.drops};
}

void hevcast_receiver_get_stats(hevcast_receiver *r, hevcast_receiver_stats *st)
{
    static const char *const names[RSTAGE_COUNT] = {"network", "decode", "display"};
    memset(st, 0, sizeof *st);
    pthread_mutex_lock(&r->stats_lock);
    const struct receiver_counters *c = &r->counters;
    const struct video_receiver_stats *n = &r->net_stats;
    *st = (hevcast_receiver_stats){
        .t_us = clock_now_us() - r->start_us,
        .frames_received = n->frames_received, .frames_decoded = c->frames_decoded,
        .frames_dropped = n->frames_dropped, .packets_received = n->packets_received,
        .packets_lost = n->packets_lost, .packets_recovered = n->packets_recovered,
        .nacks = n->nacks, .plis = n->plis, .rpsis = n->rpsis,
        .resumed = n->resumed, .freezes = c->freezes, .freeze_us = c->freeze_us,
        .bytes_received = n->bytes_received, .bitrate_bps = c->bitrate_bps,
        .connected = r->shown.up, .reconnects = c->reconnects,
        .jitter_us = n->jitter_us, .playout_delay_us = r->playout_us,
        .rtt_us = r->rtt_us, .clock_offset_known = r->clock_known,
        .clock_offset_us = r->clock_offset_us, .clock_error_us = r->clock_error_us,
        .width = c->width, .height = c->height, .fps = c->fps,
        .latency_p50_us = duration_percentile(&c->latency, 50),
        .latency_p95_us = duration_percentile(&c->latency, 95),
    };
    for (int i = 0; i < RSTAGE_COUNT; i++)
        if (c->stage[i].n)
            st->stage[st->stage_count++] = (hevcast_stage_stats){
                names[i], duration_percentile(&c->stage[i], 50),
                duration_percentile(&c->stage[i], 95)};
    pthread_mutex_unlock(&r->stats_lock);
    if (r->decode_queue)
        add_queue(st, queue_get_stats(r->decode_queue));
    if (r->show_queue)
        add_queue(st, show_queue_stats(r->show_queue));
    if (r->raw)
        add_queue(st, rawout_stats(r->raw));
    if (r->y4m)
        add_queue(st, rawout_stats(r->y4m));
    if (r->record)
        add_queue(st, record_stats(r->record));
}

/* ------------------------------------------------------------------ the end */

void hevcast_receiver_free(hevcast_receiver **pr)
{
    struct hevcast_receiver *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    atomic_store(&r->stopping, true);
    if (r->net_started) {
        loop_event_notify(r->stop_event);
        pthread_join(r->net_thread, NULL);
    }
    if (r->decode_started) {
        queue_close(r->decode_queue);
        pthread_join(r->decode_thread, NULL);
    }
    rawout_close(&r->raw, CLOSE_TIMEOUT_US);
    rawout_close(&r->y4m, CLOSE_TIMEOUT_US);
    record_close(&r->record, CLOSE_TIMEOUT_US);
    if (r->loop)
        receiver_net_close(r);
    if (r->display)
        r->display->ops->close(r->display);
    decoder_close(&r->decoder);
    queue_free(&r->decode_queue);
    show_queue_free(&r->show_queue);
    if (r->ended_fd >= 0)
        close(r->ended_fd);
    pthread_mutex_destroy(&r->stats_lock);
    string_bag_free(&r->strings);
    free(r);
}
