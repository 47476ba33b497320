/* Which pictures a viewer has, and the message by which it asks for references. */
#include "rtp/delivery.h"
#include "rtp/rtcp.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

enum { RTT_US = 50000, SILENT_US = 3 * RTT_US + 200000 };

/* Picture id with so many packets, after another one (0: an IRAP). */
static void sent(struct delivery *d, uint64_t id, uint64_t after, int packets, int64_t now_us)
{
    struct access_unit au = {.pic_id = id, .irap = after == 0, .n_refers = after != 0,
                             .refers_to = {after}};
    for (int i = 0; i < packets; i++)
        delivery_sent(d, &au, i == packets - 1, now_us);
}

static void arrived(struct delivery *d, uint64_t id, int packets)
{
    for (int i = 0; i < packets; i++)
        delivery_arrived(d, id);
}

static uint64_t next(struct delivery *d)
{
    uint64_t id;
    return delivery_next(d, &id) ? id : 0;
}

static void test_in_order(void **state)
{
    struct delivery *d = *state;
    sent(d, 1, 0, 3, 0);
    sent(d, 2, 1, 1, 1000);
    arrived(d, 1, 2);
    assert_int_equal(next(d), 0);
    arrived(d, 1, 1);
    assert_int_equal(next(d), 1);
    assert_true(delivery_has(d, 1) && !delivery_has(d, 2));
    arrived(d, 2, 1);
    assert_int_equal(next(d), 2);
    assert_int_equal(next(d), 0);
}

/* What refers to a lost picture is not there, whole as it came; a repair that does not, is; and
 * when the lost one comes after all, so are those that waited for it. */
static void test_loss(void **state)
{
    struct delivery *d = *state;
    sent(d, 1, 0, 1, 0);
    sent(d, 2, 1, 2, 0);
    sent(d, 3, 2, 1, 0);
    sent(d, 4, 1, 1, 0); /* the repair */
    arrived(d, 1, 1);
    arrived(d, 2, 1);
    arrived(d, 3, 1);
    assert_int_equal(next(d), 1);
    assert_int_equal(next(d), 0);
    arrived(d, 4, 1);
    assert_int_equal(next(d), 4);
    assert_false(delivery_has(d, 3));
    arrived(d, 2, 1);
    assert_int_equal(next(d), 2);
    assert_int_equal(next(d), 3);
}

/* Reports each 50 ms, from one time to the other. */
static void hear(struct delivery *d, int64_t from_us, int64_t to_us)
{
    for (int64_t t = from_us; t <= to_us; t += 50000)
        delivery_tick(d, RTT_US, t);
}

/* Forward error correction: feedback never says that the packet came, but nobody asks for it. */
static void test_silence(void **state)
{
    struct delivery *d = *state;
    sent(d, 1, 0, 2, 0);
    arrived(d, 1, 1);
    hear(d, 0, 2 * SILENT_US);
    assert_int_equal(next(d), 0); /* nothing came after: the viewer cannot know that it misses it */
    sent(d, 2, 1, 1, 2 * SILENT_US);
    arrived(d, 2, 1);
    hear(d, 2 * SILENT_US, 2 * SILENT_US + SILENT_US / 2);
    delivery_asked(d, 1);
    hear(d, 2 * SILENT_US + SILENT_US / 2, 3 * SILENT_US);
    assert_int_equal(next(d), 0); /* it was asked for lately */
    hear(d, 3 * SILENT_US, 4 * SILENT_US);
    assert_int_equal(next(d), 1);
    assert_int_equal(next(d), 2);
}

/* A viewer that is not heard cannot ask: such a time says nothing, however long it is. */
static void test_not_heard(void **state)
{
    struct delivery *d = *state;
    sent(d, 1, 0, 2, 0);
    arrived(d, 1, 1);
    sent(d, 2, 1, 1, 0);
    arrived(d, 2, 1);
    hear(d, 0, 100000);
    delivery_tick(d, RTT_US, 20 * SILENT_US);
    assert_int_equal(next(d), 0);
    delivery_asked(d, 1);
    hear(d, 20 * SILENT_US, 20 * SILENT_US + SILENT_US - 100000);
    assert_int_equal(next(d), 0);
    hear(d, 21 * SILENT_US, 22 * SILENT_US);
    assert_int_equal(next(d), 1);
}

static void test_purge_and_time(void **state)
{
    struct delivery *d = *state;
    struct access_unit cut = {.pic_id = 2, .n_refers = 1, .refers_to = {1}};
    sent(d, 1, 0, 1, 1000);
    delivery_sent(d, &cut, false, 2000); /* the rest of it is dropped */
    sent(d, 3, 0, 1, 3000);
    arrived(d, 1, 1);
    arrived(d, 2, 1);
    arrived(d, 3, 1);
    delivery_tick(d, RTT_US, 100 * SILENT_US);
    assert_int_equal(next(d), 1);
    assert_int_equal(next(d), 3);
    assert_int_equal(next(d), 0);
    assert_int_equal(delivery_sent_by(d, 999), 0);
    assert_int_equal(delivery_sent_by(d, 2500), 1);
    assert_int_equal(delivery_sent_by(d, 3000), 3);
}

/* More pictures than the ring holds, and more news than are fetched: the newest remain. */
static void test_many(void **state)
{
    struct delivery *d = *state;
    sent(d, 1, 0, 1, 0);
    arrived(d, 1, 1);
    for (uint64_t id = 2; id < 3 * DELIVERY_RING; id++) {
        sent(d, id, id - 1, 1, (int64_t)id);
        arrived(d, id, 1);
        delivery_tick(d, RTT_US, (int64_t)id);
    }
    uint64_t last = 0;
    for (uint64_t id; (id = next(d));)
        last = id;
    assert_int_equal(last, 3 * DELIVERY_RING - 1);
    assert_false(delivery_has(d, 1));
}

static void test_rpsi(void **state)
{
    (void)state;
    static const int32_t pocs[] = {0, 1, 4095, 0x12345678, -1, INT32_MIN};
    uint8_t buf[64];
    for (size_t i = 0; i < sizeof pocs / sizeof pocs[0]; i++) {
        struct byte_writer w = byte_writer_of(buf, sizeof buf);
        rtcp_write_rpsi(&w, 1, 2, 96, pocs[i]);
        assert_false(w.failed);
        struct byte_reader r = byte_reader_of(buf, bw_len(&w));
        struct rtcp_packet p;
        int32_t poc;
        assert_int_equal(rtcp_next(&r, &p), 1);
        assert_int_equal(rtcp_media_ssrc(&p), 2);
        assert_true(rtcp_rpsi(&p, 96, &poc));
        assert_int_equal(poc, pocs[i]);
        assert_false(rtcp_rpsi(&p, 97, &poc)); /* of another stream */
        buf[14] = 'G';
        assert_false(rtcp_rpsi(&p, 96, &poc));
        p.len = 12;
        assert_false(rtcp_rpsi(&p, 96, &poc));
    }
}

static int setup(void **state)
{
    return (*state = calloc(1, sizeof(struct delivery))) ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_purge_and_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test(test_rpsi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
