/* A sender and a receiver with the two directions between them, in virtual time: what each of the
 * simulations runs, with pictures and paths of its own. Packets go through paths (a bottleneck that
 * flows may share) where there are some, else straight into the links, which lose and delay. */
#ifndef SIM_FLOW_H
#define SIM_FLOW_H

#include "../unit/core/test_util.h"

#include "hevc/nal.h"
#include "jitter/sender_clock.h"
#include "jitter/video_receiver.h"
#include "rtp/video_sender.h"
#include "sim_path.h"

/* How many of n seeds: sanitizers look at the code, which is the same with each, and take their time. */
#if defined(__SANITIZE_THREAD__)
#define SIM_SEEDS(n) ((n) > 4 ? 2 : 1)
#elif defined(__SANITIZE_ADDRESS__)
#define SIM_SEEDS(n) ((n) > 4 ? (n) / 2 : (n))
#else
#define SIM_SEEDS(n) (n)
#endif

struct sim_flow {
    struct video_sender *sender;
    struct video_receiver *receiver;
    struct sim_path *path, *back; /* borrows; NULL: straight into the links */
    struct sim_link media, feedback;
    int64_t media_at_us, feedback_at_us; /* the last arrival: paths keep a flow's order */
    int64_t media_bytes;                 /* that arrived */
    size_t longest, longest_again;       /* of the packets sent, for the first time and again */
    bool key_wanted;                     /* set here, cleared by who makes pictures */
    int64_t key_requests;
    uint64_t (*ntp_of)(int64_t us); /* the sender's clock */
    void (*given)(void *arg, struct access_unit *au); /* borrows au; may be NULL */
    void *arg;
};

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t sim_ntp(int64_t us)
{
    return ntp_of_us(us) + (1ull << 60);
}

/* What the simulations have in common; set what differs, then sim_flow_open. */
static inline void sim_flow_configs(struct video_sender_config *sc, struct video_receiver_config *rc)
{
    video_sender_default_config(sc);
    sc->ssrc = 0x1111;
    sc->rtx_ssrc = 0x2222;
    sc->fec_ssrc = 0x4444;
    sc->pt = 49;
    sc->rtx_pt = 50;
    sc->first_seq = 65000; /* wraps soon */
    sc->aggregate = true;
    strcpy(sc->cname, "sim");
    video_receiver_default_config(rc);
    rc->local_ssrc = 0x3333;
    rc->nack = rc->pli = true;
}

/* The receiver takes what the sender was given: payload types and extensions. */
static inline void sim_flow_open(struct sim_flow *f, const struct video_sender_config *sc,
                                 struct video_receiver_config *rc)
{
    f->sender = video_sender_new(sc);
    rc->pt = sc->pt;
    rc->rtx_pt = sc->rtx_pt;
    rc->fec_pt = sc->fec_pt;
    rc->ext = sc->ext;
    f->receiver = video_receiver_new(rc);
    assert_non_null(f->sender);
    assert_non_null(f->receiver);
    if (!f->ntp_of)
        f->ntp_of = sim_ntp;
}

static inline void sim_flow_close(struct sim_flow *f)
{
    video_sender_free(&f->sender);
    video_receiver_free(&f->receiver);
    sim_clear(&f->media);
    sim_clear(&f->feedback);
}

static inline void sim_flow_media(struct sim_flow *f, const uint8_t *data, size_t len, int64_t now_us)
{
    if (f->path)
        sim_path_send(f->path, &f->media, &f->media_at_us, data, len, now_us);
    else
        sim_send(&f->media, data, len, now_us);
}

static inline void sim_flow_feedback(struct sim_flow *f, const uint8_t *data, size_t len, int64_t now_us)
{
    if (f->back)
        sim_path_send(f->back, &f->feedback, &f->feedback_at_us, data, len, now_us);
    else
        sim_send(&f->feedback, data, len, now_us);
}

static inline void sim_flow_give(struct sim_flow *f, int64_t now_us)
{
    struct access_unit *au;
    while ((au = video_receiver_poll(f->receiver, now_us))) {
        if (f->given)
            f->given(f->arg, au);
        access_unit_unref(&au);
    }
}

static inline void sim_flow_receive(struct sim_flow *f, int64_t now_us)
{
    struct sim_packet in;
    while (sim_receive(&f->media, now_us, &in)) {
        bool bye;
        f->media_bytes += (int64_t)in.len;
        if (in.data[1] >= 192 && in.data[1] <= 223) /* RFC 5761, 4 */
            video_receiver_on_rtcp(f->receiver, in.data, in.len, now_us, &bye);
        else
            video_receiver_on_rtp(f->receiver, in.data, in.len, now_us);
        free(in.data);
        sim_flow_give(f, now_us);
    }
    sim_flow_give(f, now_us); /* what time alone brings */
}

/* All that is due at this time, in both directions. */
static inline void sim_flow_exchange(struct sim_flow *f, int64_t now_us)
{
    struct rtp_packet p;
    struct sim_packet in;
    uint8_t buf[1500];
    size_t n;
    while (video_sender_poll(f->sender, now_us, &p)) {
        size_t *longest = p.retransmission ? &f->longest_again : &f->longest;
        *longest = p.len > *longest ? p.len : *longest;
        sim_flow_media(f, p.data, p.len, now_us);
    }
    while ((n = video_sender_rtcp(f->sender, now_us, f->ntp_of(now_us), buf, sizeof buf)))
        sim_flow_media(f, buf, n, now_us);
    sim_flow_receive(f, now_us);
    while ((n = video_receiver_rtcp(f->receiver, now_us, buf, sizeof buf)))
        sim_flow_feedback(f, buf, n, now_us);
    while (sim_receive(&f->feedback, now_us, &in)) {
        struct rtcp_events e;
        video_sender_on_rtcp(f->sender, in.data, in.len, now_us, f->ntp_of(now_us), &e);
        f->key_wanted |= e.key_wanted;
        f->key_requests += e.key_wanted;
        free(in.data);
    }
}

/* When something happens next. */
static inline int64_t sim_flow_next_us(const struct sim_flow *f, int64_t now_us)
{
    int64_t next = video_sender_next_us(f->sender);
    next = min64(next, video_sender_rtcp_next_us(f->sender));
    next = min64(next, video_receiver_next_us(f->receiver, now_us));
    return min64(next, min64(sim_next_us(&f->media), sim_next_us(&f->feedback)));
}

struct sim_clip { /* a recorded stream, of which the parameter sets are taken */
    uint8_t *data;
    size_t len;
};

static inline struct sim_clip sim_clip_read(void)
{
    struct sim_clip c;
    c.data = read_data("core/aud-98x54.hevc", &c.len);
    return c;
}

/* An access unit without its slices: a key frame begins with real parameter sets. */
static inline struct access_unit *sim_picture_begin(const struct sim_clip *clip, bool key, size_t room)
{
    struct access_unit *au = access_unit_new(room + 1024);
    size_t pos = 0;
    struct nal n;
    while (key && annexb_next(clip->data, clip->len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        if (nal_type(&n) != NAL_AUD)
            assert_true(au_append_nal(au, n.data, n.len));
    au->irap = key;
    return au;
}

/* H.265 7.3.1.2 and 7.3.6.1: the header, and first_slice_segment_in_pic_flag. */
static inline void sim_slice_header(uint8_t *slice, bool key, bool first)
{
    slice[0] = (uint8_t)((key ? NAL_IDR_W_RADL : NAL_TRAIL_R) << 1);
    slice[1] = 1;
    slice[2] = first ? 0xaf : 0x2f;
}

/* A whole access unit of about so many bytes, in one slice. */
static inline struct access_unit *sim_picture(const struct sim_clip *clip, bool key, size_t bytes,
                                              int64_t now_us, uint64_t pic_id)
{
    static uint8_t slice[4 << 20];
    bytes = bytes < 100 ? 100 : bytes < sizeof slice ? bytes : sizeof slice;
    struct access_unit *au = sim_picture_begin(clip, key, bytes);
    memset(slice, 0x5a, bytes);
    sim_slice_header(slice, key, true);
    assert_true(au_append_nal(au, slice, bytes));
    au->pts_us = au->capture_us = now_us;
    au->pic_id = pic_id;
    return au;
}

#endif
