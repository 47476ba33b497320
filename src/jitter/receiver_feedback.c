/* What a video_receiver tells the sender: reports, NACK, key requests, transport-wide feedback. */
#include "jitter/video_receiver_state.h"

#include "rtp/packet.h"
#include "rtp/rtcp_xr.h"

enum {
    RR_INTERVAL_US = 1000000,
    FIRST_RR_US = 200000,       /* the second report: an SR has come by then, the sender learns its RTT */
    KEY_INTERVAL_US = 200000, KEY_EAGER = 3, /* so often like this, then half as often each time */
    KEY_MAX_INTERVAL_US = 5000000,
    MIN_RETRY_US = 10000,
    MAX_NACK_ITEMS = 256,
    RPSI_TRIES = 2,             /* NACKs of a packet, the last one unanswered yet */
    RPSI_PACKETS = 8,
    RPSI_BEFORE_KEY = 3,        /* so many, then a key frame is asked for */
    TWCC_ROOM = 64,             /* what feedback needs at least to be worth its header */
};

int64_t video_receiver_retry_us(const struct video_receiver *vr)
{
    /* What was repeated unasked looks like a fast answer: no answer is faster than the path. */
    int64_t rtt = vr->stats.rtt_us, path = sender_clock_rtt_us(&vr->clock);
    rtt = rtt > path ? rtt : path;
    rtt = rtt ? rtt : vr->config.initial_rtt_us;
    rtt += rtt / 4; /* an answer that takes a little longer than usual is no loss */
    return rtt > MIN_RETRY_US ? rtt : MIN_RETRY_US;
}

/* The sender's answer to our reference time. */
static void take_answer(struct video_receiver *vr, const struct rtcp_packet *p, int64_t now_us)
{
    struct xr_block b;
    struct xr_dlrr d;
    for (size_t pos = 0; xr_next(p, &pos, &b);)
        for (int i = 0; xr_dlrr(&b, i, &d); i++)
            if (d.ssrc == vr->config.local_ssrc)
                sender_clock_answer(&vr->clock, d.lrr, d.dlrr, now_us);
}

void video_receiver_on_rtcp(struct video_receiver *vr, const uint8_t *data, size_t len,
                            int64_t now_us, bool *bye)
{
    struct byte_reader r = byte_reader_of(data, len);
    struct rtcp_packet p;
    struct rtcp_sender_info info;
    int more;
    *bye = false;
    while ((more = rtcp_next(&r, &p)) > 0) {
        if (rtcp_sender_info(&p, &info) && vr->started && info.ssrc == vr->ssrc) {
            receive_stats_sr(&vr->reports, info.ntp, now_us);
            sender_clock_report(&vr->clock, &info, now_us);
        }
        take_answer(vr, &p, now_us);
        *bye |= p.type == RTCP_BYE && (vr->started ? rtcp_bye_has(&p, vr->ssrc) : p.count > 0);
    }
    if (more < 0 || len == 0)
        vr->stats.packets_malformed++;
}

void video_receiver_decoded(struct video_receiver *vr)
{
    if (!vr->frames.need_key) /* not what was given before that */
        vr->key_tries = 0;
}

static int64_t key_interval_us(const struct video_receiver *vr)
{
    int64_t interval = KEY_INTERVAL_US;
    for (int i = KEY_EAGER; i < vr->key_tries && interval < KEY_MAX_INTERVAL_US; i++)
        interval *= 2;
    return interval < KEY_MAX_INTERVAL_US ? interval : KEY_MAX_INTERVAL_US;
}

/* When a key frame is to be asked for; INT64_MAX: not needed, or it cannot be asked for. */
static int64_t key_due_us(const struct video_receiver *vr)
{
    if (!vr->started || vr->holding || !vr->frames.need_key ||
        (!vr->config.pli && !vr->config.fir))
        return INT64_MAX;
    int64_t due = vr->key_asked_us;
    due = due == INT64_MIN ? due : due + key_interval_us(vr);
    /* One that is coming in is worth waiting for, as long as it comes. */
    bool comes = frame_assembly_in_key(&vr->frames) && vr->key_progress_us > vr->key_asked_us;
    if (comes && vr->key_progress_us + KEY_INTERVAL_US > due)
        due = vr->key_progress_us + KEY_INTERVAL_US;
    return due;
}

/* The POC of a picture that is here and from which the sender may go on. */
static bool resumable(const struct video_receiver *vr, int32_t *poc)
{
    return vr->config.rpsi && refs_resumable(vr->frames.refs) && refs_newest(vr->frames.refs, poc);
}

static void write_rpsi(struct video_receiver *vr, int32_t poc, int64_t now_us,
                       struct byte_writer *w)
{
    rtcp_write_rpsi(w, vr->config.local_ssrc, vr->ssrc, vr->config.pt, poc);
    vr->rpsi_us = now_us;
    vr->stats.rpsis++;
}

/* What was asked for twice comes too late by now; a picture that does without it may be here as
 * soon. The same when much is gone: more than such a picture takes. asked: packets, just now. */
static bool rpsi_due(const struct video_receiver *vr, int asked, int64_t now_us)
{
    const struct nack_entry *e = nack_list_first(&vr->missing);
    return e && (e->tries >= RPSI_TRIES || asked >= RPSI_PACKETS) &&
           (vr->rpsi_us == INT64_MIN || now_us - vr->rpsi_us >= video_receiver_retry_us(vr));
}

static void write_key_request(struct video_receiver *vr, int64_t now_us, struct byte_writer *w)
{
    uint32_t local = vr->config.local_ssrc;
    int32_t poc;
    if (vr->key_tries < RPSI_BEFORE_KEY && resumable(vr, &poc)) {
        write_rpsi(vr, poc, now_us, w);
        return;
    }
    if (vr->config.pli)
        rtcp_write_pli(w, local, vr->ssrc);
    else
        rtcp_write_fir(w, local, vr->ssrc, vr->fir_seq++);
    vr->stats.plis++;
}

static void write_report(struct video_receiver *vr, int64_t now_us, bool new_interval,
                         struct byte_writer *w)
{
    struct rtcp_report report;
    receive_stats_report(&vr->reports, vr->ssrc, new_interval, now_us, &report);
    rtcp_write_rr(w, vr->config.local_ssrc, &report, vr->reports.started ? 1 : 0);
    rtcp_write_sdes(w, vr->config.local_ssrc, vr->config.cname);
}

size_t video_receiver_rtcp(struct video_receiver *vr, int64_t now_us, uint8_t *buf, size_t cap)
{
    /* RR, SDES, FIR, NACK without items, RPSI, XR, REMB */
    enum { OTHERS = 32 + 4 + 4 + 2 + 36 + 20 + 12 + 24 + XR_RRTR_LEN + 24 };
    video_receiver_tick(vr, now_us);
    if (!vr->started || cap < OTHERS + 4)
        return 0;
    bool rr_due = now_us >= vr->rr_next_us, key_due = now_us >= key_due_us(vr);
    uint16_t nack[MAX_NACK_ITEMS];
    int room = (int)((cap - OTHERS) / 4), n = 0, first_time = 0;
    if (vr->config.nack)
        n = nack_list_due(&vr->missing, vr->highest, now_us, video_receiver_retry_us(vr), nack,
                          room < MAX_NACK_ITEMS ? room : MAX_NACK_ITEMS, &first_time);
    bool twcc_due = now_us >= twcc_due_us(&vr->transport);
    bool remb_due = now_us >= remb_estimator_due_us(&vr->remb);
    if (!rr_due && !key_due && n == 0 && !twcc_due && !remb_due)
        return 0;

    struct byte_writer w = byte_writer_of(buf, cap);
    write_report(vr, now_us, rr_due, &w);
    if (rr_due) {
        vr->rr_next_us = now_us + (vr->second_rr ? RR_INTERVAL_US : FIRST_RR_US);
        vr->second_rr = true;
        xr_write_reference_time(&w, vr->config.local_ssrc, ntp_of_us(now_us));
    }
    if (n > 0) {
        rtcp_write_nack(&w, vr->config.local_ssrc, vr->ssrc, nack, n);
        vr->stats.nacks++;
        vr->stats.packets_lost += first_time;
        int32_t poc;
        if (!key_due && rpsi_due(vr, n, now_us) && resumable(vr, &poc))
            write_rpsi(vr, poc, now_us, &w);
    }
    if (key_due) {
        write_key_request(vr, now_us, &w);
        vr->key_asked_us = now_us;
        vr->key_tries++;
    }
    if (remb_due)
        rtcp_write_remb(&w, vr->config.local_ssrc, vr->ssrc, remb_estimator_tell(&vr->remb, now_us));
    if (twcc_due && w.left >= TWCC_ROOM)
        twcc_write(&vr->transport, &w, vr->config.local_ssrc, vr->ssrc, now_us);
    return w.failed ? 0 : bw_len(&w);
}

size_t video_receiver_probe(struct video_receiver *vr, int64_t now_us, uint8_t *buf, size_t cap)
{
    struct byte_writer w = byte_writer_of(buf, cap);
    rtcp_write_rr(&w, vr->config.local_ssrc, NULL, 0);
    rtcp_write_sdes(&w, vr->config.local_ssrc, vr->config.cname);
    xr_write_reference_time(&w, vr->config.local_ssrc, ntp_of_us(now_us));
    return w.failed ? 0 : bw_len(&w);
}

int64_t video_receiver_next_us(const struct video_receiver *vr, int64_t now_us)
{
    if (!vr->started)
        return INT64_MAX;
    int64_t next = vr->rr_next_us, t = key_due_us(vr);
    next = t < next ? t : next;
    t = video_receiver_head_expires_us(vr);
    next = t < next ? t : next;
    if (vr->config.nack) {
        t = nack_list_next_us(&vr->missing, vr->highest);
        next = t < next ? t : next;
    }
    t = remb_estimator_due_us(&vr->remb);
    next = t < next ? t : next;
    t = twcc_due_us(&vr->transport);
    next = t < next ? t : next;
    if (vr->holding && vr->hold_until_us < next)
        next = vr->hold_until_us;
    return next < now_us ? now_us : next;
}

size_t video_receiver_bye(struct video_receiver *vr, uint8_t *buf, size_t cap)
{
    struct byte_writer w = byte_writer_of(buf, cap);
    rtcp_write_rr(&w, vr->config.local_ssrc, NULL, 0);
    rtcp_write_sdes(&w, vr->config.local_ssrc, vr->config.cname);
    rtcp_write_bye(&w, &vr->config.local_ssrc, 1);
    return w.failed ? 0 : bw_len(&w);
}
