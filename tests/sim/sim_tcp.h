/* A TCP download in virtual time, for those that share a bottleneck with it: CUBIC (RFC 9438) on acknowledgements,
 * one reduction a round trip, a receive window. What is lost is not sent again but counts as new: only the
 * load on the path matters. */
#ifndef SIM_TCP_H
#define SIM_TCP_H

#include "sim_path.h"

#include <math.h>

enum { TCP_PACKET_BYTES = 1500, TCP_IN_FLIGHT_MOST = 8192, TCP_SILENCE_US = 1000000 };

struct sim_tcp {
    struct sim_path *path;   /* borrows */
    int64_t back_us, begin_us, end_us; /* back_us: an acknowledgement's way */
    int64_t window_bytes;    /* the receiver's; 0: as large as is needed */
    struct sim_link link, acks;
    int64_t last_at_us, next, acked; /* packet numbers; next - acked are on their way or lost */
    int64_t recover, heard_us, carried_bytes;
    double cwnd, ssthresh, w_max, k; /* packets, seconds */
    int64_t epoch_us;
};

static inline void sim_tcp_open(struct sim_tcp *t, struct sim_path *path, int64_t back_us,
                                int64_t window_bytes, int64_t begin_us)
{
    *t = (struct sim_tcp){.path = path, .back_us = back_us, .window_bytes = window_bytes, .begin_us = begin_us,
                          .end_us = INT64_MAX, .cwnd = 10, .ssthresh = 1e9, .heard_us = begin_us, .recover = -1};
    t->link.seed = t->acks.seed = path->seed + 77;
}

static inline void sim_tcp_close(struct sim_tcp *t)
{
    sim_clear(&t->link);
    sim_clear(&t->acks);
}

static inline void sim_tcp_grow(struct sim_tcp *t, int64_t now_us)
{
    if (t->cwnd < t->ssthresh) {
        t->cwnd += 1;
        return;
    }
    double s = (double)(now_us - t->epoch_us) / 1e6 - t->k, target = 0.4 * s * s * s + t->w_max;
    t->cwnd += target > t->cwnd ? (target - t->cwnd) / t->cwnd : 0.01 / t->cwnd;
}

static inline void sim_tcp_reduce(struct sim_tcp *t, int64_t now_us)
{
    t->w_max = t->cwnd < t->w_max ? t->cwnd * 0.85 : t->cwnd; /* fast convergence */
    t->cwnd = t->cwnd * 0.7 < 2 ? 2 : t->cwnd * 0.7;
    t->ssthresh = t->cwnd;
    t->k = cbrt(t->w_max * 0.3 / 0.4);
    t->epoch_us = now_us;
    t->recover = t->next;
}

/* The path keeps the order: a number that is left out is lost. */
static inline void sim_tcp_on_ack(struct sim_tcp *t, int64_t number, int64_t now_us)
{
    t->heard_us = now_us;
    if (number > t->acked && t->acked >= t->recover)
        sim_tcp_reduce(t, now_us);
    else if (number == t->acked)
        sim_tcp_grow(t, now_us);
    t->acked = number + 1;
}

static inline void sim_tcp_exchange(struct sim_tcp *t, int64_t now_us)
{
    struct sim_packet in;
    static const uint8_t zeros[TCP_PACKET_BYTES];
    while (sim_receive(&t->link, now_us, &in)) {
        t->carried_bytes += (int64_t)in.len;
        sim_put(&t->acks, in.data, 8, now_us + t->back_us);
        free(in.data);
    }
    while (sim_receive(&t->acks, now_us, &in)) {
        int64_t number;
        memcpy(&number, in.data, 8);
        free(in.data);
        sim_tcp_on_ack(t, number, now_us);
    }
    if (now_us < t->begin_us || now_us >= t->end_us)
        return;
    if (now_us - t->heard_us > TCP_SILENCE_US) { /* a timeout */
        t->acked = t->next;
        t->cwnd = 2;
        t->heard_us = now_us;
    }
    int64_t most = (int64_t)t->cwnd;
    if (t->window_bytes && most > t->window_bytes / TCP_PACKET_BYTES)
        most = t->window_bytes / TCP_PACKET_BYTES;
    for (; t->next - t->acked < most && t->next - t->acked < TCP_IN_FLIGHT_MOST; t->next++) {
        uint8_t packet[TCP_PACKET_BYTES];
        memcpy(packet, zeros, sizeof packet);
        memcpy(packet, &t->next, 8);
        sim_path_send(t->path, &t->link, &t->last_at_us, packet, sizeof packet, now_us);
    }
}

static inline int64_t sim_tcp_next_us(const struct sim_tcp *t, int64_t now_us)
{
    if (now_us < t->begin_us)
        return t->begin_us;
    int64_t a = sim_next_us(&t->link), b = sim_next_us(&t->acks);
    int64_t silence = now_us < t->end_us ? t->heard_us + TCP_SILENCE_US + 1 : INT64_MAX;
    a = a < b ? a : b;
    return a < silence ? a : silence;
}

#endif
