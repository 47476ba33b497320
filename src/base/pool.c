#include "base/pool.h"

#include "base/error.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MOST = 64 };

struct pool {
    int n_workers;
    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t more, done;
    void (*part)(void *arg, int i);
    void *arg;
    int next, count; /* the part to begin with next, of so many */
    int wanted;      /* workers that may still join the job */
    int busy;        /* workers in it */
    bool end;
    pthread_t worker[];
};

/* With the lock. */
static void take_parts(struct pool *p)
{
    while (p->next < p->count) {
        int i = p->next++;
        void (*part)(void *, int) = p->part;
        void *arg = p->arg;
        pthread_mutex_unlock(&p->lock);
        part(arg, i);
        pthread_mutex_lock(&p->lock);
    }
}

static void *work(void *arg)
{
    struct pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->end && !(p->wanted && p->next < p->count))
            pthread_cond_wait(&p->more, &p->lock);
        if (p->end)
            break;
        p->wanted--;
        p->busy++;
        take_parts(p);
        if (--p->busy == 0)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(int threads, const char *name)
{
    int workers = threads < 1 ? 0 : threads > THREADS_MOST ? THREADS_MOST - 1 : threads - 1;
    struct pool *p = calloc(1, sizeof *p + (size_t)workers * sizeof p->worker[0]);
    if (!p) {
        error_set(ERR_MEMORY, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    pthread_cond_init(&p->done, NULL);
    for (; p->n_workers < workers; p->n_workers++) {
        char full[32]; /* the kernel takes 15 */
        snprintf(full, sizeof full, "%.12s-%d", name, p->n_workers + 1);
        if (thread_start(&p->worker[p->n_workers], full, work, p)) {
            pool_free(&p);
            return NULL;
        }
    }
    return p;
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->end = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_workers; i++)
        pthread_join(p->worker[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pool = NULL;
}

int pool_threads(const struct pool *p) { return p->n_workers + 1; }

void pool_run(struct pool *p, int threads, int count, void (*part)(void *arg, int i), void *arg)
{
    pthread_mutex_lock(&p->lock);
    p->part = part;
    p->arg = arg;
    p->next = 0;
    p->count = count;
    p->wanted = threads - 1 < count - 1 ? threads - 1 : count - 1;
    for (int i = 0; i < p->wanted && i < p->n_workers; i++)
        pthread_cond_signal(&p->more);
    take_parts(p);
    p->wanted = 0;
    while (p->busy)
        pthread_cond_wait(&p->done, &p->lock);
    p->count = p->next = 0;
    pthread_mutex_unlock(&p->lock);
}
