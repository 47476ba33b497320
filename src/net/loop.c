#include "net/loop.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Two GSources serve the whole loop, whatever the number of timers and events, so that the set
 * of descriptors to poll stays small: a timerfd that is armed for the earliest timer right before
 * the loop sleeps (loop_timer_set itself is no system call), and an eventfd for posts, events and
 * quitting. */
enum { HOLD_US = 300000 };

struct post {
    struct post *next;
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop_source {
    GSource source; /* first: GLib allocates and casts it */
    struct loop *loop;
    gpointer tag;
};

struct loop {
    GMainContext *context;
    atomic_bool quit;
    int held; /* loop_hold */
    _Atomic(uintptr_t) thread; /* pthread_self() while loop_run runs, else 0 */

    int wake_fd;
    atomic_bool woken; /* wake_fd was written and is not yet read */
    struct loop_source *wake_source;
    struct loop_event *events; /* network thread */
    struct loop_event *cursor; /* the next event of a running dispatch_wake */
    pthread_mutex_t lock;      /* guards posts_head, posts_tail */
    struct post *posts_head, *posts_tail;

    int timer_fd;
    int64_t armed_us; /* INT64_MAX: not armed */
    int64_t turn_us;  /* when timers were last dispatched */
    struct loop_source *timer_source;
    struct loop_timer **heap; /* a binary heap by at_us; stopped timers are not in it */
    int heap_len, heap_cap;
    int timer_count; /* heap_cap is at least this, so that loop_timer_set cannot fail */
};

struct loop_event {
    struct loop *loop;
    struct loop_event *prev, *next;
    atomic_bool pending;
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop_timer {
    struct loop *loop;
    int64_t at_us;
    int index; /* in the heap; -1: stopped */
    void (*fn)(void *ctx);
    void *ctx;
};

/* --- the timers' heap --- */

static void heap_place(struct loop *l, int i, struct loop_timer *t)
{
    l->heap[i] = t;
    t->index = i;
}

static void heap_up(struct loop *l, int i)
{
    struct loop_timer *t = l->heap[i];
    while (i > 0 && l->heap[(i - 1) / 2]->at_us > t->at_us) {
        heap_place(l, i, l->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(l, i, t);
}

static void heap_down(struct loop *l, int i)
{
    struct loop_timer *t = l->heap[i];
    for (;;) {
        int child = 2 * i + 1;
        if (child >= l->heap_len)
            break;
        if (child + 1 < l->heap_len && l->heap[child + 1]->at_us < l->heap[child]->at_us)
            child++;
        if (l->heap[child]->at_us >= t->at_us)
            break;
        heap_place(l, i, l->heap[child]);
        i = child;
    }
    heap_place(l, i, t);
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
    int i = t->index;
    t->index = -1;
    struct loop_timer *last = l->heap[--l->heap_len];
    if (last == t)
        return;
    heap_place(l, i, last);
    heap_up(l, i);
    heap_down(l, last->index);
}

/* --- the timer source --- */

static int64_t earliest_us(const struct loop *l)
{
    return l->heap_len ? l->heap[0]->at_us : INT64_MAX;
}

static gboolean prepare_timers(GSource *source, gint *timeout_ms)
{
    struct loop *l = ((struct loop_source *)source)->loop;
    *timeout_ms = -1;
    int64_t at_us = earliest_us(l);
    if (at_us != INT64_MAX && at_us <= clock_now_us())
        return TRUE;
    if (at_us == l->armed_us)
        return FALSE;
    /* Setting a timerfd also takes back an expiry that was not read yet; zero disarms it. */
    struct itimerspec spec = {0};
    if (at_us != INT64_MAX) {
        spec.it_value.tv_sec = at_us / 1000000;
        spec.it_value.tv_nsec = at_us % 1000000 * 1000;
    }
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0) {
        LOG_RATE(loop, LOG_LEVEL_ERROR, "timerfd_settime: %s", strerror(errno));
        *timeout_ms = 1; /* late timers are better than none */
        return FALSE;
    }
    l->armed_us = at_us;
    return FALSE;
}

static gboolean check_timers(GSource *source)
{
    struct loop_source *s = (struct loop_source *)source;
    struct loop *l = s->loop;
    if (g_source_query_unix_fd(source, s->tag) & G_IO_IN) {
        uint64_t expirations;
        if (read(l->timer_fd, &expirations, sizeof expirations) > 0)
            l->armed_us = INT64_MAX;
    }
    int64_t at_us = earliest_us(l);
    return at_us != INT64_MAX && at_us <= clock_now_us();
}

static gboolean dispatch_timers(GSource *source, GSourceFunc fn, gpointer data)
{
    (void)fn;
    (void)data;
    struct loop *l = ((struct loop_source *)source)->loop;
    int64_t now_us = l->turn_us = clock_now_us();
    /* A callback may set its own timer to the past; the bound lets sockets have their turn. */
    for (int left = l->heap_len; left > 0 && earliest_us(l) <= now_us; left--) {
        struct loop_timer *t = l->heap[0];
        heap_remove(l, t);
        t->at_us = INT64_MAX;
        t->fn(t->ctx); /* may free t */
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = {prepare_timers, check_timers, dispatch_timers, NULL, NULL, NULL};

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    if (l->timer_count == l->heap_cap) {
        int cap = l->heap_cap ? l->heap_cap * 2 : 16;
        struct loop_timer **heap = realloc(l->heap, (size_t)cap * sizeof *heap);
        if (!heap) {
            error_set(ERR_MEMORY, "out of memory for a timer");
            return NULL;
        }
        l->heap = heap;
        l->heap_cap = cap;
    }
    struct loop_timer *t = calloc(1, sizeof *t);
    if (!t) {
        error_set(ERR_MEMORY, "out of memory for a timer");
        return NULL;
    }
    *t = (struct loop_timer){.loop = l, .at_us = INT64_MAX, .index = -1, .fn = fn, .ctx = ctx};
    l->timer_count++;
    return t;
}

void loop_timer_set(struct loop_timer *t, int64_t at_us)
{
    struct loop *l = t->loop;
    if (at_us < l->turn_us)
        at_us = l->turn_us; /* further back it would come before those that wait since then, always */
    if (at_us == t->at_us)
        return;
    t->at_us = at_us;
    if (at_us == INT64_MAX) {
        heap_remove(l, t);
    } else if (t->index < 0) {
        l->heap_len++;
        heap_place(l, l->heap_len - 1, t);
        heap_up(l, t->index);
    } else {
        heap_up(l, t->index);
        heap_down(l, t->index);
    }
}

void loop_timer_free(struct loop_timer **timer)
{
    struct loop_timer *t = *timer;
    if (!t)
        return;
    *timer = NULL;
    if (t->index >= 0)
        heap_remove(t->loop, t);
    t->loop->timer_count--;
    free(t);
}

/* --- posts and events --- */

/* The order matters: what is to be seen (a post, a pending flag) was stored before `woken` is
 * exchanged, and dispatch_wake clears `woken` before it looks. */
static void wake(struct loop *l)
{
    if (atomic_exchange(&l->woken, true))
        return;
    uint64_t one = 1;
    /* It can fail by EAGAIN alone, when the counter is full: then the loop is awake. */
    if (write(l->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        LOG_RATE(loop, LOG_LEVEL_ERROR, "eventfd: %s", strerror(errno));
}

static struct post *take_posts(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct post *p = l->posts_head;
    l->posts_head = l->posts_tail = NULL;
    pthread_mutex_unlock(&l->lock);
    return p;
}

static void run_posts(struct loop *l)
{
    /* What a post posts runs in the next turn. */
    struct post *p = take_posts(l);
    while (p) {
        struct post *next = p->next;
        p->fn(p->ctx);
        free(p);
        p = next;
    }
}

static gboolean prepare_wake(GSource *source, gint *timeout_ms)
{
    (void)source;
    *timeout_ms = -1;
    return FALSE;
}

static gboolean check_wake(GSource *source)
{
    return (g_source_query_unix_fd(source, ((struct loop_source *)source)->tag) & G_IO_IN) != 0;
}

static gboolean dispatch_wake(GSource *source, GSourceFunc fn, gpointer data)
{
    (void)fn;
    (void)data;
    struct loop *l = ((struct loop_source *)source)->loop;
    uint64_t count;
    if (read(l->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        LOG_RATE(loop, LOG_LEVEL_ERROR, "eventfd: %s", strerror(errno));
    atomic_store(&l->woken, false);
    run_posts(l);
    for (struct loop_event *e = l->events; e; e = l->cursor) {
        l->cursor = e->next; /* loop_event_free moves it on when it frees that one */
        if (atomic_exchange(&e->pending, false))
            e->fn(e->ctx); /* may free e */
    }
    l->cursor = NULL;
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs wake_funcs = {prepare_wake, check_wake, dispatch_wake, NULL, NULL, NULL};

void loop_post(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    struct post *p = g_new(struct post, 1); /* aborts without memory: a post must not be lost */
    *p = (struct post){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&l->lock);
    if (l->posts_tail)
        l->posts_tail->next = p;
    else
        l->posts_head = p;
    l->posts_tail = p;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

struct loop_event *loop_event_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    struct loop_event *e = calloc(1, sizeof *e);
    if (!e) {
        error_set(ERR_MEMORY, "out of memory for an event");
        return NULL;
    }
    *e = (struct loop_event){.loop = l, .next = l->events, .fn = fn, .ctx = ctx};
    if (e->next)
        e->next->prev = e;
    l->events = e;
    return e;
}

void loop_event_notify(struct loop_event *e)
{
    if (!atomic_exchange(&e->pending, true))
        wake(e->loop);
}

void loop_event_free(struct loop_event **event)
{
    struct loop_event *e = *event;
    if (!e)
        return;
    *event = NULL;
    struct loop *l = e->loop;
    if (l->cursor == e)
        l->cursor = e->next;
    if (e->prev)
        e->prev->next = e->next;
    else
        l->events = e->next;
    if (e->next)
        e->next->prev = e->prev;
    free(e);
}

/* --- the loop --- */

static struct loop_source *add_source(struct loop *l, GSourceFuncs *funcs, int fd,
                                      const char *name)
{
    struct loop_source *s = (struct loop_source *)g_source_new(funcs, sizeof *s);
    s->loop = l;
    s->tag = g_source_add_unix_fd(&s->source, fd, G_IO_IN);
    g_source_set_static_name(&s->source, name);
    g_source_attach(&s->source, l->context);
    return s;
}

static void remove_source(struct loop_source *s)
{
    if (!s)
        return;
    g_source_destroy(&s->source);
    g_source_unref(&s->source);
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l) {
        error_set(ERR_MEMORY, "out of memory for the event loop");
        return NULL;
    }
    l->armed_us = INT64_MAX;
    pthread_mutex_init(&l->lock, NULL);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->wake_fd < 0 || l->timer_fd < 0) {
        error_set(ERR_IO, "cannot make the event loop: %s", strerror(errno));
        goto fail;
    }
    l->context = g_main_context_new();
    l->wake_source = add_source(l, &wake_funcs, l->wake_fd, "hevcast wake");
    l->timer_source = add_source(l, &timer_funcs, l->timer_fd, "hevcast timers");
    return l;
fail:
    loop_free(&l);
    return NULL;
}

static void run_all_posts(struct loop *l)
{
    for (;;) { /* a post may post */
        pthread_mutex_lock(&l->lock);
        bool empty = !l->posts_head;
        pthread_mutex_unlock(&l->lock);
        if (empty)
            return;
        run_posts(l);
    }
}

static void wait_for_holders(struct loop *l)
{
    g_main_context_push_thread_default(l->context);
    for (int64_t end_us = clock_now_us() + HOLD_US; l->held > 0 && clock_now_us() < end_us;) {
        if (!g_main_context_iteration(l->context, FALSE))
            g_usleep(1000);
    }
    g_main_context_pop_thread_default(l->context);
}

void loop_hold(struct loop *l, int delta) { l->held += delta; }

void loop_free(struct loop **loop)
{
    struct loop *l = *loop;
    if (!l)
        return;
    run_all_posts(l); /* *loop still stands: they may use it */
    if (l->held > 0)
        wait_for_holders(l);
    *loop = NULL;
    if (l->events || l->timer_count)
        LOG_WARN(loop, "freed while it has timers or events");
    remove_source(l->wake_source);
    remove_source(l->timer_source);
    if (l->context)
        g_main_context_unref(l->context);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    if (l->timer_fd >= 0)
        close(l->timer_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l);
}

void loop_run(struct loop *l)
{
    g_main_context_push_thread_default(l->context); /* acquires it too */
    atomic_store(&l->thread, (uintptr_t)pthread_self());
    while (!atomic_load(&l->quit))
        g_main_context_iteration(l->context, TRUE);
    atomic_store(&l->quit, false); /* so that it can run again */
    atomic_store(&l->thread, 0);
    g_main_context_pop_thread_default(l->context);
}

void loop_quit(struct loop *l)
{
    atomic_store(&l->quit, true);
    wake(l);
}

void *loop_context(struct loop *l) { return l->context; }

bool loop_on_thread(struct loop *l)
{
    return atomic_load(&l->thread) == (uintptr_t)pthread_self();
}
