/* STUN and TURN: a reflexive candidate from a small server of our own, and relayed connections
 * through coturn. In a network of its own, so that no port is taken. */
#include "netns.h"
#include "pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* --- STUN: answers every binding request with 203.0.113.7:4444 (RFC 8489) --- */

static void *stun_server(void *ctx)
{
    int fd = *(int *)ctx;
    for (;;) {
        uint8_t in[512], out[32];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
        if (n == 1)
            return NULL; /* the test is over */
        if (n < 20 || rd_be16(in) != 1)
            continue;
        wr_be16(out, 0x0101);
        wr_be16(out + 2, 12);
        memcpy(out + 4, in + 4, 16);
        wr_be16(out + 20, 0x0020); /* XOR-MAPPED-ADDRESS */
        wr_be16(out + 22, 8);
        wr_be16(out + 24, 1);
        wr_be16(out + 26, 4444 ^ 0x2112);
        wr_be32(out + 28, 0xcb007107 ^ 0x2112a442);
        sendto(fd, out, sizeof out, 0, (struct sockaddr *)&from, from_len);
    }
}

static bool a_gathered(struct pair *pair) { return pair->a.gathered; }

static void a_stun_server_gives_a_reflexive_candidate(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stun_server, &fd), 0);

    char url[64];
    snprintf(url, sizeof url, "stun:127.0.0.1:%d", ntohs(at.sin_port));
    struct ice_server server;
    assert_int_equal(ice_server_parse(url, &server), 0);
    struct ice_config ice = {.servers = &server, .server_count = 1};
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, &ice);
    assert_int_equal(peer_gather(pair.a.peer), 0);
    assert_true(pair_run(&pair, a_gathered, 20));
    const char *c[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(pair.a.peer, c), found = 0;
    for (int i = 0; i < n; i++)
        found += strstr(c[i], " 203.0.113.7 4444 typ srflx") != NULL;
    assert_int_equal(found, 1);
    pair_close(&pair);

    assert_int_equal(sendto(fd, "", 1, 0, (struct sockaddr *)&at, sizeof at), 1);
    pthread_join(thread, NULL);
    close(fd);
}

/* A server that does not answer delays on_gathered alone: host candidates are there at once, and a
 * peer connects over them. */
static void a_silent_stun_server_delays_nobody(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    struct ice_server server = {.transport = 'u', .host = "127.0.0.1", .port = ntohs(at.sin_port)};
    struct ice_config ice = {.servers = &server, .server_count = 1};
    struct pair pair = {0};
    pair_open(&pair, &ice);
    pair_connect(&pair);
    assert_false(pair.a.gathered);
    assert_true(pair_run(&pair, both_gathered, 20));
    print_message("gathered after %.1f s\n", (double)(clock_now_us() - pair.start_us) / 1e6);
    pair_close(&pair);
    close(fd);
}

/* --- TURN --- */

static pid_t coturn;
static char work_dir[] = "/tmp/hevcast-turn-XXXXXX";

static bool port_answers(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool answers = connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return answers;
}

static bool start_coturn(void)
{
    coturn = fork();
    if (coturn == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (chdir(work_dir) == 0)
            execlp("turnserver", "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls",
                   "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers",
                   "--lt-cred-mech", "--user=view@er:pa:ss", "--realm=test", "--log-file=stdout",
                   "--pidfile=turn.pid", "--userdb=turn.db", "--min-port=50000",
                   "--max-port=50200", "--verbose", NULL);
        _exit(127);
    }
    for (int i = 0; i < 200 && coturn > 0; i++) {
        if (port_answers(3478))
            return true;
        if (waitpid(coturn, NULL, WNOHANG) == coturn)
            break;
        usleep(50000);
    }
    return false;
}

static void stop_coturn(void)
{
    kill(coturn, SIGTERM);
    waitpid(coturn, NULL, 0);
    static const char *const files[] = {"turn.pid", "turn.db"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", work_dir, files[i]);
        unlink(path);
    }
    rmdir(work_dir);
}

static bool rtp_both_ways(struct pair *pair) { return pair->a.rtp >= 20 && pair->b.rtp >= 20; }

static void relayed_over(const char *url)
{
    struct ice_server server;
    assert_int_equal(ice_server_parse(url, &server), 0);
    struct ice_config ice = {.servers = &server, .server_count = 1, .relay_only = true};
    struct pair pair = {0};
    pair_open(&pair, &ice);
    pair_connect(&pair);
    char text[256];
    peer_describe(pair.a.peer, text, sizeof text);
    print_message("%s: connected in %.1f ms over %s\n", strrchr(url, '@') + 1,
                  (double)(clock_now_us() - pair.start_us) / 1000, text);
    assert_non_null(strstr(text, "relay"));
    const char *c[ICE_MAX_CANDIDATES];
    int n = peer_local_candidates(pair.a.peer, c);
    assert_true(n > 0);
    for (int i = 0; i < n; i++)
        assert_non_null(strstr(c[i], "typ relay"));
    uint8_t packet[PAIR_PACKET];
    for (int i = 0; i < 20; i++) {
        make_rtp(packet, (uint16_t)i, 1, sizeof packet);
        peer_queue_rtp(pair.a.peer, packet, sizeof packet); /* libnice wraps each for the server */
        make_rtp(packet, (uint16_t)i, 2, sizeof packet);
        assert_int_equal(peer_send_rtp(pair.b.peer, packet, sizeof packet), 0);
    }
    peer_flush(pair.a.peer);
    assert_true(pair_run(&pair, rtp_both_ways, 10));
    pair_close(&pair);
}

static void relayed_over_udp(void **state)
{
    (void)state;
    relayed_over("turn:view%40er:pa%3Ass@127.0.0.1:3478");
}

static void relayed_over_tcp(void **state)
{
    (void)state;
    relayed_over("turn:view%40er:pa%3Ass@127.0.0.1?transport=tcp");
}

static void a_wrong_password_gives_no_candidate(void **state)
{
    (void)state;
    struct ice_server server;
    assert_int_equal(ice_server_parse("turn:view%40er:wrong@127.0.0.1", &server), 0);
    struct ice_config ice = {.servers = &server, .server_count = 1, .relay_only = true};
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, &ice);
    assert_int_equal(peer_gather(pair.a.peer), 0);
    assert_true(pair_run(&pair, a_gathered, 20));
    const char *c[ICE_MAX_CANDIDATES];
    assert_int_equal(peer_local_candidates(pair.a.peer, c), 0);
    pair_close(&pair);
}

int main(void)
{
    if (!netns_enter())
        return TEST_SKIPPED;
    if (!mkdtemp(work_dir) || !start_coturn()) {
        fprintf(stderr, "SKIPPED: coturn's turnserver does not start; is it installed?\n");
        rmdir(work_dir);
        return TEST_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stun_server_gives_a_reflexive_candidate),
        cmocka_unit_test(a_silent_stun_server_delays_nobody),
        cmocka_unit_test(relayed_over_udp),
        cmocka_unit_test(relayed_over_tcp),
        cmocka_unit_test(a_wrong_password_gives_no_candidate),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_coturn();
    return failed;
}
