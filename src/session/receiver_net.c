/* The network thread of a receiver: WHEP, the transport, RTP; access units to decoder and record. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "signal/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GATHER_TIMEOUT_US = 1500000,
    STATS_INTERVAL_US = 250000,
    GOODBYE_TIMEOUT_US = 1000000,
    CONNECT_TIMEOUT_US = 30000000,
    SDP_BUFFER = 16384,
};

void receiver_event(struct hevcast_receiver *r, enum hevcast_event_type type, const char *text,
                    int width, int height, int error)
{
    if (!r->config.on_event)
        return;
    hevcast_event e = {.type = type, .t_us = clock_now_us() - r->start_us, .text = text,
                       .viewer_id = "", .width = width, .height = height, .error = error};
    r->config.on_event(r->config.ctx, &e);
}

void receiver_end(struct hevcast_receiver *r, int error, const char *text)
{
    pthread_mutex_lock(&r->stats_lock);
    if (!r->end_text[0]) {
        r->end_error = error;
        snprintf(r->end_text, sizeof r->end_text, "%s", text);
    }
    pthread_mutex_unlock(&r->stats_lock);
    atomic_store(&r->stopping, true);
    loop_event_notify(r->stop_event);
}

/* ------------------------------------------------------------------ media */

static void note_decoded(struct hevcast_receiver *r)
{
    if (atomic_load(&r->decoded) && atomic_exchange(&r->decoded, false))
        video_receiver_decoded(r->rtp);
}

static void hand_out(struct hevcast_receiver *r, struct access_unit *au)
{
    note_decoded(r);
    if (r->config.on_access_unit) {
        hevcast_access_unit out = {.data = au->data, .len = au->len, .pts_us = au->pts_us,
                                   .keyframe = au->irap};
        r->config.on_access_unit(r->config.ctx, &out);
    }
    if (r->record)
        record_push(r->record, access_unit_ref(au));
    if (r->decode_queue && queue_push(r->decode_queue, access_unit_ref(au)) == QUEUE_DROPPED)
        video_receiver_request_key(r->rtp, clock_now_us());
    access_unit_unref(&au);
}

static void pump(struct hevcast_receiver *r)
{
    if (!r->rtp || r->shut_down)
        return;
    int64_t now = clock_now_us();
    struct access_unit *au;
    while ((au = video_receiver_poll(r->rtp, now)))
        hand_out(r, au);
    if (r->connected) {
        uint8_t rtcp[1200];
        size_t n;
        while ((n = video_receiver_rtcp(r->rtp, now, rtcp, sizeof rtcp)) > 0)
            peer_send_rtcp(r->peer, rtcp, n);
    }
    loop_timer_set(r->timer, video_receiver_next_us(r->rtp, now));
}

static void on_timer(void *ctx) { pump(ctx); }

static void on_rtp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct hevcast_receiver *r = ctx;
    if (!r->rtp)
        return;
    video_receiver_on_rtp(r->rtp, data, len, now_us);
    pump(r);
}

static void on_rtcp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct hevcast_receiver *r = ctx;
    bool bye = false;
    if (!r->rtp)
        return;
    video_receiver_on_rtcp(r->rtp, data, len, now_us, &bye);
    if (bye)
        receiver_end(r, 0, "the share has ended");
    else
        pump(r);
}

static void on_key_needed(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (!r->rtp || !atomic_exchange(&r->key_needed, false))
        return;
    note_decoded(r);
    video_receiver_request_key(r->rtp, clock_now_us());
    pump(r);
}

static void publish_stats(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    int64_t now = clock_now_us();
    if (r->rtp) {
        pthread_mutex_lock(&r->stats_lock);
        video_receiver_get_stats(r->rtp, &r->net_stats);
        struct receiver_counters *c = &r->counters;
        int64_t elapsed = now - c->second_start_us;
        if (elapsed >= 1000000) {
            c->fps = (double)c->second_frames * 1e6 / (double)elapsed;
            c->bitrate_bps = (r->net_stats.bytes_received - c->second_bytes_start) * 8 * 1000000 /
                             elapsed;
            c->second_frames = 0;
            c->second_bytes_start = r->net_stats.bytes_received;
            c->second_start_us = now;
        }
        pthread_mutex_unlock(&r->stats_lock);
    }
    loop_timer_set(r->stats_timer, now + STATS_INTERVAL_US);
}

/* ------------------------------------------------------------------ connecting */

static void on_connected(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    char path[200];
    r->connected = true;
    loop_timer_set(r->gather_timer, INT64_MAX);
    peer_describe(r->peer, path, sizeof path);
    LOG_INFO(session, "connected: %s", path);
    receiver_event(r, HEVCAST_EVENT_CONNECTED, path, 0, 0, 0);
    pump(r);
}

static void on_peer_end(void *ctx, int error, const char *text)
{
    struct hevcast_receiver *r = ctx;
    if (error == ERR_ENDED)
        receiver_end(r, 0, "the share has ended");
    else
        receiver_end(r, error, text);
}

static int make_rtp(struct hevcast_receiver *r)
{
    struct video_receiver_config c;
    video_receiver_default_config(&c);
    if (token_random(&c.local_ssrc, sizeof c.local_ssrc))
        return ERR_IO;
    snprintf(c.cname, sizeof c.cname, "hevcast");
    c.pt = r->agreed.codec.pt;
    c.rtx_pt = r->agreed.codec.rtx_pt;
    c.ext = r->agreed.ext;
    c.nack = r->agreed.codec.nack;
    c.pli = r->agreed.codec.pli;
    c.fir = r->agreed.codec.fir;
    c.twcc = r->agreed.codec.twcc;
    c.decoder = r->decode_queue != NULL;
    r->rtp = video_receiver_new(&c);
    return r->rtp ? 0 : error_set(ERR_MEMORY, "out of memory");
}

/* The server's answer. 0, or a negative error with error_text(). */
static int take_answer(struct hevcast_receiver *r, const char *text, size_t len)
{
    char why[300] = "out of memory";
    struct sdp *answer = malloc(sizeof *answer);
    int err = answer ? sdp_parse(answer, text, len, why, sizeof why) : SDP_NO_SPACE;
    if (!err)
        err = sdp_accept_answer(answer, &r->local, &r->agreed, why, sizeof why);
    if (err) {
        free(answer);
        return error_set(ERR_PROTOCOL, "the server's answer cannot be used: %s", why);
    }
    err = make_rtp(r);
    if (!err) {
        enum dtls_role role = r->agreed.our_setup == SDP_ACTIVE ? DTLS_CLIENT : DTLS_SERVER;
        err = peer_set_remote(r->peer, r->agreed.ufrag, r->agreed.pwd, r->agreed.fingerprint, role);
    }
    const struct sdp_media *m = &answer->media[r->agreed.media_index];
    for (int i = 0; !err && i < m->candidate_count; i++)
        if (peer_add_remote_candidate(r->peer, m->candidate[i]))
            LOG_DEBUG(session, "a candidate of the answer is not usable");
    if (!err && m->end_of_candidates)
        peer_remote_end_of_candidates(r->peer);
    free(answer);
    return err;
}

static void on_answer(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    struct hevcast_receiver *r = ctx;
    if (r->leaving)
        return;
    if (error) {
        receiver_end(r, error, text);
        return;
    }
    r->answered = true;
    if (take_answer(r, answer, len)) {
        receiver_end(r, ERR_PROTOCOL, error_text());
        return;
    }
    loop_timer_set(r->gather_timer, clock_now_us() + CONNECT_TIMEOUT_US);
}

static void post_offer(struct hevcast_receiver *r)
{
    if (r->posted || r->leaving)
        return;
    r->posted = true;
    /* Gathering is over; a server may take its time to answer. */
    loop_timer_set(r->gather_timer, clock_now_us() + CONNECT_TIMEOUT_US);
    const char *candidates[ICE_MAX_CANDIDATES];
    struct sdp_local *l = &r->local;
    peer_local_credentials(r->peer, l->ufrag, l->pwd);
    l->candidate_count = peer_local_candidates(r->peer, candidates);
    l->candidates = candidates;
    char *buf = malloc(SDP_BUFFER);
    int n = buf ? sdp_write_offer(l, buf, SDP_BUFFER) : ERR_MEMORY;
    l->candidates = NULL;
    l->candidate_count = 0;
    if (n <= 0)
        receiver_end(r, ERR_MEMORY, "the offer could not be made");
    else
        whep_client_post(r->whep, buf, on_answer, r);
    free(buf);
}

static void on_gathered(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    r->local.candidates_complete = true;
    post_offer(r);
}

/* What a slow STUN or TURN server finds after the offer went out. */
static void ignore_patch(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    (void)ctx, (void)answer, (void)len;
    if (error)
        LOG_DEBUG(session, "a late candidate was not taken: %s", text);
}

static void on_candidate(void *ctx, const char *candidate)
{
    struct hevcast_receiver *r = ctx;
    if (!r->answered || r->leaving)
        return;
    char frag[1024];
    const char *list[1] = {candidate};
    if (sdpfrag_write(r->local.ufrag, r->local.pwd, r->agreed.mid, list, 1, false, frag,
                      sizeof frag) > 0)
        whep_client_patch(r->whep, frag, false, ignore_patch, r);
}

static void on_gather_timer(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (!r->posted)
        post_offer(r);
    else if (!r->connected)
        receiver_end(r, ERR_TIMEOUT, "no connection came about within 30 s: is UDP let through "
                                     "between both machines? A TURN server may help (--ice-server)");
}

static void on_ice_servers(void *ctx, int error, const char *const *urls, int n)
{
    struct hevcast_receiver *r = ctx;
    (void)error;
    for (int i = 0; i < n && r->ice_server_count < ICE_MAX_SERVERS; i++)
        if (!ice_server_parse(urls[i], &r->ice_servers[r->ice_server_count]))
            r->ice_server_count++;
    struct peer_config c = {
        .ice = {.loop = r->loop, .controlling = true, .servers = r->ice_servers,
                .server_count = r->ice_server_count},
        .identity = r->identity,
        .on_candidate = on_candidate,
        .on_gathered = on_gathered,
        .on_connected = on_connected,
        .on_end = on_peer_end,
        .on_rtp = on_rtp,
        .on_rtcp = on_rtcp,
        .ctx = r,
    };
    if (r->leaving)
        return;
    loop_timer_set(r->gather_timer, clock_now_us() + GATHER_TIMEOUT_US);
    if (peer_new(&r->peer, &c) || peer_gather(r->peer))
        receiver_end(r, ERR_IO, error_text());
}

static void begin(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    whep_client_ice_servers(r->whep, on_ice_servers, r);
}

/* ------------------------------------------------------------------ the end */

static void over(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (r->shut_down)
        return;
    publish_stats(r);
    r->shut_down = true;
    loop_timer_set(r->stats_timer, INT64_MAX);
    loop_quit(r->loop);
}

static void on_stop(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (!atomic_load(&r->stopping) || r->leaving)
        return;
    r->leaving = true;
    loop_timer_set(r->gather_timer, INT64_MAX);
    loop_timer_set(r->timer, INT64_MAX);
    if (r->connected) {
        uint8_t bye[256];
        size_t n = video_receiver_bye(r->rtp, bye, sizeof bye);
        if (n)
            peer_send_rtcp(r->peer, bye, n);
    }
    if (r->peer)
        peer_close(r->peer);
    whep_client_delete(r->whep, GOODBYE_TIMEOUT_US, over, r);
}

/* ------------------------------------------------------------------ set up */

static void describe_us(struct sdp_local *l, const struct dtls_identity *identity)
{
    memset(l, 0, sizeof *l);
    /* Level 6.2: what a decoder of ours can do is a matter of speed, not of the level. */
    l->h265 = (struct h265_params){.profile_id = 1, .level_id = 186, .tx_mode_srst = true,
                                   .valid = true};
    l->also_444 = true;
    l->setup = SDP_ACTPASS;
    snprintf(l->fingerprint, sizeof l->fingerprint, "%s", dtls_identity_fingerprint(identity));
    snprintf(l->cname, sizeof l->cname, "hevcast");
    l->session_id = (uint64_t)clock_real_us();
    l->session_version = 1;
}

int receiver_net_open(struct hevcast_receiver *r)
{
    r->loop = loop_new();
    if (!r->loop)
        return error_set(ERR_MEMORY, "out of memory");
    r->stop_event = loop_event_new(r->loop, on_stop, r);
    r->key_event = loop_event_new(r->loop, on_key_needed, r);
    r->timer = loop_timer_new(r->loop, on_timer, r);
    r->gather_timer = loop_timer_new(r->loop, on_gather_timer, r);
    r->stats_timer = loop_timer_new(r->loop, publish_stats, r);
    if (!r->stop_event || !r->key_event || !r->timer || !r->gather_timer || !r->stats_timer)
        return error_set(ERR_MEMORY, "out of memory");
    r->identity = dtls_identity_new();
    if (!r->identity)
        return ERR_IO;
    describe_us(&r->local, r->identity);
    struct whep_client_config c = {.loop = r->loop, .url = r->config.url,
                                   .bearer = r->config.bearer, .tls_pin_sha256 = r->config.tls_pin};
    return whep_client_new(&r->whep, &c);
}

void *receiver_net_main(void *arg)
{
    struct hevcast_receiver *r = arg;
    r->counters.second_start_us = clock_now_us();
    loop_timer_set(r->stats_timer, clock_now_us() + STATS_INTERVAL_US);
    loop_post(r->loop, begin, r);
    loop_run(r->loop);
    pthread_mutex_lock(&r->stats_lock);
    if (!r->end_text[0])
        snprintf(r->end_text, sizeof r->end_text, "stopped");
    int error = r->end_error;
    char text[sizeof r->end_text];
    memcpy(text, r->end_text, sizeof text);
    pthread_mutex_unlock(&r->stats_lock);
    receiver_event(r, HEVCAST_EVENT_ENDED, text, 0, 0, error);
    uint64_t one = 1;
    if (write(r->ended_fd, &one, sizeof one) < 0)
        LOG_DEBUG(session, "the end was already told");
    if (r->display)
        r->display->ops->wake(r->display);
    return NULL;
}

void receiver_net_close(struct hevcast_receiver *r)
{
    whep_client_free(&r->whep);
    peer_free(&r->peer);
    video_receiver_free(&r->rtp);
    loop_timer_free(&r->timer);
    loop_timer_free(&r->gather_timer);
    loop_timer_free(&r->stats_timer);
    loop_event_free(&r->stop_event);
    loop_event_free(&r->key_event);
    loop_free(&r->loop);
    dtls_identity_free(&r->identity);
}
