/* sender: what the files of a sender share. See doc/threads.md for the picture of its threads.
 *
 *   source --> [slot] --> convert, encode --> [queue] --> net: fan-out --> viewer: pacer, RTP, peer
 *   capture thread        encode thread                   net thread
 *
 * A source of access units (a file passed through, a program's own encoder) skips the slot and
 * the encode thread. */
#ifndef HEVCAST_SESSION_SENDER_H
#define HEVCAST_SESSION_SENDER_H

#include "base/queue.h"
#include "base/stats.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "hevc/nal.h"
#include "hevcast/hevcast.h"
#include "net/loop.h"
#include "session/budget.h"
#include "session/gop_cache.h"
#include "session/key_governor.h"
#include "session/options.h"
#include "session/ref_news.h"
#include "signal/sdp.h"
#include "signal/tls_identity.h"
#include "signal/whep_server.h"
#include "source/source.h"
#include "transport/peer.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    AU_QUEUE_CAPACITY = 16,           /* access units between encode and net */
    GOP_CACHE_MAX_BYTES = 32 << 20,
    SENDER_SCREEN_POOL = 3,
};

enum sender_stage { STAGE_CAPTURE, STAGE_CONVERT, STAGE_ENCODE, STAGE_QUEUE, STAGE_COUNT };

struct sender_counters {
    int64_t frames_captured, frames_skipped, frames_encoded, keyframes, repairs;
    int width, height;
    struct duration_stats stage[STAGE_COUNT];
};

struct viewer;

struct hevcast_sender {
    /* Set by hevcast_sender_new, constant afterwards. */
    hevcast_sender_config config; /* its strings are in `strings` */
    struct string_bag strings;
    struct ice_server ice_servers[ICE_MAX_SERVERS];
    int ice_server_count;
    char token[129];
    int64_t start_us;
    bool coded; /* access units come from the source or the program; nothing is encoded */
    bool waits_for_viewer; /* a recording: it begins with its first viewer */
    struct source *source; /* used by the capture thread; outlives it; NULL: push */
    char description[160];
    struct h265_params profile; /* what is signalled, and sent */
    const struct encoder_ops *encoder_ops;
    int ended_fd; /* eventfd: written once, when all is over */

    pthread_t capture_thread, encode_thread, net_thread;
    bool capture_started, encode_started, net_started;

    atomic_bool stopping;     /* everyone ends */
    atomic_bool active;       /* at least one viewer is connected */
    atomic_bool force_read;   /* the encoder needs a picture though nothing changed */
    atomic_bool key_wanted;   /* granted by the governor, taken by the encode thread */
    atomic_bool key_lost;     /* a pushed access unit was refused: wait for the next IRAP */
    atomic_int level_limit;   /* level_idc that all viewers take: encoder_config.max_level_idc */
    _Atomic int64_t target_bps;
    _Atomic int64_t pacer_until_us; /* when the pacer that sets the rate will be empty */

    struct slot *slot;        /* capture -> encode */
    struct queue *au_queue;   /* encode -> net */
    struct ref_news ref_news; /* net -> encode */
    struct picture_pool *push_pool; /* pushing thread */
    struct param_sets *push_sets;   /* pushing thread */
    uint64_t next_pic_id;     /* encode thread, or the one that brings access units */

    pthread_mutex_t gate_lock; /* with `gate`: the capture thread waits for a viewer */
    pthread_cond_t gate;

    pthread_mutex_t stats_lock; /* guards: */
    struct sender_counters counters;
    hevcast_sender_stats net_stats;        /* what the net thread wrote last */
    hevcast_viewer_stats viewer_stats[64];
    int viewer_stats_count;
    int end_error;                         /* why it ended */
    char end_text[256];

    /* Net thread alone, from its start on. */
    struct loop *loop;
    struct loop_event *au_event, *stop_event;
    struct loop_timer *key_timer, *stats_timer, *drain_timer;
    struct whep_server *server;
    struct tls_identity tls; /* cert NULL: plain http */
    struct dtls_identity *identity;
    struct viewer *viewers; /* list, newest first */
    int viewer_count;
    unsigned viewers_ever;
    struct key_governor governor;
    struct gop_cache gop;
    int64_t gone_bytes, gone_packets, gone_retransmitted, gone_fec_bytes; /* of viewers that left */
    int64_t purged; /* packets, all viewers */
    int64_t told_target_bps; /* what on_target_bitrate was last called with */
    int64_t drain_until_us;
    uint64_t newest_pic_id; /* that was handed to viewers */
    bool refs_tracked;      /* the encoder says what its pictures refer to */
    bool source_over, shut_down;
};

/* sender_capture.c */
void *sender_capture_main(void *sender);
/* An access unit that came coded, from a file or a program, into the statistics. Any thread. */
void sender_count_coded(struct hevcast_sender *s, const struct access_unit *au);
/* sender_encode.c */
void *sender_encode_main(void *sender);
/* sender_net.c; all on the net thread unless stated */
void *sender_net_main(void *sender);
/* Before the thread starts. urls: of the ICE servers, ice_server_count of them, for the viewers. */
int sender_net_open(struct hevcast_sender *s, const char *const *urls);
void sender_net_close(struct hevcast_sender *s); /* after it ended */
void sender_key_request(struct hevcast_sender *s);
void sender_viewer_connected(struct hevcast_sender *s, struct viewer *v);
void sender_viewer_gone(struct hevcast_sender *s, struct viewer *v);
/* A viewer has this picture; and: it will not have this one, or one before it. false: a key frame
 * is the only answer. */
void sender_viewer_acked(struct hevcast_sender *s, uint64_t pic_id);
bool sender_viewer_lost(struct hevcast_sender *s, uint64_t pic_id);
/* After a viewer's estimate changed. */
void sender_update_target(struct hevcast_sender *s, int64_t now_us);
void sender_update_pacer(struct hevcast_sender *s, int64_t now_us);
void sender_event(struct hevcast_sender *s, enum hevcast_event_type type, const char *viewer_id,
                  const char *text, int error);
/* Any thread. The first call decides; error 0: ended as asked. after_drain: what is queued is
 * still sent. */
void sender_end(struct hevcast_sender *s, int error, const char *text, bool after_drain);

#endif
