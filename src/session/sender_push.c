/* What a program brings to a sender by itself, and the statistics. Caller's threads. */
#include "session/sender.h"

#include "base/clock.h"
#include "base/error.h"

#include <string.h>

static int check_picture(const hevcast_picture *p)
{
    if (p->fmt != HEVCAST_PIX_BGRX && p->fmt != HEVCAST_PIX_I420 && p->fmt != HEVCAST_PIX_I444)
        return error_set(ERR_INVALID, "pictures must be BGRX, I420 or I444");
    if (p->width < 16 || p->height < 16 || p->width > 8192 || p->height > 4320)
        return error_set(ERR_INVALID, "pictures must be from 16x16 to 8192x4320");
    return 0;
}

static enum pix_fmt internal_fmt(enum hevcast_pix_fmt f)
{
    return f == HEVCAST_PIX_BGRX ? PIX_BGRX : f == HEVCAST_PIX_I420 ? PIX_I420 : PIX_I444;
}

static void copy_planes(struct picture *to, const hevcast_picture *from)
{
    for (int i = 0; i < picture_planes(to->fmt); i++) {
        size_t n = (size_t)picture_row_bytes(to->fmt, to->width, i);
        for (int y = 0; y < picture_rows(to->fmt, to->height, i); y++)
            memcpy(to->plane[i] + (ptrdiff_t)y * to->stride[i],
                   from->plane[i] + (ptrdiff_t)y * from->stride[i], n);
    }
}

int hevcast_sender_push_picture(hevcast_sender *s, const hevcast_picture *picture)
{
    if (s->config.input != HEVCAST_INPUT_PICTURES)
        return error_set(ERR_INVALID, "this sender was not made for pictures of the program");
    if (atomic_load(&s->stopping))
        return error_set(ERR_ENDED, "the sender has ended");
    int err = check_picture(picture);
    if (err)
        return err;
    struct picture *p = picture_pool_get(s->push_pool, internal_fmt(picture->fmt), picture->width,
                                         picture->height);
    if (!p)
        return error_set(ERR_TIMEOUT, "all picture buffers are in use: this one was left out");
    copy_planes(p, picture);
    p->capture_us = clock_now_us();
    p->event_us = p->capture_us;
    p->pts_us = picture->pts_us;
    damage_set_all(&p->damage, p->width, p->height);
    pthread_mutex_lock(&s->stats_lock);
    s->counters.frames_captured++;
    s->counters.width = p->width;
    s->counters.height = p->height;
    pthread_mutex_unlock(&s->stats_lock);
    slot_put(s->slot, p);
    return atomic_load(&s->active) ? 0 : 1;
}

static bool is_annexb(const uint8_t *d, size_t n)
{
    return n > 5 && d[0] == 0 && d[1] == 0 && (d[2] == 1 || (d[2] == 0 && d[3] == 1));
}

int hevcast_sender_push_access_unit(hevcast_sender *s, const hevcast_access_unit *in)
{
    if (s->config.input != HEVCAST_INPUT_ACCESS_UNITS)
        return error_set(ERR_INVALID, "this sender was not made for access units of the program");
    if (atomic_load(&s->stopping))
        return error_set(ERR_ENDED, "the sender has ended");
    if (!is_annexb(in->data, in->len))
        return error_set(ERR_INVALID, "an access unit must be Annex B: it begins with a start code");
    struct access_unit *au = access_unit_new(in->len + 256);
    if (!au || !access_unit_append(au, in->data, in->len)) {
        access_unit_unref(&au);
        return error_set(ERR_MEMORY, "out of memory");
    }
    param_sets_learn(s->push_sets, au);
    if (!param_sets_complete(s->push_sets, au)) {
        access_unit_unref(&au);
        return error_set(ERR_MEMORY, "out of memory");
    }
    if (!au->len) { /* nothing but delimiters or filler */
        access_unit_unref(&au);
        return 0;
    }
    if (atomic_load(&s->key_lost) && !au->irap) {
        access_unit_unref(&au);
        return error_set(ERR_TIMEOUT, "an access unit was lost: the next must be a key frame");
    }
    au->pts_us = in->pts_us;
    au->capture_us = au->encode_us = clock_now_us();
    au->pic_id = ++s->next_pic_id;
    sender_count_coded(s, au);
    int r = queue_push(s->au_queue, au);
    atomic_store(&s->key_lost, r != QUEUE_OK);
    if (r != QUEUE_OK)
        return error_set(ERR_TIMEOUT, "the network is behind: send a key frame next");
    return atomic_load(&s->active) ? 0 : 1;
}

static void add_queue(hevcast_sender_stats *st, struct queue_stats q)
{
    if (st->queue_count < HEVCAST_MAX_QUEUES)
        st->queue[st->queue_count++] = (hevcast_queue_stats){q.name, q.length, q.capacity, q.drops};
}

int hevcast_sender_get_stats(hevcast_sender *s, hevcast_sender_stats *st,
                             hevcast_viewer_stats *viewers, int max_viewers)
{
    static const char *const names[STAGE_COUNT] = {"capture", "convert", "encode", "queue"};
    pthread_mutex_lock(&s->stats_lock);
    *st = s->net_stats;
    int64_t now = clock_now_us(), pacer_until = atomic_load(&s->pacer_until_us);
    st->t_us = now - s->start_us;
    st->pacer_us = pacer_until > now ? pacer_until - now : 0;
    st->frames_captured = s->counters.frames_captured;
    st->frames_skipped = s->counters.frames_skipped;
    st->frames_encoded = s->counters.frames_encoded;
    st->keyframes = s->counters.keyframes;
    st->repairs_by_reference = s->counters.repairs;
    st->width = s->counters.width;
    st->height = s->counters.height;
    st->stage_count = 0;
    for (int i = 0; i < STAGE_COUNT; i++) {
        const struct duration_stats *d = &s->counters.stage[i];
        if (d->n)
            st->stage[st->stage_count++] = (hevcast_stage_stats){
                names[i], duration_percentile(d, 50), duration_percentile(d, 95)};
    }
    int n = s->viewer_stats_count < max_viewers ? s->viewer_stats_count : max_viewers;
    if (n > 0)
        memcpy(viewers, s->viewer_stats, (size_t)n * sizeof *viewers);
    pthread_mutex_unlock(&s->stats_lock);
    if (!s->coded) {
        struct queue_stats slot = slot_get_stats(s->slot);
        add_queue(st, slot);
    }
    add_queue(st, queue_get_stats(s->au_queue));
    return n;
}
