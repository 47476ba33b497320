/* src/jitter/video_receiver, frame_assembly. */
#include "receiver_fixture.h"

static void gives_access_units(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    assert_true(video_receiver_next_us(f.vr, 0) == INT64_MAX);
    int64_t first = 0;
    for (int i = 0; i < 3; i++) {
        make(&f, i ? NAL_TRAIL_R : NAL_IDR_W_RADL, i == 0, 3000);
        int64_t began = f.now_us;
        for (int k = 0; k < f.n; k++) {
            assert_null(video_receiver_poll(f.vr, f.now_us));
            f.now_us += 100;
            deliver(&f, k);
        }
        struct access_unit *au = video_receiver_poll(f.vr, f.now_us);
        assert_non_null(au);
        assert_int_equal(au->irap, i == 0);
        assert_false(au->after_loss);
        assert_true(au->capture_ntp == (uint64_t)began);
        assert_int_equal(au->first_packet_us, began + 100);
        assert_int_equal(au->complete_us, began + 100 * f.n);
        if (i == 0) {
            assert_int_equal(au->width, 98);
            assert_int_equal(au->height, 54);
            first = au->pts_us - began;
        }
        int64_t drift = au->pts_us - began - first; /* the sender's times, over the wrap */
        assert_true(drift >= -12 && drift <= 12);
        access_unit_unref(&au);
    }
    struct video_receiver_stats s = stats(&f);
    assert_int_equal(s.frames_received, 3);
    assert_int_equal(s.frames_dropped, 0);
    assert_int_equal(s.packets_lost, 0);
    assert_int_equal(feedback(&f).pli, 0);
    stop(&f);
}

static void asks_for_the_first_key(void **state)
{
    (void)state;
    static struct fixture f;
    for (int fir = 0; fir < 2; fir++) {
        struct video_receiver_config c = receiver_config();
        c.pli = !fir;
        start(&f, &c);
        delta(&f);
        f.now_us += 10000; /* the first packets may have been reordered */
        struct feedback fb = feedback(&f);
        assert_int_equal(fb.pli + fb.fir, 1);
        assert_int_equal(fb.fir, fir);
        assert_int_equal(fb.rr, fb.sdes);
        int64_t asked = f.now_us;
        for (int i = 0; i < 5; i++)
            delta(&f);
        assert_int_equal(given(&f), 0);
        fb = feedback(&f);
        assert_int_equal(fb.pli + fb.fir, 0); /* not within 200 ms */
        f.now_us = asked + 200000;
        assert_true(video_receiver_next_us(f.vr, f.now_us) <= f.now_us);
        fb = feedback(&f);
        assert_int_equal(fb.pli + fb.fir, 1);
        assert_int_equal(fb.fir_seq, fir); /* a new sequence number each time */
        key(&f);
        delta(&f);
        assert_int_equal(given(&f), 2);
        f.now_us += 300000;
        fb = feedback(&f);
        assert_int_equal(fb.pli + fb.fir, 0);
        assert_int_equal(stats(&f).plis, 2);
        stop(&f);
    }
}

static void a_key_that_comes_in_is_not_asked_for(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    make(&f, NAL_IDR_W_RADL, true, 20000);
    for (int i = 0; i < f.n; i++) { /* 18 packets over 1.8 s */
        f.now_us += 100000;
        deliver(&f, i);
        assert_int_equal(feedback(&f).pli, 0);
    }
    assert_int_equal(given(&f), 1);
    stop(&f);
}

static void loss_without_nack(void **state)
{
    (void)state;
    static struct fixture f;
    struct video_receiver_config c = receiver_config();
    c.nack = false;
    start(&f, &c);
    given_key(&f);
    send(&f, NAL_TRAIL_R, false, 8000, 2);
    assert_int_equal(given(&f), 0);
    struct feedback fb = feedback(&f);
    assert_int_equal(fb.nack, 0);
    assert_int_equal(fb.pli, 1);
    delta(&f);
    assert_int_equal(given(&f), 0); /* its reference is missing */
    key(&f);
    struct access_unit *au = video_receiver_poll(f.vr, f.now_us);
    assert_non_null(au);
    assert_true(au->after_loss && au->irap);
    access_unit_unref(&au);
    delta(&f);
    assert_int_equal(given(&f), 1);
    struct video_receiver_stats s = stats(&f);
    assert_int_equal(s.packets_lost, 1);
    assert_int_equal(s.frames_dropped, 2);
    stop(&f);
}

static void loss_is_repaired_or_given_up(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    given_key(&f);
    send(&f, NAL_TRAIL_R, false, 8000, 2);
    uint16_t missing = rd_be16(f.packet[2].data + 2);
    struct feedback fb = feedback(&f);
    assert_int_equal(fb.nack, 1);
    assert_int_equal(fb.nacked, 1);
    assert_int_equal(fb.first_nacked, missing);
    assert_int_equal(fb.pli, 0);
    assert_int_equal(feedback(&f).nack, 0); /* once an RTT */
    f.now_us += 30000;
    /* The retransmission, by hand: RTX header, original sequence number, original payload. */
    struct rtp_view v;
    assert_true(rtp_parse(f.packet[2].data, f.packet[2].len, &v));
    uint8_t rtx[1500] = {0x80, RTX_PT, 0, 1};
    wr_be32(rtx + 4, v.ts);
    wr_be32(rtx + 8, RTX_SSRC);
    wr_be16(rtx + 12, v.seq);
    memcpy(rtx + 14, v.payload, v.payload_len);
    video_receiver_on_rtp(f.vr, rtx, 14 + v.payload_len, f.now_us);
    assert_int_equal(given(&f), 1);
    struct video_receiver_stats s = stats(&f);
    assert_int_equal(s.packets_recovered, 1);
    assert_int_equal(s.rtt_us, 30000);
    video_receiver_on_rtp(f.vr, rtx, 14 + v.payload_len, f.now_us); /* again */
    assert_int_equal(stats(&f).packets_duplicate, 1);

    /* The next one is never answered. */
    send(&f, NAL_TRAIL_R, false, 8000, 2);
    int asked = 0, plis = 0;
    int64_t begin = f.now_us;
    for (; f.now_us < begin + 1100000; f.now_us += 5000) {
        fb = feedback(&f);
        asked += fb.nack;
        plis += fb.pli;
        assert_int_equal(plis > 0 && f.now_us < begin + 300000, false);
    }
    assert_int_equal(asked, 10);
    assert_true(plis >= 1 && plis <= 5);
    given_key(&f);
    stop(&f);
}

/* When only a key frame helps, the missing packets before one that is there don't matter. */
static void skips_to_a_key(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    key(&f);
    delta(&f);
    assert_int_equal(given(&f), 2);
    video_receiver_request_key(f.vr, f.now_us);
    assert_int_equal(feedback(&f).pli, 1);
    send(&f, NAL_TRAIL_R, false, 3000, 1);
    assert_int_equal(given(&f), 0);
    key(&f);
    delta(&f);
    assert_int_equal(given(&f), 2);
    f.now_us += 500000;
    assert_int_equal(feedback(&f).nack, 0);
    stop(&f);
}

static void request_key_keeps_a_waiting_one(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    key(&f);
    delta(&f);
    key(&f);
    delta(&f);
    given(&f);
    delta(&f);
    key(&f);
    delta(&f);
    video_receiver_request_key(f.vr, f.now_us);
    assert_int_equal(feedback(&f).pli, 0);
    assert_int_equal(given(&f), 2);
    delta(&f);
    video_receiver_request_key(f.vr, f.now_us);
    assert_int_equal(given(&f), 0);
    assert_int_equal(feedback(&f).pli, 1);
    stop(&f);
}

static void markers(void **state)
{
    (void)state;
    static struct fixture f;
    struct video_receiver_config c = receiver_config();
    /* A sender without markers: the timestamp tells. */
    start(&f, &c);
    for (int i = 0; i < 4; i++) {
        make(&f, i ? NAL_TRAIL_R : NAL_IDR_W_RADL, i == 0, 3000);
        for (int k = 0; k < f.n; k++) {
            f.packet[k].data[1] &= 0x7f;
            deliver(&f, k);
        }
        assert_int_equal(given(&f), i > 0);
    }
    stop(&f);
    /* A sender that purged the end of an access unit: its numbers have no gap, but nothing with a
     * missing slice may be shown. */
    start(&f, &c);
    given_key(&f);
    struct access_unit *au = access_unit_new(5000);
    for (int slice = 0; slice < 3; slice++) {
        uint8_t d[1000];
        memset(d, 0x11, sizeof d);
        d[0] = 2;
        d[1] = 1;
        d[2] = slice ? 0x2f : 0xaf;
        assert_true(au_append_nal(au, d, sizeof d));
    }
    f.now_us += 33333;
    au->pts_us = f.now_us;
    video_sender_push(f.vs, au, 0, f.now_us);
    access_unit_unref(&au);
    struct rtp_packet p;
    assert_true(video_sender_poll(f.vs, f.now_us, &p));
    video_receiver_on_rtp(f.vr, p.data, p.len, f.now_us);
    assert_int_equal(video_sender_purge(f.vs), 2);
    delta(&f);
    assert_int_equal(given(&f), 0);
    assert_int_equal(feedback(&f).pli, 1);
    given_key(&f);
    stop(&f);
}

static void rasl_after_a_first_cra_are_left_out(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    send(&f, NAL_CRA, true, 2000, -1);
    send(&f, 8, false, 500, -1);
    send(&f, NAL_RASL_R, false, 500, -1);
    delta(&f);
    assert_int_equal(given(&f), 2);
    send(&f, NAL_CRA, true, 2000, -1); /* now their references are there */
    send(&f, NAL_RASL_R, false, 500, -1);
    assert_int_equal(given(&f), 2);
    stop(&f);
}

static void parameter_sets_from_before(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    send(&f, NAL_IDR_W_RADL, false, 3000, -1); /* never seen: of no use */
    f.now_us += 10000;
    assert_int_equal(given(&f), 0);
    assert_int_equal(feedback(&f).pli, 1);
    key(&f);
    send(&f, NAL_IDR_W_RADL, false, 3000, -1);
    struct access_unit *au = video_receiver_poll(f.vr, f.now_us);
    access_unit_unref(&au);
    au = video_receiver_poll(f.vr, f.now_us);
    assert_non_null(au);
    assert_true(au->irap);
    size_t pos = 0;
    struct nal n;
    assert_true(annexb_next(au->data, au->len, &pos, &n));
    assert_int_equal(nal_type(&n), NAL_VPS);
    access_unit_unref(&au);
    stop(&f);
}

static void probes_and_padding(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    given_key(&f);
    /* Padding takes sequence numbers of the media, in the middle of an access unit too. */
    make(&f, NAL_TRAIL_R, false, 3000);
    uint16_t seq = rd_be16(f.packet[0].data + 2);
    for (int i = 0; i < f.n; i++) {
        wr_be16(f.packet[i].data + 2, seq++);
        deliver(&f, i);
        uint8_t pad[16] = {0xa0, PT};
        wr_be16(pad + 2, seq++);
        wr_be32(pad + 8, SSRC);
        pad[15] = 4;
        video_receiver_on_rtp(f.vr, pad, sizeof pad, f.now_us);
    }
    assert_int_equal(given(&f), 1);
    uint8_t rtx_probe[13] = {0x80, RTX_PT};
    wr_be32(rtx_probe + 8, RTX_SSRC);
    int64_t received = stats(&f).packets_received;
    for (size_t len = 12; len <= 13; len++)
        video_receiver_on_rtp(f.vr, rtx_probe, len, f.now_us);
    assert_int_equal(stats(&f).packets_received, received + 2);
    assert_int_equal(stats(&f).packets_malformed, 0);
    assert_int_equal(feedback(&f).nack, 0);
    stop(&f);
}

static void sender_starts_again(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    key(&f);
    delta(&f);
    assert_int_equal(given(&f), 2);
    send(&f, NAL_TRAIL_R, false, 5000, 1);
    make(&f, NAL_TRAIL_R, false, 1000); /* a straggler, for later */
    uint8_t late[1500];
    size_t late_len = f.packet[0].len;
    memcpy(late, f.packet[0].data, late_len);
    video_sender_free(&f.vs);
    f.vs = new_sender(0x7777, 20000);
    key(&f);
    delta(&f);
    video_receiver_on_rtp(f.vr, late, late_len, f.now_us);
    delta(&f);
    assert_int_equal(given(&f), 3);
    struct feedback fb = feedback(&f);
    assert_int_equal(fb.report.ssrc, 0x7777);
    assert_int_equal(fb.report.cumulative_lost, 0);
    bool bye;
    uint8_t buf[64];
    for (int old = 0; old < 2; old++) {
        struct byte_writer w = byte_writer_of(buf, sizeof buf);
        const uint32_t ssrc = old ? SSRC : 0x7777;
        rtcp_write_bye(&w, &ssrc, 1);
        video_receiver_on_rtcp(f.vr, buf, bw_len(&w), f.now_us, &bye);
        assert_int_equal(bye, !old);
    }
    stop(&f);
}

static void sequence_jumps(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    given_key(&f);
    video_sender_free(&f.vs);
    f.vs = new_sender(SSRC, 30000); /* the same SSRC, elsewhere */
    make(&f, NAL_TRAIL_R, false, 1000);
    deliver(&f, 0); /* one packet alone is not believed */
    assert_int_equal(given(&f), 0);
    key(&f);
    key(&f);
    f.now_us += 20000;
    assert_true(given(&f) >= 1);
    assert_int_equal(feedback(&f).nacked, 0);
    /* A forward jump too large to be kept, too small to be disbelieved. */
    for (int i = 0; i < 700; i++)
        make(&f, NAL_TRAIL_R, false, 3500);
    delta(&f);
    key(&f);
    delta(&f);
    f.now_us += 2000000;
    assert_true(given(&f) >= 1);
    stop(&f);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    /* Nobody polls. */
    key(&f);
    for (int i = 0; i < 600; i++)
        delta(&f);
    struct video_receiver_stats s = stats(&f);
    assert_true(s.frames_dropped >= 256);
    assert_true(given(&f) <= 256);
    assert_int_equal(feedback(&f).pli, 1);
    key(&f);
    assert_true(given(&f) >= 1);
    /* A packet is missing, and 5000 follow at once. */
    send(&f, NAL_TRAIL_R, false, 3000, 1);
    for (int i = 0; i < 1700; i++) {
        f.now_us -= 33333;
        delta(&f);
    }
    assert_true(stats(&f).frames_dropped > s.frames_dropped);
    key(&f);
    delta(&f);
    given(&f);
    given_key(&f);
    stop(&f);
}

static void malformed_packets(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    key(&f);
    given(&f);
    /* Each packet of an access unit, cut anywhere, is survived. */
    for (int round = 0; round < 40; round++) {
        make(&f, round % 4 ? NAL_TRAIL_R : NAL_IDR_W_RADL, round % 4 == 0, 1500);
        for (int i = 0; i < f.n; i++) {
            f.packet[i].len = (f.packet[i].len * (size_t)(round + 1) / 40 + (size_t)round) % 1300;
            deliver(&f, i);
        }
    }
    f.now_us += 2000000;
    given(&f);
    key(&f);
    key(&f);
    assert_true(given(&f) >= 1);
    assert_true(stats(&f).packets_malformed > 0);
    /* Payloads that RFC 7798 does not know. */
    for (int type = 50; type < 64; type++) {
        int64_t before = stats(&f).packets_malformed;
        make(&f, NAL_TRAIL_R, false, 100);
        struct rtp_view v;
        assert_true(rtp_parse(f.packet[0].data, f.packet[0].len, &v));
        f.packet[0].data[v.payload - f.packet[0].data] = (uint8_t)(type << 1);
        deliver(&f, 0);
        assert_int_equal(stats(&f).packets_malformed, before + 1);
    }
    assert_int_equal(given(&f), 0);
    bool bye;
    video_receiver_on_rtcp(f.vr, (const uint8_t *)"\x81\xc8\0\7", 4, f.now_us, &bye);
    assert_false(bye);
    stop(&f);
}

static void reports_regularly(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, NULL);
    key(&f);
    struct feedback fb = feedback(&f);
    assert_int_equal(fb.rr, 1); /* at once */
    assert_int_equal(fb.report.ssrc, SSRC);
    int rr = 0;
    for (int i = 0; i < 300; i++) {
        delta(&f);
        given(&f);
        rr += feedback(&f).rr;
    }
    assert_true(rr >= 10 && rr <= 11);
    uint8_t buf[64];
    assert_int_equal(video_receiver_rtcp(f.vr, f.now_us + 5000000, buf, 10), 0); /* too small */
    size_t len = video_receiver_bye(f.vr, buf, sizeof buf);
    struct byte_reader r = byte_reader_of(buf, len);
    struct rtcp_packet p;
    while (rtcp_next(&r, &p) > 0 && p.type != RTCP_BYE)
        ;
    assert_true(rtcp_bye_has(&p, 0x3000));
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_access_units),
        cmocka_unit_test(asks_for_the_first_key),
        cmocka_unit_test(a_key_that_comes_in_is_not_asked_for),
        cmocka_unit_test(loss_without_nack),
        cmocka_unit_test(loss_is_repaired_or_given_up),
        cmocka_unit_test(skips_to_a_key),
        cmocka_unit_test(request_key_keeps_a_waiting_one),
        cmocka_unit_test(markers),
        cmocka_unit_test(rasl_after_a_first_cra_are_left_out),
        cmocka_unit_test(parameter_sets_from_before),
        cmocka_unit_test(probes_and_padding),
        cmocka_unit_test(sender_starts_again),
        cmocka_unit_test(sequence_jumps),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(malformed_packets),
        cmocka_unit_test(reports_regularly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
