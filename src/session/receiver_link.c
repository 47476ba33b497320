/* The connection of a receiver: WHEP and the transport, from the first request to the goodbye. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_TIMEOUT_US = 1500000,
    GOODBYE_TIMEOUT_US = 1000000,
    CONNECT_TIMEOUT_US = 30000000,
    SDP_BUFFER = 16384,
};

static void on_connected(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    char path[200];
    r->connected = true;
    loop_timer_set(r->gather_timer, INT64_MAX);
    peer_describe(r->peer, path, sizeof path);
    LOG_INFO(session, "connected: %s", path);
    receiver_event(r, HEVCAST_EVENT_CONNECTED, path, 0, 0, 0);
    receiver_pump(r);
}

static void on_peer_end(void *ctx, int error, const char *text)
{
    struct hevcast_receiver *r = ctx;
    if (error == ERR_ENDED)
        receiver_end(r, 0, "the share has ended");
    else
        receiver_end(r, error, text);
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
    err = receiver_make_rtp(r);
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

void receiver_link_timer(void *ctx)
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
        .on_rtp = receiver_on_rtp,
        .on_rtcp = receiver_on_rtcp,
        .ctx = r,
    };
    if (r->leaving)
        return;
    loop_timer_set(r->gather_timer, clock_now_us() + GATHER_TIMEOUT_US);
    if (peer_new(&r->peer, &c) || peer_gather(r->peer))
        receiver_end(r, ERR_IO, error_text());
}

void receiver_link_begin(void *ctx)
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
    receiver_publish_stats(r);
    r->shut_down = true;
    loop_timer_set(r->stats_timer, INT64_MAX);
    loop_quit(r->loop);
}

void receiver_link_stop(void *ctx)
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

void receiver_link_describe(struct sdp_local *l, const struct dtls_identity *identity)
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
