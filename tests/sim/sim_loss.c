/* A sender and a receiver joined by lossy, reordering, duplicating links. What comes out must be
 * whole, in order, and always with its references. */
#include "sim_flow.h"

enum { AUS = 300, FPS = 30, TAIL_US = 3000000 };

struct scenario {
    const char *name;
    double loss, reorder, duplicate;
    int64_t delay_us, reorder_us;
    bool nack, rtx, fir_only, aggregate, all_ext;
    int key_interval;      /* 0: only when asked */
    bool all_delivered;    /* each access unit arrives */
    bool no_key_requests;  /* but none at the start */
};

static const struct scenario scenarios[] = {
    {"clean", 0, 0, 0, 20000, 0, true, true, false, true, true, 0, true, true},
    {"clean, no feedback but PLI", 0, 0, 0, 20000, 0, false, false, false, false, false, 0, true, true},
    {"reordered within the margin", 0, 0.01, 0.05, 20000, 1000, true, true, false, true, true, 0, true, true},
    {"reordered by 15 ms", 0, 0.05, 0.1, 20000, 15000, true, true, false, true, true, 0, true, true},
    {"2 % lost, RTX", 0.02, 0, 0, 20000, 0, true, true, false, true, true, 0, true, true},
    {"2 % lost, plain resends", 0.02, 0, 0, 20000, 0, true, false, false, true, true, 0, true, true},
    {"10 % lost and reordered, RTX", 0.1, 0.02, 0.02, 20000, 5000, true, true, false, true, true, 50, true, true},
    {"20 % lost, RTX", 0.2, 0, 0, 10000, 0, true, true, false, true, true, 0, true, true},
    {"20 % lost on a LAN, plain", 0.2, 0.01, 0.01, 300, 2000, true, false, false, false, false, 0, true, true},
    {"100 ms away, 5 % lost", 0.05, 0.01, 0, 100000, 3000, true, true, false, true, true, 0, true, true},
    {"0.3 % lost, PLI", 0.003, 0, 0, 20000, 0, false, false, false, true, true, 0, false, false},
    {"0.3 % lost, FIR", 0.003, 0, 0, 20000, 0, false, false, true, true, true, 0, false, false},
    {"0.3 % lost, PLI, key frames anyway", 0.003, 0, 0.01, 20000, 0, false, false, false, false, true, 20, false, false},
};

struct sim {
    const struct scenario *s;
    uint64_t seed;
    int64_t now_us;
    struct sim_flow f;
    struct access_unit *pushed[AUS];
    int n_pushed, last_given, given, keys_given;
    int64_t last_key_us;
    struct sim_clip clip;
};

/* Parameter sets are real; slices are noise that holds no start code. */
static struct access_unit *make_au(struct sim *m, int i, bool key)
{
    struct access_unit *au = sim_picture_begin(&m->clip, key, 0);
    int slices = 1 + (int)(sim_random(&m->seed) * 3);
    for (int k = 0; k < slices; k++) {
        size_t len = 3 + (size_t)(sim_random(&m->seed) * (key ? 150000 : 15000));
        if (sim_random(&m->seed) < 0.2)
            len = 3 + len % 40;
        uint8_t *d = malloc(len);
        for (size_t b = 0; b < len; b++)
            d[b] = (uint8_t)(1 + (uint32_t)(sim_random(&m->seed) * 255));
        sim_slice_header(d, key, k == 0);
        assert_true(au_append_nal(au, d, len));
        free(d);
    }
    au->pts_us = au->capture_us = m->now_us;
    au->pic_id = (uint64_t)i + 1;
    return au;
}

static void push(struct sim *m)
{
    int i = m->n_pushed, every = m->s->key_interval;
    bool key = i == 0 || (every && i % every == 0);
    if (m->f.key_wanted && m->now_us - m->last_key_us >= 300000)
        key = true;
    if (key) {
        m->f.key_wanted = false;
        m->last_key_us = m->now_us;
    }
    m->pushed[i] = make_au(m, i, key);
    m->n_pushed++;
    assert_true(video_sender_push(m->f.sender, m->pushed[i], sim_ntp(m->now_us), m->now_us));
}

static bool same_bytes(const struct access_unit *a, const struct access_unit *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Which of the pushed ones is it? Whole and later than the last; a gap only before an IRAP. */
static void check_given(void *arg, struct access_unit *au)
{
    struct sim *m = arg;
    int i = m->last_given + 1;
    while (i < m->n_pushed && !same_bytes(au, m->pushed[i]))
        i++;
    if (i == m->n_pushed)
        fail_msg("%s: an access unit that was never sent, after %d", m->s->name, m->last_given);
    if (i != m->last_given + 1) {
        assert_true(m->pushed[i]->irap);
        assert_true(au->after_loss);
    }
    assert_int_equal(au->irap, m->pushed[i]->irap);
    if (m->s->all_ext)
        assert_true(au->capture_ntp == sim_ntp(m->pushed[i]->pts_us));
    assert_int_equal(au->first_packet_us <= au->complete_us, true);
    m->last_given = i;
    m->given++;
    m->keys_given += au->irap;
}

static void setup(struct sim *m, const struct scenario *s, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->s = s;
    m->seed = seed * 0x9e3779b97f4a7c15u + 1;
    m->now_us = 5000000;
    m->last_given = -1;
    m->clip = sim_clip_read();
    struct video_sender_config sc;
    struct video_receiver_config rc;
    sim_flow_configs(&sc, &rc);
    sc.rtx_pt = s->rtx ? 50 : 0;
    sc.first_seq = (uint16_t)(65530 - seed); /* wraps at once */
    sc.first_rtx_seq = 65535;
    sc.rtp_ts_offset = 0xffffffffu - 90000 * 7; /* after two seconds */
    sc.aggregate = s->aggregate;
    if (s->all_ext)
        sc.ext = (struct rtp_ext_ids){1, 2, 3, 4, 5, 6, 0};
    strcpy(sc.mid, "0");
    rc.nack = s->nack;
    rc.pli = !s->fir_only;
    rc.fir = true;
    rc.initial_rtt_us = 2 * s->delay_us + 1000;
    m->f = (struct sim_flow){.given = check_given, .arg = m};
    m->f.media = (struct sim_link){
        {s->loss, s->duplicate, s->reorder, s->delay_us, s->reorder_us}, m->seed + 1};
    m->f.feedback = (struct sim_link){{s->loss / 2, s->duplicate, 0, s->delay_us, 0}, m->seed + 2};
    sim_flow_open(&m->f, &sc, &rc);
}

static void run(const struct scenario *s, uint64_t seed)
{
    struct sim m;
    setup(&m, s, seed);
    int64_t next_push = m.now_us, end = INT64_MAX;
    int64_t steps = 0;
    while (m.now_us < end) {
        if (m.now_us >= next_push && m.n_pushed < AUS) {
            push(&m);
            next_push += 1000000 / FPS;
            if (m.n_pushed == AUS)
                end = m.now_us + TAIL_US;
        }
        sim_flow_exchange(&m.f, m.now_us);
        int64_t next = end;
        if (m.n_pushed < AUS)
            next = min64(next, next_push);
        next = min64(next, sim_flow_next_us(&m.f, m.now_us));
        m.now_us = next > m.now_us ? next : m.now_us + 1;
        assert_true(++steps < 2000000); /* no busy loop */
    }

    struct video_sender_stats ss;
    struct video_receiver_stats rs;
    video_sender_get_stats(m.f.sender, m.now_us, &ss);
    video_receiver_get_stats(m.f.receiver, &rs);
    print_message("%-36s seed %d: %d of %d given, %d keys, %d key requests; lost %.2f%%, "
                  "%lld resent, %lld not found, receiver lost %lld recovered %lld dup %lld rtt %lld, steps %lld\n",
                  s->name, (int)seed, m.given, AUS, m.keys_given, (int)m.f.key_requests,
                  100.0 * (double)m.f.media.lost / (double)m.f.media.sent,
                  (long long)ss.packets_retransmitted, (long long)ss.nack_not_found,
                  (long long)rs.packets_lost, (long long)rs.packets_recovered,
                  (long long)rs.packets_duplicate, (long long)rs.rtt_us, (long long)steps);
    assert_int_equal(rs.frames_received, m.given);
    assert_int_equal(rs.packets_malformed, 0);
    assert_int_equal(ss.rtcp_malformed, 0);
    assert_true(ss.queue_bytes == 0);
    if (s->all_delivered)
        assert_int_equal(m.given, AUS);
    else
        assert_true(m.given > AUS / 3);
    assert_true(m.last_given >= AUS - FPS); /* whatever happened, it goes on */
    if (s->no_key_requests)
        assert_int_equal((int)m.f.key_requests, 0);
    else
        assert_true((int)m.f.key_requests > 0 && m.keys_given > 1);
    if (s->nack) /* what is lost is asked for, and not much more */
        assert_true(ss.packets_retransmitted >= rs.packets_recovered &&
                    ss.packets_retransmitted <= 2 * m.f.media.lost + rs.packets_duplicate + 10);
    int64_t rtt = 2 * s->delay_us;
    assert_true(ss.rtt_us >= rtt - 100 && ss.rtt_us <= rtt + 2000 + s->reorder_us);

    for (int i = 0; i < m.n_pushed; i++)
        access_unit_unref(&m.pushed[i]);
    assert_true(m.f.longest <= 1200 && m.f.longest_again <= 1202);
    sim_flow_close(&m.f);
    free(m.clip.data);
}

static void all_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            run(&scenarios[i], seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_scenarios)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
