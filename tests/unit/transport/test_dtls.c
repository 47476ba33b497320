/* transport/dtls: two associations joined by queues that lose, repeat and spoil datagrams. */
#include "base/error.h"
#include "transport/dtls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cmocka.h>

enum { QUEUE = 64, DATAGRAM = 2048 };

struct side {
    struct dtls *dtls;
    struct {
        uint8_t data[DATAGRAM];
        size_t len;
    } out[QUEUE];
    int count;       /* datagrams waiting for the other side */
    int sent;        /* in all */
    size_t largest;
    uint64_t lose;   /* bit i: the i-th datagram is lost */
    bool repeat;     /* each one is delivered twice */
    bool spoil;      /* a spoilt copy goes ahead of each one */
};

struct net {
    struct dtls_identity *identity[2];
    struct side client, server;
};

static void take(void *ctx, const uint8_t *data, size_t len)
{
    struct side *s = ctx;
    int i = s->sent++;
    assert_true(len <= DATAGRAM);
    s->largest = len > s->largest ? len : s->largest;
    if (i < 64 && (s->lose >> i & 1))
        return;
    for (int copy = 0; copy < (s->repeat || s->spoil ? 2 : 1); copy++) {
        assert_true(s->count < QUEUE);
        memcpy(s->out[s->count].data, data, len);
        s->out[s->count].len = len;
        if (s->spoil && copy == 0) {
            /* A record of another epoch, cut short: dropped without a word (RFC 6347 4.1.2.7). */
            s->out[s->count].data[3] ^= 0x55;
            s->out[s->count].len = len - len / 3;
        }
        s->count++;
    }
}

static int open_side(struct side *s, const struct dtls_identity *own, const char *fingerprint,
                     enum dtls_role role)
{
    struct dtls_config config = {
        .identity = own, .role = role, .fingerprint = fingerprint, .send = take, .ctx = s};
    return dtls_new(&s->dtls, &config);
}

static void open_net(struct net *n)
{
    n->identity[0] = dtls_identity_new();
    n->identity[1] = dtls_identity_new();
    assert_non_null(n->identity[0]);
    assert_non_null(n->identity[1]);
    assert_int_equal(open_side(&n->client, n->identity[0],
                               dtls_identity_fingerprint(n->identity[1]), DTLS_CLIENT),
                     0);
    assert_int_equal(open_side(&n->server, n->identity[1],
                               dtls_identity_fingerprint(n->identity[0]), DTLS_SERVER),
                     0);
}

static void close_net(struct net *n)
{
    dtls_free(&n->client.dtls);
    dtls_free(&n->server.dtls);
    dtls_identity_free(&n->identity[0]);
    dtls_identity_free(&n->identity[1]);
}

static bool deliver(struct side *from, struct side *to)
{
    bool any = from->count > 0;
    int n = from->count;
    struct side *copy = malloc(sizeof *copy); /* `to` may answer into its own queue meanwhile */
    memcpy(copy, from, sizeof *copy);
    from->count = 0;
    for (int i = 0; i < n; i++)
        dtls_feed(to->dtls, copy->out[i].data, copy->out[i].len);
    free(copy);
    return any;
}

static void run_timer(struct side *s)
{
    if (dtls_timeout_us(s->dtls) == 0)
        dtls_handle_timeout(s->dtls);
}

static bool settled(const struct side *s) { return dtls_get_state(s->dtls) != DTLS_HANDSHAKE; }

/* Until both are done, in real time: OpenSSL reads the clock itself. */
static void handshake(struct net *n)
{
    dtls_start(n->client.dtls);
    dtls_start(n->server.dtls);
    for (int ms = 0; ms < 20000 && !(settled(&n->client) && settled(&n->server)); ms++) {
        bool any = deliver(&n->client, &n->server);
        any |= deliver(&n->server, &n->client);
        if (any)
            continue;
        run_timer(&n->client);
        run_timer(&n->server);
        usleep(1000);
    }
    deliver(&n->client, &n->server);
    deliver(&n->server, &n->client);
}

static void assert_open(struct net *n)
{
    struct srtp_keys c, s;
    assert_int_equal(dtls_get_state(n->client.dtls), DTLS_OPEN);
    assert_int_equal(dtls_get_state(n->server.dtls), DTLS_OPEN);
    memset(&c, 0, sizeof c);
    memset(&s, 0, sizeof s);
    assert_int_equal(dtls_export_srtp(n->client.dtls, &c), 0);
    assert_int_equal(dtls_export_srtp(n->server.dtls, &s), 0);
    assert_int_equal(c.suite, SRTP_SUITE_GCM_128);
    assert_int_equal(s.suite, SRTP_SUITE_GCM_128);
    assert_memory_equal(c.local, s.remote, 28);
    assert_memory_equal(c.remote, s.local, 28);
    assert_memory_not_equal(c.local, c.remote, 28);
    assert_memory_not_equal(c.local, c.local + 16, 12);
    assert_true(n->client.largest <= 1200);
    assert_true(n->server.largest <= 1200);
}

static void a_clean_network(void **state)
{
    (void)state;
    struct net n = {0};
    open_net(&n);
    assert_int_equal(dtls_timeout_us(n.server.dtls), INT64_MAX);
    handshake(&n);
    assert_open(&n);
    assert_int_equal(dtls_timeout_us(n.client.dtls), INT64_MAX);
    close_net(&n);
}

static void lost_flights_are_sent_again(void **state)
{
    (void)state;
    /* each side's first datagrams, one by one and together; then every second one */
    static const struct {
        uint64_t client, server;
    } losses[] = {{1, 0}, {0, 1}, {2, 0}, {0, 2}, {4, 0}, {0, 4}, {3, 3}, {0x15, 0x2a}};
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        struct net n = {.client.lose = losses[i].client, .server.lose = losses[i].server};
        open_net(&n);
        handshake(&n);
        assert_open(&n);
        close_net(&n);
    }
}

static void repeated_and_spoilt_datagrams(void **state)
{
    (void)state;
    struct net n = {.client.repeat = true, .server.repeat = true};
    open_net(&n);
    handshake(&n);
    assert_open(&n);
    close_net(&n);
    struct net m = {.client.spoil = true, .server.spoil = true};
    open_net(&m);
    handshake(&m);
    assert_open(&m);
    close_net(&m);
}

static void garbage_changes_nothing(void **state)
{
    (void)state;
    struct net n = {0};
    open_net(&n);
    uint8_t garbage[1500];
    srandom(3);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 500; i++) {
            size_t len = 1 + (size_t)random() % sizeof garbage;
            for (size_t j = 0; j < len; j++)
                garbage[j] = (uint8_t)random();
            garbage[0] = (uint8_t)(20 + random() % 44);
            dtls_feed(n.server.dtls, garbage, len);
        }
        assert_int_equal(dtls_get_state(n.server.dtls), round ? DTLS_OPEN : DTLS_HANDSHAKE);
        if (round == 0)
            handshake(&n);
    }
    assert_open(&n);
    close_net(&n);
}

static void a_wrong_fingerprint(void **state)
{
    (void)state;
    for (int wrong_side = 0; wrong_side < 2; wrong_side++) {
        struct net n = {0};
        open_net(&n);
        struct dtls_identity *other = dtls_identity_new();
        struct side *s = wrong_side ? &n.server : &n.client;
        struct side *victim = wrong_side ? &n.client : &n.server;
        dtls_free(&s->dtls);
        assert_int_equal(open_side(s, n.identity[wrong_side], dtls_identity_fingerprint(other),
                                   wrong_side ? DTLS_SERVER : DTLS_CLIENT),
                         0);
        handshake(&n);
        assert_int_equal(dtls_get_state(s->dtls), DTLS_FAILED);
        assert_int_equal(dtls_error_code(s->dtls), ERR_REFUSED);
        assert_int_equal(dtls_get_state(victim->dtls), DTLS_FAILED);
        assert_int_equal(dtls_error_code(victim->dtls), ERR_IO);
        dtls_identity_free(&other);
        close_net(&n);
    }
}

static void close_notify_is_seen(void **state)
{
    (void)state;
    struct net n = {.client.lose = 0};
    open_net(&n);
    handshake(&n);
    assert_open(&n);
    n.client.lose = 1ull << n.client.sent; /* the first copy is lost */
    dtls_close(n.client.dtls);
    deliver(&n.client, &n.server);
    assert_int_equal(dtls_get_state(n.server.dtls), DTLS_CLOSED);
    close_net(&n);
}

static void nobody_answers(void **state)
{
    (void)state;
    struct net n = {.client.lose = ~0ull};
    open_net(&n);
    dtls_start(n.client.dtls);
    /* The timer grows: 100, 200, 400 ms. */
    int64_t first_us = dtls_timeout_us(n.client.dtls);
    assert_in_range(first_us, 1, 100000);
    usleep((useconds_t)first_us + 1000);
    run_timer(&n.client);
    assert_int_equal(n.client.sent, 2);
    assert_in_range(dtls_timeout_us(n.client.dtls), 100001, 200000);
    close_net(&n);
}

/* Lower case, other digests, blanks: as others write it. */
static void forms_of_fingerprints(void **state)
{
    (void)state;
    struct dtls_identity *id = dtls_identity_new();
    char text[256], lower[256];
    snprintf(text, sizeof text, "%s", dtls_identity_fingerprint(id));
    assert_int_equal(strlen(text), 8 + 95);
    assert_int_equal(dtls_fingerprint_check(text), 0);
    for (size_t i = 0; i <= strlen(text); i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20 : text[i]);
    assert_int_equal(dtls_fingerprint_check(lower), 0);
    memcpy(lower, "SHA-256", 7);
    assert_int_equal(dtls_fingerprint_check(lower), 0);
    strcat(text, "\r\n");
    assert_int_equal(dtls_fingerprint_check(text), 0);
    static const char *const bad[] = {
        "", "sha-256", "sha-256 ", "sha-256 AB", "sha-1 AB:CD", "sha-512 AB:CD:EF", "sha-256 XY:ZZ",
        "sha-2567 AB:CD", "md5 00:11"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dtls_fingerprint_check(bad[i]), ERR_PROTOCOL);
    snprintf(text, sizeof text, "%s:00", dtls_identity_fingerprint(id));
    assert_int_equal(dtls_fingerprint_check(text), ERR_PROTOCOL);
    text[strlen(text) - 3] = 0;
    text[20] = '-';
    assert_int_equal(dtls_fingerprint_check(text), ERR_PROTOCOL);
    dtls_identity_free(&id);
}

/* Two peers made of OpenSSL alone would be another test of OpenSSL; what others do differently is
 * the certificate (RSA, as GStreamer's), the digest and the suite. */
struct foreign {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    char fingerprint[256];
};

static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

static void open_foreign(struct foreign *f, bool server, const char *profiles, const EVP_MD *md,
                         const char *md_name, int mtu)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 1000);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    uint8_t digest[64];
    unsigned len;
    X509_digest(cert, md, digest, &len);
    int at = snprintf(f->fingerprint, sizeof f->fingerprint, "%s ", md_name);
    for (unsigned i = 0; i < len; i++)
        at += snprintf(f->fingerprint + at, sizeof f->fingerprint - (size_t)at, "%s%02x",
                       i ? ":" : "", digest[i]);
    f->ctx = SSL_CTX_new(DTLS_method());
    SSL_CTX_use_certificate(f->ctx, cert);
    SSL_CTX_use_PrivateKey(f->ctx, key);
    SSL_CTX_set_verify(f->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(f->ctx, accept_any, NULL);
    if (profiles)
        assert_int_equal(SSL_CTX_set_tlsext_use_srtp(f->ctx, profiles), 0);
    f->ssl = SSL_new(f->ctx);
    SSL_set_options(f->ssl, SSL_OP_NO_QUERY_MTU);
    SSL_set_mtu(f->ssl, mtu);
    f->in = BIO_new(BIO_s_mem());
    f->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(f->in, -1);
    BIO_set_mem_eof_return(f->out, -1);
    SSL_set_bio(f->ssl, f->in, f->out);
    if (server)
        SSL_set_accept_state(f->ssl);
    else
        SSL_set_connect_state(f->ssl);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void close_foreign(struct foreign *f)
{
    SSL_free(f->ssl);
    SSL_CTX_free(f->ctx);
}

/* A flight goes over as one datagram of many records, which DTLS allows. */
static void handshake_foreign(struct side *ours, struct foreign *f)
{
    uint8_t flight[8192];
    dtls_start(ours->dtls);
    for (int ms = 0; ms < 5000; ms++) {
        for (int i = 0; i < ours->count; i++)
            BIO_write(f->in, ours->out[i].data, (int)ours->out[i].len);
        ours->count = 0;
        SSL_do_handshake(f->ssl);
        int n = BIO_read(f->out, flight, sizeof flight);
        if (n > 0)
            dtls_feed(ours->dtls, flight, (size_t)n);
        if (dtls_get_state(ours->dtls) != DTLS_HANDSHAKE && SSL_is_init_finished(f->ssl))
            return;
        run_timer(ours);
        usleep(1000);
    }
}

static void foreign_certificates_and_suites(void **state)
{
    (void)state;
    static const struct {
        bool server;
        const char *profiles, *md;
        int suite; /* -1: no keys */
        int mtu;   /* a small one fragments even the ClientHello, as post-quantum keys do */
    } cases[] = {
        {true, "SRTP_AES128_CM_SHA1_80", "sha-512", SRTP_SUITE_CM_SHA1_80, 1400},
        {false, "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", "sha-384", SRTP_SUITE_GCM_128,
         256},
        {false, "SRTP_AES128_CM_SHA1_80", "sha-256", SRTP_SUITE_CM_SHA1_80, 1400},
        {false, NULL, "SHA-256", -1, 1400},
    };
    struct dtls_identity *id = dtls_identity_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct foreign f;
        struct side ours = {0};
        const EVP_MD *md = EVP_sha256();
        if (strstr(cases[i].md, "512"))
            md = EVP_sha512();
        else if (strstr(cases[i].md, "384"))
            md = EVP_sha384();
        open_foreign(&f, cases[i].server, cases[i].profiles, md, cases[i].md,
                     cases[i].mtu);
        assert_int_equal(
            open_side(&ours, id, f.fingerprint, cases[i].server ? DTLS_CLIENT : DTLS_SERVER), 0);
        handshake_foreign(&ours, &f);
        assert_int_equal(dtls_get_state(ours.dtls), DTLS_OPEN);
        struct srtp_keys keys;
        if (cases[i].suite < 0) {
            assert_int_equal(dtls_export_srtp(ours.dtls, &keys), ERR_IO);
        } else {
            assert_int_equal(dtls_export_srtp(ours.dtls, &keys), 0);
            assert_int_equal(keys.suite, cases[i].suite);
            uint8_t block[60];
            size_t salt = keys.suite == SRTP_SUITE_GCM_128 ? 12 : 14;
            assert_int_equal(SSL_export_keying_material(f.ssl, block, 2 * (16 + salt),
                                                        "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0),
                             1);
            const uint8_t *client = cases[i].server ? keys.local : keys.remote;
            const uint8_t *server = cases[i].server ? keys.remote : keys.local;
            assert_memory_equal(client, block, 16);
            assert_memory_equal(server, block + 16, 16);
            assert_memory_equal(client + 16, block + 32, salt);
            assert_memory_equal(server + 16, block + 32 + salt, salt);
        }
        dtls_free(&ours.dtls);
        close_foreign(&f);
    }
    dtls_identity_free(&id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_network),
        cmocka_unit_test(lost_flights_are_sent_again),
        cmocka_unit_test(repeated_and_spoilt_datagrams),
        cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(a_wrong_fingerprint),
        cmocka_unit_test(close_notify_is_seen),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(forms_of_fingerprints),
        cmocka_unit_test(foreign_certificates_and_suites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
