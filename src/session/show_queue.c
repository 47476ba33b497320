#include "session/show_queue.h"

#include <pthread.h>
#include <stdlib.h>

struct show_queue {
    pthread_mutex_t lock; /* guards all that follows, but the name */
    struct picture *pic[SHOW_QUEUE_MAX];
    int first, n;
    size_t bytes;
    int64_t drops;
    const char *name;
};

struct show_queue *show_queue_new(const char *name)
{
    struct show_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    q->name = name;
    return q;
}

static size_t bytes_of(const struct picture *p)
{
    size_t bytes = 0;
    for (int i = 0; i < picture_planes(p->fmt); i++)
        bytes += (size_t)p->stride[i] * (size_t)picture_rows(p->fmt, p->height, i);
    return bytes;
}

/* i: 0 is the oldest */
static struct picture *look(const struct show_queue *q, int i)
{
    return q->pic[(q->first + i) % SHOW_QUEUE_MAX];
}

static struct picture *pop(struct show_queue *q)
{
    struct picture *p = look(q, 0);
    q->first = (q->first + 1) % SHOW_QUEUE_MAX;
    q->n--;
    q->bytes -= bytes_of(p);
    return p;
}

static void drop(struct show_queue *q)
{
    struct picture *p = pop(q);
    picture_unref(&p);
    q->drops++;
}

void show_queue_free(struct show_queue **pq)
{
    struct show_queue *q = *pq;
    *pq = NULL;
    if (!q)
        return;
    while (q->n > 0)
        drop(q);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool show_queue_put(struct show_queue *q, struct picture *p, int64_t now_us)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == SHOW_QUEUE_MAX ||
           (q->n > 0 && q->bytes + bytes_of(p) > SHOW_QUEUE_MAX_BYTES))
        drop(q);
    q->pic[(q->first + q->n++) % SHOW_QUEUE_MAX] = p;
    q->bytes += bytes_of(p);
    bool wake = q->n == 1 || p->show_us <= now_us;
    pthread_mutex_unlock(&q->lock);
    return wake;
}

struct picture *show_queue_take(struct show_queue *q, int64_t now_us)
{
    struct picture *p = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->n > 1 && look(q, 1)->show_us <= now_us)
        drop(q);
    if (q->n > 0 && look(q, 0)->show_us <= now_us)
        p = pop(q);
    pthread_mutex_unlock(&q->lock);
    return p;
}

int64_t show_queue_next_us(struct show_queue *q)
{
    pthread_mutex_lock(&q->lock);
    int64_t next = q->n > 0 ? look(q, 0)->show_us : INT64_MAX;
    pthread_mutex_unlock(&q->lock);
    return next;
}

struct queue_stats show_queue_stats(struct show_queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct queue_stats st = {q->name, q->n, SHOW_QUEUE_MAX, q->drops};
    pthread_mutex_unlock(&q->lock);
    return st;
}
