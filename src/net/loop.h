/* loop: the one event loop of the network thread, a private GMainContext.
 *
 * loop_run blocks on the network thread; all callbacks run there. loop_post and loop_quit may be
 * called from any thread, everything else on the network thread, or before loop_run. */
#ifndef HEVCAST_NET_LOOP_H
#define HEVCAST_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop *loop_new(void);
void loop_free(struct loop **l); /* after loop_run returned; pending posts run their fn first */
void loop_run(struct loop *l);   /* makes the context the thread's default */
void loop_quit(struct loop *l);
/* fn(ctx) runs on the network thread soon. */
void loop_post(struct loop *l, void (*fn)(void *ctx), void *ctx);
/* A coalescing wake-up: many notifies before it runs are one call; notify allocates nothing
 * (an eventfd), so that it suits a packet or picture path. Any thread. */
struct loop_event;
struct loop_event *loop_event_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
void loop_event_notify(struct loop_event *e);
void loop_event_free(struct loop_event **e);
/* A microsecond timer (timerfd). Set to INT64_MAX to stop. One shot. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
void loop_timer_set(struct loop_timer *t, int64_t at_us); /* cheap when unchanged */
void loop_timer_free(struct loop_timer **t);
void *loop_context(struct loop *l); /* GMainContext *, for libnice and libsoup */
bool loop_on_thread(struct loop *l);
/* For what ends asynchronously (a TURN allocation that is given back): +1 when it begins, -1 when
 * it is done. loop_free goes on running the context for at most 300 ms while anything holds it. */
void loop_hold(struct loop *l, int delta);

#endif
