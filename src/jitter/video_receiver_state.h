/* The state of a video_receiver, for its two files: video_receiver.c (packets in, access units
 * out) and receiver_feedback.c (RTCP in and out). */
#ifndef HEVCAST_JITTER_VIDEO_RECEIVER_STATE_H
#define HEVCAST_JITTER_VIDEO_RECEIVER_STATE_H

#include "cc/remb_estimator.h"
#include "jitter/sender_clock.h"
#include "jitter/frame_assembly.h"
#include "jitter/nack_list.h"
#include "jitter/packet_ring.h"
#include "jitter/receive_stats.h"
#include "jitter/reorder.h"
#include "jitter/video_receiver.h"
#include "rtp/fec_decoder.h"
#include "rtp/twcc.h"

struct video_receiver {
    struct video_receiver_config config;
    int early_answers; /* in a row, to NACKs: too early to be some */
    struct fec_decoder *fec; /* owns; NULL: not negotiated */

    bool started;     /* the media SSRC is known */
    uint32_t ssrc, old_ssrc;
    bool old_ssrc_known;
    int64_t last_packet_us;

    bool holding;     /* the first packets wait in the ring until hold_until_us */
    int64_t hold_until_us;
    int64_t highest;  /* unwrapped sequence numbers: that arrived, and */
    int64_t expected; /* of the packet that frames wants next. missing has it, or it is above highest */
    bool jump_seen;   /* the last packet's sequence number was far off: jump_next would confirm it */
    uint16_t jump_next;

    struct nack_list missing;
    struct reorder reorder;
    struct packet_ring ring;
    struct frame_assembly frames;
    struct receive_stats reports;
    struct twcc_recorder transport;
    struct remb_estimator remb; /* where there is no transport-wide feedback */
    struct sender_clock clock;

    int64_t rr_next_us;   /* INT64_MAX: no packet yet */
    bool second_rr;
    int64_t key_asked_us; /* INT64_MIN: never */
    int64_t rpsi_us;      /* when references were asked for last; INT64_MIN: never */
    int key_tries;        /* since something was decoded */
    int64_t key_progress_us; /* when a packet of the IRAP that comes in arrived */
    uint8_t fir_seq;
    struct video_receiver_stats stats;
};

/* video_receiver.c. What time alone brings about. */
void video_receiver_tick(struct video_receiver *vr, int64_t now_us);
/* When the packet that is waited for is given up; INT64_MAX: none is. */
int64_t video_receiver_head_expires_us(const struct video_receiver *vr);
/* receiver_feedback.c. How long an answer to a NACK is waited for. */
int64_t video_receiver_retry_us(const struct video_receiver *vr);

#endif
