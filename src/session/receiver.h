/* receiver: what the files of a receiver share.
 *
 *   peer --> RTP, jitter --> [queue] --> decoder --> [show] --> window
 *   net thread    |          decode thread    |       main thread
 *                 +-> [record]                +-> [raw]         */
#ifndef HEVCAST_SESSION_RECEIVER_H
#define HEVCAST_SESSION_RECEIVER_H

#include "base/queue.h"
#include "base/stats.h"
#include "decode/decoder.h"
#include "display/display.h"
#include "display/rawout.h"
#include "display/record.h"
#include "hevcast/hevcast.h"
#include "jitter/video_receiver.h"
#include "net/loop.h"
#include "net/netwatch.h"
#include "session/options.h"
#include "session/reconnect.h"
#include "session/show_queue.h"
#include "signal/sdp.h"
#include "signal/whep_client.h"
#include "transport/peer.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    DECODE_QUEUE_CAPACITY = 1024,       /* a replayed group comes at once: see receiver_decode.c */
    DECODE_LATE_US = 1000000,
    FREEZE_US = 200000,
};

enum receiver_stage { RSTAGE_NETWORK, RSTAGE_DECODE, RSTAGE_DISPLAY, RSTAGE_COUNT };

struct receiver_counters {
    int64_t frames_decoded, freezes, freeze_us, reconnects;
    int width, height;
    struct duration_stats stage[RSTAGE_COUNT], latency;
    /* Of the last whole second. */
    int64_t second_start_us, second_frames, second_bytes_start;
    double fps;
    int64_t bitrate_bps;
};

/* See receiver_link.c. Net thread. */
enum link_phase { PHASE_ASKING, PHASE_GATHERING, PHASE_ANSWER, PHASE_CHECKING, PHASE_UP,
                  PHASE_WAITING };

struct receiver_link {
    enum link_phase phase;
    bool ever;               /* was connected once: it is made again when it is lost */
    bool restart;            /* the attempt is an ICE restart, else a new session */
    bool restartable;        /* there is a session that may take one */
    int tries, flaps;        /* failures since it was lost; times that it was lost soon after */
    int told_candidates;     /* that the server knows of */
    int64_t lost_us;         /* since when; 0: it is not */
    int64_t up_us, deaf_until_us, silence_at_us;
    char why[200];           /* it was lost, or could not be made again */
    struct heartbeat heartbeat;
    struct loop_timer *step, *silence;
    struct netwatch *watch;  /* NULL: changes of the network are not told */
};

struct hevcast_receiver {
    /* Set by hevcast_receiver_new, constant afterwards. */
    hevcast_receiver_config config; /* its strings are in `strings` */
    struct string_bag strings;
    struct ice_server ice_servers[ICE_MAX_SERVERS]; /* then net thread: the server's are added */
    int ice_server_count, own_ice_server_count; /* all of them; without the server's */
    int64_t start_us;
    int ended_fd;   /* eventfd: written once, when all is over */
    int wake_fd;    /* eventfd: hevcast_receiver_wait should look again (no window) */

    pthread_t net_thread, decode_thread;
    bool net_started, decode_started;
    atomic_bool stopping;
    atomic_bool key_needed;  /* decode thread -> net thread; so is: */
    atomic_bool decoded;     /* a picture came out of the decoder */

    struct queue *decode_queue;      /* net -> decode; NULL: no decoding */
    struct show_queue *show_queue;   /* decode -> main; NULL: no window */
    struct rawout *raw, *y4m;        /* decode thread pushes */
    struct record *record;           /* net thread pushes */
    struct display *display;         /* main thread */
    bool overlay_on;                 /* main thread */
    bool message_on;                 /* main thread */
    int64_t overlay_at_us;           /* main thread */

    pthread_mutex_t stats_lock; /* guards: */
    struct receiver_counters counters;
    struct video_receiver_stats net_stats; /* what the net thread wrote last, */
    int64_t playout_us, rtt_us;            /* and these: */
    bool clock_known;                      /* how far the sender's clock is from ours */
    int64_t clock_offset_us, clock_error_us;
    struct {
        bool up;
        int64_t lost_us;     /* 0: it is not */
        int64_t retry_at_us; /* 0: it is being tried */
        char why[200];
    } shown; /* of the connection */
    int end_error;
    char end_text[256];

    /* Decode thread alone. */
    struct decoder *decoder;
    int64_t last_picture_us;
    bool missing;            /* something was lost since the last picture */
    int64_t queue_grew_us;   /* since when the decode queue has been growing; 0: it is not */
    int queue_length_before;
    int64_t queue_checked_us;

    /* Net thread alone, from its start on. */
    struct loop *loop;
    struct loop_event *stop_event, *key_event;
    struct loop_timer *timer, *stats_timer;
    struct whep_client *whep;
    struct dtls_identity *identity;
    struct peer *peer;
    struct video_receiver *rtp;
    struct sdp_agreed agreed;
    struct sdp_local local;
    struct receiver_link link;
    bool connected; /* the peer may send, though nobody may hear it */
    bool leaving, shut_down;
    bool new_stream; /* no access unit of it was handed out yet */
    int64_t pts_shift_us, last_pts_us, last_unit_us; /* so that time goes on in a new stream */
    struct video_receiver_stats before; /* of the sessions before this one */
};

/* receiver_net.c */
int receiver_net_open(struct hevcast_receiver *r);
void *receiver_net_main(void *receiver);
void receiver_net_close(struct hevcast_receiver *r);
void receiver_event(struct hevcast_receiver *r, enum hevcast_event_type type, const char *text,
                    int width, int height, int error);
/* Any thread. The first call decides. error 0: ended as asked. */
void receiver_end(struct hevcast_receiver *r, int error, const char *text);
void receiver_pump(struct hevcast_receiver *r);
void receiver_on_rtp(void *receiver, uint8_t *data, size_t len, int64_t now_us);
void receiver_on_rtcp(void *receiver, uint8_t *data, size_t len, int64_t now_us);
void receiver_publish_stats(void *receiver);
int receiver_make_rtp(struct hevcast_receiver *r); /* as `agreed` says */
/* receiver_link.c */
void receiver_link_describe(struct sdp_local *l, const struct dtls_identity *identity);
void receiver_link_begin(void *receiver);
void receiver_link_stop(void *receiver);
/* An authenticated packet came; report: RTCP. */
void receiver_link_alive(struct hevcast_receiver *r, int64_t now_us, bool report);
bool receiver_link_open(struct hevcast_receiver *r);
void receiver_link_close(struct hevcast_receiver *r);
/* receiver_decode.c */
void *receiver_decode_main(void *receiver);
/* From the capture of p until at_us (monotonic); 0: unknown. */
int64_t receiver_latency_us(const struct picture *p, int64_t at_us);

#endif
