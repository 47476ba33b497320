/* viewer: one viewer of a sender: its HTTP session, its transport, its RTP stream with its pacer.
 * Network thread. */
#ifndef HEVCAST_SESSION_VIEWER_H
#define HEVCAST_SESSION_VIEWER_H

#include "rtp/video_sender.h"
#include "session/sender.h"
#include "signal/token.h"

enum { VIEWER_SENT_RING = 256 };

struct viewer {
    struct viewer *next;
    struct hevcast_sender *s; /* borrows */
    char id[TOKEN_LEN + 1], etag[TOKEN_LEN + 1]; /* secrets: who has them may end the session */
    char name[12];         /* "1", "2", …: for events, statistics and logs */
    struct peer *peer;
    struct video_sender *rtp;
    struct sdp *offer;             /* until answered */
    struct sdp_agreed agreed;
    struct whep_request *request;  /* waits for gathering: the POST, or the PATCH of a restart */
    bool restarting;               /* request is a PATCH */
    enum video_payload payload;    /* asked for in the POST's address */
    int level_limit;               /* level_idc that its decoder takes, as the SDP or, for a carrier, the
                                      POST's address said; 0: it did not */
    uint32_t ssrc, rtx_ssrc, fec_ssrc, key_ssrc;
    struct loop_timer *timer;      /* pacer and RTCP */
    struct loop_timer *deadline;   /* gathering, then connecting */
    bool answered, connected, gone;
    bool held;                     /* gets nothing until the next IRAP */
    int64_t connected_us;
    int64_t purged;
    /* When a picture's encoding was done, to measure how long it waited to be sent. */
    struct {
        uint64_t pic_id;
        int64_t encode_us;
    } sent_ring[VIEWER_SENT_RING];
};

/* An offer came: answers it, now or when gathering is done, or refuses it. query: of the address;
 * carrier=vp8 or carrier=audio in it asks for a carrier (doc/carrier.md), level=150 then says
 * which level_idc its decoder takes. */
void viewer_offer(struct hevcast_sender *s, struct whep_request *req, const char *sdp, size_t len,
                  const char *query);
void viewer_patch(struct viewer *v, struct whep_request *req, const char *if_match,
                  const char *frag, size_t len);
/* An access unit for all; v decides whether it can use it. */
void viewer_push(struct viewer *v, struct access_unit *au, int64_t now_us);
/* Sends what is due, and sets the timer for what is not. */
void viewer_pump(struct viewer *v);
/* What its path carries: from transport-wide feedback, else from REMB and reports; 0: unknown. */
int64_t viewer_estimate_bps(const struct viewer *v);
/* What of it is left for media, beside repairs. */
int64_t viewer_media_bps(const struct viewer *v, int64_t now_us);
/* Says goodbye (BYE, close_notify) and leaves the list; it is freed soon, not now. */
void viewer_end(struct viewer *v, const char *why);
void viewer_free(struct viewer *v);

#endif
