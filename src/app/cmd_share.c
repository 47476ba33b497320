/* hevcast share: captures or reads, encodes, serves viewers. */
#include "app.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <string.h>

static const char help[] =
    "Usage: hevcast share [SOURCE] [options]\n"
    "Captures or reads SOURCE, encodes it as HEVC and serves it to viewers (WHEP).\n"
    "\n"
    "SOURCE: screen (default), x11[:DISPLAY], test[:WxH@FPS], a file, a URL, or - (standard\n"
    "input: raw HEVC in Annex B, or any container)\n"
    "\n"
    "  --monitor NAME|N      one monitor (`hevcast list` names them)\n"
    "  --region WxH+X+Y      a part of the desktop\n"
    "  --window ID|TITLE     one window, also when it is covered\n"
    "  --fps N               the most pictures a second (default 60)\n"
    "  --no-cursor           leave the pointer out\n"
    "  --encoder NAME        auto, screen, x265, nvenc, vaapi, qsv (default auto)\n"
    "  --chroma 420|444      444 keeps coloured text sharp (default 420)\n"
    "  --bitrate RATE        ceiling, such as 20M (default 20M)\n"
    "  --min-bitrate RATE    floor (default 300k)\n"
    "  --queue MS            what may wait for the network before pictures are skipped\n"
    "                        (default 100)\n"
    "  --listen ADDR:PORT    where to listen (default 0.0.0.0:8554 or the first free after it)\n"
    "  --token T             the secret in the address (default random; '' opens it to anyone)\n"
    "  --tls self|CERT:KEY   serve https: with a certificate that is made once and kept, or with\n"
    "                        the one in the PEM files CERT and KEY\n"
    "  --ice-server URL      stun:HOST or turn:USER:PASSWORD@HOST; repeatable\n"
    "  --udp-ports MIN-MAX   the UDP ports to use\n"
    "  --loop                start a file again at its end\n"
    "  --max-viewers N       refuse more (default 32)\n"
    "  --duration SECONDS    stop by itself\n"
    "  --stats FILE|-        statistics as lines of JSON\n"
    "  -q, -v, -vv           quiet; more; all\n"
    "  -h, --help            this text\n";

enum { OPT_MONITOR = 1, OPT_REGION, OPT_WINDOW, OPT_FPS, OPT_NO_CURSOR, OPT_ENCODER, OPT_CHROMA,
       OPT_BITRATE, OPT_MIN_BITRATE, OPT_QUEUE, OPT_LISTEN, OPT_TOKEN, OPT_UDP_PORTS, OPT_LOOP,
       OPT_MAX_VIEWERS, OPT_TLS };

static const struct option options[] = {
    {"monitor", required_argument, NULL, OPT_MONITOR},
    {"region", required_argument, NULL, OPT_REGION},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"fps", required_argument, NULL, OPT_FPS},
    {"no-cursor", no_argument, NULL, OPT_NO_CURSOR},
    {"encoder", required_argument, NULL, OPT_ENCODER},
    {"chroma", required_argument, NULL, OPT_CHROMA},
    {"bitrate", required_argument, NULL, OPT_BITRATE},
    {"min-bitrate", required_argument, NULL, OPT_MIN_BITRATE},
    {"queue", required_argument, NULL, OPT_QUEUE},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"token", required_argument, NULL, OPT_TOKEN},
    {"udp-ports", required_argument, NULL, OPT_UDP_PORTS},
    {"tls", required_argument, NULL, OPT_TLS},
    {"loop", no_argument, NULL, OPT_LOOP},
    {"max-viewers", required_argument, NULL, OPT_MAX_VIEWERS},
    COMMON_LONG_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct share {
    hevcast_sender_config config;
    struct common_options o;
    struct run run;
    int64_t last_bytes, last_t_us;
};

/* Whether the machine has that encoder is found out later; a name that nobody has is wrong usage. */
static bool parse_encoder(const char *arg, const char **out)
{
    static const char *const names[] = {"auto", "screen", "x265", "nvenc", "vaapi", "qsv", NULL};
    int i;
    *out = arg;
    return parse_choice("--encoder", arg, names, &i);
}

static bool parse_chroma(const char *arg, int *out)
{
    static const char *const names[] = {"420", "444", NULL};
    int i;
    if (!parse_choice("--chroma", arg, names, &i))
        return false;
    *out = i == 0 ? 420 : 444;
    return true;
}

/* The source parses it again, against its screen; a test picture or a file would never look. */
static bool check_region(const char *arg, const char **out)
{
    int w, h, x, y, end = -1;
    *out = arg;
    if (sscanf(arg, "%6dx%6d%n+%6d+%6d%n", &w, &h, &end, &x, &y, &end) >= 2 && end > 0 && !arg[end])
        return true;
    fprintf(stderr, "hevcast: --region is WxH or WxH+X+Y, such as 640x480+10+20, not \"%s\"\n", arg);
    return false;
}

static bool take_option(void *ctx, int c, const char *arg)
{
    struct share *s = ctx;
    hevcast_sender_config *k = &s->config;
    switch (c) {
    case OPT_MONITOR: k->monitor = arg; return true;
    case OPT_REGION: return check_region(arg, &k->region);
    case OPT_WINDOW: k->window = arg; return true;
    case OPT_FPS: return parse_int("--fps", arg, 1, 240, &k->fps);
    case OPT_NO_CURSOR: k->cursor = false; return true;
    case OPT_ENCODER: return parse_encoder(arg, &k->encoder);
    case OPT_CHROMA: return parse_chroma(arg, &k->chroma);
    case OPT_BITRATE: return parse_rate("--bitrate", arg, &k->bitrate_bps);
    case OPT_MIN_BITRATE: return parse_rate("--min-bitrate", arg, &k->min_bitrate_bps);
    case OPT_QUEUE: return parse_int("--queue", arg, 1, 10000, &k->queue_ms);
    case OPT_LISTEN: k->listen = arg; return true;
    case OPT_TOKEN: k->token = arg; return true;
    case OPT_TLS: k->tls = arg; return true;
    case OPT_UDP_PORTS: return parse_port_range(arg, &k->udp_port_min, &k->udp_port_max);
    case OPT_LOOP: k->loop = true; return true;
    case OPT_MAX_VIEWERS: return parse_int("--max-viewers", arg, 1, 1000, &k->max_viewers);
    default: return common_option(&s->o, c, arg) > 0;
    }
}

static void on_event(void *ctx, const hevcast_event *e)
{
    static const char *const names[] = {
        [HEVCAST_EVENT_LISTENING] = "listening", [HEVCAST_EVENT_VIEWER_JOINED] = "viewer-joined",
        [HEVCAST_EVENT_CONNECTED] = "connected", [HEVCAST_EVENT_VIEWER_LEFT] = "viewer-left",
        [HEVCAST_EVENT_NOTICE] = "notice", [HEVCAST_EVENT_ENDED] = "ended"};
    struct share *s = ctx;
    if (e->type >= sizeof names / sizeof names[0] || !names[e->type])
        return;
    cJSON *o = run_json_event(names[e->type], e->t_us);
    if (e->viewer_id[0])
        cJSON_AddStringToObject(o, "viewer", e->viewer_id);
    if (e->type == HEVCAST_EVENT_LISTENING)
        cJSON_AddStringToObject(o, "url", e->text);
    else if (e->type == HEVCAST_EVENT_CONNECTED)
        cJSON_AddStringToObject(o, "path", e->text);
    else if (e->text[0])
        cJSON_AddStringToObject(o, "reason", e->text);
    if (e->type == HEVCAST_EVENT_ENDED)
        s->run.ended = o;
    else
        run_write_json(&s->run, o);
    if (e->type == HEVCAST_EVENT_CONNECTED)
        status_note("viewer %s is connected (%s)", e->viewer_id, e->text);
    else if (e->type == HEVCAST_EVENT_VIEWER_LEFT)
        status_note("viewer %s is gone: %s", e->viewer_id, e->text);
    else if (e->type == HEVCAST_EVENT_NOTICE)
        status_note("%s", e->text);
    else if (e->type == HEVCAST_EVENT_ENDED && !e->error)
        status_note("%s", e->text);
}

static cJSON *stats_json(const hevcast_sender_stats *st, const hevcast_viewer_stats *v, int n)
{
    const struct json_number numbers[] = {
        {"frames_captured", st->frames_captured}, {"frames_skipped", st->frames_skipped},
        {"frames_encoded", st->frames_encoded}, {"keyframes", st->keyframes},
        {"repairs_by_reference", st->repairs_by_reference}, {"bytes_sent", st->bytes_sent},
        {"packets_sent", st->packets_sent}, {"packets_retransmitted", st->packets_retransmitted},
        {"fec_bytes", st->fec_bytes}, {"target_bps", st->target_bps}, {"width", st->width},
        {"height", st->height}, {"viewers", st->viewers}};
    cJSON *o = run_json_event("stats", st->t_us);
    json_add_numbers(o, numbers, sizeof numbers / sizeof numbers[0]);
    cJSON *list = cJSON_AddArrayToObject(o, "viewer");
    for (int i = 0; i < n; i++) {
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "id", v[i].id);
        cJSON_AddNumberToObject(e, "rtt_us", (double)v[i].rtt_us);
        cJSON_AddNumberToObject(e, "loss_ratio", v[i].loss_ratio);
        cJSON_AddNumberToObject(e, "estimate_bps", (double)v[i].estimate_bps);
        cJSON_AddNumberToObject(e, "queue_us", (double)v[i].queue_us);
        cJSON_AddBoolToObject(e, "held", v[i].held);
        cJSON_AddItemToArray(list, e);
    }
    json_add_queues(o, st->queue, st->queue_count);
    json_add_stages(o, st->stage, st->stage_count);
    return o;
}

static int64_t stage_p50(const hevcast_sender_stats *st, const char *name)
{
    for (int i = 0; i < st->stage_count; i++)
        if (!strcmp(st->stage[i].name, name))
            return st->stage[i].p50_us;
    return 0;
}

static void tick(void *object, struct run *run)
{
    struct share *s = (struct share *)((char *)run - offsetof(struct share, run));
    hevcast_sender_stats st;
    hevcast_viewer_stats v[64];
    int n = hevcast_sender_get_stats(object, &st, v, 64);
    run_write_json(run, stats_json(&st, v, n));
    double seconds = (double)(st.t_us - s->last_t_us) / 1e6;
    double mbps = seconds > 0 ? (double)(st.bytes_sent - s->last_bytes) * 8e-6 / seconds : 0;
    s->last_bytes = st.bytes_sent;
    s->last_t_us = st.t_us;
    int64_t waiting = 0;
    for (int i = 0; i < st.queue_count; i++)
        if (!strcmp(st.queue[i].name, "pacer"))
            waiting = st.queue[i].length;
    status_set("%d viewer%s  %dx%d  %.2f Mb/s  %lld pictures, %lld skipped  encode %.1f ms  "
               "queue %lld ms",
               st.viewers, st.viewers == 1 ? "" : "s", st.width, st.height, mbps,
               (long long)st.frames_encoded, (long long)st.frames_skipped,
               (double)stage_p50(&st, "encode") / 1e3, (long long)waiting);
}

static void stop(void *object) { hevcast_sender_stop(object); }
static int wait_for(void *object, int64_t timeout_us)
{
    return hevcast_sender_wait(object, timeout_us);
}

/* As browsers show it. */
static void note_fingerprint(const char *hex)
{
    char text[3 * 32 + 1];
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 3 * i, 4, "%c%c%s", toupper(hex[2 * i]), toupper(hex[2 * i + 1]),
                 i < 31 ? ":" : "");
    status_note("The certificate's SHA-256 fingerprint: %s\n", text);
}

/* Phones read it, and their browsers have no use for the fingerprint: a smaller code does. */
static void print_address_qr(const char *url)
{
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(url, "#"), url);
    print_qr(text);
}

static int run_share(struct share *s)
{
    hevcast_sender *sender;
    s->config.ice_servers = s->o.ice_servers;
    s->config.ice_server_count = s->o.ice_server_count;
    s->config.on_event = on_event;
    s->config.ctx = s;
    int err = hevcast_sender_new(&sender, &s->config);
    if (err) {
        fprintf(stderr, "hevcast: %s\n", hevcast_error_text());
        return err == HEVCAST_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    status_note("sharing %s\n\n    %s\n", hevcast_sender_description(sender),
                hevcast_sender_url(sender));
    const char *fingerprint = hevcast_sender_fingerprint(sender);
    if (fingerprint[0])
        note_fingerprint(fingerprint);
    if (!s->o.quiet)
        print_address_qr(hevcast_sender_url(sender));
    if (s->config.token && !s->config.token[0])
        status_note("WARNING: --token '' leaves this share open to anyone who reaches the port");
    s->run.object = sender;
    s->run.stop = stop;
    s->run.wait = wait_for;
    s->run.tick = tick;
    int status = run_until_end(&s->run);
    hevcast_sender_free(&sender);
    return status;
}

int cmd_share(int argc, char **argv)
{
    struct share s = {0};
    hevcast_sender_default_config(&s.config);
    const struct verb verb = {"share", help, options, take_option};
    int status;
    if (!parse_options(&verb, argc, argv, &s, &status))
        return status;
    if (optind < argc)
        s.config.source = argv[optind++];
    if (optind < argc) {
        usage_error("share", "share takes one SOURCE");
        return EXIT_USAGE;
    }
    if (!run_begin(&s.run, &s.o))
        return EXIT_FAILED;
    status = run_share(&s);
    run_end(&s.run);
    return status;
}
