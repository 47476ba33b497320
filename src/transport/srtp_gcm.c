#include "transport/srtp_gcm.h"

#include "base/bytes.h"
#include "base/error.h"
#include "transport/srtp_index.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum {
    RTP_HEADER = 12,
    RTCP_HEADER = 8,
    /* RFC 3711 section 4.3.2 */
    LABEL_RTP_KEY = 0,
    LABEL_RTP_SALT = 2,
    LABEL_RTCP_KEY = 3,
    LABEL_RTCP_SALT = 5,
};

struct half {
    EVP_CIPHER_CTX *ctx; /* has the key, and the direction after the first packet */
    uint8_t salt[SRTP_GCM_SALT];
    uint64_t sealed; /* packets under this key */
};

struct srtp_gcm {
    struct half rtp, rtcp;
};

/* --- keys --- */

/* The key stream of AES-CM under the master key, from the master salt and the label; the salt has 96
 * bits here, and RFC 7714 section 11 fills it up with zeros to the 112 of RFC 3711. */
static bool derive(const uint8_t *master, uint8_t label, uint8_t *out, int n)
{
    uint8_t iv[16] = {0};
    static const uint8_t zeros[16];
    int done = 0;
    memcpy(iv, master + SRTP_GCM_KEY, SRTP_GCM_SALT);
    iv[7] ^= label; /* the label, then 48 bits of zeros: the key derivation rate is 0 */
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_ctr(), NULL, master, iv) &&
                EVP_EncryptUpdate(ctx, out, &done, zeros, n) && done == n;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

int srtp_gcm_derive(const uint8_t *master, struct srtp_gcm_keys *rtp, struct srtp_gcm_keys *rtcp)
{
    if (derive(master, LABEL_RTP_KEY, rtp->key, SRTP_GCM_KEY) &&
        derive(master, LABEL_RTP_SALT, rtp->salt, SRTP_GCM_SALT) &&
        derive(master, LABEL_RTCP_KEY, rtcp->key, SRTP_GCM_KEY) &&
        derive(master, LABEL_RTCP_SALT, rtcp->salt, SRTP_GCM_SALT))
        return 0;
    return error_set(ERR_IO, "OpenSSL cannot derive the keys of SRTP");
}

/* --- life --- */

static bool half_open(struct half *h, const struct srtp_gcm_keys *keys)
{
    memcpy(h->salt, keys->salt, sizeof h->salt);
    h->ctx = EVP_CIPHER_CTX_new();
    return h->ctx && EVP_CipherInit_ex(h->ctx, EVP_aes_128_gcm(), NULL, keys->key, NULL, 1);
}

int srtp_gcm_new(struct srtp_gcm **out, const struct srtp_gcm_keys *rtp,
                 const struct srtp_gcm_keys *rtcp)
{
    struct srtp_gcm *g = *out = calloc(1, sizeof *g);
    if (g && half_open(&g->rtp, rtp) && half_open(&g->rtcp, rtcp))
        return 0;
    srtp_gcm_free(out);
    return error_set(ERR_MEMORY, "OpenSSL cannot set up AES-GCM");
}

void srtp_gcm_free(struct srtp_gcm **gcm)
{
    struct srtp_gcm *g = *gcm;
    *gcm = NULL;
    if (!g)
        return;
    EVP_CIPHER_CTX_free(g->rtp.ctx); /* wipes the key */
    EVP_CIPHER_CTX_free(g->rtcp.ctx);
    OPENSSL_cleanse(g, sizeof *g);
    free(g);
}

/* --- the cipher --- */

/* RFC 7714 sections 8.1 and 9.1: SSRC and 48 bits of index, exclusive or with the salt. */
static void make_iv(const struct half *h, uint32_t ssrc, uint64_t index, uint8_t iv[12])
{
    uint8_t plain[12] = {0};
    wr_be32(plain + 2, ssrc);
    wr_be16(plain + 6, (uint16_t)(index >> 32));
    wr_be32(plain + 8, (uint32_t)index);
    for (int i = 0; i < 12; i++)
        iv[i] = plain[i] ^ h->salt[i];
}

/* One packet: associated data in two pieces, text in place. */
struct message {
    const uint8_t *head, *tail;
    size_t head_len, tail_len;
    uint8_t *text, *tag;
    size_t text_len;
};

static bool run(EVP_CIPHER_CTX *ctx, const struct message *m)
{
    int n = 0;
    return EVP_CipherUpdate(ctx, NULL, &n, m->head, (int)m->head_len) &&
           (!m->tail_len || EVP_CipherUpdate(ctx, NULL, &n, m->tail, (int)m->tail_len)) &&
           (!m->text_len || EVP_CipherUpdate(ctx, m->text, &n, m->text, (int)m->text_len));
}

static bool seal(struct half *h, const uint8_t iv[12], const struct message *m)
{
    uint8_t none[16];
    int n = 0;
    return EVP_CipherInit_ex(h->ctx, NULL, NULL, NULL, iv, 1) && run(h->ctx, m) &&
           EVP_CipherFinal_ex(h->ctx, none, &n) &&
           EVP_CIPHER_CTX_ctrl(h->ctx, EVP_CTRL_AEAD_GET_TAG, SRTP_GCM_TAG, m->tag);
}

static bool unseal(struct half *h, const uint8_t iv[12], const struct message *m)
{
    uint8_t none[16];
    int n = 0;
    return EVP_CipherInit_ex(h->ctx, NULL, NULL, NULL, iv, 0) &&
           EVP_CIPHER_CTX_ctrl(h->ctx, EVP_CTRL_AEAD_SET_TAG, SRTP_GCM_TAG, m->tag) &&
           run(h->ctx, m) && EVP_CipherFinal_ex(h->ctx, none, &n);
}

static int not_authentic(void)
{
    return error_set(ERR_PROTOCOL, "a packet did not authenticate");
}

/* RFC 3711 section 9.2 asks for new keys then, which would be a new DTLS association. */
static int worn_out(void)
{
    return error_set(ERR_INVALID, "the keys have encrypted as many packets as they may");
}

/* --- RTP --- */

size_t srtp_rtp_header_len(const uint8_t *data, size_t len)
{
    if (len < RTP_HEADER || data[0] >> 6 != 2)
        return 0;
    size_t n = RTP_HEADER + 4u * (data[0] & 15);
    if (data[0] & 0x10) {
        if (len < n + 4)
            return 0;
        n += 4 + 4u * rd_be16(data + n + 2);
    }
    return n <= len ? n : 0;
}

static struct message rtp_message(uint8_t *data, size_t header, size_t end)
{
    return (struct message){.head = data, .head_len = header, .text = data + header,
                            .text_len = end - header, .tag = data + end};
}

int srtp_gcm_seal_rtp(struct srtp_gcm *g, uint8_t *data, size_t len, uint64_t index)
{
    uint8_t iv[12];
    size_t header = srtp_rtp_header_len(data, len);
    if (!header)
        return error_set(ERR_INVALID, "what was to be sent is no RTP packet");
    if (index >= SRTP_INDEX_LIMIT || g->rtp.sealed >= SRTP_INDEX_LIMIT)
        return worn_out();
    struct message m = rtp_message(data, header, len);
    make_iv(&g->rtp, rd_be32(data + 8), index, iv);
    g->rtp.sealed++;
    return seal(&g->rtp, iv, &m) ? (int)len + SRTP_GCM_TAG
                                 : error_set(ERR_IO, "OpenSSL cannot encrypt a packet");
}

int srtp_gcm_open_rtp(struct srtp_gcm *g, uint8_t *data, size_t len, uint64_t index)
{
    uint8_t iv[12];
    size_t header = len > SRTP_GCM_TAG ? srtp_rtp_header_len(data, len - SRTP_GCM_TAG) : 0;
    if (!header)
        return error_set(ERR_PROTOCOL, "a packet is no SRTP packet");
    struct message m = rtp_message(data, header, len - SRTP_GCM_TAG);
    make_iv(&g->rtp, rd_be32(data + 8), index, iv);
    return unseal(&g->rtp, iv, &m) ? (int)len - SRTP_GCM_TAG : not_authentic();
}

/* --- RTCP: header, encrypted rest, tag, E and index (RFC 7714 section 9.2) --- */

static struct message rtcp_message(uint8_t *data, size_t end)
{
    return (struct message){.head = data, .head_len = RTCP_HEADER, .text = data + RTCP_HEADER,
                            .text_len = end - RTCP_HEADER, .tag = data + end,
                            .tail = data + end + SRTP_GCM_TAG, .tail_len = 4};
}

int srtp_gcm_seal_rtcp(struct srtp_gcm *g, uint8_t *data, size_t len, uint32_t index)
{
    uint8_t iv[12];
    if (len < RTCP_HEADER)
        return error_set(ERR_INVALID, "what was to be sent is no RTCP packet");
    if (index >= SRTCP_INDEX_LIMIT || g->rtcp.sealed >= SRTCP_INDEX_LIMIT)
        return worn_out();
    struct message m = rtcp_message(data, len);
    wr_be32(data + len + SRTP_GCM_TAG, UINT32_C(1) << 31 | index);
    make_iv(&g->rtcp, rd_be32(data + 4), index, iv);
    g->rtcp.sealed++;
    return seal(&g->rtcp, iv, &m) ? (int)len + SRTP_GCM_RTCP_TRAILER
                                  : error_set(ERR_IO, "OpenSSL cannot encrypt a packet");
}

uint32_t srtp_gcm_rtcp_index(const uint8_t *data, size_t len)
{
    if (len < RTCP_HEADER + SRTP_GCM_RTCP_TRAILER || data[0] >> 6 != 2)
        return SRTCP_INDEX_LIMIT;
    uint32_t word = rd_be32(data + len - 4);
    return word >> 31 ? word & 0x7fffffff : SRTCP_INDEX_LIMIT;
}

int srtp_gcm_open_rtcp(struct srtp_gcm *g, uint8_t *data, size_t len)
{
    uint8_t iv[12];
    uint32_t index = srtp_gcm_rtcp_index(data, len);
    if (index >= SRTCP_INDEX_LIMIT)
        return error_set(ERR_PROTOCOL, "a packet is no SRTCP packet");
    size_t end = len - SRTP_GCM_RTCP_TRAILER;
    struct message m = rtcp_message(data, end);
    make_iv(&g->rtcp, rd_be32(data + 4), index, iv);
    return unseal(&g->rtcp, iv, &m) ? (int)end : not_authentic();
}
