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
        key(&f);
        assert_int_equal(given(&f), 1);
        video_receiver_request_key(f.vr, f.now_us);
        int n = feedback(&f).pli;
        plis += n;
        late += f.now_us > begin + 20000000 ? n : 0;
    }
    assert_true(plis >= 10 && plis <= 20); /* not 300 */
    assert_true(late >= 7 && late <= 9);   /* one in five seconds */
    key(&f);
    assert_int_equal(given(&f), 1);
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
    struct video_receiver_config c = receiver_config();
    start(&f, &c);
    for (int i = 0; i < 20; i++) {
        f.now_us += 200000;
        key(&f);
        assert_int_equal(given(&f), 1);
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
    struct video_receiver_config c = receiver_config();
    start(&f, &c);
    key(&f);
    assert_int_equal(given(&f), 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_requests_back_off),
        cmocka_unit_test(key_requests_without_a_decoder),
        cmocka_unit_test(reordering_is_not_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
