/* cc: what a viewer's path carries. The driver interface of congestion control; gcc.c is the one
 * there is. Pure: time is an argument.
 *
 * The owner (rtp/send_control) reports each packet that it sends and, in the order of sending,
 * what transport-wide feedback said of them; it asks for the estimate, the rate and the window of
 * the pacer, and for probes. */
#ifndef HEVCAST_CC_CC_H
#define HEVCAST_CC_CC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cc_config {
    int64_t start_bps, min_bps, max_bps;
};

enum { CC_LOST = -1, CC_NO_TIME = -2 };

struct cc_ack {
    int64_t sent_us;
    int64_t arrival_us; /* receiver's clock from any start, >= 0; or CC_LOST, CC_NO_TIME */
    uint32_t bytes;
    uint16_t probe;     /* the cluster it was sent in; 0: none */
    bool again;         /* it was told lost before, and has come after all */
};

struct cc_feedback {
    const struct cc_ack *ack; /* borrows */
    int n;
    int64_t now_us, rtt_us;   /* of the newest packet; with the wait for the feedback */
};

/* A cluster of packets to send at a rate of its own. */
struct cc_probe {
    uint16_t id;     /* never 0 */
    int64_t bps;
    int64_t bytes;   /* at least these, and */
    int packets;     /* at least as many */
};

struct cc;
struct cc_ops {
    const char *name;
    struct cc *(*open)(const struct cc_config *c); /* NULL: out of memory */
    void (*close)(struct cc **cc);
    void (*on_sent)(struct cc *cc, size_t bytes, uint16_t probe, int64_t now_us);
    void (*on_feedback)(struct cc *cc, const struct cc_feedback *f);
    /* Nothing was heard for long although packets are on their way. */
    void (*on_silence)(struct cc *cc, int64_t now_us);
    /* true: send this cluster now. Asked after each feedback, and at probe_next_us. */
    bool (*probe)(struct cc *cc, int64_t now_us, struct cc_probe *out);
    int64_t (*probe_next_us)(const struct cc *cc); /* INT64_MAX: none is planned */
};

/* Each implementation's state begins with it; the owner reads. */
struct cc {
    const struct cc_ops *ops;
    int64_t estimate_bps;
    int64_t pacing_bps;
    int64_t window_bytes; /* on their way at most */
    int64_t queue_us;     /* that our packets wait in the path, as far as it is known */
    double loss;          /* of the last second or so */
};

extern const struct cc_ops cc_gcc;

#endif
