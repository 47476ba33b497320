/* The encode thread: takes a picture when network and budget have room, converts what changed,
 * encodes; refines a still picture in spare bits; then sleeps. */
#include "session/sender.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pool.h"
#include "encode/handover.h"

#include <string.h>
#include <unistd.h>

enum {
    REFINE_AFTER_US = 250000,    /* of stillness: a person who types is not delayed by it */
    REFINE_INTERVAL_US = 100000,
    ROW_THREADS_MOST = 8, /* more would wait for each other: rows follow each other closely */
};

struct encode_stage {
    struct hevcast_sender *s;
    struct converter *converter;
    enum pix_fmt fmt;
    struct encoder *encoder;
    struct pool *pool;       /* owns; NULL on one core */
    int width, height;       /* of the encoder */
    int level_limit;         /* that it was opened with */
    struct picture *planes;  /* what was encoded last; the encoder may still read it */
    struct damage pending;   /* relative to the last picture that was encoded */
    struct budget budget;
    bool wants_more;
    bool need_key;           /* a new encoder, or one that failed, or that cannot repair a loss */
    bool repair;             /* a loss was reported: to be encoded from what every viewer has */
    int64_t changed_us;      /* last new content */
    int64_t refine_at_us;
    int64_t last_pts_us;     /* timestamps only go forward, whatever was repeated in between */
    int failures;
};

static int open_encoder(struct encode_stage *e, int width, int height)
{
    struct hevcast_sender *s = e->s;
    encoder_close(&e->encoder);
    struct encoder_config c = {.width = width, .height = height, .fmt = e->fmt,
                               .fps = s->config.fps, .bitrate_bps = s->config.bitrate_bps,
                               .pool = e->pool,
                               .max_level_idc = atomic_load(&s->level_limit),
                               .pictures_stay = true,
                               .film = s->source && !strcmp(s->source->ops->name, "file")};
    int err = encoder_open(&e->encoder, s->encoder_ops, &c);
    if (err)
        return err;
    e->width = width;
    e->height = height;
    e->level_limit = c.max_level_idc;
    e->need_key = true;
    return 0;
}

/* How long input must be left alone; 0: there is room. */
static int64_t hold_us(struct encode_stage *e, int64_t now)
{
    struct hevcast_sender *s = e->s;
    budget_set_rate(&e->budget, atomic_load(&s->target_bps), now);
    int64_t hold = budget_hold_us(&e->budget, now);
    int64_t queue = atomic_load(&s->pacer_until_us) - now - (int64_t)s->config.queue_ms * 1000;
    if (queue > hold)
        hold = queue;
    struct queue_stats q = queue_get_stats(s->au_queue);
    if (q.length >= q.capacity / 2 && hold < 1000)
        hold = 1000;
    return hold;
}

/* Converts a new picture. false: nothing to encode from. */
static bool accept_picture(struct encode_stage *e, struct picture *pic)
{
    struct picture *planes = NULL;
    int err = converter_run(e->converter, pic, &planes);
    if (err) {
        LOG_RATE(session, LOG_LEVEL_WARN, "a picture could not be converted: %s", error_text());
        return false;
    }
    planes->ready_us = clock_now_us();
    pthread_mutex_lock(&e->s->stats_lock);
    duration_add(&e->s->counters.stage[STAGE_CONVERT], planes->ready_us - planes->capture_us);
    pthread_mutex_unlock(&e->s->stats_lock);
    if (!e->encoder || planes->width != e->width || planes->height != e->height) {
        /* The encoder may read the old planes until it is closed. */
        if (open_encoder(e, planes->width, planes->height)) {
            sender_end(e->s, ERR_UNSUPPORTED, error_text(), false);
            picture_unref(&planes);
            return false;
        }
        damage_set_all(&e->pending, planes->width, planes->height);
    } else {
        damage_add_all(&e->pending, &planes->damage);
    }
    picture_unref(&e->planes);
    e->planes = planes;
    return true;
}

static void deliver(struct encode_stage *e, struct access_unit *au, bool refine)
{
    struct hevcast_sender *s = e->s;
    const struct picture *p = e->planes;
    au->refinement = refine && !au->repair;
    au->width = p->width;
    au->height = p->height;
    /* A refinement and a repeated key frame show the same picture, at a later time. */
    au->event_us = refine || !p->event_us ? au->encode_start_us : p->event_us;
    au->capture_us = p->capture_us;
    au->convert_us = p->ready_us;
    au->pts_us = p->pts_us > e->last_pts_us ? p->pts_us : e->last_pts_us + 1000;
    e->last_pts_us = au->pts_us;
    pthread_mutex_lock(&s->stats_lock);
    s->counters.frames_encoded++;
    s->counters.keyframes += au->irap;
    s->counters.repairs += au->repair;
    duration_add(&s->counters.stage[STAGE_ENCODE], au->encode_us - au->encode_start_us);
    pthread_mutex_unlock(&s->stats_lock);
    queue_push(s->au_queue, au);
}

/* A viewer came whose decoder takes no level with a larger picture buffer, or the last of those
 * went and a key frame is made anyway: the parameter sets are others then. */
static bool level_changes(const struct encode_stage *e, bool key)
{
    const struct hevcast_sender *s = e->s;
    if (s->encoder_ops != &encoder_screen && s->encoder_ops != &encoder_handover)
        return false;
    int level = hevc_level_for(e->width, e->height, s->config.fps, s->config.bitrate_bps);
    int roomy = hevc_level_for_dpb(level, e->width, e->height);
    bool had = e->level_limit >= roomy, has = atomic_load(&s->level_limit) >= roomy;
    return roomy > level && had != has && (key || had);
}

static void encode_one(struct encode_stage *e, bool fresh, bool key)
{
    struct hevcast_sender *s = e->s;
    int64_t now = clock_now_us();
    bool refine = !fresh && !key;
    struct picture *p = e->planes;
    if (!fresh) { /* the same pixels, shown again: valid now */
        p->pts_us += now - p->capture_us;
        p->capture_us = now;
        p->event_us = 0;
        p->ready_us = now;
    }
    struct encode_in in = {.pic = p, .damage = &e->pending, .pic_id = s->next_pic_id + 1,
                           .budget_bytes = budget_bytes(&e->budget, key, now),
                           .key_wanted = key, .refine = refine};
    struct encode_out out = {0};
    int err = e->encoder->ops->encode(e->encoder, &in, &out);
    if (err) {
        LOG_WARN(session, "the encoder failed: %s", error_text());
        if (++e->failures > 3 || open_encoder(e, p->width, p->height))
            sender_end(s, ERR_IO, error_text(), false);
        damage_set_all(&e->pending, p->width, p->height);
        e->refine_at_us = now; /* try again, as a key frame */
        return;
    }
    e->failures = 0;
    e->repair = false;
    damage_clear(&e->pending);
    e->wants_more = out.wants_more;
    if (fresh)
        e->changed_us = now;
    e->refine_at_us = fresh || key ? now + REFINE_AFTER_US : now + REFINE_INTERVAL_US;
    if (!out.au)
        return;
    s->next_pic_id++;
    if (out.au->irap)
        e->need_key = false;
    budget_spend(&e->budget, out.au->len, clock_now_us());
    deliver(e, out.au, refine);
}

/* What net says of pictures that viewers have or miss. */
static void hear_news(struct encode_stage *e)
{
    struct ref_event ev;
    while (ref_news_pop(&e->s->ref_news, &ev)) {
        const struct encoder_ops *ops = e->encoder ? e->encoder->ops : NULL;
        if (!ops)
            continue;
        if (ev.type == REF_ACKED && ops->acked)
            ops->acked(e->encoder, ev.pic_id);
        else if (ev.type == REF_LOST && ops->lost && ops->lost(e->encoder, ev.pic_id))
            e->repair = true;
        else if (ev.type != REF_ACKED)
            e->need_key = true;
    }
}

/* When something is to be done though no picture comes; < 0: nothing. */
static int64_t idle_timeout(const struct encode_stage *e, int64_t now)
{
    if (!e->planes)
        return -1;
    if (!e->need_key && !e->wants_more)
        return -1;
    return e->refine_at_us > now ? e->refine_at_us - now : 0;
}

static void encode_step(struct encode_stage *e)
{
    struct hevcast_sender *s = e->s;
    int64_t now = clock_now_us();
    int64_t hold = hold_us(e, now);
    hear_news(e);
    if (hold > 0 && !atomic_load(&s->key_wanted) && !e->repair) {
        slot_sleep(s->slot, hold); /* the slot is not hungry meanwhile: nothing is captured */
        return;
    }
    int64_t timeout = idle_timeout(e, now);
    if (atomic_load(&s->force_read))
        timeout = -1; /* a picture is on its way */
    else if ((atomic_load(&s->key_wanted) || e->repair) && e->planes)
        timeout = 0;
    struct picture *pic = slot_take(s->slot, timeout);
    bool fresh = false;
    if (pic) {
        fresh = accept_picture(e, pic);
        picture_unref(&pic);
    }
    if (!e->planes || atomic_load(&s->stopping) || !atomic_load(&s->active))
        return;
    bool key = e->need_key;
    if (!atomic_load(&s->force_read) || fresh)
        key |= atomic_exchange(&s->key_wanted, false);
    if (level_changes(e, key)) {
        if (open_encoder(e, e->width, e->height)) {
            sender_end(s, ERR_UNSUPPORTED, error_text(), false);
            return;
        }
        key = true;
        damage_set_all(&e->pending, e->width, e->height);
    }
    now = clock_now_us();
    fresh = fresh && e->pending.n > 0;
    bool refine = e->wants_more && now >= e->refine_at_us && budget_spare(&e->budget, now);
    if (e->wants_more && now >= e->refine_at_us && !refine)
        e->refine_at_us = now + REFINE_INTERVAL_US / 2;
    hear_news(e);
    if (fresh || key || refine || e->repair)
        encode_one(e, fresh, key);
}

void *sender_encode_main(void *arg)
{
    struct hevcast_sender *s = arg;
    struct encode_stage e = {.s = s, .fmt = s->config.chroma == 444 ? PIX_I444 : PIX_I420};
    budget_init(&e.budget, atomic_load(&s->target_bps), s->config.queue_ms, s->config.fps,
                clock_now_us());
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    e.converter = converter_new(e.fmt);
    if (cores > 1)
        e.pool = pool_new(cores > ROW_THREADS_MOST ? ROW_THREADS_MOST : (int)cores, "hc-rows");
    if (!e.converter || (cores > 1 && !e.pool)) {
        sender_end(s, ERR_MEMORY, "out of memory", false);
        converter_free(&e.converter);
        pool_free(&e.pool);
        return NULL;
    }
    /* Opened before the first viewer comes: it takes tens of milliseconds. */
    if (s->source && s->source->info.width > 0 &&
        open_encoder(&e, s->source->info.width, s->source->info.height))
        sender_end(s, ERR_UNSUPPORTED, error_text(), false);
    while (!atomic_load(&s->stopping)) {
        if (atomic_load(&s->active))
            encode_step(&e);
        else
            slot_sleep(s->slot, -1);
    }
    encoder_close(&e.encoder);
    pool_free(&e.pool);
    picture_unref(&e.planes);
    converter_free(&e.converter);
    return NULL;
}
