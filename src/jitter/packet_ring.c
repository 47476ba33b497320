#include "jitter/packet_ring.h"

#include <stdlib.h>
#include <string.h>

static struct ring_slot *slot_of(struct packet_ring *r, int64_t seq)
{
    return &r->slot[(uint64_t)seq % RING_PACKETS];
}

static void shrink(struct packet_ring *r, struct ring_slot *s)
{
    r->bytes -= s->cap;
    free(s->data);
    s->data = NULL;
    s->cap = 0;
}

void packet_ring_free_slots(struct packet_ring *r)
{
    packet_ring_clear(r);
    for (int i = 0; i < RING_PACKETS; i++)
        shrink(r, &r->slot[i]);
}

void packet_ring_clear(struct packet_ring *r)
{
    for (int i = 0; i < RING_PACKETS; i++)
        r->slot[i].present = false;
    r->key_starts = 0;
}

/* Room for len bytes in slot s. */
static bool reserve(struct packet_ring *r, struct ring_slot *s, size_t len)
{
    enum { USUAL = 1536 };
    if (len <= s->cap)
        return true;
    size_t cap = len < USUAL ? USUAL : len;
    if (r->bytes - s->cap + cap > RING_MAX_BYTES) { /* large packets left their buffers behind */
        for (int i = 0; i < RING_PACKETS; i++)
            if (!r->slot[i].present)
                shrink(r, &r->slot[i]);
        if (r->bytes - s->cap + cap > RING_MAX_BYTES)
            return false;
    }
    uint8_t *data = realloc(s->data, cap);
    if (!data)
        return false;
    r->bytes += cap - s->cap;
    s->data = data;
    s->cap = cap;
    return true;
}

bool packet_ring_store(struct packet_ring *r, const struct media_packet *p)
{
    struct ring_slot *s = slot_of(r, p->seq);
    if (s->present)
        packet_ring_drop(r, s->packet.seq);
    if (!reserve(r, s, p->len))
        return false;
    s->packet = *p;
    s->packet.payload = s->data;
    if (p->len)
        memcpy(s->data, p->payload, p->len);
    s->present = true;
    r->key_starts += p->key_start;
    return true;
}

const struct media_packet *packet_ring_get(const struct packet_ring *r, int64_t seq)
{
    const struct ring_slot *s = &r->slot[(uint64_t)seq % RING_PACKETS];
    return s->present && s->packet.seq == seq ? &s->packet : NULL;
}

void packet_ring_drop(struct packet_ring *r, int64_t seq)
{
    struct ring_slot *s = slot_of(r, seq);
    if (!s->present || s->packet.seq != seq)
        return;
    s->present = false;
    r->key_starts -= s->packet.key_start;
}
