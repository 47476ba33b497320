#include "rtp/video_sender_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    HISTORY_PACKETS = 512, HISTORY_MAX = 16384,
    EXTRA_WINDOW_US = 500000,
    BATCH_US = 2000,
    BURST_US = 4000, MIN_BURST = 4800,
    MIN_PAYLOAD = 64,
};

void video_sender_default_config(struct video_sender_config *c)
{
    memset(c, 0, sizeof *c);
    c->max_packet = 1200;
    c->pacing_bps = 50000000;
    c->max_burst_bytes = 16384;
}

/* All extensions are on all packets: those of an access unit are equally large. */
static void lay_out(struct rtp_ext_layout *l, const struct video_sender_config *c)
{
    rtp_ext_layout_init(l);
    rtp_ext_layout_add(l, c->ext.mid, strlen(c->mid));
    rtp_ext_layout_add(l, c->ext.twcc, 2);
    rtp_ext_layout_add(l, c->ext.abs_send_time, 3);
    rtp_ext_layout_add(l, c->ext.abs_capture_time, 8);
    rtp_ext_layout_add(l, c->ext.playout_delay, 3);
    rtp_ext_layout_add(l, c->ext.content_type, 1);
}

struct video_sender *video_sender_new(const struct video_sender_config *c)
{
    struct rtp_ext_layout layout;
    lay_out(&layout, c);
    struct sender_fec fec = {0};
    size_t room = c->fec_pt ? sender_fec_room(&fec, c) : 0;
    if (c->max_packet > 65000 || c->max_packet < layout.header_len + room + MIN_PAYLOAD)
        return NULL;
    size_t scratch_cap = c->max_packet + RTX_OSN_LEN + PADDING_BYTES;
    struct video_sender *vs = calloc(1, sizeof *vs + scratch_cap);
    if (!vs)
        return NULL;
    vs->scratch_cap = scratch_cap;
    vs->config = *c;
    vs->layout = layout;
    size_t max_media = c->max_packet - room;
    vs->fec = fec;
    vs->max_payload = max_media - layout.header_len;
    vs->history = history_new(HISTORY_PACKETS, HISTORY_MAX);
    if (c->ext.twcc && c->cc.max_bps > 0)
        vs->control = send_control_new(&cc_gcc, &c->cc);
    if (!vs->history || (c->ext.twcc && c->cc.max_bps > 0 && !vs->control) ||
        (c->fec_pt && !sender_fec_open(&vs->fec, c, max_media))) {
        history_free(&vs->history);
        send_control_free(&vs->control);
        free(vs);
        return NULL;
    }
    if (vs->control) {
        vs->control->on_media = video_sender_on_media;
        vs->control->ctx = vs;
    }
    rate_meter_init(&vs->extra);
    pacer_init(&vs->pacer, c->pacing_bps, c->max_burst_bytes);
    report_control_init(&vs->reports, c->cc.start_bps, c->cc.min_bps, c->cc.max_bps);
    vs->next_seq = c->first_seq;
    vs->next_rtx_seq = c->first_rtx_seq;
    vs->ts_offset = c->rtp_ts_offset;
    vs->audio = c->payload == VIDEO_PAYLOAD_AUDIO_CARRIER;
    vs->rtcp_next_us = vs->tail.next_us = vs->fec.close_us = INT64_MAX;
    return vs;
}

void waiting_pop(struct video_sender *vs)
{
    struct waiting_au *h = waiting_head(vs);
    vs->stats.queue_bytes -= h->bytes;
    access_unit_unref(&h->au);
    vs->waiting_first = (vs->waiting_first + 1) & (vs->waiting_cap - 1);
    vs->waiting_n--;
    vs->begun = false;
}

void video_sender_free(struct video_sender **pvs)
{
    struct video_sender *vs = *pvs;
    *pvs = NULL;
    if (!vs)
        return;
    while (vs->waiting_n > 0)
        waiting_pop(vs);
    free(vs->waiting);
    history_free(&vs->history);
    send_control_free(&vs->control);
    if (vs->fec.encoder)
        fec_encoder_free(&vs->fec.encoder);
    free(vs);
}

static bool waiting_grow(struct video_sender *vs)
{
    size_t cap = vs->waiting_cap ? 2 * vs->waiting_cap : 16;
    struct waiting_au *ring = malloc(cap * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < vs->waiting_n; i++)
        ring[i] = vs->waiting[(vs->waiting_first + i) & (vs->waiting_cap - 1)];
    free(vs->waiting);
    vs->waiting = ring;
    vs->waiting_cap = cap;
    vs->waiting_first = 0;
    return true;
}

/* pts_us * 9 / 100 + offset, but always after the last one: two access units with one timestamp
 * would be one to a receiver (a refinement of a still picture may have its pts), and a source that
 * starts again may go back. */
static uint32_t timestamp_of(struct video_sender *vs, int64_t pts_us, int64_t capture_us)
{
    uint32_t ts = ticks_of(pts_us) + vs->ts_offset;
    if (!vs->any_au || ts32_after(ts, vs->last_rtp_ts))
        return ts;
    if (vs->last_pts_us - pts_us < 1000000)
        return vs->last_rtp_ts + 1;
    int64_t since_us = capture_us - vs->last_capture_us;
    uint32_t next = vs->last_rtp_ts + (since_us > 0 && since_us < 60000000 ? ticks_of(since_us) : 0) + 1;
    vs->ts_offset += next - ts;
    return next;
}

bool video_sender_push(struct video_sender *vs, struct access_unit *au, uint64_t capture_ntp,
                       int64_t now_us)
{
    if (vs->waiting_n == vs->waiting_cap && !waiting_grow(vs))
        return false;
    struct waiting_au *w =
        &vs->waiting[(vs->waiting_first + vs->waiting_n++) & (vs->waiting_cap - 1)];
    /* When the picture that pts_us means was there: known for a screen, about now for a file. */
    bool captured = au->capture_us > 0 && au->capture_us <= now_us;
    int64_t capture_us = captured ? au->capture_us : now_us;
    w->au = access_unit_ref(au);
    w->rtp_ts = timestamp_of(vs, au->pts_us, capture_us);
    w->capture_ntp = capture_ntp;
    int64_t packets = (int64_t)(au->len / vs->max_payload) + 1;
    w->bytes = (int64_t)au->len + packets * (int64_t)vs->layout.header_len;
    vs->stats.queue_bytes += w->bytes;
    int64_t gap_us = now_us - vs->tail.pushed_us;
    vs->tail.gap_us = gap_us < 1000000 && vs->any_au ? (vs->tail.gap_us * 3 + gap_us) / 4 : 1000000;
    vs->tail.pushed_us = now_us;
    vs->any_au = true;
    vs->last_pts_us = au->pts_us;
    vs->last_capture_us = capture_us;
    vs->last_rtp_ts = w->rtp_ts;
    return true;
}

/* The next packet of a cluster, when one is due. */
static bool give_cluster(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    if (now_us < send_control_probe_us(vs->control))
        return false;
    vs->in_probe = true;
    /* A resend without RTX has no transport-wide number of its own: it is no part of a cluster. */
    bool given = (can_pad(vs) && give_resend(vs, now_us, out)) || give_next(vs, now_us, out);
    if (!given && can_pad(vs) && vs->any_packet)
        given = give_padding(vs, now_us, out);
    vs->in_probe = false;
    if (!given)
        send_control_cancel_probe(vs->control);
    return given;
}

/* Nothing is known of the path before there is media to send on it. */
static bool controlled(const struct video_sender *vs)
{
    return vs->control && (vs->any_packet || vs->waiting_n > 0);
}

/* Something to send as soon as the pacer lets it. */
static bool anything_waits(const struct video_sender *vs, int64_t now_us)
{
    return vs->resend_n > 0 || vs->waiting_n > 0 || sender_fec_due(vs) ||
           resend_again_us(vs) <= now_us;
}

/* At the rate that feedback found. What goes at once waits in the path, and what is asked for again
 * waits behind it: on a slow path only a little does. */
static void pace(struct video_sender *vs, int64_t bps)
{
    int64_t burst = bps * BURST_US / 8000000, most = (int64_t)vs->config.max_burst_bytes;
    burst = burst < MIN_BURST ? MIN_BURST : burst;
    pacer_set_rate(&vs->pacer, bps);
    pacer_set_burst(&vs->pacer, (size_t)(burst < most ? burst : most));
}

bool video_sender_poll(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    sender_fec_poll(vs, now_us);
    if (controlled(vs)) {
        send_control_poll(vs->control, now_us);
        if (has_feedback(vs))
            pace(vs, vs->control->cc->pacing_bps);
        else if (video_sender_estimate_bps(vs) == 0)
            pacer_set_rate(&vs->pacer, vs->config.pacing_bps);
        if (give_cluster(vs, now_us, out))
            return true;
        if (vs->control->probe.id) /* nothing else goes between its packets: it would be measured */
            return false;
    }
    bool waits = anything_waits(vs, now_us);
    if (!waits && now_us < vs->tail.next_us)
        return false;
    if (waits && vs->control && !send_control_open(vs->control))
        return false;
    if (!pacer_allows(&vs->pacer, vs->config.max_packet, now_us))
        return false;
    if (!waits)
        return give_probe(vs, now_us, out);
    return give_resend(vs, now_us, out) ||
           (sender_fec_due(vs) && give_repair(vs, now_us, out)) || give_next(vs, now_us, out);
}

/* For how much the pacer is to have room before it is asked again. Media of 2 ms goes at once, so
 * that a system call carries several packets; the last of it goes no later for that. */
static size_t next_batch(const struct video_sender *vs)
{
    int64_t bytes = vs->pacer.bps * BATCH_US / 8000000, max = (int64_t)vs->config.max_burst_bytes / 2;
    if (vs->resend_n > 0 || vs->again_n > 0)
        return vs->config.max_packet;
    bytes = bytes > max ? max : bytes;
    bytes = bytes > vs->stats.queue_bytes ? vs->stats.queue_bytes : bytes;
    return bytes > (int64_t)vs->config.max_packet ? (size_t)bytes : vs->config.max_packet;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t video_sender_next_us(const struct video_sender *vs)
{
    bool waits = anything_waits(vs, INT64_MIN);
    int64_t next = waits ? pacer_next_us(&vs->pacer, next_batch(vs)) : vs->tail.next_us;
    if (!waits && next != INT64_MAX) /* a tail probe is paced too */
        next = later(next, pacer_next_us(&vs->pacer, vs->config.max_packet));
    bool again = vs->again_n > 0 && (!vs->control || send_control_open(vs->control));
    int64_t again_us = again ? later(resend_again_us(vs), pacer_next_us(&vs->pacer, vs->config.max_packet))
                             : INT64_MAX;
    next = vs->fec.close_us < next ? vs->fec.close_us : next;
    next = again_us < next ? again_us : next;
    if (!controlled(vs))
        return next;
    int64_t probe = send_control_probe_us(vs->control);
    if (probe != INT64_MAX || (waits && !send_control_open(vs->control)))
        next = INT64_MAX; /* until the cluster is over, or feedback comes */
    int64_t control = send_control_next_us(vs->control);
    next = probe < next ? probe : next;
    return control < next ? control : next;
}

int video_sender_purge(struct video_sender *vs)
{
    int purged = 0;
    struct h265_payload payload;
    for (struct waiting_au *w; (w = waiting_head(vs)); waiting_pop(vs)) {
        while (next_payload(vs, w, &payload))
            purged++;
    }
    vs->tail.next_us = INT64_MAX;
    vs->again_n = 0;
    if (vs->fec.encoder)
        fec_encoder_forget(vs->fec.encoder);
    vs->fec.close_us = INT64_MAX;
    /* What was lost before the purge is of no use after it. */
    while (vs->resend_n > 0) {
        struct history_entry *e = history_find(vs->history, vs->resend[vs->resend_first]);
        if (e)
            e->resend_waits = false;
        vs->resend_first = (vs->resend_first + 1) & (RESEND_MAX - 1);
        vs->resend_n--;
    }
    vs->stats.purged_packets += purged;
    return purged;
}

int64_t video_sender_queue_us(const struct video_sender *vs, int64_t now_us)
{
    struct pacer p = vs->pacer;
    pacer_allows(&p, 0, now_us); /* debt as of now */
    int64_t drain_us = pacer_drain_us(&p, vs->stats.queue_bytes);
    if (!vs->control || send_control_open(vs->control) || vs->stats.queue_bytes == 0)
        return drain_us;
    /* The window is closed: what is over it leaves first, at the rate of the path. */
    int64_t over = vs->control->flight_bytes - vs->control->cc->window_bytes;
    int64_t path_us = (over + vs->stats.queue_bytes) * 8000000 / vs->control->cc->estimate_bps;
    return path_us > drain_us ? path_us : drain_us;
}

int64_t video_sender_estimate_bps(const struct video_sender *vs)
{
    if (has_feedback(vs))
        return vs->control->cc->estimate_bps;
    return vs->config.cc.max_bps > 0 ? report_control_bps(&vs->reports) : 0;
}

void video_sender_new_path(struct video_sender *vs)
{
    const struct cc_config *c = &vs->config.cc;
    if (vs->control)
        send_control_new_path(vs->control, c);
    report_control_init(&vs->reports, c->start_bps, c->min_bps, c->max_bps);
}

int64_t video_sender_media_bps(const struct video_sender *vs, int64_t now_us)
{
    int64_t bps = video_sender_estimate_bps(vs);
    int64_t media = bps - rate_meter_bps(&vs->extra, now_us, EXTRA_WINDOW_US);
    return media > bps / 5 * 2 ? media : bps / 5 * 2;
}

void video_sender_set_pacing(struct video_sender *vs, int64_t bps)
{
    pacer_set_rate(&vs->pacer, bps);
}

void video_sender_get_stats(const struct video_sender *vs, int64_t now_us,
                            struct video_sender_stats *out)
{
    *out = vs->stats;
    out->queue_us = video_sender_queue_us(vs, now_us);
    out->estimate_bps = video_sender_estimate_bps(vs);
    out->path_queue_us = vs->control ? vs->control->cc->queue_us : 0;
}
