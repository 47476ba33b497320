/* Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): which packets came,
 * and when, in steps of 250 us. The recorder is the receiver's side, the reader the sender's. Pure. */
#ifndef HEVCAST_RTP_TWCC_H
#define HEVCAST_RTP_TWCC_H

#include "rtp/rtcp.h"

enum { TWCC_WINDOW = 2048 }; /* sequence numbers that are remembered; a power of two */

struct twcc_recorder {
    bool started;
    int64_t base;    /* unwrapped: the first that the next feedback tells of; above highest: none */
    int64_t highest;
    int64_t first_us;  /* when the first of those that wait came; INT64_MAX: none waits */
    int64_t waiting;   /* packets, and */
    int64_t bytes;     /* bytes that came since the last feedback */
    int64_t last_us;   /* of the last feedback; INT64_MIN: none yet */
    int64_t interval_us;
    uint8_t count;     /* of feedback packets */
    int64_t arrival_us[TWCC_WINDOW]; /* by sequence number; -1: it did not come */
};

void twcc_recorder_init(struct twcc_recorder *r);
/* now_us >= 0. A packet that came late makes its range be reported again. */
void twcc_record(struct twcc_recorder *r, uint16_t seq, size_t bytes, int64_t now_us);
/* When feedback should go: 50 to 250 ms after the last, by the rate (libwebrtc gives it 5 % of
 * the incoming rate), sooner when much waits; INT64_MAX: nothing to tell. */
int64_t twcc_due_us(const struct twcc_recorder *r);
/* One feedback packet, of what fits; at least 32 bytes must. Call while due. */
void twcc_write(struct twcc_recorder *r, struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc,
                int64_t now_us);

struct twcc_reader {
    uint16_t base;
    int n;            /* status count: packets that are told of */
    uint32_t reference; /* 24 bits, in 64 ms */
    uint8_t count;
    /* The walk. */
    const uint8_t *chunk, *delta, *end; /* borrows */
    int i, symbols_left;
    uint32_t symbols; /* of the current chunk */
    bool run;
    int64_t ticks;    /* of 250 us since the reference */
};
enum twcc_status { TWCC_LOST, TWCC_RECEIVED, TWCC_RECEIVED_NO_TIME };

/* false: not transport-wide feedback, or malformed in any place. */
bool twcc_read(struct twcc_reader *r, const struct rtcp_packet *p);
/* The next packet's sequence number and status; *offset_us: its arrival after the reference time
 * (TWCC_RECEIVED alone). false: no more. */
bool twcc_next(struct twcc_reader *r, uint16_t *seq, enum twcc_status *status, int64_t *offset_us);

#endif
