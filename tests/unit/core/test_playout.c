/* src/jitter/playout: the delay follows jitter up and down, and only where it helps. */
#include "test_util.h"

#include "jitter/playout.h"

enum { STEP_US = 33333, TRANSIT_US = 20000 };

struct stream {
    struct playout p;
    uint64_t seed;
    int64_t pts_us;
    bool send_times;
    int64_t encode_us;      /* from capture to sending */
    int64_t held_us, shown; /* sums */
    int64_t uneven_us;      /* sum of |distance between shows - distance between captures| */
    int64_t last_show_us;
    int64_t longest_us;     /* complete to shown */
    int64_t now_us;         /* pictures are given in order: a late one holds up those behind it */
};

static void open_stream(struct stream *s, int64_t min_us, int64_t max_us)
{
    memset(s, 0, sizeof *s);
    playout_init(&s->p, min_us, max_us);
    s->seed = 42;
    s->pts_us = 1000000;
    s->send_times = true;
}

static int64_t show(struct stream *s, int64_t step_us, int64_t delay_us, bool repaired)
{
    s->pts_us += step_us;
    int64_t sent_us = s->pts_us + s->encode_us, arrival = sent_us + TRANSIT_US + delay_us;
    int64_t now = arrival > s->now_us ? arrival : s->now_us;
    s->now_us = now;
    struct playout_picture pic = {
        .pts_us = s->pts_us - 500000, /* the media's clock is another */
        .arrival_us = arrival,
        .send_time = (uint32_t)(((uint64_t)sent_us << 18) / 1000000) & 0xffffff,
        .has_send_time = s->send_times,
        .repaired = repaired,
    };
    int64_t at = playout_add(&s->p, &pic, now);
    assert_true(at >= now && at <= now + s->p.max_us);
    s->held_us += at - now;
    s->longest_us = at - now > s->longest_us ? at - now : s->longest_us;
    int64_t gap = at - s->last_show_us - step_us;
    s->uneven_us += s->shown++ == 0 ? 0 : gap < 0 ? -gap : gap;
    s->last_show_us = at;
    return at - now;
}

static void reset(struct stream *s) { s->held_us = s->shown = s->uneven_us = s->longest_us = 0; }

static int64_t jitter(struct stream *s, int64_t most_us)
{
    return most_us > 0 ? test_random(&s->seed) % most_us : 0;
}

static void motion(struct stream *s, int seconds, int64_t jitter_us)
{
    for (int i = 0; i < seconds * 30; i++)
        show(s, STEP_US, jitter(s, jitter_us), false);
}

static void no_jitter_no_delay(void **state)
{
    (void)state;
    struct stream s;
    for (int send_times = 0; send_times < 2; send_times++) {
        open_stream(&s, 0, 200000);
        s.send_times = send_times;
        motion(&s, 20, 3000); /* a busy machine */
        assert_int_equal(s.held_us, 0);
        assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
    }
}

static void follows_jitter_up_and_down(void **state)
{
    (void)state;
    struct stream s;
    for (int send_times = 0; send_times < 2; send_times++) {
        open_stream(&s, 0, 200000);
        s.send_times = send_times;
        motion(&s, 5, 60000);
        int64_t delay = playout_delay_us(&s.p, s.pts_us);
        assert_true(delay > 45000 && delay <= 62000);
        reset(&s);
        motion(&s, 10, 60000);
        assert_true(s.uneven_us / s.shown < 3000); /* as captured, nearly; 20 ms without a delay */
        motion(&s, 5, 0);
        assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
        reset(&s);
        motion(&s, 5, 0);
        assert_int_equal(s.held_us, 0);
    }
}

static void keeps_within_bounds(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 40000);
    motion(&s, 10, 300000);
    assert_true(s.longest_us <= 40000);
    open_stream(&s, 0, 0);
    motion(&s, 10, 300000);
    assert_int_equal(s.held_us, 0);
    open_stream(&s, 100000, 150000);
    assert_int_equal(playout_delay_us(&s.p, 0), 100000);
    for (int i = 0; i < 30; i++) /* after pauses too */
        assert_true(show(&s, i % 2 ? STEP_US : 2000000, 0, false) >= 99999);
    motion(&s, 10, 300000);
    assert_true(s.longest_us <= 150000);
}

static void a_keystroke_is_not_delayed(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 200000);
    motion(&s, 5, 60000);
    assert_true(playout_delay_us(&s.p, s.pts_us) > 40000);
    for (int i = 0; i < 20; i++) {
        int64_t held = show(&s, 400000, jitter(&s, 60000), false);
        assert_int_equal(held, 0);
        assert_int_equal(playout_delay_us(&s.p, s.pts_us + 600000), 0);
    }
    motion(&s, 5, 60000); /* and motion again */
    assert_true(playout_delay_us(&s.p, s.pts_us) > 40000);
}

/* What takes the encoder or the sender's pacer long is late, and delays nothing else. */
static void slow_pictures_are_no_jitter(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 200000);
    for (int i = 0; i < 600; i++) {
        s.encode_us = i % 3 == 0 ? 40000 : 1000;
        show(&s, STEP_US, 0, false);
    }
    assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
    assert_int_equal(s.held_us, 0);
}

static void repaired_pictures(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 200000);
    for (int i = 0; i < 600; i++) /* a tenth is repaired, one RTT later */
        show(&s, STEP_US, i % 10 == 0 ? 100000 : 0, i % 10 == 0);
    assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
    assert_int_equal(s.held_us, 0);
    for (int i = 0; i < 600; i++) /* two fifths: motion would stutter more often than not */
        show(&s, STEP_US, i % 5 < 2 ? 60000 : 0, i % 5 < 2);
    int64_t delay = playout_delay_us(&s.p, s.pts_us);
    assert_true(delay >= 59000 && delay <= 61000);
    motion(&s, 10, 0);
    assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
}

static void one_hiccup_and_a_stall(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 200000);
    motion(&s, 1, 0);
    show(&s, STEP_US, 150000, false);
    motion(&s, 2, 0);
    assert_int_equal(s.held_us, 0);
    /* The path stands still for a second; then all comes at once and is shown at once. */
    for (int i = 0; i < 30; i++)
        assert_int_equal(show(&s, STEP_US, 1000000 - i * STEP_US, false), 0);
    motion(&s, 10, 0);
    reset(&s);
    motion(&s, 5, 0);
    assert_int_equal(s.held_us, 0);
}

/* A longer path from now on, a clock that runs faster, a media clock that jumps. */
static void changes_of_the_base(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s, 0, 200000);
    motion(&s, 5, 0);
    for (int i = 0; i < 300; i++)
        show(&s, STEP_US, 80000, false);
    assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
    assert_int_equal(show(&s, STEP_US, 80000, false), 0);
    for (int i = 0; i < 30000; i++) /* 500 ppm */
        show(&s, STEP_US, 80000 + i * 16, false);
    assert_int_equal(playout_delay_us(&s.p, s.pts_us), 0);
    open_stream(&s, 0, 200000);
    motion(&s, 5, 60000);
    s.pts_us += 3600000000;
    motion(&s, 5, 0);
    assert_int_equal(show(&s, STEP_US, 0, false), 0);
    struct playout_picture back = {.pts_us = -1000000, .arrival_us = s.pts_us + 50000};
    assert_true(playout_add(&s.p, &back, s.pts_us + 50000) == s.pts_us + 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_jitter_no_delay),
        cmocka_unit_test(follows_jitter_up_and_down),
        cmocka_unit_test(keeps_within_bounds),
        cmocka_unit_test(a_keystroke_is_not_delayed),
        cmocka_unit_test(slow_pictures_are_no_jitter),
        cmocka_unit_test(repaired_pictures),
        cmocka_unit_test(one_hiccup_and_a_stall),
        cmocka_unit_test(changes_of_the_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
