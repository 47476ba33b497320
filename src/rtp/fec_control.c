#include "rtp/fec_control.h"

#include "rtp/fec_encoder.h"

#include <string.h>

enum {
    IN_TIME_US = 65000, LATE_US = 80000, /* RTT: a retransmission is in time below, late above */
    OFTEN_IN_TIME_US = 30000, OFTEN_LATE_US = 40000, /* the same, where losses are frequent */
    LONG_RUN = 64,      /* more in a row is an outage: nothing repairs it, and it tells nothing */
    MEMORY = 2000,      /* packets */
    MIN_KNOWN = 50,
    MIN_COLUMNS = 4, MAX_COLUMNS = 16, /* against bursts */
    CROSSED_BLOCK = 40, /* packets; FEC_COLUMNS are enough for them */
    MIN_WAIT_US = 20000, MAX_WAIT_US = 100000,
    AGAIN_BURST_US = 25000, AGAIN_RANDOM_US = 5000,
};
static const double LOSS_ON = 0.005, LOSS_OFF = 0.002;
static const double OFTEN_ON = 0.02, OFTEN_OFF = 0.012;
static const double LOSS_TWICE = 0.02, LOSS_ONCE = 0.012;
static const double BURST = 2, BURSTY = 2;
static const double MIN_SHARE = 0.1, MAX_SHARE = 0.25;
/* Crossed: about three blocks in a hundred are not repaired in full. */
static const double CROSSED_SHARE = 0.08, CROSSED_MORE = 4, CROSSED_MAX = 0.35;

void fec_control_init(struct fec_control *c)
{
    memset(c, 0, sizeof *c);
    c->burst = 1;
}

void fec_control_packet(struct fec_control *c, bool lost)
{
    if (lost) {
        c->run++;
    } else if (c->run > 0) {
        if (c->run <= LONG_RUN)
            c->burst += ((double)c->run - c->burst) / 16;
        c->run = 0;
    }
    if (c->run > LONG_RUN)
        return;
    c->packets += c->packets < MEMORY;
    double weight = 1 / (double)(c->packets < MIN_KNOWN ? MIN_KNOWN : c->packets);
    c->loss += ((lost ? 1.0 : 0.0) - c->loss) * weight;
}

/* What is lost often is repaired on shorter paths too: a second loss of the same packet, and all that
 * waits behind it, are then no exception. */
static bool late(const struct fec_control *c, bool now_on, int64_t rtt_us)
{
    bool often = c->loss > (now_on ? OFTEN_OFF : OFTEN_ON);
    if (often)
        return rtt_us > (now_on ? OFTEN_IN_TIME_US : OFTEN_LATE_US);
    return rtt_us > (now_on ? IN_TIME_US : LATE_US);
}

static void plan_bursts(const struct fec_control *c, struct fec_plan *out)
{
    int columns = (int)(c->burst * 1.5 + 0.999);
    columns = columns < MIN_COLUMNS ? MIN_COLUMNS : columns > MAX_COLUMNS ? MAX_COLUMNS : columns;
    double share = 0.05 + 3 * c->loss;
    share = share < MIN_SHARE ? MIN_SHARE : share > MAX_SHARE ? MAX_SHARE : share;
    int block = (int)(columns / share);
    out->crossed = false;
    out->columns = columns;
    out->block = block > FEC_SPAN ? FEC_SPAN : block;
}

static void plan_random(const struct fec_control *c, int packets, struct fec_plan *out)
{
    double share = CROSSED_SHARE + CROSSED_MORE * c->loss;
    share = share > CROSSED_MAX ? CROSSED_MAX : share;
    packets = packets < 1 ? 1 : packets;
    int blocks = (packets + CROSSED_BLOCK - 1) / CROSSED_BLOCK;
    packets = (packets + blocks - 1) / blocks;
    int columns = (int)(packets * share + 0.5);
    out->crossed = true;
    out->columns = columns < 1 ? 1 : columns > FEC_COLUMNS ? FEC_COLUMNS : columns;
    int block = (int)(out->columns / share + 0.5);
    block = block < packets ? packets : block;
    out->block = block > FEC_SPAN ? FEC_SPAN : block;
}

void fec_control_plan(struct fec_control *c, int64_t rtt_us, int packets, struct fec_plan *out)
{
    bool known = c->packets >= MIN_KNOWN, bursts = c->burst > BURST;
    c->on = known && late(c, c->on, rtt_us) && c->loss > (c->on ? LOSS_OFF : LOSS_ON);
    /* What a burst takes is asked for at once, and may go into the next burst as a whole. */
    double worth = bursts ? BURSTY * c->loss : c->loss;
    c->twice = known && late(c, c->twice, rtt_us) && worth > (c->twice ? LOSS_ONCE : LOSS_TWICE);
    int64_t wait_us = rtt_us / 2;
    wait_us = wait_us < MIN_WAIT_US ? MIN_WAIT_US : wait_us > MAX_WAIT_US ? MAX_WAIT_US : wait_us;
    *out = (struct fec_plan){.on = c->on, .twice = c->twice, .wait_us = wait_us,
                             .again_us = bursts ? AGAIN_BURST_US : AGAIN_RANDOM_US};
    if (bursts)
        plan_bursts(c, out);
    else
        plan_random(c, packets, out);
}

int fec_plan_repairs(const struct fec_plan *p, int n)
{
    int repairs = (n * p->columns + p->block - 1) / p->block;
    return p->crossed || repairs > p->columns ? p->columns : repairs < 1 ? 1 : repairs;
}
