/* The capture thread: waits for changes, reads pixels when the encoder can use them at once. */
#include "session/sender.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Blocks while nobody watches. false: stopping. */
static bool wait_for_viewer(struct hevcast_sender *s)
{
    pthread_mutex_lock(&s->gate_lock);
    while (!atomic_load(&s->active) && !atomic_load(&s->stopping))
        pthread_cond_wait(&s->gate, &s->gate_lock);
    pthread_mutex_unlock(&s->gate_lock);
    return !atomic_load(&s->stopping);
}

static void end_of_source(struct hevcast_sender *s)
{
    const char *why = s->source->end_reason[0] ? s->source->end_reason : "the source has ended";
    /* The encoder is hungry again when it has dealt with the last picture. */
    if (!s->coded)
        slot_wait_hungry(s->slot, 2000000);
    sender_end(s, s->source->failed ? ERR_IO : 0, why, true);
}

/* The first moment at which a picture may be read, so that there are at most config.fps a second
 * over time while a little jitter of the changes costs no picture. */
static int64_t pace(int64_t *next_us, int64_t interval_us, int64_t now_us)
{
    int64_t due = *next_us - interval_us / 4;
    if (due < now_us)
        due = now_us;
    *next_us = (*next_us > due - interval_us ? *next_us : due - interval_us) + interval_us;
    return due;
}

static void sleep_until(int64_t at_us)
{
    struct timespec t = {at_us / 1000000, at_us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void count_captured(struct hevcast_sender *s, const struct picture *p, int64_t skipped)
{
    pthread_mutex_lock(&s->stats_lock);
    s->counters.frames_captured++;
    s->counters.frames_skipped += skipped;
    if (p->event_us && p->damage.n)
        duration_add(&s->counters.stage[STAGE_CAPTURE], p->capture_us - p->event_us);
    s->counters.width = p->width;
    s->counters.height = p->height;
    pthread_mutex_unlock(&s->stats_lock);
}

/* Reads the picture as it is now and puts it into the slot. false: the source is over. */
static bool capture_one(struct hevcast_sender *s, int64_t changed_us)
{
    int64_t interval_us = 1000000 / s->config.fps;
    int64_t skipped = (clock_now_us() - changed_us) / interval_us;
    struct picture *p = NULL;
    int err = s->source->ops->read(s->source, &p);
    if (err == ERR_ENDED)
        return false;
    if (err) {
        if (err != ERR_TIMEOUT)
            LOG_RATE(session, LOG_LEVEL_WARN, "reading the source failed: %s", error_text());
        sleep_until(clock_now_us() + 2000);
        atomic_store(&s->force_read, true); /* its change is not lost */
        return true;
    }
    count_captured(s, p, skipped);
    slot_put(s->slot, p);
    return true;
}

static void capture_pictures(struct hevcast_sender *s)
{
    int64_t interval_us = 1000000 / s->config.fps, next_us = 0;
    bool changed = false;
    while (wait_for_viewer(s)) {
        if (!changed && !atomic_load(&s->force_read)) {
            int r = s->source->ops->wait(s->source, -1);
            if (r == SOURCE_ENDED)
                break;
            changed = r == SOURCE_CHANGED;
            continue;
        }
        int64_t changed_us = clock_now_us();
        if (changed)
            sleep_until(pace(&next_us, interval_us, changed_us));
        if (!slot_wait_hungry(s->slot, -1))
            continue; /* woken: a viewer left, or stopping */
        atomic_store(&s->force_read, false);
        changed = false;
        if (!capture_one(s, changed_us))
            break;
    }
}

void sender_count_coded(struct hevcast_sender *s, const struct access_unit *au)
{
    pthread_mutex_lock(&s->stats_lock);
    s->counters.frames_captured++;
    s->counters.keyframes += au->irap;
    s->counters.width = au->width;
    s->counters.height = au->height;
    pthread_mutex_unlock(&s->stats_lock);
}

static void capture_access_units(struct hevcast_sender *s)
{
    if (s->waits_for_viewer && !wait_for_viewer(s))
        return;
    while (!atomic_load(&s->stopping)) {
        int r = s->source->ops->wait(s->source, -1);
        if (r == SOURCE_ENDED)
            return;
        if (r != SOURCE_CHANGED)
            continue;
        struct access_unit *au = NULL;
        int err = s->source->ops->read_au(s->source, &au);
        if (err == ERR_ENDED)
            return;
        if (err) {
            LOG_RATE(session, LOG_LEVEL_WARN, "reading the source failed: %s", error_text());
            continue;
        }
        au->pic_id = ++s->next_pic_id;
        /* The net thread only fans out: it is behind for moments, and a coded access unit that
         * others refer to is not dropped. */
        struct queue_stats q = queue_get_stats(s->au_queue);
        while (q.length == q.capacity && !atomic_load(&s->stopping)) {
            sleep_until(clock_now_us() + 1000);
            q = queue_get_stats(s->au_queue);
        }
        sender_count_coded(s, au);
        queue_push(s->au_queue, au);
    }
}

void *sender_capture_main(void *arg)
{
    struct hevcast_sender *s = arg;
    if (s->coded)
        capture_access_units(s);
    else
        capture_pictures(s);
    if (!atomic_load(&s->stopping))
        end_of_source(s);
    return NULL;
}
