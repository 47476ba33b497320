/* lab: two network namespaces, a and b, each with a TAP device, and a bad network between them
 * (link.h), run in real time. README.md tells how it is used; netlab.py starts it.
 *
 * The namespaces have no names: they live as long as this process or a program inside them, so
 * nothing is left behind however it ends. Enter one with nsenter --net=/proc/PID/fd/FD (PID and FD
 * are in the first line of its output). Only IPv4 is carried; ARP is answered without delay. */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { ETHERNET = 14, FRAME_MAX = LINK_PACKET_MAX, LINE_MAX_ = 2048, LATE_BINS = 20000,
       BATCH = 64 };

struct side {
    const char *name, *ip;
    int ns_fd, tap_fd;
    struct link *out; /* from this side to the other */
    int64_t not_ip;   /* frames that were not carried */
};

struct lab {
    struct side side[2];
    uint32_t late[LATE_BINS]; /* µs after their time that packets were written */
    int64_t late_max_us, written, refused; /* refused: by the other side's TAP */
    int64_t cpu_from_us, since_us;
    char line[LINE_MAX_];
    size_t line_len;
    bool over;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig) { (void)sig; interrupted = 1; }

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }

/* ------------------------------------------------------------------ namespaces */

static bool fail(const char *what)
{
    fprintf(stderr, "lab: %s: %s\n", what, strerror(errno));
    return false;
}

static void set_address(struct sockaddr *out, const char *ip)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, ip, &in.sin_addr);
    memcpy(out, &in, sizeof in);
}

static bool bring_up(int s, const char *device)
{
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    if (ioctl(s, SIOCGIFFLAGS, &r) < 0)
        return false;
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(s, SIOCSIFFLAGS, &r) == 0;
}

/* Address, mask, and the other side as the way to everywhere: a browser looks for such a route. */
static bool set_up_device(const char *device, const char *ip, const char *gateway)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return fail("socket");
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    set_address(&r.ifr_addr, ip);
    bool good = ioctl(s, SIOCSIFADDR, &r) == 0;
    set_address(&r.ifr_netmask, "255.255.255.0");
    good = good && ioctl(s, SIOCSIFNETMASK, &r) == 0;
    good = good && bring_up(s, "lo") && bring_up(s, device);
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_address(&route.rt_dst, "0.0.0.0");
    set_address(&route.rt_genmask, "0.0.0.0");
    set_address(&route.rt_gateway, gateway);
    good = good && ioctl(s, SIOCADDRT, &route) == 0;
    if (!good)
        fail(device);
    close(s);
    return good;
}

static bool open_side(struct side *side, const char *gateway)
{
    if (unshare(CLONE_NEWNET) < 0)
        return fail("a network namespace cannot be made");
    side->ns_fd = open("/proc/self/ns/net", O_RDONLY); /* not close-on-exec: others enter by it */
    int off = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (off >= 0 && write(off, "1", 1) < 0)
        fail("IPv6 stays on");
    if (off >= 0)
        close(off);
    side->tap_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (side->ns_fd < 0 || side->tap_fd < 0)
        return fail("/dev/net/tun");
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(r.ifr_name, sizeof r.ifr_name, "lab-%s", side->name);
    if (ioctl(side->tap_fd, TUNSETIFF, &r) < 0)
        return fail("TUNSETIFF");
    return set_up_device(r.ifr_name, side->ip, gateway);
}

/* ------------------------------------------------------------------ output */

static void print_series(const struct link *l)
{
    const struct link_slice *s;
    int n = link_series(l, &s);
    static const char *const names[] = {"bytes", "capacity", "wait_us", "overflowed", "lost"};
    printf("\"series\":{\"slice_us\":%d", LINK_SLICE_US);
    for (int k = 0; k < 5; k++) {
        printf(",\"%s\":[", names[k]);
        for (int i = 0; i < n; i++) {
            const int64_t v[] = {s[i].bytes, s[i].capacity, s[i].longest_wait_us, s[i].overflowed,
                                 s[i].lost};
            printf("%s%lld", i ? "," : "", (long long)v[k]);
        }
        printf("]");
    }
    printf("}");
}

static void print_link(struct side *from, const char *name, int64_t now)
{
    struct link_stats s;
    link_get_stats(from->out, now, &s);
    double seconds = (double)(now - s.since_us) / 1e6;
    printf("\"%s\":{\"seconds\":%.6f,\"packets_in\":%lld,\"bytes_in\":%lld,\"packets_carried\":%lld,"
           "\"bytes_carried\":%lld,\"capacity_bytes\":%lld,\"overflowed\":%lld,\"lost\":%lld,"
           "\"duplicated\":%lld,\"reordered\":%lld,\"delivered\":%lld,\"queue_p50_us\":%lld,"
           "\"queue_p95_us\":%lld,\"queue_max_us\":%lld,\"busy_us\":%lld,\"queued_bytes\":%lld,"
           "\"not_ip\":%lld,",
           name, seconds, (long long)s.packets_in, (long long)s.bytes_in,
           (long long)s.packets_out, (long long)s.bytes_out, (long long)s.capacity_bytes,
           (long long)s.overflowed, (long long)s.lost, (long long)s.duplicated,
           (long long)s.reordered, (long long)s.delivered, (long long)s.wait_p50_us,
           (long long)s.wait_p95_us, (long long)s.wait_max_us, (long long)s.busy_us,
           (long long)s.queued_bytes, (long long)from->not_ip);
    print_series(from->out);
    printf("}");
}

static int late_quantile(const struct lab *lab, double share)
{
    int64_t sum = 0;
    for (int i = 0; i < LATE_BINS; i++)
        if ((double)(sum += lab->late[i]) >= share * (double)lab->written && sum > 0)
            return i;
    return 0;
}

static void print_stats(struct lab *lab)
{
    int64_t now = now_us(), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID) - lab->cpu_from_us;
    printf("{\"now_us\":%lld,", (long long)now);
    print_link(&lab->side[0], "a->b", now);
    printf(",");
    print_link(&lab->side[1], "b->a", now);
    printf(",\"self\":{\"late_p50_us\":%d,\"late_p99_us\":%d,\"late_max_us\":%lld,\"written\":%lld,"
           "\"refused\":%lld,\"cpu_us\":%lld,\"cpu_share\":%.4f,\"cpu_us_per_packet\":%.2f}}\n",
           late_quantile(lab, 0.5), late_quantile(lab, 0.99), (long long)lab->late_max_us,
           (long long)lab->written, (long long)lab->refused, (long long)cpu,
           (double)cpu / (double)(now - lab->since_us + 1),
           lab->written ? (double)cpu / (double)lab->written : 0.0);
}

static void reset_stats(struct lab *lab)
{
    lab->since_us = now_us();
    lab->cpu_from_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    memset(lab->late, 0, sizeof lab->late);
    lab->late_max_us = lab->written = lab->refused = 0;
    for (int i = 0; i < 2; i++) {
        link_reset_stats(lab->side[i].out, lab->since_us);
        lab->side[i].not_ip = 0;
    }
}

/* ------------------------------------------------------------------ commands */

/* The link of "a->b" or "b->a"; both: -1; none: -2. */
static int which_link(const char *word)
{
    return strcmp(word, "a->b") == 0 ? 0 : strcmp(word, "b->a") == 0 ? 1
         : strcmp(word, "both") == 0 ? -1 : -2;
}

static void change(struct link *l, const char *text, bool planned, int64_t at_us, const char **error)
{
    char scratch[LINE_MAX_];
    const char *bad;
    struct link_config c = *link_last_config(l);
    if (!link_config_parse(&c, text, scratch, sizeof scratch, &bad)) {
        *error = "a word was not understood";
        return;
    }
    if (planned && !link_plan(l, &c, at_us))
        *error = "too many plans";
    if (!planned) {
        link_unplan(l);
        link_configure(l, &c, now_us());
    }
}

/* [at SECONDS] (a->b | b->a | both) KEYS, stats, reset, quit. */
static void command(struct lab *lab, char *line, int64_t at_from_us)
{
    const char *error = NULL;
    double at_s = 0;
    int used = 0;
    bool planned = sscanf(line, "at %lf %n", &at_s, &used) == 1 && used > 0;
    char *rest = line + (planned ? used : 0);
    char *word = strsep(&rest, " ");
    int which = which_link(word);
    if (which >= -1) {
        for (int i = 0; i < 2 && !error; i++)
            if (which == i || which == -1)
                change(lab->side[i].out, rest ? rest : "", planned,
                       at_from_us + (int64_t)(at_s * 1e6), &error);
    } else if (strcmp(word, "stats") == 0) {
        print_stats(lab);
        fflush(stdout);
        return;
    } else if (strcmp(word, "reset") == 0) {
        reset_stats(lab);
    } else if (strcmp(word, "quit") == 0) {
        lab->over = true;
    } else {
        error = "no such command";
    }
    if (error)
        printf("{\"error\":\"%s\"}\n", error);
    else
        printf("{\"ok\":true}\n");
    fflush(stdout);
}

/* Reads what came, and does each whole line. */
static void commands(struct lab *lab)
{
    ssize_t n = read(STDIN_FILENO, lab->line + lab->line_len, sizeof lab->line - 1 - lab->line_len);
    if (n <= 0) {
        lab->over = true; /* who started it is gone */
        return;
    }
    lab->line_len += (size_t)n;
    lab->line[lab->line_len] = 0;
    char *end, *line = lab->line;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        command(lab, line, now_us());
        line = end + 1;
    }
    lab->line_len -= (size_t)(line - lab->line);
    memmove(lab->line, line, lab->line_len);
    if (lab->line_len == sizeof lab->line - 1)
        lab->line_len = 0;
}

/* ------------------------------------------------------------------ packets */

static void take_frames(struct side *from, const struct side *to)
{
    uint8_t frame[FRAME_MAX];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(from->tap_fd, frame, sizeof frame);
        if (n < ETHERNET)
            return;
        int type = frame[12] << 8 | frame[13];
        if (type == 0x0800) {
            link_push(from->out, frame, (size_t)n, (size_t)n - ETHERNET, now_us());
        } else {
            from->not_ip++;
            if (type == 0x0806 && write(to->tap_fd, frame, (size_t)n) < 0)
                return;
        }
    }
}

static void give_frames(struct lab *lab, struct side *from, const struct side *to)
{
    const uint8_t *data;
    int64_t due;
    size_t n;
    while ((n = link_pop(from->out, now_us(), &data, &due))) {
        if (write(to->tap_fd, data, n) < 0)
            lab->refused++;
        int64_t late = now_us() - due;
        lab->late[late < 0 ? 0 : late < LATE_BINS ? late : LATE_BINS - 1]++;
        lab->late_max_us = late > lab->late_max_us ? late : lab->late_max_us;
        lab->written++;
    }
}

static void run(struct lab *lab)
{
    while (!lab->over && !interrupted) {
        int64_t next = INT64_MAX, now = now_us();
        for (int i = 0; i < 2; i++) {
            int64_t t = link_next_us(lab->side[i].out);
            next = t < next ? t : next;
        }
        int64_t wait = next == INT64_MAX ? 1000000 : next > now ? next - now : 0;
        wait = wait > 1000000 ? 1000000 : wait;
        struct timespec timeout = {wait / 1000000, wait % 1000000 * 1000};
        struct pollfd p[3] = {{.fd = lab->side[0].tap_fd, .events = POLLIN},
                              {.fd = lab->side[1].tap_fd, .events = POLLIN},
                              {.fd = STDIN_FILENO, .events = POLLIN}};
        if (ppoll(p, 3, &timeout, NULL) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 2; i++) {
            if (p[i].revents & POLLIN)
                take_frames(&lab->side[i], &lab->side[1 - i]);
            give_frames(lab, &lab->side[i], &lab->side[1 - i]);
        }
        if (p[2].revents)
            commands(lab);
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: lab [--seed N] [--a-to-b KEYS] [--b-to-a KEYS] [--ip-a IP] [--ip-b IP]\n"
                    "Joins two network namespaces by a bad network; see tests/lab/README.md.\n");
    return 2;
}

int main(int argc, char **argv)
{
    static struct lab lab = {.side = {{.name = "a", .ip = "10.77.0.1"}, {.name = "b", .ip = "10.77.0.2"}}};
    struct link_config c[2];
    uint64_t seed = 1;
    char scratch[LINE_MAX_];
    const char *bad;
    link_config_init(&c[0]);
    link_config_init(&c[1]);
    for (int i = 1; i < argc; i += 2) {
        bool good = i + 1 < argc;
        if (good && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (good && strcmp(argv[i], "--ip-a") == 0)
            lab.side[0].ip = argv[i + 1];
        else if (good && strcmp(argv[i], "--ip-b") == 0)
            lab.side[1].ip = argv[i + 1];
        else if (good && strncmp(argv[i], "--a-to-b", 9) == 0)
            good = link_config_parse(&c[0], argv[i + 1], scratch, sizeof scratch, &bad);
        else if (good && strncmp(argv[i], "--b-to-a", 9) == 0)
            good = link_config_parse(&c[1], argv[i + 1], scratch, sizeof scratch, &bad);
        else
            good = false;
        if (!good)
            return usage();
    }
    for (int i = 0; i < 2; i++) {
        if (!open_side(&lab.side[i], lab.side[1 - i].ip))
            return 77; /* it cannot be had here: for a test, a skip */
        lab.side[i].out = link_new(&c[i], seed + (uint64_t)i * 1000003, now_us());
        if (!lab.side[i].out)
            return 1;
    }
    /* Its own delays are the measurement's error: first in line on a busy machine, where allowed. */
    struct sched_param first = {.sched_priority = 1};
    bool real_time = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) == 0;
    prctl(PR_SET_TIMERSLACK, 1UL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("{\"pid\":%d,\"real_time\":%s,\"a\":{\"fd\":%d,\"ip\":\"%s\"},\"b\":{\"fd\":%d,\"ip\":\"%s\"}}\n",
           (int)getpid(), real_time ? "true" : "false", lab.side[0].ns_fd, lab.side[0].ip,
           lab.side[1].ns_fd, lab.side[1].ip);
    fflush(stdout);
    reset_stats(&lab);
    run(&lab);
    for (int i = 0; i < 2; i++)
        link_free(&lab.side[i].out);
    return 0;
}
