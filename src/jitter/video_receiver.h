/* video_receiver: one incoming RTP stream of HEVC. Packets in; whole access units and RTCP out.
 *
 * The stream is known by its payload type: a new SSRC is a sender that started again. At the very
 * start packets wait up to 10 ms for those before them, unless the first begins an IRAP.
 * Reorders, asks again (NACK after a reorder margin that follows the reordering that is seen, then
 * every RTT), takes RTX apart, puts access units together, asks for a key frame (PLI, FIR where
 * only that was negotiated: every 200 ms while nothing decodes, later less and less often, down to
 * every 5 s: a decoder that cannot show the stream must not cost all the others their rate). Sans-IO; one thread (net). Memory is bounded: at most
 * 2048 packets and 8 MiB wait. */
#ifndef HEVCAST_JITTER_VIDEO_RECEIVER_H
#define HEVCAST_JITTER_VIDEO_RECEIVER_H

#include "base/picture.h"
#include "rtp/video_sender.h" /* struct rtp_ext_ids */

struct video_receiver_config {
    uint32_t local_ssrc;  /* of our RTCP */
    char cname[33];
    uint8_t pt, rtx_pt;   /* rtx_pt 0: none */
    uint8_t fec_pt;       /* FlexFEC (RFC 8627); 0: none */
    struct rtp_ext_ids ext;
    bool nack, pli, fir, rpsi; /* negotiated */
    bool twcc;            /* transport-wide feedback, with ext.twcc: negotiated */
    bool remb;            /* negotiated; sent, with ext.abs_send_time, where twcc is not */
    bool decoder;         /* video_receiver_decoded will tell what is decoded; else what is given
                             out counts as shown */
    int64_t initial_rtt_us; /* until known; default 50 ms */
    int64_t playout_min_us, playout_max_us; /* bounds of the delay; default 0 to 200 ms */
    int64_t give_up_us;   /* a missing packet is given up after this, and a key frame asked for;
                             default 1 s */
};
void video_receiver_default_config(struct video_receiver_config *c);

/* lost: missing for longer than the reorder margin; recovered: those of them that came after all.
 * nacks: NACK packets; plis: PLI and FIR. received: with retransmissions and probes. malformed:
 * payloads that RFC 7798 does not know, too. */
struct video_receiver_stats {
    int64_t packets_received, packets_lost, packets_recovered, packets_duplicate, packets_malformed;
    int64_t bytes_received, nacks, plis, frames_received, frames_dropped;
    int64_t rpsis, resumed; /* references asked for after a loss; losses that ended without an IRAP */
    int64_t jitter_us;    /* RFC 3550 A.8 */
    int64_t rtt_us;       /* of retransmissions: NACK to arrival, smoothed; 0 unknown */
};

struct video_receiver;
struct video_receiver *video_receiver_new(const struct video_receiver_config *c);
void video_receiver_free(struct video_receiver **vr);
void video_receiver_on_rtp(struct video_receiver *vr, const uint8_t *data, size_t len,
                           int64_t now_us);
/* *bye: the sender said goodbye to this stream. */
void video_receiver_on_rtcp(struct video_receiver *vr, const uint8_t *data, size_t len,
                            int64_t now_us, bool *bye);
/* gives the next access unit in decoding order, or NULL. Nothing is given before the first IRAP,
 * nor after a loss until the next IRAP: what is given always has its references. */
struct access_unit *video_receiver_poll(struct video_receiver *vr, int64_t now_us);
/* Feedback that is due: a compound RTCP packet; 0: none. Call until 0. */
size_t video_receiver_rtcp(struct video_receiver *vr, int64_t now_us, uint8_t *buf, size_t cap);
/* A report that a hevcast sender answers at once when it comes soon after another (rtp/rtcp_xr.h): is it
 * there? 0: no room. */
size_t video_receiver_probe(struct video_receiver *vr, int64_t now_us, uint8_t *buf, size_t cap);
int64_t video_receiver_next_us(const struct video_receiver *vr, int64_t now_us);
/* The decoder cannot go on: access units are held until an IRAP, and one is asked for. */
void video_receiver_request_key(struct video_receiver *vr, int64_t now_us);
/* A picture came out of the decoder: key frames help, so they are asked for eagerly again. */
void video_receiver_decoded(struct video_receiver *vr);
size_t video_receiver_bye(struct video_receiver *vr, uint8_t *buf, size_t cap);
void video_receiver_get_stats(const struct video_receiver *vr, struct video_receiver_stats *out);
/* Sender's NTP time in microseconds = now_us + *offset_us, ± *error_us (jitter/sender_clock.h).
 * false: the offset is not known; then access units have no capture_us. */
bool video_receiver_clock(const struct video_receiver *vr, int64_t now_us, int64_t *offset_us,
                          int64_t *error_us);
int64_t video_receiver_rtt_us(const struct video_receiver *vr); /* of the path; 0: unknown */
/* What pictures in motion are delayed by now. */
int64_t video_receiver_playout_us(const struct video_receiver *vr, int64_t now_us);

#endif
