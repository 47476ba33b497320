/* The decode thread: access units to pictures, and pictures to everyone who wants them. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <string.h>

/* The queue's bound is a policy on time: when what waits is over a second old and has been growing
 * for a second, the decoder does not keep up; all of it is dropped and a key frame asked for.
 * A group that is replayed to a late viewer arrives in one burst and then only shrinks: it passes. */
static void drop_if_hopeless(struct hevcast_receiver *r, const struct access_unit *head)
{
    int64_t now = clock_now_us();
    if (now - r->queue_checked_us < DECODE_LATE_US / 4)
        return;
    r->queue_checked_us = now;
    int length = queue_get_stats(r->decode_queue).length;
    bool grows = length > r->queue_length_before;
    r->queue_length_before = length;
    if (!grows)
        r->queue_grew_us = 0;
    else if (!r->queue_grew_us)
        r->queue_grew_us = now;
    if (!r->queue_grew_us || now - r->queue_grew_us < DECODE_LATE_US ||
        now - head->complete_us < DECODE_LATE_US)
        return;
    LOG_WARN(session, "the decoder does not keep up: %d access units were dropped", length);
    queue_flush(r->decode_queue);
    r->queue_grew_us = 0;
    r->missing = true;
    atomic_store(&r->key_needed, true);
    loop_event_notify(r->key_event);
}

int64_t receiver_latency_us(const struct picture *p, int64_t at_us)
{
    if (!p->capture_ntp)
        return 0;
    if (p->capture_us) /* by the sender's reports; with two machines a little can be less than 0 */
        return at_us > p->capture_us ? at_us - p->capture_us : 1;
    int64_t late = clock_real_us() - (clock_now_us() - at_us) - real_us_from_ntp(p->capture_ntp);
    return late > 0 && late < 60000000 ? late : 0; /* else the clocks differ: unknown */
}

static void count_picture(struct hevcast_receiver *r, const struct picture *p, int64_t latency_us)
{
    int64_t now = p->ready_us, gap = r->last_picture_us ? now - r->last_picture_us : 0;
    pthread_mutex_lock(&r->stats_lock);
    struct receiver_counters *c = &r->counters;
    c->frames_decoded++;
    c->second_frames++;
    if (r->missing && gap > FREEZE_US) {
        c->freezes++;
        c->freeze_us += gap;
    }
    duration_add(&c->stage[RSTAGE_NETWORK], p->complete_us - p->first_packet_us);
    duration_add(&c->stage[RSTAGE_DECODE], p->ready_us - p->complete_us);
    if (latency_us && !r->show_queue) /* else the window adds what follows */
        duration_add(&c->latency, latency_us);
    bool first = !c->width, resized = c->width != p->width || c->height != p->height;
    c->width = p->width;
    c->height = p->height;
    pthread_mutex_unlock(&r->stats_lock);
    r->missing = false;
    r->last_picture_us = now;
    if (first || resized)
        receiver_event(r, first ? HEVCAST_EVENT_FIRST_PICTURE : HEVCAST_EVENT_RESIZED, "", p->width,
                       p->height, 0);
}

static void call_program(struct hevcast_receiver *r, const struct picture *p, int64_t latency_us)
{
    static const enum hevcast_pix_fmt fmts[] = {[PIX_BGRX] = HEVCAST_PIX_BGRX,
                                                [PIX_I420] = HEVCAST_PIX_I420,
                                                [PIX_I444] = HEVCAST_PIX_I444,
                                                [PIX_NV12] = HEVCAST_PIX_NV12};
    hevcast_picture out = {.fmt = fmts[p->fmt], .width = p->width, .height = p->height,
                           .pts_us = p->pts_us, .latency_us = latency_us};
    for (int i = 0; i < picture_planes(p->fmt); i++) {
        out.plane[i] = p->plane[i];
        out.stride[i] = p->stride[i];
    }
    r->config.on_picture(r->config.ctx, &out);
}

/* takes p */
static void hand_out(struct hevcast_receiver *r, struct picture *p)
{
    int64_t latency_us = receiver_latency_us(p, p->ready_us);
    count_picture(r, p, latency_us);
    if (r->config.on_picture)
        call_program(r, p, latency_us);
    if (r->raw)
        rawout_push(r->raw, picture_ref(p));
    if (r->y4m)
        rawout_push(r->y4m, picture_ref(p));
    if (r->show_queue && show_queue_put(r->show_queue, picture_ref(p), p->ready_us))
        r->display->ops->wake(r->display);
    picture_unref(&p);
    int64_t decoded = r->counters.frames_decoded; /* only this thread writes it */
    if (r->config.max_frames && decoded >= r->config.max_frames)
        receiver_end(r, 0, "the wanted number of pictures was decoded");
}

void *receiver_decode_main(void *arg)
{
    struct hevcast_receiver *r = arg;
    struct access_unit *au;
    while ((au = queue_pop(r->decode_queue, -1))) {
        if (atomic_load(&r->stopping)) {
            access_unit_unref(&au);
            continue;
        }
        drop_if_hopeless(r, au);
        r->missing |= au->after_loss;
        struct picture *p = NULL;
        int err = decoder_decode(r->decoder, au, &p);
        if (err) {
            LOG_RATE(session, LOG_LEVEL_WARN, "a picture could not be decoded: %s", error_text());
            r->missing = true;
            atomic_store(&r->key_needed, true);
            loop_event_notify(r->key_event);
        }
        access_unit_unref(&au);
        if (p) {
            atomic_store(&r->decoded, true);
            hand_out(r, p);
        }
    }
    return NULL;
}
