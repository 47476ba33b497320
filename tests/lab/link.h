/* link: one direction of a bad network. A queue that overflows, a rate, then loss, delay, jitter,
 * reordering and duplicates from a seed; all of it may change at planned times. Pure: packets and
 * now_us come in, packets come out at their time, so the same seed and input give the same output.
 *
 *   push ──▶ queue (bytes, ms; tail drop) ──▶ rate ──▶ loss ──▶ delay ± jitter ──▶ pop
 *
 * A packet that is lost has used the link, as on a radio. A change of the rate applies at once, to
 * the rest of the packet that is being sent too. */
#ifndef LAB_LINK_H
#define LAB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINK_PACKET_MAX = 1600,
    LINK_WAIT_BIN_US = 250, LINK_WAIT_BINS = 16000, /* of the queueing delay: up to 4 s */
    LINK_SLICE_US = 100000, LINK_SLICES = 36000,    /* of the series: an hour */
};

struct link_config {
    int64_t rate_bps;     /* 0: no limit */
    int64_t queue_us;     /* longest wait in the queue; 0: no limit but queue_bytes */
    int64_t queue_bytes;  /* 0: no limit but queue_us */
    int64_t delay_us;
    int64_t jitter_us;    /* delay ± this, evenly spread, never below 0 */
    bool unordered;       /* jitter may change the order */
    double loss;          /* 0 to 1, each packet by itself */
    double burst_loss;    /* 0 to 1, in bursts (Gilbert-Elliott: everything is lost in the bad state) */
    double burst_length;  /* packets, on average; at least 1 */
    double duplicate;     /* 0 to 1 */
    double reorder;       /* 0 to 1: so many come reorder_us late, and others overtake them */
    int64_t reorder_us;
};

struct link_slice { /* of LINK_SLICE_US, by the time that a packet left the queue */
    int64_t bytes;    /* carried by the rate */
    int64_t capacity; /* bytes that the rate would have carried; -1: no limit */
    int32_t longest_wait_us;
    int32_t overflowed, lost;
};

struct link_stats {
    int64_t since_us; /* of the counters below */
    int64_t packets_in, bytes_in;
    int64_t packets_out, bytes_out; /* that went through the rate */
    int64_t overflowed, lost, duplicated, reordered, delivered;
    int64_t wait_p50_us, wait_p95_us, wait_max_us; /* in the queue, until its first bit was sent */
    int64_t busy_us;  /* the time that the rate was in use */
    int64_t capacity_bytes; /* that the rate would have carried; -1: no limit for a while */
    int64_t queued_bytes, queued_packets;          /* now */
};

struct link;

/* All off: no limits, no delay. */
void link_config_init(struct link_config *c);
/* "rate=10M delay=20 queue=300 loss=2 burst=5:8 jitter=30 …": the keys that are named change, the
 * others stay. false: *bad is the word that was not understood (borrowed from text's copy in
 * scratch). README.md lists the keys. */
bool link_config_parse(struct link_config *c, const char *text, char *scratch, size_t scratch_len,
                       const char **bad);

struct link *link_new(const struct link_config *c, uint64_t seed, int64_t now_us);
void link_free(struct link **l);
/* From now on. */
void link_configure(struct link *l, const struct link_config *c, int64_t now_us);
/* At at_us, in the order of their times; a plan that is past applies at once. false: too many. */
bool link_plan(struct link *l, const struct link_config *c, int64_t at_us);
void link_unplan(struct link *l);
/* What is planned last; what applies now without a plan. */
const struct link_config *link_last_config(const struct link *l);
/* Copies data. counted: the bytes that the rate and the queue count. */
void link_push(struct link *l, const void *data, size_t len, size_t counted, int64_t now_us);
/* When something is due; INT64_MAX: nothing. */
int64_t link_next_us(const struct link *l);
/* The next packet that is due: its bytes, valid until the next call of anything; due_us: when it
 * was. 0: none. */
size_t link_pop(struct link *l, int64_t now_us, const uint8_t **data, int64_t *due_us);
void link_get_stats(struct link *l, int64_t now_us, struct link_stats *s);
/* The slices since the last reset. */
int link_series(const struct link *l, const struct link_slice **slices);
void link_reset_stats(struct link *l, int64_t now_us);

#endif
