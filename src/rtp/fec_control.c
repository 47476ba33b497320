#include "rtp/fec_control.h"

#include "rtp/fec_encoder.h"

#include <string.h>

enum {
    IN_TIME_US = 65000, LATE_US = 80000, /* RTT: a retransmission is in time below, late above */
    LONG_RUN = 64,      /* more in a row is an outage: nothing repairs it, and it tells nothing */
    MEMORY = 2000,      /* packets */
    MIN_KNOWN = 50,
    MIN_COLUMNS = 4, MAX_COLUMNS = 16,
    MIN_WAIT_US = 20000, MAX_WAIT_US = 100000,
};
static const double LOSS_ON = 0.005, LOSS_OFF = 0.002;
static const double LOSS_TWICE = 0.08, LOSS_ONCE = 0.05;
static const double BURSTY = 4;
static const double MIN_SHARE = 0.1, MAX_SHARE = 0.25;

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

void fec_control_plan(struct fec_control *c, int64_t rtt_us, struct fec_plan *out)
{
    bool known = c->packets >= MIN_KNOWN;
    c->on = known && (c->on ? rtt_us > IN_TIME_US && c->loss > LOSS_OFF
                            : rtt_us > LATE_US && c->loss > LOSS_ON);
    /* What a burst takes is asked for at once, and may go into the next burst as a whole. */
    double worth = c->burst > 2 ? BURSTY * c->loss : c->loss;
    c->twice = known && (c->twice ? rtt_us > IN_TIME_US && worth > LOSS_ONCE
                                  : rtt_us > LATE_US && worth > LOSS_TWICE);
    int columns = (int)(c->burst * 1.5 + 0.999);
    columns = columns < MIN_COLUMNS ? MIN_COLUMNS : columns > MAX_COLUMNS ? MAX_COLUMNS : columns;
    double share = 0.05 + 3 * c->loss;
    share = share < MIN_SHARE ? MIN_SHARE : share > MAX_SHARE ? MAX_SHARE : share;
    int block = (int)(columns / share);
    int64_t wait_us = rtt_us / 2;
    wait_us = wait_us < MIN_WAIT_US ? MIN_WAIT_US : wait_us > MAX_WAIT_US ? MAX_WAIT_US : wait_us;
    *out = (struct fec_plan){.on = c->on, .twice = c->twice, .columns = columns,
                             .block = block > FEC_SPAN ? FEC_SPAN : block, .wait_us = wait_us};
}

int fec_plan_repairs(const struct fec_plan *p, int n)
{
    int repairs = (n * p->columns + p->block - 1) / p->block;
    return repairs < 1 ? 1 : repairs > p->columns ? p->columns : repairs;
}
