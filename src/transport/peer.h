/* peer: one WebRTC transport: ICE, DTLS 1.2 (RFC 5764) and SRTP, BUNDLE and rtcp-mux on one
 * component, packets told apart by RFC 7983. Network thread.
 *
 * Order of calls: new, (set_remote), gather, … on_gathered, local description, (set_remote),
 * … on_connected, send_*, close. Callbacks may call anything but peer_free of the same peer;
 * peer_close inside a callback is fine. */
#ifndef HEVCAST_TRANSPORT_PEER_H
#define HEVCAST_TRANSPORT_PEER_H

#include "transport/ice.h"

/* A certificate (ECDSA P-256) and its key, made once in a process, shared by its peers. Make it early:
 * it takes some milliseconds, and starts a thread (hc-crypto) that readies SRTP in 50 more and ends. */
struct dtls_identity;
struct dtls_identity *dtls_identity_new(void); /* NULL with error_text() */
void dtls_identity_free(struct dtls_identity **id);
/* "sha-256 AB:CD:…" as in a=fingerprint. */
const char *dtls_identity_fingerprint(const struct dtls_identity *id);

struct peer_stats {
    int64_t srtp_failed;    /* did not authenticate, or replayed */
    int64_t unknown_packets, packets_before_keys;
    int64_t send_failed;    /* not connected, the socket full, or refused by SRTP */
    int64_t bytes_sent, bytes_received;
    int64_t batches_sent;   /* system calls (or attempts) that peer_queue_rtp's packets took */
};

enum dtls_role { DTLS_UNDECIDED, DTLS_CLIENT, DTLS_SERVER }; /* client = a=setup:active */

struct peer_config {
    struct ice_config ice;               /* its callbacks and ctx are set by the peer */
    const struct dtls_identity *identity; /* borrows for the peer's life */
    void (*on_candidate)(void *ctx, const char *candidate);
    void (*on_gathered)(void *ctx);
    void (*on_connected)(void *ctx);     /* DTLS done, fingerprint checked, keys set */
    void (*on_restarted)(void *ctx);     /* an ICE restart took over; may be NULL */
    /* Over: closed by the peer (close_notify: ERR_ENDED), lost (consent: ERR_TIMEOUT), ICE or DTLS
     * failed (ERR_IO), wrong fingerprint (ERR_REFUSED). Called once, text is a sentence. */
    void (*on_end)(void *ctx, int error, const char *text);
    /* Authenticated, decrypted packets; data is writable until return. */
    void (*on_rtp)(void *ctx, uint8_t *data, size_t len, int64_t now_us);
    void (*on_rtcp)(void *ctx, uint8_t *data, size_t len, int64_t now_us);
    void *ctx;
};

struct peer;
int peer_new(struct peer **out, const struct peer_config *config);
void peer_free(struct peer **p); /* silent; for a goodbye call peer_close first */
int peer_gather(struct peer *p);
void peer_local_credentials(struct peer *p, char ufrag[64], char pwd[128]);
/* All local candidates so far, "candidate:…" each; how many. Borrowed until the next call. */
int peer_local_candidates(struct peer *p, const char *out[ICE_MAX_CANDIDATES]);
/* fingerprint "sha-256 AB:…" (sha-256, sha-384, sha-512 are understood); role: ours. */
int peer_set_remote(struct peer *p, const char *ufrag, const char *pwd, const char *fingerprint,
                    enum dtls_role role);
int peer_add_remote_candidate(struct peer *p, const char *candidate);
void peer_remote_end_of_candidates(struct peer *p);
/* Begins an ICE restart: from now on the functions above mean a new agent, with new credentials and
 * candidates: gather, describe, set_remote (same fingerprint and role) again. Packets go on over the
 * old path until the new one is connected; DTLS and SRTP go on as they are. */
int peer_restart_ice(struct peer *p);
bool peer_restarting(const struct peer *p); /* begun, and neither taken over nor failed */
/* Our address that packets leave from; false: not connected, or through a relay. */
bool peer_local_address(const struct peer *p, char text[48]);
bool peer_connected(const struct peer *p);
/* Protects a copy and sends it. 0, or negative (not connected, socket full: counted). A packet that
 * is sent again under its old sequence number must have the same bytes, header extensions too
 * (see transport/srtp.h); RTX has numbers of its own and is free of this. */
int peer_send_rtp(struct peer *p, const uint8_t *data, size_t len);
/* Protects a copy, and sends it with others of its size in one system call: when one of another
 * size comes, when there are many, or at peer_flush, which is to follow in the same turn of the
 * loop. Packets keep their order, with those of the other functions too. What fails is counted. */
void peer_queue_rtp(struct peer *p, const uint8_t *data, size_t len);
void peer_flush(struct peer *p);
int peer_send_rtcp(struct peer *p, const uint8_t *data, size_t len);
void peer_close(struct peer *p); /* close_notify; no callback comes any more */
void peer_get_stats(const struct peer *p, struct peer_stats *out);
void peer_describe(struct peer *p, char *text, size_t len); /* selected pair, SRTP profile */

#endif
