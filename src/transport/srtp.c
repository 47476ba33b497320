#include "transport/srtp.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"

#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdlib.h>

enum {
    REPLAY_WINDOW = 1024, /* at 100 Mb/s some 100 ms: more reordering than networks do */
    SENT_SLOTS = 8192,    /* power of two: 1 s at 75 Mb/s */
};

/* What was sent under a sequence number, so that a repetition can be told from a reuse. */
struct sent_slot {
    uint64_t hash; /* 0: unused */
    uint16_t seq;
};
struct sent {
    uint32_t ssrc;
    uint16_t newest;
    struct sent_slot slot[SENT_SLOTS];
};

struct srtp_link {
    srtp_t out, in;
    struct sent *sent[SRTP_MAX_SSRCS_OUT];
    int sent_count;
    uint32_t ssrc_in[SRTP_MAX_SSRCS_IN]; /* authenticated ones; libsrtp keeps a stream for each */
    int ssrc_in_count;
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static srtp_err_status_t init_status;

static void init_library(void) { init_status = srtp_init(); }

const char *srtp_suite_name(enum srtp_suite suite)
{
    return suite == SRTP_SUITE_GCM_128 ? "AEAD_AES_128_GCM" : "AES128_CM_SHA1_80";
}

static int create(srtp_t *out, enum srtp_suite suite, const uint8_t *key, srtp_ssrc_type_t type,
                  int window)
{
    srtp_policy_t policy = {
        .ssrc.type = type,
        .key = (uint8_t *)key, /* libsrtp only reads it */
        .window_size = (unsigned long)window,
        .allow_repeat_tx = 1, /* srtp_link_protect_rtp checks that the bytes are the same */
    };
    if (suite == SRTP_SUITE_GCM_128) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    }
    srtp_err_status_t status = srtp_create(out, &policy);
    if (status != srtp_err_status_ok)
        return error_set(ERR_IO, "cannot set up SRTP with %s (libsrtp error %d)",
                         srtp_suite_name(suite), (int)status);
    return 0;
}

int srtp_library_init(void)
{
    pthread_once(&init_once, init_library);
    if (init_status != srtp_err_status_ok)
        return error_set(ERR_IO, "libsrtp does not start (error %d)", (int)init_status);
    return 0;
}

int srtp_link_new(struct srtp_link **out, const struct srtp_keys *keys)
{
    *out = NULL;
    int rc = srtp_library_init();
    if (rc < 0)
        return rc;
    struct srtp_link *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory for SRTP");
    rc = create(&s->out, keys->suite, keys->local, ssrc_any_outbound, SENT_SLOTS);
    if (rc == 0)
        rc = create(&s->in, keys->suite, keys->remote, ssrc_any_inbound, REPLAY_WINDOW);
    if (rc < 0) {
        srtp_link_free(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void srtp_link_free(struct srtp_link **link)
{
    struct srtp_link *s = *link;
    if (!s)
        return;
    *link = NULL;
    if (s->out)
        srtp_dealloc(s->out);
    if (s->in)
        srtp_dealloc(s->in);
    for (int i = 0; i < s->sent_count; i++)
        free(s->sent[i]);
    free(s);
}

/* Told apart are mistakes of our own sender, not an attacker's choice: no cryptographic hash is
 * needed, and this one takes about 0.1 µs a packet. */
static uint64_t hash_bytes(const uint8_t *p, size_t len)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ len;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    uint64_t w = 0;
    memcpy(&w, p, len);
    h = (h ^ w) * 0xc4ceb9fe1a85ec53u;
    h ^= h >> 29;
    return h ? h : 1;
}

static struct sent *sent_of(struct srtp_link *s, uint32_t ssrc)
{
    for (int i = 0; i < s->sent_count; i++)
        if (s->sent[i]->ssrc == ssrc)
            return s->sent[i];
    struct sent *sent = s->sent_count < SRTP_MAX_SSRCS_OUT ? calloc(1, sizeof *sent) : NULL;
    if (!sent)
        return NULL;
    sent->ssrc = ssrc;
    s->sent[s->sent_count++] = sent;
    return sent;
}

/* Nonce reuse is refused here; see the header. */
static int check_repetition(struct srtp_link *s, const uint8_t *data, size_t len)
{
    uint16_t seq = rd_be16(data + 2);
    int before = s->sent_count;
    struct sent *sent = sent_of(s, rd_be32(data + 8));
    if (!sent)
        return error_set(ERR_INVALID, "more than %d SSRCs are sent", (int)SRTP_MAX_SSRCS_OUT);
    struct sent_slot *slot = &sent->slot[seq % SENT_SLOTS];
    uint64_t hash = hash_bytes(data, len);
    if (s->sent_count > before || seq16_after(seq, sent->newest)) {
        sent->newest = seq; /* a new index, whatever the slot has from one wrap earlier */
    } else {
        if ((uint16_t)(sent->newest - seq) >= SENT_SLOTS)
            return error_set(ERR_INVALID, "sequence number %u is too old to be sent again", seq);
        if (slot->hash && slot->seq == seq && slot->hash != hash)
            return error_set(ERR_INVALID, "sequence number %u was sent with other bytes", seq);
    }
    *slot = (struct sent_slot){.hash = hash, .seq = seq};
    return 0;
}

int srtp_link_protect_rtp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 12 || len > SRTP_MAX_PACKET)
        return error_set(ERR_INVALID, "an RTP packet of %zu bytes cannot be sent", len);
    int rc = check_repetition(s, data, len);
    if (rc < 0)
        return rc;
    int n = (int)len;
    srtp_err_status_t status = srtp_protect(s->out, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_INVALID, "libsrtp refuses an RTP packet (error %d)", (int)status);
    return n;
}

int srtp_link_protect_rtcp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 8 || len > SRTP_MAX_PACKET)
        return error_set(ERR_INVALID, "an RTCP packet of %zu bytes cannot be sent", len);
    int n = (int)len;
    srtp_err_status_t status = srtp_protect_rtcp(s->out, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_INVALID, "libsrtp refuses an RTCP packet (error %d)", (int)status);
    return n;
}

/* libsrtp makes a stream, with its memory, for each SSRC that authenticates. The peer holds the
 * keys, so it could go on for ever; the table bounds it. */
static bool ssrc_known(const struct srtp_link *s, uint32_t ssrc)
{
    for (int i = 0; i < s->ssrc_in_count; i++)
        if (s->ssrc_in[i] == ssrc)
            return true;
    return false;
}

typedef srtp_err_status_t unprotect_fn(srtp_t ctx, void *data, int *len);

static int unprotect(struct srtp_link *s, uint8_t *data, size_t len, uint32_t ssrc,
                     unprotect_fn *fn)
{
    bool known = ssrc_known(s, ssrc);
    if (!known && s->ssrc_in_count == SRTP_MAX_SSRCS_IN)
        return error_set(ERR_PROTOCOL, "the peer sends more than %d SSRCs",
                         (int)SRTP_MAX_SSRCS_IN);
    int n = (int)len;
    srtp_err_status_t status = fn(s->in, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_PROTOCOL, "a packet did not authenticate (libsrtp error %d)",
                         (int)status);
    if (!known)
        s->ssrc_in[s->ssrc_in_count++] = ssrc;
    return n;
}

int srtp_link_unprotect_rtp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 12 || len > SRTP_MAX_PACKET)
        return error_set(ERR_PROTOCOL, "an RTP packet of %zu bytes", len);
    return unprotect(s, data, len, rd_be32(data + 8), srtp_unprotect);
}

int srtp_link_unprotect_rtcp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 8 || len > SRTP_MAX_PACKET)
        return error_set(ERR_PROTOCOL, "an RTCP packet of %zu bytes", len);
    return unprotect(s, data, len, rd_be32(data + 4), srtp_unprotect_rtcp);
}
