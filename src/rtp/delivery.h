/* delivery: which pictures a viewer has, as far as feedback tells: all packets of the picture
 * arrived, and it has those that the picture refers to. Pure.
 *
 * A packet that feedback calls lost may have come all the same, by forward error correction, or in
 * a report that was lost itself. Whoever misses a packet goes on asking for it, so one that nobody
 * asks for during several round trips is taken to be there. Only the time counts in which the viewer
 * was heard: while its feedback does not come through, its requests do not, either. */
#ifndef HEVCAST_RTP_DELIVERY_H
#define HEVCAST_RTP_DELIVERY_H

#include "base/picture.h"

enum { DELIVERY_RING = 512, DELIVERY_NEWS = 64 };

struct delivery_picture {
    uint64_t pic_id;          /* 0: none */
    uint64_t refers_to[8];
    int n_refers;
    bool irap, tracked, ended; /* all of its packets were sent */
    bool arrived, had;
    int sent, missing;        /* packets */
    int64_t sent_us;           /* its last packet */
    /* Of the time in which the viewer was heard: when one of it was asked for last; when feedback told
     * first of something newer that arrived; 0: never. */
    int64_t asked_us, passed_us;
};

struct delivery {
    struct delivery_picture ring[DELIVERY_RING]; /* by pic_id */
    int64_t tick_us, heard_us; /* the last tick; for how long the viewer was heard, by ticks */
    uint64_t newest, newest_arrived; /* newest_arrived: a packet of it */
    uint64_t oldest_open;      /* all before are had, or will never be */
    uint64_t news[DELIVERY_NEWS]; /* pictures that are had, not told of yet: a ring */
    unsigned news_first, news_n;
};

/* A packet of this picture goes out for the first time; last: none comes after. */
void delivery_sent(struct delivery *d, const struct access_unit *au, bool last, int64_t now_us);
/* A packet of it arrived that had not before. */
void delivery_arrived(struct delivery *d, uint64_t pic_id);
void delivery_asked(struct delivery *d, uint64_t pic_id); /* by a NACK */
/* Feedback came. */
void delivery_tick(struct delivery *d, int64_t rtt_us, int64_t now_us);
/* The next picture that the viewer turned out to have. */
bool delivery_next(struct delivery *d, uint64_t *pic_id);
bool delivery_has(const struct delivery *d, uint64_t pic_id);
/* The newest picture that was sent whole by then; 0: none. */
uint64_t delivery_sent_by(const struct delivery *d, int64_t then_us);

#endif
