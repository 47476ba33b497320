/* src/jitter: nack_list, reorder, packet_ring, receive_stats. */
#include "test_util.h"

#include "jitter/nack_list.h"
#include "jitter/packet_ring.h"
#include "jitter/receive_stats.h"
#include "jitter/reorder.h"

#include <limits.h>

static int due(struct nack_list *l, int64_t highest, int64_t now_us, uint16_t *seq, int max)
{
    int first_time;
    return nack_list_due(l, highest, now_us, 50000, seq, max, &first_time);
}

static void nack_list_times(void **state)
{
    (void)state;
    static struct nack_list l;
    uint16_t seq[16];
    nack_list_init(&l, 0);
    assert_true(nack_list_next_us(&l, 0) == INT64_MAX);
    nack_list_add(&l, 100, 1000);
    /* 101 and 102 are there: it may still be on its way. */
    assert_int_equal(due(&l, 102, 2000, seq, 16), 0);
    assert_int_equal(nack_list_next_us(&l, 102), 11000);
    assert_int_equal(due(&l, 102, 10999, seq, 16), 0);
    /* The third later packet, before the time is up. */
    assert_int_equal(due(&l, 103, 3000, seq, 16), 1);
    assert_int_equal(seq[0], 100);
    assert_int_equal(due(&l, 103, 3001, seq, 16), 0);
    assert_int_equal(nack_list_next_us(&l, 103), 53000);
    assert_int_equal(due(&l, 104, 52999, seq, 16), 0);
    int64_t now = 53000;
    for (int i = 1; i < NACK_TRIES; i++, now += 50000)
        assert_int_equal(due(&l, 104, now, seq, 16), 1);
    assert_int_equal(due(&l, 104, now + 1000000, seq, 16), 0); /* enough */
    nack_list_remove(&l, 100);
    assert_true(nack_list_next_us(&l, 104) == INT64_MAX || nack_list_next_us(&l, 104) > 0);
    assert_null(nack_list_first(&l));

    /* By time alone. */
    nack_list_add(&l, 200, 0);
    assert_int_equal(due(&l, 201, 9999, seq, 16), 0);
    assert_int_equal(due(&l, 201, 10000, seq, 16), 1);
}

/* What asks goes twice, and the second time counts for nothing else. */
static void nack_list_repeats(void **state)
{
    (void)state;
    static struct nack_list l;
    uint16_t seq[16];
    nack_list_init(&l, 15000);
    nack_list_add(&l, 100, 0);
    assert_int_equal(due(&l, 101, 10000, seq, 16), 1);
    assert_int_equal(nack_list_next_us(&l, 101), 25000);
    assert_int_equal(due(&l, 101, 24999, seq, 16), 0);
    assert_int_equal(due(&l, 101, 25000, seq, 16), 1);
    assert_int_equal(nack_list_find(&l, 100)->tries, 1);
    assert_int_equal(nack_list_next_us(&l, 101), 60000); /* 50 ms after the first */
    assert_int_equal(due(&l, 101, 59999, seq, 16), 0);
    assert_int_equal(due(&l, 101, 60000, seq, 16), 1);
    assert_int_equal(nack_list_find(&l, 100)->tries, 2);
    assert_int_equal(due(&l, 101, 75000, seq, 16), 1);
    assert_int_equal(nack_list_find(&l, 100)->tries, 2);
    int64_t now = 110000;
    for (int i = 2; i < NACK_TRIES; i++, now += 50000) {
        assert_int_equal(due(&l, 101, now, seq, 16), 1);
        assert_int_equal(due(&l, 101, now + 20000, seq, 16), 1);
    }
    assert_int_equal(due(&l, 101, now + 1000000, seq, 16), 0);
}

static void nack_list_order_and_limits(void **state)
{
    (void)state;
    static struct nack_list l;
    uint16_t seq[8];
    nack_list_init(&l, 0);
    int64_t base = 65536 + 65530;
    for (int i = 0; i < 20; i++)
        nack_list_add(&l, base + 2 * i, 0);
    nack_list_remove(&l, base);          /* first */
    nack_list_remove(&l, base + 38);     /* last */
    nack_list_remove(&l, base + 10);     /* middle */
    nack_list_remove(&l, base + 11);     /* was never missing */
    assert_null(nack_list_find(&l, base + 10));
    assert_non_null(nack_list_find(&l, base + 12));
    int n, total = 0;
    uint16_t last = 0;
    while ((n = due(&l, base + 100, 20000, seq, 8)) > 0) {
        for (int i = 0; i < n; i++) {
            assert_true(total == 0 || seq16_after(seq[i], last));
            last = seq[i];
            total++;
        }
    }
    assert_int_equal(total, 17);
    nack_list_remove_before(&l, base + 30);
    assert_int_equal(nack_list_first(&l)->seq, base + 30);
    nack_list_add(&l, base + 50, 30000);
    assert_int_equal(due(&l, base + 51, 35000, seq, 8), 0); /* fresh, and the others not yet */
    nack_list_remove_before(&l, INT64_MAX);
    assert_null(nack_list_first(&l));
    assert_int_equal(due(&l, base + 100, 900000, seq, 8), 0);
}

/* Against a plain model, with adding, filling and asking at random. */
static void nack_list_against_a_model(void **state)
{
    (void)state;
    static struct nack_list l;
    static bool missing[20000];
    uint64_t seed = 7;
    int64_t highest = 0, now = 0;
    nack_list_init(&l, 0);
    for (int step = 0; step < 20000 && highest + 20 < 20000; step++) {
        now += test_random(&seed) % 3000;
        uint32_t r = test_random(&seed) % 10;
        if (r < 5) {
            int skip = (int)(test_random(&seed) % 3);
            for (int i = 0; i < skip; i++) {
                nack_list_add(&l, ++highest, now);
                missing[highest] = true;
            }
            highest++;
        } else if (r < 8 && highest > 0) {
            int64_t s = highest - test_random(&seed) % (highest > 900 ? 900 : highest);
            nack_list_remove(&l, s);
            missing[s] = false;
        } else {
            uint16_t seq[64];
            int64_t next = nack_list_next_us(&l, highest);
            int n = due(&l, highest, now, seq, 64);
            assert_true(n == 0 || next <= now); /* the announced time is never too late */
            for (int i = 0; i < n; i++)
                assert_true(missing[seq[i]]);
        }
        if (highest > 1000) { /* given up */
            for (int64_t s = highest - 1000 - 10; s < highest - 1000; s++)
                missing[s < 0 ? 0 : s] = false;
            nack_list_remove_before(&l, highest - 1000);
        }
        const struct nack_entry *e = nack_list_first(&l);
        if (e)
            assert_true(missing[e->seq]);
    }
    for (int64_t s = highest - 999; s <= highest; s++)
        assert_int_equal(nack_list_find(&l, s) != NULL, missing[s]);
}

static struct media_packet packet(int64_t seq, const uint8_t *data, size_t len)
{
    return (struct media_packet){.seq = seq, .payload = data, .len = len};
}

static void ring_stores_and_is_bounded(void **state)
{
    (void)state;
    static struct packet_ring r;
    uint8_t *big = calloc(1, 65000);
    for (int64_t seq = 70000; seq < 70000 + RING_PACKETS; seq++) {
        uint8_t b[4] = {1, 2, 3, (uint8_t)seq};
        struct media_packet p = packet(seq, b, 4);
        p.key_start = seq % 1000 == 0;
        assert_true(packet_ring_store(&r, &p));
    }
    assert_int_equal(r.key_starts, 3);
    assert_int_equal(packet_ring_get(&r, 70005)->payload[3], (uint8_t)70005);
    assert_null(packet_ring_get(&r, 70005 + RING_PACKETS));
    packet_ring_drop(&r, 70005 + RING_PACKETS); /* another one: stays */
    assert_non_null(packet_ring_get(&r, 70005));
    packet_ring_drop(&r, 70000);
    assert_int_equal(r.key_starts, 2);
    packet_ring_clear(&r);
    assert_int_equal(r.key_starts, 0);
    int stored = 0;
    for (int64_t seq = 0; seq < RING_PACKETS; seq++) { /* 133 MB of them */
        struct media_packet p = packet(seq, big, 65000);
        stored += packet_ring_store(&r, &p);
        assert_true(r.bytes <= RING_MAX_BYTES);
    }
    assert_int_equal(stored, RING_MAX_BYTES / 65000);
    packet_ring_free_slots(&r);
    assert_int_equal(r.bytes, 0);
    free(big);
}

static void reports(void **state)
{
    (void)state;
    struct receive_stats s = {0};
    struct rtcp_report r;
    /* 100 packets each 10 ms with perfect timestamps; every tenth is lost, none of the first five. */
    for (int i = 0; i < 100; i++)
        if (i % 10 != 9)
            receive_stats_packet(&s, 65536 + 65500 + i, (uint32_t)i * 900, 1000000 + i * 10000);
    receive_stats_report(&s, 5, true, 2000000, &r);
    assert_int_equal(r.ssrc, 5);
    assert_int_equal(r.cumulative_lost, 9); /* the last lost one is not known yet */
    assert_int_equal(r.fraction_lost, 9 * 256 / 99);
    assert_int_equal(r.highest_seq, 65536 + 65500 + 98);
    assert_int_equal(r.jitter, 0);
    assert_int_equal(r.lsr, 0);
    assert_int_equal(r.dlsr, 0);
    /* The next interval: nothing lost, two duplicates. */
    for (int i = 0; i < 12; i++)
        receive_stats_packet(&s, 65536 + 65599 + i % 10, 0, 3000000);
    receive_stats_report(&s, 5, false, 2000000, &r);
    assert_int_equal(r.fraction_lost, 9 * 256 / 99); /* still of the last interval */
    receive_stats_report(&s, 5, true, 2000000, &r);
    assert_int_equal(r.fraction_lost, 0);
    assert_int_equal(r.cumulative_lost, 7);
    receive_stats_sr(&s, 0x0000000180000000, 4000000);
    receive_stats_report(&s, 5, true, 4500000, &r);
    assert_int_equal(r.lsr, 0x00018000);
    assert_int_equal(r.dlsr, 32768);
}

static void jitter_follows_a_8(void **state)
{
    (void)state;
    struct receive_stats s = {0};
    /* Each second packet comes 1 ms late, so |D| is 1 ms always and J converges to it. */
    for (int i = 0; i < 500; i++)
        receive_stats_packet(&s, i, (uint32_t)i * 900 + 0xffff0000, i * 10000 + i % 2 * 1000);
    int64_t us = receive_stats_jitter_us(&s);
    assert_true(us > 850 && us < 1150);
}

/* Packets every ms for `seconds`; every `nth` comes late_us late, behind as many later ones. */
static void run_reorder(struct reorder *r, int64_t *now, int seconds, int nth, int64_t late_us)
{
    for (int i = 0; i < seconds * 1000; i++, *now += 1000) {
        reorder_packet(r, *now);
        if (nth && i % nth == 0)
            reorder_late(r, late_us, late_us / 1000);
    }
}

static void reorder_margin_follows(void **state)
{
    (void)state;
    struct reorder r;
    int64_t now = 1000;
    reorder_init(&r, false);
    run_reorder(&r, &now, 5, 0, 0);
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    assert_int_equal(r.margin_packets, REORDER_PACKETS);
    reorder_late(&r, 80000, 80); /* one packet is no rule */
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    run_reorder(&r, &now, 5, 200, 80000); /* nor is one in two hundred */
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    assert_int_equal(r.margin_packets, REORDER_PACKETS);
    run_reorder(&r, &now, 1, 10, 40000); /* but one in ten is */
    assert_true(r.margin_us > 40000 && r.margin_us <= 42000);
    assert_int_equal(r.margin_packets, INT_MAX);
    run_reorder(&r, &now, 1, 10, 2000); /* not far: the count of later packets holds again, soon */
    run_reorder(&r, &now, 10, 10, 2000);
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    assert_int_equal(r.margin_packets, REORDER_PACKETS);
    run_reorder(&r, &now, 1, 4, 99000);
    assert_int_equal(r.margin_us, REORDER_MAX_US);
    run_reorder(&r, &now, 1, 2, 500000); /* as good as lost */
    assert_true(r.margin_us <= REORDER_MAX_US);
    run_reorder(&r, &now, 10, 0, 0);
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    reorder_late(&r, -5, 0);
    assert_int_equal(r.margin_us, REORDER_MIN_US);
    reorder_init(&r, true); /* all of them */
    run_reorder(&r, &now, 1, 0, 0);
    reorder_late(&r, 30000, 30);
    assert_int_equal(r.margin_us, 40000);
    assert_int_equal(r.margin_packets, INT_MAX);
    run_reorder(&r, &now, 30, 0, 0);
    assert_int_equal(r.margin_us, REORDER_MIN_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nack_list_times),
        cmocka_unit_test(nack_list_repeats),
        cmocka_unit_test(nack_list_order_and_limits),
        cmocka_unit_test(nack_list_against_a_model), cmocka_unit_test(reorder_margin_follows),
        cmocka_unit_test(ring_stores_and_is_bounded),
        cmocka_unit_test(reports),
        cmocka_unit_test(jitter_follows_a_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
