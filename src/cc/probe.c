#include "cc/probe.h"

#include <string.h>

enum {
    CLUSTER_US = 15000, CLUSTER_PACKETS = 5, PACKET_BYTES = 1200,
    INTERVAL_MIN_US = 2000000, INTERVAL_MAX_US = 10000000,
    FULL_US = 3000000,    /* after a decrease: the path was full just now */
    HOPEFUL_US = 2000000, /* the most, while the path carried much more not long ago */
    ANSWER_US = 1000000, /* what was not heard of until then never will be */
};
static const double FIRST = 3, AGAIN = 2;
static const double GOOD = 0.7;      /* of the probed rate: worth going on from */
static const double USE = 0.95;      /* of a rate that was less than what was sent */
static const double ENOUGH = 0.8;    /* of the cluster came */
static const double NEARLY = 0.95;

void probe_init(struct probe_control *p)
{
    memset(p, 0, sizeof *p);
    p->next_id = 1;
    p->first = true;
    p->interval_us = INTERVAL_MIN_US;
}

static int64_t next_at(const struct probe_control *p)
{
    int64_t hopeful = p->ended_us + HOPEFUL_US;
    return p->hopeful && hopeful < p->next_us ? hopeful : p->next_us;
}

bool probe_due(struct probe_control *p, int64_t bps, int64_t max_bps, int64_t now_us,
               struct cc_probe *out)
{
    if (p->cluster.id || now_us < next_at(p) || (double)bps >= NEARLY * (double)max_bps)
        return false;
    int64_t rate = (int64_t)((p->first ? FIRST : AGAIN) * (double)bps);
    rate = rate > max_bps ? max_bps : rate;
    int64_t bytes = rate * CLUSTER_US / 8000000;
    memset(&p->cluster, 0, sizeof p->cluster);
    p->cluster.id = p->next_id++;
    if (p->next_id == 0)
        p->next_id = 1;
    p->cluster.bps = rate;
    p->cluster.bytes = bytes > CLUSTER_PACKETS * PACKET_BYTES ? bytes
                                                              : CLUSTER_PACKETS * PACKET_BYTES;
    p->cluster.packets = CLUSTER_PACKETS;
    p->begun_us = now_us;
    p->first = false;
    p->sent = p->told = p->came = 0;
    p->sent_bytes = p->came_bytes = 0;
    *out = p->cluster;
    return true;
}

int64_t probe_next(const struct probe_control *p, int64_t bps, int64_t max_bps)
{
    if (p->cluster.id)
        return p->begun_us + ANSWER_US;
    return (double)bps >= NEARLY * (double)max_bps ? INT64_MAX : next_at(p);
}

void probe_sent(struct probe_control *p, size_t bytes, uint16_t id, int64_t now_us)
{
    if (id == 0 || id != p->cluster.id)
        return;
    p->begun_us = now_us;
    p->sent++;
    p->sent_bytes += (int64_t)bytes;
}

void probe_ack(struct probe_control *p, const struct cc_ack *a)
{
    if (a->probe == 0 || a->probe != p->cluster.id)
        return;
    p->told += !a->again;
    if (a->arrival_us < 0)
        return;
    if (p->came == 0 || a->sent_us < p->first_sent_us)
        p->first_sent_us = a->sent_us;
    if (p->came == 0 || a->sent_us >= p->last_sent_us) {
        p->last_sent_us = a->sent_us;
        p->last_bytes = a->bytes;
    }
    if (p->came == 0 || a->arrival_us < p->first_arrival_us) {
        p->first_arrival_us = a->arrival_us;
        p->first_bytes = a->bytes;
    }
    if (p->came == 0 || a->arrival_us > p->last_arrival_us)
        p->last_arrival_us = a->arrival_us;
    p->came++;
    p->came_bytes += a->bytes;
}

/* What came through; 0: too little is known. */
static int64_t measured(const struct probe_control *p)
{
    if (p->came < CLUSTER_PACKETS || (double)p->came_bytes < ENOUGH * (double)p->cluster.bytes)
        return 0;
    int64_t sent_us = p->last_sent_us - p->first_sent_us;
    int64_t came_us = p->last_arrival_us - p->first_arrival_us;
    /* A timer that came late may have sent it all at once: then the probed rate was no more. */
    int64_t sent_bps = sent_us > 0 ? (p->came_bytes - p->last_bytes) * 8000000 / sent_us
                                   : p->cluster.bps;
    sent_bps = sent_bps > p->cluster.bps ? p->cluster.bps : sent_bps;
    int64_t came_bps = came_us > 0 ? (p->came_bytes - p->first_bytes) * 8000000 / came_us
                                   : sent_bps;
    if ((double)came_bps >= 0.9 * (double)sent_bps)
        return came_bps < sent_bps ? came_bps : sent_bps;
    return (int64_t)(USE * (double)came_bps);
}

int64_t probe_result(struct probe_control *p, int64_t bps, int64_t now_us)
{
    if (p->cluster.id == 0)
        return 0;
    bool whole = p->sent >= p->cluster.packets && p->sent_bytes >= p->cluster.bytes;
    if (!(whole && p->told >= p->sent) && now_us - p->begun_us < ANSWER_US)
        return 0;
    int64_t found = measured(p);
    bool good = (double)found >= GOOD * (double)p->cluster.bps && found > bps;
    if (found - found / 20 > bps) {
        p->interval_us = INTERVAL_MIN_US;
    } else {
        p->interval_us *= 2;
        p->interval_us = p->interval_us > INTERVAL_MAX_US ? INTERVAL_MAX_US : p->interval_us;
    }
    p->ended_us = now_us;
    p->next_us = good ? now_us : now_us + p->interval_us;
    p->cluster.id = 0;
    return found > bps ? found : 0;
}

void probe_postpone(struct probe_control *p, int64_t now_us)
{
    p->interval_us = INTERVAL_MIN_US;
    p->ended_us = now_us;
    p->next_us = now_us + FULL_US;
    p->first = false;
}
