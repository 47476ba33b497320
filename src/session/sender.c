/* The life of a sender, and its public functions. */
#include "session/sender.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "encode/handover.h"
#include "signal/token.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

void hevcast_sender_default_config(hevcast_sender_config *c)
{
    *c = (hevcast_sender_config){
        .input = HEVCAST_INPUT_SOURCE,
        .source = "screen",
        .fps = 60,
        .cursor = true,
        .encoder = "auto",
        .chroma = 420,
        .bitrate_bps = 20000000,
        .min_bitrate_bps = 300000,
        .queue_ms = 100,
        .max_viewers = 32,
    };
}

static int check_config(const hevcast_sender_config *c)
{
    if (c->fps < 1 || c->fps > 240)
        return error_set(ERR_INVALID, "--fps must be from 1 to 240");
    if (c->chroma != 420 && c->chroma != 444)
        return error_set(ERR_INVALID, "--chroma must be 420 or 444");
    if (c->min_bitrate_bps < 10000 || c->bitrate_bps < c->min_bitrate_bps ||
        c->bitrate_bps > 2000000000)
        return error_set(ERR_INVALID, "--bitrate must be from --min-bitrate to 2G, and "
                                      "--min-bitrate at least 10k");
    if (c->queue_ms < 1 || c->queue_ms > 10000)
        return error_set(ERR_INVALID, "--queue must be from 1 to 10000 milliseconds");
    if (c->max_viewers < 1 || c->max_viewers > 1000)
        return error_set(ERR_INVALID, "--max-viewers must be from 1 to 1000");
    if (c->udp_port_min < 0 || c->udp_port_max > 65535 || c->udp_port_min > c->udp_port_max ||
        (c->udp_port_max && c->udp_port_min < 1))
        return error_set(ERR_INVALID, "--udp-ports takes MIN-MAX, from 1 to 65535");
    if (c->tls && !tls_spec_valid(c->tls))
        return error_set(ERR_INVALID, "--tls is self or CERT.pem:KEY.pem, not \"%s\"", c->tls);
    if (c->token && c->token[0] && !token_valid(c->token))
        return error_set(ERR_INVALID, "--token takes 1 to 128 letters, digits and - . _ ~ alone");
    return 0;
}

static int copy_config(struct hevcast_sender *s, const hevcast_sender_config *c)
{
    s->config = *c;
    s->config.ice_servers = NULL;
    s->config.source = string_bag_copy(&s->strings, c->source ? c->source : "screen");
    s->config.monitor = string_bag_copy(&s->strings, c->monitor);
    s->config.region = string_bag_copy(&s->strings, c->region);
    s->config.window = string_bag_copy(&s->strings, c->window);
    s->config.encoder = string_bag_copy(&s->strings, c->encoder);
    s->config.listen = string_bag_copy(&s->strings, c->listen);
    s->config.tls = string_bag_copy(&s->strings, c->tls);
    s->config.token = NULL;
    if (s->strings.failed)
        return error_set(ERR_MEMORY, "out of memory");
    int n = ice_servers_parse(s->ice_servers, c->ice_servers, c->ice_server_count);
    if (n < 0)
        return n;
    s->ice_server_count = n;
    if (c->token)
        snprintf(s->token, sizeof s->token, "%s", c->token);
    else
        return token_new(s->token);
    return 0;
}

static int open_source(struct hevcast_sender *s)
{
    struct source_config c = {.spec = s->config.source,
                              .monitor = s->config.monitor,
                              .region = s->config.region,
                              .window = s->config.window,
                              .fps = s->config.fps,
                              .cursor = s->config.cursor,
                              .loop = s->config.loop};
    int err = source_open(&s->source, &c);
    if (err)
        return err;
    snprintf(s->description, sizeof s->description, "%s", s->source->info.text);
    s->coded = s->source->info.kind == SOURCE_ACCESS_UNITS;
    struct stat st;
    s->waits_for_viewer = !stat(c.spec, &st) && S_ISREG(st.st_mode);
    return 0;
}

/* What the SDP says that we send. */
static int choose_profile(struct hevcast_sender *s)
{
    struct h265_params *p = &s->profile;
    *p = (struct h265_params){.profile_id = 1, .level_id = 93, .tx_mode_srst = true, .valid = true};
    int width = 1920, height = 1080;
    if (s->source && s->source->info.width > 0) {
        width = s->source->info.width;
        height = s->source->info.height;
    }
    if (s->coded && s->source) {
        const struct source_info *i = &s->source->info;
        if (i->profile_idc)
            p->profile_id = i->profile_idc;
        if (i->level_idc)
            p->level_id = i->level_idc;
        p->tier_flag = i->tier;
        p->interop_444 = i->yuv444;
        return 0;
    }
    p->level_id = hevc_level_for(width, height, s->config.fps, s->config.bitrate_bps);
    /* Who takes a higher one gets a larger picture buffer: the answer's level is the lower of both. */
    if (!s->coded)
        p->level_id = hevc_level_for_dpb(p->level_id, width, height);
    if (s->config.chroma == 444) {
        p->profile_id = 4;
        p->interop_444 = true;
    }
    if (s->coded)
        return 0;
    enum pix_fmt fmt = s->config.chroma == 444 ? PIX_I444 : PIX_I420;
    const char *name = s->config.encoder;
    bool any = !name || !strcmp(name, "auto");
    /* What is decoded from a file is film: for that, auto's choice for screens is not the best. */
    if (any && s->source && !strcmp(s->source->ops->name, "file")) {
        int err = encoder_pick(&s->encoder_ops, "auto", fmt);
        return err || s->encoder_ops != &encoder_handover
                   ? err
                   : encoder_pick(&s->encoder_ops, "x265", fmt);
    }
    return encoder_pick(&s->encoder_ops, name, fmt);
}

static void free_unit(void *au)
{
    struct access_unit *unit = au;
    access_unit_unref(&unit);
}

static int make_queues(struct hevcast_sender *s)
{
    s->slot = slot_new("capture");
    s->au_queue = queue_new("encode", AU_QUEUE_CAPACITY, QUEUE_REJECT, free_unit);
    if (s->config.input == HEVCAST_INPUT_PICTURES)
        s->push_pool = picture_pool_new(4);
    if (s->config.input == HEVCAST_INPUT_ACCESS_UNITS)
        s->push_sets = param_sets_new();
    s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!s->slot || !s->au_queue || s->ended_fd < 0 ||
        (s->config.input == HEVCAST_INPUT_PICTURES && !s->push_pool) ||
        (s->config.input == HEVCAST_INPUT_ACCESS_UNITS && !s->push_sets))
        return error_set(ERR_MEMORY, "out of memory");
    return 0;
}

static int start_thread(struct hevcast_sender *s, pthread_t *t, const char *name,
                        void *(*run)(void *), bool *started)
{
    int err = thread_start(t, name, run, s);
    *started = !err;
    return err;
}

static int start_threads(struct hevcast_sender *s)
{
    int err = start_thread(s, &s->net_thread, "hc-net", sender_net_main, &s->net_started);
    if (!err && !s->coded)
        err = start_thread(s, &s->encode_thread, "hc-encode", sender_encode_main,
                           &s->encode_started);
    if (!err && s->source)
        err = start_thread(s, &s->capture_thread, "hc-capture", sender_capture_main,
                           &s->capture_started);
    return err;
}

int hevcast_sender_new(hevcast_sender **out, const hevcast_sender_config *config)
{
    *out = NULL;
    int err = check_config(config);
    if (err)
        return err;
    struct hevcast_sender *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory");
    s->ended_fd = -1;
    s->start_us = clock_now_us();
    s->coded = config->input == HEVCAST_INPUT_ACCESS_UNITS;
    pthread_mutex_init(&s->gate_lock, NULL);
    pthread_cond_init(&s->gate, NULL);
    pthread_mutex_init(&s->stats_lock, NULL);
    ref_news_init(&s->ref_news);
    atomic_init(&s->target_bps, config->bitrate_bps);
    atomic_init(&s->level_limit, 255); /* no viewer yet */
    snprintf(s->description, sizeof s->description, "pictures of the program");
    err = copy_config(s, config);
    if (!err && config->input == HEVCAST_INPUT_SOURCE)
        err = open_source(s);
    if (!err)
        err = choose_profile(s);
    if (!err)
        err = make_queues(s);
    if (!err)
        err = sender_net_open(s, config->ice_servers);
    if (!err) {
        sender_event(s, HEVCAST_EVENT_LISTENING, "", whep_server_url(s->server), 0);
        err = start_threads(s);
    }
    if (err) {
        hevcast_sender_free(&s);
        return err;
    }
    *out = s;
    return 0;
}

const char *hevcast_sender_url(const hevcast_sender *s) { return whep_server_url(s->server); }

const char *hevcast_sender_fingerprint(const hevcast_sender *s) { return s->tls.fingerprint; }
const char *hevcast_sender_description(const hevcast_sender *s) { return s->description; }

void hevcast_sender_stop(hevcast_sender *s)
{
    /* In a signal handler: a store and a write to an eventfd, nothing else. */
    atomic_store(&s->stopping, true);
    loop_event_notify(s->stop_event);
}

int hevcast_sender_wait(hevcast_sender *s, int64_t timeout_us)
{
    struct pollfd p = {.fd = s->ended_fd, .events = POLLIN};
    struct timespec t = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    if (ppoll(&p, 1, timeout_us < 0 ? NULL : &t, NULL) <= 0)
        return 1;
    pthread_mutex_lock(&s->stats_lock);
    int error = s->end_error;
    if (error)
        error_set(error, "%s", s->end_text);
    pthread_mutex_unlock(&s->stats_lock);
    return error;
}

static void wake_all(struct hevcast_sender *s)
{
    atomic_store(&s->stopping, true);
    if (s->slot)
        slot_close(s->slot);
    pthread_mutex_lock(&s->gate_lock);
    pthread_cond_broadcast(&s->gate);
    pthread_mutex_unlock(&s->gate_lock);
}

void hevcast_sender_free(hevcast_sender **ps)
{
    struct hevcast_sender *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    wake_all(s);
    if (s->net_started) {
        loop_event_notify(s->stop_event);
        pthread_join(s->net_thread, NULL);
    }
    if (s->capture_started) {
        s->source->ops->interrupt(s->source);
        pthread_join(s->capture_thread, NULL);
    }
    if (s->encode_started)
        pthread_join(s->encode_thread, NULL);
    source_close(&s->source);
    if (s->loop)
        sender_net_close(s);
    queue_free(&s->au_queue);
    slot_free(&s->slot);
    picture_pool_free(&s->push_pool);
    param_sets_free(&s->push_sets);
    if (s->ended_fd >= 0)
        close(s->ended_fd);
    pthread_mutex_destroy(&s->gate_lock);
    pthread_cond_destroy(&s->gate);
    pthread_mutex_destroy(&s->stats_lock);
    ref_news_destroy(&s->ref_news);
    string_bag_free(&s->strings);
    free(s);
}
