/* video_sender: one viewer's RTP stream. Access units in; paced RTP packets and RTCP out.
 *
 * It joins the RFC 7798 packetizer, the sequence numbers and header extensions, the history for
 * NACK (RTX of RFC 4588 where negotiated, plain resends else), the congestion control (where
 * transport-wide feedback is negotiated), the pacer, and RTCP SR, SDES, BYE. Probes of the
 * congestion control are media, then repeated packets over RTX; without RTX media alone.
 * Sans-IO: time is an argument (now_us monotonic; ntp for the wall clock). One thread (net). */
#ifndef HEVCAST_RTP_VIDEO_SENDER_H
#define HEVCAST_RTP_VIDEO_SENDER_H

#include "base/picture.h"
#include "cc/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Header extension ids as negotiated; 0: not. (RFC 8285) */
struct rtp_ext_ids {
    uint8_t mid, twcc, abs_send_time, abs_capture_time, playout_delay, content_type, color_space;
};

enum video_payload {
    VIDEO_PAYLOAD_H265,        /* RFC 7798 */
    VIDEO_PAYLOAD_VP8_CARRIER, /* for browsers that do not know H265: doc/carrier.md */
    VIDEO_PAYLOAD_AUDIO_CARRIER, /* the same, as what they take for Opus; the clock is 48 kHz */
};

struct video_sender_config {
    enum video_payload payload;
    uint32_t ssrc, rtx_ssrc;
    uint32_t key_ssrc;       /* of a stream without packets: PLI and FIR may name it. 0: none */
    uint8_t pt, rtx_pt;      /* rtx_pt 0: none, a NACK is answered by the packet itself */
    uint8_t fec_pt;          /* FlexFEC (RFC 8627); 0: none. Needs transport-wide feedback */
    uint32_t fec_ssrc;
    uint16_t first_fec_seq;  /* random */
    struct rtp_ext_ids ext;
    char mid[17], cname[33];
    uint32_t rtp_ts_offset;  /* random */
    uint16_t first_seq, first_rtx_seq; /* random */
    size_t max_packet;       /* RTP header, extensions and payload; default 1200 */
    bool aggregate;          /* AP allowed */
    int64_t pacing_bps;      /* default 50 Mb/s; while the congestion control knows nothing */
    /* The bounds of the congestion control: with ext.twcc by transport-wide feedback, else by REMB
     * and receiver reports. max_bps 0: none. */
    struct cc_config cc;
    size_t max_burst_bytes;  /* sent at once; default 16 kB: far below a receiver's 208 KiB socket */
};
void video_sender_default_config(struct video_sender_config *c);

/* A plaintext packet to protect and send now. Borrowed until the next call. */
struct rtp_packet {
    const uint8_t *data;
    size_t len;
    uint64_t pic_id;
    bool retransmission;
    bool last_of_au;
};

/* What a compound RTCP packet meant for the session. */
struct rtcp_events {
    bool key_wanted;      /* PLI, or an FIR with a new sequence number */
    bool bye;
    /* RPSI: something was lost for good, and the viewer goes on from pictures that it has. The
     * newest that it may have missed: what was sent later than a round trip ago, it cannot mean. */
    uint64_t lost_pic_id; /* 0: no */
    bool nack;            /* a NACK was answered: packets wait in poll */
    bool feedback;        /* transport-wide, or a report or REMB that counts for want of it: the
                             estimate may be another now */
};

struct video_sender_stats {
    int64_t packets_sent, bytes_sent;       /* RTP, retransmissions included; bytes of whole RTP packets */
    int64_t packets_retransmitted, nacks_received, nack_not_found;
    int64_t rtcp_malformed, purged_packets;
    int64_t rtt_us;      /* 0 unknown; smoothed from RR */
    double loss_ratio;   /* of the last report */
    int64_t queue_us, queue_bytes;
    int64_t fec_packets, fec_bytes; /* repair packets; in the first two as well */
    int64_t packets_padding; /* sent only to probe; in packets_sent too */
    int64_t estimate_bps;    /* of the congestion control, else of REMB and reports; 0: not known */
    int64_t path_queue_us;   /* that packets wait in the path, as far as feedback tells */
};

struct video_sender;
struct video_sender *video_sender_new(const struct video_sender_config *c);
void video_sender_free(struct video_sender **vs);
/* borrows au (keeps a reference while its packets wait). capture_ntp 0: unknown. A new access
 * unit goes behind those that wait. RTP timestamps always grow, whatever pts_us does. false: out of memory, nothing was queued. */
bool video_sender_push(struct video_sender *vs, struct access_unit *au, uint64_t capture_ntp,
                       int64_t now_us);
/* The next packet whose time has come; false: none now (see next_us). When nothing more is pushed,
 * the last packet comes again, as a retransmission, after max(10 ms, RTT / 2) and then at doubled
 * intervals, at most five times, until feedback acknowledges it: else nobody would notice that it
 * was lost, and a still screen would stay wrong. */
bool video_sender_poll(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
int64_t video_sender_next_us(const struct video_sender *vs); /* may be past; INT64_MAX: nothing waits */
/* Drops all packets that wait and were not sent (sequence numbers stay gap-free). How many. */
int video_sender_purge(struct video_sender *vs);
int64_t video_sender_queue_us(const struct video_sender *vs, int64_t now_us); /* time to drain */
void video_sender_set_pacing(struct video_sender *vs, int64_t bps);
/* The packets take another path from now on: its rate is looked for anew. */
void video_sender_new_path(struct video_sender *vs);
int64_t video_sender_estimate_bps(const struct video_sender *vs); /* as in the statistics */
/* The rate that is left for media, when repairs go on as in the last half second; 0: not known. */
int64_t video_sender_media_bps(const struct video_sender *vs, int64_t now_us);
void video_sender_on_rtcp(struct video_sender *vs, const uint8_t *data, size_t len, int64_t now_us,
                          uint64_t now_ntp, struct rtcp_events *out);
/* After on_rtcp: the next picture that the viewer is known to have, with all that it refers to. */
bool video_sender_next_acked(struct video_sender *vs, uint64_t *pic_id);
bool video_sender_has(const struct video_sender *vs, uint64_t pic_id);
/* A compound SR + SDES when due (1 s; the first right after the first packet), else 0. */
size_t video_sender_rtcp(struct video_sender *vs, int64_t now_us, uint64_t now_ntp, uint8_t *buf,
                         size_t cap);
int64_t video_sender_rtcp_next_us(const struct video_sender *vs);
size_t video_sender_bye(struct video_sender *vs, int64_t now_us, uint64_t now_ntp, uint8_t *buf,
                        size_t cap);
void video_sender_get_stats(const struct video_sender *vs, int64_t now_us,
                            struct video_sender_stats *out);

#endif
