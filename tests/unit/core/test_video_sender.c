/* src/rtp/video_sender. */
#include "test_util.h"

#include "hevc/nal.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"
#include "rtp/twcc.h"
#include "rtp/video_sender.h"

static const uint64_t NTP = 0xe000000000000000;
static uint64_t ntp_at(int64_t us) { return NTP + (uint64_t)(((__int128)us << 32) / 1000000); }

static struct video_sender_config config(void)
{
    struct video_sender_config c;
    video_sender_default_config(&c);
    c.ssrc = 0x1000;
    c.rtx_ssrc = 0x2000;
    c.pt = 49;
    c.rtx_pt = 50;
    c.first_seq = 65534;
    c.first_rtx_seq = 7;
    c.rtp_ts_offset = 0xffffff00;
    strcpy(c.mid, "v0");
    strcpy(c.cname, "someone");
    c.ext = (struct rtp_ext_ids){1, 2, 3, 4, 5, 6, 7};
    return c;
}

static struct access_unit *au_of(size_t len, int64_t pts_us)
{
    struct access_unit *au = access_unit_new(len + 4);
    uint8_t *d = malloc(len);
    memset(d, 0x77, len);
    d[0] = 2;
    d[1] = 1;
    assert_true(au_append_nal(au, d, len));
    free(d);
    au->pts_us = pts_us;
    au->capture_us = pts_us;
    au->pic_id = 42;
    return au;
}

static void push(struct video_sender *vs, size_t len, int64_t pts_us, int64_t now_us)
{
    struct access_unit *au = au_of(len, pts_us);
    assert_true(video_sender_push(vs, au, 0x1122334455667788, now_us));
    access_unit_unref(&au);
}

/* All packets, waiting in virtual time for the pacer. How many; the last is in *v. */
static int drain(struct video_sender *vs, int64_t *now_us, struct rtp_packet *p, struct rtp_view *v)
{
    int n = 0;
    for (;;) {
        int64_t next = video_sender_next_us(vs);
        if (next == INT64_MAX || next > *now_us + 50000) /* nothing but tail probes */
            return n;
        *now_us = next > *now_us ? next : *now_us;
        if (!video_sender_poll(vs, *now_us, p))
            return n;
        assert_true(rtp_parse(p->data, p->len, v));
        n++;
    }
}

static size_t nack(uint8_t *buf, uint32_t media, const uint16_t *seq, int n)
{
    struct byte_writer w = byte_writer_of(buf, 256);
    rtcp_write_nack(&w, 9, media, seq, n);
    return bw_len(&w);
}

static struct rtcp_events on_rtcp(struct video_sender *vs, const uint8_t *d, size_t len,
                                  int64_t now_us)
{
    struct rtcp_events e;
    video_sender_on_rtcp(vs, d, len, now_us, ntp_at(now_us), &e);
    return e;
}

static void packets_of_an_access_unit(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    int64_t now = 1000000;
    assert_true(video_sender_next_us(vs) == INT64_MAX);
    assert_true(video_sender_rtcp_next_us(vs) == INT64_MAX);
    push(vs, 5000, 900000, now);
    size_t len = 0;
    for (int i = 0; i < 5; i++) {
        now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
        assert_true(video_sender_poll(vs, now, &p));
        assert_true(rtp_parse(p.data, p.len, &v));
        assert_true(p.len <= 1200 && (len == 0 || len - p.len <= 1));
        len = i == 0 ? p.len : len;
        assert_int_equal(v.pt, 49);
        assert_int_equal(v.ssrc, 0x1000);
        assert_int_equal(v.seq, (uint16_t)(65534 + i));
        assert_int_equal(v.ts, (uint32_t)(81000 + 0xffffff00)); /* wraps */
        assert_int_equal(v.marker, i == 4);
        assert_int_equal(p.last_of_au, i == 4);
        assert_int_equal(p.pic_id, 42);
        assert_false(p.retransmission);
        struct rtp_ext e;
        assert_true(rtp_ext_find(&v, 1, &e) && e.len == 2 && memcmp(e.data, "v0", 2) == 0);
        assert_true(rtp_ext_find(&v, 2, &e) && rd_be16(e.data) == i);
        assert_true(rtp_ext_find(&v, 3, &e) && rd_be24(e.data) == abs_send_time(now));
        assert_true(rtp_ext_find(&v, 4, &e) && rd_be64(e.data) == 0x1122334455667788);
        assert_true(rtp_ext_find(&v, 5, &e) && e.len == 3 && rd_be24(e.data) == 0);
        assert_true(rtp_ext_find(&v, 6, &e) && e.len == 1 && e.data[0] == 1);
    }
    assert_false(video_sender_poll(vs, now, &p));
    struct video_sender_stats s;
    video_sender_get_stats(vs, now, &s);
    assert_int_equal(s.packets_sent, 5);
    assert_int_equal(s.queue_bytes, 0);
    assert_int_equal(s.queue_us, 0);
    video_sender_free(&vs);
    assert_null(vs);
}

static void paces(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.pacing_bps = 8000000; /* one byte a microsecond */
    c.max_burst_bytes = 6000;
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    int64_t now = 1000;
    push(vs, 100000, 0, now);
    int burst = 0;
    while (video_sender_poll(vs, now, &p))
        burst++;
    assert_int_equal(burst, 5);
    int64_t queue = video_sender_queue_us(vs, now);
    assert_true(queue > 95000 && queue < 100000);
    assert_true(video_sender_queue_us(vs, now + 3000) < queue);
    video_sender_set_pacing(vs, 4000000);
    assert_true(video_sender_queue_us(vs, now) > 190000);
    video_sender_set_pacing(vs, 8000000);
    int n = burst + drain(vs, &now, &p, &v);
    assert_true(v.marker);
    assert_int_equal(n, 87);
    assert_true(now > 95000 && now < 105000);
    video_sender_free(&vs);
}

static void answers_nacks(void **state)
{
    (void)state;
    for (int rtx = 0; rtx < 2; rtx++) {
        struct video_sender_config c = config();
        c.rtx_pt = rtx ? 50 : 0;
        struct video_sender *vs = video_sender_new(&c);
        struct rtp_packet p;
        struct rtp_view v;
        uint8_t buf[256];
        int64_t now = 1000000;
        push(vs, 5000, 0, now);
        assert_int_equal(drain(vs, &now, &p, &v), 5); /* 65534, 65535, 0, 1, 2 */
        uint16_t seq[] = {65535, 1, 2, 3};
        size_t len = nack(buf, 0x1000, seq, 4);
        now += 30000;
        assert_true(on_rtcp(vs, buf, len, now).nack);
        assert_false(on_rtcp(vs, buf, len, now).nack); /* they wait already */
        push(vs, 100, 20000, now);
        static const uint16_t want[] = {65535, 1, 2}, first_twcc[] = {1, 3, 4};
        for (int i = 0; i < 3; i++) { /* before the new one */
            assert_true(video_sender_poll(vs, now, &p));
            assert_true(rtp_parse(p.data, p.len, &v));
            assert_true(p.retransmission);
            assert_false(p.last_of_au);
            assert_int_equal(v.marker, i == 2);
            assert_int_equal(v.pt, rtx ? 50 : 49);
            assert_int_equal(v.ssrc, rtx ? 0x2000 : 0x1000);
            assert_int_equal(v.seq, rtx ? 7 + i : want[i]);
            if (rtx)
                assert_int_equal(rd_be16(v.payload), want[i]);
            struct rtp_ext e;
            assert_true(rtp_ext_find(&v, 2, &e) && rd_be16(e.data) == (rtx ? 5 + i : first_twcc[i]));
        }
        assert_true(video_sender_poll(vs, now, &p));
        assert_false(p.retransmission);
        assert_true(rtp_parse(p.data, p.len, &v));
        struct rtp_ext e;
        assert_true(rtp_ext_find(&v, 2, &e) && rd_be16(e.data) == (rtx ? 8 : 5));
        len = nack(buf, 0x1000, seq, 3);
        assert_false(on_rtcp(vs, buf, len, now + 1000).nack); /* within an RTT */
        assert_true(on_rtcp(vs, buf, len, now + 100000).nack);
        len = nack(buf, 0x1001, seq, 4); /* not ours */
        assert_false(on_rtcp(vs, buf, len, now + 300000).nack);
        struct video_sender_stats s;
        video_sender_get_stats(vs, now, &s);
        assert_int_equal(s.packets_retransmitted, 3);
        assert_int_equal(s.nacks_received, 4);
        assert_int_equal(s.nack_not_found, 2); /* 3 did not exist yet, twice */
        video_sender_free(&vs);
    }
}

static void history_lasts_a_second(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.pacing_bps = 100000000;
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    uint8_t buf[64];
    int64_t now = 0;
    /* 60 Mb/s: 6000 packets a second. */
    for (int i = 0; i < 90; i++) {
        push(vs, 230000, (int64_t)i * 33333, (int64_t)i * 33333);
        now = (int64_t)i * 33333;
        drain(vs, &now, &p, &v);
    }
    uint16_t old = (uint16_t)(v.seq - 5500);
    size_t len = nack(buf, 0x1000, &old, 1);
    assert_true(on_rtcp(vs, buf, len, now).nack);
    old = (uint16_t)(v.seq - 8000); /* more than a second ago */
    len = nack(buf, 0x1000, &old, 1);
    assert_false(on_rtcp(vs, buf, len, now).nack);
    video_sender_free(&vs);
}

static void report_highest(struct video_sender *vs, uint16_t seq, int64_t rtt_us, int64_t now)
{
    uint8_t buf[64];
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    struct rtcp_report r = {.ssrc = 0x1000, .highest_seq = 0x10000u + seq,
                            .lsr = ntp_mid(ntp_at(now - rtt_us))};
    rtcp_write_rr(&w, 9, &r, 1);
    on_rtcp(vs, buf, bw_len(&w), now);
}

/* And three round trips, where these are longer. What was resent is not resent within one. */
static void history_lasts_three_round_trips(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    uint8_t buf[64];
    int64_t now = 10000000;
    push(vs, 100, now, now);
    assert_true(video_sender_poll(vs, now, &p) && rtp_parse(p.data, p.len, &v));
    uint16_t first = v.seq;
    report_highest(vs, first, 600000, now + 1);
    for (int i = 1; i <= 17; i++) {
        now += 100000;
        push(vs, 100, now, now);
        assert_true(video_sender_poll(vs, now, &p));
    }
    size_t len = nack(buf, 0x1000, &first, 1); /* 1.7 s old */
    assert_true(on_rtcp(vs, buf, len, now).nack);
    assert_true(video_sender_poll(vs, now, &p) && p.retransmission);
    assert_false(on_rtcp(vs, buf, len, now + 590000).nack);
    assert_true(on_rtcp(vs, buf, len, now + 610000).nack);
    video_sender_free(&vs);
}

static void key_requests(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    static const struct {
        bool fir;
        uint32_t media;
        uint8_t seq;
        bool wanted;
    } cases[] = {
        {false, 0x1000, 0, true}, {false, 0x1000, 0, true},  {false, 0x1001, 0, false},
        {true, 0x1000, 0, true},  {true, 0x1000, 0, false}, /* the same again */
        {true, 0x1001, 5, false}, {true, 0x1000, 1, true},   {true, 0x1000, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t buf[64];
        struct byte_writer w = byte_writer_of(buf, sizeof buf);
        if (cases[i].fir)
            rtcp_write_fir(&w, 9, cases[i].media, cases[i].seq);
        else
            rtcp_write_pli(&w, 9, cases[i].media);
        struct rtcp_events e = on_rtcp(vs, buf, bw_len(&w), 1000);
        if (e.key_wanted != cases[i].wanted)
            fail_msg("case %zu", i);
    }
    video_sender_free(&vs);
}

static void reports_and_rtt(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    uint8_t buf[256];
    int64_t now = 2000000;
    assert_int_equal(video_sender_rtcp(vs, now, ntp_at(now), buf, sizeof buf), 0);
    push(vs, 3000, 1990000, now); /* captured 10 ms ago */
    drain(vs, &now, &p, &v);
    assert_true(video_sender_rtcp_next_us(vs) <= now);
    size_t len = video_sender_rtcp(vs, 2100000, ntp_at(2100000), buf, sizeof buf);
    struct byte_reader r = byte_reader_of(buf, len);
    struct rtcp_packet packet;
    struct rtcp_sender_info info;
    assert_int_equal(rtcp_next(&r, &packet), 1);
    assert_true(rtcp_sender_info(&packet, &info));
    assert_true(info.ntp == ntp_at(2100000));
    /* What the RTP clock shows 110 ms after the picture's timestamp. */
    assert_int_equal(info.rtp_ts, v.ts + 110 * 90);
    assert_int_equal(info.packets, 3);
    assert_int_equal(info.octets, 3000 - 2 + 3 * 3);
    assert_int_equal(rtcp_next(&r, &packet), 1);
    assert_int_equal(packet.type, RTCP_SDES);
    assert_memory_equal(packet.body + 6, "someone", 7);
    assert_int_equal(rtcp_next(&r, &packet), 0);
    assert_int_equal(video_sender_rtcp(vs, 2100001, ntp_at(2100001), buf, sizeof buf), 0);
    assert_int_equal(video_sender_rtcp_next_us(vs), 3100000);

    /* The report comes back 80 ms later, held 30 ms by the receiver. */
    struct rtcp_report report = {
        .ssrc = 0x1000, .fraction_lost = 64, .lsr = ntp_mid(info.ntp), .dlsr = 65536 * 30 / 1000};
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    rtcp_write_rr(&w, 9, &report, 1);
    on_rtcp(vs, buf, bw_len(&w), 2180000);
    struct video_sender_stats s;
    video_sender_get_stats(vs, now, &s);
    assert_true(s.rtt_us > 49900 && s.rtt_us < 50100);
    assert_true(s.loss_ratio == 0.25);
    /* Nonsense does not change it: in the future, or for another stream. */
    report.dlsr = 65536 * 10;
    w = byte_writer_of(buf, sizeof buf);
    rtcp_write_rr(&w, 9, &report, 1);
    report.ssrc = 1;
    report.dlsr = 0;
    rtcp_write_rr(&w, 9, &report, 1);
    on_rtcp(vs, buf, bw_len(&w), 2180000);
    int64_t rtt = s.rtt_us;
    video_sender_get_stats(vs, now, &s);
    assert_int_equal(s.rtt_us, rtt);

    /* BYE of the one that reports; not of others. */
    for (uint32_t ssrc = 8; ssrc < 10; ssrc++) {
        w = byte_writer_of(buf, sizeof buf);
        rtcp_write_bye(&w, &ssrc, 1);
        assert_int_equal(on_rtcp(vs, buf, bw_len(&w), 2180000).bye, ssrc == 9);
    }
    len = video_sender_bye(vs, now, ntp_at(now), buf, sizeof buf);
    r = byte_reader_of(buf, len);
    int types[4] = {0}, n = 0;
    while (n < 4 && rtcp_next(&r, &packet) == 1)
        types[n++] = packet.type;
    assert_int_equal(n, 3);
    assert_int_equal(types[2], RTCP_BYE);
    assert_true(rtcp_bye_has(&packet, 0x1000) && rtcp_bye_has(&packet, 0x2000));
    on_rtcp(vs, (const uint8_t *)"\x80", 1, now);
    on_rtcp(vs, NULL, 0, now);
    video_sender_get_stats(vs, now, &s);
    assert_int_equal(s.rtcp_malformed, 2);
    video_sender_free(&vs);
}

static void purge_leaves_no_gap(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.max_burst_bytes = 2400;
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    int64_t now = 1000000;
    push(vs, 5000, 0, now);
    push(vs, 2000, 33000, now);
    assert_true(video_sender_poll(vs, now, &p));
    assert_true(rtp_parse(p.data, p.len, &v));
    uint16_t seq = v.seq;
    assert_int_equal(video_sender_purge(vs), 4 + 2);
    assert_true(video_sender_next_us(vs) == INT64_MAX);
    assert_false(video_sender_poll(vs, now + 1000000, &p));
    push(vs, 100, 66000, now);
    drain(vs, &now, &p, &v);
    assert_int_equal(v.seq, (uint16_t)(seq + 1));
    struct video_sender_stats s;
    video_sender_get_stats(vs, now, &s);
    assert_int_equal(s.purged_packets, 6);
    assert_int_equal(s.queue_bytes, 0);
    assert_int_equal(video_sender_purge(vs), 0);
    video_sender_free(&vs);
}

static void timestamps_always_grow(void **state)
{
    (void)state;
    static const int64_t pts[] = {1000000, 1000000, 1000005, 1033333, 1000000, 5000000, 100, 33433};
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    uint32_t last = 0;
    int64_t now = 6000000;
    for (size_t i = 0; i < sizeof pts / sizeof pts[0]; i++, now += 33333) {
        struct rtp_packet p;
        struct rtp_view v;
        struct access_unit *au = au_of(10, pts[i]);
        au->capture_us = 0; /* a file */
        assert_true(video_sender_push(vs, au, 0, now));
        access_unit_unref(&au);
        drain(vs, &now, &p, &v);
        if (i > 0)
            assert_true(ts32_after(v.ts, last));
        if (i == 6) /* the file started again: a picture's time on, not hours */
            assert_int_equal(v.ts - last, 33333 * 9 / 100 + 1);
        if (i == 7)
            assert_int_equal(v.ts - last, 33333 * 9 / 100);
        last = v.ts;
    }
    video_sender_free(&vs);
}

/* After max(10 ms, RTT / 2), doubling, five times while nothing is heard. */
static void tail_is_probed(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    int64_t now = 1000000;
    push(vs, 3000, 0, now);
    drain(vs, &now, &p, &v);
    uint16_t seq = v.seq;
    int64_t wait = 60000; /* half of what is assumed while the RTT is not known */
    for (int i = 0; i < 5; i++, wait *= 2) {
        int64_t next = video_sender_next_us(vs);
        assert_int_equal(next - now, wait);
        assert_false(video_sender_poll(vs, next - 1, &p));
        now = next;
        assert_true(video_sender_poll(vs, now, &p));
        assert_true(rtp_parse(p.data, p.len, &v));
        assert_true(p.retransmission);
        assert_int_equal(v.ssrc, 0x2000);
        assert_int_equal(rd_be16(v.payload), seq);
    }
    assert_true(video_sender_next_us(vs) == INT64_MAX); /* then a still screen costs nothing */
    video_sender_free(&vs);
}

/* A report that knows the last packet ends the probes; one that does not, does not. With a known
 * RTT the first comes after half of it, but not before 10 ms. */
static void tail_ends_with_acknowledgement(void **state)
{
    (void)state;
    static const struct {
        int64_t rtt_us, wait_us;
    } cases[] = {{100000, 50000}, {4000, 10000}};
    for (int i = 0; i < 2; i++) {
        struct video_sender_config c = config();
        struct video_sender *vs = video_sender_new(&c);
        struct rtp_packet p;
        struct rtp_view v;
        int64_t now = 10000000;
        push(vs, 500, 0, now);
        assert_true(video_sender_poll(vs, now, &p) && rtp_parse(p.data, p.len, &v));
        report_highest(vs, v.seq, cases[i].rtt_us, now + 1);
        assert_true(video_sender_next_us(vs) == INT64_MAX);
        now += 2000000;
        push(vs, 500, 2000000, now);
        assert_true(video_sender_poll(vs, now, &p) && rtp_parse(p.data, p.len, &v));
        report_highest(vs, (uint16_t)(v.seq - 1), cases[i].rtt_us, now + 1);
        assert_in_range(video_sender_next_us(vs) - now, cases[i].wait_us - 100,
                        cases[i].wait_us + 100); /* RTT is told in 1/65536 s */
        now = video_sender_next_us(vs);
        assert_true(video_sender_poll(vs, now, &p) && p.retransmission);
        report_highest(vs, v.seq, cases[i].rtt_us, now + 1);
        assert_true(video_sender_next_us(vs) == INT64_MAX);
        video_sender_free(&vs);
    }
}

/* Transport-wide feedback of a copy over RTX ends them too; that the original is lost, does not. */
static void tail_ends_with_feedback(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.cc = (struct cc_config){.start_bps = 50000000, .min_bps = 100000, .max_bps = 50000000};
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    struct rtp_view v;
    struct rtp_ext e;
    struct twcc_recorder rec;
    uint8_t buf[200];
    int64_t now = 1000000, probes = 0;
    twcc_recorder_init(&rec);
    push(vs, 500, 0, now);
    assert_true(video_sender_poll(vs, now, &p) && rtp_parse(p.data, p.len, &v));
    assert_true(rtp_ext_find(&v, 2, &e));
    twcc_record(&rec, (uint16_t)(rd_be16(e.data) - 1), 100, now + 1000); /* never sent; starts it */
    while (probes < 2) {
        now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now + 1;
        while (video_sender_poll(vs, now, &p)) {
            assert_true(p.retransmission && rtp_parse(p.data, p.len, &v));
            probes++;
        }
    }
    assert_true(rtp_ext_find(&v, 2, &e)); /* of the second */
    twcc_record(&rec, rd_be16(e.data), 100, now + 5000);
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    twcc_write(&rec, &w, 9, 0x1000, now + 6000);
    on_rtcp(vs, buf, bw_len(&w), now + 10000);
    for (; now < 10000000; now += 5000)
        assert_false(video_sender_poll(vs, now, &p)); /* the rate is at its bound: no other probes */
    video_sender_free(&vs);
}

/* One SRTP index is one nonce: under it there may only ever be one packet. */
static void resends_without_rtx_are_the_same_bytes(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.rtx_pt = 0;
    struct video_sender *vs = video_sender_new(&c);
    struct rtp_packet p;
    uint8_t first[5][1200], buf[256];
    size_t len[5];
    int64_t now = 1000000;
    push(vs, 5000, 0, now);
    for (int i = 0; i < 5; i++) {
        now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
        assert_true(video_sender_poll(vs, now, &p));
        memcpy(first[i], p.data, p.len);
        len[i] = p.len;
    }
    static const uint16_t seq[] = {65534, 65535, 0, 1, 2};
    for (int round = 0; round < 3; round++) { /* other packets and time pass in between */
        now += 77777;
        size_t n = nack(buf, 0x1000, seq, 5);
        assert_true(on_rtcp(vs, buf, n, now).nack);
        for (int i = 0; i < 5; i++) {
            now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
            assert_true(video_sender_poll(vs, now, &p));
            assert_true(p.retransmission);
            assert_int_equal(p.len, len[i]);
            assert_memory_equal(p.data, first[i], len[i]);
        }
    }
    /* So is a probe of the tail. */
    now = video_sender_next_us(vs);
    assert_true(now != INT64_MAX && video_sender_poll(vs, now, &p));
    assert_true(p.retransmission);
    assert_int_equal(p.len, len[4]);
    assert_memory_equal(p.data, first[4], len[4]);
    video_sender_free(&vs);
}

/* With congestion control: clusters, media first, then repeats over RTX; nothing but media without
 * RTX; and no more on the way than the window. */
static void probes_and_window(void **state)
{
    (void)state;
    for (int rtx = 0; rtx < 2; rtx++) {
        struct video_sender_config c = config();
        c.rtx_pt = rtx ? 50 : 0;
        c.cc = (struct cc_config){1000000, 100000, 20000000};
        struct video_sender *vs = video_sender_new(&c);
        struct rtp_packet p;
        struct rtp_view v;
        struct rtp_ext e;
        struct video_sender_stats s;
        int64_t now = 1000000, first = now;
        assert_false(video_sender_poll(vs, now, &p)); /* no probe before there is media */
        assert_true(video_sender_next_us(vs) == INT64_MAX);
        push(vs, 3000, 0, now);
        int n = 0, media = 0;
        while (video_sender_next_us(vs) < first + 40000) {
            now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
            if (!video_sender_poll(vs, now, &p))
                continue;
            assert_true(rtp_parse(p.data, p.len, &v));
            assert_true(rtp_ext_find(&v, 2, &e) && rd_be16(e.data) == n);
            assert_int_equal(v.ssrc, n < 3 ? 0x1000 : 0x2000);
            media += v.ssrc == 0x1000;
            n++;
        }
        assert_int_equal(media, 3);
        assert_true(rtx ? n >= 5 && n < 20 : n == 3);
        video_sender_get_stats(vs, now, &s);
        assert_int_equal(s.packets_padding, n - 3);
        assert_int_equal(s.packets_retransmitted, 0);
        /* Much more than the window, and no feedback: it closes, and the queue tells. */
        push(vs, 2000000, 33000, now);
        for (int i = 0; i < 100000 && video_sender_next_us(vs) < first + 1900000; i++) {
            now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
            video_sender_poll(vs, now, &p);
        }
        video_sender_get_stats(vs, now, &s);
        assert_true(s.bytes_sent < 400000 && s.queue_bytes > 1600000);
        assert_true(s.queue_us >= s.queue_bytes * 8); /* at 1 Mb/s */
        assert_true(s.estimate_bps == 1000000);
        /* A peer that gives no feedback after all gets its media nevertheless. */
        for (int i = 0; i < 100000 && video_sender_next_us(vs) < first + 9000000; i++) {
            now = video_sender_next_us(vs) > now ? video_sender_next_us(vs) : now;
            video_sender_poll(vs, now, &p);
        }
        video_sender_get_stats(vs, now, &s);
        assert_int_equal(s.queue_bytes, 0);
        assert_int_equal(s.estimate_bps, 0);
        video_sender_free(&vs);
    }
}

static void odd_configurations(void **state)
{
    (void)state;
    struct video_sender_config c = config();
    c.max_packet = 50;
    assert_null(video_sender_new(&c));
    c.max_packet = 1 << 20;
    assert_null(video_sender_new(&c));
    c = config();
    memset(&c.ext, 0, sizeof c.ext);
    c.max_packet = 100;
    struct video_sender *vs = video_sender_new(&c);
    struct access_unit *empty = access_unit_new(4);
    assert_true(video_sender_push(vs, empty, 0, 0)); /* nothing to send is no error */
    access_unit_unref(&empty);
    struct rtp_packet p;
    assert_false(video_sender_poll(vs, 0, &p));
    push(vs, 88, 1000, 1000);
    assert_true(video_sender_poll(vs, 1000, &p));
    assert_int_equal(p.len, 100);
    assert_int_equal(p.data[0], 0x80);
    push(vs, 880, 2000, 2000); /* freed while it waits */
    assert_true(video_sender_poll(vs, 2000, &p));
    video_sender_free(&vs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_an_access_unit),
        cmocka_unit_test(paces),
        cmocka_unit_test(answers_nacks),
        cmocka_unit_test(history_lasts_a_second),
        cmocka_unit_test(history_lasts_three_round_trips),
        cmocka_unit_test(key_requests),
        cmocka_unit_test(reports_and_rtt),
        cmocka_unit_test(purge_leaves_no_gap),
        cmocka_unit_test(timestamps_always_grow),
        cmocka_unit_test(tail_is_probed),
        cmocka_unit_test(tail_ends_with_acknowledgement),
        cmocka_unit_test(tail_ends_with_feedback),
        cmocka_unit_test(resends_without_rtx_are_the_same_bytes),
        cmocka_unit_test(probes_and_window),
        cmocka_unit_test(odd_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
