/* src/jitter/receiver_feedback: key requests, NACK with reordering. */
#include "receiver_fixture.h"

/* The decoder fails at each key frame: it is asked less and less often; one picture changes that. */
static void key_requests_back_off(void **state)
{
    (void)state;
    static struct fixture f;
    struct video_receiver_config c = receiver_config();
    c.decoder = true;
    start(&f, &c);
    int plis = 0, late = 0;
    int64_t begin = f.now_us;
    while (f.now_us < begin + 60000000) {
        given_key(&f);
        video_receiver_request_key(f.vr, f.now_us);
        int n = feedback(&f).pli;
        plis += n;
        late += f.now_us > begin + 20000000 ? n : 0;
    }
    assert_true(plis >= 10 && plis <= 20); /* not 300 */
    assert_true(late >= 7 && late <= 9);   /* one in five seconds */
    given_key(&f);
    video_receiver_decoded(f.vr);
    plis = 0;
    begin = f.now_us;
    while (f.now_us < begin + 700000) {
        video_receiver_request_key(f.vr, f.now_us);
        delta(&f);
        plis += feedback(&f).pli;
    }
    assert_true(plis >= 3 && plis <= 4); /* eagerly again */
    video_receiver_decoded(f.vr);        /* of what was given before the request: no success */
    begin = f.now_us;
    for (plis = 0; f.now_us < begin + 3000000; delta(&f))
        plis += feedback(&f).pli;
    assert_true(plis >= 2 && plis <= 3);
    stop(&f);
}

/* Without a decoder, what is given out is success. */
static void key_requests_without_a_decoder(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    for (int i = 0; i < 20; i++) {
        f.now_us += 200000;
        given_key(&f);
        video_receiver_request_key(f.vr, f.now_us);
        assert_int_equal(feedback(&f).pli, 1);
    }
    stop(&f);
}

/* Every other packet comes 20 ms late, nothing is lost: soon nothing is asked for any more. */
static void reordering_is_not_loss(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    given_key(&f);
    int early = 0, later = 0;
    for (int i = 0; i < 300; i++) {
        make(&f, NAL_TRAIL_R, false, 8000);
        for (int k = 1; k < f.n; k += 2)
            deliver(&f, k);
        for (int step = 0; step < 4; step++, f.now_us += 5000)
            *(i < 30 ? &early : &later) += feedback(&f).nacked;
        for (int k = 0; k < f.n; k += 2)
            deliver(&f, k);
        assert_int_equal(given(&f), 1);
    }
    assert_true(early > 0 && early < 40);
    assert_true(later <= 3);
    assert_int_equal(stats(&f).frames_received, 301);
    /* A loss is still found. */
    send(&f, NAL_TRAIL_R, false, 8000, 3);
    for (int step = 0; step < 8; step++, f.now_us += 5000)
        later += feedback(&f).nacked;
    assert_true(later >= 1);
    stop(&f);
}

/* A sender with REMB and no transport-wide feedback is told when its queue grows. */
static void remb(void **state)
{
    (void)state;
    static struct fixture f;
    for (int twcc = 0; twcc < 2; twcc++) {
        struct video_receiver_config c = receiver_config();
        c.remb = true;
        c.twcc = twcc;
        c.ext.abs_send_time = 3;
        start(&f, &c);
        int64_t told = 0, bps;
        int64_t sent_us = 1000000;
        for (int i = 0; i < 600; i++) { /* sent at 2 Mb/s, carried at 1 Mb/s */
            uint8_t p[1200] = {0x90, PT, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0xbe, 0xde, 0, 1, 3 << 4 | 2};
            wr_be16(p + 2, (uint16_t)i);
            wr_be32(p + 4, (uint32_t)i * 9000);
            wr_be24(p + 17, (uint32_t)((sent_us << 18) / 1000000) & 0xffffff);
            sent_us += 4800;
            f.now_us += 9600;
            video_receiver_on_rtp(f.vr, p, sizeof p, f.now_us);
            uint8_t buf[1400];
            size_t len;
            while ((len = video_receiver_rtcp(f.vr, f.now_us, buf, sizeof buf))) {
                struct byte_reader r = byte_reader_of(buf, len);
                struct rtcp_packet q;
                while (rtcp_next(&r, &q) > 0)
                    if (rtcp_remb(&q, &bps))
                        told = bps;
            }
        }
        assert_true(twcc ? told == 0 : told > 600000 && told < 1000000);
        stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_requests_back_off),
        cmocka_unit_test(key_requests_without_a_decoder),
        cmocka_unit_test(reordering_is_not_loss),
        cmocka_unit_test(remb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
