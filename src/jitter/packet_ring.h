/* Packets that wait for one before them. Indexed by the unwrapped sequence number, so that each
 * operation takes constant time; buffers stay with their slots and are used again. Pure. */
#ifndef HEVCAST_JITTER_PACKET_RING_H
#define HEVCAST_JITTER_PACKET_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_PACKETS = 2048, RING_MAX_BYTES = 8 << 20 };

/* How a packet of the media stream came: as it was sent, in a retransmission (RFC 4588), or
 * computed from others (forward error correction). */
enum packet_origin { PACKET_SENT, PACKET_RTX, PACKET_FEC };

/* A packet of the media stream. */
struct media_packet {
    int64_t seq; /* unwrapped */
    enum packet_origin origin;
    uint32_t ts;
    bool marker;
    bool key_start;       /* it begins with a VPS, so an IRAP access unit begins here. An IRAP slice
                             alone would not say whether new parameter sets were before it */
    const uint8_t *payload;
    size_t len;
    int64_t arrival_us;
    uint64_t capture_ntp; /* 0: not in it */
    uint32_t send_time;   /* abs-send-time, 24 bits of 1/2^18 s; with has_send_time */
    bool has_send_time;
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
