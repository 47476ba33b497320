#include "jitter/nack_list.h"

#include "jitter/reorder.h"

#include <string.h>

void nack_list_init(struct nack_list *l, int64_t repeat_us)
{
    memset(l, 0, sizeof *l);
    l->first = l->last = l->fresh = -1;
    l->retry_us = INT64_MAX;
    l->repeat_us = repeat_us;
    l->margin_us = REORDER_MIN_US;
    l->margin_packets = REORDER_PACKETS;
}

static int slot_of(int64_t seq) { return (int)((uint64_t)seq % NACK_LIST_MAX); }

void nack_list_add(struct nack_list *l, int64_t seq, int64_t now_us)
{
    int i = slot_of(seq);
    if (l->slot[i].used) /* cannot be, see the header; rather forget the old one than the list */
        nack_list_remove(l, l->slot[i].seq);
    l->slot[i] = (struct nack_entry){
        .seq = seq, .missing_us = now_us, .prev = l->last, .next = -1, .used = true};
    if (l->last >= 0)
        l->slot[l->last].next = i;
    else
        l->first = i;
    l->last = i;
    if (l->fresh < 0)
        l->fresh = i;
}

struct nack_entry *nack_list_find(struct nack_list *l, int64_t seq)
{
    struct nack_entry *e = &l->slot[slot_of(seq)];
    return e->used && e->seq == seq ? e : NULL;
}

const struct nack_entry *nack_list_first(const struct nack_list *l)
{
    return l->first >= 0 ? &l->slot[l->first] : NULL;
}

void nack_list_remove(struct nack_list *l, int64_t seq)
{
    struct nack_entry *e = nack_list_find(l, seq);
    if (!e)
        return;
    if (l->fresh == slot_of(seq))
        l->fresh = e->next;
    if (e->prev >= 0)
        l->slot[e->prev].next = e->next;
    else
        l->first = e->next;
    if (e->next >= 0)
        l->slot[e->next].prev = e->prev;
    else
        l->last = e->prev;
    e->used = false;
}

void nack_list_remove_before(struct nack_list *l, int64_t seq)
{
    while (l->first >= 0 && l->slot[l->first].seq < seq)
        nack_list_remove(l, l->slot[l->first].seq);
}

void nack_list_filled(struct nack_list *l, struct nack_entry *e, bool repaired)
{
    nack_list_remove(l, e->seq);
    e->repaired = repaired;
}

bool nack_list_repaired_before(struct nack_list *l, int64_t seq, int64_t *missing_us)
{
    struct nack_entry *e = &l->slot[slot_of(seq)];
    if (e->used || !e->repaired || e->seq != seq)
        return false;
    e->repaired = false;
    *missing_us = e->missing_us;
    return true;
}

bool nack_entry_overdue(const struct nack_list *l, const struct nack_entry *e, int64_t highest,
                        int64_t now_us)
{
    return highest - e->seq >= l->margin_packets || now_us - e->missing_us >= l->margin_us;
}

/* Asked for often enough is left alone: the receiver gives it up in time. */
static int64_t retry_at(const struct nack_entry *e, int64_t interval_us)
{
    return e->tries < NACK_TRIES ? e->asked_us + interval_us : INT64_MAX;
}

static int64_t repeat_at(const struct nack_list *l, const struct nack_entry *e)
{
    return l->repeat_us > 0 && !e->repeated ? e->asked_us + l->repeat_us : INT64_MAX;
}

static void ask(struct nack_entry *e, bool again, int64_t now_us)
{
    e->repeated = again;
    if (again)
        return;
    e->tries++;
    e->asked_us = now_us;
}

int nack_list_due(struct nack_list *l, int64_t highest, int64_t now_us, int64_t interval_us,
                  uint16_t *seq, int max, int *first_time)
{
    int n = 0;
    *first_time = 0;
    if (now_us < nack_list_next_us(l, highest))
        return 0;
    l->retry_us = INT64_MAX;
    for (int i = l->first; i >= 0; i = l->slot[i].next) {
        struct nack_entry *e = &l->slot[i];
        bool retry = e->tries && now_us >= retry_at(e, interval_us);
        bool again = e->tries && !retry && now_us >= repeat_at(l, e);
        bool due = retry || again || (e->tries == 0 && nack_entry_overdue(l, e, highest, now_us));
        if (!due && e->tries == 0)
            break; /* those behind are later */
        if (due && n == max) {
            l->retry_us = now_us; /* the rest is for the next call */
            break;
        }
        if (due) {
            *first_time += e->tries == 0;
            if (i == l->fresh)
                l->fresh = e->next;
            ask(e, again, now_us);
            seq[n++] = (uint16_t)e->seq;
        }
        int64_t next = repeat_at(l, e), retry_us = retry_at(e, interval_us);
        next = retry_us < next ? retry_us : next;
        l->retry_us = next < l->retry_us ? next : l->retry_us;
    }
    return n;
}

int64_t nack_list_next_us(const struct nack_list *l, int64_t highest)
{
    if (l->first < 0)
        return INT64_MAX;
    if (l->fresh < 0)
        return l->retry_us;
    const struct nack_entry *e = &l->slot[l->fresh];
    int64_t fresh_us = highest - e->seq >= l->margin_packets ? e->missing_us
                                                              : e->missing_us + l->margin_us;
    return fresh_us < l->retry_us ? fresh_us : l->retry_us;
}
