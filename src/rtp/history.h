/* What was sent, for retransmission: descriptions of packets by sequence number, each with a
 * reference to its access unit. A ring that grows only while packets that are still young enough
 * to be asked for would fall out. Pure but for that growth. */
#ifndef HEVCAST_RTP_HISTORY_H
#define HEVCAST_RTP_HISTORY_H

#include "rtp/h265_pack.h"

struct history_entry {
    struct access_unit *au; /* a reference; NULL: none */
    struct h265_payload payload;
    uint32_t rtp_ts;
    uint64_t capture_ntp;
    uint32_t abs_send_time; /* these two as in the packet that was sent: without RTX a resend is */
    uint16_t twcc;          /* that packet again, bit for bit */
    int64_t sent_us, resent_us; /* resent_us 0: never */
    bool resend_waits;
    bool arrived;        /* feedback said so, of this packet or a repetition */
    /* Where repetitions have numbers of their own in the same stream (the audio carrier): */
    bool copy;           /* this is one, of the packet `root` */
    uint16_t root, newest; /* newest: the last one of this packet, or itself */
};

struct history;
/* Room for `packets` at first, for at most max_packets; powers of two up to 16384. */
struct history *history_new(size_t packets, size_t max_packets);
void history_free(struct history **h);
/* The slot of the next packet, cleared, for the caller to fill in; seq follows the last one.
 * Entries that are older than keep_us leave. au: borrows, and takes a reference. Never NULL. */
struct history_entry *history_add(struct history *h, uint16_t seq, struct access_unit *au,
                                  int64_t now_us, int64_t keep_us);
struct history_entry *history_find(struct history *h, uint16_t seq); /* NULL: not there any more */

#endif
