/* signal/whep_client with our server, and with a scripted one. */
#include "rig.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static void test_client_and_server(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    view(&v, whep_server_url(t.server));
    do_and_wait(&v, servers_task);
    assert_int_equal(v.error, 0);
    assert_int_equal(v.n, 2);
    assert_string_equal(v.url[0], "stun:stun.example.net");
    assert_string_equal(v.url[1], "turn:u%3A1:p%40%22ss@turn.example.net?transport=udp");

    v.body = "please hold";
    on_network(post_task, &v);
    wait_for(&t.held_one);
    on_network(reply_created_task, t.held);
    wait_for(&v.done);
    assert_int_equal(v.error, 0);
    assert_string_equal(v.answer, answer_text);
    assert_string_equal(t.offer, "please hold");

    do_and_wait(&v, servers_task); /* what the POST said, too */
    assert_int_equal(v.n, 2);

    v.body = "a=candidate:1";
    do_and_wait(&v, patch_task);
    assert_int_equal(v.error, 0);
    assert_string_equal(t.if_match, "tag1");
    assert_string_equal(t.id, "session-1");
    assert_string_equal(t.frag, "a=candidate:1");
    v.restart = true;
    do_and_wait(&v, patch_task);
    assert_string_equal(t.if_match, "*");
    assert_string_equal(v.answer, "a=ice-ufrag:new\r\n");
    v.restart = false;
    do_and_wait(&v, patch_task); /* with the new tag */
    assert_int_equal(v.error, 0);
    assert_string_equal(t.if_match, "tag2");

    do_and_wait(&v, delete_task);
    assert_int_equal(t.deletes, 1);
    do_and_wait(&v, delete_task); /* no session: at once */
    assert_int_equal(t.deletes, 1);
    do_and_wait(&v, patch_task);
    assert_int_equal(v.error, ERR_UNSUPPORTED);
    on_network(free_task, &v);
}

static void test_client_errors(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    char url[256], expected[256];

    snprintf(url, sizeof url, "http://127.0.0.1:%d/wrong", t.port);
    view(&v, url);
    do_and_wait(&v, servers_task); /* 404 to OPTIONS is no matter: the POST tells */
    assert_int_equal(v.error, 0);
    assert_int_equal(v.n, 0);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_NOT_FOUND);
    assert_string_equal(v.text,
                        "no share at this address: the address or its token is wrong");
    on_network(free_task, &v);

    view(&v, whep_server_url(t.server));
    v.body = "full";
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_string_equal(v.text, "the server refused: there are enough viewers (503)");
    v.body = "hostile"; /* nothing that a terminal obeys comes through */
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_string_equal(v.text, "the server refused: no [2J H265 (406)");
    v.body = "offer";
    v.free_inside = true;
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, 0);
    assert_null(v.client);

    /* Nobody listens. */
    int port = t.port;
    on_network(free_server_task, &t.server);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/x", port);
    view(&v, url);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_IO);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%d: is the share running?",
             port);
    assert_string_equal(v.text, expected);
    do_and_wait(&v, servers_task);
    assert_int_equal(v.error, ERR_IO);
    assert_string_equal(v.text, expected);
    on_network(free_task, &v);
}

static void test_client_freed_while_waiting(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    view(&v, whep_server_url(t.server));
    v.body = "hold";
    on_network(post_task, &v);
    wait_for(&t.held_one);
    on_network(free_task, &v);
    on_network(reply_created_task, t.held);
    /* Nothing is told any more. */
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_int_equal(sem_trywait(&v.done), -1);
}

static void renew_task(void *viewer)
{
    whep_client_renew(((struct viewer *)viewer)->client, 300000);
}

/* The network changed: what waits is given up, the session is not. */
static void test_client_renewed(void **state)
{
    (void)state;
    serve();
    struct viewer v;
    view(&v, whep_server_url(t.server));
    v.body = "offer";
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, 0);
    v.body = "hold";
    on_network(post_task, &v);
    wait_for(&t.held_one);
    struct whep_request *first = t.held;
    on_network(renew_task, &v);
    on_network(reply_created_task, first);
    assert_int_equal(request("GET", "/" TOKEN, "", ""), 200);
    assert_int_equal(sem_trywait(&v.done), -1); /* nothing is told of it */

    v.restart = true;
    v.body = "a=ice-ufrag:mine\r\n";
    do_and_wait(&v, patch_task);
    assert_int_equal(v.error, 0);
    assert_string_equal(t.id, "session-1");
    assert_string_equal(t.if_match, "*");
    do_and_wait(&v, servers_task); /* asked again: they may be others by now */
    assert_int_equal(v.n, 2);

    v.body = "hold"; /* no longer than it was told to wait */
    on_network(post_task, &v);
    wait_for(&t.held_one);
    wait_for(&v.done);
    assert_int_equal(v.error, ERR_TIMEOUT);
    on_network(reply_created_task, t.held);
    on_network(free_task, &v);
}

static void test_client_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "ftp://host/x", "http://", "http:///x", "host:8554/x",
        "https://h/x#sha256=12",
        /* 64 digits, but not https */
        "http://h/x#sha256=0000000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct viewer v = {.config.url = bad[i]};
        on_network(new_task, &v);
        if (v.error != ERR_INVALID)
            fail_msg("\"%s\" gave %d", bad[i], v.error);
        assert_null(v.client);
    }
}

/* ---- another server, that redirects and looks at what comes ---- */

static struct {
    int port[2];
    int listener[2];
    pthread_t thread[2];
    pthread_mutex_t lock; /* of what follows */
    char location[256], seen[2][4096], answer[2048];
} r;

static void script(char *field, size_t cap, const char *text)
{
    pthread_mutex_lock(&r.lock);
    snprintf(field, cap, "%s", text);
    pthread_mutex_unlock(&r.lock);
}

static void script_location(const char *place, int port, const char *path)
{
    char text[256];
    if (port)
        snprintf(text, sizeof text, "%s:%d%s", place, port, path);
    else
        snprintf(text, sizeof text, "%s", place);
    script(r.location, sizeof r.location, text);
}

static void seen(int which, char out[4096])
{
    pthread_mutex_lock(&r.lock);
    memcpy(out, r.seen[which], 4096);
    pthread_mutex_unlock(&r.lock);
}

/* Reads requests until it is told to stop (a connection that sends "stop"). */
static void *scripted(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (;;) {
        int s = accept(r.listener[which], NULL, NULL);
        char buf[4096];
        size_t at = 0;
        ssize_t n;
        while ((n = recv(s, buf + at, sizeof buf - 1 - at, 0)) > 0) {
            at += (size_t)n;
            buf[at] = '\0';
            if (strstr(buf, "\r\n\r\noffer") || strncmp(buf, "stop", 4) == 0 ||
                (strncmp(buf, "DELETE", 6) == 0 && strstr(buf, "\r\n\r\n")))
                break;
        }
        if (strncmp(buf, "stop", 4) == 0 || at == 0) {
            close(s);
            return NULL;
        }
        pthread_mutex_lock(&r.lock);
        memcpy(r.seen[which], buf, at + 1);
        if (which == 0 && strncmp(buf, "POST", 4) == 0)
            snprintf(buf, sizeof buf, "HTTP/1.1 307 Elsewhere\r\nLocation: %s\r\n"
                     "Content-Length: 0\r\nConnection: close\r\n\r\n", r.location);
        else
            snprintf(buf, sizeof buf, "%s", r.answer);
        pthread_mutex_unlock(&r.lock);
        send_all(s, buf, strlen(buf));
        close(s);
    }
}

static void scripted_start(void)
{
    memset(&r, 0, sizeof r);
    pthread_mutex_init(&r.lock, NULL);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        r.listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(r.listener[i], (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(r.listener[i], 8), 0);
        getsockname(r.listener[i], (struct sockaddr *)&a, &len);
        r.port[i] = ntohs(a.sin_port);
        pthread_create(&r.thread[i], NULL, scripted, (void *)(intptr_t)i);
    }
}

static void scripted_stop(void)
{
    for (int i = 0; i < 2; i++) {
        int s = dial(r.port[i]);
        send_all(s, "stop", 4);
        pthread_join(r.thread[i], NULL);
        close(s);
        close(r.listener[i]);
    }
}

static void post_to_script(struct viewer *v, const char *answer)
{
    char url[64];
    script(r.answer, sizeof r.answer, answer);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/start", r.port[0]);
    view(v, url);
    on_network(free_task, v);
    v->config.bearer = "secret";
    on_network(new_task, v);
    do_and_wait(v, post_task);
}

static void test_redirects(void **state)
{
    (void)state;
    struct viewer v;
    scripted_start();
    script_location("http://127.0.0.1", r.port[1], "/there/whep");
    post_to_script(&v, "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n"
                       "Location: ../session/7\r\nLink: <stun:a>; rel=ice-server, "
                       "<https://x>; rel=\"other\", <turn:b:1?transport=tcp>; rel=\"ice-server\"; "
                       "username=\"a, b\"; credential=c\r\n"
                       "Content-Length: 3\r\nConnection: close\r\n\r\nv=0");
    assert_int_equal(v.error, 0);
    assert_string_equal(v.answer, "v=0");
    /* The token went to where it belongs, and not further. */
    char got[4096];
    seen(0, got);
    assert_non_null(strstr(got, "Authorization: Bearer secret\r\n"));
    seen(1, got);
    assert_memory_equal(got, "POST /there/whep HTTP/1.1\r\n", 27);
    assert_null(strstr(got, "secret"));
    assert_non_null(strstr(got, "\r\n\r\noffer"));
    do_and_wait(&v, servers_task);
    assert_int_equal(v.n, 2);
    assert_string_equal(v.url[1], "turn:a%2C%20b:c@b:1?transport=tcp");
    script(r.answer, sizeof r.answer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    do_and_wait(&v, delete_task);
    seen(1, got);
    assert_memory_equal(got, "DELETE /session/7 HTTP/1.1\r\n", 28);
    on_network(free_task, &v);

    /* Round and round. */
    script_location("http://127.0.0.1", r.port[0], "/start");
    post_to_script(&v, "");
    assert_int_equal(v.error, ERR_PROTOCOL);
    on_network(free_task, &v);
    /* Nowhere. */
    script_location("file:///etc/passwd", 0, "");
    post_to_script(&v, "");
    assert_int_equal(v.error, ERR_PROTOCOL);
    on_network(free_task, &v);
    scripted_stop();
}

static void test_strange_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int error;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", ERR_PROTOCOL,
         "not a WHEP address"},
        {"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nv=0", ERR_PROTOCOL, "not a WHEP"},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED, "--bearer"},
        {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED, "500"},
        {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL, "302"},
        {"SSH-2.0-OpenSSH\r\n", ERR_IO, ""},
        {"", ERR_IO, ""},
        {"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0",
         0, ""}, /* without Location: can be watched */
    };
    scripted_start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct viewer v;
        script_location("http://127.0.0.1", r.port[1], "/x");
        post_to_script(&v, cases[i].answer);
        if (v.error != cases[i].error || !strstr(v.text, cases[i].says))
            fail_msg("%s\ngave %d, %s", cases[i].answer, v.error, v.text);
        on_network(free_task, &v);
    }
    scripted_stop();
}

/* ---- TLS ---- */

static void write_certificate(const char *cert_path, const char *key_path, char pin[65])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    unsigned char digest[32];
    unsigned int n = sizeof digest;
    X509_digest(x, EVP_sha256(), digest, &n);
    for (int i = 0; i < 32; i++)
        snprintf(pin + 2 * i, 3, "%02x", digest[i]);
    FILE *f = fopen(cert_path, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_path, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void test_tls(void **state)
{
    (void)state;
    char dir[] = "/tmp/hevcast-test-XXXXXX", cert[64], key[64], pin[65], url[256];
    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    write_certificate(cert, key, pin);

    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.tls_cert = "/nonexistent.pem";
    o.config.tls_key = key;
    on_network(open_task, &o);
    assert_int_equal(o.error, ERR_INVALID);

    struct http_limits l = short_limits();
    l.header_us = 3000000;
    o.config.tls_cert = cert;
    o.config.limits = &l;
    serve_with(o);
    assert_memory_equal(whep_server_url(t.server), "https://127.0.0.1:", 18);

    /* The right pin, in the address. */
    struct viewer v;
    snprintf(url, sizeof url, "%s#sha256=%s", whep_server_url(t.server), pin);
    view(&v, url);
    do_and_wait(&v, post_task);
    if (v.error)
        fail_msg("%s", v.text);
    assert_string_equal(v.answer, answer_text);
    do_and_wait(&v, delete_task);
    assert_int_equal(t.deletes, 1);
    on_network(free_task, &v);

    /* None: the system does not know it. */
    view(&v, whep_server_url(t.server));
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_IO);
    assert_non_null(strstr(v.text, "--tls-pin"));
    on_network(free_task, &v);

    /* A wrong one. The offer must not have been sent. */
    int offers = t.offers;
    pin[0] = pin[0] == '0' ? '1' : '0';
    snprintf(url, sizeof url, "%s#sha256=%s", whep_server_url(t.server), pin);
    view(&v, url);
    do_and_wait(&v, post_task);
    assert_int_equal(v.error, ERR_REFUSED);
    assert_non_null(strstr(v.text, "another certificate"));
    assert_int_equal(t.offers, offers);
    on_network(free_task, &v);

    /* A peer that never shakes hands, and one that speaks plain HTTP. */
    int silent = dial(t.port);
    assert_int_equal(read_all(silent, response, sizeof response), 0);
    close(silent);
    int plain = dial(t.port);
    send_all(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    assert_true(read_all(plain, response, sizeof response) >= 0);
    close(plain);

    unlink(cert);
    unlink(key);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_client_and_server), T(test_client_errors), T(test_client_freed_while_waiting),
        T(test_client_renewed),
        T(test_client_addresses), T(test_redirects), T(test_strange_answers), T(test_tls),
    };
    return cmocka_run_group_tests_name("whep-client", tests, NULL, NULL);
}
