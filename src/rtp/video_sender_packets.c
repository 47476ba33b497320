/* The packets of a video_sender. */
#include "rtp/video_sender_impl.h"

#include <string.h>

enum {
    HISTORY_US = 1000000,       /* and at least three RTTs */
    TAIL_MIN_US = 10000, UNKNOWN_TAIL_RTT_US = 120000,
    FLOWING_US = 50000, /* access units closer than this: a stream */
    CONTENT_SCREENSHARE = 1,
    PADDING_SEARCH = 64, PADDING_PAYLOAD = 400, /* packets back; bytes that are worth repeating */
};

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

uint16_t next_twcc(struct video_sender *vs, size_t bytes, int64_t now_us)
{
    if (!vs->control)
        return vs->next_twcc++;
    return send_control_sent(vs->control, bytes, vs->in_probe, now_us);
}

/* How a packet goes: AGAIN as what it was, over RTX where there is one; COPY under a number of its
 * own. */
enum how { FIRST, AGAIN, COPY };

static void note_delivery(struct video_sender *vs, const struct history_entry *e, uint16_t seq,
                          enum how how, int64_t now_us)
{
    if (vs->control)
        send_control_carries(vs->control, seq);
    if (how == FIRST)
        delivery_sent(&vs->delivery, e->au, e->payload.last, now_us);
}

void account(struct video_sender *vs, size_t len)
{
    pacer_sent(&vs->pacer, len);
    report_control_sent(&vs->reports, len);
    vs->stats.packets_sent++;
    vs->stats.bytes_sent += (int64_t)len;
}

/* Builds the packet of e in the scratch buffer and accounts for it. */
static void give(struct video_sender *vs, struct history_entry *e, uint16_t seq, enum how how,
                 int64_t now_us, struct rtp_packet *out)
{
    bool again = how == AGAIN;
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
        note_delivery(vs, e, seq, how, now_us);
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
    if (e->payload.kind == H265_CARRIER || e->payload.kind == H265_AUDIO_CARRIER)
        carrier_write_payload(e->au, &e->payload, e->capture_ntp, payload);
    else
        h265_write_payload(e->au, &e->payload, payload);

    out->data = p;
    out->len = (size_t)(payload - p) + e->payload.size;
    out->pic_id = e->au->pic_id;
    out->retransmission = how != FIRST;
    out->last_of_au = e->payload.last && how == FIRST;
    account(vs, out->len);
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
bool next_payload(struct video_sender *vs, const struct waiting_au *w,
                         struct h265_payload *out)
{
    bool carrier = vs->config.payload != VIDEO_PAYLOAD_H265;
    if (!vs->begun && carrier)
        carrier_packer_start(&vs->packer.carrier, w->au, vs->next_frame++, vs->max_payload,
                             vs->audio);
    else if (!vs->begun)
        h265_packer_start(&vs->packer.h265, w->au, vs->max_payload, vs->config.aggregate);
    vs->begun = true;
    return carrier ? carrier_packer_next(&vs->packer.carrier, out)
                   : h265_packer_next(&vs->packer.h265, out);
}

/* Of when it is sent, and another one for each packet: libwebrtc asks for what is missing between
 * two packets only when their timestamps leave it one of its own. */
static uint32_t audio_timestamp(struct video_sender *vs, int64_t now_us)
{
    uint32_t ts = audio_ticks_of(now_us) + vs->ts_offset;
    if (vs->any_packet && !ts32_after(ts, vs->last_audio_ts))
        ts = vs->last_audio_ts + 1;
    return vs->last_audio_ts = ts;
}

static int64_t keep_us(const struct video_sender *vs)
{
    return 3 * vs->stats.rtt_us > HISTORY_US ? 3 * vs->stats.rtt_us : HISTORY_US;
}

/* A packet of the audio carrier that carries what the packet seq does (not one that is a copy
 * itself), or with `empty` nothing that any frame needs. */
static void give_copy(struct video_sender *vs, const struct history_entry *e, uint16_t seq,
                      bool empty, int64_t now_us, struct rtp_packet *out)
{
    struct h265_payload payload = e->payload;
    struct access_unit *au = access_unit_ref(e->au); /* e may have to make room */
    uint64_t capture_ntp = e->capture_ntp;
    uint16_t copy_seq = vs->next_seq++;
    struct history_entry *copy = history_add(vs->history, copy_seq, au, now_us, keep_us(vs));
    access_unit_unref(&au);
    if (empty)
        carrier_empty_payload(&payload, PADDING_BYTES);
    copy->payload = payload;
    copy->payload.last = false;
    copy->rtp_ts = audio_timestamp(vs, now_us);
    copy->capture_ntp = capture_ntp;
    copy->copy = !empty;
    copy->arrived = empty; /* of no interest */
    copy->root = seq;
    struct history_entry *root = root_of(vs, copy);
    if (root)
        root->newest = copy_seq;
    give(vs, copy, copy_seq, COPY, now_us, out);
}

/* The packet seq, not for the first time. */
static void give_again(struct video_sender *vs, struct history_entry *e, uint16_t seq,
                       int64_t now_us, struct rtp_packet *out)
{
    if (!vs->audio)
        give(vs, e, seq, AGAIN, now_us, out);
    else
        give_copy(vs, e, seq, false, now_us, out);
    vs->stats.packets_retransmitted++;
    if (!vs->in_probe)
        rate_meter_add(&vs->extra, now_us, out->len);
}

/* The first probe after half a round trip, each next one after twice as long. In a stream the next
 * access unit will show the loss as well, so time is left for it to come, and for the answer to a
 * NACK: a repeat just after a NACK would look like a short round trip to the receiver. */
static void plan_probe(struct video_sender *vs, int64_t now_us)
{
    struct tail *t = &vs->tail;
    int64_t rtt_us = vs->stats.rtt_us ? vs->stats.rtt_us : UNKNOWN_TAIL_RTT_US;
    int64_t wait_us = rtt_us / 2 > TAIL_MIN_US ? rtt_us / 2 : TAIL_MIN_US;
    if (t->probes == 0 && t->gap_us < FLOWING_US) {
        int64_t next_us = t->gap_us * 3 / 2 + rtt_us * 5 / 4;
        wait_us = wait_us < next_us ? next_us : wait_us;
    }
    t->next_us = t->probes < TAIL_PROBES ? now_us + (wait_us << t->probes) : INT64_MAX;
}

static void note_copy(struct video_sender *vs, uint16_t twcc)
{
    struct tail *t = &vs->tail;
    if (t->copies < TAIL_PROBES + 1)
        t->copy[t->copies++] = twcc;
}

/* e is the last packet that there is, for now. */
static void begin_tail(struct video_sender *vs, const struct history_entry *e, uint16_t seq,
                       int64_t now_us)
{
    vs->tail.seq = seq;
    vs->tail.probes = vs->tail.copies = 0;
    note_copy(vs, e->twcc);
    plan_probe(vs, now_us);
}

void tail_acknowledge(struct video_sender *vs, const struct rtcp_report *report)
{
    struct tail *t = &vs->tail;
    bool acknowledged = false;
    if (t->next_us == INT64_MAX || vs->waiting_n > 0)
        return;
    for (int i = 0; vs->control && i < t->copies; i++)
        acknowledged |= send_control_received(vs->control, t->copy[i]);
    /* "Highest" tells of the media stream's own packets: of resends too, where there is no RTX. */
    if (report)
        acknowledged |= !seq16_after(t->seq, (uint16_t)report->highest_seq);
    if (acknowledged)
        t->next_us = INT64_MAX;
}

bool give_probe(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    uint16_t seq = vs->tail.seq;
    struct history_entry *e = history_find(vs->history, seq);
    vs->tail.probes++;
    plan_probe(vs, now_us);
    if (!e)
        return false;
    e->resent_us = now_us;
    if (can_pad(vs))
        note_copy(vs, (uint16_t)(vs->control ? vs->control->next : vs->next_twcc));
    give_again(vs, e, seq, now_us, out);
    return true;
}

/* The copy goes later than a burst of losses is long. */
static void plan_again(struct video_sender *vs, uint16_t seq, int64_t now_us)
{
    if (!vs->fec.plan.twice || !can_pad(vs) || vs->again_n == AGAIN_MAX)
        return;
    unsigned i = (vs->again_first + vs->again_n++) & (AGAIN_MAX - 1);
    vs->again[i].seq = seq;
    vs->again[i].due_us = now_us + vs->fec.plan.again_us;
}

static bool give_twice(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    while (resend_again_us(vs) <= now_us) {
        uint16_t seq = vs->again[vs->again_first].seq;
        vs->again_first = (vs->again_first + 1) & (AGAIN_MAX - 1);
        vs->again_n--;
        struct history_entry *e = history_find(vs->history, seq);
        if (!e || e->resend_waits || (vs->audio && e->arrived))
            continue;
        give_again(vs, e, seq, now_us, out);
        return true;
    }
    return false;
}

bool give_resend(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
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
        give_again(vs, e, seq, now_us, out);
        plan_again(vs, seq, now_us);
        return true;
    }
    return give_twice(vs, now_us, out);
}

bool give_next(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    struct waiting_au *w;
    struct h265_payload payload;
    while ((w = waiting_head(vs))) {
        if (!next_payload(vs, w, &payload)) {
            waiting_pop(vs); /* nothing of it is to be sent */
            continue;
        }
        uint16_t seq = vs->next_seq++;
        struct history_entry *e = history_add(vs->history, seq, w->au, now_us, keep_us(vs));
        e->payload = payload;
        e->newest = seq;
        e->rtp_ts = vs->audio ? audio_timestamp(vs, now_us) : w->rtp_ts;
        e->capture_ntp = w->capture_ntp;
        give(vs, e, seq, FIRST, now_us, out);
        sender_fec_media(vs, out->data, out->len, payload.last, now_us);
        int64_t done = (int64_t)out->len < w->bytes ? (int64_t)out->len : w->bytes;
        w->bytes -= done;
        vs->stats.queue_bytes -= done;
        if (payload.last)
            waiting_pop(vs);
        begin_tail(vs, e, seq, now_us);
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
    account(vs, len);
}

/* Something that need not be sent, for a probe: the last packets once more, if they are large. */
bool give_padding(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    vs->stats.packets_padding++;
    for (int i = 0; i < PADDING_SEARCH; i++) {
        uint16_t seq = (uint16_t)(vs->next_seq - 1 - vs->padding_back);
        struct history_entry *e = history_find(vs->history, seq);
        vs->padding_back = (vs->padding_back + 1) % PADDING_SEARCH;
        if (!e || e->copy || e->payload.size < PADDING_PAYLOAD)
            continue;
        give_again(vs, e, seq, now_us, out);
        vs->stats.packets_retransmitted--;
        return true;
    }
    if (!vs->audio) {
        give_empty(vs, now_us, out);
        return true;
    }
    struct history_entry *e = history_find(vs->history, (uint16_t)(vs->next_seq - 1));
    if (e)
        give_copy(vs, e, 0, true, now_us, out);
    return e != NULL;
}
