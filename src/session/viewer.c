#include "session/viewer.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_TIMEOUT_US = 1500000, /* a STUN server that is silent must not delay the answer longer */
    CONNECT_TIMEOUT_US = 30000000,
    SDP_BUFFER = 16384,
    MIN_PACING_BPS = 20000000,
    START_BPS = 3000000,          /* probes find more within a few round trips */
    MAX_CODED_BPS = 100000000,    /* what is passed through has the rate that it has */
};

static uint32_t random32(void)
{
    uint32_t v = 0;
    return token_random(&v, sizeof v) || !v ? 1 : v;
}

static void fill_local(struct viewer *v, struct sdp_local *local, const char **candidates)
{
    struct hevcast_sender *s = v->s;
    memset(local, 0, sizeof *local);
    local->send = true;
    local->h265 = s->profile;
    local->payload = v->payload;
    if (v->peer) {
        peer_local_credentials(v->peer, local->ufrag, local->pwd);
        local->candidate_count = peer_local_candidates(v->peer, candidates);
        local->candidates = candidates;
    }
    snprintf(local->fingerprint, sizeof local->fingerprint, "%s",
             dtls_identity_fingerprint(s->identity));
    local->candidates_complete = true;
    local->ssrc = v->ssrc;
    local->rtx_ssrc = v->rtx_ssrc;
    local->fec_ssrc = v->fec_ssrc;
    local->key_ssrc = v->key_ssrc;
    snprintf(local->cname, sizeof local->cname, "hevcast");
    snprintf(local->msid, sizeof local->msid, "hevcast");
    local->session_id = (uint64_t)v->ssrc << 16 | 1;
    local->session_version = 1;
}

static void reply_answer(struct viewer *v)
{
    if (whep_request_gone(v->request)) { /* it tries again; this one is not to be counted beside it */
        viewer_end(v, "the viewer went away");
        return;
    }
    char *buf = malloc(SDP_BUFFER);
    const char *candidates[ICE_MAX_CANDIDATES];
    struct sdp_local *local = malloc(sizeof *local);
    int n = ERR_MEMORY;
    if (buf && local) {
        fill_local(v, local, candidates);
        local->setup = v->agreed.our_setup;
        n = sdp_write_answer(v->offer, local, &v->agreed, buf, SDP_BUFFER);
    }
    struct whep_request *req = v->request;
    v->request = NULL;
    if (n <= 0) {
        whep_reply_error(req, 500, "the answer could not be made", 0);
        viewer_end(v, "the answer could not be made");
    } else {
        v->answered = true;
        whep_reply_created(req, buf, (size_t)n, v->id, v->etag);
        loop_timer_set(v->deadline, clock_now_us() + CONNECT_TIMEOUT_US);
        sender_event(v->s, HEVCAST_EVENT_VIEWER_JOINED, v->name, "", 0);
    }
    free(buf);
    free(local);
    free(v->offer);
    v->offer = NULL;
}

static void reply_restart(struct viewer *v)
{
    char ufrag[64], pwd[128], buf[8192];
    const char *candidates[ICE_MAX_CANDIDATES];
    peer_local_credentials(v->peer, ufrag, pwd);
    int count = peer_local_candidates(v->peer, candidates);
    int n = sdpfrag_write(ufrag, pwd, v->agreed.mid, candidates, count, true, buf, sizeof buf);
    struct whep_request *req = v->request;
    v->request = NULL;
    v->restarting = false;
    if (n <= 0)
        whep_reply_error(req, 500, "the answer could not be made", 0);
    else
        whep_reply_frag(req, buf, (size_t)n, v->etag);
}

static void gathering_over(struct viewer *v)
{
    if (v->gone || !v->request)
        return;
    if (v->restarting)
        reply_restart(v);
    else
        reply_answer(v);
}

static void on_gathered(void *ctx) { gathering_over(ctx); }

static void on_connected(void *ctx)
{
    struct viewer *v = ctx;
    if (v->gone || v->connected)
        return;
    char path[200];
    v->connected = true;
    v->connected_us = clock_now_us();
    loop_timer_set(v->deadline, INT64_MAX);
    peer_describe(v->peer, path, sizeof path);
    sender_event(v->s, HEVCAST_EVENT_CONNECTED, v->name, path, 0);
    sender_viewer_connected(v->s, v);
}

/* It came back over another path, with another rate. */
static void on_restarted(void *ctx)
{
    struct viewer *v = ctx;
    if (v->gone || !v->connected)
        return;
    char path[200];
    peer_describe(v->peer, path, sizeof path);
    v->connected_us = clock_now_us(); /* its probes look for the rate as for one that joins */
    video_sender_new_path(v->rtp);
    sender_event(v->s, HEVCAST_EVENT_CONNECTED, v->name, path, 0);
    sender_update_target(v->s, v->connected_us);
    viewer_pump(v);
}

static void on_end(void *ctx, int error, const char *text)
{
    struct viewer *v = ctx;
    (void)error;
    viewer_end(v, text);
}

static void on_rtp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    (void)ctx, (void)data, (void)len, (void)now_us; /* a viewer sends no media */
}

static void on_rtcp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct viewer *v = ctx;
    if (v->gone || !v->rtp)
        return;
    struct rtcp_events ev = {0};
    video_sender_on_rtcp(v->rtp, data, len, now_us, ntp_from_real_us(clock_real_us()), &ev);
    if (ev.bye) {
        viewer_end(v, "the viewer has left");
        return;
    }
    if (ev.feedback)
        sender_update_target(v->s, now_us);
    for (uint64_t acked; video_sender_next_acked(v->rtp, &acked);)
        sender_viewer_acked(v->s, acked);
    if (ev.lost_pic_id && !sender_viewer_lost(v->s, ev.lost_pic_id))
        ev.key_wanted = true;
    /* A group that is passed through and still being replayed answers every request so far. */
    bool replayed = v->s->coded && !v->s->config.on_keyframe_request;
    if (ev.key_wanted && !(replayed && video_sender_queue_us(v->rtp, now_us) > 0)) {
        LOG_DEBUG(session, "viewer %s asks for a key frame", v->name);
        v->held = v->held || v->s->coded;
        sender_key_request(v->s);
    }
    viewer_pump(v);
}

static void on_timer(void *ctx) { viewer_pump(ctx); }

static void on_deadline(void *ctx)
{
    struct viewer *v = ctx;
    if (v->gone)
        return;
    if (v->request)
        gathering_over(v);
    else if (!v->connected)
        viewer_end(v, "no connection came about within 30 s");
}

static int make_rtp(struct viewer *v)
{
    struct video_sender_config c;
    video_sender_default_config(&c);
    c.payload = v->payload;
    c.ssrc = v->ssrc;
    c.pt = v->agreed.codec.pt;
    c.rtx_pt = v->agreed.codec.rtx_pt;
    c.rtx_ssrc = c.rtx_pt ? v->rtx_ssrc : 0;
    c.fec_pt = v->agreed.codec.fec_pt;
    c.fec_ssrc = v->fec_ssrc;
    c.key_ssrc = v->agreed.keys_index >= 0 ? v->key_ssrc : 0;
    c.ext = v->agreed.ext;
    snprintf(c.mid, sizeof c.mid, "%.16s", v->agreed.mid);
    snprintf(c.cname, sizeof c.cname, "hevcast");
    c.rtp_ts_offset = random32();
    c.first_seq = (uint16_t)(random32() & 0x7fff);
    c.first_rtx_seq = (uint16_t)(random32() & 0x7fff);
    c.first_fec_seq = (uint16_t)(random32() & 0x7fff);
    c.aggregate = true;
    /* Above the ceiling: repairs and headers come on top of the encoder's target. */
    c.cc.max_bps = v->s->config.bitrate_bps / 4 * 5;
    bool follows = !v->s->coded || v->s->config.on_target_bitrate;
    if (!follows && c.cc.max_bps < MAX_CODED_BPS)
        c.cc.max_bps = MAX_CODED_BPS;
    c.cc.min_bps = v->s->config.min_bitrate_bps;
    c.cc.start_bps = START_BPS < c.cc.max_bps ? START_BPS : c.cc.max_bps;
    int64_t pacing = v->s->config.bitrate_bps * 5 / 2;
    c.pacing_bps = pacing > MIN_PACING_BPS ? pacing : MIN_PACING_BPS;
    v->rtp = video_sender_new(&c);
    return v->rtp ? 0 : error_set(ERR_MEMORY, "out of memory");
}

static int make_peer(struct viewer *v)
{
    struct hevcast_sender *s = v->s;
    struct peer_config c = {
        .ice = {.loop = s->loop,
                .controlling = false,
                .servers = s->ice_servers,
                .server_count = s->ice_server_count,
                .udp_port_min = s->config.udp_port_min,
                .udp_port_max = s->config.udp_port_max},
        .identity = s->identity,
        .on_gathered = on_gathered,
        .on_connected = on_connected,
        .on_restarted = on_restarted,
        .on_end = on_end,
        .on_rtp = on_rtp,
        .on_rtcp = on_rtcp,
        .ctx = v,
    };
    int err = peer_new(&v->peer, &c);
    if (err)
        return err;
    enum dtls_role role = v->agreed.our_setup == SDP_ACTIVE ? DTLS_CLIENT : DTLS_SERVER;
    err = peer_set_remote(v->peer, v->agreed.ufrag, v->agreed.pwd, v->agreed.fingerprint, role);
    const struct sdp_media *m = &v->offer->media[v->agreed.media_index];
    for (int i = 0; !err && i < m->candidate_count; i++)
        if (peer_add_remote_candidate(v->peer, m->candidate[i]))
            LOG_RATE(session, LOG_LEVEL_DEBUG, "a candidate of the offer is not usable");
    return err;
}

/* 4xx for what a peer sent; why is the sentence. */
static void refuse_offer(struct whep_request *req, int error, const char *why)
{
    int status = error == SDP_MALFORMED ? 400 : error == SDP_NO_SPACE ? 500 : 406;
    LOG_WARN(session, "an offer was refused: %s", why);
    whep_reply_error(req, status, why, 0);
}

static struct viewer *viewer_new(struct hevcast_sender *s)
{
    struct viewer *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->s = s;
    snprintf(v->name, sizeof v->name, "%u", ++s->viewers_ever);
    v->ssrc = random32();
    v->rtx_ssrc = random32();
    v->fec_ssrc = random32();
    v->key_ssrc = random32();
    v->offer = malloc(sizeof *v->offer);
    v->timer = loop_timer_new(s->loop, on_timer, v);
    v->deadline = loop_timer_new(s->loop, on_deadline, v);
    if (!v->offer || !v->timer || !v->deadline || token_new(v->id) ||
        token_new(v->etag)) {
        viewer_free(v);
        return NULL;
    }
    return v;
}

static int negotiate(struct viewer *v, const char *sdp, size_t len, char *why, size_t why_len)
{
    int err = sdp_parse(v->offer, sdp, len, why, why_len);
    if (err)
        return err;
    struct sdp_local *local = malloc(sizeof *local);
    if (!local)
        return SDP_NO_SPACE;
    fill_local(v, local, NULL);
    err = sdp_negotiate(v->offer, local, &v->agreed, why, why_len);
    free(local);
    return err;
}

/* "carrier=…" among a query's parameters; one that is not known asks for nothing. */
static enum video_payload asked_payload(const char *query)
{
    static const struct {
        const char *text;
        enum video_payload payload;
    } known[] = {{"carrier=vp8", VIDEO_PAYLOAD_VP8_CARRIER},
                 {"carrier=audio", VIDEO_PAYLOAD_AUDIO_CARRIER}};
    for (const char *p = query, *end; *p; p = *end ? end + 1 : end) {
        end = strchrnul(p, '&');
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if ((size_t)(end - p) == strlen(known[i].text) &&
                !strncmp(p, known[i].text, strlen(known[i].text)))
                return known[i].payload;
    }
    return VIDEO_PAYLOAD_H265;
}

/* "level=…" among a query's parameters; 0: none. */
static int asked_level(const char *query)
{
    for (const char *p = query, *end; *p; p = *end ? end + 1 : end) {
        end = strchrnul(p, '&');
        if (!strncmp(p, "level=", 6)) {
            long level = strtol(p + 6, NULL, 10);
            return level > 0 && level <= 255 ? (int)level : 0;
        }
    }
    return 0;
}

void viewer_offer(struct hevcast_sender *s, struct whep_request *req, const char *sdp, size_t len,
                  const char *query)
{
    char why[300] = "out of memory";
    if (s->viewer_count >= s->config.max_viewers) {
        whep_reply_error(req, 503, "this share has as many viewers as it takes (--max-viewers)", 5);
        return;
    }
    struct viewer *v = viewer_new(s);
    if (v)
        v->payload = asked_payload(query);
    int err = v ? negotiate(v, sdp, len, why, sizeof why) : SDP_NO_SPACE;
    if (err) {
        refuse_offer(req, err, why);
        viewer_free(v);
        return;
    }
    v->level_limit = v->payload == VIDEO_PAYLOAD_H265 ? v->agreed.peer_level_id
                                                      : asked_level(query);
    if (make_rtp(v) || make_peer(v)) {
        whep_reply_error(req, 400, error_text(), 0);
        viewer_free(v);
        return;
    }
    v->next = s->viewers;
    s->viewers = v;
    s->viewer_count++;
    v->request = req;
    loop_timer_set(v->deadline, clock_now_us() + GATHER_TIMEOUT_US);
    if (peer_gather(v->peer)) {
        v->request = NULL;
        whep_reply_error(req, 500, error_text(), 0);
        viewer_end(v, error_text());
    }
}

static void restart_ice(struct viewer *v, struct whep_request *req, const struct sdp_media *frag)
{
    if (!frag->ufrag[0] || !frag->pwd[0]) {
        whep_reply_error(req, 400, "an ICE restart needs a=ice-ufrag and a=ice-pwd", 0);
        return;
    }
    if (v->request) { /* its network changed again before we had answered */
        whep_reply_error(v->request, 409, "another ICE restart took the place of this one", 0);
        v->request = NULL;
    }
    enum dtls_role role = v->agreed.our_setup == SDP_ACTIVE ? DTLS_CLIENT : DTLS_SERVER;
    if (token_new(v->etag) || peer_restart_ice(v->peer) ||
        peer_set_remote(v->peer, frag->ufrag, frag->pwd, v->agreed.fingerprint, role)) {
        whep_reply_error(req, 500, "ICE could not be restarted", 0);
        return;
    }
    for (int i = 0; i < frag->candidate_count; i++)
        peer_add_remote_candidate(v->peer, frag->candidate[i]);
    v->request = req;
    v->restarting = true;
    loop_timer_set(v->deadline, clock_now_us() + GATHER_TIMEOUT_US);
    if (peer_gather(v->peer))
        gathering_over(v);
}

void viewer_patch(struct viewer *v, struct whep_request *req, const char *if_match,
                  const char *frag, size_t len)
{
    char why[200];
    struct sdp_media *m = malloc(sizeof *m);
    if (!m || sdpfrag_parse(m, frag, len, why, sizeof why)) {
        whep_reply_error(req, 400, m ? why : "out of memory", 0);
    } else if (!strcmp(if_match, "*")) {
        restart_ice(v, req, m);
    } else if (strcmp(if_match, v->etag)) {
        whep_reply_error(req, 412, "If-Match does not match this session's ETag", 0);
    } else {
        for (int i = 0; i < m->candidate_count; i++)
            peer_add_remote_candidate(v->peer, m->candidate[i]);
        if (m->end_of_candidates)
            peer_remote_end_of_candidates(v->peer);
        whep_reply_no_content(req);
    }
    free(m);
}

static void purge_if_hopeless(struct viewer *v, int64_t now_us)
{
    int64_t limit = (int64_t)v->s->config.queue_ms * 5000;
    if (limit < 500000)
        limit = 500000; /* one large key frame at the pacing rate */
    if (v->s->coded || video_sender_queue_us(v->rtp, now_us) <= limit)
        return;
    v->purged += video_sender_purge(v->rtp);
    v->held = true;
    LOG_RATE(session, LOG_LEVEL_WARN, "viewer %s is too slow: held until a key frame", v->name);
    sender_key_request(v->s);
}

void viewer_push(struct viewer *v, struct access_unit *au, int64_t now_us)
{
    if (v->gone || !v->connected)
        return;
    purge_if_hopeless(v, now_us);
    if (v->held && !au->irap)
        return;
    v->held = false;
    uint64_t ntp = 0;
    if (au->capture_us)
        ntp = ntp_from_real_us(clock_real_us() - (clock_now_us() - au->capture_us));
    v->sent_ring[au->pic_id % VIEWER_SENT_RING].pic_id = au->pic_id;
    v->sent_ring[au->pic_id % VIEWER_SENT_RING].encode_us = au->encode_us;
    if (!video_sender_push(v->rtp, au, ntp, now_us)) {
        LOG_RATE(session, LOG_LEVEL_ERROR, "out of memory: viewer %s misses a picture", v->name);
        v->held = true;
        sender_key_request(v->s);
    }
}

static void note_sent(struct viewer *v, const struct rtp_packet *p, int64_t now_us)
{
    int i = (int)(p->pic_id % VIEWER_SENT_RING);
    if (!p->last_of_au || p->retransmission || v->sent_ring[i].pic_id != p->pic_id ||
        !v->sent_ring[i].encode_us)
        return;
    pthread_mutex_lock(&v->s->stats_lock);
    duration_add(&v->s->counters.stage[STAGE_QUEUE], now_us - v->sent_ring[i].encode_us);
    pthread_mutex_unlock(&v->s->stats_lock);
}

void viewer_pump(struct viewer *v)
{
    if (v->gone || !v->connected)
        return;
    int64_t now = clock_now_us();
    struct rtp_packet p;
    while (video_sender_poll(v->rtp, now, &p)) {
        peer_queue_rtp(v->peer, p.data, p.len);
        note_sent(v, &p, now);
    }
    peer_flush(v->peer);
    uint8_t rtcp[512];
    size_t n;
    while ((n = video_sender_rtcp(v->rtp, now, ntp_from_real_us(clock_real_us()), rtcp,
                                  sizeof rtcp)) > 0)
        peer_send_rtcp(v->peer, rtcp, n);
    int64_t next = video_sender_next_us(v->rtp), rtcp_next = video_sender_rtcp_next_us(v->rtp);
    loop_timer_set(v->timer, next < rtcp_next ? next : rtcp_next);
    sender_update_pacer(v->s, now);
}

int64_t viewer_media_bps(const struct viewer *v, int64_t now_us)
{
    return video_sender_media_bps(v->rtp, now_us);
}

int64_t viewer_estimate_bps(const struct viewer *v) { return video_sender_estimate_bps(v->rtp); }

static void reap(void *viewer) { viewer_free(viewer); }

void viewer_end(struct viewer *v, const char *why)
{
    if (v->gone)
        return;
    v->gone = true;
    if (v->request) {
        whep_reply_error(v->request, 500, why, 0);
        v->request = NULL;
    }
    if (v->connected) {
        uint8_t bye[256];
        size_t n = video_sender_bye(v->rtp, clock_now_us(), ntp_from_real_us(clock_real_us()), bye,
                                    sizeof bye);
        if (n)
            peer_send_rtcp(v->peer, bye, n);
    }
    peer_close(v->peer);
    loop_timer_set(v->timer, INT64_MAX);
    loop_timer_set(v->deadline, INT64_MAX);
    if (v->answered)
        sender_event(v->s, HEVCAST_EVENT_VIEWER_LEFT, v->name, why, 0);
    sender_viewer_gone(v->s, v);
    /* We may be inside a callback of its peer. */
    loop_post(v->s->loop, reap, v);
}

void viewer_free(struct viewer *v)
{
    if (!v)
        return;
    peer_free(&v->peer);
    video_sender_free(&v->rtp);
    loop_timer_free(&v->timer);
    loop_timer_free(&v->deadline);
    free(v->offer);
    free(v);
}
