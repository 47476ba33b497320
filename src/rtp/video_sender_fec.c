/* Forward error correction of a video_sender: when blocks end, and the repair packets. */
#include "rtp/video_sender_impl.h"

#include <string.h>

enum {
    REPAIR_AFTER = 4,   /* media packets between two repair packets, while media waits */
    MIN_BLOCK = 4,      /* packets, of crossed columns, unless no more comes soon */
    ORDER_MARGIN = 16,  /* packets that may yet have come out of order */
};

size_t sender_fec_room(struct sender_fec *f, const struct video_sender_config *c)
{
    rtp_ext_layout_init(&f->layout);
    rtp_ext_layout_add(&f->layout, c->ext.mid, strlen(c->mid));
    rtp_ext_layout_add(&f->layout, c->ext.twcc, 2);
    rtp_ext_layout_add(&f->layout, c->ext.abs_send_time, 3);
    return f->layout.header_len - RTP_HEADER_LEN + FEC_CSRC_LEN + FEC_HEADER_MAX;
}

bool sender_fec_open(struct sender_fec *f, const struct video_sender_config *c, size_t max_media)
{
    f->close_us = INT64_MAX;
    f->next_seq = c->first_fec_seq;
    fec_control_init(&f->control);
    f->encoder = fec_encoder_new(max_media);
    return f->encoder;
}

static void close_block(struct sender_fec *f)
{
    fec_encoder_close(f->encoder, fec_plan_repairs(&f->plan, fec_encoder_open(f->encoder)));
    f->close_us = INT64_MAX;
    f->since_repair = 0;
}

/* Of the picture of which a packet of len bytes just goes, about. */
static int packets_left(struct video_sender *vs, size_t len)
{
    const struct waiting_au *w = waiting_head(vs);
    int64_t bytes = w ? w->bytes - (int64_t)len : 0, most = (int64_t)(vs->max_payload + vs->layout.header_len);
    return bytes > 0 ? (int)((bytes + most - 1) / most) : 0;
}

void sender_fec_media(struct video_sender *vs, const uint8_t *packet, size_t len, bool last,
                      int64_t now_us)
{
    struct sender_fec *f = &vs->fec;
    if (!vs->control)
        return;
    if (!f->encoder || fec_encoder_open(f->encoder) == 0)
        fec_control_plan(&f->control, vs->stats.rtt_us, 1 + packets_left(vs, len), &f->plan);
    if (!f->encoder)
        return;
    f->since_repair++;
    if (!f->plan.on ||
        !fec_encoder_add(f->encoder, packet, len, f->plan.columns, f->plan.crossed)) {
        f->close_us = INT64_MAX;
        return;
    }
    int n = fec_encoder_open(f->encoder);
    if (n == 1)
        f->close_us = now_us + f->plan.wait_us;
    /* At the end of what there is to send: will more come in time? */
    bool alone = last && vs->waiting_n <= 1 && now_us + vs->tail.gap_us > f->close_us;
    bool picture = f->plan.crossed && last && n >= MIN_BLOCK;
    if (n >= f->plan.block || alone || picture || now_us >= f->close_us)
        close_block(f);
}

void sender_fec_poll(struct video_sender *vs, int64_t now_us)
{
    if (now_us >= vs->fec.close_us)
        close_block(&vs->fec);
}

bool sender_fec_due(const struct video_sender *vs)
{
    const struct sender_fec *f = &vs->fec;
    return f->encoder && fec_encoder_ready(f->encoder) > 0 &&
           (vs->waiting_n == 0 || f->since_repair >= REPAIR_AFTER);
}

/* RFC 8627 section 4.2.1: the protected SSRC is the CSRC. */
bool give_repair(struct video_sender *vs, int64_t now_us, struct rtp_packet *out)
{
    struct sender_fec *f = &vs->fec;
    const struct video_sender_config *c = &vs->config;
    uint8_t *p = vs->scratch;
    size_t header = f->layout.header_len + FEC_CSRC_LEN;
    size_t n = fec_encoder_next(f->encoder, p + header);
    if (n == 0)
        return false;
    size_t len = header + n;
    rtp_write_header(p, &f->layout, c->fec_pt, false, f->next_seq++, vs->last_rtp_ts, c->fec_ssrc);
    uint16_t twcc = next_twcc(vs, len, now_us);
    uint8_t *v;
    if ((v = rtp_ext_value(&f->layout, p, c->ext.mid)))
        memcpy(v, c->mid, strlen(c->mid));
    if ((v = rtp_ext_value(&f->layout, p, c->ext.twcc)))
        wr_be16(v, twcc);
    if ((v = rtp_ext_value(&f->layout, p, c->ext.abs_send_time)))
        wr_be24(v, abs_send_time(now_us));
    memmove(p + RTP_HEADER_LEN + FEC_CSRC_LEN, p + RTP_HEADER_LEN,
            f->layout.header_len - RTP_HEADER_LEN);
    wr_be32(p + RTP_HEADER_LEN, c->ssrc);
    p[0] |= 1;
    f->since_repair = 0;
    *out = (struct rtp_packet){.data = p, .len = len, .retransmission = true};
    account(vs, len);
    rate_meter_add(&vs->extra, now_us, len);
    vs->stats.fec_packets++;
    vs->stats.fec_bytes += (int64_t)len;
    return true;
}

/* The transport-wide numbers are those of all packets in the order of sending: bursts show. */
void sender_fec_learn(struct video_sender *vs)
{
    struct sender_fec *f = &vs->fec;
    if (!vs->control)
        return;
    int64_t end = vs->control->told - ORDER_MARGIN;
    if (f->learned < vs->control->next - SEND_RING + 1)
        f->learned = vs->control->next - SEND_RING + 1;
    for (; f->learned < end; f->learned++)
        fec_control_packet(&f->control,
                           !send_control_received(vs->control, (uint16_t)f->learned));
}
