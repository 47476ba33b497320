/* hevcast view: watches a share, or any WHEP endpoint. */
#include "app.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <string.h>

static const char help[] =
    "Usage: hevcast view URL [options]\n"
    "Watches a share, or any WHEP endpoint: in a window, as raw video, into a file.\n"
    "\n"
    "  --no-window           decode, show nothing\n"
    "  --raw FILE|-          raw pictures, tightly packed, one after another\n"
    "  --pix-fmt FMT         of --raw: i420, i444, nv12, bgr24, rgb24 (default i420, or i444 for\n"
    "                        a 4:4:4 stream)\n"
    "  --y4m FILE|-          the same with a header, for players and encoders\n"
    "  --record FILE         .mkv or .mp4: the stream as it came; valid whenever it is stopped\n"
    "  --frames N            stop after that many decoded pictures\n"
    "  --duration SECONDS    stop after that long\n"
    "  --decoder NAME        auto, cpu, vaapi, cuda (default auto)\n"
    "  --on-resize scale|stop  raw and y4m when the picture changes its size (default scale)\n"
    "  --bearer T            for WHEP servers that want a token\n"
    "  --ice-server URL      stun:HOST or turn:USER:PASSWORD@HOST; repeatable\n"
    "  --playout MIN:MAX     bounds in ms of the delay that hides jitter (default 0:200)\n"
    "  --tls-pin SHA256      trust exactly this certificate\n"
    "  --reconnect SECONDS   how long a connection that was lost is tried for (default: for ever;\n"
    "                        0: not at all)\n"
    "  --fullscreen          start so\n"
    "  --stats FILE|-        statistics as lines of JSON\n"
    "  -q, -v, -vv           quiet; more; all\n"
    "  -h, --help            this text\n"
    "\n"
    "In the window: F full screen, S statistics, Q or Esc ends.\n";

enum { OPT_NO_WINDOW = 1, OPT_RAW, OPT_PIX_FMT, OPT_Y4M, OPT_RECORD, OPT_FRAMES, OPT_DECODER,
       OPT_ON_RESIZE, OPT_BEARER, OPT_TLS_PIN, OPT_FULLSCREEN, OPT_RECONNECT, OPT_PLAYOUT };

static const struct option options[] = {
    {"no-window", no_argument, NULL, OPT_NO_WINDOW},
    {"raw", required_argument, NULL, OPT_RAW},
    {"pix-fmt", required_argument, NULL, OPT_PIX_FMT},
    {"y4m", required_argument, NULL, OPT_Y4M},
    {"record", required_argument, NULL, OPT_RECORD},
    {"frames", required_argument, NULL, OPT_FRAMES},
    {"decoder", required_argument, NULL, OPT_DECODER},
    {"on-resize", required_argument, NULL, OPT_ON_RESIZE},
    {"bearer", required_argument, NULL, OPT_BEARER},
    {"tls-pin", required_argument, NULL, OPT_TLS_PIN},
    {"fullscreen", no_argument, NULL, OPT_FULLSCREEN},
    {"reconnect", required_argument, NULL, OPT_RECONNECT},
    {"playout", required_argument, NULL, OPT_PLAYOUT},
    COMMON_LONG_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct view {
    hevcast_receiver_config config;
    struct common_options o;
    struct run run;
};

static bool parse_pix_fmt(const char *arg, enum hevcast_pix_fmt *out)
{
    static const char *const names[] = {"i420", "i444", "nv12", "bgr24", "rgb24", NULL};
    static const enum hevcast_pix_fmt formats[] = {HEVCAST_PIX_I420, HEVCAST_PIX_I444, HEVCAST_PIX_NV12,
                                                   HEVCAST_PIX_BGR24, HEVCAST_PIX_RGB24};
    int i;
    if (!parse_choice("--pix-fmt", arg, names, &i))
        return false;
    *out = formats[i];
    return true;
}

static bool parse_on_resize(const char *arg, int *stop)
{
    static const char *const names[] = {"scale", "stop", NULL};
    return parse_choice("--on-resize", arg, names, stop);
}

static bool parse_playout(const char *arg, int *min_ms, int *max_ms)
{
    char rest;
    if (sscanf(arg, "%5d:%5d%c", min_ms, max_ms, &rest) == 2 && *min_ms >= 0 &&
        *min_ms <= *max_ms && *max_ms <= 1000)
        return true;
    fprintf(stderr, "hevcast: --playout is MIN:MAX in milliseconds, 0 to 1000, not \"%s\"\n", arg);
    return false;
}

static bool take_option(void *ctx, int c, const char *arg)
{
    struct view *s = ctx;
    hevcast_receiver_config *k = &s->config;
    int n = 0;
    switch (c) {
    case OPT_NO_WINDOW: k->window = false; return true;
    case OPT_RAW: k->raw_path = arg; return true;
    case OPT_PIX_FMT: return parse_pix_fmt(arg, &k->raw_fmt);
    case OPT_Y4M: k->y4m_path = arg; return true;
    case OPT_RECORD: k->record_path = arg; return true;
    case OPT_FRAMES:
        if (!parse_int("--frames", arg, 1, 2000000000, &n))
            return false;
        k->max_frames = n;
        return true;
    case OPT_DECODER: k->decoder = arg; return true;
    case OPT_ON_RESIZE:
        if (!parse_on_resize(arg, &n))
            return false;
        k->stop_on_resize = n;
        return true;
    case OPT_BEARER: k->bearer = arg; return true;
    case OPT_TLS_PIN: k->tls_pin = arg; return true;
    case OPT_PLAYOUT: return parse_playout(arg, &k->playout_min_ms, &k->playout_max_ms);
    case OPT_FULLSCREEN: k->fullscreen = true; return true;
    case OPT_RECONNECT:
        if (!parse_int("--reconnect", arg, 0, 100000000, &n))
            return false;
        k->reconnect_us = n * 1000000ll;
        return true;
    default: return common_option(&s->o, c, arg) > 0;
    }
}

static void on_event(void *ctx, const hevcast_event *e)
{
    struct view *s = ctx;
    cJSON *o = NULL;
    switch (e->type) {
    case HEVCAST_EVENT_CONNECTED:
        o = run_json_event("connected", e->t_us);
        cJSON_AddStringToObject(o, "path", e->text);
        status_note("connected (%s)", e->text);
        break;
    case HEVCAST_EVENT_LOST:
    case HEVCAST_EVENT_RECONNECTING:
        o = run_json_event(e->type == HEVCAST_EVENT_LOST ? "connection-lost" : "reconnecting",
                           e->t_us);
        cJSON_AddStringToObject(o, "reason", e->text);
        if (e->type == HEVCAST_EVENT_LOST)
            status_note("connection lost: %s; reconnecting (Ctrl-C ends)", e->text);
        break;
    case HEVCAST_EVENT_FIRST_PICTURE:
    case HEVCAST_EVENT_RESIZED:
        o = run_json_event(e->type == HEVCAST_EVENT_RESIZED ? "resized" : "first-picture", e->t_us);
        cJSON_AddNumberToObject(o, "width", e->width);
        cJSON_AddNumberToObject(o, "height", e->height);
        break;
    case HEVCAST_EVENT_ENDED:
        o = run_json_event("ended", e->t_us);
        cJSON_AddStringToObject(o, "reason", e->text);
        if (!e->error)
            status_note("%s", e->text);
        s->run.ended = o;
        return;
    default:
        return;
    }
    run_write_json(&s->run, o);
}

static cJSON *stats_json(const hevcast_receiver_stats *st)
{
    const struct json_number numbers[] = {
        {"frames_received", st->frames_received}, {"frames_decoded", st->frames_decoded},
        {"frames_dropped", st->frames_dropped}, {"packets_received", st->packets_received},
        {"packets_lost", st->packets_lost}, {"packets_recovered", st->packets_recovered},
        {"nacks", st->nacks}, {"plis", st->plis}, {"rpsis", st->rpsis}, {"resumed", st->resumed},
        {"freezes", st->freezes},
        {"freeze_us", st->freeze_us}, {"bytes_received", st->bytes_received},
        {"bitrate_bps", st->bitrate_bps}, {"jitter_us", st->jitter_us},
        {"playout_delay_us", st->playout_delay_us},
        {"latency_p50_us", st->latency_p50_us}, {"latency_p95_us", st->latency_p95_us},
        {"rtt_us", st->rtt_us}, {"clock_offset_us", st->clock_offset_us},
        {"clock_error_us", st->clock_error_us},
        {"width", st->width}, {"height", st->height}, {"reconnects", st->reconnects}};
    cJSON *o = run_json_event("stats", st->t_us);
    json_add_numbers(o, numbers, sizeof numbers / sizeof numbers[0]);
    cJSON_AddBoolToObject(o, "clock_offset_known", st->clock_offset_known);
    cJSON_AddNumberToObject(o, "fps", st->fps);
    cJSON_AddBoolToObject(o, "connected", st->connected);
    json_add_queues(o, st->queue, st->queue_count);
    json_add_stages(o, st->stage, st->stage_count);
    return o;
}

static void tick(void *object, struct run *run)
{
    hevcast_receiver_stats st;
    hevcast_receiver_get_stats(object, &st);
    run_write_json(run, stats_json(&st));
    if (!st.connected && st.packets_received > 0) {
        status_set("reconnecting; %dx%d was the last picture", st.width, st.height);
        return;
    }
    status_set("%dx%d  %.0f fps  %.2f Mb/s  latency %.1f ms (95 %%: %.1f)  lost %lld  recovered %lld",
               st.width, st.height, st.fps, (double)st.bitrate_bps / 1e6,
               (double)st.latency_p50_us / 1e3, (double)st.latency_p95_us / 1e3,
               (long long)st.packets_lost, (long long)st.packets_recovered);
}

static void stop(void *object) { hevcast_receiver_stop(object); }
static int wait_for(void *object, int64_t timeout_us)
{
    return hevcast_receiver_wait(object, timeout_us);
}

static int run_view(struct view *s)
{
    hevcast_receiver *receiver;
    s->config.ice_servers = s->o.ice_servers;
    s->config.ice_server_count = s->o.ice_server_count;
    s->config.on_event = on_event;
    s->config.ctx = s;
    int err = hevcast_receiver_new(&receiver, &s->config);
    if (err) {
        fprintf(stderr, "hevcast: %s\n", hevcast_error_text());
        return err == HEVCAST_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    s->run.object = receiver;
    s->run.stop = stop;
    s->run.wait = wait_for;
    s->run.tick = tick;
    int status = run_until_end(&s->run);
    hevcast_receiver_free(&receiver);
    return status;
}

static const char *check_usage(const struct view *s)
{
    const hevcast_receiver_config *k = &s->config;
    int stdouts = (k->raw_path && !strcmp(k->raw_path, "-")) +
                  (k->y4m_path && !strcmp(k->y4m_path, "-")) +
                  (s->o.stats_path && !strcmp(s->o.stats_path, "-"));
    if (stdouts > 1)
        return "only one of --raw, --y4m and --stats can write to standard output";
    if (k->raw_fmt != HEVCAST_PIX_AUTO && !k->raw_path)
        return "--pix-fmt is the format of --raw, which is missing";
    if (k->fullscreen && !k->window)
        return "--fullscreen and --no-window contradict each other";
    return NULL;
}

int cmd_view(int argc, char **argv)
{
    struct view s = {0};
    hevcast_receiver_default_config(&s.config);
    s.config.window = true;
    const struct verb verb = {"view", help, options, take_option};
    int status;
    if (!parse_options(&verb, argc, argv, &s, &status))
        return status;
    const char *wrong = check_usage(&s);
    if (argc - optind != 1)
        wrong = "view takes one URL: the address that `hevcast share` prints";
    if (wrong) {
        usage_error("view", wrong);
        return EXIT_USAGE;
    }
    s.config.url = argv[optind];
    if (!run_begin(&s.run, &s.o))
        return EXIT_FAILED;
    status = run_view(&s);
    run_end(&s.run);
    return status;
}
