/* The connection of a receiver: WHEP and the transport, from the first request to the goodbye.
 *
 * One attempt goes through the phases ASKING (OPTIONS: the ICE servers), GATHERING, ANSWER (POST,
 * or PATCH for an ICE restart) and CHECKING (ICE, DTLS). If the first attempt fails, the receiver
 * ends: the address is wrong, or the share does not run. Once connected, what is lost is made again:
 *
 *   UP --silence, network changed--> ICE restart --refused, too late--> new session
 *    |                                 ^  |                              ^  |
 *    +--ICE or DTLS failed-------------|--|------------------------------+  |
 *                                      +--+- WAITING (back-off) ------------+
 *
 * Nothing here frees the peer inside one of its callbacks: what is to be done next is done by the
 * step timer. The policies (when is it lost, when to try again) are in reconnect.h. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "signal/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_TIMEOUT_US = 1500000,
    GOODBYE_TIMEOUT_US = 1000000,
    CONNECT_TIMEOUT_US = 30000000,
    SDP_BUFFER = 16384,
    FRAG_BUFFER = 8192,
    /* Of a connection that is made again. A server that is there answers at once, and the next
     * attempt may find a network that this one did not: so these are shorter. */
    RESTART_GATHER_US = 600000, /* what a STUN server says later is told by PATCH */
    QUICK_REQUEST_US = 3000000, /* TCP's first two attempts; of the first tries */
    REQUEST_US = 10000000,
    CHECK_US = 8000000,
    /* A share frees a session at most 26 s after our last answer to its checks
     * (transport/ice_nice.c). Until then an ICE restart keeps it: no viewer leaves and joins. */
    RESTART_WINDOW_US = 25000000,
    STEADY_US = 5000000,  /* connected for that long, it is tried again without a delay */
    DEAF_US = 300000,     /* packets that came before the address went are no sign of life */
};

static void fail_attempt(struct hevcast_receiver *r, int error, const char *text);

static uint32_t random32(void)
{
    uint32_t v = 0;
    (void)token_random(&v, sizeof v); /* without it the back-off has no jitter */
    return v;
}

static void next_step(struct hevcast_receiver *r, enum link_phase phase, int64_t in_us)
{
    r->link.phase = phase;
    loop_timer_set(r->link.step, in_us == INT64_MAX ? INT64_MAX : clock_now_us() + in_us);
}

/* What the main thread shows. */
static void publish(struct hevcast_receiver *r, int64_t retry_at_us)
{
    pthread_mutex_lock(&r->stats_lock);
    r->shown.lost_us = r->link.lost_us;
    r->shown.up = r->link.ever && !r->link.lost_us;
    r->shown.retry_at_us = retry_at_us;
    snprintf(r->shown.why, sizeof r->shown.why, "%s", r->link.why);
    pthread_mutex_unlock(&r->stats_lock);
    if (r->display)
        r->display->ops->wake(r->display);
}

static bool lost(const struct hevcast_receiver *r) { return r->link.lost_us != 0; }

/* ------------------------------------------------------------------ up and lost */

static void watch_silence(struct hevcast_receiver *r)
{
    bool on = r->connected && !lost(r) && r->config.reconnect_us != 0;
    int64_t lost_at = heartbeat_lost_us(&r->link.heartbeat);
    int64_t probe_at = heartbeat_probe_us(&r->link.heartbeat);
    r->link.silence_at_us = !on ? INT64_MAX : lost_at < probe_at ? lost_at : probe_at;
    loop_timer_set(r->link.silence, r->link.silence_at_us);
}

/* Is it still there? */
static void probe(struct hevcast_receiver *r, int64_t now_us)
{
    uint8_t rtcp[300];
    size_t n = r->rtp ? video_receiver_probe(r->rtp, now_us, rtcp, sizeof rtcp) : 0;
    if (n)
        peer_send_rtcp(r->peer, rtcp, n);
    heartbeat_probed(&r->link.heartbeat, now_us, r->rtp ? video_receiver_rtt_us(r->rtp) : 0);
}

static void link_up(struct hevcast_receiver *r)
{
    char path[200];
    struct receiver_link *l = &r->link;
    int64_t now = clock_now_us();
    bool again = lost(r);
    peer_describe(r->peer, path, sizeof path);
    if (again)
        LOG_INFO(session, "connected again after %.1f s: %s", (double)(now - l->lost_us) / 1e6,
                 path);
    else
        LOG_INFO(session, "connected: %s", path);
    l->ever = r->connected = true;
    l->lost_us = 0;
    l->up_us = now;
    l->why[0] = 0;
    next_step(r, PHASE_UP, INT64_MAX);
    heartbeat_start(&l->heartbeat, now);
    watch_silence(r);
    pthread_mutex_lock(&r->stats_lock);
    r->counters.reconnects += again;
    pthread_mutex_unlock(&r->stats_lock);
    publish(r, 0);
    receiver_event(r, HEVCAST_EVENT_CONNECTED, path, 0, 0, 0);
    /* What was sent meanwhile is gone, and a screen that went still since would not show it. */
    if (again)
        video_receiver_request_key(r->rtp, now);
    receiver_pump(r);
}

/* text: why, as a clause. */
static void link_lost(struct hevcast_receiver *r, const char *text)
{
    struct receiver_link *l = &r->link;
    int64_t now = clock_now_us();
    if (lost(r) || r->leaving)
        return;
    if (r->config.reconnect_us == 0) {
        receiver_end(r, ERR_TIMEOUT, text);
        return;
    }
    LOG_INFO(session, "connection lost: %s", text);
    l->lost_us = now;
    snprintf(l->why, sizeof l->why, "%s", text);
    loop_timer_set(l->silence, INT64_MAX);
    bool steady = now - l->up_us > STEADY_US;
    l->flaps = steady ? 0 : l->flaps + 1;
    l->tries = steady ? 0 : l->flaps - 1; /* the failures before it was up do not count */
    next_step(r, PHASE_WAITING, steady ? 0 : backoff_us(&l->tries, random32()));
    publish(r, 0);
    receiver_event(r, HEVCAST_EVENT_LOST, text, 0, 0, ERR_TIMEOUT);
}

void receiver_link_alive(struct hevcast_receiver *r, int64_t now_us, bool report)
{
    struct receiver_link *l = &r->link;
    if (lost(r))
        heartbeat_start(&l->heartbeat, now_us); /* an outage is no rhythm */
    heartbeat_packet(&l->heartbeat, now_us, report);
    if (report && (heartbeat_lost_us(&l->heartbeat) < l->silence_at_us ||
                   heartbeat_probe_us(&l->heartbeat) < l->silence_at_us))
        watch_silence(r); /* its rhythm is known now */
    if (lost(r) && !r->leaving && now_us >= l->deaf_until_us)
        link_up(r); /* it was but silent; a restart that is under way may still take over */
}

static void on_silence(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    struct receiver_link *l = &r->link;
    int64_t now = clock_now_us();
    if (now - l->silence_at_us > 500000)
        heartbeat_slept(&l->heartbeat, now);
    if (now >= heartbeat_lost_us(&l->heartbeat)) {
        link_lost(r, "nothing comes from the share any more");
        return;
    }
    if (now >= heartbeat_probe_us(&l->heartbeat))
        probe(r, now);
    watch_silence(r);
}

static void on_network(void *ctx, bool addresses)
{
    struct hevcast_receiver *r = ctx;
    struct receiver_link *l = &r->link;
    char ours[48];
    if (!l->ever || r->leaving || r->config.reconnect_us == 0)
        return;
    if (lost(r)) {
        /* What waits, tries now; what is under way from addresses that may be gone, begins anew. */
        if (addresses)
            l->tries = 0; /* a network that is new owes nothing */
        if (addresses || l->phase == PHASE_WAITING)
            next_step(r, PHASE_WAITING, 0);
    } else if (addresses) {
        if (peer_local_address(r->peer, ours) && !netwatch_has_address(ours)) {
            l->deaf_until_us = clock_now_us() + DEAF_US;
            l->up_us = 0; /* not its fault: no back-off before the first try */
            link_lost(r, "this machine's network has changed");
        } else {
            heartbeat_doubt(&l->heartbeat, clock_now_us());
            watch_silence(r);
        }
    }
}

/* ------------------------------------------------------------------ the peer's callbacks */

static void on_connected(void *ctx) { link_up(ctx); }

static void on_restarted(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (!r->leaving)
        link_up(r);
}

static void on_peer_end(void *ctx, int error, const char *text)
{
    struct hevcast_receiver *r = ctx;
    bool was_up = r->connected;
    if (error == ERR_ENDED) {
        receiver_end(r, 0, "the share has ended");
        return;
    }
    r->connected = false;
    r->link.restartable = false;
    if (!r->link.ever)
        receiver_end(r, error, text);
    else if (!lost(r))
        link_lost(r, text);
    else if (!was_up || r->link.phase != PHASE_WAITING)
        fail_attempt(r, error, text);
}

/* What a slow STUN or TURN server finds after the description went out. */
static void on_trickled(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    (void)ctx, (void)answer, (void)len;
    if (error)
        LOG_DEBUG(session, "a late candidate was not taken: %s", text);
}

/* All that were found since the description went out. */
static void trickle(struct hevcast_receiver *r)
{
    const char *all[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(r->peer, all), first = r->link.told_candidates;
    char frag[FRAG_BUFFER];
    if (n <= first)
        return;
    r->link.told_candidates = n;
    if (sdpfrag_write(r->local.ufrag, r->local.pwd, r->agreed.mid, all + first, n - first, false,
                      frag, sizeof frag) > 0)
        whep_client_patch(r->whep, frag, false, on_trickled, r);
}

static void on_candidate(void *ctx, const char *candidate)
{
    struct hevcast_receiver *r = ctx;
    (void)candidate;
    if (!r->leaving && (r->link.phase == PHASE_CHECKING || r->link.phase == PHASE_UP))
        trickle(r);
}

/* ------------------------------------------------------------------ descriptions out and in */

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

/* The server's side of an ICE restart: the same keys, another path. */
static int take_restart(struct hevcast_receiver *r, const char *text, size_t len)
{
    char why[200] = "out of memory";
    struct sdp_media *m = malloc(sizeof *m);
    int err = m ? sdpfrag_parse(m, text, len, why, sizeof why) : SDP_NO_SPACE;
    if (err || !m->ufrag[0] || !m->pwd[0] || !peer_restarting(r->peer)) {
        free(m);
        return error_set(ERR_PROTOCOL, "the server's answer to an ICE restart cannot be used: %s",
                         err ? why : "it came too late, or has no ICE user name and password");
    }
    enum dtls_role role = r->agreed.our_setup == SDP_ACTIVE ? DTLS_CLIENT : DTLS_SERVER;
    err = peer_set_remote(r->peer, m->ufrag, m->pwd, r->agreed.fingerprint, role);
    for (int i = 0; !err && i < m->candidate_count; i++)
        if (peer_add_remote_candidate(r->peer, m->candidate[i]))
            LOG_DEBUG(session, "a candidate of the answer is not usable");
    if (!err && m->end_of_candidates)
        peer_remote_end_of_candidates(r->peer);
    free(m);
    return err;
}

static void on_answer(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    struct hevcast_receiver *r = ctx;
    struct receiver_link *l = &r->link;
    if (r->leaving)
        return;
    if (!error && (l->restart ? take_restart(r, answer, len) : take_answer(r, answer, len))) {
        error = ERR_PROTOCOL;
        text = error_text();
    }
    if (error) {
        fail_attempt(r, error, text);
        return;
    }
    if (!l->restart) {
        l->restartable = true;
        l->heartbeat.answers = r->agreed.codec.rpsi; /* a hevcast share, which answers probes */
    }
    if (l->phase == PHASE_ANSWER) /* else packets came meanwhile over the old path */
        next_step(r, PHASE_CHECKING, l->ever ? CHECK_US : CONNECT_TIMEOUT_US);
    trickle(r);
}

static int write_description(struct hevcast_receiver *r, char *buf, size_t cap)
{
    const char *candidates[ICE_MAX_CANDIDATES];
    struct sdp_local *l = &r->local;
    peer_local_credentials(r->peer, l->ufrag, l->pwd);
    int count = peer_local_candidates(r->peer, candidates);
    r->link.told_candidates = count;
    if (r->link.restart)
        return sdpfrag_write(l->ufrag, l->pwd, r->agreed.mid, candidates, count,
                             l->candidates_complete, buf, cap);
    l->candidate_count = count;
    l->candidates = candidates;
    int n = sdp_write_offer(l, buf, cap);
    l->candidates = NULL;
    l->candidate_count = 0;
    return n;
}

/* Gathering is over, or took long enough; a server may take its time to answer. */
static void send_description(struct hevcast_receiver *r)
{
    if (r->link.phase != PHASE_GATHERING || r->leaving)
        return;
    next_step(r, PHASE_ANSWER, CONNECT_TIMEOUT_US); /* requests have a limit of their own */
    char *buf = malloc(SDP_BUFFER);
    int n = buf ? write_description(r, buf, SDP_BUFFER) : ERR_MEMORY;
    if (n <= 0)
        fail_attempt(r, ERR_MEMORY, "the offer could not be made");
    else if (r->link.restart)
        whep_client_patch(r->whep, buf, true, on_answer, r);
    else
        whep_client_post(r->whep, buf, on_answer, r);
    free(buf);
}

static void on_gathered(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    r->local.candidates_complete = true;
    send_description(r);
}

/* ------------------------------------------------------------------ attempts */

static void open_peer(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    struct peer_config c = {
        .ice = {.loop = r->loop, .controlling = true, .servers = r->ice_servers,
                .server_count = r->ice_server_count},
        .identity = r->identity,
        .on_candidate = on_candidate,
        .on_gathered = on_gathered,
        .on_connected = on_connected,
        .on_restarted = on_restarted,
        .on_end = on_peer_end,
        .on_rtp = receiver_on_rtp,
        .on_rtcp = receiver_on_rtcp,
        .ctx = r,
    };
    if (r->leaving || r->peer)
        return;
    r->local.candidates_complete = false;
    next_step(r, PHASE_GATHERING, GATHER_TIMEOUT_US);
    if (peer_new(&r->peer, &c) || peer_gather(r->peer))
        fail_attempt(r, ERR_IO, error_text());
}

static void on_ice_servers(void *ctx, int error, const char *const *urls, int n)
{
    struct hevcast_receiver *r = ctx;
    if (r->leaving)
        return;
    if (error && r->link.ever) { /* at the first attempt the POST says it, in its own words */
        fail_attempt(r, error, error_text());
        return;
    }
    r->ice_server_count = r->own_ice_server_count;
    for (int i = 0; i < n && r->ice_server_count < ICE_MAX_SERVERS; i++)
        if (!ice_server_parse(urls[i], &r->ice_servers[r->ice_server_count]))
            r->ice_server_count++;
    /* The session before this one is not to be counted beside it (--max-viewers). */
    if (r->link.ever)
        whep_client_delete(r->whep, QUICK_REQUEST_US, open_peer, r);
    else
        open_peer(r);
}

static void start_session(struct hevcast_receiver *r)
{
    struct receiver_link *l = &r->link;
    l->restart = l->restartable = false;
    if (r->peer)
        peer_close(r->peer);
    peer_free(&r->peer);
    r->connected = false;
    next_step(r, PHASE_ASKING, CONNECT_TIMEOUT_US);
    whep_client_ice_servers(r->whep, on_ice_servers, r);
}

static void start_restart(struct hevcast_receiver *r)
{
    r->link.restart = true;
    r->local.candidates_complete = false;
    next_step(r, PHASE_GATHERING, RESTART_GATHER_US);
    if (peer_restart_ice(r->peer) || peer_gather(r->peer))
        fail_attempt(r, ERR_IO, error_text());
}

static void start_attempt(struct hevcast_receiver *r)
{
    struct receiver_link *l = &r->link;
    whep_client_renew(r->whep, l->tries < 3 ? QUICK_REQUEST_US : REQUEST_US);
    publish(r, 0);
    if (l->restartable && clock_now_us() - l->lost_us < RESTART_WINDOW_US)
        start_restart(r);
    else
        start_session(r);
}

/* The connection could not be made (again). */
static void fail_attempt(struct hevcast_receiver *r, int error, const char *text)
{
    struct receiver_link *l = &r->link;
    if (r->leaving || (l->ever && !lost(r)))
        return;
    if (!l->ever) {
        receiver_end(r, error, text);
        return;
    }
    LOG_INFO(session, "%s: %s", l->restart ? "ICE restart" : "reconnecting", text);
    bool unreachable = error == ERR_IO || (error == ERR_TIMEOUT && l->phase == PHASE_ANSWER);
    if (l->restart && !unreachable) { /* the session is gone, or knows no restarts */
        l->restart = l->restartable = false;
        next_step(r, PHASE_WAITING, 0);
        return;
    }
    char why[sizeof l->why];
    snprintf(why, sizeof why, "%s", text);
    memcpy(l->why, why, sizeof why);
    int64_t now = clock_now_us(), limit = r->config.reconnect_us;
    if (limit > 0 && now - l->lost_us >= limit) {
        char sentence[256];
        snprintf(sentence, sizeof sentence,
                 "the connection was lost and could not be made again: %s", why);
        receiver_end(r, error, sentence);
        return;
    }
    int64_t wait = backoff_us(&l->tries, random32());
    if (limit > 0 && now + wait > l->lost_us + limit)
        wait = l->lost_us + limit - now;
    next_step(r, PHASE_WAITING, wait);
    publish(r, now + wait);
    receiver_event(r, HEVCAST_EVENT_RECONNECTING, why, 0, 0, error);
}

static void on_step(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (r->leaving)
        return;
    switch (r->link.phase) {
    case PHASE_GATHERING:
        send_description(r);
        break;
    case PHASE_ASKING:
    case PHASE_ANSWER:
        fail_attempt(r, ERR_TIMEOUT, "the server does not answer");
        break;
    case PHASE_CHECKING:
        fail_attempt(r, ERR_TIMEOUT, "no connection came about in time: is UDP let through between "
                                     "both machines? A TURN server may help (--ice-server)");
        break;
    case PHASE_WAITING:
        start_attempt(r);
        break;
    case PHASE_UP:
        break;
    }
}

void receiver_link_begin(void *ctx) { start_session(ctx); }

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
    loop_timer_set(r->link.step, INT64_MAX);
    loop_timer_set(r->link.silence, INT64_MAX);
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

bool receiver_link_open(struct hevcast_receiver *r)
{
    struct receiver_link *l = &r->link;
    l->step = loop_timer_new(r->loop, on_step, r);
    l->silence = loop_timer_new(r->loop, on_silence, r);
    l->watch = netwatch_new(r->loop, on_network, r);
    return l->step && l->silence;
}

void receiver_link_close(struct hevcast_receiver *r)
{
    netwatch_free(&r->link.watch);
    loop_timer_free(&r->link.step);
    loop_timer_free(&r->link.silence);
}
