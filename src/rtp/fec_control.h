/* fec_control: how much forward error correction a path needs. Pure.
 *
 * None where a retransmission comes in time, or hardly anything is lost. Losses at random: blocks of
 * a picture, or of part of a large one, with crossed columns, whose repair packets are a share that
 * grows with the loss. Losses in bursts: as many columns as bursts are long, and half as many more,
 * over blocks of several pictures. Where much is lost, what is asked for goes twice besides. */
#ifndef HEVCAST_RTP_FEC_CONTROL_H
#define HEVCAST_RTP_FEC_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct fec_control {
    double loss, burst;  /* smoothed: share of packets; packets lost in a row */
    int64_t packets;     /* whose fate is known */
    int run;             /* packets lost in a row until now */
    bool on, twice;
};

struct fec_plan {
    bool on;
    bool twice;          /* retransmissions */
    int64_t again_us;    /* how long after the first: a burst is over by then */
    bool crossed;        /* the columns; the block ends with a picture */
    int columns;
    int block;           /* packets */
    int64_t wait_us;     /* at most, from a block's first packet to its repair packets */
};

void fec_control_init(struct fec_control *c);
/* The fate of each packet, in the order of sending. */
void fec_control_packet(struct fec_control *c, bool lost);
/* For a block that begins with the first of so many packets that wait. */
void fec_control_plan(struct fec_control *c, int64_t rtt_us, int packets, struct fec_plan *out);
/* How many repair packets for a block of n that ended before it was full. */
int fec_plan_repairs(const struct fec_plan *p, int n);

#endif
