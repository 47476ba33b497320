/* reconnect: when a viewer's connection is held for lost, and when to try again. Pure: time and
 * chance are arguments. */
#ifndef HEVCAST_SESSION_RECONNECT_H
#define HEVCAST_SESSION_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEARTBEAT_MEMORY = 4,
    HEARTBEAT_MIN_US = 3500000,  /* three reports of a share in a row, and what they may be late */
    HEARTBEAT_UNKNOWN_US = 8000000, /* after one report: GStreamer's second one */
    HEARTBEAT_MAX_US = 15000000, /* for one whose reports are rare; ICE's consent is later */
    HEARTBEAT_DOUBT_US = 1300000, /* after the network changed: one report of a share */
    /* Of a peer that answers when it is asked: from this silence on it is asked, eight times, and lost when
     * nothing came then. At 20 % loss both ways that happens by chance once in 3500 times, while
     * three reports in a row are lost once in 125 times. */
    PROBE_STILL_US = 1200000, /* a report is late */
    PROBE_BUSY_US = 500000,   /* packets came all the time */
    PROBE_INTERVAL_US = 100000,
    PROBE_COUNT = 8,
    PROBE_BUSY_PACKETS = 10,  /* in a second */
    BACKOFF_MAX_US = 5000000,
};

/* A still screen sends no media, so that RTCP is the sign of life: a share reports every second.
 * What is silent for three of the longest of its last intervals is lost; a peer that answers probes, sooner. A server that never reports
 * may be still for any time; then ICE's consent alone tells. */
struct heartbeat {
    int64_t last_us;   /* the last packet of any kind, or the start */
    bool reports;      /* RTCP came, ever */
    int64_t report_us; /* the last; 0: none since it was connected (again) */
    int64_t interval_us[HEARTBEAT_MEMORY];
    int count;
    int64_t doubt_us; /* something happened then that may have ended the path; 0: nothing */
    bool answers;     /* the peer answers probes at once; set once */
    int probes;       /* since the last packet */
    int64_t first_probe_us, probe_us, rtt_us;
    int64_t second_us; /* packets are counted from then on */
    int packets, packets_before;
};
/* Connected, or again; h is all zero at first. The rhythm of before is kept. */
void heartbeat_start(struct heartbeat *h, int64_t now_us);
void heartbeat_packet(struct heartbeat *h, int64_t now_us, bool report);
void heartbeat_doubt(struct heartbeat *h, int64_t now_us);
/* We were asleep ourselves (stopped, suspended): what came meanwhile still has to be read. */
void heartbeat_slept(struct heartbeat *h, int64_t now_us);
/* When the peer is to be asked whether it is there, if nothing comes until then; INT64_MAX: never. rtt_us: 0
 * when it is not known. */
int64_t heartbeat_probe_us(const struct heartbeat *h);
void heartbeat_probed(struct heartbeat *h, int64_t now_us, int64_t rtt_us);
/* When the connection is lost, if nothing comes until then; INT64_MAX: silence says nothing. */
int64_t heartbeat_lost_us(const struct heartbeat *h);

/* 0.5, 0.75, 1.1, 1.7, 2.5, 3.8, 5, 5, … s: a share that is started again is found within half of the time
 * that it was away. Each is less by up to a fifth, so that many viewers of one share do not
 * come back in step. tries: how many failed since it was last well; it is counted up. */
int64_t backoff_us(int *tries, uint32_t chance);

#endif
