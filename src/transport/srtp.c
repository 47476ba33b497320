#include "transport/srtp.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/srtp_gcm.h"
#include "transport/srtp_index.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdlib.h>

enum { SENT_SLOTS = 8192 }; /* power of two: 1 s at 75 Mb/s */

/* What was sent under a sequence number, so that a repetition can be told from a reuse. */
struct sent_slot {
    uint64_t hash; /* 0: unused */
    uint16_t seq;
};
struct sent {
    uint32_t ssrc;
    bool any;
    uint64_t newest; /* index */
    struct sent_slot slot[SENT_SLOTS];
};
/* Of the RTCP that we send. */
struct reports_sent {
    uint32_t ssrc, index;
};
/* An SSRC of the peer, once a packet of it was authentic. */
struct stream_in {
    uint32_t ssrc;
    struct srtp_replay rtp, rtcp;
};

/* AES-GCM is our own (gcm_out, gcm_in), AES-CM is libsrtp's (out, in). libsrtp's GCM would do, but as
 * Debian builds it, with NSS, it allocates ten times for each packet and takes half as long again. SRTCP goes
 * the same way: it needs the same parts, and with it a connection with GCM has no use for libsrtp. */
struct srtp_link {
    srtp_t out, in;
    struct srtp_gcm *gcm_out, *gcm_in;
    struct sent *sent[SRTP_MAX_SSRCS_OUT];
    int sent_count;
    struct reports_sent reports[SRTP_MAX_SSRCS_OUT];
    int reports_count;
    struct stream_in stream_in[SRTP_MAX_SSRCS_IN]; /* libsrtp keeps one for each besides */
    int stream_in_count;
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static srtp_err_status_t init_status;

static void init_library(void) { init_status = srtp_init(); }

const char *srtp_suite_name(enum srtp_suite suite)
{
    return suite == SRTP_SUITE_GCM_128 ? "AEAD_AES_128_GCM" : "AES128_CM_SHA1_80";
}

static int create_cm(srtp_t *out, const uint8_t *key, srtp_ssrc_type_t type, int window)
{
    srtp_policy_t policy = {
        .ssrc.type = type,
        .key = (uint8_t *)key, /* libsrtp only reads it */
        .window_size = (unsigned long)window,
        .allow_repeat_tx = 1, /* srtp_link_protect_rtp checks that the bytes are the same */
    };
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    srtp_err_status_t status = srtp_create(out, &policy);
    if (status != srtp_err_status_ok)
        return error_set(ERR_IO, "cannot set up SRTP with AES-CM (libsrtp error %d)", (int)status);
    return 0;
}

static int create_gcm(struct srtp_gcm **out, const uint8_t *master)
{
    struct srtp_gcm_keys rtp, rtcp;
    int rc = srtp_gcm_derive(master, &rtp, &rtcp);
    if (rc == 0)
        rc = srtp_gcm_new(out, &rtp, &rtcp);
    OPENSSL_cleanse(&rtp, sizeof rtp);
    OPENSSL_cleanse(&rtcp, sizeof rtcp);
    return rc;
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
    bool gcm = keys->suite == SRTP_SUITE_GCM_128;
    int rc = gcm ? 0 : srtp_library_init();
    if (rc < 0)
        return rc;
    struct srtp_link *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory for SRTP");
    rc = gcm ? create_gcm(&s->gcm_out, keys->local)
             : create_cm(&s->out, keys->local, ssrc_any_outbound, SENT_SLOTS);
    if (rc == 0)
        rc = gcm ? create_gcm(&s->gcm_in, keys->remote)
                 : create_cm(&s->in, keys->remote, ssrc_any_inbound, SRTP_WINDOW);
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
    srtp_gcm_free(&s->gcm_out);
    srtp_gcm_free(&s->gcm_in);
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
static int check_repetition(struct srtp_link *s, const uint8_t *data, size_t len, uint64_t *index)
{
    uint16_t seq = rd_be16(data + 2);
    struct sent *sent = sent_of(s, rd_be32(data + 8));
    if (!sent)
        return error_set(ERR_INVALID, "more than %d SSRCs are sent", (int)SRTP_MAX_SSRCS_OUT);
    struct sent_slot *slot = &sent->slot[seq % SENT_SLOTS];
    uint64_t hash = hash_bytes(data, len);
    *index = sent->any ? srtp_index_guess(sent->newest, seq) : seq;
    if (!sent->any || *index > sent->newest) {
        sent->newest = *index; /* whatever the slot has from one wrap earlier */
        sent->any = true;
    } else {
        if (sent->newest - *index >= SENT_SLOTS)
            return error_set(ERR_INVALID, "sequence number %u is too old to be sent again", seq);
        if (slot->hash && slot->seq == seq && slot->hash != hash)
            return error_set(ERR_INVALID, "sequence number %u was sent with other bytes", seq);
    }
    *slot = (struct sent_slot){.hash = hash, .seq = seq};
    return 0;
}

int srtp_link_protect_rtp(struct srtp_link *s, uint8_t *data, size_t len)
{
    uint64_t index = 0;
    if (len < 12 || len > SRTP_MAX_PACKET)
        return error_set(ERR_INVALID, "an RTP packet of %zu bytes cannot be sent", len);
    int rc = check_repetition(s, data, len, &index);
    if (rc < 0)
        return rc;
    if (s->gcm_out)
        return srtp_gcm_seal_rtp(s->gcm_out, data, len, index);
    int n = (int)len;
    srtp_err_status_t status = srtp_protect(s->out, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_INVALID, "libsrtp refuses an RTP packet (error %d)", (int)status);
    return n;
}

/* The index of the next report; it is never used twice, whether the report leaves or not. */
static int next_report(struct srtp_link *s, uint32_t ssrc, uint32_t *index)
{
    struct reports_sent *r = s->reports, *end = s->reports + s->reports_count;
    while (r < end && r->ssrc != ssrc)
        r++;
    if (r == end) {
        if (s->reports_count == SRTP_MAX_SSRCS_OUT)
            return error_set(ERR_INVALID, "reports of more than %d SSRCs are sent",
                             (int)SRTP_MAX_SSRCS_OUT);
        *r = (struct reports_sent){.ssrc = ssrc};
        s->reports_count++;
    }
    if (r->index < SRTCP_INDEX_LIMIT)
        r->index++; /* from 1, as libsrtp */
    *index = r->index;
    return 0;
}

int srtp_link_protect_rtcp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 8 || len > SRTP_MAX_PACKET)
        return error_set(ERR_INVALID, "an RTCP packet of %zu bytes cannot be sent", len);
    if (s->gcm_out) {
        uint32_t index = 0;
        int rc = next_report(s, rd_be32(data + 4), &index);
        return rc < 0 ? rc : srtp_gcm_seal_rtcp(s->gcm_out, data, len, index);
    }
    int n = (int)len;
    srtp_err_status_t status = srtp_protect_rtcp(s->out, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_INVALID, "libsrtp refuses an RTCP packet (error %d)", (int)status);
    return n;
}

/* --- what comes in --- */

/* A stream is kept for each SSRC that authenticates. The peer holds the keys, so it could go on for
 * ever; the table bounds it. NULL: not known, and room for it. */
static int find_stream(struct srtp_link *s, uint32_t ssrc, struct stream_in **out)
{
    *out = NULL;
    for (int i = 0; i < s->stream_in_count; i++)
        if (s->stream_in[i].ssrc == ssrc) {
            *out = &s->stream_in[i];
            return 0;
        }
    if (s->stream_in_count == SRTP_MAX_SSRCS_IN)
        return error_set(ERR_PROTOCOL, "the peer sends more than %d SSRCs", (int)SRTP_MAX_SSRCS_IN);
    return 0;
}

/* Only of a packet that was authentic. */
static struct stream_in *add_stream(struct srtp_link *s, uint32_t ssrc)
{
    struct stream_in *stream = &s->stream_in[s->stream_in_count++];
    stream->ssrc = ssrc;
    return stream;
}

typedef srtp_err_status_t unprotect_fn(srtp_t ctx, void *data, int *len);

static int unprotect_cm(struct srtp_link *s, uint8_t *data, size_t len, uint32_t ssrc,
                        unprotect_fn *fn)
{
    struct stream_in *stream;
    int rc = find_stream(s, ssrc, &stream);
    if (rc < 0)
        return rc;
    int n = (int)len;
    srtp_err_status_t status = fn(s->in, data, &n);
    if (status != srtp_err_status_ok)
        return error_set(ERR_PROTOCOL, "a packet did not authenticate (libsrtp error %d)",
                         (int)status);
    if (!stream)
        add_stream(s, ssrc);
    return n;
}

static int came_before(void) { return error_set(ERR_PROTOCOL, "a packet came before"); }

static int open_rtp(struct srtp_link *s, uint8_t *data, size_t len)
{
    uint16_t seq = rd_be16(data + 2);
    uint32_t ssrc = rd_be32(data + 8);
    struct stream_in *stream;
    int n = find_stream(s, ssrc, &stream);
    if (n < 0)
        return n;
    bool any = stream && stream->rtp.any;
    uint64_t index = any ? srtp_index_guess(stream->rtp.newest, seq) : seq;
    if (index >= SRTP_INDEX_LIMIT || (any && !srtp_replay_fresh(&stream->rtp, index)))
        return came_before();
    n = srtp_gcm_open_rtp(s->gcm_in, data, len, index);
    if (n >= 0)
        srtp_replay_note(&(stream ? stream : add_stream(s, ssrc))->rtp, index);
    return n;
}

static int open_rtcp(struct srtp_link *s, uint8_t *data, size_t len)
{
    uint32_t ssrc = rd_be32(data + 4), index = srtp_gcm_rtcp_index(data, len);
    struct stream_in *stream;
    int n = find_stream(s, ssrc, &stream);
    if (n < 0)
        return n;
    if (stream && !srtp_replay_fresh(&stream->rtcp, index))
        return came_before();
    n = srtp_gcm_open_rtcp(s->gcm_in, data, len);
    if (n >= 0)
        srtp_replay_note(&(stream ? stream : add_stream(s, ssrc))->rtcp, index);
    return n;
}

int srtp_link_unprotect_rtp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 12 || len > SRTP_MAX_PACKET)
        return error_set(ERR_PROTOCOL, "an RTP packet of %zu bytes", len);
    return s->gcm_in ? open_rtp(s, data, len)
                     : unprotect_cm(s, data, len, rd_be32(data + 8), srtp_unprotect);
}

int srtp_link_unprotect_rtcp(struct srtp_link *s, uint8_t *data, size_t len)
{
    if (len < 8 || len > SRTP_MAX_PACKET)
        return error_set(ERR_PROTOCOL, "an RTCP packet of %zu bytes", len);
    return s->gcm_in ? open_rtcp(s, data, len)
                     : unprotect_cm(s, data, len, rd_be32(data + 4), srtp_unprotect_rtcp);
}
