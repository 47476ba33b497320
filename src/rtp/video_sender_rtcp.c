/* The RTCP of a video_sender. */
#include "rtp/video_sender_impl.h"

#include <string.h>

enum {
    UNKNOWN_RTT_US = 5000,      /* less than any receiver waits before it asks again */
    RTCP_INTERVAL_US = 1000000,
    FEEDBACK_US = 50000,        /* transport-wide feedback comes about as often as this */
    LOST_MARGIN = 3,            /* packets that may yet have come out of order */
    REPORT_PACING = 5, /* half the rate, times this */
};

/* RFC 3550 section 6.4.1, in units of 1/65536 s; 0: not known. */
static int64_t round_trip_us(const struct rtcp_report *r, uint64_t now_ntp)
{
    int32_t rtt = (int32_t)(ntp_mid(now_ntp) - r->lsr - r->dlsr);
    if (r->lsr == 0 || rtt < 0 || rtt > 60 * 65536) /* rounding, a clock that was set, or nonsense */
        return 0;
    int64_t rtt_us = (int64_t)rtt * 1000000 / 65536;
    return rtt_us > 0 ? rtt_us : 1;
}

/* While no transport-wide feedback comes, the rate is that of the reports. */
static void follow_reports(struct video_sender *vs, struct rtcp_events *out)
{
    int64_t bps = has_feedback(vs) ? 0 : video_sender_estimate_bps(vs);
    if (bps == 0)
        return;
    out->feedback = true;
    int64_t pacing = bps * REPORT_PACING / 2;
    pacer_set_rate(&vs->pacer, pacing < vs->config.pacing_bps ? pacing : vs->config.pacing_bps);
}

static void on_report(struct video_sender *vs, const struct rtcp_report *r, int64_t now_us,
                      uint64_t now_ntp)
{
    vs->stats.loss_ratio = r->fraction_lost / 256.0;
    int64_t rtt_us = round_trip_us(r, now_ntp), *smoothed = &vs->stats.rtt_us;
    if (rtt_us > 0)
        *smoothed = *smoothed ? (7 * *smoothed + rtt_us) / 8 : rtt_us;
    uint32_t passed = r->highest_seq - vs->highest_seq;
    int expected = vs->highest_known && passed < 65536 ? (int)passed : 0;
    /* Reports that come with NACKs tell the same round trip again, which may be a second old. */
    report_control_report(&vs->reports, expected, expected * r->fraction_lost / 256,
                          r->lsr != vs->last_lsr ? rtt_us : 0, now_us);
    vs->last_lsr = r->lsr;
    vs->highest_known = true;
    vs->highest_seq = r->highest_seq;
}

static void queue_resend(struct video_sender *vs, struct history_entry *e, uint16_t seq)
{
    if (vs->resend_n == RESEND_MAX)
        return;
    e->resend_waits = true;
    vs->resend[(vs->resend_first + vs->resend_n++) & (RESEND_MAX - 1)] = seq;
}

static void ask_resend(struct video_sender *vs, uint16_t seq, int64_t now_us)
{
    struct history_entry *named = history_find(vs->history, seq), *e = root_of(vs, named);
    if (!e) {
        vs->stats.nack_not_found++;
        return;
    }
    if (vs->audio && e->arrived)
        return; /* under another number: the browser goes on asking for the first */
    int64_t rtt = vs->stats.rtt_us ? vs->stats.rtt_us : UNKNOWN_RTT_US;
    if (vs->audio && has_feedback(vs))
        rtt += FEEDBACK_US; /* which tells sooner whether it was lost again */
    delivery_asked(&vs->delivery, e->au->pic_id);
    /* It is on its way: a NACK that left before it arrived says nothing. */
    if (e->resend_waits || (e->resent_us && now_us - e->resent_us < rtt))
        return;
    queue_resend(vs, e, named->copy ? named->root : seq);
}

/* A browser asks a second time for audio late, if at all: what feedback calls lost goes again
 * unasked, when nothing newer of it is on its way. */
static void repair_lost(struct video_sender *vs)
{
    int64_t end = vs->control->told - LOST_MARGIN;
    if (vs->repaired < vs->control->next - SEND_RING + 1)
        vs->repaired = vs->control->next - SEND_RING + 1;
    for (; vs->repaired < end; vs->repaired++) {
        uint16_t seq;
        bool lost;
        if (!send_control_missing_media(vs->control, vs->repaired, &seq, &lost))
            continue;
        struct history_entry *e = history_find(vs->history, seq), *root = root_of(vs, e);
        /* Feedback that was lost itself: for what is a repair already, reason enough. */
        if (!root || (!lost && !e->copy) || root->arrived || root->resend_waits || root->newest != seq)
            continue;
        delivery_asked(&vs->delivery, root->au->pic_id);
        queue_resend(vs, root, e->copy ? e->root : seq);
    }
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

/* A packet with this one arrived: itself, or a repetition of it. */
void video_sender_on_media(void *ctx, uint16_t media_seq)
{
    struct video_sender *vs = ctx;
    struct history_entry *e = root_of(vs, history_find(vs->history, media_seq));
    if (!e || e->arrived)
        return;
    e->arrived = true;
    delivery_arrived(&vs->delivery, e->au->pic_id);
}

bool video_sender_next_acked(struct video_sender *vs, uint64_t *pic_id)
{
    return delivery_next(&vs->delivery, pic_id);
}

bool video_sender_has(const struct video_sender *vs, uint64_t pic_id)
{
    return delivery_has(&vs->delivery, pic_id);
}

static void on_packet(struct video_sender *vs, const struct rtcp_packet *p, int64_t now_us,
                      uint64_t now_ntp, struct rtcp_events *out)
{
    struct rtcp_report report;
    uint32_t ssrc = vs->config.ssrc, key_ssrc = vs->config.key_ssrc, media = rtcp_media_ssrc(p);
    uint8_t fir_seq;
    int64_t remb_bps;
    int32_t poc;
    switch (p->type) {
    case RTCP_SR:
    case RTCP_RR:
        for (int i = 0; rtcp_report(p, i, &report); i++) {
            if (report.ssrc != ssrc)
                continue;
            vs->reporter_known = true;
            vs->reporter = rd_be32(p->body);
            on_report(vs, &report, now_us, now_ntp);
            tail_acknowledge(vs, &report);
        }
        break;
    case RTCP_XR:
        if (xr_answer_take(&vs->xr, p, now_us) && vs->any_packet)
            vs->rtcp_next_us = now_us; /* it learns how old the pictures are */
        break;
    case RTCP_BYE:
        out->bye |= p->count > 0 && (!vs->reporter_known || rtcp_bye_has(p, vs->reporter));
        break;
    case RTCP_RTPFB:
        if (p->count == RTPFB_NACK && media == ssrc)
            on_nack(vs, p, now_us, out);
        /* Of the whole transport: its media SSRC is any of ours. */
        if (p->count == RTPFB_TWCC && vs->control) {
            out->feedback |= send_control_feedback(vs->control, p, now_us);
            tail_acknowledge(vs, NULL);
            delivery_tick(&vs->delivery, vs->stats.rtt_us, now_us);
            sender_fec_learn(vs);
            if (vs->audio)
                repair_lost(vs);
        }
        break;
    case RTCP_PSFB:
        if (media == ssrc && rtcp_rpsi(p, vs->config.pt, &poc))
            out->lost_pic_id = delivery_sent_by(&vs->delivery, now_us - vs->stats.rtt_us);
        if (p->count == PSFB_PLI && (media == ssrc || (media == key_ssrc && key_ssrc)))
            out->key_wanted = true;
        if (rtcp_fir(p, ssrc, &fir_seq) || (key_ssrc && rtcp_fir(p, key_ssrc, &fir_seq))) {
            out->key_wanted |= !vs->fir_seen || fir_seq != vs->fir_seq;
            vs->fir_seen = true;
            vs->fir_seq = fir_seq;
        }
        if (rtcp_remb(p, &remb_bps))
            report_control_remb(&vs->reports, remb_bps, now_us);
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
    follow_reports(vs, out);
    if (more < 0 || len == 0)
        vs->stats.rtcp_malformed++;
}

static void write_report(const struct video_sender *vs, int64_t now_us, uint64_t now_ntp,
                         struct byte_writer *w)
{
    struct rtcp_sender_info info = {
        .ssrc = vs->config.ssrc,
        .ntp = now_ntp,
        .rtp_ts = vs->audio ? audio_ticks_of(now_us) + vs->ts_offset
                            : vs->last_rtp_ts + ticks_of(now_us - vs->last_capture_us),
        .packets = vs->sr_packets,
        .octets = vs->sr_octets,
    };
    rtcp_write_sr(w, &info);
    rtcp_write_sdes(w, vs->config.ssrc, vs->config.cname);
    xr_answer_write(&vs->xr, w, vs->config.ssrc, now_us);
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
