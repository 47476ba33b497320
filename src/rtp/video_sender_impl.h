/* What the video_sender_*.c files share: the state of one viewer's stream. Pure.
 *
 *   video_sender.c          access units in, the order of sending, statistics
 *   video_sender_packets.c  builds packets: media, resends, tail probes, padding
 *   video_sender_fec.c      when FEC's blocks end, and its repair packets
 *   video_sender_rtcp.c     what the peer says, and our reports */
#ifndef HEVCAST_RTP_VIDEO_SENDER_IMPL_H
#define HEVCAST_RTP_VIDEO_SENDER_IMPL_H

#include "cc/pacer.h"
#include "cc/rate_meter.h"
#include "rtp/carrier_pack.h"
#include "rtp/delivery.h"
#include "rtp/fec_control.h"
#include "rtp/fec_encoder.h"
#include "rtp/h265_pack.h"
#include "rtp/history.h"
#include "rtp/packet.h"
#include "rtp/report_control.h"
#include "rtp/rtcp.h"
#include "rtp/rtcp_xr.h"
#include "rtp/rtx.h"
#include "rtp/send_control.h"
#include "rtp/video_sender.h"

enum {
    RESEND_MAX = 2048,          /* a power of two; what does not fit is asked for again */
    AGAIN_MAX = 256,            /* a power of two */
    TAIL_PROBES = 5,
    PADDING_BYTES = 255,        /* RFC 3550 section 5.1: one byte counts them */
};

struct waiting_au {
    struct access_unit *au; /* a reference */
    uint32_t rtp_ts;
    uint64_t capture_ntp;
    int64_t bytes; /* that it will still take, about */
};

/* When the last packet before a pause is lost, nothing tells the receiver so, and a still screen
 * pauses for long: the last packet is sent again until feedback acknowledges a copy of it. */
struct tail {
    int64_t next_us; /* INT64_MAX: acknowledged, or given up, or there is none */
    int probes;      /* that were sent */
    uint16_t seq;    /* of the last packet of media */
    uint16_t copy[TAIL_PROBES + 1]; /* their transport-wide numbers, the original's first */
    int copies;
    int64_t gap_us, pushed_us; /* between access units, smoothed; when the last one came */
};

/* Forward error correction; encoder NULL: not negotiated. */
struct sender_fec {
    struct fec_encoder *encoder; /* owns */
    struct fec_control control;
    struct fec_plan plan;    /* of the block that is open, or the last */
    struct rtp_ext_layout layout;
    uint16_t next_seq;
    int64_t close_us;        /* when the open block ends at last; INT64_MAX: none is open */
    int since_repair;        /* media packets */
    int64_t learned;         /* transport-wide number, unwrapped: the fate of those below is known */
};

struct video_sender {
    struct video_sender_config config;
    struct rtp_ext_layout layout;
    size_t max_payload;
    struct pacer pacer;
    struct history *history; /* owns */
    struct send_control *control; /* owns; NULL: no transport-wide feedback */
    struct delivery delivery; /* by transport-wide feedback */
    struct sender_fec fec;
    struct rate_meter extra; /* what repairs take */
    struct report_control reports; /* the rate without it */
    bool highest_known;
    uint32_t highest_seq, last_lsr; /* of the last report */
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
    bool audio; /* config.payload is that of the audio carrier */
    uint32_t last_audio_ts;

    uint16_t resend[RESEND_MAX]; /* a ring of sequence numbers */
    unsigned resend_first, resend_n;
    struct {
        uint16_t seq;
        int64_t due_us;
    } again[AGAIN_MAX]; /* a ring: retransmissions that go a second time, on a path that loses much */
    unsigned again_first, again_n;

    uint16_t next_seq, next_rtx_seq, next_twcc;
    struct tail tail;
    int64_t repaired; /* audio: transport-wide number, unwrapped: what was lost before went again */
    /* The clock of the media: what the last access unit said. */
    bool any_au;
    int64_t last_pts_us, last_capture_us;
    uint32_t last_rtp_ts, ts_offset;

    bool any_packet;
    int64_t rtcp_next_us;
    uint32_t sr_packets, sr_octets; /* of the media SSRC */
    bool fir_seen;
    uint8_t fir_seq;
    struct xr_answer xr;
    bool reporter_known;
    uint32_t reporter; /* who sends reports about our stream */
    struct video_sender_stats stats;

    size_t scratch_cap;
    uint8_t scratch[]; /* the packet that poll gave out */
};

static inline uint32_t ticks_of(int64_t us) { return (uint32_t)(uint64_t)(us * 9 / 100); }

static inline uint32_t audio_ticks_of(int64_t us) { return (uint32_t)(uint64_t)(us * 6 / 125); }

static inline struct waiting_au *waiting_head(struct video_sender *vs)
{
    return vs->waiting_n ? &vs->waiting[vs->waiting_first] : NULL;
}

/* Is the rate that of transport-wide feedback? */
static inline bool has_feedback(const struct video_sender *vs)
{
    return vs->control && !vs->control->deaf;
}

/* Is there a way to send something that need not be sent? RTX; and the audio carrier's packets
 * say themselves what they are, so that one that comes twice does no harm. */
static inline bool can_pad(const struct video_sender *vs) { return vs->config.rtx_pt || vs->audio; }

/* When the next retransmission goes a second time; INT64_MAX: none. */
static inline int64_t resend_again_us(const struct video_sender *vs)
{
    return vs->again_n ? vs->again[vs->again_first].due_us : INT64_MAX;
}

/* video_sender.c */
void waiting_pop(struct video_sender *vs);

/* video_sender_fec.c. room: how much smaller than a repair packet the media must be. */
size_t sender_fec_room(struct sender_fec *f, const struct video_sender_config *c);
bool sender_fec_open(struct sender_fec *f, const struct video_sender_config *c, size_t max_media);
/* A media packet as it goes; last: of its access unit. */
void sender_fec_media(struct video_sender *vs, const uint8_t *packet, size_t len, bool last,
                      int64_t now_us);
void sender_fec_poll(struct video_sender *vs, int64_t now_us);
bool sender_fec_due(const struct video_sender *vs); /* is it a repair packet's turn? */
bool give_repair(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
void sender_fec_learn(struct video_sender *vs); /* after feedback */

/* video_sender_packets.c. The transport-wide number of the packet that goes now. */
uint16_t next_twcc(struct video_sender *vs, size_t bytes, int64_t now_us);
void account(struct video_sender *vs, size_t len); /* a packet went */
/* Each makes one packet in *out; false: there is none. */
bool next_payload(struct video_sender *vs, const struct waiting_au *w, struct h265_payload *out);
bool give_next(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
bool give_resend(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
bool give_probe(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
bool give_padding(struct video_sender *vs, int64_t now_us, struct rtp_packet *out);
/* The packet that e is, or repeats; NULL: it has left. */
static inline struct history_entry *root_of(struct video_sender *vs, struct history_entry *e)
{
    return e && e->copy ? history_find(vs->history, e->root) : e;
}

/* video_sender_rtcp.c: of send_control. */
void video_sender_on_media(void *video_sender, uint16_t media_seq);
/* Did feedback acknowledge the last packet? Then it is not repeated any more. */
void tail_acknowledge(struct video_sender *vs, const struct rtcp_report *report);

#endif
