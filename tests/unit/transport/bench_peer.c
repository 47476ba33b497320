/* What a packet costs, and how long connecting takes: `meson test --benchmark -C build`. */
#include "pair.h"

#include <time.h>

enum { BURSTS = 1500, BURST = 64, CONNECTS = 20 };

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int wanted;
static bool burst_came(struct pair *pair) { return pair->b.rtp >= wanted; }

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void connects(enum pair_trickle order, const char *name)
{
    int64_t us[CONNECTS];
    for (int i = 0; i < CONNECTS; i++) {
        struct pair pair = {.trickle = order};
        pair_open(&pair, NULL);
        pair_connect(&pair);
        us[i] = (pair.a.connected_us > pair.b.connected_us ? pair.a.connected_us
                                                           : pair.b.connected_us) -
                pair.start_us;
        pair_close(&pair);
    }
    qsort(us, CONNECTS, sizeof us[0], compare);
    printf("connect, %-28s median %5.1f ms, worst %5.1f ms\n", name,
           (double)us[CONNECTS / 2] / 1000, (double)us[CONNECTS - 1] / 1000);
}

int main(void)
{
    connects(CANDIDATES_LAST, "candidates in the answer:");
    connects(TRICKLE, "trickled:");
    connects(ONE_SIDE_ALONE, "one side's candidates only:");

    struct pair pair = {.trickle = CANDIDATES_LAST};
    pair_open(&pair, NULL);
    pair_connect(&pair);
    uint8_t packet[PAIR_PACKET];
    int64_t sending_us = 0, start_us = cpu_us();
    int sent = 0;
    for (int burst = 0; burst < BURSTS; burst++) {
        int64_t before_us = cpu_us();
        for (int i = 0; i < BURST; i++) {
            make_rtp(packet, (uint16_t)sent, 1, sizeof packet);
            sent += peer_send_rtp(pair.a.peer, packet, sizeof packet) == 0;
        }
        sending_us += cpu_us() - before_us;
        wanted = sent;
        if (!pair_run(&pair, burst_came, 2))
            break; /* lost in the socket: the numbers below still hold */
    }
    int64_t total_us = cpu_us() - start_us;
    char text[256];
    peer_describe(pair.a.peer, text, sizeof text);
    printf("over %s\n", text);
    printf("send %.2f us, receive %.2f us of CPU for a packet of %d bytes (%d sent, %d came)\n",
           (double)sending_us / sent, (double)(total_us - sending_us) / pair.b.rtp,
           (int)PAIR_PACKET, sent, pair.b.rtp);
    pair_close(&pair);
    return 0;
}
