/* Packets that wait for one before them. Indexed by the unwrapped sequence number, so that each
 * operation takes constant time; buffers stay with their slots and are used again. Pure. */
#ifndef HEVCAST_JITTER_PACKET_RING_H
#define HEVCAST_JITTER_PACKET_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_PACKETS = 2048, RING_MAX_BYTES = 8 << 20 };

/* A packet of the media stream, taken out of RTX where it came so. */
struct media_packet {
    int64_t seq; /* unwrapped */
    uint32_t ts;
    bool marker;
    bool key_start;       /* it begins with a VPS, so an IRAP access unit begins here. An IRAP slice
                             alone would not say whether new parameter sets were before it */
    const uint8_t *payload;
    size_t len;
    int64_t arrival_us;
    uint64_t capture_ntp; /* 0: not in it */
};

struct ring_slot {
    struct media_packet packet; /* payload points to data */
    bool present;
    uint8_t *data; /* owns */
    size_t cap;
};

struct packet_ring {
    struct ring_slot slot[RING_PACKETS];
    size_t bytes;   /* sum of cap */
    int key_starts; /* present packets with key_start */
};

void packet_ring_free_slots(struct packet_ring *r);
void packet_ring_clear(struct packet_ring *r);
/* Copies the payload. false: too much memory, not stored. */
bool packet_ring_store(struct packet_ring *r, const struct media_packet *p);
/* Borrowed until the slot is used again; NULL: not there. */
const struct media_packet *packet_ring_get(const struct packet_ring *r, int64_t seq);
void packet_ring_drop(struct packet_ring *r, int64_t seq);

#endif
