#include "transport/dtls.h"

#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    HANDSHAKE_MTU = 1200, /* below 1280, IPv6's least, less TURN's and UDP's headers */
    MAX_DATAGRAM = 2048,
    /* RFC 6347 section 4.2.4.1 takes 1 s, for all networks there are; real-time software begins
     * lower, since a lost flight delays the first picture by it. */
    FIRST_TIMEOUT_US = 100000,
    LAST_TIMEOUT_US = 2000000,
    MAX_PEER_CERT = 16384,
};

struct dtls_identity {
    X509 *cert;
    EVP_PKEY *key;
    SSL_CTX *ctx;
    char fingerprint[160];
    pthread_t warm_up;
    bool warming; /* warm_up is to be joined */
};

struct dtls {
    struct dtls_config config;
    char fingerprint[256];
    SSL *ssl;
    enum dtls_state state;
    int error_code;
    bool wrong_fingerprint;
    const uint8_t *in; /* the datagram that dtls_feed was given; NULL once read */
    size_t in_len;
    uint8_t last[MAX_DATAGRAM]; /* the last datagram that was sent */
    size_t last_len;
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;
static int dtls_index; /* where an SSL keeps its struct dtls */

static const char *openssl_reason(void)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

/* --- fingerprints (RFC 8122) --- */

/* The digest's name in OpenSSL's form, and where the bytes begin. */
static const EVP_MD *split_fingerprint(const char *text, const char **bytes)
{
    static const struct {
        const char *name;
        const EVP_MD *(*md)(void);
    } digests[] = {{"sha-256", EVP_sha256}, {"sha-384", EVP_sha384}, {"sha-512", EVP_sha512}};
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        size_t n = strlen(digests[i].name);
        if (!strncasecmp(text, digests[i].name, n) && text[n] == ' ') {
            *bytes = text + n + strspn(text + n, " ");
            return digests[i].md();
        }
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const EVP_MD *parse_fingerprint(const char *text, uint8_t out[EVP_MAX_MD_SIZE])
{
    const char *p;
    const EVP_MD *md = split_fingerprint(text, &p);
    if (!md)
        return NULL;
    int n = EVP_MD_get_size(md);
    for (int i = 0; i < n; i++) {
        int high = hex_digit(p[0]), low = high < 0 ? -1 : hex_digit(p[1]);
        if (low < 0)
            return NULL;
        out[i] = (uint8_t)(high << 4 | low);
        p += 2;
        if (i < n - 1 && *p++ != ':')
            return NULL;
    }
    p += strspn(p, " \t\r\n");
    return *p ? NULL : md;
}

int dtls_fingerprint_check(const char *fingerprint)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!parse_fingerprint(fingerprint, digest))
        return error_set(ERR_PROTOCOL, "the peer's a=fingerprint is not one of sha-256, sha-384 or "
                                       "sha-512 with its bytes in hexadecimal");
    return 0;
}

/* Called instead of a chain's verification: certificates are self-signed, and what they are
 * compared with came by the signalling (RFC 5763 section 5). */
static int verify_peer(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dtls *d = ssl ? SSL_get_ex_data(ssl, dtls_index) : NULL;
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    uint8_t want[EVP_MAX_MD_SIZE], got[EVP_MAX_MD_SIZE];
    unsigned got_len = 0;
    const EVP_MD *md = d ? parse_fingerprint(d->fingerprint, want) : NULL;
    if (md && cert && X509_digest(cert, md, got, &got_len) == 1 &&
        got_len == (unsigned)EVP_MD_get_size(md) && CRYPTO_memcmp(want, got, got_len) == 0)
        return 1;
    if (d)
        d->wrong_fingerprint = true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED); /* the alert bad_certificate */
    return 0;
}

/* --- the BIO between OpenSSL and datagrams: each write is one datagram --- */

static int bio_write(BIO *bio, const char *data, int len)
{
    struct dtls *d = BIO_get_data(bio);
    if (len <= 0)
        return 0;
    if ((size_t)len <= sizeof d->last) {
        memcpy(d->last, data, (size_t)len);
        d->last_len = (size_t)len;
    }
    d->config.send(d->config.ctx, (const uint8_t *)data, (size_t)len);
    return len;
}

static int bio_read(BIO *bio, char *out, int cap)
{
    struct dtls *d = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!d->in || cap < 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = d->in_len < (size_t)cap ? d->in_len : (size_t)cap; /* the rest is lost, as in UDP */
    memcpy(out, d->in, n);
    d->in = NULL;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return HANDSHAKE_MTU;
    default:
        return 0;
    }
}

static void init_once_fn(void)
{
    dtls_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hevcast datagrams");
    if (!bio_method)
        return;
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* --- the identity --- */

static bool make_certificate(struct dtls_identity *id)
{
    id->key = EVP_EC_gen("P-256");
    id->cert = X509_new();
    if (!id->key || !id->cert)
        return false;
    uint8_t serial[8];
    ASN1_INTEGER *number = X509_get_serialNumber(id->cert);
    X509_NAME *name = X509_get_subject_name(id->cert);
    /* Valid from a day ago: the peer's clock may be behind ours. */
    return getentropy(serial, sizeof serial) == 0 && X509_set_version(id->cert, 2) &&
           ASN1_INTEGER_set_uint64(number, (uint64_t)serial[0] << 32 | serial[1] << 16 |
                                               serial[2] << 8 | serial[3] | 1) &&
           X509_gmtime_adj(X509_getm_notBefore(id->cert), -86400) &&
           X509_gmtime_adj(X509_getm_notAfter(id->cert), 365L * 86400) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"hevcast", -1, -1,
                                      0) &&
           X509_set_issuer_name(id->cert, name) && X509_set_pubkey(id->cert, id->key) &&
           X509_sign(id->cert, id->key, EVP_sha256());
}

static bool write_fingerprint(struct dtls_identity *id)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!X509_digest(id->cert, EVP_sha256(), digest, &n))
        return false;
    int at = snprintf(id->fingerprint, sizeof id->fingerprint, "sha-256 ");
    for (unsigned i = 0; i < n; i++)
        at += snprintf(id->fingerprint + at, sizeof id->fingerprint - (size_t)at, "%s%02X",
                       i ? ":" : "", digest[i]);
    return true;
}

/* libsrtp's start takes longer than a connection on one machine does: it begins when a peer agreed on a
 * profile that needs it, which is a round trip before there are keys. AES-GCM does not (srtp_gcm.c). */
static void *warm_up(void *arg)
{
    (void)arg;
    srtp_library_init(); /* an error comes again from srtp_link_new */
    return NULL;
}

/* OpenSSL is about to choose a certificate: the hello of the other side was read. */
static int on_certificate(SSL *ssl, void *arg)
{
    struct dtls_identity *id = arg;
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(ssl);
    if (profile && profile->id != SRTP_AEAD_AES_128_GCM && !id->warming)
        id->warming = !thread_start(&id->warm_up, "hc-crypto", warm_up, NULL);
    return 1;
}

static bool make_context(struct dtls_identity *id)
{
    id->ctx = SSL_CTX_new(DTLS_method());
    if (!id->ctx)
        return false;
    SSL_CTX_set_options(id->ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(id->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(id->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(id->ctx, verify_peer, NULL);
    SSL_CTX_set_max_cert_list(id->ctx, MAX_PEER_CERT);
    SSL_CTX_set_cert_cb(id->ctx, on_certificate, id);
    /* A peer may hold an RSA certificate (GStreamer does): both kinds of authentication. */
    return SSL_CTX_set_min_proto_version(id->ctx, DTLS1_2_VERSION) &&
           SSL_CTX_set_cipher_list(id->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!PSK") &&
           SSL_CTX_set1_groups_list(id->ctx, "X25519:P-256:P-384") &&
           SSL_CTX_use_certificate(id->ctx, id->cert) &&
           SSL_CTX_use_PrivateKey(id->ctx, id->key) &&
           /* 0 is success here, unlike everywhere else in OpenSSL. */
           SSL_CTX_set_tlsext_use_srtp(id->ctx, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80") == 0;
}

struct dtls_identity *dtls_identity_new(void)
{
    pthread_once(&init_once, init_once_fn);
    struct dtls_identity *id = calloc(1, sizeof *id);
    if (!id || !bio_method || dtls_index < 0) {
        free(id);
        error_set(ERR_MEMORY, "out of memory for a certificate");
        return NULL;
    }
    ERR_clear_error();
    if (!make_certificate(id) || !write_fingerprint(id) || !make_context(id)) {
        error_set(ERR_IO, "OpenSSL cannot make a certificate: %s", openssl_reason());
        dtls_identity_free(&id);
        return NULL;
    }
    return id;
}

void dtls_identity_free(struct dtls_identity **identity)
{
    struct dtls_identity *id = *identity;
    if (!id)
        return;
    *identity = NULL;
    if (id->warming)
        pthread_join(id->warm_up, NULL);
    SSL_CTX_free(id->ctx);
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    free(id);
}

const char *dtls_identity_fingerprint(const struct dtls_identity *id) { return id->fingerprint; }

/* --- the association --- */

static unsigned next_timeout_us(SSL *ssl, unsigned timer_us)
{
    (void)ssl;
    if (timer_us == 0)
        return FIRST_TIMEOUT_US;
    return timer_us >= LAST_TIMEOUT_US / 2 ? LAST_TIMEOUT_US : timer_us * 2;
}

int dtls_new(struct dtls **out, const struct dtls_config *config)
{
    *out = NULL;
    int rc = dtls_fingerprint_check(config->fingerprint);
    if (rc < 0)
        return rc;
    struct dtls *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(ERR_MEMORY, "out of memory for DTLS");
    d->config = *config;
    snprintf(d->fingerprint, sizeof d->fingerprint, "%s", config->fingerprint);
    d->config.fingerprint = d->fingerprint;
    ERR_clear_error();
    d->ssl = SSL_new(config->identity->ctx);
    BIO *bio = d->ssl ? BIO_new(bio_method) : NULL;
    if (!bio) {
        dtls_free(&d);
        return error_set(ERR_MEMORY, "OpenSSL cannot make an association: %s", openssl_reason());
    }
    BIO_set_data(bio, d);
    BIO_set_init(bio, 1);
    SSL_set_bio(d->ssl, bio, bio); /* takes */
    SSL_set_ex_data(d->ssl, dtls_index, d);
    SSL_set_mtu(d->ssl, HANDSHAKE_MTU);
    DTLS_set_timer_cb(d->ssl, next_timeout_us);
    if (config->role == DTLS_CLIENT)
        SSL_set_connect_state(d->ssl);
    else
        SSL_set_accept_state(d->ssl);
    *out = d;
    return 0;
}

void dtls_free(struct dtls **dtls)
{
    struct dtls *d = *dtls;
    if (!d)
        return;
    *dtls = NULL;
    SSL_free(d->ssl);
    free(d);
}

static enum dtls_state fail(struct dtls *d)
{
    d->state = DTLS_FAILED;
    if (d->wrong_fingerprint) {
        ERR_clear_error();
        d->error_code = error_set(ERR_REFUSED, "the peer's DTLS certificate does not match the "
                                               "fingerprint of its description: someone may be "
                                               "in between");
    } else {
        d->error_code = error_set(ERR_IO, "the DTLS handshake failed: %s", openssl_reason());
    }
    return d->state;
}

/* Lets OpenSSL work on what came, or on its timer. */
static enum dtls_state advance(struct dtls *d)
{
    if (d->state == DTLS_CLOSED || d->state == DTLS_FAILED)
        return d->state;
    ERR_clear_error();
    if (d->state == DTLS_HANDSHAKE) {
        int rc = SSL_do_handshake(d->ssl);
        if (rc == 1) {
            d->state = DTLS_OPEN;
        } else {
            int e = SSL_get_error(d->ssl, rc);
            if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
                return fail(d);
        }
    }
    if (d->state == DTLS_OPEN) {
        /* Nothing but alerts is expected here: no data channel was negotiated. */
        uint8_t ignored[MAX_DATAGRAM];
        int rc;
        while ((rc = SSL_read(d->ssl, ignored, sizeof ignored)) > 0) {
        }
        int e = SSL_get_error(d->ssl, rc);
        if (e == SSL_ERROR_ZERO_RETURN || (SSL_get_shutdown(d->ssl) & SSL_RECEIVED_SHUTDOWN))
            d->state = DTLS_CLOSED;
        else if (e == SSL_ERROR_SSL)
            return fail(d);
        ERR_clear_error();
    }
    return d->state;
}

enum dtls_state dtls_start(struct dtls *d) { return advance(d); }

enum dtls_state dtls_feed(struct dtls *d, const uint8_t *data, size_t len)
{
    d->in = data;
    d->in_len = len;
    enum dtls_state state = advance(d);
    d->in = NULL;
    return state;
}

int64_t dtls_timeout_us(struct dtls *d)
{
    struct timeval left;
    if (d->state != DTLS_HANDSHAKE && d->state != DTLS_OPEN)
        return INT64_MAX;
    if (DTLSv1_get_timeout(d->ssl, &left) != 1)
        return INT64_MAX;
    return (int64_t)left.tv_sec * 1000000 + left.tv_usec;
}

enum dtls_state dtls_handle_timeout(struct dtls *d)
{
    if (d->state == DTLS_CLOSED || d->state == DTLS_FAILED)
        return d->state;
    ERR_clear_error();
    if (DTLSv1_handle_timeout(d->ssl) < 0) {
        ERR_clear_error();
        d->state = DTLS_FAILED;
        d->error_code = error_set(ERR_TIMEOUT, "the DTLS handshake was not answered");
        return d->state;
    }
    return advance(d);
}

void dtls_close(struct dtls *d)
{
    if (d->state != DTLS_OPEN)
        return;
    d->state = DTLS_CLOSED;
    ERR_clear_error();
    d->last_len = 0;
    SSL_shutdown(d->ssl);
    ERR_clear_error();
    /* close_notify is not retransmitted (RFC 6347 has no answer to it), so it goes twice: the
     * peer's replay check drops the copy. */
    if (d->last_len)
        d->config.send(d->config.ctx, d->last, d->last_len);
}

enum dtls_state dtls_get_state(const struct dtls *d) { return d->state; }
int dtls_error_code(const struct dtls *d) { return d->error_code; }

int dtls_export_srtp(struct dtls *d, struct srtp_keys *out)
{
    SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(d->ssl);
    if (!profile)
        return error_set(ERR_IO, "the peer offers no SRTP profile that hevcast has "
                                 "(AEAD_AES_128_GCM, AES128_CM_SHA1_80)");
    bool gcm = profile->id == SRTP_AEAD_AES_128_GCM;
    size_t key = 16, salt = gcm ? 12 : 14;
    uint8_t block[2 * SRTP_MAX_KEY];
    static const char label[] = "EXTRACTOR-dtls_srtp";
    if (SSL_export_keying_material(d->ssl, block, 2 * (key + salt), label, sizeof label - 1, NULL, 0,
                                   0) != 1)
        return error_set(ERR_IO, "OpenSSL gives no SRTP keys: %s", openssl_reason());
    /* client key, server key, client salt, server salt */
    uint8_t *client = d->config.role == DTLS_CLIENT ? out->local : out->remote;
    uint8_t *server = d->config.role == DTLS_CLIENT ? out->remote : out->local;
    out->suite = gcm ? SRTP_SUITE_GCM_128 : SRTP_SUITE_CM_SHA1_80;
    memcpy(client, block, key);
    memcpy(server, block + key, key);
    memcpy(client + key, block + 2 * key, salt);
    memcpy(server + key, block + 2 * key + salt, salt);
    OPENSSL_cleanse(block, sizeof block);
    return 0;
}
