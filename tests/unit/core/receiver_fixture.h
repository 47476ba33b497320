/* A video_receiver and the sender whose packets a test delivers to it by hand. */
#ifndef RECEIVER_FIXTURE_H
#define RECEIVER_FIXTURE_H

#include "test_util.h"

#include "hevc/nal.h"
#include "jitter/video_receiver.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"

enum { SSRC = 0x1000, RTX_SSRC = 0x2000, PT = 49, RTX_PT = 50 };

struct fixture {
    struct video_receiver *vr;
    struct video_sender *vs;
    int64_t now_us;
    uint8_t *clip;
    size_t clip_len;
    /* The packets of the last access unit. */
    struct {
        uint8_t data[1500];
        size_t len;
    } packet[64];
    int n;
};

static inline struct video_receiver_config receiver_config(void)
{
    struct video_receiver_config c;
    video_receiver_default_config(&c);
    c.local_ssrc = 0x3000;
    strcpy(c.cname, "viewer");
    c.pt = PT;
    c.rtx_pt = RTX_PT;
    c.nack = c.pli = c.fir = true;
    c.ext.abs_capture_time = 4;
    return c;
}

static inline struct video_sender *new_sender(uint32_t ssrc, uint16_t first_seq)
{
    struct video_sender_config c;
    video_sender_default_config(&c);
    c.ssrc = ssrc;
    c.rtx_ssrc = RTX_SSRC;
    c.pt = PT;
    c.rtx_pt = RTX_PT;
    c.first_seq = first_seq;
    c.rtp_ts_offset = 0xfffff000;
    c.pacing_bps = 100000000000;
    c.max_burst_bytes = 64 << 20;
    c.aggregate = true;
    c.ext.abs_capture_time = 4;
    return video_sender_new(&c);
}

/* c NULL: as receiver_config() has it. */
static inline void start(struct fixture *f, const struct video_receiver_config *c)
{
    struct video_receiver_config usual = receiver_config();
    memset(f, 0, sizeof *f);
    f->vr = video_receiver_new(c ? c : &usual);
    f->vs = new_sender(SSRC, 65530);
    f->clip = read_data("core/aud-98x54.hevc", &f->clip_len);
    f->now_us = 1000000;
}

static inline void stop(struct fixture *f)
{
    video_receiver_free(&f->vr);
    assert_null(f->vr);
    video_sender_free(&f->vs);
    free(f->clip);
}

/* An access unit with a slice of this type, with parameter sets or not, into f->packet. */
static inline void make(struct fixture *f, int type, bool sets, size_t len)
{
    struct access_unit *au = access_unit_new(len + 200);
    size_t pos = 0;
    struct nal n;
    while (sets && annexb_next(f->clip, f->clip_len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        assert_true(au_append_nal(au, n.data, n.len));
    uint8_t *d = malloc(len);
    memset(d, 0x55, len);
    d[0] = (uint8_t)(type << 1);
    d[1] = 1;
    d[2] = 0xaf;
    assert_true(au_append_nal(au, d, len));
    free(d);
    f->now_us += 33333;
    au->pts_us = au->capture_us = f->now_us;
    assert_true(video_sender_push(f->vs, au, (uint64_t)f->now_us, f->now_us));
    access_unit_unref(&au);
    struct rtp_packet p;
    for (f->n = 0; video_sender_poll(f->vs, f->now_us, &p) && !p.retransmission; f->n++) {
        assert_true(f->n < 64);
        memcpy(f->packet[f->n].data, p.data, p.len);
        f->packet[f->n].len = p.len;
    }
}

static inline void deliver(struct fixture *f, int i)
{
    uint8_t *copy = exact_copy(f->packet[i].data, f->packet[i].len);
    video_receiver_on_rtp(f->vr, copy, f->packet[i].len, f->now_us);
    free(copy);
}

/* Makes and delivers all but the packet `without` (-1: all). */
static inline void send(struct fixture *f, int type, bool sets, size_t len, int without)
{
    make(f, type, sets, len);
    for (int i = 0; i < f->n; i++)
        if (i != without)
            deliver(f, i);
}
static inline void key(struct fixture *f) { send(f, NAL_IDR_W_RADL, true, 3000, -1); }
static inline void delta(struct fixture *f) { send(f, NAL_TRAIL_R, false, 3000, -1); }

static inline int given(struct fixture *f)
{
    int n = 0;
    struct access_unit *au;
    while ((au = video_receiver_poll(f->vr, f->now_us))) {
        n++;
        access_unit_unref(&au);
    }
    return n;
}

static inline void given_key(struct fixture *f)
{
    key(f);
    assert_int_equal(given(f), 1);
}

struct feedback {
    int rr, sdes, pli, fir, nack, bye, nacked;
    uint16_t first_nacked;
    uint8_t fir_seq;
    struct rtcp_report report;
};

static inline struct feedback feedback(struct fixture *f)
{
    struct feedback fb = {0};
    uint8_t buf[1400];
    size_t len;
    while ((len = video_receiver_rtcp(f->vr, f->now_us, buf, sizeof buf))) {
        struct byte_reader r = byte_reader_of(buf, len);
        struct rtcp_packet p;
        uint16_t pid, blp;
        int first = 1;
        while (rtcp_next(&r, &p) > 0) {
            assert_int_equal(p.type == RTCP_RR, first); /* RFC 3550: a compound begins with it */
            first = 0;
            fb.rr += p.type == RTCP_RR;
            rtcp_report(&p, 0, &fb.report);
            fb.sdes += p.type == RTCP_SDES;
            if (p.type == RTCP_PSFB && p.count == PSFB_PLI) {
                fb.pli++;
                assert_int_equal(rtcp_media_ssrc(&p), SSRC);
            }
            fb.fir += rtcp_fir(&p, SSRC, &fb.fir_seq);
            if (rtcp_nack(&p, 0, &pid, &blp)) {
                fb.nack++;
                fb.first_nacked = pid;
                for (int i = 0; rtcp_nack(&p, i, &pid, &blp); i++)
                    fb.nacked += 1 + __builtin_popcount(blp);
            }
        }
    }
    return fb;
}

static inline struct video_receiver_stats stats(struct fixture *f)
{
    struct video_receiver_stats s;
    video_receiver_get_stats(f->vr, &s);
    return s;
}

#endif
