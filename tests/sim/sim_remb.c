/* The receiver's estimate (REMB) and a sender that follows it through a bottleneck: in virtual time,
 * with seeds. The sender is as plain as they come: it sends pictures at the rate that it was told. */
#include "../unit/core/test_util.h"

#include "cc/remb_estimator.h"
#include "sim_path.h"

#include <stdio.h>

enum { PACKET = 1200, FPS = 30 };
static const int64_t SECOND = 1000000;

struct sim {
    struct remb_estimator e;
    struct sim_path path;
    struct sim_link link;
    int64_t now_us, at_us, sender_bps, last_us;
    double owed_bytes;
    uint64_t seed;
    int told;
};

static uint32_t send_time_of(int64_t us) { return (uint32_t)(((uint64_t)us << 18) / 1000000) & 0xffffff; }

static void open_sim(struct sim *m, uint64_t seed, int64_t bps)
{
    memset(m, 0, sizeof *m);
    remb_estimator_init(&m->e);
    m->seed = seed * 0x9e3779b97f4a7c15u + 1;
    m->path = (struct sim_path){.bps = bps, .queue_ms = 300, .delay_us = 20000, .seed = m->seed + 1};
    m->now_us = 5 * SECOND;
    m->sender_bps = 20000000; /* what a sender does without being told */
}

static void receive(struct sim *m, int64_t until_us)
{
    struct sim_packet in;
    while (sim_next_us(&m->link) <= until_us && sim_receive(&m->link, until_us, &in)) {
        uint32_t t;
        memcpy(&t, in.data, sizeof t);
        remb_estimator_packet(&m->e, t, PACKET, in.at_us);
        if (in.at_us >= remb_estimator_due_us(&m->e)) {
            m->sender_bps = remb_estimator_tell(&m->e, in.at_us);
            m->told++;
            assert_true(in.at_us >= remb_estimator_due_us(&m->e) - SECOND);
        }
        free(in.data);
    }
}

/* bps 0: as told, at most 20 Mb/s. A picture's packets are spread over half of its time. */
static void run_for(struct sim *m, int64_t us, int64_t bps)
{
    for (int64_t end = m->now_us + us; m->now_us < end; m->now_us += SECOND / FPS) {
        int64_t rate = bps ? bps : m->sender_bps < 20000000 ? m->sender_bps : 20000000;
        m->owed_bytes += (double)rate / 8 / FPS * (0.7 + 0.6 * sim_random(&m->seed));
        int64_t n = (int64_t)(m->owed_bytes / PACKET);
        m->owed_bytes -= (double)(n * PACKET);
        for (int64_t i = 0; i < n; i++) {
            uint8_t packet[PACKET] = {0};
            int64_t at = m->now_us + i * SECOND / FPS / 2 / n;
            uint32_t t = send_time_of(at);
            receive(m, at);
            memcpy(packet, &t, sizeof t);
            sim_path_send(&m->path, &m->link, &m->at_us, packet, sizeof packet, at);
        }
        receive(m, m->now_us + SECOND / FPS);
    }
}

static double use_of(struct sim *m, int64_t us)
{
    sim_path_reset_counts(&m->path);
    run_for(m, us, 0);
    return (double)m->path.carried_bytes * 8e6 / (double)us / (double)m->path.bps;
}

static void finds_the_rate(void **state)
{
    (void)state;
    static const int64_t rates[] = {1000000, 3000000, 10000000};
    for (size_t i = 0; i < 3; i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct sim m;
            open_sim(&m, seed, rates[i]);
            run_for(&m, 10 * SECOND, 0);
            double use = use_of(&m, 30 * SECOND);
            print_message("%lld kb/s, seed %d: use %.0f %%, queue p50 %d ms p95 %d ms, overflow %lld, told %d\n",
                          (long long)rates[i] / 1000, (int)seed, 100 * use,
                          sim_path_delay_ms(&m.path, 0.5), sim_path_delay_ms(&m.path, 0.95),
                          (long long)m.path.overflowed, m.told);
            assert_true(use >= 0.7 && use <= 1.01);
            assert_true(sim_path_delay_ms(&m.path, 0.95) <= 150);
            /* The path gets worse, and better. */
            m.path.bps = rates[i] / 3;
            run_for(&m, 5 * SECOND, 0);
            use = use_of(&m, 20 * SECOND);
            assert_true(use >= 0.6);
            assert_true(sim_path_delay_ms(&m.path, 0.95) <= 250);
            m.path.bps = rates[i];
            run_for(&m, 30 * SECOND, 0);
            use = use_of(&m, 20 * SECOND);
            assert_true(use >= 0.6);
            sim_clear(&m.link);
        }
}

/* A sender that the path never holds back is never told anything; nor does a still screen shrink
 * what was known. */
static void idle_says_nothing(void **state)
{
    (void)state;
    struct sim m;
    open_sim(&m, 1, 50000000);
    run_for(&m, 20 * SECOND, 2000000);
    assert_int_equal(m.told, 0);
    assert_true(remb_estimator_due_us(&m.e) == INT64_MAX);
    m.path.bps = 4000000;
    run_for(&m, 20 * SECOND, 0);
    int64_t before = m.e.rate.bps;
    run_for(&m, 60 * SECOND, 20000);
    assert_true(m.told > 60);
    assert_true(m.e.rate.bps >= before);
    sim_clear(&m.link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_rate),
        cmocka_unit_test(idle_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
