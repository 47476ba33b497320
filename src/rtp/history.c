#include "rtp/history.h"

#include <stdlib.h>
#include <string.h>

struct history {
    struct history_entry *ring; /* owns; indexed by sequence number modulo cap */
    size_t cap, max_cap, n;
    uint16_t first; /* sequence number of the oldest */
};

struct history *history_new(size_t packets, size_t max_packets)
{
    struct history *h = calloc(1, sizeof *h);
    if (!h || !(h->ring = calloc(packets, sizeof *h->ring))) {
        free(h);
        return NULL;
    }
    h->cap = packets;
    h->max_cap = max_packets;
    return h;
}

static struct history_entry *slot(const struct history *h, uint16_t seq)
{
    return &h->ring[seq & (h->cap - 1)];
}

static void drop_oldest(struct history *h)
{
    access_unit_unref(&slot(h, h->first)->au);
    h->first++;
    h->n--;
}

void history_free(struct history **ph)
{
    struct history *h = *ph;
    *ph = NULL;
    if (!h)
        return;
    while (h->n > 0)
        drop_oldest(h);
    free(h->ring);
    free(h);
}

static void grow(struct history *h)
{
    if (2 * h->cap > h->max_cap)
        return;
    struct history_entry *ring = calloc(2 * h->cap, sizeof *ring);
    if (!ring)
        return; /* the oldest leaves early instead */
    for (size_t i = 0; i < h->n; i++) {
        uint16_t seq = (uint16_t)(h->first + i);
        ring[seq & (2 * h->cap - 1)] = *slot(h, seq);
    }
    free(h->ring);
    h->ring = ring;
    h->cap *= 2;
}

struct history_entry *history_add(struct history *h, uint16_t seq, struct access_unit *au,
                                  int64_t now_us, int64_t keep_us)
{
    if (h->n > 0 && (uint16_t)(h->first + h->n) != seq)
        while (h->n > 0)
            drop_oldest(h);
    while (h->n > 0 && now_us - slot(h, h->first)->sent_us > keep_us)
        drop_oldest(h);
    if (h->n == h->cap)
        grow(h);
    if (h->n == h->cap)
        drop_oldest(h);
    if (h->n == 0)
        h->first = seq;
    h->n++;
    struct history_entry *e = slot(h, seq);
    memset(e, 0, sizeof *e);
    e->au = access_unit_ref(au);
    e->sent_us = now_us;
    return e;
}

struct history_entry *history_find(struct history *h, uint16_t seq)
{
    return (uint16_t)(seq - h->first) < h->n ? slot(h, seq) : NULL;
}
