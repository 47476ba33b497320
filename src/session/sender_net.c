/* The network thread of a sender: hands access units to viewers, and key requests to the encoder. */
#include "session/viewer.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "signal/web_page.h"
#include "signal/whep_link.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COUNTED = 256, JOINING_US = 1500000, MEDIA_PERCENT = 97 }; /* viewers that set the target, of which */

enum { ACK_AGAIN = 64 }; /* pictures; older ones are of no use beside newer ones */

enum { STATS_INTERVAL_US = 250000, DRAIN_CHECK_US = 10000, DRAIN_MAX_US = 2000000 };

void sender_event(struct hevcast_sender *s, enum hevcast_event_type type, const char *viewer_id,
                  const char *text, int error)
{
    if (type == HEVCAST_EVENT_VIEWER_LEFT || type == HEVCAST_EVENT_NOTICE)
        LOG_INFO(session, "%s", text);
    if (!s->config.on_event)
        return;
    hevcast_event e = {.type = type,
                       .t_us = clock_now_us() - s->start_us,
                       .text = text,
                       .viewer_id = viewer_id,
                       .error = error};
    s->config.on_event(s->config.ctx, &e);
}

/* ------------------------------------------------------------------ key frames */

static void replay_group(struct hevcast_sender *s, int64_t now)
{
    for (struct viewer *v = s->viewers; v; v = v->next) {
        if (!v->held || !v->connected || v->gone)
            continue;
        for (int i = 0; i < s->gop.count; i++)
            viewer_push(v, s->gop.au[i], now);
        viewer_pump(v);
    }
}

static void grant_keys(void *ctx)
{
    struct hevcast_sender *s = ctx;
    int64_t now = clock_now_us();
    if (key_governor_poll(&s->governor, now)) {
        if (!s->coded) {
            atomic_store(&s->key_wanted, true);
            slot_wake(s->slot);
        } else if (s->config.input == HEVCAST_INPUT_ACCESS_UNITS && s->config.on_keyframe_request) {
            s->config.on_keyframe_request(s->config.ctx);
        } else {
            if (s->gop.overflowed)
                sender_event(s, HEVCAST_EVENT_NOTICE, "",
                             "the group of pictures is too large to keep: a viewer waits for the "
                             "next key frame of the stream", 0);
            replay_group(s, now);
        }
    }
    loop_timer_set(s->key_timer, key_governor_next_us(&s->governor));
}

void sender_key_request(struct hevcast_sender *s)
{
    key_governor_request(&s->governor);
    grant_keys(s);
}

/* ------------------------------------------------------------------ what viewers have */

/* A viewer that waits for a key frame has nothing, and gets all with it. */
static bool all_have(const struct hevcast_sender *s, uint64_t pic_id)
{
    bool any = false;
    for (const struct viewer *v = s->viewers; v; v = v->next) {
        if (!v->connected || v->gone || v->held)
            continue;
        if (!video_sender_has(v->rtp, pic_id))
            return false;
        any = true;
    }
    return any;
}

void sender_viewer_acked(struct hevcast_sender *s, uint64_t pic_id)
{
    if (s->refs_tracked && all_have(s, pic_id))
        ref_news_push(&s->ref_news, REF_ACKED, pic_id);
}

bool sender_viewer_lost(struct hevcast_sender *s, uint64_t pic_id)
{
    if (s->coded || !s->refs_tracked)
        return false;
    ref_news_push(&s->ref_news, REF_LOST, pic_id);
    slot_wake(s->slot);
    return true;
}

/* The others may all have what one that left did not. */
static void acknowledge_again(struct hevcast_sender *s)
{
    uint64_t newest = s->newest_pic_id;
    for (uint64_t id = newest > ACK_AGAIN ? newest - ACK_AGAIN : 1; id <= newest; id++)
        sender_viewer_acked(s, id);
}

/* ------------------------------------------------------------------ the path of a picture */

static void on_access_units(void *ctx)
{
    struct hevcast_sender *s = ctx;
    struct access_unit *au;
    while ((au = queue_pop(s->au_queue, 0))) {
        int64_t now = clock_now_us();
        if (s->coded)
            gop_cache_add(&s->gop, au);
        s->newest_pic_id = au->pic_id;
        if (!au->irap)
            s->refs_tracked = au->n_refers > 0;
        if (au->irap)
            key_governor_seen(&s->governor, now);
        for (struct viewer *v = s->viewers, *next; v; v = next) {
            next = v->next;
            viewer_push(v, au, now);
            viewer_pump(v);
        }
        access_unit_unref(&au);
    }
}

void sender_update_pacer(struct hevcast_sender *s, int64_t now_us)
{
    int64_t longest = 0, target = atomic_load(&s->target_bps);
    for (struct viewer *v = s->viewers; v; v = v->next) {
        if (!v->connected || v->held || v->gone)
            continue;
        /* One that is slower than the encode's rate has its own queue purged, and skips no one
         * else's pictures. */
        int64_t estimate = viewer_estimate_bps(v);
        if (estimate > 0 && estimate < target / 10 * 9)
            continue;
        int64_t q = video_sender_queue_us(v->rtp, now_us);
        longest = q > longest ? q : longest;
    }
    atomic_store(&s->pacer_until_us, now_us + longest);
}

static int compare_bps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* One encode serves all: its target follows the lower quartile of the viewers' estimates, so that
 * of five viewers the slowest does not hold back the rest; its own pacer fills up then, and it is
 * held until key frames. Of up to four it is the slowest that counts. A viewer that joins is left
 * out while its probes look for its rate, unless it is alone. Within the configured bounds. */
void sender_update_target(struct hevcast_sender *s, int64_t now_us)
{
    int64_t known[MAX_COUNTED], joining = 0;
    int n = 0;
    for (struct viewer *v = s->viewers; v && n < MAX_COUNTED; v = v->next) {
        int64_t bps = v->connected && !v->gone ? viewer_media_bps(v, now_us) : 0;
        if (bps > 0 && now_us - v->connected_us < JOINING_US)
            joining = joining == 0 || bps < joining ? bps : joining;
        else if (bps > 0)
            known[n++] = bps;
    }
    if (n == 0 && joining > 0)
        known[n++] = joining;
    qsort(known, (size_t)n, sizeof known[0], compare_bps);
    /* The rest is for headers and reports; repairs are subtracted already. */
    int64_t target = n > 0 ? known[(n - 1) / 4] / 100 * MEDIA_PERCENT : s->config.bitrate_bps;
    if (target > s->config.bitrate_bps)
        target = s->config.bitrate_bps;
    if (target < s->config.min_bitrate_bps)
        target = s->config.min_bitrate_bps;
    atomic_store(&s->target_bps, target);
    int64_t told = s->told_target_bps, change = target > told ? target - told : told - target;
    bool bound = target == s->config.bitrate_bps || target == s->config.min_bitrate_bps;
    if (s->config.on_target_bitrate && (change > told / 50 || (bound && change > 0))) {
        s->told_target_bps = target;
        s->config.on_target_bitrate(s->config.ctx, target);
    }
}

/* ------------------------------------------------------------------ viewers come and go */

static void set_active(struct hevcast_sender *s)
{
    bool active = false;
    for (struct viewer *v = s->viewers; v; v = v->next)
        active |= v->connected && !v->gone;
    if (active == atomic_load(&s->active))
        return;
    if (active && s->source && !s->coded)
        atomic_store(&s->force_read, true);
    pthread_mutex_lock(&s->gate_lock);
    atomic_store(&s->active, active);
    pthread_cond_broadcast(&s->gate);
    pthread_mutex_unlock(&s->gate_lock);
    if (active && s->config.on_target_bitrate) {
        s->told_target_bps = atomic_load(&s->target_bps);
        s->config.on_target_bitrate(s->config.ctx, s->told_target_bps);
    }
    if (active && s->source)
        s->source->ops->interrupt(s->source);
    slot_wake(s->slot);
}

/* The lowest of the connected viewers' levels; what was stays when there is none. */
static void update_level(struct hevcast_sender *s)
{
    int lowest = INT_MAX;
    for (const struct viewer *v = s->viewers; v; v = v->next)
        if (v->connected && !v->gone && v->level_limit < lowest)
            lowest = v->level_limit;
    if (lowest < INT_MAX)
        atomic_store(&s->level_limit, lowest);
}

void sender_viewer_connected(struct hevcast_sender *s, struct viewer *v)
{
    v->held = true;
    update_level(s); /* before the key frame that it asks for */
    sender_update_target(s, clock_now_us()); /* the first picture is for a path that is not known yet */
    set_active(s);
    sender_key_request(s);
    viewer_pump(v);
}

void sender_viewer_gone(struct hevcast_sender *s, struct viewer *v)
{
    for (struct viewer **p = &s->viewers; *p; p = &(*p)->next) {
        if (*p == v) {
            *p = v->next;
            s->viewer_count--;
            break;
        }
    }
    struct video_sender_stats st;
    video_sender_get_stats(v->rtp, clock_now_us(), &st);
    s->gone_bytes += st.bytes_sent;
    s->gone_packets += st.packets_sent;
    s->gone_retransmitted += st.packets_retransmitted;
    s->gone_fec_bytes += st.fec_bytes;
    s->purged += v->purged;
    sender_update_target(s, clock_now_us());
    sender_update_pacer(s, clock_now_us());
    acknowledge_again(s);
    update_level(s);
    set_active(s);
}

static struct viewer *find_viewer(struct hevcast_sender *s, const char *id)
{
    for (struct viewer *v = s->viewers; v; v = v->next)
        if (v->answered && token_equal(id, strlen(id), v->id, TOKEN_LEN))
            return v;
    return NULL;
}

static void on_offer(void *ctx, struct whep_request *req, const char *sdp, size_t len,
                     const char *query)
{
    viewer_offer(ctx, req, sdp, len, query);
}

static void on_patch(void *ctx, struct whep_request *req, const char *id, const char *if_match,
                     const char *frag, size_t len)
{
    struct viewer *v = find_viewer(ctx, id);
    if (!v)
        whep_reply_error(req, 404, "no such session", 0);
    else
        viewer_patch(v, req, if_match, frag, len);
}

static void on_delete(void *ctx, struct whep_request *req, const char *id)
{
    struct viewer *v = find_viewer(ctx, id);
    if (!v) {
        whep_reply_error(req, 404, "no such session", 0);
        return;
    }
    whep_reply_ok(req);
    viewer_end(v, "the viewer has left");
}

/* ------------------------------------------------------------------ statistics, once a while */

static void publish_stats(void *ctx)
{
    struct hevcast_sender *s = ctx;
    int64_t now = clock_now_us(), pacer_us = 0, drops = s->purged;
    sender_update_target(s, now);
    pthread_mutex_lock(&s->stats_lock);
    hevcast_sender_stats *st = &s->net_stats;
    st->bytes_sent = s->gone_bytes;
    st->packets_sent = s->gone_packets;
    st->packets_retransmitted = s->gone_retransmitted;
    st->fec_bytes = s->gone_fec_bytes;
    st->target_bps = atomic_load(&s->target_bps);
    st->viewers = 0;
    s->viewer_stats_count = 0;
    for (struct viewer *v = s->viewers; v; v = v->next) {
        struct video_sender_stats vs;
        video_sender_get_stats(v->rtp, now, &vs);
        st->bytes_sent += vs.bytes_sent;
        st->packets_sent += vs.packets_sent;
        st->packets_retransmitted += vs.packets_retransmitted;
        st->fec_bytes += vs.fec_bytes;
        drops += v->purged;
        pacer_us = vs.queue_us > pacer_us ? vs.queue_us : pacer_us;
        if (!v->connected)
            continue;
        st->viewers++;
        if (s->viewer_stats_count == (int)(sizeof s->viewer_stats / sizeof s->viewer_stats[0]))
            continue;
        hevcast_viewer_stats *o = &s->viewer_stats[s->viewer_stats_count++];
        *o = (hevcast_viewer_stats){.rtt_us = vs.rtt_us, .loss_ratio = vs.loss_ratio,
                                    .estimate_bps = viewer_estimate_bps(v), .queue_us = vs.queue_us,
                                    .held = v->held};
        snprintf(o->id, sizeof o->id, "%s", v->name);
    }
    st->queue_count = 1;
    st->queue[0] = (hevcast_queue_stats){"pacer", pacer_us / 1000, s->config.queue_ms * 5, drops};
    pthread_mutex_unlock(&s->stats_lock);
    loop_timer_set(s->stats_timer, now + STATS_INTERVAL_US);
}

/* ------------------------------------------------------------------ the end */

static void shut_down(struct hevcast_sender *s)
{
    if (s->shut_down)
        return;
    s->shut_down = true;
    publish_stats(s);
    pthread_mutex_lock(&s->stats_lock);
    if (!s->end_text[0])
        snprintf(s->end_text, sizeof s->end_text, "the share was stopped");
    int error = s->end_error;
    char text[sizeof s->end_text];
    memcpy(text, s->end_text, sizeof text);
    pthread_mutex_unlock(&s->stats_lock);
    while (s->viewers)
        viewer_end(s->viewers, text);
    loop_timer_set(s->stats_timer, INT64_MAX);
    sender_event(s, HEVCAST_EVENT_ENDED, "", text, error);
    atomic_store(&s->stopping, true);
    uint64_t one = 1;
    if (write(s->ended_fd, &one, sizeof one) < 0)
        LOG_DEBUG(session, "the end was already told");
    /* Once more round the loop, so that the goodbyes leave. */
    loop_quit(s->loop);
}

static void drain(void *ctx)
{
    struct hevcast_sender *s = ctx;
    int64_t now = clock_now_us(), waiting = 0;
    on_access_units(s);
    for (struct viewer *v = s->viewers; v; v = v->next) {
        int64_t q = v->connected ? video_sender_queue_us(v->rtp, now) : 0;
        waiting = q > waiting ? q : waiting;
    }
    if (waiting > 0 && now < s->drain_until_us && !atomic_load(&s->stopping))
        loop_timer_set(s->drain_timer, now + DRAIN_CHECK_US);
    else
        shut_down(s);
}

static void on_stop(void *ctx)
{
    struct hevcast_sender *s = ctx;
    if (atomic_load(&s->stopping)) {
        shut_down(s);
    } else if (!s->source_over) {
        s->source_over = true;
        s->drain_until_us = clock_now_us() + DRAIN_MAX_US;
        /* What was sent last may yet be asked for again: one more round trip. */
        loop_timer_set(s->drain_timer, clock_now_us() + 10 * DRAIN_CHECK_US);
    }
}

void sender_end(struct hevcast_sender *s, int error, const char *text, bool after_drain)
{
    pthread_mutex_lock(&s->stats_lock);
    if (!s->end_text[0]) {
        s->end_error = error;
        snprintf(s->end_text, sizeof s->end_text, "%s", text);
    }
    pthread_mutex_unlock(&s->stats_lock);
    if (!after_drain)
        atomic_store(&s->stopping, true);
    loop_event_notify(s->stop_event);
}

/* ------------------------------------------------------------------ set up */

int sender_net_open(struct hevcast_sender *s, const char *const *urls)
{
    s->loop = loop_new();
    if (!s->loop)
        return error_set(ERR_MEMORY, "out of memory");
    s->au_event = loop_event_new(s->loop, on_access_units, s);
    s->stop_event = loop_event_new(s->loop, on_stop, s);
    s->key_timer = loop_timer_new(s->loop, grant_keys, s);
    s->stats_timer = loop_timer_new(s->loop, publish_stats, s);
    s->drain_timer = loop_timer_new(s->loop, drain, s);
    if (!s->au_event || !s->stop_event || !s->key_timer || !s->stats_timer || !s->drain_timer)
        return error_set(ERR_MEMORY, "out of memory");
    int err = s->config.tls ? tls_identity_open(&s->tls, s->config.tls) : 0;
    if (err)
        return err;
    s->identity = dtls_identity_new();
    if (!s->identity)
        return ERR_IO;
    gop_cache_init(&s->gop, GOP_CACHE_MAX_BYTES);
    queue_set_notify(s->au_queue, (void (*)(void *))loop_event_notify, s->au_event);
    char link[ICE_MAX_SERVERS][WHEP_LINK_URL_MAX];
    const char *links[ICE_MAX_SERVERS];
    int n = 0;
    for (int i = 0; i < s->ice_server_count; i++)
        if (whep_link_format(urls[i], link[n], sizeof link[n]) > 0) {
            links[n] = link[n];
            n++;
        }
    struct whep_server_config c = {
        .loop = s->loop,
        .ice_server_links = links,
        .ice_server_link_count = n,
        .listen = s->config.listen,
        .token = s->token,
        .tls_cert = s->tls.cert,
        .tls_key = s->tls.key,
        .tls_pin = s->tls.self ? s->tls.fingerprint : NULL,
        .files = web_files,
        .file_count = web_file_count,
        .on_offer = on_offer,
        .on_patch = on_patch,
        .on_delete = on_delete,
        .ctx = s,
    };
    return whep_server_new(&s->server, &c);
}

void *sender_net_main(void *arg)
{
    struct hevcast_sender *s = arg;
    loop_timer_set(s->stats_timer, clock_now_us() + STATS_INTERVAL_US);
    loop_run(s->loop);
    return NULL;
}

void sender_net_close(struct hevcast_sender *s)
{
    while (s->viewers) { /* only when the thread never ran */
        struct viewer *v = s->viewers;
        s->viewers = v->next;
        viewer_free(v);
    }
    whep_server_free(&s->server);
    loop_timer_free(&s->key_timer);
    loop_timer_free(&s->stats_timer);
    loop_timer_free(&s->drain_timer);
    loop_event_free(&s->au_event);
    loop_event_free(&s->stop_event);
    gop_cache_clear(&s->gop);
    loop_free(&s->loop);
    dtls_identity_free(&s->identity);
    tls_identity_clear(&s->tls);
}
