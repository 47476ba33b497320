#include "rtp/video_sender.h"

#include "cc/pacer.h"
#include "rtp/carrier_pack.h"
#include "rtp/h265_pack.h"
#include "rtp/history.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"
#include "rtp/rtx.h"
#include "rtp/send_control.h"

#include <stdlib.h>
#include <string.h>

enum {
    HISTORY_PACKETS = 512, HISTORY_MAX = 16384,
    HISTORY_US = 1000000,       /* and at least three RTTs */
    RESEND_MAX = 2048,          /* a power of two; what does not fit is asked for again */
    UNKNOWN_RTT_US = 5000,      /* less than any receiver waits before it asks again */
    TAIL_PROBES = 3, TAIL_PROBE_US = 60000, /* and each three times later than the one before */
    RTCP_INTERVAL_US = 1000000,
    MIN_PAYLOAD = 64,
    CONTENT_SCREENSHARE = 1,
    PADDING_SEARCH = 64, PADDING_PAYLOAD = 400, /* packets back; bytes that are worth repeating */
    PADDING_BYTES = 255,        /* RFC 3550 section 5.1: one byte counts them */
};

struct waiting_au {
    struct access_unit *au; /* a reference */
    uint32_t rtp_ts;
    uint64_t capture_ntp;
    int64_t bytes; /* that it will still take, about */
};

struct video_sender {
    struct video_sender_config config;
    struct rtp_ext_layout layout;
    size_t max_payload;
    struct pacer pacer;
    struct history *history; /* owns */
    struct send_control *control; /* owns; NULL: no transport-wide feedback */
    bool in_probe;           /* the packet that is being made is one of a cluster */
    unsigned padding_back;   /* packets back from the last one: what is repeated next */

    struct waiting_au *waiting; /* owns; a ring of waiting_cap, a power of two */
    size_t waiting_cap, waiting_first, waiting_n;
    union { /* of the first that waits, once begun; which one, config.payload says */
        struct h265_packer h265;
        struct carrier_packer carrier;
    } packer;
    uint32_t next_frame; /* of the carrier */
    bool begun;

    uint16_t resend[RESEND_MAX]; /* a ring of sequence numbers */
    unsigned resend_first, resend_n;

    uint16_t next_seq, next_rtx_seq, next_twcc;
    /* When the last packet before a pause is lost, nothing tells the receiver so, and a still
     * screen pauses for long: the last packet is sent again a few times. */
    int64_t probe_us; /* INT64_MAX: none */
    int probes;
    /* The clock of the media: what the last access unit said. */
    bool any_au;
    int64_t last_pts_us, last_capture_us;
    uint32_t last_rtp_ts, ts_offset;

    bool any_packet;
    int64_t rtcp_next_us;
    uint32_t sr_packets, sr_octets; /* of the media SSRC */
    bool fir_seen;
    uint8_t fir_seq;
    bool reporter_known;
    uint32_t reporter; /* who sends reports about our stream */
    struct video_sender_stats stats;

    size_t scratch_cap;
    uint8_t scratch[]; /* the packet that poll gave out */
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
    if (c->max_packet > 65000 || c->max_packet < layout.header_len + MIN_PAYLOAD)
        return NULL;
    size_t scratch_cap = c->max_packet + RTX_OSN_LEN + PADDING_BYTES;
    struct video_sender *vs = calloc(1, sizeof *vs + scratch_cap);
    if (!vs)
        return NULL;
    vs->scratch_cap = scratch_cap;
    vs->config = *c;
    vs->layout = layout;
    vs->max_payload = c->max_packet - layout.header_len;
    vs->history = history_new(HISTORY_PACKETS, HISTORY_MAX);
    if (c->ext.twcc && c->cc.max_bps > 0)
        vs->control = send_control_new(&cc_gcc, &c->cc);
    if (!vs->history || (c->ext.twcc && c->cc.max_bps > 0 && !vs->control)) {
        history_free(&vs->history);
        free(vs);
        return NULL;
    }
    pacer_init(&vs->pacer, c->pacing_bps, c->max_burst_bytes);
    vs->next_seq = c->first_seq;
    vs->next_rtx_seq = c->first_rtx_seq;
    vs->ts_offset = c->rtp_ts_offset;
    vs->rtcp_next_us = vs->probe_us = INT64_MAX;
    return vs;
}

static struct waiting_au *head(struct video_sender *vs)
{
    return vs->waiting_n ? &vs->waiting[vs->waiting_first] : NULL;
}

static void pop_head(struct video_sender *vs)
{
    struct waiting_au *h = head(vs);
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
        pop_head(vs);
    free(vs->waiting);
    history_free(&vs->history);
    send_control_free(&vs->control);
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

static uint32_t ticks(int64_t us) { return (uint32_t)(uint64_t)(us * 9 / 100); }

/* pts_us * 9 / 100 + offset, but always after the last one: two access units with one timestamp
 * would be one to a receiver (a refinement of a still picture may have its pts), and a source that
 * starts again may go back. */
static uint32_t timestamp_of(struct video_sender *vs, int64_t pts_us, int64_t capture_us)
{
    uint32_t ts = ticks(pts_us) + vs->ts_offset;
    if (!vs->any_au || ts32_after(ts, vs->last_rtp_ts))
        return ts;
    if (vs->last_pts_us - pts_us < 1000000)
        return vs->last_rtp_ts + 1;
    int64_t since_us = capture_us - vs->last_capture_us;
    uint32_t next = vs->last_rtp_ts + (since_us > 0 && since_us < 60000000 ? ticks(since_us) : 0) + 1;
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
    vs->any_au = true;
    vs->last_pts_us = au->pts_us;
    vs->last_capture_us = capture_us;
    vs->last_rtp_ts = w->rtp_ts;
    return true;
}

static void write_values(const struct video_sender *vs, uint8_t *packet, uint16_t twcc,
                         uint32_t send_time, uint64_t capture_ntp)
{
    const struct rtp_ext_ids *id = &vs->config.ext;
    const struct rtp_ext_layout *l = &vs->layout;
    uint8_t *p;
    if ((p = rtp_ext_value(l, packet, id->mid)))
        memcpy(p, vs->config.mid, strlen(vs->config.mid));
    if ((p = rtp_ext_value(l, packet, id->twcc)))
        wr_be16(p, twcc);
    if ((p = rtp_ext_value(l, packet, id->abs_send_time)))
        wr_be24(p, send_time);
    if ((p = rtp_ext_value(l, packet, id->abs_capture_time)))
        wr_be64(p, capture_ntp);
    if ((p = rtp_ext_value(l, packet, id->playout_delay)))
        wr_be24(p, 0); /* min and max 0: as soon as possible */
    if ((p = rtp_ext_value(l, packet, id->content_type)))
        p[0] = CONTENT_SCREENSHARE;
}

static uint16_t next_twcc(struct video_sender *vs, size_t bytes, int64_t now_us)
{
    if (!vs->control)
        return vs->next_twcc++;
    return send_control_sent(vs->control, bytes, vs->in_probe, now_us);
}

/* Builds the packet of e in the scratch buffer and accounts for it. */
static void give(struct video_sender *vs, struct history_entry *e, uint16_t seq, bool again,
                 int64_t now_us, struct rtp_packet *out)
{
    const struct video_sender_config *c = &vs->config;
    bool rtx = again && c->rtx_pt != 0;
    uint16_t twcc = e->twcc;
    uint32_t send_time = e->abs_send_time;
    /* Without RTX a resend has the SRTP index of the original, and with it AES-GCM's nonce: other
     * bytes under the same nonce would give the key away (RFC 7714 section 8.3). */
    if (rtx || !again) {
        twcc = next_twcc(vs, vs->layout.header_len + (rtx ? RTX_OSN_LEN : 0) + e->payload.size,
                         now_us);
        send_time = abs_send_time(now_us);
    }
    if (!again) {
        e->twcc = twcc;
        e->abs_send_time = send_time;
    }
    uint8_t *p = vs->scratch, *payload = p + vs->layout.header_len;
    rtp_write_header(p, &vs->layout, rtx ? c->rtx_pt : c->pt, e->payload.last,
                     rtx ? vs->next_rtx_seq++ : seq, e->rtp_ts, rtx ? c->rtx_ssrc : c->ssrc);
    write_values(vs, p, twcc, send_time, e->capture_ntp);
    if (rtx) {
        rtx_write_osn(payload, seq);
        payload += RTX_OSN_LEN;
    }
    if (e->payload.kind == H265_CARRIER)
        carrier_write_payload(e->au, &e->payload, e->capture_ntp, payload);
    else
        h265_write_payload(e->au, &e->payload, payload);

    out->data = p;
    out->len = (size_t)(payload - p) + e->payload.size;
    out->pic_id = e->au->pic_id;
    out->retransmission = again;
    out->last_of_au = e->payload.last && !again;
    pacer_sent(&vs->pacer, out->len);
    vs->stats.packets_sent++;
    vs->stats.bytes_sent += (int64_t)out->len;
    if (again)
        vs->stats.packets_retransmitted++;
    if (!rtx) {
        vs->sr_packets++;
        vs->sr_octets += e->payload.size;
    }
    if (!vs->any_packet) {
        vs->any_packet = true;
        vs->rtcp_next_us = now_us;
    }
}

/* The next packet of w, the first that waits; false: all of it was given. */
static bool next_payload(struct video_sender *vs, const struct waiting_au *w,
                         struct h265_payload *out)
{
    bool carrier = vs->config.payload == VIDEO_PAYLOAD_VP8_CARRIER;
    if (!vs->begun && carrier)
        carrier_packer_start(&vs->packer.carrier, w->au, vs->next_frame++, vs->max_payload);
    else if (!vs->begun)
        h265_packer_start(&vs->packer.h265, w->au, vs->max_payload, vs->config.aggregate);
    vs->begun = true;
    return carrier ? carrier_packer_next(&vs->packer.carrier, out)
                   : h265_packer_next(&vs->packer.h265, out);
}

/* After the last packet, and after each probe. */
static void plan_probe(struct video_sender *vs, int64_t now_us)
{
    static const int64_t delay_us[TAIL_PROBES] = {TAIL_PROBE_US, 3 * TAIL_PROBE_US,
                                                  9 * TAIL_PROBE_US};
    vs->probe_us = vs->probes < TAIL_PROBES ? now_us + delay_us[vs->probes] : INT64_MAX;
}

static bool give_probe(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    uint16_t seq = (uint16_t)(vs->next_seq - 1);
    struct history_entry *e = history_find(vs->history, seq);
    vs->probes++;
    plan_probe(vs, now_us);
    if (!e)
        return false;
    e->resent_us = now_us;
    give(vs, e, seq, true, now_us, out);
    return true;
}

static bool give_resend(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    while (vs->resend_n > 0) {
        uint16_t seq = vs->resend[vs->resend_first];
        vs->resend_first = (vs->resend_first + 1) & (RESEND_MAX - 1);
        vs->resend_n--;
        struct history_entry *e = history_find(vs->history, seq);
        if (!e || !e->resend_waits) {
            vs->stats.nack_not_found++;
            continue;
        }
        e->resend_waits = false;
        e->resent_us = now_us;
        give(vs, e, seq, true, now_us, out);
        return true;
    }
    return false;
}

static int64_t keep_us(const struct video_sender *vs)
{
    return 3 * vs->stats.rtt_us > HISTORY_US ? 3 * vs->stats.rtt_us : HISTORY_US;
}

static bool give_next(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    struct waiting_au *w;
    struct h265_payload payload;
    while ((w = head(vs))) {
        if (!next_payload(vs, w, &payload)) {
            pop_head(vs); /* nothing of it is to be sent */
            continue;
        }
        uint16_t seq = vs->next_seq++;
        struct history_entry *e = history_add(vs->history, seq, w->au, now_us, keep_us(vs));
        e->payload = payload;
        e->rtp_ts = w->rtp_ts;
        e->capture_ntp = w->capture_ntp;
        give(vs, e, seq, false, now_us, out);
        int64_t done = (int64_t)out->len < w->bytes ? (int64_t)out->len : w->bytes;
        w->bytes -= done;
        vs->stats.queue_bytes -= done;
        if (payload.last)
            pop_head(vs);
        vs->probes = 0;
        plan_probe(vs, now_us);
        return true;
    }
    return false;
}

/* An RTX packet of nothing but padding. */
static void give_empty(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    const struct video_sender_config *c = &vs->config;
    uint8_t *p = vs->scratch;
    size_t len = vs->layout.header_len + PADDING_BYTES;
    rtp_write_header(p, &vs->layout, c->rtx_pt, false, vs->next_rtx_seq++, vs->last_rtp_ts,
                     c->rtx_ssrc);
    write_values(vs, p, next_twcc(vs, len, now_us), abs_send_time(now_us), 0);
    p[0] |= 0x20;
    memset(p + vs->layout.header_len, 0, PADDING_BYTES);
    p[len - 1] = PADDING_BYTES;
    *out = (struct rtp_packet){.data = p, .len = len, .retransmission = true};
    pacer_sent(&vs->pacer, len);
    vs->stats.packets_sent++;
    vs->stats.bytes_sent += (int64_t)len;
}

/* Something that need not be sent, for a probe: the last packets once more, if they are large. */
static void give_padding(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    vs->stats.packets_padding++;
    for (int i = 0; i < PADDING_SEARCH; i++) {
        uint16_t seq = (uint16_t)(vs->next_seq - 1 - vs->padding_back);
        struct history_entry *e = history_find(vs->history, seq);
        vs->padding_back = (vs->padding_back + 1) % PADDING_SEARCH;
        if (e && e->payload.size >= PADDING_PAYLOAD) {
            give(vs, e, seq, true, now_us, out);
            vs->stats.packets_retransmitted--;
            return;
        }
    }
    give_empty(vs, now_us, out);
}

/* The next packet of a cluster, when one is due. */
static bool give_cluster(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    if (now_us < send_control_probe_us(vs->control))
        return false;
    vs->in_probe = true;
    /* A resend without RTX has no transport-wide number of its own: it is no part of a cluster. */
    bool given = (vs->config.rtx_pt && give_resend(vs, now_us, out)) || give_next(vs, now_us, out);
    if (!given && vs->config.rtx_pt && vs->any_packet) {
        give_padding(vs, now_us, out);
        given = true;
    }
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

bool video_sender_poll(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    if (controlled(vs)) {
        send_control_poll(vs->control, now_us);
        pacer_set_rate(&vs->pacer, vs->control->deaf ? vs->config.pacing_bps
                                                     : vs->control->cc->pacing_bps);
        if (give_cluster(vs, now_us, out))
            return true;
        if (vs->control->probe.id) /* nothing else goes between its packets: it would be measured */
            return false;
    }
    bool waits = vs->resend_n > 0 || vs->waiting_n > 0;
    if (!waits && now_us < vs->probe_us)
        return false;
    if (waits && vs->control && !send_control_open(vs->control))
        return false;
    if (!pacer_allows(&vs->pacer, vs->config.max_packet, now_us))
        return false;
    if (!waits)
        return give_probe(vs, now_us, out);
    return give_resend(vs, now_us, out) || give_next(vs, now_us, out);
}

int64_t video_sender_next_us(const struct video_sender *vs)
{
    bool waits = vs->resend_n > 0 || vs->waiting_n > 0;
    int64_t next = waits ? pacer_next_us(&vs->pacer, vs->config.max_packet) : vs->probe_us;
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
    for (struct waiting_au *w; (w = head(vs)); pop_head(vs)) {
        while (next_payload(vs, w, &payload))
            purged++;
    }
    vs->probe_us = INT64_MAX;
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
    return vs->control && !vs->control->deaf ? vs->control->cc->estimate_bps : 0;
}

void video_sender_set_pacing(struct video_sender *vs, int64_t bps)
{
    pacer_set_rate(&vs->pacer, bps);
}

static void on_report(struct video_sender *vs, const struct rtcp_report *r, uint64_t now_ntp)
{
    vs->stats.loss_ratio = r->fraction_lost / 256.0;
    if (r->lsr == 0)
        return;
    /* RFC 3550 section 6.4.1, in units of 1/65536 s. */
    int32_t rtt = (int32_t)(ntp_mid(now_ntp) - r->lsr - r->dlsr);
    if (rtt < 0 || rtt > 60 * 65536) /* rounding, a clock that was set, or nonsense */
        return;
    int64_t rtt_us = (int64_t)rtt * 1000000 / 65536;
    rtt_us = rtt_us > 0 ? rtt_us : 1;
    int64_t *smoothed = &vs->stats.rtt_us;
    *smoothed = *smoothed ? (7 * *smoothed + rtt_us) / 8 : rtt_us;
}

static void ask_resend(struct video_sender *vs, uint16_t seq, int64_t now_us)
{
    struct history_entry *e = history_find(vs->history, seq);
    if (!e) {
        vs->stats.nack_not_found++;
        return;
    }
    int64_t rtt = vs->stats.rtt_us ? vs->stats.rtt_us : UNKNOWN_RTT_US;
    /* It is on its way: a NACK that left before it arrived says nothing. */
    if (e->resend_waits || (e->resent_us && now_us - e->resent_us < rtt))
        return;
    if (vs->resend_n == RESEND_MAX)
        return;
    e->resend_waits = true;
    vs->resend[(vs->resend_first + vs->resend_n++) & (RESEND_MAX - 1)] = seq;
}

static void on_nack(struct video_sender *vs, const struct rtcp_packet *p, int64_t now_us,
                    struct rtcp_events *out)
{
    uint16_t pid, blp;
    unsigned before = vs->resend_n;
    vs->stats.nacks_received++;
    for (int i = 0; rtcp_nack(p, i, &pid, &blp); i++) {
        ask_resend(vs, pid, now_us);
        for (int bit = 0; bit < 16; bit++)
            if (blp >> bit & 1)
                ask_resend(vs, (uint16_t)(pid + 1 + bit), now_us);
    }
    out->nack |= vs->resend_n > before;
}

static void on_packet(struct video_sender *vs, const struct rtcp_packet *p, int64_t now_us,
                      uint64_t now_ntp, struct rtcp_events *out)
{
    struct rtcp_report report;
    uint32_t ssrc = vs->config.ssrc, media = rtcp_media_ssrc(p);
    uint8_t fir_seq;
    switch (p->type) {
    case RTCP_SR:
    case RTCP_RR:
        for (int i = 0; rtcp_report(p, i, &report); i++) {
            if (report.ssrc != ssrc)
                continue;
            vs->reporter_known = true;
            vs->reporter = rd_be32(p->body);
            on_report(vs, &report, now_ntp);
        }
        break;
    case RTCP_BYE:
        out->bye |= p->count > 0 && (!vs->reporter_known || rtcp_bye_has(p, vs->reporter));
        break;
    case RTCP_RTPFB:
        if (p->count == RTPFB_NACK && media == ssrc)
            on_nack(vs, p, now_us, out);
        /* Of the whole transport: its media SSRC is any of ours. */
        if (p->count == RTPFB_TWCC && vs->control)
            out->feedback |= send_control_feedback(vs->control, p, now_us);
        break;
    case RTCP_PSFB:
        if (p->count == PSFB_PLI && media == ssrc)
            out->key_wanted = true;
        if (rtcp_fir(p, ssrc, &fir_seq)) {
            out->key_wanted |= !vs->fir_seen || fir_seq != vs->fir_seq;
            vs->fir_seen = true;
            vs->fir_seq = fir_seq;
        }
        rtcp_remb(p, &out->remb_bps);
        break;
    }
}

void video_sender_on_rtcp(struct video_sender *vs, const uint8_t *data, size_t len, int64_t now_us,
                          uint64_t now_ntp, struct rtcp_events *out)
{
    memset(out, 0, sizeof *out);
    struct byte_reader r = byte_reader_of(data, len);
    struct rtcp_packet p;
    int more;
    while ((more = rtcp_next(&r, &p)) > 0)
        on_packet(vs, &p, now_us, now_ntp, out);
    if (more < 0 || len == 0)
        vs->stats.rtcp_malformed++;
}

static void write_report(const struct video_sender *vs, int64_t now_us, uint64_t now_ntp,
                         struct byte_writer *w)
{
    struct rtcp_sender_info info = {
        .ssrc = vs->config.ssrc,
        .ntp = now_ntp,
        .rtp_ts = vs->last_rtp_ts + ticks(now_us - vs->last_capture_us),
        .packets = vs->sr_packets,
        .octets = vs->sr_octets,
    };
    rtcp_write_sr(w, &info);
    rtcp_write_sdes(w, vs->config.ssrc, vs->config.cname);
}

size_t video_sender_rtcp(struct video_sender *vs, int64_t now_us, uint64_t now_ntp, uint8_t *buf,
                         size_t cap)
{
    if (now_us < vs->rtcp_next_us)
        return 0;
    struct byte_writer w = byte_writer_of(buf, cap);
    write_report(vs, now_us, now_ntp, &w);
    vs->rtcp_next_us = now_us + RTCP_INTERVAL_US;
    return w.failed ? 0 : bw_len(&w);
}

int64_t video_sender_rtcp_next_us(const struct video_sender *vs) { return vs->rtcp_next_us; }

size_t video_sender_bye(struct video_sender *vs, int64_t now_us, uint64_t now_ntp, uint8_t *buf,
                        size_t cap)
{
    const uint32_t ssrc[2] = {vs->config.ssrc, vs->config.rtx_ssrc};
    struct byte_writer w = byte_writer_of(buf, cap);
    if (vs->any_packet)
        write_report(vs, now_us, now_ntp, &w);
    else
        rtcp_write_rr(&w, vs->config.ssrc, NULL, 0);
    rtcp_write_bye(&w, ssrc, vs->config.rtx_pt ? 2 : 1);
    return w.failed ? 0 : bw_len(&w);
}

void video_sender_get_stats(const struct video_sender *vs, int64_t now_us,
                            struct video_sender_stats *out)
{
    *out = vs->stats;
    out->queue_us = video_sender_queue_us(vs, now_us);
    out->estimate_bps = video_sender_estimate_bps(vs);
    out->path_queue_us = vs->control ? vs->control->cc->queue_us : 0;
}
