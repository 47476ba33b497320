/* net/loop: posts, events, timers. */
#include "base/clock.h"
#include "net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void quit(void *ctx) { loop_quit(ctx); }

/* --- posts --- */

enum { THREADS = 4, POSTS = 500 };

struct posting {
    struct loop *loop;
    int ran; /* network thread */
    bool off_thread;
};

static void count_post(void *ctx)
{
    struct posting *p = ctx;
    if (!loop_on_thread(p->loop))
        p->off_thread = true;
    if (++p->ran == THREADS * POSTS)
        loop_quit(p->loop);
}

static void *post_many(void *ctx)
{
    struct posting *p = ctx;
    for (int i = 0; i < POSTS; i++)
        loop_post(p->loop, count_post, p);
    return NULL;
}

static void posts_from_threads_all_run(void **state)
{
    (void)state;
    struct posting p = {.loop = loop_new()};
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, post_many, &p), 0);
    assert_false(loop_on_thread(p.loop));
    loop_run(p.loop);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(p.ran, THREADS * POSTS);
    assert_false(p.off_thread);
    loop_free(&p.loop);
    assert_null(p.loop);
}

struct chain {
    struct loop *loop;
    int left, order[4], n;
};

static void post_again(void *ctx)
{
    struct chain *c = ctx;
    if (c->left-- > 0)
        loop_post(c->loop, post_again, c);
}

static void free_runs_pending_posts(void **state)
{
    (void)state;
    struct chain c = {.loop = loop_new(), .left = 3};
    loop_post(c.loop, post_again, &c);
    loop_free(&c.loop);
    assert_int_equal(c.left, -1);
}

static void first(void *ctx) { ((struct chain *)ctx)->order[((struct chain *)ctx)->n++] = 1; }
static void second(void *ctx) { ((struct chain *)ctx)->order[((struct chain *)ctx)->n++] = 2; }

static void posts_keep_their_order(void **state)
{
    (void)state;
    struct chain c = {.loop = loop_new()};
    loop_post(c.loop, first, &c);
    loop_post(c.loop, second, &c);
    loop_post(c.loop, first, &c);
    loop_post(c.loop, quit, c.loop);
    loop_run(c.loop);
    assert_int_equal(c.n, 3);
    assert_int_equal(c.order[0], 1);
    assert_int_equal(c.order[1], 2);
    assert_int_equal(c.order[2], 1);
    loop_free(&c.loop);
}

static void runs_again_after_quit(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    for (int i = 0; i < 3; i++) {
        loop_post(l, quit, l);
        loop_run(l);
    }
    loop_quit(l); /* before it runs: it returns at once */
    loop_run(l);
    loop_free(&l);
}

/* --- events --- */

struct counting {
    struct loop *loop;
    struct loop_event *event, *other;
    int ran;
    atomic_int seen;
};

static void count_event(void *ctx)
{
    struct counting *c = ctx;
    c->ran++;
}

static void events_coalesce(void **state)
{
    (void)state;
    struct counting c = {.loop = loop_new()};
    c.event = loop_event_new(c.loop, count_event, &c);
    for (int i = 0; i < 1000; i++)
        loop_event_notify(c.event);
    loop_post(c.loop, quit, c.loop);
    loop_run(c.loop);
    assert_int_equal(c.ran, 1);
    loop_event_notify(c.event);
    loop_post(c.loop, quit, c.loop);
    loop_run(c.loop);
    assert_int_equal(c.ran, 2);
    loop_event_free(&c.event);
    assert_null(c.event);
    loop_free(&c.loop);
}

/* The last notify must never be lost: each value the thread stores is followed by a notify, so
 * the loop sees the last one. */
static void see_value(void *ctx)
{
    struct counting *c = ctx;
    c->ran++;
    if (atomic_load(&c->seen) == 100000)
        loop_quit(c->loop);
}

static void *notify_many(void *ctx)
{
    struct counting *c = ctx;
    for (int i = 1; i <= 100000; i++) {
        atomic_store(&c->seen, i);
        loop_event_notify(c->event);
    }
    return NULL;
}

static void no_notify_is_lost(void **state)
{
    (void)state;
    struct counting c = {.loop = loop_new()};
    c.event = loop_event_new(c.loop, see_value, &c);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, notify_many, &c), 0);
    loop_run(c.loop);
    pthread_join(thread, NULL);
    assert_true(c.ran >= 1 && c.ran <= 100000);
    loop_event_free(&c.event);
    loop_free(&c.loop);
}

static void free_both(void *ctx)
{
    struct counting *c = ctx;
    c->ran++;
    loop_event_free(&c->event);
    loop_event_free(&c->other);
}

static void events_may_be_freed_by_a_callback(void **state)
{
    (void)state;
    struct counting c = {.loop = loop_new()};
    c.event = loop_event_new(c.loop, free_both, &c);
    c.other = loop_event_new(c.loop, free_both, &c);
    loop_event_notify(c.event);
    loop_event_notify(c.other);
    loop_post(c.loop, quit, c.loop);
    loop_run(c.loop);
    assert_int_equal(c.ran, 1);
    assert_null(c.event);
    assert_null(c.other);
    loop_free(&c.loop);
}

/* --- timers --- */

enum { TIMERS = 200 };

struct timing {
    struct loop *loop;
    struct loop_timer *timer;
    int64_t at_us, ran_us;
    struct timing *all; /* of TIMERS */
    int64_t *last_at_us;
    int *left;
    bool out_of_order;
};

static void timer_ran(void *ctx)
{
    struct timing *t = ctx;
    t->ran_us = clock_now_us();
    if (t->at_us < *t->last_at_us)
        t->out_of_order = true;
    *t->last_at_us = t->at_us;
    if (--*t->left == 0)
        loop_quit(t->loop);
}

static void timers_run_in_order_and_never_early(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct timing t[TIMERS] = {0};
    int64_t last_at_us = 0, start_us = clock_now_us() + 20000;
    int left = TIMERS;
    srandom(1);
    for (int i = 0; i < TIMERS; i++) {
        t[i] = (struct timing){.loop = l, .last_at_us = &last_at_us, .left = &left};
        t[i].timer = loop_timer_new(l, timer_ran, &t[i]);
        loop_timer_set(t[i].timer, start_us + random() % 50000);
    }
    for (int i = 0; i < TIMERS; i++) { /* moved earlier and later, some stopped in between */
        if (i % 3 == 0)
            loop_timer_set(t[i].timer, INT64_MAX);
        t[i].at_us = start_us + random() % 50000;
        loop_timer_set(t[i].timer, t[i].at_us);
    }
    loop_run(l);
    for (int i = 0; i < TIMERS; i++) {
        assert_true(t[i].ran_us >= t[i].at_us);
        assert_false(t[i].out_of_order);
        loop_timer_free(&t[i].timer);
    }
    loop_free(&l);
}

/* A millisecond timer would be 500 µs late on average. One of 40 tries within 300 µs is asked
 * for, which even a very busy machine gives. */
static void timers_have_microseconds(void **state)
{
    (void)state;
    int64_t best_us = INT64_MAX;
    for (int i = 0; i < 40 && best_us > 300; i++) {
        struct loop *l = loop_new();
        int64_t last_at_us = 0;
        int left = 1;
        struct timing t = {.loop = l, .last_at_us = &last_at_us, .left = &left};
        t.timer = loop_timer_new(l, timer_ran, &t);
        t.at_us = clock_now_us() + 2300;
        loop_timer_set(t.timer, t.at_us);
        loop_run(l);
        assert_true(t.ran_us >= t.at_us);
        if (t.ran_us - t.at_us < best_us)
            best_us = t.ran_us - t.at_us;
        loop_timer_free(&t.timer);
        loop_free(&l);
    }
    assert_true(best_us <= 300);
}

static void must_not_run(void *ctx)
{
    (void)ctx;
    fail_msg("a stopped timer ran");
}

static void stopped_and_freed_timers_do_not_run(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct loop_timer *stopped = loop_timer_new(l, must_not_run, NULL);
    struct loop_timer *freed = loop_timer_new(l, must_not_run, NULL);
    struct loop_timer *end = loop_timer_new(l, quit, l);
    int64_t now_us = clock_now_us();
    loop_timer_set(stopped, now_us + 1000);
    loop_timer_set(freed, now_us + 1000);
    loop_timer_set(end, now_us + 20000);
    loop_timer_set(stopped, INT64_MAX);
    loop_timer_free(&freed);
    assert_null(freed);
    loop_run(l);
    loop_timer_free(&stopped);
    loop_timer_free(&end);
    loop_free(&l);
}

struct repeating {
    struct loop *loop;
    struct loop_timer *timer;
    int ran;
};

static void set_to_the_past(void *ctx)
{
    struct repeating *r = ctx;
    r->ran++;
    loop_timer_set(r->timer, 1);
}

static void free_myself(void *ctx)
{
    struct repeating *r = ctx;
    r->ran++;
    loop_timer_free(&r->timer);
    loop_quit(r->loop);
}

/* A timer that is always due must not keep posts from running. */
static void a_busy_timer_starves_nobody(void **state)
{
    (void)state;
    struct repeating r = {.loop = loop_new()};
    r.timer = loop_timer_new(r.loop, set_to_the_past, &r);
    loop_timer_set(r.timer, 1);
    loop_post(r.loop, quit, r.loop);
    loop_run(r.loop);
    assert_true(r.ran >= 1);
    loop_timer_free(&r.timer);

    r.ran = 0;
    r.timer = loop_timer_new(r.loop, free_myself, &r);
    loop_timer_set(r.timer, clock_now_us() + 500);
    loop_run(r.loop);
    assert_int_equal(r.ran, 1);
    assert_null(r.timer);
    loop_free(&r.loop);
}

/* An idle loop sleeps: a fired or stopped timer must not leave its descriptor readable. */
static void an_idle_loop_takes_no_cpu(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct loop_timer *stopped = loop_timer_new(l, must_not_run, NULL);
    struct loop_timer *end = loop_timer_new(l, quit, l);
    loop_timer_set(stopped, clock_now_us() + 1000000000);
    loop_timer_set(end, clock_now_us() + 1000);
    loop_run(l);
    loop_timer_set(stopped, INT64_MAX);
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    loop_timer_set(end, clock_now_us() + 400000);
    loop_run(l);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    int64_t cpu_us = (int64_t)(after.tv_sec - before.tv_sec) * 1000000 +
                     (after.tv_nsec - before.tv_nsec) / 1000;
    assert_true(cpu_us < 100000); /* a spinning loop takes all 400,000 of them */
    loop_timer_free(&stopped);
    loop_timer_free(&end);
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_from_threads_all_run),
        cmocka_unit_test(free_runs_pending_posts),
        cmocka_unit_test(posts_keep_their_order),
        cmocka_unit_test(runs_again_after_quit),
        cmocka_unit_test(events_coalesce),
        cmocka_unit_test(no_notify_is_lost),
        cmocka_unit_test(events_may_be_freed_by_a_callback),
        cmocka_unit_test(timers_run_in_order_and_never_early),
        cmocka_unit_test(timers_have_microseconds),
        cmocka_unit_test(stopped_and_freed_timers_do_not_run),
        cmocka_unit_test(a_busy_timer_starves_nobody),
        cmocka_unit_test(an_idle_loop_takes_no_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
