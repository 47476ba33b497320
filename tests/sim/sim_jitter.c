/* A path with jitter that reorders, and the receiver's answer: no picture is lost by it, little is
 * asked for needlessly, motion is shown nearly as evenly as it was captured, and when the jitter
 * ends the delay is gone soon. In virtual time, with seeds. */
#include "sim_flow.h"

enum { FPS = 30 };
static const int64_t SECOND = 1000000;

struct sim {
    int64_t now_us, next_picture_us;
    struct sim_path path, back;
    struct sim_flow f;
    struct sim_clip clip;
    uint64_t seed;
    int64_t pushed, given;
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
static int64_t abs64(int64_t a) { return a < 0 ? -a : a; }

static void push(struct sim *m)
{
    bool key = m->pushed == 0 || m->f.key_wanted;
    m->f.key_wanted = false;
    size_t len = 100 + (size_t)(sim_random(&m->seed) * 15000); /* 1 to 13 packets */
    struct access_unit *au = sim_picture(&m->clip, key, len, m->now_us, (uint64_t)++m->pushed);
    assert_true(video_sender_push(m->f.sender, au, ntp_of(m->now_us), m->now_us));
    access_unit_unref(&au);
}

static void note_given(void *arg, struct access_unit *au)
{
    struct sim *m = arg;
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

static void run_for(struct sim *m, int64_t us)
{
    int64_t end = m->now_us + us;
    while (m->now_us < end) {
        if (m->now_us >= m->next_picture_us) {
            push(m);
            m->next_picture_us += SECOND / FPS;
        }
        sim_flow_exchange(&m->f, m->now_us);
        int64_t next = min64(end, min64(m->next_picture_us, sim_flow_next_us(&m->f, m->now_us)));
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
    m->clip = sim_clip_read();
    struct video_sender_config sc;
    struct video_receiver_config rc;
    sim_flow_configs(&sc, &rc);
    sc.first_seq = 0;
    sc.aggregate = false;
    sc.ext = (struct rtp_ext_ids){.abs_send_time = send_times ? 3 : 0, .abs_capture_time = 4};
    rc.nack = nack;
    m->f = (struct sim_flow){.path = &m->path, .back = &m->back, .ntp_of = ntp_of,
                             .given = note_given, .arg = m};
    sim_flow_open(&m->f, &sc, &rc);
}

static void close_sim(struct sim *m)
{
    sim_flow_close(&m->f);
    free(m->clip.data);
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
        video_sender_get_stats(m.f.sender, m.now_us, &s);
        int64_t resent = s.packets_retransmitted, sent = s.packets_sent;
        run_for(&m, 30 * SECOND);
        video_sender_get_stats(m.f.sender, m.now_us, &s);
        resent = s.packets_retransmitted - resent;
        sent = s.packets_sent - sent;
        int64_t delay_us = video_receiver_playout_us(m.f.receiver, m.now_us);
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
        while (video_receiver_playout_us(m.f.receiver, m.now_us) > 0 && m.now_us < ended_us + 20 * SECOND)
            run_for(&m, SECOND / 10);
        print_message("  no delay any more after %.1f s\n", (double)(m.now_us - ended_us) / 1e6);
        assert_true(m.now_us - ended_us <= 10 * SECOND);
        run_for(&m, SECOND);
        begin_measure(&m);
        run_for(&m, 5 * SECOND);
        assert_int_equal(m.held_us, 0);
        assert_true(m.f.key_requests <= 1); /* none but the first */
        assert_int_equal(m.path.lost + m.path.overflowed, 0);
        struct video_receiver_stats r;
        video_receiver_get_stats(m.f.receiver, &r);
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
        video_receiver_get_stats(m.f.receiver, &r);
        print_message("seed %d: %lld of %lld given, %lld packets lost on the path, %lld missing, "
                      "%lld came after all\n", (int)seed, (long long)r.frames_received,
                      (long long)m.pushed, (long long)m.path.lost, (long long)r.packets_lost,
                      (long long)r.packets_recovered);
        assert_int_equal(r.frames_dropped, 0);
        assert_true(r.frames_received >= m.pushed - 3);
        assert_true(m.f.key_requests <= 1);
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
        video_receiver_get_stats(m.f.receiver, &before);
        run_for(&m, 20 * SECOND);
        video_receiver_get_stats(m.f.receiver, &after);
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
        assert_true(video_receiver_clock(m.f.receiver, m.now_us, &offset_us, &error_us));
        print_message("%lld us there, %lld back, jitter %lld: wrong by %lld us at most, told +-%lld; "
                      "round trip %lld us\n", (long long)cases[i].there_us,
                      (long long)cases[i].back_us, (long long)cases[i].jitter_us,
                      (long long)m.worst_date_us, (long long)error_us,
                      (long long)video_receiver_rtt_us(m.f.receiver));
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
