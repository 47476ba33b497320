/* sdp: offers and answers of one HEVC video stream (RFC 8866, 8829, 8843, 7798, 5285bis). Pure.
 *
 * Reads what Chrome, Safari, Firefox, GStreamer, OBS, pion and hevcast write; a malformed text is
 * refused with a sentence, never a crash. */
#ifndef HEVCAST_SIGNAL_SDP_H
#define HEVCAST_SIGNAL_SDP_H

#include "rtp/video_sender.h" /* struct rtp_ext_ids */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SDP_MAX_LEN = 65536, SDP_MAX_MEDIA = 16, SDP_MAX_CODECS = 64, SDP_MAX_CANDIDATES = 32 };

enum sdp_setup { SDP_SETUP_NONE, SDP_ACTIVE, SDP_PASSIVE, SDP_ACTPASS };
enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

struct h265_params { /* defaults filled in: RFC 7798 section 7.1 */
    int profile_id, tier_flag, level_id;
    bool tx_mode_srst;
    bool valid;          /* false: a value was out of range; the codec is rejected */
    bool interop_444;    /* profile-id 4 with the Main 4:4:4 (8 bit) constraint flags */
    bool profile_given;  /* an fmtp named the profile; else it is the default */
};

struct sdp_codec {
    uint8_t pt, rtx_pt; /* rtx_pt 0: none */
    uint8_t fec_pt;     /* FlexFEC of RFC 8627, of the whole section; 0: none. (flexfec-03, which
                           libwebrtc has, is another format) */
    char name[16];      /* "H265", "VP8", … in upper case */
    int clock_rate;
    struct h265_params h265;
    bool nack, pli, fir, rpsi, remb, twcc;
};

struct sdp_media {
    char kind[16];      /* "video", "audio", "application" */
    char mid[33];
    bool rejected;      /* port 0 without bundle-only */
    bool bundled;       /* its mid is in a=group:BUNDLE */
    enum sdp_direction direction;
    bool rtcp_mux;
    struct sdp_codec codec[SDP_MAX_CODECS];
    int codec_count;
    struct rtp_ext_ids ext;
    char proto[32];     /* "UDP/TLS/RTP/SAVPF" */
    /* Own, or the session's, or those of the BUNDLE's first section (RFC 8843 section 7.1.3).
     * "" when there was none, or none that is usable. fingerprint: "sha-256 AB:…". */
    char ufrag[257], pwd[257], fingerprint[256];
    enum sdp_setup setup;
    char candidate[SDP_MAX_CANDIDATES][256];
    int candidate_count;
    bool end_of_candidates;
    uint32_t ssrc;      /* first a=ssrc; 0: none */
    char formats[512];  /* m= line's formats as they stand, for a rejection */
};

/* About 200 kB: allocate it. */
struct sdp {
    struct sdp_media media[SDP_MAX_MEDIA];
    int media_count;
    bool bundle;        /* a=group:BUNDLE has all accepted media */
    bool trickle;       /* a=ice-options has trickle */
    uint64_t session_id, session_version;
};

/* One side of what we can do. The strings are ours and trusted. */
struct sdp_local {
    bool send;                 /* else we receive */
    struct h265_params h265;   /* what we send, or the best we decode */
    enum video_payload payload; /* sending: as the viewer asked (doc/carrier.md). The VP8 carrier
                                  takes VP8, not H265; the audio carrier Opus, and VP8 beside it, which
                                  key frames are asked for through */
    bool also_444;             /* receiving: 4:4:4 too. (A sender of 4:4:4 has it in h265.) */
    char ufrag[64], pwd[128], fingerprint[160];
    const char *const *candidates; /* "candidate:…" */
    int candidate_count;
    bool candidates_complete;  /* write a=end-of-candidates */
    enum sdp_setup setup;      /* SDP_PASSIVE: wait for the peer's handshake where it lets us;
                                  else the default, which is active in an answer */
    uint32_t ssrc, rtx_ssrc, fec_ssrc; /* sending */
    uint32_t key_ssrc;         /* sending, audio carrier: of the VP8 stream, which has no packets */
    char cname[33], msid[33];
    uint64_t session_id, session_version;
};

/* What both agreed on. */
struct sdp_agreed {
    int media_index;           /* of the peer's text */
    struct sdp_codec codec;    /* pt as in the offer; h265: level is the lower of both */
    int peer_level_id;         /* the level-id that the peer said, or its default; not H265: 0 */
    struct rtp_ext_ids ext;    /* those that we use, and that the peer allows */
    char mid[33];
    int keys_index;            /* audio carrier: the section for key frame requests; else -1 */
    struct sdp_codec keys_codec;
    enum sdp_setup our_setup;
    char ufrag[257], pwd[257], fingerprint[256]; /* of the peer */
};

enum sdp_error {
    SDP_OK = 0,
    SDP_MALFORMED = -1,   /* not an SDP, or too large */
    SDP_NO_VIDEO = -2,
    SDP_NO_H265 = -3,     /* a video section without H265, or none that matches profile and tier
                             (for the carriers: without VP8 or Opus) */
    SDP_UNUSABLE = -4,    /* no BUNDLE/rtcp-mux, ICE or DTLS, wrong direction */
    SDP_NO_SPACE = -5,    /* the output buffer is too small */
};

/* why: a sentence for people, on every error. */
int sdp_parse(struct sdp *out, const char *text, size_t len, char *why, size_t why_len);
/* Chooses codec and extensions out of an offer. Does not need our ICE details. */
int sdp_negotiate(const struct sdp *offer, const struct sdp_local *local, struct sdp_agreed *out,
                  char *why, size_t why_len);
/* The answer: all of the offer's sections, all but one rejected. Bytes written, or an error. */
int sdp_write_answer(const struct sdp *offer, const struct sdp_local *local,
                     const struct sdp_agreed *agreed, char *buf, size_t cap);
int sdp_write_offer(const struct sdp_local *local, char *buf, size_t cap);
/* Our offer's answer: local is what sdp_write_offer was given. */
int sdp_accept_answer(const struct sdp *answer, const struct sdp_local *local,
                      struct sdp_agreed *out, char *why, size_t why_len);

/* "H265/90000"'s a=fmtp values on top of what p has (its defaults at first); what is unknown is
 * skipped, what is wrong clears p->valid. */
void h265_params_default(struct h265_params *p);
void h265_params_parse(struct h265_params *p, const char *text, size_t len);
/* The same profile, tier and tx-mode; the level is no matter (wire.md). */
bool h265_params_match(const struct h265_params *a, const struct h265_params *b);

/* trickle-ice-sdpfrag (RFC 8840): ufrag and pwd (may be empty), candidates of all sections. */
int sdpfrag_parse(struct sdp_media *out, const char *text, size_t len, char *why, size_t why_len);
int sdpfrag_write(const char *ufrag, const char *pwd, const char *mid,
                  const char *const *candidates, int n, bool end, char *buf, size_t cap);

#endif
