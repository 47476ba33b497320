/* srtp_gcm: AEAD_AES_128_GCM for RTP and RTCP (RFC 7714) on OpenSSL, with contexts that are kept: nothing
 * is allocated for a packet. What index a packet has, and whether it may have it, is srtp.c's to say.
 * One thread at a time. */
#ifndef HEVCAST_TRANSPORT_SRTP_GCM_H
#define HEVCAST_TRANSPORT_SRTP_GCM_H

#include <stddef.h>
#include <stdint.h>

enum {
    SRTP_GCM_KEY = 16,
    SRTP_GCM_SALT = 12,
    SRTP_GCM_TAG = 16,
    SRTP_GCM_RTCP_TRAILER = 20, /* the tag, E and the index */
};

/* Session keys of one direction. */
struct srtp_gcm_keys {
    uint8_t key[SRTP_GCM_KEY], salt[SRTP_GCM_SALT];
};
/* From a master key and salt, 28 bytes (RFC 3711 section 4.3 with RFC 7714 section 11). */
int srtp_gcm_derive(const uint8_t *master, struct srtp_gcm_keys *rtp, struct srtp_gcm_keys *rtcp);

struct srtp_gcm; /* RTP and RTCP of one direction */
int srtp_gcm_new(struct srtp_gcm **out, const struct srtp_gcm_keys *rtp,
                 const struct srtp_gcm_keys *rtcp);
void srtp_gcm_free(struct srtp_gcm **g);

/* Where an RTP packet's payload begins, which is what is encrypted; 0: it is none. */
size_t srtp_rtp_header_len(const uint8_t *data, size_t len);

/* In place; the new length, or negative with error_text(). An instance either seals or opens. seal:
 * there is room for what is added. ERR_PROTOCOL from open: it is not authentic, and its payload was
 * overwritten. */
int srtp_gcm_seal_rtp(struct srtp_gcm *g, uint8_t *data, size_t len, uint64_t index);
int srtp_gcm_open_rtp(struct srtp_gcm *g, uint8_t *data, size_t len, uint64_t index);
int srtp_gcm_seal_rtcp(struct srtp_gcm *g, uint8_t *data, size_t len, uint32_t index);
int srtp_gcm_open_rtcp(struct srtp_gcm *g, uint8_t *data, size_t len);
/* The index that an SRTCP packet carries; SRTCP_INDEX_LIMIT: it is too short, or not encrypted, which
 * RFC 7714 section 9.2 lets a sender do, and nobody asks of us to accept. */
uint32_t srtp_gcm_rtcp_index(const uint8_t *data, size_t len);

#endif
