/* A path with jitter that reorders, and the receiver's answer: no picture is lost by it, little is
 * asked for needlessly, motion is shown nearly as evenly as it was captured, and when the jitter
 * ends the delay is gone soon. In virtual time, with seeds. */
#include "../unit/core/test_util.h"

#include "hevc/nal.h"
#include "jitter/sender_clock.h"
#include "jitter/video_receiver.h"
#include "rtp/video_sender.h"
#include "sim_path.h"

enum { FPS = 30 };
static const int64_t SECOND = 1000000;

struct sim {
    int64_t now_us, next_picture_us;
    struct video_sender *sender;
    struct video_receiver *receiver;
    struct sim_path path, back;
    struct sim_link media, feedback;
    int64_t media_at_us, feedback_at_us;
    uint8_t *clip;
    size_t clip_len;
    uint64_t seed;
    int64_t pushed, given, keys;
    bool key_wanted;
    int64_t dated, worst_date_us; /* capture times on our clock, and how wrong they were */
    /* Of what is shown. */
    int64_t last_pts_us, last_given_us, last_show_us, uneven_given_us, uneven_shown_us, held_us;
};

/* The sender's clock: far from the receiver's, and 50 ppm faster. */
static const int64_t OFFSET_US = 3900000000ll * 1000000;
static uint64_t ntp_of(int64_t us) { return ntp_of_us(OFFSET_US + us + us / 20000); }
static int64_t time_of(uint64_t ntp)
{
    int64_t us = us_of_ntp(ntp) - OFFSET_US;
    return us - us / 20001;
}
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t abs64(int64_t a) { return a < 0 ? -a : a; }

static void push(struct sim *m)
{
    static uint8_t noise[20000];
    bool key = m->pushed == 0 || m->key_wanted;
    m->key_wanted = false;
    struct access_unit *au = access_unit_new(30000);
    size_t pos = 0, len = 100 + (size_t)(sim_random(&m->seed) * 15000); /* 1 to 13 packets */
    struct nal n;
    while (key && annexb_next(m->clip, m->clip_len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        if (nal_type(&n) != NAL_AUD)
            assert_true(au_append_nal(au, n.data, n.len));
    memset(noise, 0x5a, sizeof noise);
    noise[0] = (uint8_t)((key ? NAL_IDR_W_RADL : NAL_TRAIL_R) << 1);
    noise[1] = 1;
    noise[2] = 0xaf;
    assert_true(au_append_nal(au, noise, len));
    au->pts_us = au->capture_us = m->now_us;
    au->pic_id = (uint64_t)++m->pushed;
    au->irap = key;
    assert_true(video_sender_push(m->sender, au, ntp_of(m->now_us), m->now_us));
    access_unit_unref(&au);
}

static void note_given(struct sim *m, const struct access_unit *au)
{
    int64_t step = au->pts_us - m->last_pts_us;
    assert_true(au->show_us >= m->now_us && au->show_us <= m->now_us + 200000);
    if (m->given++ > 0) {
        m->uneven_given_us += abs64(m->now_us - m->last_given_us - step);
        m->uneven_shown_us += abs64(au->show_us - m->last_show_us - step);
    }
    m->held_us += au->show_us - m->now_us;
    m->dated += au->capture_us != 0;
    int64_t error = abs64(au->capture_us - time_of(au->capture_ntp));
    if (au->capture_us && error > m->worst_date_us)
        m->worst_date_us = error;
    m->last_pts_us = au->pts_us;
    m->last_given_us = m->now_us;
    m->last_show_us = au->show_us;
}

static void exchange(struct sim *m)
{
    struct rtp_packet p;
    struct sim_packet in;
    struct access_unit *au;
    uint8_t buf[1500];
    size_t n;
    int64_t now = m->now_us;
    while (video_sender_poll(m->sender, now, &p))
        sim_path_send(&m->path, &m->media, &m->media_at_us, p.data, p.len, now);
    while ((n = video_sender_rtcp(m->sender, now, ntp_of(now), buf, sizeof buf)))
        sim_path_send(&m->path, &m->media, &m->media_at_us, buf, n, now);
    while (sim_receive(&m->media, now, &in)) {
        bool bye;
        if (in.data[1] >= 192 && in.data[1] <= 223)
            video_receiver_on_rtcp(m->receiver, in.data, in.len, now, &bye);
        else
            video_receiver_on_rtp(m->receiver, in.data, in.len, now);
        free(in.data);
        while ((au = video_receiver_poll(m->receiver, now))) {
            note_given(m, au);
            access_unit_unref(&au);
        }
    }
    while ((n = video_receiver_rtcp(m->receiver, now, buf, sizeof buf)))
        sim_path_send(&m->back, &m->feedback, &m->feedback_at_us, buf, n, now);
    while (sim_receive(&m->feedback, now, &in)) {
        struct rtcp_events e;
        video_sender_on_rtcp(m->sender, in.data, in.len, now, ntp_of(now), &e);
        m->keys += e.key_wanted;
        m->key_wanted |= e.key_wanted;
        free(in.data);
    }
}

static void run_for(struct sim *m, int64_t us)
{
    int64_t end = m->now_us + us;
    while (m->now_us < end) {
        if (m->now_us >= m->next_picture_us) {
            push(m);
            m->next_picture_us += SECOND / FPS;
        }
        exchange(m);
        int64_t next = min64(end, m->next_picture_us);
        next = min64(next, video_sender_next_us(m->sender));
        next = min64(next, video_sender_rtcp_next_us(m->sender));
        next = min64(next, video_receiver_next_us(m->receiver, m->now_us));
        next = min64(next, min64(sim_next_us(&m->media), sim_next_us(&m->feedback)));
        m->now_us = next > m->now_us ? next : m->now_us + 1;
    }
}

static void open_sim(struct sim *m, uint64_t seed, bool nack, bool send_times)
{
    memset(m, 0, sizeof *m);
    m->now_us = m->next_picture_us = 5 * SECOND;
    m->seed = seed * 0x9e3779b97f4a7c15u + 1;
    m->path = (struct sim_path){.bps = 50000000, .queue_ms = 300, .delay_us = 20000, .reorders = true,
                                .seed = m->seed + 1};
    m->back = (struct sim_path){.bps = 50000000, .queue_ms = 300, .delay_us = 20000,
                                .seed = m->seed + 2};
    m->clip = read_data("core/aud-98x54.hevc", &m->clip_len);
    struct video_sender_config sc;
    video_sender_default_config(&sc);
    sc.ssrc = 0x1111;
    sc.rtx_ssrc = 0x2222;
    sc.pt = 49;
    sc.rtx_pt = 50;
    sc.ext = (struct rtp_ext_ids){.abs_send_time = send_times ? 3 : 0, .abs_capture_time = 4};
    strcpy(sc.cname, "sim");
    m->sender = video_sender_new(&sc);
    struct video_receiver_config rc;
    video_receiver_default_config(&rc);
    rc.local_ssrc = 0x3333;
    rc.pt = 49;
    rc.rtx_pt = 50;
    rc.ext = sc.ext;
    rc.nack = nack;
    rc.pli = true;
    m->receiver = video_receiver_new(&rc);
    assert_non_null(m->sender);
    assert_non_null(m->receiver);
}

static void close_sim(struct sim *m)
{
    video_sender_free(&m->sender);
    video_receiver_free(&m->receiver);
    sim_clear(&m->media);
    sim_clear(&m->feedback);
    free(m->clip);
}

static void begin_measure(struct sim *m)
{
    m->dated = m->worst_date_us = 0;
    m->given = m->uneven_given_us = m->uneven_shown_us = m->held_us = 0;
}

static void jitter_comes_and_goes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct sim m;
        struct video_sender_stats s;
        open_sim(&m, seed, true, seed % 3 != 0);
        run_for(&m, 10 * SECOND);
        assert_int_equal(m.held_us, 0); /* a clean path: nothing waits */
        m.path.jitter_us = 60000;       /* ±30 ms, each packet by itself */
        run_for(&m, 5 * SECOND);
        begin_measure(&m);
        video_sender_get_stats(m.sender, m.now_us, &s);
        int64_t resent = s.packets_retransmitted, sent = s.packets_sent;
        run_for(&m, 30 * SECOND);
        video_sender_get_stats(m.sender, m.now_us, &s);
        resent = s.packets_retransmitted - resent;
        sent = s.packets_sent - sent;
        int64_t delay_us = video_receiver_playout_us(m.receiver, m.now_us);
        print_message("seed %d: %lld given, unevenness %.1f ms when complete, %.1f ms when shown, "
                      "held for %.1f ms, delay %.1f ms; %lld of %lld packets sent again\n",
                      (int)seed, (long long)m.given, (double)m.uneven_given_us / 1e3 / (double)m.given,
                      (double)m.uneven_shown_us / 1e3 / (double)m.given,
                      (double)m.held_us / 1e3 / (double)m.given, (double)delay_us / 1e3,
                      (long long)resent, (long long)sent);
        assert_true(m.given >= 30 * FPS - 5); /* but for those that are on their way */
        assert_true(delay_us >= 15000 && delay_us <= 70000);
        assert_true(2 * m.uneven_shown_us < m.uneven_given_us);
        assert_true(resent * 20 < sent);
        m.path.jitter_us = 0;
        int64_t ended_us = m.now_us;
        while (video_receiver_playout_us(m.receiver, m.now_us) > 0 && m.now_us < ended_us + 20 * SECOND)
            run_for(&m, SECOND / 10);
        print_message("  no delay any more after %.1f s\n", (double)(m.now_us - ended_us) / 1e6);
        assert_true(m.now_us - ended_us <= 10 * SECOND);
        run_for(&m, SECOND);
        begin_measure(&m);
        run_for(&m, 5 * SECOND);
        assert_int_equal(m.held_us, 0);
        assert_true(m.keys <= 1); /* none but the first */
        assert_int_equal(m.path.lost + m.path.overflowed, 0);
        struct video_receiver_stats r;
        video_receiver_get_stats(m.receiver, &r);
        assert_int_equal(r.frames_dropped, 0);
        assert_true(r.frames_received >= m.pushed - 3);
        close_sim(&m);
    }
}

/* Losses are found and repaired in spite of the jitter. */
static void jitter_and_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim m;
        struct video_receiver_stats r;
        open_sim(&m, seed, true, true);
        run_for(&m, SECOND);
        m.path.jitter_us = 60000;
        m.path.loss = 0.03;
        m.back.loss = 0.01;
        run_for(&m, 60 * SECOND);
        m.path.loss = m.path.jitter_us = 0;
        run_for(&m, SECOND);
        video_receiver_get_stats(m.receiver, &r);
        print_message("seed %d: %lld of %lld given, %lld packets lost on the path, %lld missing, "
                      "%lld came after all\n", (int)seed, (long long)r.frames_received,
                      (long long)m.pushed, (long long)m.path.lost, (long long)r.packets_lost,
                      (long long)r.packets_recovered);
        assert_int_equal(r.frames_dropped, 0);
        assert_true(r.frames_received >= m.pushed - 3);
        assert_true(m.keys <= 1);
        assert_true(r.packets_lost < 3 * m.path.lost);
        close_sim(&m);
    }
}

/* A peer that sends nothing again: waiting is all that helps, and once the margin is known it does. */
static void jitter_without_nack(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim m;
        struct video_receiver_stats before, after;
        open_sim(&m, seed, false, true);
        m.path.jitter_us = 40000;
        run_for(&m, 2 * SECOND);
        video_receiver_get_stats(m.receiver, &before);
        run_for(&m, 20 * SECOND);
        video_receiver_get_stats(m.receiver, &after);
        print_message("seed %d: %lld packets given up\n", (int)seed,
                      (long long)(after.packets_lost - before.packets_lost));
        assert_int_equal(after.frames_dropped, before.frames_dropped);
        close_sim(&m);
    }
}

/* The sender's clock is another, and drifts; the capture times are told on ours nevertheless. */
static void capture_times(void **state)
{
    (void)state;
    static const struct {
        int64_t there_us, back_us, jitter_us, error_us;
    } cases[] = {
        {20000, 20000, 0, 1500},
        {100, 100, 0, 1500},
        {20000, 20000, 60000, 12000}, /* the shortest round trip of sixteen is not free of jitter */
        {80000, 20000, 0, 31500},     /* half of what the directions differ by: not to be known */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sim m;
        int64_t offset_us, error_us;
        open_sim(&m, 7 + i, true, true);
        m.path.delay_us = cases[i].there_us;
        m.back.delay_us = cases[i].back_us;
        m.path.jitter_us = cases[i].jitter_us;
        run_for(&m, SECOND / 2);
        assert_true(m.dated > 0); /* soon after the start */
        run_for(&m, 20 * SECOND);
        begin_measure(&m);
        run_for(&m, 60 * SECOND);
        assert_true(video_receiver_clock(m.receiver, m.now_us, &offset_us, &error_us));
        print_message("%lld us there, %lld back, jitter %lld: wrong by %lld us at most, told +-%lld; "
                      "round trip %lld us\n", (long long)cases[i].there_us,
                      (long long)cases[i].back_us, (long long)cases[i].jitter_us,
                      (long long)m.worst_date_us, (long long)error_us,
                      (long long)video_receiver_rtt_us(m.receiver));
        assert_int_equal(m.dated, m.given);
        assert_true(m.worst_date_us <= cases[i].error_us);
        assert_true(m.worst_date_us <= error_us + 2000);
        close_sim(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jitter_comes_and_goes),
        cmocka_unit_test(jitter_and_loss),
        cmocka_unit_test(jitter_without_nack),
        cmocka_unit_test(capture_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
