#include "jitter/video_receiver_state.h"

#include "rtp/packet.h"
#include "rtp/rtx.h"

#include <stdlib.h>
#include <string.h>

enum {
    START_HOLD_US = 10000,      /* the first packets may come in the wrong order, too */
    MAX_DROPOUT = 3000,         /* RFC 3550 A.1: a larger jump needs two packets to be believed */
    NACK_REPEAT_US = 15000,
    OLD_SSRC_US = 2000000,      /* stragglers of a sender that started again */
    EARLY_ANSWERS = 8,          /* in a row: the path has become shorter */
};

void video_receiver_default_config(struct video_receiver_config *c)
{
    memset(c, 0, sizeof *c);
    c->initial_rtt_us = 50000;
    c->give_up_us = 1000000;
    c->playout_max_us = 200000;
}

/* A NACK that is lost costs a round trip, so it goes twice; a sender of ours, who speaks FEC, sends
 * nothing twice for that. */
static void forget_missing(struct video_receiver *vr)
{
    nack_list_init(&vr->missing, vr->config.fec_pt ? NACK_REPEAT_US : 0);
}

struct video_receiver *video_receiver_new(const struct video_receiver_config *c)
{
    struct video_receiver *vr = calloc(1, sizeof *vr);
    if (!vr)
        return NULL;
    vr->config = *c;
    vr->rr_next_us = INT64_MAX;
    vr->key_asked_us = vr->key_progress_us = vr->rpsi_us = INT64_MIN;
    forget_missing(vr);
    reorder_init(&vr->reorder, !c->nack);
    twcc_recorder_init(&vr->transport);
    remb_estimator_init(&vr->remb);
    vr->fec = c->fec_pt ? fec_decoder_new() : NULL;
    if ((c->fec_pt && !vr->fec) || !frame_assembly_init(&vr->frames)) {
        fec_decoder_free(&vr->fec);
        free(vr);
        return NULL;
    }
    playout_init(&vr->frames.playout, c->playout_min_us, c->playout_max_us);
    return vr;
}

void video_receiver_free(struct video_receiver **pvr)
{
    struct video_receiver *vr = *pvr;
    *pvr = NULL;
    if (!vr)
        return;
    frame_assembly_clear(&vr->frames);
    packet_ring_free_slots(&vr->ring);
    fec_decoder_free(&vr->fec);
    free(vr);
}

static void feed(struct video_receiver *vr, const struct media_packet *p, int64_t now_us)
{
    frame_assembly_packet(&vr->frames, p, now_us);
    vr->expected = p->seq + 1;
}

/* Feeds what waits in the ring without a gap. */
static void feed_waiting(struct video_receiver *vr, int64_t now_us)
{
    const struct media_packet *p;
    while ((p = packet_ring_get(&vr->ring, vr->expected))) {
        int64_t seq = p->seq;
        feed(vr, p, now_us);
        packet_ring_drop(&vr->ring, seq);
    }
}

/* The packet that is waited for will not come. */
static void give_up_head(struct video_receiver *vr, int64_t now_us)
{
    struct nack_entry *e = nack_list_find(&vr->missing, vr->expected);
    if (e->tries == 0) /* the others were counted when they were asked for */
        vr->stats.packets_lost++;
    nack_list_filled(&vr->missing, e, true); /* if it comes yet, it was given up too early */
    frame_assembly_gap(&vr->frames);
    vr->expected++;
    feed_waiting(vr, now_us);
}

/* While only an IRAP helps, what is missing before one is not worth waiting for. */
static void skip_to_key(struct video_receiver *vr, int64_t now_us)
{
    while (vr->frames.need_key && vr->ring.key_starts > 0 && vr->expected <= vr->highest &&
           !frame_assembly_in_key(&vr->frames)) {
        int64_t seq = vr->expected;
        for (; seq <= vr->highest; seq++) {
            const struct media_packet *p = packet_ring_get(&vr->ring, seq);
            if (p && p->key_start)
                break;
            if (p)
                packet_ring_drop(&vr->ring, seq);
        }
        nack_list_remove_before(&vr->missing, seq);
        frame_assembly_skip_to_key(&vr->frames);
        vr->expected = seq;
        feed_waiting(vr, now_us);
    }
}

/* Before the packet some are missing; with it begins a picture that does without them. */
static void resume_at(struct video_receiver *vr, int64_t seq, int64_t now_us)
{
    for (int64_t s = vr->expected; s < seq; s++)
        if (packet_ring_get(&vr->ring, s))
            packet_ring_drop(&vr->ring, s);
    nack_list_remove_before(&vr->missing, seq);
    frame_assembly_resume(&vr->frames);
    vr->expected = seq;
    feed_waiting(vr, now_us);
}

int64_t video_receiver_head_expires_us(const struct video_receiver *vr)
{
    const struct nack_entry *e = nack_list_first(&vr->missing);
    if (!e)
        return INT64_MAX;
    if (!vr->config.nack)
        return e->missing_us + vr->missing.margin_us;
    int64_t last = e->missing_us + vr->config.give_up_us;
    int64_t tried = e->asked_us + video_receiver_retry_us(vr);
    return e->tries >= NACK_TRIES && tried < last ? tried : last;
}

static bool head_expired(const struct video_receiver *vr, int64_t now_us)
{
    const struct nack_entry *e = nack_list_first(&vr->missing);
    if (!e)
        return false;
    if (!vr->config.nack)
        return nack_entry_overdue(&vr->missing, e, vr->highest, now_us);
    return now_us >= video_receiver_head_expires_us(vr);
}

/* Enough came, or it took long enough: the lowest packet is where the stream begins. */
static void end_hold(struct video_receiver *vr, int64_t now_us)
{
    vr->holding = false;
    for (int64_t seq = vr->expected; seq <= vr->highest; seq++)
        if (!packet_ring_get(&vr->ring, seq))
            nack_list_add(&vr->missing, seq, now_us);
    feed_waiting(vr, now_us);
}

/* What time alone brings about. */
void video_receiver_tick(struct video_receiver *vr, int64_t now_us)
{
    if (vr->holding && now_us >= vr->hold_until_us)
        end_hold(vr, now_us);
    skip_to_key(vr, now_us);
    while (head_expired(vr, now_us)) {
        give_up_head(vr, now_us);
        skip_to_key(vr, now_us);
    }
}

static void restart(struct video_receiver *vr, const struct media_packet *p)
{
    packet_ring_clear(&vr->ring);
    forget_missing(vr);
    if (vr->started)
        frame_assembly_restart(&vr->frames);
    vr->expected = vr->highest = p->seq;
    vr->holding = true;
    vr->hold_until_us = p->arrival_us + START_HOLD_US;
    vr->jump_seen = false;
    vr->key_asked_us = vr->key_progress_us = INT64_MIN;
    vr->key_tries = 0;
}

/* Above all that were seen: what is between is missing. */
static void advance(struct video_receiver *vr, int64_t seq, int64_t now_us)
{
    while (seq - vr->expected >= NACK_LIST_MAX && nack_list_first(&vr->missing))
        give_up_head(vr, now_us);
    if (seq - vr->expected >= NACK_LIST_MAX) { /* more are gone than could be kept in order */
        vr->stats.packets_lost += seq - vr->expected;
        frame_assembly_gap(&vr->frames);
        vr->expected = seq;
        vr->highest = seq - 1;
    }
    for (int64_t s = vr->highest + 1; s < seq; s++)
        nack_list_add(&vr->missing, s, now_us);
    vr->highest = seq;
}

/* A packet came as it was sent, after later ones: how long is one to be waited for? */
static void note_late(struct video_receiver *vr, const struct media_packet *p, int64_t missing_us)
{
    reorder_late(&vr->reorder, p->arrival_us - missing_us, vr->highest - p->seq);
}

/* Is it the answer to a NACK? Without RTX that looks like the packet itself, but takes its time. */
static bool is_answer(const struct video_receiver *vr, const struct nack_entry *e,
                      const struct media_packet *p)
{
    if (e->tries == 0 || p->origin == PACKET_FEC)
        return false;
    if (p->origin == PACKET_RTX)
        return true;
    return vr->config.rtx_pt == 0 && p->arrival_us - e->asked_us >= video_receiver_retry_us(vr) / 2;
}

/* Karn: only what was asked for once tells when the answer was to which request. But while nothing
 * is known, and the assumed round trip is too short, all is asked for twice: then the time since
 * the first request counts. A sender repeats packets unasked too, to probe the path or for their
 * tail: one that comes far too early is no answer, unless all do. */
static void note_round_trip(struct video_receiver *vr, const struct nack_entry *e, int64_t now_us)
{
    int64_t *rtt = &vr->stats.rtt_us, sample = now_us - e->asked_us;
    if (*rtt == 0) {
        *rtt = e->tries == 1 ? sample : now_us - e->missing_us;
        return;
    }
    if (e->tries != 1)
        return;
    if (sample < *rtt / 2 && ++vr->early_answers < EARLY_ANSWERS)
        return;
    vr->early_answers = 0;
    *rtt = (7 * *rtt + sample) / 8;
}

/* A packet that fills a gap. false: it is not missing, so it is here or was given up. */
static bool fill(struct video_receiver *vr, const struct media_packet *p)
{
    struct nack_entry *e = nack_list_find(&vr->missing, p->seq);
    int64_t missing_us;
    if (!e) {
        if (p->origin == PACKET_SENT &&
            nack_list_repaired_before(&vr->missing, p->seq, &missing_us))
            note_late(vr, p, missing_us);
        return false;
    }
    bool answer = is_answer(vr, e, p);
    if (e->tries > 0 || p->origin == PACKET_FEC)
        vr->stats.packets_recovered++;
    if (e->tries == 0 && p->origin == PACKET_FEC)
        vr->stats.packets_lost++; /* else counted when it was asked for */
    if (answer)
        note_round_trip(vr, e, p->arrival_us);
    if (!answer && p->origin == PACKET_SENT)
        note_late(vr, p, e->missing_us);
    nack_list_filled(&vr->missing, e, p->origin != PACKET_SENT);
    return true;
}

static void hold(struct video_receiver *vr, const struct media_packet *p)
{
    int64_t low = p->seq < vr->expected ? p->seq : vr->expected;
    int64_t high = p->seq > vr->highest ? p->seq : vr->highest;
    if (packet_ring_get(&vr->ring, p->seq) || high - low >= RING_PACKETS) {
        vr->stats.packets_duplicate++;
        return;
    }
    packet_ring_store(&vr->ring, p); /* if not: it is missing, and asked for */
    vr->expected = low;
    vr->highest = high;
}

static void note_progress(struct video_receiver *vr, uint32_t ts, int64_t now_us)
{
    if (frame_assembly_in_key(&vr->frames) && ts == vr->frames.ts)
        vr->key_progress_us = now_us;
}

static void take_packet(struct video_receiver *vr, const struct media_packet *p)
{
    int64_t now_us = p->arrival_us;
    if (p->origin == PACKET_SENT)
        reorder_packet(&vr->reorder, now_us);
    if (vr->holding) {
        hold(vr, p);
        const struct media_packet *low = packet_ring_get(&vr->ring, vr->expected);
        if (low && low->key_start)
            end_hold(vr, now_us);
        note_progress(vr, p->ts, now_us);
        return;
    }
    if (p->seq > vr->highest) {
        advance(vr, p->seq, now_us);
    } else if (!fill(vr, p)) {
        vr->stats.packets_duplicate++;
        return;
    }
    vr->missing.margin_us = vr->reorder.margin_us;
    vr->missing.margin_packets = vr->reorder.margin_packets;
    if (p->seq == vr->expected) {
        feed(vr, p, now_us);
        feed_waiting(vr, now_us);
    } else if (!packet_ring_store(&vr->ring, p)) {
        /* More than 8 MiB wait: start anew from here. */
        restart(vr, p);
        hold(vr, p);
    } else if (nack_list_first(&vr->missing) && frame_assembly_could_resume(&vr->frames, p)) {
        resume_at(vr, p->seq, now_us);
    }
    note_progress(vr, p->ts, now_us);
}

enum { SEQ_NEAR, SEQ_JUMP, SEQ_UNLIKELY };

/* RFC 3550 A.1: a sequence number far off is believed when the next one follows it. */
static int judge_seq(struct video_receiver *vr, uint16_t seq, bool repaired)
{
    int diff = (int16_t)(seq - (uint16_t)vr->highest);
    bool near = diff <= MAX_DROPOUT && diff > -2 * MAX_DROPOUT;
    if (repaired) /* says nothing about where the stream is */
        return near ? SEQ_NEAR : SEQ_UNLIKELY;
    bool confirmed = !near && vr->jump_seen && seq == vr->jump_next;
    vr->jump_seen = !near;
    vr->jump_next = (uint16_t)(seq + 1);
    return near ? SEQ_NEAR : confirmed ? SEQ_JUMP : SEQ_UNLIKELY;
}

/* Is the packet of our stream? Learns the SSRC; *fresh: it begins (again). */
static bool accept_ssrc(struct video_receiver *vr, const struct rtp_view *v, int64_t now_us,
                        bool *fresh)
{
    *fresh = false;
    if (vr->started && v->ssrc == vr->ssrc) {
        vr->last_packet_us = now_us;
        return true;
    }
    if (vr->started && vr->old_ssrc_known && v->ssrc == vr->old_ssrc &&
        now_us - vr->last_packet_us < OLD_SSRC_US)
        return false;
    vr->old_ssrc_known = vr->started;
    vr->old_ssrc = vr->ssrc;
    vr->ssrc = v->ssrc;
    vr->last_packet_us = now_us;
    *fresh = true;
    return true;
}

/* Header extensions that a receiver reads, in one walk. */
struct read_extensions {
    bool has_twcc;
    uint16_t twcc;
};

static struct read_extensions read_extensions(const struct video_receiver *vr,
                                              const struct rtp_view *v, struct media_packet *p)
{
    const struct rtp_ext_ids *id = &vr->config.ext;
    struct read_extensions out = {0};
    struct rtp_ext ext;
    for (size_t pos = 0; rtp_ext_next(v, &pos, &ext);) { /* ids are never 0 */
        if (ext.id == id->twcc && ext.len >= 2) {
            out.has_twcc = true;
            out.twcc = rd_be16(ext.data);
        } else if (ext.id == id->abs_send_time && ext.len >= 3) {
            p->has_send_time = true;
            p->send_time = rd_be24(ext.data);
        } else if (ext.id == id->abs_capture_time && ext.len >= 8) {
            p->capture_ntp = rd_be64(ext.data);
            if (ext.len >= 16) /* of a clock that is so far from the sender's: a mixer's source */
                p->capture_ntp -= rd_be64(ext.data + 8);
        }
    }
    return out;
}

/* v: of the media stream, out of its retransmission where it came so; p: what is known of it. */
static void take_view(struct video_receiver *vr, const struct rtp_view *v, struct media_packet *p,
                      bool fresh)
{
    bool repaired = p->origin != PACKET_SENT;
    p->ts = v->ts;
    p->marker = v->marker;
    p->payload = v->payload;
    p->len = v->payload_len;
    p->key_start = h265_payload_first_type(v->payload, v->payload_len) == NAL_VPS;
    int judged = fresh ? SEQ_JUMP : judge_seq(vr, v->seq, repaired);
    if (judged == SEQ_UNLIKELY)
        return;
    if (judged == SEQ_JUMP) {
        p->seq = (int64_t)65536 + v->seq; /* packets before it stay positive */
        restart(vr, p);
        memset(&vr->reports, 0, sizeof vr->reports);
        memset(&vr->clock, 0, sizeof vr->clock);
        if (!vr->started)
            vr->rr_next_us = p->arrival_us;
        vr->started = true;
    } else {
        p->seq = vr->highest + (int16_t)(v->seq - (uint16_t)vr->highest);
    }
    if (!repaired)
        receive_stats_packet(&vr->reports, p->seq, v->ts, p->arrival_us);
    take_packet(vr, p);
}

/* What forward error correction finds goes the way of what came. */
static void take_recovered(struct video_receiver *vr, int64_t now_us)
{
    const uint8_t *data;
    size_t len;
    struct rtp_view v;
    while (vr->fec && (data = fec_decoder_next(vr->fec, &len))) {
        if (!rtp_parse(data, len, &v) || v.pt != vr->config.pt || v.ssrc != vr->ssrc)
            continue;
        struct media_packet p = {.origin = PACKET_FEC, .arrival_us = now_us};
        read_extensions(vr, &v, &p);
        take_view(vr, &v, &p, false);
    }
}

void video_receiver_on_rtp(struct video_receiver *vr, const uint8_t *data, size_t len,
                           int64_t now_us)
{
    struct rtp_view v;
    bool fresh = false;
    if (!rtp_parse(data, len, &v)) {
        vr->stats.packets_malformed++;
        return;
    }
    bool rtx = vr->config.rtx_pt != 0 && v.pt == vr->config.rtx_pt;
    bool fec = vr->fec && v.pt == vr->config.fec_pt;
    if (!rtx && !fec && v.pt != vr->config.pt)
        return; /* of another stream of the bundle */
    if (!rtx && !fec && !accept_ssrc(vr, &v, now_us, &fresh))
        return;
    vr->stats.packets_received++;
    vr->stats.bytes_received += (int64_t)len;
    struct media_packet p = {.origin = rtx ? PACKET_RTX : PACKET_SENT, .arrival_us = now_us};
    struct read_extensions ext = read_extensions(vr, &v, &p);
    if (vr->config.twcc && ext.has_twcc)
        twcc_record(&vr->transport, ext.twcc, len, now_us);
    if (vr->config.remb && !vr->config.twcc && p.has_send_time)
        remb_estimator_packet(&vr->remb, p.send_time, len, now_us);
    if (fec && !fec_decoder_repair(vr->fec, data, len))
        return;
    if (rtx && (!vr->started || !rtx_unwrap(&v, vr->config.pt, vr->ssrc)))
        return; /* a probe of the sender's congestion control */
    if (!fec)
        take_view(vr, &v, &p, fresh);
    if (!fec && !rtx && vr->fec)
        fec_decoder_media(vr->fec, data, len);
    take_recovered(vr, now_us);
    video_receiver_tick(vr, now_us);
}

/* When was it captured, on our clock? */
static void date_capture(const struct video_receiver *vr, struct access_unit *au, int64_t now_us)
{
    int64_t offset_us, error_us;
    if (!au->capture_ntp)
        au->capture_ntp = sender_clock_ntp_of(&vr->clock, au->rtp_ts);
    if (au->capture_ntp && video_receiver_clock(vr, now_us, &offset_us, &error_us))
        au->capture_us = us_of_ntp(au->capture_ntp) - offset_us;
}

struct access_unit *video_receiver_poll(struct video_receiver *vr, int64_t now_us)
{
    video_receiver_tick(vr, now_us);
    struct access_unit *au = frame_assembly_pop(&vr->frames);
    if (au && !vr->config.decoder)
        vr->key_tries = 0;
    if (au)
        date_capture(vr, au, now_us);
    return au;
}

void video_receiver_request_key(struct video_receiver *vr, int64_t now_us)
{
    video_receiver_tick(vr, now_us);
    frame_assembly_request_key(&vr->frames);
}

bool video_receiver_clock(const struct video_receiver *vr, int64_t now_us, int64_t *offset_us,
                          int64_t *error_us)
{
    return sender_clock_get(&vr->clock, now_us, vr->stats.rtt_us, offset_us, error_us);
}

int64_t video_receiver_rtt_us(const struct video_receiver *vr)
{
    int64_t rtt = sender_clock_rtt_us(&vr->clock);
    return rtt ? rtt : vr->stats.rtt_us;
}

int64_t video_receiver_playout_us(const struct video_receiver *vr, int64_t now_us)
{
    return playout_delay_us(&vr->frames.playout, now_us);
}

void video_receiver_get_stats(const struct video_receiver *vr, struct video_receiver_stats *out)
{
    *out = vr->stats;
    out->packets_malformed += vr->frames.malformed;
    out->frames_received = vr->frames.given;
    out->frames_dropped = vr->frames.dropped;
    out->resumed = vr->frames.resumed;
    out->jitter_us = receive_stats_jitter_us(&vr->reports);
}
