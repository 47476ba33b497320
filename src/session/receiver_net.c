/* The network thread of a receiver: RTP in, access units to decoder and record. */
#include "session/receiver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "signal/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATS_INTERVAL_US = 250000 };

void receiver_event(struct hevcast_receiver *r, enum hevcast_event_type type, const char *text,
                    int width, int height, int error)
{
    if (!r->config.on_event)
        return;
    hevcast_event e = {.type = type, .t_us = clock_now_us() - r->start_us, .text = text,
                       .viewer_id = "", .width = width, .height = height, .error = error};
    r->config.on_event(r->config.ctx, &e);
}

void receiver_end(struct hevcast_receiver *r, int error, const char *text)
{
    pthread_mutex_lock(&r->stats_lock);
    if (!r->end_text[0]) {
        r->end_error = error;
        snprintf(r->end_text, sizeof r->end_text, "%s", text);
    }
    pthread_mutex_unlock(&r->stats_lock);
    atomic_store(&r->stopping, true);
    loop_event_notify(r->stop_event);
}

/* ------------------------------------------------------------------ media */

static void note_decoded(struct hevcast_receiver *r)
{
    if (atomic_load(&r->decoded) && atomic_exchange(&r->decoded, false))
        video_receiver_decoded(r->rtp);
}

static void hand_out(struct hevcast_receiver *r, struct access_unit *au)
{
    note_decoded(r);
    if (r->new_stream) { /* its own time begins anywhere */
        r->new_stream = false;
        r->pts_shift_us = r->last_pts_us + (clock_now_us() - r->last_unit_us) - au->pts_us;
        au->after_loss = true;
    }
    au->pts_us += r->pts_shift_us;
    r->last_pts_us = au->pts_us;
    r->last_unit_us = clock_now_us();
    if (r->config.on_access_unit) {
        hevcast_access_unit out = {.data = au->data, .len = au->len, .pts_us = au->pts_us,
                                   .keyframe = au->irap};
        r->config.on_access_unit(r->config.ctx, &out);
    }
    if (r->record)
        record_push(r->record, access_unit_ref(au));
    if (r->decode_queue && queue_push(r->decode_queue, access_unit_ref(au)) == QUEUE_DROPPED)
        video_receiver_request_key(r->rtp, clock_now_us());
    access_unit_unref(&au);
}

void receiver_pump(struct hevcast_receiver *r)
{
    if (!r->rtp || r->shut_down)
        return;
    int64_t now = clock_now_us();
    struct access_unit *au;
    while ((au = video_receiver_poll(r->rtp, now)))
        hand_out(r, au);
    if (r->connected) {
        uint8_t rtcp[1200];
        size_t n;
        while ((n = video_receiver_rtcp(r->rtp, now, rtcp, sizeof rtcp)) > 0)
            peer_send_rtcp(r->peer, rtcp, n);
    }
    loop_timer_set(r->timer, video_receiver_next_us(r->rtp, now));
}

static void on_timer(void *ctx) { receiver_pump(ctx); }

void receiver_on_rtp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct hevcast_receiver *r = ctx;
    if (!r->rtp)
        return;
    receiver_link_alive(r, now_us, false);
    video_receiver_on_rtp(r->rtp, data, len, now_us);
    receiver_pump(r);
}

void receiver_on_rtcp(void *ctx, uint8_t *data, size_t len, int64_t now_us)
{
    struct hevcast_receiver *r = ctx;
    bool bye = false;
    if (!r->rtp)
        return;
    video_receiver_on_rtcp(r->rtp, data, len, now_us, &bye);
    if (bye)
        receiver_end(r, 0, "the share has ended");
    else
        receiver_link_alive(r, now_us, true);
    receiver_pump(r);
}

static void on_key_needed(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    if (!r->rtp || !atomic_exchange(&r->key_needed, false))
        return;
    note_decoded(r);
    video_receiver_request_key(r->rtp, clock_now_us());
    receiver_pump(r);
}

static void add_counters(struct video_receiver_stats *to, const struct video_receiver_stats *from)
{
    to->packets_received += from->packets_received;
    to->packets_lost += from->packets_lost;
    to->packets_recovered += from->packets_recovered;
    to->packets_duplicate += from->packets_duplicate;
    to->packets_malformed += from->packets_malformed;
    to->bytes_received += from->bytes_received;
    to->nacks += from->nacks;
    to->plis += from->plis;
    to->rpsis += from->rpsis;
    to->resumed += from->resumed;
    to->frames_received += from->frames_received;
    to->frames_dropped += from->frames_dropped;
}

/* With stats_lock held. */
static void publish_clock(struct hevcast_receiver *r, int64_t now)
{
    int64_t offset_us, real_us = clock_real_us();
    r->playout_us = video_receiver_playout_us(r->rtp, now);
    r->rtt_us = video_receiver_rtt_us(r->rtp);
    bool known = video_receiver_clock(r->rtp, now, &offset_us, &r->clock_error_us);
    if (!known) {
        r->clock_known = false;
        r->clock_offset_us = r->clock_error_us = 0;
        return;
    }
    /* What was measured with the clocks as they are is worth nothing beside what is known. */
    if (!r->clock_known)
        duration_reset(&r->counters.latency);
    r->clock_known = true;
    r->clock_offset_us = now + offset_us + real_us_from_ntp(0) - real_us;
}

void receiver_publish_stats(void *ctx)
{
    struct hevcast_receiver *r = ctx;
    int64_t now = clock_now_us();
    if (r->rtp) {
        pthread_mutex_lock(&r->stats_lock);
        video_receiver_get_stats(r->rtp, &r->net_stats);
        add_counters(&r->net_stats, &r->before);
        publish_clock(r, now);
        struct receiver_counters *c = &r->counters;
        int64_t elapsed = now - c->second_start_us;
        if (elapsed >= 1000000) {
            c->fps = (double)c->second_frames * 1e6 / (double)elapsed;
            c->bitrate_bps = (r->net_stats.bytes_received - c->second_bytes_start) * 8 * 1000000 /
                             elapsed;
            c->second_frames = 0;
            c->second_bytes_start = r->net_stats.bytes_received;
            c->second_start_us = now;
        }
        pthread_mutex_unlock(&r->stats_lock);
    }
    loop_timer_set(r->stats_timer, now + STATS_INTERVAL_US);
}

int receiver_make_rtp(struct hevcast_receiver *r)
{
    struct video_receiver_config c;
    video_receiver_default_config(&c);
    if (token_random(&c.local_ssrc, sizeof c.local_ssrc))
        return ERR_IO;
    snprintf(c.cname, sizeof c.cname, "hevcast");
    c.pt = r->agreed.codec.pt;
    c.rtx_pt = r->agreed.codec.rtx_pt;
    c.fec_pt = r->agreed.codec.fec_pt;
    c.ext = r->agreed.ext;
    c.nack = r->agreed.codec.nack;
    c.pli = r->agreed.codec.pli;
    c.fir = r->agreed.codec.fir;
    c.rpsi = r->agreed.codec.rpsi;
    c.twcc = r->agreed.codec.twcc;
    c.remb = r->agreed.codec.remb;
    c.decoder = r->decode_queue != NULL;
    c.playout_min_us = r->config.playout_min_ms * INT64_C(1000);
    c.playout_max_us = r->config.playout_max_ms * INT64_C(1000);
    if (r->rtp) {
        struct video_receiver_stats st;
        video_receiver_get_stats(r->rtp, &st);
        add_counters(&r->before, &st);
        r->new_stream = r->last_unit_us != 0;
    }
    video_receiver_free(&r->rtp);
    r->rtp = video_receiver_new(&c);
    return r->rtp ? 0 : error_set(ERR_MEMORY, "out of memory");
}

/* ------------------------------------------------------------------ set up */

int receiver_net_open(struct hevcast_receiver *r)
{
    r->loop = loop_new();
    if (!r->loop)
        return error_set(ERR_MEMORY, "out of memory");
    r->stop_event = loop_event_new(r->loop, receiver_link_stop, r);
    r->key_event = loop_event_new(r->loop, on_key_needed, r);
    r->timer = loop_timer_new(r->loop, on_timer, r);
    r->stats_timer = loop_timer_new(r->loop, receiver_publish_stats, r);
    if (!r->stop_event || !r->key_event || !r->timer || !r->stats_timer ||
        !receiver_link_open(r))
        return error_set(ERR_MEMORY, "out of memory");
    r->identity = dtls_identity_new();
    if (!r->identity)
        return ERR_IO;
    receiver_link_describe(&r->local, r->identity);
    struct whep_client_config c = {.loop = r->loop, .url = r->config.url,
                                   .bearer = r->config.bearer, .tls_pin_sha256 = r->config.tls_pin};
    return whep_client_new(&r->whep, &c);
}

void *receiver_net_main(void *arg)
{
    struct hevcast_receiver *r = arg;
    r->counters.second_start_us = clock_now_us();
    loop_timer_set(r->stats_timer, clock_now_us() + STATS_INTERVAL_US);
    loop_post(r->loop, receiver_link_begin, r);
    loop_run(r->loop);
    pthread_mutex_lock(&r->stats_lock);
    if (!r->end_text[0])
        snprintf(r->end_text, sizeof r->end_text, "stopped");
    int error = r->end_error;
    char text[sizeof r->end_text];
    memcpy(text, r->end_text, sizeof text);
    pthread_mutex_unlock(&r->stats_lock);
    receiver_event(r, HEVCAST_EVENT_ENDED, text, 0, 0, error);
    uint64_t one = 1;
    if (write(r->ended_fd, &one, sizeof one) < 0)
        LOG_DEBUG(session, "the end was already told");
    if (r->display)
        r->display->ops->wake(r->display);
    return NULL;
}

void receiver_net_close(struct hevcast_receiver *r)
{
    whep_client_free(&r->whep);
    peer_free(&r->peer);
    video_receiver_free(&r->rtp);
    loop_timer_free(&r->timer);
    receiver_link_close(r);
    loop_timer_free(&r->stats_timer);
    loop_event_free(&r->stop_event);
    loop_event_free(&r->key_event);
    loop_free(&r->loop);
    dtls_identity_free(&r->identity);
}
