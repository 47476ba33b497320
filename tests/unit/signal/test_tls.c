/* signal/tls_identity, signal/http_tls: the certificate that is made, those that are given, and
 * rude peers of an https share, over loopback. */
#include "rig.h"
#include "signal/tls_identity.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[4][160];
    static int at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int set_up(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/hevcast-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    setenv("XDG_STATE_HOME", dir, 1);
    return setup(state);
}

static int tear_down(void **state)
{
    static const char *const names[] = {"hevcast/tls-self.pem", "hevcast/tls-self.lock", "hevcast",
                                        "a.pem", "b.pem", "c:d.pem", "locked.pem", "text"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(in_dir(names[i]));
    assert_int_equal(rmdir(dir), 0);
    return teardown(state);
}

#define TT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ---- the certificate ---- */

static struct tls_identity made(void)
{
    struct tls_identity id;
    if (tls_identity_open(&id, "self"))
        fail_msg("%s", error_text());
    assert_int_equal(strlen(id.fingerprint), TLS_FINGERPRINT_LEN);
    return id;
}

static X509 *certificate_of(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(x);
    return x;
}

static void test_made_once(void **state)
{
    (void)state;
    struct tls_identity first = made(), second = made();
    assert_string_equal(first.fingerprint, second.fingerprint);
    assert_string_equal(first.cert, in_dir("hevcast/tls-self.pem"));
    struct stat st;
    assert_int_equal(stat(first.cert, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(in_dir("hevcast"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    X509 *x = certificate_of(first.cert);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "example.com", 0, 0, NULL), 0);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(x)), 256);
    int days, seconds;
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x),
                                    X509_get0_notAfter(x)), 1);
    assert_in_range(days, 365, 825);
    X509_free(x);

    /* A key that others could have read is not used again. */
    assert_int_equal(chmod(first.cert, 0644), 0);
    struct tls_identity third = made();
    assert_string_not_equal(first.fingerprint, third.fingerprint);
    assert_int_equal(stat(third.cert, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    tls_identity_clear(&first);
    tls_identity_clear(&second);
    tls_identity_clear(&third);
}

/* Writes a certificate that is valid for so many more days, and its key, into one file. */
static void write_pair(const char *path, int days, bool with_cert, bool with_key,
                       const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 400L);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fchmod(fileno(f), 0600);
    if (with_cert)
        PEM_write_X509(f, x);
    if (with_key)
        PEM_write_PKCS8PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
                                  passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void test_renewed(void **state)
{
    (void)state;
    struct tls_identity first = made(), next;
    static const struct {
        int days;
        bool cert, key, kept;
    } cases[] = {{40, true, true, true}, {20, true, true, false}, {-3, true, true, false},
                 {40, true, false, false}, {40, false, true, false}, {40, false, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_pair(first.cert, cases[i].days, cases[i].cert, cases[i].key, NULL);
        next = made();
        X509 *x = certificate_of(next.cert);
        int days, seconds;
        assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)), 1);
        X509_free(x);
        if ((days < 100) != cases[i].kept)
            fail_msg("case %zu: valid for %d days", i, days);
        tls_identity_clear(&next);
    }
    tls_identity_clear(&first);
}

static void refused(const char *spec, int error, const char *text)
{
    struct tls_identity id;
    int got = tls_identity_open(&id, spec);
    if (got != error || !strstr(error_text(), text))
        fail_msg("%s gave %d, \"%s\"", spec, got, error_text());
    assert_null(id.cert);
    assert_null(id.key);
}

static void test_given(void **state)
{
    (void)state;
    char spec[400];
    const char *a = in_dir("a.pem"), *b = in_dir("b.pem");
    write_pair(a, 100, true, true, NULL);
    write_pair(b, 100, true, true, NULL);
    write_pair(in_dir("locked.pem"), 100, true, true, "secret");
    write_pair(in_dir("text"), 100, false, false, NULL);

    struct tls_identity id;
    snprintf(spec, sizeof spec, "%s:%s", a, a);
    assert_int_equal(tls_identity_open(&id, spec), 0);
    assert_string_equal(id.cert, in_dir("a.pem"));
    assert_string_equal(id.key, id.cert);
    assert_false(id.self);
    tls_identity_clear(&id);

    a = in_dir("a.pem");
    write_pair(in_dir("c:d.pem"), 100, true, true, NULL);
    snprintf(spec, sizeof spec, "%s/c:d.pem:%s/c:d.pem", dir, dir);
    assert_int_equal(tls_identity_open(&id, spec), 0);
    tls_identity_clear(&id);

    refused("a", ERR_INVALID, "CERT.pem:KEY.pem");
    refused("", ERR_INVALID, "CERT.pem:KEY.pem");
    refused(":", ERR_INVALID, "CERT.pem:KEY.pem");
    refused("/nonexistent/a:/nonexistent/b", ERR_NOT_FOUND, "/nonexistent/a cannot be read");
    snprintf(spec, sizeof spec, "%s/a.pem:%s/b.pem", dir, dir);
    refused(spec, ERR_UNSUPPORTED, "is not the key of the certificate");
    snprintf(spec, sizeof spec, "%s/a.pem:/nonexistent/b", dir);
    refused(spec, ERR_NOT_FOUND, "the key /nonexistent/b cannot be read");
    snprintf(spec, sizeof spec, "%s/text:%s/a.pem", dir, dir);
    refused(spec, ERR_UNSUPPORTED, "there is no certificate in");
    snprintf(spec, sizeof spec, "%s/a.pem:%s/text", dir, dir);
    refused(spec, ERR_UNSUPPORTED, "there is no private key in");
    snprintf(spec, sizeof spec, "%s/locked.pem:%s/locked.pem", dir, dir);
    refused(spec, ERR_UNSUPPORTED, "has a passphrase");
    assert_true(tls_spec_valid("self"));
    assert_true(tls_spec_valid("a:b"));
    assert_false(tls_spec_valid("selfish"));

    setenv("XDG_STATE_HOME", in_dir("text/below"), 1);
    refused("self", ERR_IO, "cannot be made");
    setenv("XDG_STATE_HOME", dir, 1);
}

/* ---- rude peers ---- */

static struct tls_identity served;

static void serve_tls(struct http_limits *limits)
{
    served = made();
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.tls_cert = served.cert;
    o.config.tls_key = served.key;
    o.config.tls_pin = served.fingerprint;
    o.config.limits = limits;
    serve_with(o);
}

/* GET of the page from one of our addresses; its status, 0: no TLS came about. */
static int tls_get(const char *from)
{
    int status = 0, s = dial_from(from, t.port);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, s);
    static const char get[] = "GET /" TOKEN " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, get, sizeof get - 1) == sizeof get - 1) {
        int n = SSL_read(ssl, response, sizeof response - 1);
        response[n > 0 ? n : 0] = '\0';
        sscanf(response, "HTTP/1.1 %d", &status);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(s);
    return status;
}

/* A whole first flight of a client. */
static int client_hello(char *out, int cap)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), sent);
    SSL_connect(ssl);
    int n = BIO_read(sent, out, cap);
    SSL_free(ssl);
    SSL_CTX_free(context);
    assert_in_range(n, 100, cap - 1);
    return n;
}

static void test_unfinished_handshakes(void **state)
{
    (void)state;
    struct http_limits l;
    http_limits_default(&l);
    l.handshake_us = 1000000;
    serve_tls(&l);
    assert_int_equal(tls_get("127.0.0.1"), 200);

    /* Twelve begin and stop. GLib's pool of threads is not theirs: another address is served, and
     * their own as soon as their time is up. */
    char hello[4096];
    int n = client_hello(hello, sizeof hello), rude[12];
    for (int i = 0; i < 12; i++) {
        rude[i] = dial(t.port);
        assert_true(send_all(rude[i], hello, (size_t)n));
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(tls_get("127.0.0.2"), 200);
    assert_int_equal(tls_get("127.0.0.1"), 200);
    for (int i = 0; i < 12; i++) {
        assert_true(read_all(rude[i], response, sizeof response) >= 0); /* cut */
        close(rude[i]);
    }
    tls_identity_clear(&served);
}

static void test_broken_beginnings(void **state)
{
    (void)state;
    struct http_limits l = short_limits();
    l.handshake_us = 600000;
    serve_tls(&l);
    char hello[4096];
    int n = client_hello(hello, sizeof hello);
    const struct {
        const char *data;
        int len;
    } cases[] = {{hello, 0}, {hello, 1}, {hello, 4}, {hello, 5}, {hello, 100}, {hello, n - 1},
                 {"\x16\x03\x01\x00\x00", 5}, {"\x16\x03\x01\xff\xff", 5},
                 {"\x16\x03\x01\x00\x04nope", 9}, {"\x15\x03\x01\x00\x02\x02\x28", 7}};
    int rude[2 * sizeof cases / sizeof cases[0]];
    for (size_t i = 0; i < sizeof rude / sizeof rude[0]; i++) {
        rude[i] = dial(t.port);
        send_all(rude[i], cases[i / 2].data, (size_t)cases[i / 2].len);
        if (i % 2)
            shutdown(rude[i], SHUT_WR);
    }
    for (size_t i = 0; i < sizeof rude / sizeof rude[0]; i++) {
        if (read_all(rude[i], response, sizeof response) < 0)
            fail_msg("case %zu was not cut", i);
        close(rude[i]);
    }
    /* In two parts, slowly, is not broken. */
    int s = dial(t.port);
    send_all(s, hello, 50);
    usleep(50000);
    send_all(s, hello + 50, (size_t)n - 50);
    assert_true(recv(s, response, sizeof response, 0) > 100);
    assert_int_equal(response[0], 22);
    close(s);

    s = dial(t.port);
    send_all(s, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 28);
    assert_true(read_all(s, response, sizeof response) > 0);
    has("HTTP/1.1 400 ");
    has("this share speaks https");
    const char *body = strstr(response, "\r\n\r\n");
    char length[40];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body + 4));
    has(length);
    close(s);
    assert_int_equal(tls_get("127.0.0.1"), 200);
    tls_identity_clear(&served);
}

static void test_server_freed_in_handshakes(void **state)
{
    (void)state;
    serve_tls(NULL);
    char hello[4096];
    int n = client_hello(hello, sizeof hello), s[10];
    for (int i = 0; i < 10; i++) {
        s[i] = dial(t.port);
        send_all(s[i], hello, (size_t)(i < 6 ? n : 3));
    }
    recv(s[0], response, sizeof response, 0); /* its handshake began */
    on_network(free_server_task, &t.server);
    for (int i = 0; i < 10; i++) {
        assert_true(read_all(s[i], response, sizeof response) >= 0);
        close(s[i]);
    }
    tls_identity_clear(&served);
}

/* 20 machines with 50 idle connections each, which is more than a page of ours opens. */
static void test_thousand_idle(void **state)
{
    (void)state;
    enum { MACHINES = 20, EACH = 50 };
    serve_tls(NULL);
    static int idle[MACHINES * EACH];
    for (int i = 0; i < MACHINES * EACH; i++) {
        char from[32];
        snprintf(from, sizeof from, "127.0.1.%d", 1 + i / EACH);
        idle[i] = dial_from(from, t.port);
    }
    assert_int_equal(tls_get("127.0.0.1"), 200);
    assert_int_equal(tls_get("127.0.1.1"), 200);
    for (int i = 0; i < MACHINES * EACH; i++)
        close(idle[i]);
    tls_identity_clear(&served);
}

int main(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        TT(test_made_once), TT(test_renewed), TT(test_given), TT(test_unfinished_handshakes),
        TT(test_broken_beginnings), TT(test_server_freed_in_handshakes), TT(test_thousand_idle),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
