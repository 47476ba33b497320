/* Two peers on one loop that know each other, for the tests of transport. */
#ifndef HEVCAST_TESTS_PAIR_H
#define HEVCAST_TESTS_PAIR_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "transport/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAIR_PACKET = 1200 };

struct pair;
struct end {
    struct pair *pair;
    struct end *other;
    struct peer *peer;
    struct dtls_identity *identity;
    bool gathered, connected, ended;
    int error;
    char text[512];
    int64_t connected_us, ended_us;
    int rtp, rtcp; /* received */
    uint8_t last[2048];
    size_t last_len;
    void (*connected_hook)(struct end *e);
    void (*ended_hook)(struct end *e);
};

enum pair_trickle {
    TRICKLE,            /* each candidate is handed over as it becomes known */
    CANDIDATES_FIRST,   /* before the credentials, all at once */
    CANDIDATES_LAST,    /* after the credentials, all at once */
    ONE_SIDE_ALONE,     /* b's are never told: peer-reflexive pairs do the work (mDNS) */
};

struct pair {
    struct loop *loop;
    struct end a, b; /* a: controlling, DTLS server; b: DTLS client */
    enum pair_trickle trickle;
    const char *wrong_fingerprint; /* told to a instead of b's */
    bool (*until)(struct pair *pair);
    struct loop_timer *poll, *watchdog;
    bool timed_out;
    int64_t start_us;
    const char *only_type; /* hand over candidates of this type alone: "typ relay" */
};

static inline void pair_on_candidate(void *ctx, const char *candidate)
{
    struct end *e = ctx;
    if (e->pair->trickle != TRICKLE || !e->other->peer)
        return;
    if (e->pair->only_type && !strstr(candidate, e->pair->only_type))
        return;
    assert_int_equal(peer_add_remote_candidate(e->other->peer, candidate), 0);
}
static inline void pair_on_gathered(void *ctx) { ((struct end *)ctx)->gathered = true; }
static inline void pair_on_connected(void *ctx)
{
    struct end *e = ctx;
    assert_false(e->connected);
    e->connected = true;
    e->connected_us = clock_now_us();
    if (e->connected_hook)
        e->connected_hook(e);
}
static inline void pair_on_end(void *ctx, int error, const char *text)
{
    struct end *e = ctx;
    assert_false(e->ended);
    e->ended = true;
    e->ended_us = clock_now_us();
    e->error = error;
    snprintf(e->text, sizeof e->text, "%s", text);
    if (e->ended_hook)
        e->ended_hook(e);
}
static inline void pair_keep(struct end *e, const uint8_t *data, size_t len)
{
    e->last_len = len < sizeof e->last ? len : sizeof e->last;
    memcpy(e->last, data, e->last_len);
}
static inline void pair_on_rtp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct end *e = ctx;
    assert_true(now_us > 0);
    e->rtp++;
    pair_keep(e, data, len);
}
static inline void pair_on_rtcp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct end *e = ctx;
    assert_true(now_us > 0);
    e->rtcp++;
    pair_keep(e, data, len);
}

static inline void pair_poll(void *ctx)
{
    struct pair *pair = ctx;
    if (pair->until && pair->until(pair))
        loop_quit(pair->loop);
    else
        loop_timer_set(pair->poll, clock_now_us() + 500);
}
static inline void pair_watchdog(void *ctx)
{
    struct pair *pair = ctx;
    pair->timed_out = true;
    loop_quit(pair->loop);
}

/* Runs the loop until the condition holds; false: `seconds` went by. */
static inline bool pair_run(struct pair *pair, bool (*until)(struct pair *), int seconds)
{
    pair->until = until;
    pair->timed_out = false;
    loop_timer_set(pair->poll, clock_now_us());
    loop_timer_set(pair->watchdog, clock_now_us() + seconds * 1000000LL);
    loop_run(pair->loop);
    loop_timer_set(pair->poll, INT64_MAX);
    loop_timer_set(pair->watchdog, INT64_MAX);
    return !pair->timed_out;
}

static inline bool never(struct pair *pair)
{
    (void)pair;
    return false;
}
static inline bool both_gathered(struct pair *pair) { return pair->a.gathered && pair->b.gathered; }
static inline bool both_connected(struct pair *pair)
{
    return pair->a.connected && pair->b.connected;
}
static inline bool any_ended(struct pair *pair) { return pair->a.ended || pair->b.ended; }
static inline bool both_ended(struct pair *pair) { return pair->a.ended && pair->b.ended; }

static inline void pair_open_end(struct pair *pair, struct end *e, struct end *other,
                                 const struct ice_config *ice, bool controlling)
{
    e->pair = pair;
    e->other = other;
    e->identity = dtls_identity_new();
    assert_non_null(e->identity);
    struct peer_config config = {
        .identity = e->identity,
        .on_candidate = pair_on_candidate,
        .on_gathered = pair_on_gathered,
        .on_connected = pair_on_connected,
        .on_end = pair_on_end,
        .on_rtp = pair_on_rtp,
        .on_rtcp = pair_on_rtcp,
        .ctx = e,
    };
    if (ice)
        config.ice = *ice;
    config.ice.loop = pair->loop;
    config.ice.controlling = controlling;
    if (peer_new(&e->peer, &config) < 0)
        fail_msg("%s", error_text());
}

/* ice: servers, ports; may be NULL. */
static inline void pair_open(struct pair *pair, const struct ice_config *ice)
{
    pair->loop = loop_new();
    pair->poll = loop_timer_new(pair->loop, pair_poll, pair);
    pair->watchdog = loop_timer_new(pair->loop, pair_watchdog, pair);
    pair_open_end(pair, &pair->a, &pair->b, ice, true);
    pair_open_end(pair, &pair->b, &pair->a, ice, false);
}

static inline void pair_tell_credentials(struct end *from, struct end *to, const char *fingerprint)
{
    char ufrag[64], pwd[128];
    peer_local_credentials(from->peer, ufrag, pwd);
    enum dtls_role role = to == &to->pair->a ? DTLS_SERVER : DTLS_CLIENT;
    if (peer_set_remote(to->peer, ufrag, pwd,
                        fingerprint ? fingerprint : dtls_identity_fingerprint(from->identity),
                        role) < 0)
        fail_msg("%s", error_text());
}

static inline void pair_tell_candidates(struct end *from, struct end *to)
{
    const char *c[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(from->peer, c), told = 0;
    for (int i = 0; i < n; i++) {
        if (from->pair->only_type && !strstr(c[i], from->pair->only_type))
            continue;
        assert_int_equal(peer_add_remote_candidate(to->peer, c[i]), 0);
        told++;
    }
    assert_true(told > 0);
}

/* Everything up to waiting for on_connected. */
static inline void pair_introduce(struct pair *pair)
{
    struct end *a = &pair->a, *b = &pair->b;
    pair->start_us = clock_now_us();
    if (pair->trickle == TRICKLE) {
        pair_tell_credentials(a, b, NULL);
        pair_tell_credentials(b, a, pair->wrong_fingerprint);
        assert_int_equal(peer_gather(a->peer), 0);
        assert_int_equal(peer_gather(b->peer), 0);
        return;
    }
    assert_int_equal(peer_gather(a->peer), 0);
    assert_int_equal(peer_gather(b->peer), 0);
    assert_true(pair_run(pair, both_gathered, 20));
    pair->start_us = clock_now_us();
    if (pair->trickle == CANDIDATES_FIRST) {
        pair_tell_candidates(a, b);
        pair_tell_candidates(b, a);
    }
    pair_tell_credentials(a, b, NULL);
    pair_tell_credentials(b, a, pair->wrong_fingerprint);
    if (pair->trickle != CANDIDATES_FIRST)
        pair_tell_candidates(a, b);
    if (pair->trickle == CANDIDATES_LAST)
        pair_tell_candidates(b, a);
}

static inline void pair_connect(struct pair *pair)
{
    pair_introduce(pair);
    if (!pair_run(pair, both_connected, 20))
        fail_msg("not connected in 20 s; a: %s b: %s", pair->a.text, pair->b.text);
}

static inline void pair_close(struct pair *pair)
{
    peer_free(&pair->a.peer);
    peer_free(&pair->b.peer);
    dtls_identity_free(&pair->a.identity);
    dtls_identity_free(&pair->b.identity);
    loop_timer_free(&pair->poll);
    loop_timer_free(&pair->watchdog);
    loop_free(&pair->loop);
}

static inline size_t make_rtp(uint8_t *out, uint16_t seq, uint32_t ssrc, size_t len)
{
    memset(out, (uint8_t)seq, len);
    out[0] = 0x80;
    out[1] = 96;
    wr_be16(out + 2, seq);
    wr_be32(out + 4, 1000u * seq);
    wr_be32(out + 8, ssrc);
    return len;
}
/* An empty receiver report. */
static inline size_t make_rtcp(uint8_t *out, uint32_t ssrc)
{
    out[0] = 0x80;
    out[1] = 201;
    wr_be16(out + 2, 1);
    wr_be32(out + 4, ssrc);
    return 8;
}

#endif
