/* srtp_index: the 48-bit index of an SRTP packet, from the 16 bits that it carries, and which indices
 * came before (RFC 3711 section 3.3). Pure. */
#ifndef HEVCAST_TRANSPORT_SRTP_INDEX_H
#define HEVCAST_TRANSPORT_SRTP_INDEX_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SRTP_INDEX_LIMIT (UINT64_C(1) << 48)  /* of packets under one key; SRTP's own indices too */
#define SRTCP_INDEX_LIMIT (UINT64_C(1) << 31)

/* RFC 3711 section 3.3.1: within half a lap of the newest. What would lie before the first lap is
 * of this one: a rollover counter below 0 there is not. It may be SRTP_INDEX_LIMIT or more. */
static inline uint64_t srtp_index_guess(uint64_t newest, uint16_t seq)
{
    uint64_t lap = newest >> 16;
    uint16_t s_l = (uint16_t)newest;
    if (s_l < 0x8000) {
        if (lap > 0 && seq - s_l > 0x8000)
            lap--;
    } else if (s_l - 0x8000 > seq) {
        lap++;
    }
    return lap << 16 | seq;
}

enum {
    SRTP_WINDOW = 1024, /* at 100 Mb/s some 100 ms: more reordering than networks do */
};

/* All zero: nothing came. */
struct srtp_replay {
    uint64_t newest;
    bool any;
    uint64_t seen[SRTP_WINDOW / 64]; /* index modulo SRTP_WINDOW */
};

/* Did it not come before, and is it not older than can be known? */
static inline bool srtp_replay_fresh(const struct srtp_replay *r, uint64_t index)
{
    if (!r->any || index > r->newest)
        return true;
    if (r->newest - index >= SRTP_WINDOW)
        return false;
    return !(r->seen[index % SRTP_WINDOW / 64] >> index % 64 & 1);
}

/* It is authentic, and was fresh. */
static inline void srtp_replay_note(struct srtp_replay *r, uint64_t index)
{
    if (!r->any || index > r->newest) {
        if (!r->any || index - r->newest >= SRTP_WINDOW)
            memset(r->seen, 0, sizeof r->seen);
        else
            for (uint64_t i = r->newest + 1; i < index; i++)
                r->seen[i % SRTP_WINDOW / 64] &= ~(UINT64_C(1) << i % 64);
        r->newest = index;
        r->any = true;
    }
    r->seen[index % SRTP_WINDOW / 64] |= UINT64_C(1) << index % 64;
}

#endif
