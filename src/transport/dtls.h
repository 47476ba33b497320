/* dtls: one DTLS 1.2 association over datagrams (RFC 6347, RFC 5763, RFC 5764), without sockets:
 * datagrams are fed in and come out through a callback, and the caller runs the timer (OpenSSL
 * reads the clock itself). One thread at a time. */
#ifndef HEVCAST_TRANSPORT_DTLS_H
#define HEVCAST_TRANSPORT_DTLS_H

#include "transport/peer.h" /* struct dtls_identity, enum dtls_role */
#include "transport/srtp.h" /* struct srtp_keys */

/* CLOSED: the peer's close_notify came. FAILED: error_text() says why, and dtls_error_code()
 * gives ERR_REFUSED for a wrong fingerprint, else ERR_IO. Both are final. */
enum dtls_state { DTLS_HANDSHAKE, DTLS_OPEN, DTLS_CLOSED, DTLS_FAILED };

struct dtls_config {
    const struct dtls_identity *identity; /* borrows for the association's life */
    enum dtls_role role;
    const char *fingerprint; /* of the peer, as in SDP; copied */
    /* A datagram to send; borrowed during the call. It may be lost: DTLS sends it again. Called
     * inside the functions below; it must not call them for the same association. */
    void (*send)(void *ctx, const uint8_t *data, size_t len);
    void *ctx;
};

struct dtls;
/* ERR_PROTOCOL: the fingerprint is unusable. */
int dtls_new(struct dtls **out, const struct dtls_config *config);
void dtls_free(struct dtls **d);
/* The client's first flight; nothing on a server. */
enum dtls_state dtls_start(struct dtls *d);
enum dtls_state dtls_feed(struct dtls *d, const uint8_t *data, size_t len);
/* Microseconds until dtls_handle_timeout is due (0: now); INT64_MAX: no timer runs. */
int64_t dtls_timeout_us(struct dtls *d);
enum dtls_state dtls_handle_timeout(struct dtls *d);
/* Sends close_notify when open. */
void dtls_close(struct dtls *d);
enum dtls_state dtls_get_state(const struct dtls *d);
int dtls_error_code(const struct dtls *d);
/* The SRTP keys of an open association (RFC 5764 section 4.2). */
int dtls_export_srtp(struct dtls *d, struct srtp_keys *out);

/* Checks the form alone: "sha-256 AB:CD:…" of the right length. ERR_PROTOCOL. */
int dtls_fingerprint_check(const char *fingerprint);

#endif
