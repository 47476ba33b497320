/* The bounded queue between two threads, and the slot that holds one picture.
 *
 * Both have a capacity and a policy, and count what they drop. All functions are thread-safe. */
#ifndef HEVCAST_BASE_QUEUE_H
#define HEVCAST_BASE_QUEUE_H

#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>

enum queue_policy {
    QUEUE_REJECT,      /* the new item is freed and counted */
    QUEUE_DROP_OLDEST, /* the oldest item is freed and counted */
    QUEUE_FLUSH,       /* all items are freed and counted, then the new one goes in */
};

struct queue_stats {
    const char *name; /* static */
    int length, capacity;
    int64_t drops;
};

struct queue;
/* free_item: how a dropped item is freed. name: a static string of the statistics. */
struct queue *queue_new(const char *name, int capacity, enum queue_policy policy,
                        void (*free_item)(void *item));
/* Frees what is left in it. No thread may use it any more. */
void queue_free(struct queue **q);
/* Called after each push, on the pushing thread, outside the lock (for an event loop's wake-up).
 * Set it before the first push. */
void queue_set_notify(struct queue *q, void (*notify)(void *ctx), void *ctx);

enum { QUEUE_OK = 0, QUEUE_DROPPED = 1, QUEUE_CLOSED = -1 };
/* takes item in every case. QUEUE_DROPPED: it or others were dropped, as the policy says. */
int queue_push(struct queue *q, void *item);
/* Waits at most timeout_us (< 0: for ever). NULL: timed out, or closed and empty. */
void *queue_pop(struct queue *q, int64_t timeout_us);
/* Waits until it is empty, at most timeout_us; true when it is. */
bool queue_drain(struct queue *q, int64_t timeout_us);
int queue_flush(struct queue *q); /* frees and counts all items; how many */
/* Pushes are refused from now on; pops give what is left, then NULL. */
void queue_close(struct queue *q);
bool queue_closed(struct queue *q);
struct queue_stats queue_get_stats(struct queue *q);

/* A slot of one picture: the newest wins, and takes over the damage of the one it replaces, so
 * that its damage is relative to the last picture that was *taken*. */
struct slot;
struct slot *slot_new(const char *name);
void slot_free(struct slot **s);
/* takes p. QUEUE_DROPPED: another picture was replaced. */
int slot_put(struct slot *s, struct picture *p);
/* NULL: timed out, woken or closed. While a caller waits here, the slot is hungry. */
struct picture *slot_take(struct slot *s, int64_t timeout_us);
/* Waits until a consumer waits in slot_take on an empty slot: pixels read now are not stale when
 * they are used. false: timed out, woken or closed. */
bool slot_wait_hungry(struct slot *s, int64_t timeout_us);
/* Sleeps until slot_wake or slot_close, at most timeout_us, without taking anything. */
void slot_sleep(struct slot *s, int64_t timeout_us);
/* Makes a waiting slot_take, slot_sleep or slot_wait_hungry return now; if none waits, the next of each. */
void slot_wake(struct slot *s);
void slot_close(struct slot *s);
bool slot_closed(struct slot *s);
struct queue_stats slot_get_stats(struct slot *s);

#endif
