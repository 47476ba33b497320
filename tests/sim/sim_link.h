/* One direction of a simulated network in virtual time: loss, delay, jitter (hence reordering)
 * and duplicates from a seed. Packets are heap copies: ASan sees reads past their end. */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct sim_link_config {
    double loss, duplicate, reorder; /* 0 to 1 */
    int64_t delay_us, reorder_us;    /* reorder_us: how much longer a reordered one takes */
};

struct sim_packet {
    int64_t at_us, order;
    uint8_t *data;
    size_t len;
};

struct sim_link {
    struct sim_link_config config;
    uint64_t seed;
    int64_t sent, lost, order;
    struct sim_packet *heap; /* by at_us, then order */
    int n, cap;
};

static inline double sim_random(uint64_t *s) /* xorshift64*, 0 <= r < 1 */
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return (double)(*s * 2685821657736338717u >> 11) / 9007199254740992.0;
}

static inline bool sim_before(const struct sim_packet *a, const struct sim_packet *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static inline void sim_put(struct sim_link *l, const uint8_t *data, size_t len, int64_t at_us)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 256;
        l->heap = realloc(l->heap, (size_t)l->cap * sizeof *l->heap);
    }
    struct sim_packet p = {at_us, l->order++, malloc(len ? len : 1), len};
    memcpy(p.data, data, len);
    int i = l->n++;
    while (i > 0 && sim_before(&p, &l->heap[(i - 1) / 2])) {
        l->heap[i] = l->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->heap[i] = p;
}

static inline void sim_send(struct sim_link *l, const uint8_t *data, size_t len, int64_t now_us)
{
    l->sent++;
    if (sim_random(&l->seed) < l->config.loss) {
        l->lost++;
        return;
    }
    int64_t at = now_us + l->config.delay_us;
    if (sim_random(&l->seed) < l->config.reorder)
        at += (int64_t)(sim_random(&l->seed) * (double)l->config.reorder_us);
    sim_put(l, data, len, at);
    if (sim_random(&l->seed) < l->config.duplicate)
        sim_put(l, data, len, at + 300);
}

static inline int64_t sim_next_us(const struct sim_link *l)
{
    return l->n ? l->heap[0].at_us : INT64_MAX;
}

/* The packet that is due; the caller frees data. */
static inline bool sim_receive(struct sim_link *l, int64_t now_us, struct sim_packet *out)
{
    if (l->n == 0 || l->heap[0].at_us > now_us)
        return false;
    *out = l->heap[0];
    struct sim_packet last = l->heap[--l->n];
    int i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= l->n)
            break;
        if (c + 1 < l->n && sim_before(&l->heap[c + 1], &l->heap[c]))
            c++;
        if (!sim_before(&l->heap[c], &last))
            break;
        l->heap[i] = l->heap[c];
        i = c;
    }
    if (l->n > 0)
        l->heap[i] = last;
    return true;
}

static inline void sim_clear(struct sim_link *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->heap[i].data);
    free(l->heap);
    l->heap = NULL;
    l->n = l->cap = 0;
}

#endif
