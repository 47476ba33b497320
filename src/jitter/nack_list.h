/* The packets that are missing, in order, and when each is to be asked for. A list threaded
 * through a ring of slots: adding, finding and removing take constant time, and only a pass that
 * has something to ask for walks it. Pure. */
#ifndef HEVCAST_JITTER_NACK_LIST_H
#define HEVCAST_JITTER_NACK_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NACK_LIST_MAX = 2048,
    NACK_TRIES = 10,
};

struct nack_entry {
    int64_t seq;
    int64_t missing_us, asked_us; /* since when; last asked for */
    int tries;
    bool repeated;   /* what asked for it last was sent a second time */
    int prev, next; /* slots; -1: none */
    bool used;
    bool repaired;   /* with used false: it may yet come as it was sent, too late to be of use */
};

struct nack_list {
    struct nack_entry slot[NACK_LIST_MAX];
    int first, last;
    int fresh;       /* the first that was never asked for; -1: none. All after it are fresh too */
    int64_t retry_us; /* no entry that was asked for is due before */
    int64_t repeat_us;  /* what asks is sent again so long after, for it may be lost; 0: not */
    int64_t margin_us;  /* see jitter/reorder.h; the owner keeps them as they are there */
    int margin_packets;
};

void nack_list_init(struct nack_list *l, int64_t repeat_us);
/* seq is above all others, and less than NACK_LIST_MAX above the first. */
void nack_list_add(struct nack_list *l, int64_t seq, int64_t now_us);
struct nack_entry *nack_list_find(struct nack_list *l, int64_t seq); /* NULL: not missing */
const struct nack_entry *nack_list_first(const struct nack_list *l); /* NULL: none is missing */
void nack_list_remove(struct nack_list *l, int64_t seq);
void nack_list_remove_before(struct nack_list *l, int64_t seq);
/* It came, as it was sent or not, or it is done without (repaired: true). */
void nack_list_filled(struct nack_list *l, struct nack_entry *e, bool repaired);
/* A packet that is not missing came as it was sent: was it done without it before? Then
 * *missing_us is since when it was missing; true once for each. */
bool nack_list_repaired_before(struct nack_list *l, int64_t seq, int64_t *missing_us);
/* Out of the reorder margin? highest: the highest sequence number that arrived. */
bool nack_entry_overdue(const struct nack_list *l, const struct nack_entry *e, int64_t highest,
                        int64_t now_us);
/* Those to ask for now, ascending, at most max; they count as asked for. *first_time: how many of
 * them were never asked for before. */
int nack_list_due(struct nack_list *l, int64_t highest, int64_t now_us, int64_t interval_us,
                  uint16_t *seq, int max, int *first_time);
/* When nack_list_due may have something; INT64_MAX: never, as things are. */
int64_t nack_list_next_us(const struct nack_list *l, int64_t highest);

#endif
