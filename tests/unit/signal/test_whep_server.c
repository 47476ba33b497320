/* signal/whep_server: what it answers, and rude peers, over loopback. */
#include "rig.h"

#include <poll.h>
#include <sys/resource.h>

static void test_statuses(void **state)
{
    (void)state;
    serve();
    static const struct {
        const char *method, *path, *headers, *body;
        int status;
        const char *has[3];
    } cases[] = {
        {"GET", "/%s", "", "", 200, {"text/html", page_text, "Referrer-Policy: no-referrer"}},
        {"GET", "/%s/", "", "", 200, {page_text}},
        {"GET", "/%s?x=1", "", "", 200, {page_text}},
        {"HEAD", "/%s", "", "", 200, {"Content-Length: 26"}},
        {"POST", "/%s", SDP_TYPE, "o", 201,
         {"Location: /abcdefghijklmnopqrstuv/whep/session-1\r\n", "ETag: \"tag1\"\r\n",
          "Content-Type: application/sdp\r\n"}},
        {"POST", "/%s/whep", SDP_TYPE, "o", 201, {"Link: <turn:turn.example.net", answer_text}},
        {"POST", "/%s/whep", "Content-Type: Application/SDP; charset=utf-8\r\n", "o", 201, {0}},
        {"POST", "/%s/whep", SDP_TYPE, "full", 503,
         {"Retry-After: 7\r\n", "there are enough viewers", "text/plain"}},
        {"POST", "/%s/whep", "", "o", 415, {"Accept-Post: application/sdp"}},
        {"POST", "/%s/whep", "Content-Type: text/plain\r\n", "o", 415, {0}},
        {"POST", "/%s/whep", SDP_TYPE, "", 400, {"Access-Control-Allow-Origin: *", "is empty"}},
        {"OPTIONS", "/%s/whep", "", "", 204,
         {"Link: <stun:stun.example.net>; rel=\"ice-server\"",
          "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match",
          "Access-Control-Allow-Methods: POST, OPTIONS"}},
        {"OPTIONS", "/%s", "", "", 204, {"Accept-Post: application/sdp"}},
        {"OPTIONS", "/%s/whep/session-1", "", "", 204,
         {"Access-Control-Allow-Methods: PATCH, DELETE, OPTIONS"}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: \"tag1\"\r\n", "a=x", 204, {0}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: *\r\n", "a=x", 200,
         {"ETag: \"tag2\"", "application/trickle-ice-sdpfrag", "a=ice-ufrag:new"}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE "If-Match: \"other\"\r\n", "a=x", 412, {0}},
        {"PATCH", "/%s/whep/session-1", FRAG_TYPE, "a=x", 428, {0}},
        {"PATCH", "/%s/whep/session-1", SDP_TYPE "If-Match: *\r\n", "a=x", 415,
         {"Accept-Patch: application/trickle-ice-sdpfrag"}},
        {"DELETE", "/%s/whep/session-1", "", "", 200, {0}},
        {"DELETE", "/%s/whep/other", "", "", 404, {"there is no such session"}},
        {"GET", "/%s/whep", "", "", 405, {"Allow: POST, OPTIONS"}},
        {"PUT", "/%s", "", "", 405, {"Allow: GET, HEAD, POST, OPTIONS"}},
        {"DELETE", "/%s/whep", "", "", 405, {0}},
        {"POST", "/%s/whep/session-1", SDP_TYPE, "o", 405, {"Allow: PATCH, DELETE, OPTIONS"}},
        {"GET", "/%s/whep/session-1", "", "", 405, {0}},
        {"GET", "/", "", "", 404, {0}},
        {"GET", "/whep", "", "", 404, {0}},
        {"GET", "//%s", "", "", 404, {0}},
        {"GET", "/%s/x", "", "", 404, {0}},
        {"GET", "/x/../%s", "", "", 200, {page_text}}, /* RFC 3986 section 5.2.4 */
        {"GET", "/%s/../%s", "", "", 200, {page_text}},
        {"GET", "/%s/..", "", "", 404, {0}},
        {"GET", "/%s/whep/a/b", "", "", 404, {0}},
        {"DELETE", "/%s/whep/..", "", "", 405, {0}},
        {"DELETE", "/%s/whep/%%2e%%2e", "", "", 405, {0}},
        {"DELETE", "/%s/whep/a%%2Fb", "", "", 404, {0}},
        {"DELETE", "/%s/whep/session-1%%00", "", "", 404, {0}},
        {"GET", "/%s%%00", "", "", 404, {0}},
        {"GET", "/%s%%", "", "", 400, {0}}, /* by libsoup, without our headers */
        {"GET", "/%%61bcdefghijklmnopqrstuv", "", "", 200, {page_text}},
        {"OPTIONS", "*", "", "", 404, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
        snprintf(path, sizeof path, cases[i].path, token, token);
#pragma GCC diagnostic pop
        int status = request(cases[i].method, path, cases[i].headers, cases[i].body);
        if (status != cases[i].status)
            fail_msg("%s %s: %d instead of %d\n%s", cases[i].method, path, status,
                     cases[i].status, response);
        for (int j = 0; j < 3 && cases[i].has[j]; j++)
            has(cases[i].has[j]);
        if (strcmp(cases[i].path, "*") != 0 && status != 400)
            has("Access-Control-Allow-Origin: *\r\n");
    }
    assert_int_equal(request("HEAD", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_null(strstr(response, page_text));
    request("POST", "/abcdefghijklmnopqrstuv?carrier=vp8&a=b", SDP_TYPE, "offer");
    assert_string_equal(t.query, "carrier=vp8&a=b");
    assert_string_equal(t.offer, "offer");
    request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, "offer");
    assert_string_equal(t.query, "");
}

/* Everything but the date. */
static void without_date(char *out, size_t cap)
{
    char *date = strstr(response, "Date: ");
    assert_non_null(date);
    snprintf(out, cap, "%.*s%s", (int)(date - response), response, strstr(date, "\r\n"));
}

static void test_wrong_token_tells_nothing(void **state)
{
    (void)state;
    serve();
    static const char *const wrong[] = {"/zbcdefghijklmnopqrstuv", "/abcdefghijklmnopqrstuw",
                                        "/abcdefghijklmnopqrstu", "/abcdefghijklmnopqrstuvw",
                                        "/abcdefghijklmnopqrstuvabcdefghijklmnopqrstuv", "/"};
    static const char *const methods[] = {"GET", "POST", "OPTIONS", "DELETE"};
    for (size_t m = 0; m < 4; m++) {
        char first[4096], other[4096];
        assert_int_equal(request(methods[m], "/favicon.ico", SDP_TYPE, "o"), 404);
        without_date(first, sizeof first);
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            assert_int_equal(request(methods[m], wrong[i], SDP_TYPE, "o"), 404);
            without_date(other, sizeof other);
            assert_string_equal(first, other);
        }
    }
    assert_int_equal(t.offers, 0);
}

static void test_open_share(void **state)
{
    (void)state;
    serve_with(opening_of("127.0.0.1:0", ""));
    assert_int_equal(request("GET", "/", "", ""), 200);
    assert_int_equal(request("POST", "/whep", SDP_TYPE, "o"), 201);
    has("Location: /whep/session-1\r\n");
    assert_int_equal(request("POST", "/", SDP_TYPE, "o"), 201);
    assert_int_equal(request("DELETE", "/whep/session-1", "", ""), 200);
    assert_int_equal(request("GET", "/x", "", ""), 404);
}

static void test_listen_addresses(void **state)
{
    (void)state;
    static const char *const senseless[] = {"", "x", "1.2.3.4", "1.2.3:80", "127.0.0.1:70000",
                                            "127.0.0.1:-1", "127.0.0.1:80x", "::1:8554", "[::1]",
                                            "[::1:8554", "example.com:80", "127.0.0.1: 80"};
    for (size_t i = 0; i < sizeof senseless / sizeof senseless[0]; i++) {
        struct opening o = opening_of(senseless[i], token);
        on_network(open_task, &o);
        if (o.error != ERR_INVALID)
            fail_msg("\"%s\" gave %d", senseless[i], o.error);
        assert_null(o.server);
    }
    struct opening bad = opening_of("127.0.0.1:0", "a/b");
    on_network(open_task, &bad);
    assert_int_equal(bad.error, ERR_INVALID);

    serve();
    char expected[128];
    snprintf(expected, sizeof expected, "http://127.0.0.1:%d/%s", t.port, token);
    assert_string_equal(whep_server_url(t.server), expected);

    /* Taken: by number an error, by default the next one. */
    char same[64];
    snprintf(same, sizeof same, "127.0.0.1:%d", t.port);
    struct opening taken = opening_of(same, token);
    on_network(open_task, &taken);
    assert_int_equal(taken.error, ERR_IO);
    snprintf(expected, sizeof expected, "port %d is taken; choose another with --listen ADDR:PORT",
             t.port);
    assert_string_equal(taken.text, expected);

    struct opening first = opening_of(NULL, token), second = opening_of(NULL, token);
    on_network(open_task, &first);
    assert_int_equal(first.error, 0);
    on_network(open_task, &second);
    assert_int_equal(second.error, 0);
    assert_true(whep_server_port(first.server) >= 8554);
    assert_true(whep_server_port(second.server) > whep_server_port(first.server));
    assert_null(strstr(whep_server_url(first.server), "0.0.0.0"));
    on_network(free_server_task, &second.server);
    on_network(free_server_task, &first.server);

    struct opening v6 = opening_of("[::1]:0", token);
    on_network(open_task, &v6);
    if (v6.error == 0) { /* a machine without IPv6 cannot */
        assert_non_null(strstr(whep_server_url(v6.server), "http://[::1]:"));
        on_network(free_server_task, &v6.server);
    }
}

/* ---- rude peers ---- */

static void test_slow_peers_are_cut(void **state)
{
    (void)state;
    struct http_limits l = short_limits();
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.limits = &l;
    serve_with(o);

    int silent = dial(t.port);
    assert_int_equal(read_all(silent, response, sizeof response), 0);
    close(silent);

    int slow = dial(t.port); /* a byte now and then is no excuse */
    for (int i = 0; i < 1000; i++) {
        if (!send_all(slow, "G", 1))
            break;
        usleep(20000);
        if (i == 999)
            fail_msg("a header of one byte in 20 ms went on for ever");
    }
    close(slow);

    int body = dial(t.port);
    assert_true(send_all(body, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", 53));
    assert_true(read_all(body, response, sizeof response) >= 0);
    close(body);

    /* Kept open after a response or not, as libsoup likes (it closes when it has no listener of its
     * own), but never for ever. */
    int idle = dial(t.port);
    const char *get = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_true(send_all(idle, get, strlen(get)));
    assert_true(read_all(idle, response, sizeof response) > 0);
    close(idle);
}

static void test_large_bodies(void **state)
{
    (void)state;
    serve();
    size_t size = 70000;
    char *body = malloc(4 << 20);
    memset(body, 'x', 4 << 20);
    body[65536] = '\0';
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, body), 201);
    assert_int_equal(t.offers, 1);
    body[65536] = 'x';
    body[size] = '\0';
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, body), 413);
    has("Connection: close");

    /* In chunks, without a length. */
    int s = dial(t.port);
    const char *head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Transfer-Encoding: chunked\r\n\r\n10000\r\n";
    send_all(s, head, strlen(head));
    send_all(s, body, 65536);
    send_all(s, "\r\n1000\r\n", 8);
    send_all(s, body, 4096);
    send_all(s, "\r\n0\r\n\r\n", 7);
    assert_true(read_all(s, response, sizeof response) > 0);
    assert_non_null(strstr(response, "HTTP/1.1 413"));
    close(s);

    /* Asked first, it is refused before the body is sent. */
    s = dial(t.port);
    head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
           "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    send_all(s, head, strlen(head));
    assert_true(recv(s, response, sizeof response, 0) > 0);
    assert_memory_equal(response, "HTTP/1.1 413", 12);
    close(s);

    /* 4 MB: cut. */
    body[size] = 'x';
    s = dial(t.port);
    head = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
           "Content-Length: 4194304\r\n\r\n";
    send_all(s, head, strlen(head));
    bool taken = send_all(s, body, 4 << 20);
    assert_true(read_all(s, response, sizeof response) >= 0);
    assert_true(!taken || strstr(response, " 413 ") || response[0] == '\0');
    close(s);
    assert_int_equal(t.offers, 1);
    free(body);
}

static void test_garbage(void **state)
{
    (void)state;
    serve();
    static const char *const garbage[] = {
        "\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02garbage\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n\x01\x02\x03 nonsense\r\n\r\n\r\n",
        "GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: -5\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "\r\nzzz\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /%s%s%s%n HTTP/1.1\r\nHost: %n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int s = dial(t.port);
        send_all(s, garbage[i], strlen(garbage[i]));
        shutdown(s, SHUT_WR);
        assert_true(read_all(s, response, sizeof response) >= 0);
        close(s);
    }
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
}

static void test_idle_crowd(void **state)
{
    (void)state;
    serve();
    int crowd[300];
    for (int i = 0; i < 300; i++)
        crowd[i] = dial(t.port);
    /* All 300 and the request come from one address, of which 64 connections may stay. */
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, "o"), 201);
    /* The oldest made room. */
    assert_int_equal(read_all(crowd[0], response, sizeof response), 0);
    struct pollfd p = {.fd = crowd[299], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); /* the newest stay */
    for (int i = 0; i < 300; i++)
        close(crowd[i]);
}

/* 20 machines with 50 each, and one that sends a byte now and then on each of 40. */
static void test_thousand_idle(void **state)
{
    (void)state;
    enum { MACHINES = 20, EACH = 50, SLOW = 40 };
    serve();
    static int idle[MACHINES * EACH], slow[SLOW];
    for (int i = 0; i < MACHINES * EACH; i++) {
        char from[32];
        snprintf(from, sizeof from, "127.0.1.%d", 1 + i / EACH);
        idle[i] = dial_from(from, t.port);
    }
    for (int i = 0; i < SLOW; i++)
        slow[i] = dial_from("127.0.2.1", t.port);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < SLOW; i++)
            send_all(slow[i], &"GET /"[round], 1);
        assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);
    }
    assert_int_equal(request("POST", "/abcdefghijklmnopqrstuv", SDP_TYPE, "o"), 201);
    for (int i = 0; i < MACHINES * EACH; i++)
        close(idle[i]);
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
}

static void reply_ok_task(void *req) { whep_reply_ok(req); }

static void test_busy_connections_are_not_evicted(void **state)
{
    (void)state;
    struct http_limits l;
    http_limits_default(&l);
    l.connections = 2;
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.limits = &l;
    serve_with(o);
    const char *post = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Content-Length: 4\r\n\r\nhold";
    int a = dial(t.port), b = dial(t.port);
    send_all(a, post, strlen(post));
    wait_for(&t.held_one);
    struct whep_request *first = t.held;
    send_all(b, post, strlen(post));
    wait_for(&t.held_one);
    int late = dial(t.port);
    assert_int_equal(read_all(late, response, sizeof response), 0); /* refused */
    close(late);
    /* Both still get their answers. */
    struct whep_request *both[2] = {first, t.held};
    for (int i = 0; i < 2; i++)
        on_network(reply_ok_task, both[i]);
    assert_true(recv(a, response, sizeof response, 0) > 12);
    assert_memory_equal(response, "HTTP/1.1 200", 12);
    assert_true(recv(b, response, sizeof response, 0) > 12);
    assert_memory_equal(response, "HTTP/1.1 200", 12);
    close(a);
    close(b);
}

static void test_client_leaves_before_the_reply(void **state)
{
    (void)state;
    serve();
    const char *post = "POST /abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: x\r\n" SDP_TYPE
                       "Content-Length: 4\r\n\r\nhold";
    int s = dial(t.port);
    send_all(s, post, strlen(post));
    wait_for(&t.held_one);
    struct linger reset = {.l_onoff = 1};
    setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(s);
    on_network(reply_created_task, t.held);
    assert_int_equal(request("GET", "/abcdefghijklmnopqrstuv", "", ""), 200);

    /* And the server before the reply. */
    s = dial(t.port);
    send_all(s, post, strlen(post));
    wait_for(&t.held_one);
    on_network(free_server_task, &t.server);
    on_network(reply_created_task, t.held);
    assert_true(read_all(s, response, sizeof response) >= 0);
    close(s);
}

int main(void)
{
    /* A crowd of connections, both ends of each in this process. */
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        T(test_statuses), T(test_wrong_token_tells_nothing), T(test_open_share),
        T(test_listen_addresses), T(test_slow_peers_are_cut), T(test_large_bodies),
        T(test_garbage), T(test_idle_crowd), T(test_thousand_idle), T(test_busy_connections_are_not_evicted),
        T(test_client_leaves_before_the_reply),
    };
    return cmocka_run_group_tests_name("whep-server", tests, NULL, NULL);
}
