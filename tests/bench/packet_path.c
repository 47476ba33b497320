/* What a packet costs on the network thread, and what it allocates: a sender and a receiver of video
 * over two peers (ICE by libnice, DTLS, SRTP with AES-GCM) on one loop, over this machine.
 *
 *   packet_path STREAM --bench FILE.json   CPU time for each packet, a table
 *   packet_path STREAM --soak SECONDS      20 Mb/s with 2 % loss: memory is flat, and nothing is
 *                                          allocated for packets
 *
 * The numbers are of CPU time of the one thread. Over loopback the kernel's part of receiving is
 * done inside the send call, and counts there.
 *
 * What is allocated: by hevcast two blocks for each picture that is received (an access unit, which goes on
 * to other threads), and a slot of a ring the first time that it is used. By libraries, for libnice's timers and
 * checks of consent; and GLib makes a GError of "would block" each time that libnice reads a socket, which it
 * does for what is no media, and in one turn of 128 (transport/ice_direct.c). */
#include "../unit/transport/netns.h"
#include "../unit/transport/pair.h"

#include "hevc/nal.h"
#include "jitter/packet_ring.h"
#include "jitter/video_receiver.h"
#include "rtp/video_sender.h"

#include <errno.h>
#include <glib.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "transport/srtp.h"
#include "transport/udp_segment.h"

enum { FPS = 30, PAYLOAD_PACKET = 1184 /* 1200 with GCM's tag */, BURST = 13, MAX_QUEUE_US = 200000 };

/* --- counting: the program's own definitions come before the library's --- */

static bool counting;
static int64_t wakes;
static int64_t allocations, ours; /* ours: called for by hevcast's own code, which is in here */
extern const char __executable_start, etext;

static inline void count(const void *caller)
{
    const char *c = caller;
    allocations += counting;
    ours += counting && c >= &__executable_start && c < &etext;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(p, size);
}
#endif

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- a stream over a pair --- */

struct stream {
    struct pair pair;
    struct video_sender *sender;
    struct video_receiver *receiver;
    struct access_unit *key, *delta;
    struct loop_timer *timer;
    int64_t next_picture_us, gap_us, end_us;
    bool key_wanted, one_by_one;
    uint64_t random;
    double loss;
    int64_t packets, dropped, pictures, shown, sending_ns;
};

static struct stream s;
static uint8_t sets[4096]; /* a stream's beginning */
static size_t sets_len;

static uint64_t ntp(void) { return (uint64_t)clock_now_us() * 4294967296 / 1000000 + (1ull << 60); }

static struct access_unit *make_au(size_t bytes, bool key)
{
    struct access_unit *au = access_unit_new(bytes + 200);
    uint8_t *d = malloc(bytes);
    memset(d, 0x5a, bytes);
    size_t pos = 0;
    struct nal n;
    while (key && annexb_next(sets, sets_len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        if (nal_type(&n) != NAL_AUD)
            assert_true(au_append_nal(au, n.data, n.len));
    d[0] = (uint8_t)((key ? NAL_IDR_W_RADL : NAL_TRAIL_R) << 1);
    d[1] = 1;
    d[2] = 0xaf;
    assert_true(au_append_nal(au, d, bytes));
    free(d);
    au->irap = key;
    return au;
}

static double random01(void)
{
    s.random = s.random * 6364136223846793005u + 1442695040888963407u;
    return (double)(s.random >> 40) / 16777216.0;
}

static void push_picture(int64_t now_us)
{
    struct access_unit *au = s.key_wanted ? s.key : s.delta;
    s.key_wanted = false;
    au->pts_us = au->capture_us = now_us;
    au->pic_id = (uint64_t)++s.pictures;
    assert_true(video_sender_push(s.sender, au, ntp(), now_us));
}

static void pump(void *ctx)
{
    (void)ctx;
    int64_t before = cpu_ns(), now = clock_now_us();
    if (s.gap_us && now >= s.next_picture_us && now < s.end_us) {
        if (video_sender_queue_us(s.sender, now) < MAX_QUEUE_US) /* else skipped, as session/ does */
            push_picture(now);
        s.next_picture_us += s.gap_us;
    }
    struct rtp_packet p;
    while (video_sender_poll(s.sender, now, &p)) {
        s.packets++;
        if (random01() < s.loss)
            s.dropped++;
        else if (s.one_by_one)
            peer_send_rtp(s.pair.a.peer, p.data, p.len);
        else
            peer_queue_rtp(s.pair.a.peer, p.data, p.len);
    }
    peer_flush(s.pair.a.peer);
    uint8_t buf[1200];
    size_t n;
    while ((n = video_sender_rtcp(s.sender, now, ntp(), buf, sizeof buf)))
        peer_send_rtcp(s.pair.a.peer, buf, n);
    int64_t next = video_sender_next_us(s.sender);
    bool more = s.gap_us && s.next_picture_us < s.end_us; /* pictures */
    next = more && s.next_picture_us < next ? s.next_picture_us : next;
    next = video_sender_rtcp_next_us(s.sender) < next ? video_sender_rtcp_next_us(s.sender) : next;
    loop_timer_set(s.timer, next);
    s.sending_ns += cpu_ns() - before;
}

static void at_sender(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    (void)ctx;
    struct rtcp_events e;
    video_sender_on_rtcp(s.sender, data, len, now_us, ntp(), &e);
    s.key_wanted |= e.key_wanted;
    pump(NULL);
}

static void feedback(int64_t now_us)
{
    struct access_unit *au;
    uint8_t buf[1200];
    size_t n;
    while ((au = video_receiver_poll(s.receiver, now_us))) {
        s.shown++;
        access_unit_unref(&au);
    }
    while ((n = video_receiver_rtcp(s.receiver, now_us, buf, sizeof buf)))
        peer_send_rtcp(s.pair.b.peer, buf, n);
}

static void at_receiver(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    (void)ctx;
    video_receiver_on_rtp(s.receiver, data, len, now_us);
    feedback(now_us);
}

static void sr_at_receiver(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    (void)ctx;
    bool bye;
    video_receiver_on_rtcp(s.receiver, data, len, now_us, &bye);
    feedback(now_us);
}

static void nothing(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    (void)ctx, (void)data, (void)len, (void)now_us;
}

static struct peer *open_peer(struct end *e, bool controlling)
{
    struct peer_config c = {
        .ice = {.loop = s.pair.loop, .controlling = controlling},
        .identity = e->identity = dtls_identity_new(),
        .on_candidate = pair_on_candidate, .on_gathered = pair_on_gathered,
        .on_connected = pair_on_connected, .on_end = pair_on_end,
        .on_rtp = controlling ? nothing : at_receiver,
        .on_rtcp = controlling ? at_sender : sr_at_receiver,
        .ctx = e,
    };
    e->pair = &s.pair;
    e->other = controlling ? &s.pair.b : &s.pair.a;
    assert_int_equal(peer_new(&e->peer, &c), 0);
    return e->peer;
}

static void open_stream(int64_t bps, bool paced)
{
    struct video_sender_config sc;
    struct video_receiver_config rc;
    s.pair.loop = loop_new();
    s.pair.trickle = CANDIDATES_LAST;
    s.pair.poll = loop_timer_new(s.pair.loop, pair_poll, &s.pair);
    s.pair.watchdog = loop_timer_new(s.pair.loop, pair_watchdog, &s.pair);
    s.timer = loop_timer_new(s.pair.loop, pump, NULL);
    open_peer(&s.pair.a, true);
    open_peer(&s.pair.b, false);
    video_sender_default_config(&sc);
    video_receiver_default_config(&rc);
    sc.ssrc = 1;
    sc.rtx_ssrc = 2;
    sc.pt = rc.pt = 96;
    sc.rtx_pt = rc.rtx_pt = 97;
    sc.max_packet = PAYLOAD_PACKET;
    sc.ext = rc.ext = (struct rtp_ext_ids){.twcc = 6, .abs_send_time = 2, .abs_capture_time = 3};
    if (paced)
        sc.cc = (struct cc_config){.start_bps = 2 * bps, .min_bps = 2 * bps, .max_bps = 3 * bps};
    else
        sc.pacing_bps = 1000000000000;
    strcpy(sc.cname, "bench");
    rc.nack = rc.pli = rc.twcc = true;
    s.sender = video_sender_new(&sc);
    s.receiver = video_receiver_new(&rc);
    assert_true(s.sender && s.receiver);
    s.key = make_au((size_t)(bps / 8 / FPS), true);
    s.delta = make_au((size_t)(bps / 8 / FPS), false);
    s.key_wanted = true;
    s.random = 1;
    pair_connect(&s.pair);
}

static void close_stream(void)
{
    loop_timer_free(&s.timer);
    pair_close(&s.pair);
    video_sender_free(&s.sender);
    video_receiver_free(&s.receiver);
    access_unit_unref(&s.key);
    access_unit_unref(&s.delta);
    memset(&s, 0, sizeof s);
}

/* --- soak --- */

static gint counting_poll(GPollFD *fds, guint n, gint timeout_ms)
{
    wakes++;
    return g_poll(fds, n, timeout_ms);
}

static long rss_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool soak_over(struct pair *pair)
{
    (void)pair;
    return clock_now_us() >= s.end_us;
}

static int soak(int seconds)
{
    int64_t bps = 20000000;
    open_stream(bps, true);
    g_main_context_set_poll_func(loop_context(s.pair.loop), counting_poll);
    s.loss = 0.02;
    s.gap_us = 1000000 / FPS;
    s.next_picture_us = clock_now_us();
    /* Rings grow to the size that they need; each slot of the receiver's, when it is used first. */
    int warm_s = seconds >= 60 ? 60 : 8;
    size_t slots = seconds >= 60 ? 0 : RING_PACKETS * 1400;
    s.end_us = s.next_picture_us + warm_s * 1000000;
    pump(NULL);
    pair_run(&s.pair, soak_over, warm_s + 60);
    int64_t packets = s.packets, pictures = s.pictures;
    size_t before = mallinfo2().uordblks;
    long rss_before = rss_kb();
    counting = true;
    allocations = ours = wakes = 0;
    s.end_us = clock_now_us() + (int64_t)seconds * 1000000;
    pump(NULL);
    pair_run(&s.pair, soak_over, seconds + 60);
    counting = false;
    size_t after = mallinfo2().uordblks;
    struct video_receiver_stats rs;
    video_receiver_get_stats(s.receiver, &rs);
    int64_t theirs = allocations - ours;
    packets = s.packets - packets;
    pictures = s.pictures - pictures;
    printf("%d s: %lld packets, %lld pictures (%lld shown), %lld dropped, %lld recovered; "
           "allocated by hevcast: %.4f a packet, %.2f a picture; by libraries: %.3f a packet, %.3f "
           "for each time that the loop woke; heap %zu to %zu bytes, resident %ld to %ld kB\n",
           seconds, (long long)packets, (long long)pictures, (long long)s.shown,
           (long long)s.dropped, (long long)rs.packets_recovered, (double)ours / (double)packets,
           (double)ours / (double)pictures, (double)theirs / (double)packets,
           (double)theirs / (double)wakes, before, after, rss_before, rss_kb());
    bool good = packets > seconds * INT64_C(100) && rs.packets_recovered > s.dropped / 4 &&
                s.shown > s.pictures / 2;
    if (!good)
        printf("FAILED: the stream did not run as it should\n");
    bool flat = after < before + 400000 + slots;
    if (!flat)
        printf("FAILED: the heap grew\n");
    /* ours: two a picture; in a short run the first use of slots comes on top. theirs: where libnice
     * looks at its socket before we do it makes an error ("would block") and a timer. How often that is
     * depends on the scheduler; a short run has no mean of it, but it stays far from one a packet. */
    bool brief = seconds < 60;
    bool few = ours <= 4 * pictures + (brief ? RING_PACKETS : 0) &&
               theirs <= wakes / 32 + (brief ? packets / 4 : 100 * seconds);
    if (!few)
        printf("FAILED: packets allocate\n");
    close_stream();
    return good && flat && few ? 0 : 1;
}

/* --- bench --- */

static bool all_came(struct pair *pair)
{
    (void)pair;
    struct video_receiver_stats rs;
    video_receiver_get_stats(s.receiver, &rs);
    return rs.packets_received >= s.packets;
}

struct cost {
    double send_us, receive_us;
    int64_t packets, batches;
};

/* Pictures of 62 kB, each received before the next. */
static struct cost stream_cost(bool one_by_one)
{
    enum { ROUNDS = 600 };
    open_stream(15000000, false);
    s.one_by_one = one_by_one;
    int64_t start = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (i == 20) { /* warm */
            start = cpu_ns();
            s.sending_ns = 0;
            s.packets = 0;
            struct video_receiver_stats rs;
            video_receiver_get_stats(s.receiver, &rs);
            s.dropped = rs.packets_received;
        }
        int64_t before = cpu_ns();
        push_picture(clock_now_us());
        s.sending_ns += cpu_ns() - before;
        pump(NULL);
        for (int k = 0; k < 50 && s.shown < s.pictures; k++)
            pair_run(&s.pair, all_came, 0);
    }
    int64_t total = cpu_ns() - start;
    struct peer_stats ps;
    struct video_receiver_stats rs;
    peer_get_stats(s.pair.a.peer, &ps);
    video_receiver_get_stats(s.receiver, &rs);
    struct cost c = {.send_us = (double)s.sending_ns / 1e3 / (double)s.packets,
                     .receive_us = (double)(total - s.sending_ns) / 1e3 /
                                   (double)(rs.packets_received - s.dropped),
                     .packets = s.packets, .batches = ps.batches_sent};
    close_stream();
    return c;
}

/* The same packets over a socket of our own: GCM and segments to send, recvmmsg to receive. */
static struct cost own_socket_cost(void)
{
    enum { ROUNDS = 600, SIZE = PAYLOAD_PACKET + 16, MESSAGES = 32 };
    struct srtp_keys out_keys = {.suite = SRTP_SUITE_GCM_128}, in_keys = out_keys;
    struct srtp_link *out, *in;
    assert_true(srtp_link_new(&out, &out_keys) == 0 && srtp_link_new(&in, &in_keys) == 0);
    struct sockaddr_storage to = {0};
    struct sockaddr_in *a = (struct sockaddr_in *)&to;
    socklen_t len = sizeof *a;
    int from_fd = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(bind(fd, (struct sockaddr *)a, len) == 0 &&
                getsockname(fd, (struct sockaddr *)a, &len) == 0);
    static uint8_t batch[BURST * SIZE + 64], in_data[MESSAGES][2048];
    struct cost c = {0};
    int64_t received = 0, send_ns = 0, receive_ns = 0;
    for (int r = 0; r < ROUNDS; r++) {
        int64_t t = cpu_ns();
        for (int i = 0; i < BURST; i++) {
            make_rtp(batch + i * SIZE, (uint16_t)c.packets++, 7, PAYLOAD_PACKET);
            assert_int_equal(srtp_link_protect_rtp(out, batch + i * SIZE, PAYLOAD_PACKET), SIZE);
        }
        if (udp_send_segments(from_fd, &to, sizeof *a, batch, BURST * SIZE, SIZE) < 0)
            break;
        send_ns += cpu_ns() - t;
        t = cpu_ns();
        struct mmsghdr m[MESSAGES] = {{{0}}};
        struct iovec iov[MESSAGES];
        for (int i = 0; i < MESSAGES; i++) {
            iov[i] = (struct iovec){in_data[i], sizeof in_data[i]};
            m[i].msg_hdr.msg_iov = &iov[i];
            m[i].msg_hdr.msg_iovlen = 1;
        }
        int n = recvmmsg(fd, m, MESSAGES, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            received += srtp_link_unprotect_rtp(in, in_data[i], m[i].msg_len) > 0;
        receive_ns += cpu_ns() - t;
    }
    c.send_us = (double)send_ns / 1e3 / (double)c.packets;
    c.receive_us = received ? (double)receive_ns / 1e3 / (double)received : 0;
    close(fd);
    close(from_fd);
    srtp_link_free(&out);
    srtp_link_free(&in);
    return c;
}

static int bench(const char *json)
{
    struct cost one = stream_cost(true), many = stream_cost(false), own = own_socket_cost();
    printf("CPU of the network thread for a packet of 1200 bytes, AES-GCM, over loopback, us:\n"
           "  %-64s %7s %8s\n", "", "send", "receive");
    static const char *const row[] = {
        "whole stream, nice_agent_send for each packet",
        "whole stream, UDP_SEGMENT on libnice's socket (what is used)",
        "GCM and socket alone, a socket of our own: UDP_SEGMENT, recvmmsg"};
    const struct cost *cost[] = {&one, &many, &own};
    for (int i = 0; i < 3; i++)
        printf("  %-64s %7.2f %8.2f\n", row[i], cost[i]->send_us, cost[i]->receive_us);
    printf("  goals: 3 to send, 5.5 to receive through libnice; %.1f packets a system call\n",
           many.batches ? (double)many.packets / (double)many.batches : 0);
    FILE *f = json ? fopen(json, "w") : NULL;
    if (f) {
        fprintf(f, "{\"packet_bytes\": 1200, \"unit\": \"us of CPU a packet\",\n"
                   " \"one_by_one\": {\"send\": %.3f, \"receive\": %.3f},\n"
                   " \"segments\": {\"send\": %.3f, \"receive\": %.3f},\n"
                   " \"own_socket\": {\"send\": %.3f, \"receive\": %.3f}}\n",
                one.send_us, one.receive_us, many.send_us, many.receive_us, own.send_us,
                own.receive_us);
        fclose(f);
    }
    return 0;
}

int main(int argc, char **argv)
{
    FILE *f = argc == 4 ? fopen(argv[1], "rb") : NULL;
    sets_len = f ? fread(sets, 1, sizeof sets, f) : 0;
    if (f)
        fclose(f);
    if (!netns_enter()) /* else away from interfaces that come and go */
        fprintf(stderr, "no network namespace of its own: over this machine's addresses\n");
    if (sets_len > 0 && strcmp(argv[2], "--soak") == 0)
        return soak(atoi(argv[3]));
    if (sets_len > 0 && strcmp(argv[2], "--bench") == 0)
        return bench(argv[3]);
    fprintf(stderr, "usage: packet_path STREAM.hevc --bench FILE.json | --soak SECONDS\n"
                    "STREAM: for its parameter sets\n");
    return 2;
}
