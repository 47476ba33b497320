/* Packets in order to access units. Holds back what cannot be decoded: before the first IRAP,
 * and after a loss until the next. Pure but for the memory of access units. */
#ifndef HEVCAST_JITTER_FRAME_ASSEMBLY_H
#define HEVCAST_JITTER_FRAME_ASSEMBLY_H

#include "decode/refs.h"
#include "jitter/packet_ring.h"
#include "jitter/playout.h"
#include "rtp/h265_depack.h"

enum { ASSEMBLY_MAX_AU = 8 << 20, ASSEMBLY_MAX_READY = 256, ASSEMBLY_MAX_READY_BYTES = 8 << 20 };

struct frame_assembly {
    struct param_sets *sets; /* owns */
    struct refs *refs;       /* owns: of what was given */
    struct h265_depack depack;
    struct access_unit *au;  /* owns; NULL while none is open, or the open one is broken */
    bool open, broken;
    uint32_t ts;             /* of the open one */
    bool gap;                /* packets were lost before the next one */
    bool markers;            /* this sender sets markers: an access unit without one is cut off */
    bool need_key;           /* nothing but an IRAP can be given */
    bool lost;               /* the next one given is after_loss */
    bool skip_rasl;          /* they refer to pictures before the CRA that was given */
    size_t usual_len;        /* to size new access units */
    struct playout_picture timing; /* of the open one */
    struct playout playout;

    bool any_ts;             /* unwrapping of timestamps */
    uint32_t last_ts;
    int64_t unwrapped_ts;

    struct access_unit *ready[ASSEMBLY_MAX_READY]; /* owns; a ring */
    unsigned ready_first, ready_n;
    size_t ready_bytes;

    int64_t given, dropped, malformed, resumed; /* resumed: losses that ended without an IRAP */
};

bool frame_assembly_init(struct frame_assembly *a); /* false: out of memory */
void frame_assembly_clear(struct frame_assembly *a); /* frees what it owns */
/* The sender started again, under another SSRC. */
void frame_assembly_restart(struct frame_assembly *a);
/* The packets right before the next one are lost. */
void frame_assembly_gap(struct frame_assembly *a);
/* The packets before the next one are left out, for it begins an IRAP access unit. */
void frame_assembly_skip_to_key(struct frame_assembly *a);
/* Does the packet begin a picture at which to go on after a loss, since all that it refers to was
 * given? */
bool frame_assembly_could_resume(const struct frame_assembly *a, const struct media_packet *p);
/* The packets before the next one, of which that is so, are left out. */
void frame_assembly_resume(struct frame_assembly *a);
void frame_assembly_packet(struct frame_assembly *a, const struct media_packet *p, int64_t now_us);
struct access_unit *frame_assembly_pop(struct frame_assembly *a); /* gives; NULL: none */
void frame_assembly_request_key(struct frame_assembly *a);
/* An IRAP access unit is coming in, and nothing of it was given up. */
static inline bool frame_assembly_in_key(const struct frame_assembly *a)
{
    return a->open && !a->broken && (a->depack.has_irap || a->depack.has_param_sets);
}

#endif
