#include "rtp/send_control.h"

#include <stdlib.h>

enum {
    SILENCE_US = 500000, SILENCE_RTTS = 3,
    FIRST_SILENCE_US = 2000000, /* then the peer does not speak it */
    REFERENCE_US = 64000,
};
enum { TOLD_NOTHING, TOLD_LOST, TOLD_RECEIVED };

struct send_control *send_control_new(const struct cc_ops *ops, const struct cc_config *c)
{
    struct send_control *sc = calloc(1, sizeof *sc);
    if (!sc || !(sc->cc = ops->open(c))) {
        free(sc);
        return NULL;
    }
    sc->told = -1;
    sc->reference = -1;
    sc->waits_since_us = INT64_MAX;
    return sc;
}

void send_control_free(struct send_control **psc)
{
    struct send_control *sc = *psc;
    *psc = NULL;
    if (!sc)
        return;
    sc->cc->ops->close(&sc->cc);
    free(sc);
}

/* All up to seq are accounted for. */
static void land(struct send_control *sc, int64_t seq)
{
    for (; sc->told < seq; sc->told++)
        sc->flight_bytes -= sc->ring[(sc->told + 1) & (SEND_RING - 1)].bytes;
}

void send_control_new_path(struct send_control *sc, const struct cc_config *c)
{
    const struct cc_ops *ops = sc->cc->ops;
    struct cc *fresh = ops->open(c);
    if (!fresh)
        return;
    ops->close(&sc->cc);
    sc->cc = fresh;
    sc->path_start = sc->next;
    land(sc, sc->next - 1);
    sc->waits_since_us = INT64_MAX;
    sc->rtt_us = 0;
    sc->probe.id = 0;
}

uint16_t send_control_sent(struct send_control *sc, size_t bytes, bool in_probe, int64_t now_us)
{
    int64_t seq = sc->next++;
    int i = (int)(seq & (SEND_RING - 1));
    uint16_t id = in_probe ? sc->probe.id : 0;
    sc->ring[i].sent_us = now_us;
    sc->ring[i].bytes = (uint32_t)bytes;
    sc->ring[i].probe = id;
    sc->ring[i].told = TOLD_NOTHING;
    sc->ring[i].media = false;
    sc->flight_bytes += (int64_t)bytes;
    if (seq - sc->told >= SEND_RING) { /* it is forgotten by now */
        sc->told++;
        sc->flight_bytes -= sc->ring[sc->told & (SEND_RING - 1)].bytes;
    }
    if (sc->waits_since_us == INT64_MAX)
        sc->waits_since_us = now_us;
    sc->cc->ops->on_sent(sc->cc, bytes, id, now_us);
    if (id) {
        sc->probe_bytes += (int64_t)bytes;
        sc->probe_packets++;
        sc->probe_next_us += (int64_t)bytes * 8000000 / sc->probe.bps;
        if (sc->probe_bytes >= sc->probe.bytes && sc->probe_packets >= sc->probe.packets)
            sc->probe.id = 0;
    }
    return (uint16_t)seq;
}

void send_control_carries(struct send_control *sc, uint16_t media_seq)
{
    int i = (int)((sc->next - 1) & (SEND_RING - 1));
    sc->ring[i].media = true;
    sc->ring[i].media_seq = media_seq;
}

static int64_t unwrap_reference(struct send_control *sc, uint32_t reference)
{
    if (sc->reference < 0) /* far from 0: packets may come before it */
        sc->reference = (1 << 24) + (int64_t)reference;
    int32_t d = (int32_t)((reference - (uint32_t)sc->reference) << 8) >> 8;
    sc->reference += d;
    if (sc->reference < 1 << 20)
        sc->reference += 1 << 24;
    return sc->reference;
}

static void tell(struct send_control *sc, int n, int64_t newest_us, int64_t now_us)
{
    struct cc_feedback f = {.ack = sc->ack, .n = n, .now_us = now_us,
                            .rtt_us = newest_us < 0 ? 0 : now_us - newest_us};
    if (f.rtt_us > 0)
        sc->rtt_us = f.rtt_us;
    if (n > 0)
        sc->cc->ops->on_feedback(sc->cc, &f);
}

bool send_control_feedback(struct send_control *sc, const struct rtcp_packet *p, int64_t now_us)
{
    struct twcc_reader r;
    uint16_t wire_seq;
    enum twcc_status status;
    int64_t offset_us, newest_us = -1;
    if (!twcc_read(&r, p))
        return false;
    int64_t start_us = unwrap_reference(sc, r.reference) * REFERENCE_US;
    int n = 0;
    while (twcc_next(&r, &wire_seq, &status, &offset_us)) {
        int64_t seq = sc->next + (int16_t)(wire_seq - (uint16_t)sc->next);
        if (seq < 0 || seq >= sc->next || seq <= sc->next - SEND_RING)
            continue; /* never sent, or long ago */
        int i = (int)(seq & (SEND_RING - 1));
        int told = status == TWCC_LOST ? TOLD_LOST : TOLD_RECEIVED;
        if (seq > sc->told)
            land(sc, seq);
        if (told <= sc->ring[i].told || seq < sc->path_start)
            continue;
        sc->ack[n++] = (struct cc_ack){
            .sent_us = sc->ring[i].sent_us,
            .arrival_us = status == TWCC_LOST       ? CC_LOST
                          : status == TWCC_RECEIVED ? start_us + offset_us
                                                    : CC_NO_TIME,
            .bytes = sc->ring[i].bytes,
            .probe = sc->ring[i].probe,
            .again = sc->ring[i].told == TOLD_LOST,
        };
        sc->ring[i].told = (uint8_t)told;
        if (told == TOLD_RECEIVED)
            newest_us = sc->ring[i].sent_us;
        if (told == TOLD_RECEIVED && sc->ring[i].media && sc->on_media)
            sc->on_media(sc->ctx, sc->ring[i].media_seq);
        if (n == SEND_ACKS) {
            tell(sc, n, newest_us, now_us);
            n = 0;
            newest_us = -1;
        }
    }
    sc->heard = true;
    sc->deaf = false;
    sc->waits_since_us = sc->flight_bytes > 0 ? now_us : INT64_MAX;
    tell(sc, n, newest_us, now_us);
    return true;
}

bool send_control_received(const struct send_control *sc, uint16_t wire_seq)
{
    int64_t seq = sc->next + (int16_t)(wire_seq - (uint16_t)sc->next);
    return seq >= 0 && seq < sc->next && seq > sc->next - SEND_RING &&
           sc->ring[seq & (SEND_RING - 1)].told == TOLD_RECEIVED;
}

bool send_control_missing_media(const struct send_control *sc, int64_t seq, uint16_t *media_seq,
                                bool *lost)
{
    int i = (int)(seq & (SEND_RING - 1));
    if (seq < 0 || seq >= sc->next || seq <= sc->next - SEND_RING || !sc->ring[i].media ||
        sc->ring[i].told == TOLD_RECEIVED)
        return false;
    *lost = sc->ring[i].told == TOLD_LOST;
    *media_seq = sc->ring[i].media_seq;
    return true;
}

bool send_control_open(const struct send_control *sc)
{
    return sc->deaf || sc->flight_bytes < sc->cc->window_bytes;
}

static int64_t silence_us(const struct send_control *sc)
{
    if (sc->waits_since_us == INT64_MAX || sc->deaf)
        return INT64_MAX;
    int64_t wait = SILENCE_RTTS * sc->rtt_us > SILENCE_US ? SILENCE_RTTS * sc->rtt_us : SILENCE_US;
    return sc->waits_since_us + (sc->heard ? wait : FIRST_SILENCE_US);
}

static void give_up_waiting(struct send_control *sc, int64_t now_us)
{
    land(sc, sc->next - 1);
    sc->waits_since_us = INT64_MAX;
    if (sc->heard)
        sc->cc->ops->on_silence(sc->cc, now_us);
    else
        sc->deaf = true;
}

void send_control_poll(struct send_control *sc, int64_t now_us)
{
    if (now_us >= silence_us(sc))
        give_up_waiting(sc, now_us);
    if (!sc->probe.id && !sc->deaf && sc->cc->ops->probe(sc->cc, now_us, &sc->probe)) {
        sc->probe_bytes = 0;
        sc->probe_packets = 0;
        sc->probe_next_us = now_us;
    }
}

void send_control_cancel_probe(struct send_control *sc) { sc->probe.id = 0; }

int64_t send_control_next_us(const struct send_control *sc)
{
    int64_t next = silence_us(sc);
    int64_t probe = sc->probe.id || sc->deaf ? INT64_MAX : sc->cc->ops->probe_next_us(sc->cc);
    return probe < next ? probe : next;
}
