#include "transport/peer.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/demux.h"
#include "transport/dtls.h"
#include "transport/srtp.h"
#include "transport/udp_segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    /* From the peer's description, or an ICE restart, to keys: lost peers are to be gone in 30 s. */
    CONNECT_TIMEOUT_US = 25000000,
    MAX_EARLY = 4, /* datagrams of DTLS: a client's first flight, some times over */
    MAX_EARLY_LEN = 1500,
    MAX_CANDIDATE = 256,
    MAX_BATCH = 24576, /* more than a pacer's burst; 48 packets are as many as go at once */
};

/* One ICE agent. There are two while a restart goes on. */
struct leg {
    struct peer *peer;
    struct ice *ice; /* NULL: this leg is not there */
    bool connected;
};

struct peer {
    struct peer_config config;
    struct ice_server servers[ICE_MAX_SERVERS];
    struct leg leg[2];
    struct leg *active; /* sends */
    struct leg *next;   /* takes over when it is connected; NULL: no restart goes on */

    char candidate[ICE_MAX_CANDIDATES][MAX_CANDIDATE]; /* local, of the newest leg */
    int candidate_count;

    enum dtls_role role; /* undecided until peer_set_remote */
    char fingerprint[256];
    struct dtls *dtls;
    struct srtp_link *srtp; /* there once the fingerprint was checked */
    enum srtp_suite suite;
    struct loop_timer *dtls_timer, *deadline;
    struct {
        size_t len;
        uint8_t data[MAX_EARLY_LEN];
    } early[MAX_EARLY];
    int early_count;
    int64_t heard_us; /* when the last authentic packet came; 0: none yet */

    bool connected;        /* and not over: packets may be sent */
    bool ended, closed;    /* on_end was called; peer_close was */
    int depth;             /* functions of ours on the stack */
    bool free_when_left;   /* peer_free was called by a callback */
    struct peer_stats stats;
    uint8_t scratch[SRTP_MAX_PACKET + SRTP_MAX_OVERHEAD];
    /* Protected packets of one size that wait for peer_flush; the last one may be shorter. */
    size_t batch_len, batch_segment;
    int batch_packets;
    bool batch_ended; /* by a shorter one */
    uint8_t batch[MAX_BATCH + SRTP_MAX_PACKET + SRTP_MAX_OVERHEAD];
};

static void destroy(struct peer *p);

static void enter(struct peer *p) { p->depth++; }

static void leave(struct peer *p)
{
    if (--p->depth == 0 && p->free_when_left)
        destroy(p);
}

static bool over(const struct peer *p) { return p->ended || p->closed; }

static struct leg *newest(struct peer *p) { return p->next ? p->next : p->active; }

static void leg_close(struct leg *leg)
{
    if (leg->ice)
        leg->ice->ops->close(leg->ice);
    leg->ice = NULL;
    leg->connected = false;
}

static void stop_timers(struct peer *p)
{
    loop_timer_set(p->dtls_timer, INT64_MAX);
    loop_timer_set(p->deadline, INT64_MAX);
}

static void end(struct peer *p, int error, const char *text)
{
    if (over(p))
        return;
    char sentence[512]; /* text may be error_text() */
    snprintf(sentence, sizeof sentence, "%s", text);
    p->ended = true;
    p->connected = false;
    stop_timers(p);
    LOG_DEBUG(peer, "over: %s", sentence);
    p->config.on_end(p->config.ctx, error, sentence);
}

/* --- DTLS --- */

static void dtls_send(void *ctx, const uint8_t *data, size_t len)
{
    struct peer *p = ctx;
    struct ice *ice = p->active->ice;
    if (!ice || ice->ops->send(ice, data, len) < 0)
        p->stats.send_failed++; /* DTLS sends it again */
    else
        p->stats.bytes_sent += (int64_t)len;
}

static void set_dtls_timer(struct peer *p)
{
    int64_t left_us = dtls_timeout_us(p->dtls);
    loop_timer_set(p->dtls_timer, left_us == INT64_MAX ? INT64_MAX : clock_now_us() + left_us);
}

static void keys_ready(struct peer *p)
{
    struct srtp_keys keys;
    int rc = dtls_export_srtp(p->dtls, &keys);
    if (rc == 0)
        rc = srtp_link_new(&p->srtp, &keys);
    p->suite = keys.suite;
    explicit_bzero(&keys, sizeof keys);
    if (rc < 0) {
        end(p, rc, error_text());
        return;
    }
    p->connected = true;
    if (!p->next)
        loop_timer_set(p->deadline, INT64_MAX);
    p->config.on_connected(p->config.ctx);
}

static void after_dtls(struct peer *p, enum dtls_state state)
{
    switch (state) {
    case DTLS_HANDSHAKE:
        set_dtls_timer(p);
        break;
    case DTLS_OPEN:
        set_dtls_timer(p);
        if (!p->srtp)
            keys_ready(p);
        break;
    case DTLS_CLOSED:
        end(p, ERR_ENDED, "the other side closed the connection");
        break;
    case DTLS_FAILED:
        end(p, dtls_error_code(p->dtls), error_text());
        break;
    }
}

/* Begins when there is somebody to talk to and something to compare its certificate with. */
static void start_dtls(struct peer *p)
{
    if (p->dtls || over(p) || p->role == DTLS_UNDECIDED || !p->active->connected)
        return;
    struct dtls_config config = {
        .identity = p->config.identity,
        .role = p->role,
        .fingerprint = p->fingerprint,
        .send = dtls_send,
        .ctx = p,
    };
    int rc = dtls_new(&p->dtls, &config);
    if (rc < 0) {
        end(p, rc, error_text());
        return;
    }
    after_dtls(p, dtls_start(p->dtls));
    for (int i = 0; i < p->early_count && !over(p); i++)
        after_dtls(p, dtls_feed(p->dtls, p->early[i].data, p->early[i].len));
    p->early_count = 0;
}

static void dtls_packet(struct peer *p, const uint8_t *data, size_t len)
{
    if (p->dtls) {
        after_dtls(p, dtls_feed(p->dtls, data, len));
    } else if (p->early_count < MAX_EARLY && len <= MAX_EARLY_LEN) {
        /* The client's pair can be ready before ours, and before we have its description. */
        memcpy(p->early[p->early_count].data, data, len);
        p->early[p->early_count++].len = len;
    }
}

static void dtls_timer_ran(void *ctx)
{
    struct peer *p = ctx;
    enter(p);
    if (p->dtls && !over(p))
        after_dtls(p, dtls_handle_timeout(p->dtls));
    leave(p);
}

/* --- packets --- */

static void rtp_packet(struct peer *p, uint8_t *data, size_t len, bool rtcp)
{
    if (!p->srtp) {
        p->stats.packets_before_keys++;
        return;
    }
    int n = rtcp ? srtp_link_unprotect_rtcp(p->srtp, data, len)
                 : srtp_link_unprotect_rtp(p->srtp, data, len);
    if (n < 0) {
        p->stats.srtp_failed++;
        LOG_RATE(peer, LOG_LEVEL_INFO, "dropped: %s", error_text());
        return;
    }
    p->heard_us = clock_now_us();
    (rtcp ? p->config.on_rtcp : p->config.on_rtp)(p->config.ctx, data, (size_t)n, p->heard_us);
}

static int64_t heard_us(void *ctx) { return ((struct leg *)ctx)->peer->heard_us; }

static void on_packet(void *ctx, uint8_t *data, size_t len)
{
    struct peer *p = ((struct leg *)ctx)->peer;
    if (over(p))
        return;
    enter(p);
    p->stats.bytes_received += (int64_t)len;
    switch (packet_classify(data, len)) {
    case PACKET_DTLS:
        dtls_packet(p, data, len);
        break;
    case PACKET_RTP:
        rtp_packet(p, data, len, false);
        break;
    case PACKET_RTCP:
        rtp_packet(p, data, len, true);
        break;
    case PACKET_STUN: /* what ICE did not take is none */
    case PACKET_TURN:
    case PACKET_UNKNOWN:
        p->stats.unknown_packets++;
        break;
    }
    leave(p);
}

void peer_flush(struct peer *p)
{
    size_t len = p->batch_len;
    int packets = p->batch_packets;
    p->batch_len = 0;
    p->batch_packets = 0;
    p->batch_ended = false;
    if (len == 0)
        return;
    struct ice *ice = p->active->ice;
    int rc = ice && p->connected ? ice->ops->send_segments(ice, p->batch, len, p->batch_segment)
                                 : ERR_IO;
    p->stats.batches_sent++;
    if (rc < 0)
        p->stats.send_failed += packets;
    else
        p->stats.bytes_sent += (int64_t)len;
}

static int send_protected(struct peer *p, const uint8_t *data, size_t len, bool rtcp)
{
    peer_flush(p);
    if (!p->connected || len > SRTP_MAX_PACKET) {
        p->stats.send_failed++;
        return ERR_IO;
    }
    memcpy(p->scratch, data, len);
    int n = rtcp ? srtp_link_protect_rtcp(p->srtp, p->scratch, len)
                 : srtp_link_protect_rtp(p->srtp, p->scratch, len);
    if (n < 0) {
        p->stats.send_failed++;
        LOG_RATE(peer, LOG_LEVEL_WARN, "not sent: %s", error_text());
        return n;
    }
    struct ice *ice = p->active->ice;
    if (!ice || ice->ops->send(ice, p->scratch, (size_t)n) < 0) {
        p->stats.send_failed++;
        return ERR_IO;
    }
    p->stats.bytes_sent += n;
    return 0;
}

void peer_queue_rtp(struct peer *p, const uint8_t *data, size_t len)
{
    if (!p->connected || len > SRTP_MAX_PACKET) {
        p->stats.send_failed++;
        return;
    }
    uint8_t *to = p->batch + p->batch_len;
    memcpy(to, data, len);
    int n = srtp_link_protect_rtp(p->srtp, to, len);
    if (n < 0) {
        p->stats.send_failed++;
        LOG_RATE(peer, LOG_LEVEL_WARN, "not sent: %s", error_text());
        return;
    }
    size_t size = (size_t)n;
    if (p->batch_packets > 0 && (p->batch_ended || size > p->batch_segment)) {
        peer_flush(p);
        memmove(p->batch, to, size);
    }
    if (p->batch_packets == 0)
        p->batch_segment = size;
    p->batch_ended = size < p->batch_segment;
    p->batch_len += size;
    p->batch_packets++;
    if (p->batch_packets == UDP_SEGMENTS_MAX || p->batch_len >= MAX_BATCH)
        peer_flush(p);
}

int peer_send_rtp(struct peer *p, const uint8_t *data, size_t len)
{
    return send_protected(p, data, len, false);
}

int peer_send_rtcp(struct peer *p, const uint8_t *data, size_t len)
{
    return send_protected(p, data, len, true);
}

/* --- ICE --- */

static void on_candidate(void *ctx, const char *candidate)
{
    struct leg *leg = ctx;
    struct peer *p = leg->peer;
    if (over(p) || leg != newest(p) || p->candidate_count == ICE_MAX_CANDIDATES ||
        strlen(candidate) >= MAX_CANDIDATE)
        return;
    enter(p);
    snprintf(p->candidate[p->candidate_count++], MAX_CANDIDATE, "%s", candidate);
    if (p->config.on_candidate)
        p->config.on_candidate(p->config.ctx, candidate);
    leave(p);
}

static void on_gathered(void *ctx)
{
    struct leg *leg = ctx;
    struct peer *p = leg->peer;
    if (over(p) || leg != newest(p))
        return;
    enter(p);
    if (p->config.on_gathered)
        p->config.on_gathered(p->config.ctx);
    leave(p);
}

static void leg_connected(struct peer *p, struct leg *leg)
{
    leg->connected = true;
    if (leg == p->next) {
        leg_close(p->active);
        p->active = leg;
        p->next = NULL;
        if (p->connected) {
            loop_timer_set(p->deadline, INT64_MAX);
            if (p->config.on_restarted)
                p->config.on_restarted(p->config.ctx);
            return;
        }
    }
    start_dtls(p);
}

static void leg_failed(struct peer *p, struct leg *leg)
{
    bool was_connected = leg->connected;
    leg_close(leg);
    if (leg == p->next) {
        p->next = NULL;
        if (p->active->ice) {
            LOG_INFO(peer, "the ICE restart failed; the connection goes on as it was");
            if (p->connected)
                loop_timer_set(p->deadline, INT64_MAX);
            return;
        }
    } else if (p->next) {
        return; /* the restart may still work, until the deadline */
    }
    if (was_connected || p->connected)
        end(p, ERR_TIMEOUT, "the connection was lost: the other side does not answer any more");
    else
        end(p, ERR_IO, "no network path to the other side was found (ICE failed); a firewall may "
                       "be in between, or a TURN server needed");
}

static void on_state(void *ctx, int state)
{
    struct leg *leg = ctx;
    struct peer *p = leg->peer;
    if (over(p))
        return;
    enter(p);
    if (state == ICE_CONNECTED)
        leg_connected(p, leg);
    else if (state == ICE_FAILED)
        leg_failed(p, leg);
    leave(p);
}

static void deadline_passed(void *ctx)
{
    struct peer *p = ctx;
    enter(p);
    if (p->next)
        leg_failed(p, p->next);
    else if (!p->connected)
        end(p, ERR_TIMEOUT, p->active->connected
                                ? "the other side did not finish the DTLS handshake in time"
                                : "no network path to the other side was found in time; a firewall "
                                  "may be in between, or a TURN server needed");
    leave(p);
}

static int leg_open(struct peer *p, struct leg *leg)
{
    struct ice_config config = p->config.ice;
    config.on_candidate = on_candidate;
    config.on_gathered = on_gathered;
    config.on_state = on_state;
    config.on_packet = on_packet;
    config.heard_us = heard_us;
    config.ctx = leg;
    *leg = (struct leg){.peer = p};
    return ice_nice.open(&leg->ice, &config);
}

/* --- life --- */

int peer_new(struct peer **out, const struct peer_config *config)
{
    *out = NULL;
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(ERR_MEMORY, "out of memory for a connection");
    p->config = *config;
    struct ice_config *ice = &p->config.ice;
    if (ice->server_count > ICE_MAX_SERVERS)
        ice->server_count = ICE_MAX_SERVERS;
    if (ice->server_count > 0) /* copied: a restart needs them again */
        memcpy(p->servers, ice->servers, (size_t)ice->server_count * sizeof *p->servers);
    ice->servers = p->servers;
    p->active = &p->leg[0];
    int rc = ERR_MEMORY;
    p->dtls_timer = loop_timer_new(ice->loop, dtls_timer_ran, p);
    p->deadline = loop_timer_new(ice->loop, deadline_passed, p);
    if (!p->dtls_timer || !p->deadline)
        goto fail;
    rc = leg_open(p, p->active);
    if (rc < 0)
        goto fail;
    *out = p;
    return 0;
fail:
    destroy(p);
    return rc;
}

static void destroy(struct peer *p)
{
    leg_close(&p->leg[0]);
    leg_close(&p->leg[1]);
    loop_timer_free(&p->dtls_timer);
    loop_timer_free(&p->deadline);
    dtls_free(&p->dtls);
    srtp_link_free(&p->srtp);
    free(p);
}

void peer_free(struct peer **peer)
{
    struct peer *p = *peer;
    if (!p)
        return;
    *peer = NULL;
    p->closed = true;
    p->connected = false;
    if (p->depth > 0)
        p->free_when_left = true;
    else
        destroy(p);
}

void peer_close(struct peer *p)
{
    if (p->closed)
        return;
    p->closed = true;
    p->connected = false;
    stop_timers(p);
    if (p->dtls)
        dtls_close(p->dtls);
    leg_close(&p->leg[0]);
    leg_close(&p->leg[1]);
}

int peer_gather(struct peer *p)
{
    struct leg *leg = newest(p);
    if (over(p) || !leg->ice)
        return error_set(ERR_ENDED, "the connection is over");
    enter(p);
    int rc = leg->ice->ops->gather(leg->ice);
    leave(p);
    return rc;
}

void peer_local_credentials(struct peer *p, char ufrag[64], char pwd[128])
{
    struct leg *leg = newest(p);
    ufrag[0] = pwd[0] = 0;
    if (leg->ice)
        leg->ice->ops->local_credentials(leg->ice, ufrag, pwd);
}

int peer_local_candidates(struct peer *p, const char *out[ICE_MAX_CANDIDATES])
{
    for (int i = 0; i < p->candidate_count; i++)
        out[i] = p->candidate[i];
    return p->candidate_count;
}

static int check_remote(struct peer *p, const char *fingerprint, enum dtls_role role)
{
    if (over(p) || !newest(p)->ice)
        return error_set(ERR_ENDED, "the connection is over");
    if (role != DTLS_CLIENT && role != DTLS_SERVER)
        return error_set(ERR_INVALID, "the DTLS role is not decided");
    int rc = dtls_fingerprint_check(fingerprint);
    if (rc < 0)
        return rc;
    /* Other keys would need a new association (RFC 8842 section 4); an ICE restart is none. */
    if (p->role != DTLS_UNDECIDED && (p->role != role || strcasecmp(p->fingerprint, fingerprint)))
        return error_set(ERR_PROTOCOL, "the peer changed its DTLS fingerprint or role in the "
                                       "middle of a connection");
    return 0;
}

int peer_set_remote(struct peer *p, const char *ufrag, const char *pwd, const char *fingerprint,
                    enum dtls_role role)
{
    int rc = check_remote(p, fingerprint, role);
    if (rc < 0)
        return rc;
    enter(p);
    struct leg *leg = newest(p);
    rc = leg->ice->ops->set_remote_credentials(leg->ice, ufrag, pwd);
    if (rc == 0 && !over(p)) {
        p->role = role;
        snprintf(p->fingerprint, sizeof p->fingerprint, "%s", fingerprint);
        if (!p->connected || p->next)
            loop_timer_set(p->deadline, clock_now_us() + CONNECT_TIMEOUT_US);
        start_dtls(p);
    }
    leave(p);
    return rc;
}

int peer_add_remote_candidate(struct peer *p, const char *candidate)
{
    struct leg *leg = newest(p);
    if (over(p) || !leg->ice)
        return error_set(ERR_ENDED, "the connection is over");
    enter(p);
    int rc = leg->ice->ops->add_remote_candidate(leg->ice, candidate);
    leave(p);
    return rc;
}

void peer_remote_end_of_candidates(struct peer *p)
{
    struct leg *leg = newest(p);
    if (over(p) || !leg->ice)
        return;
    enter(p);
    leg->ice->ops->remote_end_of_candidates(leg->ice);
    leave(p);
}

int peer_restart_ice(struct peer *p)
{
    if (over(p))
        return error_set(ERR_ENDED, "the connection is over");
    struct leg *leg = p->active == &p->leg[0] ? &p->leg[1] : &p->leg[0];
    leg_close(leg); /* of a restart that this one replaces */
    p->next = NULL;
    int rc = leg_open(p, leg);
    if (rc < 0)
        return rc;
    p->next = leg;
    p->candidate_count = 0;
    loop_timer_set(p->deadline, clock_now_us() + CONNECT_TIMEOUT_US);
    return 0;
}

bool peer_restarting(const struct peer *p) { return p->next != NULL && !over(p); }

bool peer_local_address(const struct peer *p, char text[48])
{
    struct ice *ice = p->active->ice;
    return ice && ice->ops->local_address(ice, text);
}

bool peer_connected(const struct peer *p) { return p->connected; }

void peer_get_stats(const struct peer *p, struct peer_stats *out) { *out = p->stats; }

void peer_describe(struct peer *p, char *text, size_t len)
{
    char pair[256] = "no pair";
    struct ice *ice = p->active->ice;
    if (ice)
        ice->ops->selected_pair(ice, pair, sizeof pair);
    snprintf(text, len, "%s, %s", pair, p->srtp ? srtp_suite_name(p->suite) : "no keys yet");
}
