#include "rtp/delivery.h"

#include <string.h>

enum { SILENT_RTTS = 3, SILENT_US = 200000, HEARD_STEP_US = 100000 };

static struct delivery_picture *find(struct delivery *d, uint64_t pic_id)
{
    struct delivery_picture *p = &d->ring[pic_id % DELIVERY_RING];
    return pic_id && p->pic_id == pic_id ? p : NULL;
}

bool delivery_has(const struct delivery *d, uint64_t pic_id)
{
    const struct delivery_picture *p = &d->ring[pic_id % DELIVERY_RING];
    return pic_id && p->pic_id == pic_id && p->had;
}

/* What has left the ring is long ago: a viewer that missed it would have said so. */
static bool has_refs(struct delivery *d, const struct delivery_picture *p)
{
    for (int i = 0; i < p->n_refers; i++) {
        struct delivery_picture *r = find(d, p->refers_to[i]);
        if (r ? !r->had : p->refers_to[i] + DELIVERY_RING > d->newest)
            return false;
    }
    return p->irap || p->n_refers > 0;
}

/* After p arrived: it, and those after it that waited for it. */
static void update(struct delivery *d, uint64_t from)
{
    for (uint64_t id = from; id <= d->newest; id++) {
        struct delivery_picture *p = find(d, id);
        if (!p || p->had || !p->arrived || !p->tracked || !has_refs(d, p))
            continue;
        p->had = true;
        if (d->news_n == DELIVERY_NEWS) { /* an old one is of no use beside a newer one */
            d->news_first = (d->news_first + 1) % DELIVERY_NEWS;
            d->news_n--;
        }
        d->news[(d->news_first + d->news_n++) % DELIVERY_NEWS] = id;
    }
}

void delivery_sent(struct delivery *d, const struct access_unit *au, bool last, int64_t now_us)
{
    struct delivery_picture *p = &d->ring[au->pic_id % DELIVERY_RING];
    if (p->pic_id != au->pic_id) {
        *p = (struct delivery_picture){.pic_id = au->pic_id, .n_refers = au->n_refers,
                                       .irap = au->irap,
                                       .tracked = au->irap || au->n_refers > 0};
        memcpy(p->refers_to, au->refers_to, sizeof p->refers_to);
        if (au->pic_id > d->newest)
            d->newest = au->pic_id;
    }
    p->sent++;
    p->missing++;
    p->ended |= last;
    p->sent_us = now_us;
}

static void arrive(struct delivery *d, struct delivery_picture *p)
{
    p->arrived = true;
    p->missing = 0;
    update(d, p->pic_id);
}

void delivery_arrived(struct delivery *d, uint64_t pic_id)
{
    struct delivery_picture *p = find(d, pic_id);
    if (pic_id > d->newest_arrived)
        d->newest_arrived = pic_id;
    if (p && p->missing > 0 && --p->missing == 0 && p->ended)
        arrive(d, p);
}

void delivery_asked(struct delivery *d, uint64_t pic_id)
{
    struct delivery_picture *p = find(d, pic_id);
    if (p)
        p->asked_us = d->heard_us;
}

/* Is it there though feedback does not say so? The viewer must know that it misses something, by
 * what came after it, and have had the time to ask. */
static bool unasked(const struct delivery *d, struct delivery_picture *p, int64_t silent_us)
{
    if (!p->ended || p->pic_id >= d->newest_arrived)
        return false;
    if (!p->passed_us)
        p->passed_us = d->heard_us;
    int64_t last_us = p->asked_us > p->passed_us ? p->asked_us : p->passed_us;
    return d->heard_us - last_us >= silent_us;
}

void delivery_tick(struct delivery *d, int64_t rtt_us, int64_t now_us)
{
    int64_t silent_us = SILENT_RTTS * rtt_us + SILENT_US;
    bool open = false;
    /* Reports are 50 to 250 ms apart; of a longer pause nobody knows what was lost in it. */
    int64_t step_us = now_us - d->tick_us;
    d->heard_us += step_us < 0 ? 0 : step_us > HEARD_STEP_US ? HEARD_STEP_US : step_us;
    d->tick_us = now_us;
    if (d->oldest_open + DELIVERY_RING <= d->newest)
        d->oldest_open = d->newest - DELIVERY_RING + 1;
    for (uint64_t id = d->oldest_open; id <= d->newest; id++) {
        struct delivery_picture *p = find(d, id);
        bool purged = p && !p->ended && id < d->newest; /* the rest of it was never sent */
        if (p && !p->arrived && !purged && unasked(d, p, silent_us))
            arrive(d, p);
        open |= p && !p->arrived && !purged;
        if (!open)
            d->oldest_open = id + 1;
    }
}

bool delivery_next(struct delivery *d, uint64_t *pic_id)
{
    if (d->news_n == 0)
        return false;
    *pic_id = d->news[d->news_first];
    d->news_first = (d->news_first + 1) % DELIVERY_NEWS;
    d->news_n--;
    return true;
}

uint64_t delivery_sent_by(const struct delivery *d, int64_t then_us)
{
    for (uint64_t id = d->newest; id > 0 && id + DELIVERY_RING > d->newest; id--) {
        const struct delivery_picture *p = &d->ring[id % DELIVERY_RING];
        if (p->pic_id == id && p->ended && p->sent_us <= then_us)
            return id;
    }
    return 0;
}
