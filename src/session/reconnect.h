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
    BACKOFF_MAX_US = 5000000,
};

/* A still screen sends no media, so that RTCP is the sign of life: a share reports every second.
 * What is silent for three of the longest of its last intervals is lost. A server that never reports
 * may be still for any time; then ICE's consent alone tells. */
struct heartbeat {
    int64_t last_us;   /* the last packet of any kind, or the start */
    bool reports;      /* RTCP came, ever */
    int64_t report_us; /* the last; 0: none since it was connected (again) */
    int64_t interval_us[HEARTBEAT_MEMORY];
    int count;
    int64_t doubt_us; /* something happened then that may have ended the path; 0: nothing */
};
/* Connected, or again; h is all zero at first. The rhythm of before is kept. */
void heartbeat_start(struct heartbeat *h, int64_t now_us);
void heartbeat_packet(struct heartbeat *h, int64_t now_us, bool report);
void heartbeat_doubt(struct heartbeat *h, int64_t now_us);
/* We were asleep ourselves (stopped, suspended): what came meanwhile still has to be read. */
void heartbeat_slept(struct heartbeat *h, int64_t now_us);
/* When the connection is lost, if nothing comes until then; INT64_MAX: silence says nothing. */
int64_t heartbeat_lost_us(const struct heartbeat *h);

/* 0.5, 1, 2, 4, 5, 5, … s, each less by up to a fifth, so that many viewers of one share do not
 * come back in step. tries: how many failed since it was last well; it is counted up. */
int64_t backoff_us(int *tries, uint32_t chance);

#endif
