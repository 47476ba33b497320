/* ref_news: what the net thread tells the encode thread of pictures that viewers have or miss. A
 * bounded queue: when it is full all is dropped, and the answer is a key frame. Any thread.
 *
 * Net joins what its viewers' feedback says: a picture is acknowledged once every viewer has it,
 * and lost as soon as one will never have it. A viewer that joins needs no word here: it begins
 * with a key frame, which leaves nothing older to refer to. */
#ifndef HEVCAST_SESSION_REF_NEWS_H
#define HEVCAST_SESSION_REF_NEWS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { REF_NEWS_CAPACITY = 128 };

enum ref_event_type {
    REF_ACKED,    /* every viewer has this picture and all that it depends on */
    REF_LOST,     /* a viewer will not have this picture, or one before it */
    REF_OVERFLOW, /* news were dropped */
};

struct ref_event {
    enum ref_event_type type;
    uint64_t pic_id;
};

struct ref_news {
    pthread_mutex_t lock; /* guards all */
    struct ref_event ring[REF_NEWS_CAPACITY];
    unsigned first, n;
    bool overflowed;
    int64_t drops;
};

void ref_news_init(struct ref_news *q);
void ref_news_destroy(struct ref_news *q);
void ref_news_push(struct ref_news *q, enum ref_event_type type, uint64_t pic_id);
bool ref_news_pop(struct ref_news *q, struct ref_event *out); /* false: there are none */

#endif
