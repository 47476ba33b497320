#include "encode/handover.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

enum {
    SLOW_US = 100000,
    SLOW_PICTURES = 5,     /* more slow than quick ones by so many */
    FILM_MIN_PICTURES = 8, /* before x265 is judged */
    HOLD_US = 2000000,     /* an IDR picture is dear: not twice in so long */
    STILL_US = 1000000,    /* a film that stutters is no still picture */
    BACKOFF_US = 20000000,
    BACKOFF_MOST_US = 320000000,
};

/* ------------------------------------------------------------------ the decision */

void handover_policy_init(struct handover_policy *p)
{
    *p = (struct handover_policy){.slow_us = SLOW_US, .backoff_us = BACKOFF_US};
}

static int64_t smooth(int64_t old, int64_t sample)
{
    return old ? (3 * old + sample) / 4 : sample;
}

void handover_policy_picture(struct handover_policy *p, int64_t wall_us, int64_t cpu_us,
                             double share)
{
    if (p->side == HANDOVER_FILM) {
        p->film_us = smooth(p->film_us, wall_us);
        p->film_pictures++;
        return;
    }
    if (cpu_us > p->slow_us && share > 0.05) {
        p->score++;
        p->screen_us = smooth(p->screen_us, wall_us);
    } else if (p->score > 0) {
        p->score--;
    }
}

bool handover_policy_change(struct handover_policy *p, bool still, int64_t now_us)
{
    if (now_us < p->hold_until_us)
        return false;
    if (p->side == HANDOVER_SCREEN) {
        if (p->score < SLOW_PICTURES)
            return false;
        p->side = HANDOVER_FILM;
        p->film_us = 0;
        p->film_pictures = 0;
        p->hold_until_us = now_us + HOLD_US;
        p->film_until_us = now_us + p->backoff_us;
        if (p->backoff_us < BACKOFF_MOST_US)
            p->backoff_us *= 2;
        return true;
    }
    bool no_faster = p->film_pictures >= FILM_MIN_PICTURES && p->film_us * 5 > p->screen_us * 4;
    if (!still && !no_faster && now_us < p->film_until_us)
        return false;
    p->side = HANDOVER_SCREEN;
    p->score = 0;
    p->screen_us = 0;
    p->hold_until_us = now_us + (no_faster ? p->backoff_us : HOLD_US);
    if (still)
        p->backoff_us = BACKOFF_US;
    return true;
}

/* ------------------------------------------------------------------ the driver */

struct handover {
    struct encoder base;
    struct encoder_config config;
    struct encoder *encoder; /* owns: the one of the policy's side */
    struct handover_policy policy;
    int64_t content_us; /* when something new came last */
};

struct handover_policy *handover_policy_of(struct encoder *e)
{
    return &((struct handover *)e)->policy;
}

void handover_age(struct encoder *e, int64_t us) { ((struct handover *)e)->content_us -= us; }

static bool probe(enum pix_fmt fmt, char *reason, size_t reason_len)
{
    return encoder_screen.probe(fmt, reason, reason_len);
}

static void handover_close(struct encoder *e)
{
    struct handover *h = (struct handover *)e;
    encoder_close(&h->encoder);
    free(h);
}

static int handover_open(struct encoder **out, const struct encoder_config *config)
{
    struct handover *h = calloc(1, sizeof *h);
    if (!h)
        return error_set(ERR_MEMORY, "out of memory for an encoder");
    h->config = *config;
    handover_policy_init(&h->policy);
    int err = encoder_open(&h->encoder, &encoder_screen, config);
    if (err) { /* too small for it, say: x265 alone */
        h->policy.side = HANDOVER_FILM;
        h->policy.hold_until_us = INT64_MAX;
        err = encoder_open(&h->encoder, &encoder_x265, config);
    }
    if (err) {
        handover_close(&h->base);
        return err;
    }
    h->base.ops = &encoder_handover;
    h->base.profile_idc = h->encoder->profile_idc;
    h->base.level_idc = h->encoder->level_idc;
    *out = &h->base;
    return 0;
}

/* The new one is opened before the old one is closed: if it cannot be, nothing changes. */
static bool change_sides(struct handover *h)
{
    bool film = h->policy.side == HANDOVER_FILM;
    struct encoder *fresh;
    struct encoder_config config = h->config;
    config.film = film;
    if (encoder_open(&fresh, film ? &encoder_x265 : &encoder_screen, &config)) {
        LOG_WARN(encode, "no hand-over: %s", error_text());
        h->policy.side = film ? HANDOVER_SCREEN : HANDOVER_FILM;
        h->policy.hold_until_us = INT64_MAX;
        return false;
    }
    LOG_DEBUG(encode, "handing over to %s", fresh->ops->name);
    encoder_close(&h->encoder);
    h->encoder = fresh;
    return true;
}

static int64_t thread_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int handover_encode(struct encoder *e, const struct encode_in *in, struct encode_out *out)
{
    struct handover *h = (struct handover *)e;
    struct encode_in to = *in;
    int64_t now = clock_now_us();
    if (!in->refine)
        h->content_us = now;
    bool still = now - h->content_us >= STILL_US;
    if (handover_policy_change(&h->policy, still, now) && change_sides(h)) {
        to.key_wanted = true;
        to.refine = false;
    }
    int64_t cpu_us = thread_cpu_us();
    int err = h->encoder->ops->encode(h->encoder, &to, out);
    if (!err && out->au && !to.refine && !to.key_wanted) {
        double all = (double)h->config.width * h->config.height;
        double share = to.damage ? (double)damage_area(to.damage) / all : 1;
        handover_policy_picture(&h->policy, out->au->encode_us - out->au->encode_start_us,
                                thread_cpu_us() - cpu_us, share);
    }
    /* To be called again until it is still for long enough to hand back. */
    if (h->policy.side == HANDOVER_FILM && h->policy.hold_until_us != INT64_MAX)
        out->wants_more = true;
    return err;
}

static void handover_acked(struct encoder *e, uint64_t pic_id)
{
    struct encoder *now = ((struct handover *)e)->encoder;
    if (now->ops->acked)
        now->ops->acked(now, pic_id);
}

static bool handover_lost(struct encoder *e, uint64_t pic_id)
{
    struct encoder *now = ((struct handover *)e)->encoder;
    return now->ops->lost && now->ops->lost(now, pic_id);
}

const struct encoder_ops encoder_handover = {"auto", probe, handover_open, handover_encode,
                                             handover_close, handover_acked, handover_lost};
