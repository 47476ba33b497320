#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static void cond_init_monotonic(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

static struct timespec deadline_after(int64_t timeout_us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_us / 1000000;
    t.tv_nsec += timeout_us % 1000000 * 1000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* false when the deadline has passed. */
static bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t timeout_us,
                            const struct timespec *deadline)
{
    if (timeout_us < 0)
        return pthread_cond_wait(c, m) == 0;
    return pthread_cond_timedwait(c, m, deadline) == 0;
}

struct queue {
    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    int capacity, head, count;
    enum queue_policy policy;
    bool closed;
    int64_t drops;
    const char *name;
    void (*free_item)(void *);
    void (*notify)(void *); /* set before use */
    void *notify_ctx;
    void *items[];
};

struct queue *queue_new(const char *name, int capacity, enum queue_policy policy,
                        void (*free_item)(void *))
{
    struct queue *q = calloc(1, sizeof *q + (size_t)capacity * sizeof q->items[0]);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    cond_init_monotonic(&q->changed);
    q->capacity = capacity;
    q->policy = policy;
    q->name = name;
    q->free_item = free_item;
    return q;
}

static void *take_head(struct queue *q)
{
    void *item = q->items[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->count--;
    return item;
}

void queue_free(struct queue **pq)
{
    struct queue *q = *pq;
    *pq = NULL;
    if (!q)
        return;
    while (q->count)
        q->free_item(take_head(q));
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void queue_set_notify(struct queue *q, void (*notify)(void *), void *ctx)
{
    q->notify = notify;
    q->notify_ctx = ctx;
}

static void drop_head(struct queue *q)
{
    q->free_item(take_head(q));
    q->drops++;
}

int queue_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    int result = QUEUE_OK;
    if (q->closed) {
        result = QUEUE_CLOSED;
    } else if (q->count == q->capacity) {
        result = QUEUE_DROPPED;
        if (q->policy == QUEUE_REJECT)
            q->drops++;
        else if (q->policy == QUEUE_DROP_OLDEST)
            drop_head(q);
        else
            while (q->count)
                drop_head(q);
    }
    bool accepted = !q->closed && q->count < q->capacity;
    if (accepted)
        q->items[(q->head + q->count++) % q->capacity] = item;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (!accepted)
        q->free_item(item);
    else if (q->notify)
        q->notify(q->notify_ctx);
    return result;
}

void *queue_pop(struct queue *q, int64_t timeout_us)
{
    struct timespec deadline = deadline_after(timeout_us > 0 ? timeout_us : 0);
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->closed && timeout_us != 0)
        if (!cond_wait_until(&q->changed, &q->lock, timeout_us, &deadline))
            break;
    void *item = q->count ? take_head(q) : NULL;
    if (item)
        pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    return item;
}

bool queue_drain(struct queue *q, int64_t timeout_us)
{
    struct timespec deadline = deadline_after(timeout_us > 0 ? timeout_us : 0);
    pthread_mutex_lock(&q->lock);
    while (q->count)
        if (!cond_wait_until(&q->changed, &q->lock, timeout_us, &deadline))
            break;
    bool empty = q->count == 0;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

int queue_flush(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    int n = q->count;
    while (q->count)
        drop_head(q);
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    return n;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

struct queue_stats queue_get_stats(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct queue_stats st = {q->name, q->count, q->capacity, q->drops};
    pthread_mutex_unlock(&q->lock);
    return st;
}

struct slot {
    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    struct picture *pic;
    bool taking, closed;
    bool wake_take, wake_hungry;
    int64_t drops;
    const char *name;
};

struct slot *slot_new(const char *name)
{
    struct slot *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    cond_init_monotonic(&s->changed);
    s->name = name;
    return s;
}

void slot_free(struct slot **ps)
{
    struct slot *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    picture_unref(&s->pic);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int slot_put(struct slot *s, struct picture *p)
{
    int result = QUEUE_OK;
    pthread_mutex_lock(&s->lock);
    struct picture *old = s->pic;
    if (s->closed) {
        old = p;
        result = QUEUE_CLOSED;
    } else {
        if (old) {
            s->drops++;
            result = QUEUE_DROPPED;
            if (old->width == p->width && old->height == p->height)
                damage_add_all(&p->damage, &old->damage);
            else
                damage_set_all(&p->damage, p->width, p->height);
            /* The oldest unseen change is what latency is measured from. */
            if (old->event_us && (!p->event_us || old->event_us < p->event_us))
                p->event_us = old->event_us;
        }
        s->pic = p;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    picture_unref(&old);
    return result;
}

struct picture *slot_take(struct slot *s, int64_t timeout_us)
{
    struct timespec deadline = deadline_after(timeout_us > 0 ? timeout_us : 0);
    pthread_mutex_lock(&s->lock);
    if (!s->pic && timeout_us != 0) {
        s->taking = true;
        pthread_cond_broadcast(&s->changed);
        while (!s->pic && !s->closed && !s->wake_take)
            if (!cond_wait_until(&s->changed, &s->lock, timeout_us, &deadline))
                break;
        s->taking = false;
    }
    s->wake_take = false;
    struct picture *p = s->pic;
    s->pic = NULL;
    pthread_mutex_unlock(&s->lock);
    return p;
}

bool slot_wait_hungry(struct slot *s, int64_t timeout_us)
{
    struct timespec deadline = deadline_after(timeout_us > 0 ? timeout_us : 0);
    pthread_mutex_lock(&s->lock);
    while (!(s->taking && !s->pic) && !s->closed && !s->wake_hungry)
        if (!cond_wait_until(&s->changed, &s->lock, timeout_us, &deadline))
            break;
    bool hungry = s->taking && !s->pic && !s->closed;
    s->wake_hungry = false;
    pthread_mutex_unlock(&s->lock);
    return hungry;
}

void slot_sleep(struct slot *s, int64_t timeout_us)
{
    struct timespec deadline = deadline_after(timeout_us > 0 ? timeout_us : 0);
    pthread_mutex_lock(&s->lock);
    while (!s->wake_take && !s->closed)
        if (!cond_wait_until(&s->changed, &s->lock, timeout_us, &deadline))
            break;
    s->wake_take = false;
    pthread_mutex_unlock(&s->lock);
}

void slot_wake(struct slot *s)
{
    pthread_mutex_lock(&s->lock);
    s->wake_take = s->wake_hungry = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void slot_close(struct slot *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

bool slot_closed(struct slot *s)
{
    pthread_mutex_lock(&s->lock);
    bool closed = s->closed;
    pthread_mutex_unlock(&s->lock);
    return closed;
}

struct queue_stats slot_get_stats(struct slot *s)
{
    pthread_mutex_lock(&s->lock);
    struct queue_stats st = {s->name, s->pic ? 1 : 0, 1, s->drops};
    pthread_mutex_unlock(&s->lock);
    return st;
}
