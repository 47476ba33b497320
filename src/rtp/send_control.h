/* send_control: congestion control of one RTP sender. It keeps what was sent by transport-wide
 * sequence number, matches the feedback with it, and runs a `struct cc`. Pure. */
#ifndef HEVCAST_RTP_SEND_CONTROL_H
#define HEVCAST_RTP_SEND_CONTROL_H

#include "cc/cc.h"
#include "rtp/twcc.h"

enum { SEND_RING = 8192, SEND_ACKS = 1024 };

struct send_control {
    struct cc *cc; /* owns */
    struct {
        int64_t sent_us;
        uint32_t bytes;
        uint16_t probe;
        uint8_t told; /* enum: nothing, lost, received */
        bool media;   /* it carried the packet media_seq */
        uint16_t media_seq;
    } ring[SEND_RING];
    void (*on_media)(void *ctx, uint16_t media_seq); /* a packet that carried it arrived; or NULL */
    void *ctx;
    int64_t next;  /* unwrapped sequence number of the next packet */
    int64_t told;  /* the highest that feedback told of, or that was given up */
    int64_t path_start; /* what was sent before it went another way, and tells nothing of this one */
    int64_t flight_bytes; /* of all above told */
    int64_t waits_since_us; /* since when feedback is waited for; INT64_MAX: nothing is on its way */
    bool heard;    /* feedback came */
    bool deaf;     /* the peer agreed to give feedback, and does not: as if it had not */
    int64_t reference; /* unwrapped, of the last feedback; -1: none yet */
    int64_t rtt_us;
    /* The cluster that is being sent; id 0: none. */
    struct cc_probe probe;
    int64_t probe_bytes, probe_next_us;
    int probe_packets;
    struct cc_ack ack[SEND_ACKS]; /* scratch */
};

struct send_control *send_control_new(const struct cc_ops *ops, const struct cc_config *c);
void send_control_free(struct send_control **sc);
/* The packets take another path from now on (an ICE restart): what was known of the old one is
 * forgotten, and the start is fast again. Out of memory: the old estimate stays. */
void send_control_new_path(struct send_control *sc, const struct cc_config *c);
/* The sequence number of the packet that goes now; in_probe: as one of the cluster. */
uint16_t send_control_sent(struct send_control *sc, size_t bytes, bool in_probe, int64_t now_us);
/* What the packet that was told of last carries. */
void send_control_carries(struct send_control *sc, uint16_t media_seq);
bool send_control_feedback(struct send_control *sc, const struct rtcp_packet *p, int64_t now_us);
bool send_control_received(const struct send_control *sc, uint16_t seq); /* as far as told */
/* Did this packet (its number unwrapped) carry one of media, and has no feedback said that it came?
 * Which? lost: feedback said that it did not. */
bool send_control_missing_media(const struct send_control *sc, int64_t seq, uint16_t *media_seq,
                                bool *lost);
/* Is there room for more on the way? */
bool send_control_open(const struct send_control *sc);
/* Begins a cluster when one is due. */
void send_control_poll(struct send_control *sc, int64_t now_us);
/* When the cluster's next packet is due; INT64_MAX: no cluster. */
static inline int64_t send_control_probe_us(const struct send_control *sc)
{
    return sc->probe.id ? sc->probe_next_us : INT64_MAX;
}
void send_control_cancel_probe(struct send_control *sc); /* there is nothing to send it with */
int64_t send_control_next_us(const struct send_control *sc); /* of poll */

#endif
