/* Several datagrams in one system call: transport/udp_segment, and peer_queue_rtp on top of it. */
#include "pair.h"

#include "transport/udp_segment.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

static int receiver_socket(struct sockaddr_storage *to, socklen_t *len)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *len = sizeof a;
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, *len) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, len), 0);
    memset(to, 0, sizeof *to);
    memcpy(to, &a, sizeof a);
    return fd;
}

static void one_call_many_datagrams(void **state)
{
    (void)state;
    struct sockaddr_storage to;
    socklen_t len;
    uint8_t data[5 * 1000 + 7], in[2000];
    int from = socket(AF_INET, SOCK_DGRAM, 0), fd = receiver_socket(&to, &len);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i / 1000);
    int rc = udp_send_segments(from, &to, len, data, sizeof data, 1000);
    if (rc == -EIO || rc == -EINVAL || rc == -ENOPROTOOPT) {
        print_message("SKIPPED: this kernel has no UDP_SEGMENT (%s)\n", strerror(-rc));
        skip();
    }
    assert_int_equal(rc, 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), i < 5 ? 1000 : 7);
        assert_int_equal(in[0], i);
    }
    assert_int_equal(udp_send_segments(from, &to, len, data, 500, 1000), 0); /* a single one */
    assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 500);
    /* What the kernel refuses is told, and nothing was sent: no checksums, no segments. */
    int one = 1;
    assert_int_equal(setsockopt(from, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
    assert_true(udp_send_segments(from, &to, len, data, sizeof data, 1000) < 0);
    assert_true(recv(fd, in, sizeof in, MSG_DONTWAIT) < 0);
    close(from);
    close(fd);
}

enum { PACKETS = 60 };
static bool report_came(struct pair *pair) { return pair->b.rtcp >= 1; }

/* Bursts as they come: equal ones, one shorter at the end, another size in between. */
static void queued_packets_arrive_in_order(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, NULL);
    pair_connect(&pair);
    uint8_t packet[PAIR_PACKET];
    static const size_t size[] = {1000, 1000, 1000, 1000, 999, 999, 300, 1000, 1200, 40};
    struct peer_stats before, after;
    peer_get_stats(pair.a.peer, &before);
    int64_t bytes = 0;
    for (int i = 0; i < PACKETS; i++) {
        size_t len = size[i % 10];
        make_rtp(packet, (uint16_t)(i + 1), 1, len);
        peer_queue_rtp(pair.a.peer, packet, len);
        bytes += (int64_t)len + 16;
    }
    uint8_t rtcp[8];
    make_rtcp(rtcp, 1);
    assert_int_equal(peer_send_rtcp(pair.a.peer, rtcp, 8), 0); /* behind what was queued */
    assert_true(pair_run(&pair, report_came, 5));
    assert_int_equal(pair.b.rtp, PACKETS);
    assert_int_equal(pair.b.last_len, 8); /* the report was the last */
    peer_get_stats(pair.a.peer, &after);
    assert_int_equal(after.send_failed - before.send_failed, 0);
    assert_true(after.bytes_sent - before.bytes_sent >= bytes);
    assert_true(after.batches_sent - before.batches_sent <= PACKETS / 2 + 6);
    peer_flush(pair.a.peer); /* nothing waits: nothing happens */
    struct peer_stats last;
    peer_get_stats(pair.a.peer, &last);
    assert_int_equal(last.batches_sent, after.batches_sent);
    pair_close(&pair);
}

static void what_cannot_be_sent_is_counted(void **state)
{
    (void)state;
    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, NULL);
    uint8_t packet[PAIR_PACKET];
    make_rtp(packet, 1, 1, sizeof packet);
    peer_queue_rtp(pair.a.peer, packet, sizeof packet);
    peer_flush(pair.a.peer);
    struct peer_stats s;
    peer_get_stats(pair.a.peer, &s);
    assert_int_equal(s.send_failed, 1);
    assert_int_equal(s.batches_sent, 0);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_many_datagrams),
        cmocka_unit_test(queued_packets_arrive_in_order),
        cmocka_unit_test(what_cannot_be_sent_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
