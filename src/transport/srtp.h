/* srtp: protects and unprotects RTP and RTCP: AES-GCM by srtp_gcm (RFC 7714), AES-CM by libsrtp (RFC 3711). One
 * thread at a time. With AES-GCM nothing is allocated for a packet but at the first of each SSRC. */
#ifndef HEVCAST_TRANSPORT_SRTP_H
#define HEVCAST_TRANSPORT_SRTP_H

#include <stddef.h>
#include <stdint.h>

enum srtp_suite { SRTP_SUITE_GCM_128, SRTP_SUITE_CM_SHA1_80 };
enum {
    SRTP_MAX_KEY = 30,      /* 16 of key, 14 of salt (12 with GCM) */
    SRTP_MAX_OVERHEAD = 32, /* room that protecting needs behind the packet */
    SRTP_MAX_PACKET = 2048,
    SRTP_MAX_SSRCS_IN = 32, /* a peer with more than these is not listened to */
    SRTP_MAX_SSRCS_OUT = 8,
};

struct srtp_keys {
    enum srtp_suite suite;
    uint8_t local[SRTP_MAX_KEY], remote[SRTP_MAX_KEY]; /* key, then salt */
};

/* Loads and self-tests libsrtp's ciphers, once in a process; some 50 ms. srtp_link_new does it otherwise,
 * for AES-CM. Any thread. */
int srtp_library_init(void);

struct srtp_link;
int srtp_link_new(struct srtp_link **out, const struct srtp_keys *keys);
void srtp_link_free(struct srtp_link **s);
/* In place. protect: the buffer has SRTP_MAX_OVERHEAD bytes of room behind len. The new length,
 * or negative.
 *
 * A sequence number may be sent again (a retransmission without RTX) only with the same bytes:
 * other bytes under the same index would be encrypted with the same key stream, which lays both
 * open and with GCM gives the authentication key away (RFC 3711 section 9.1, RFC 7714 section
 * 8.1). Such a packet is refused with ERR_INVALID, as far back as 8192 sequence numbers, and
 * what is older is refused too. */
int srtp_link_protect_rtp(struct srtp_link *s, uint8_t *data, size_t len);
int srtp_link_protect_rtcp(struct srtp_link *s, uint8_t *data, size_t len);
/* ERR_PROTOCOL: it did not authenticate, or came before. */
int srtp_link_unprotect_rtp(struct srtp_link *s, uint8_t *data, size_t len);
int srtp_link_unprotect_rtcp(struct srtp_link *s, uint8_t *data, size_t len);
const char *srtp_suite_name(enum srtp_suite suite);

#endif
