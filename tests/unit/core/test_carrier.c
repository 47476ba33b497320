/* src/rtp/carrier_pack, and src/rtp/video_sender with it. */
#include "test_util.h"

#include "hevc/nal.h"
#include "rtp/carrier_pack.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"
#include "rtp/twcc.h"
#include "rtp/video_sender.h"

static const uint64_t NTP = 0x1122334455667788;

static struct access_unit *au_of(size_t len, bool irap)
{
    struct access_unit *au = access_unit_new(len);
    assert_non_null(au);
    for (size_t i = 0; i < len; i++)
        au->data[i] = (uint8_t)(i * 7 + len);
    au->len = len;
    au->irap = irap;
    au->width = 1920;
    au->height = 1080;
    au->capture_us = 1000000;
    au->encode_us = 1012345;
    au->pic_id = 9;
    return au;
}

/* The payloads' frame, without descriptors; checks these. */
static size_t join(const struct access_unit *au, uint32_t number, size_t max, uint8_t *frame)
{
    struct carrier_packer p;
    struct h265_payload d;
    size_t n = 0, smallest = SIZE_MAX, largest = 0;
    bool last = false;
    carrier_packer_start(&p, au, number, max, false);
    while (carrier_packer_next(&p, &d)) {
        uint8_t *out = malloc(d.size);
        assert_false(last);
        assert_true(d.size <= max && d.size > 1);
        carrier_write_payload(au, &d, NTP, out);
        assert_int_equal(out[0], n == 0 ? 0x10 : 0);
        memcpy(frame + n, out + 1, d.size - 1);
        n += d.size - 1;
        smallest = d.size < smallest ? d.size : smallest;
        largest = d.size > largest ? d.size : largest;
        last = d.last;
        free(out);
    }
    assert_true(last);
    assert_true(largest - smallest <= 1);
    return n;
}

static void frames(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5, 30, 64, 100, 1199, 1200, 2400, 100000};
    static const size_t maxima[] = {16, 25, 64, 1187};
    static const uint8_t key[] = {0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < 8; k++) {
            bool irap = k & 1;
            struct access_unit *au = au_of(sizes[i], irap);
            uint8_t *frame = malloc(sizes[i] + CARRIER_PREFIX_MAX), *h = frame;
            if (sizes[i] > 20000 && maxima[k / 2] < 64)
                goto next; /* more packets than a frame may have */
            size_t n = join(au, 0x01020304, maxima[k / 2], frame);
            if (irap) {
                assert_memory_equal(frame, key, sizeof key);
                h += sizeof key;
            } else {
                assert_int_equal(*h++, 0x11);
            }
            const uint8_t header[] = {'H', 1, irap, CARRIER_HEADER_LEN, 1, 2, 3, 4,
                                      0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                      0, 0, 0x30, 0x39, 1920 >> 8, 1920 & 255, 1080 >> 8, 1080 & 255,
                                      0, (uint8_t)(sizes[i] >> 16), (uint8_t)(sizes[i] >> 8),
                                      (uint8_t)sizes[i]};
            assert_memory_equal(h, header, sizeof header);
            assert_int_equal(n, (size_t)(h - frame) + CARRIER_HEADER_LEN + sizes[i]);
            assert_memory_equal(h + CARRIER_HEADER_LEN, au->data, sizes[i]);
next:
            free(frame);
            access_unit_unref(&au);
        }
    }
}

static void too_large(void **state)
{
    (void)state;
    struct access_unit *au = au_of(2000 * 1186 - 38, true);
    struct carrier_packer p;
    struct h265_payload d;
    int n = 0;
    for (carrier_packer_start(&p, au, 1, 1187, false); carrier_packer_next(&p, &d);)
        n++;
    assert_int_equal(n, 2000);
    carrier_packer_start(&p, au, 1, 1186, false); /* one packet too many */
    assert_false(carrier_packer_next(&p, &d));
    access_unit_unref(&au);
}

/* The audio carrier: each packet says which piece of which frame it is. */
static void audio_frames(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 30, 1151, 1152, 1153, 5000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct access_unit *au = au_of(sizes[i], i & 1);
        size_t whole = CARRIER_HEADER_LEN + sizes[i], n = 0;
        uint8_t *frame = malloc(whole), out[1188];
        struct carrier_packer p;
        struct h265_payload d;
        unsigned piece = 0, pieces = (unsigned)((whole + 1179) / 1180);
        for (carrier_packer_start(&p, au, 0xa1b2c3d4, 1188, true); carrier_packer_next(&p, &d);) {
            assert_true(d.size <= 1188 && n + d.len <= whole);
            carrier_write_payload(au, &d, NTP, out);
            const uint8_t descriptor[] = {0xa1, 0xb2, 0xc3, 0xd4, (uint8_t)(piece >> 8),
                                          (uint8_t)piece, (uint8_t)(pieces >> 8), (uint8_t)pieces};
            assert_memory_equal(out, descriptor, 8);
            memcpy(frame + n, out + 8, d.len);
            n += d.len;
            assert_int_equal(d.last, ++piece == pieces);
        }
        assert_int_equal(n, whole);
        assert_int_equal(frame[0], 'H');
        assert_int_equal(frame[2] & 1, i & 1);
        assert_memory_equal(frame + CARRIER_HEADER_LEN, au->data, sizes[i]);
        free(frame);
        access_unit_unref(&au);
    }
    uint8_t empty[20];
    struct h265_payload d;
    memset(empty, 0xff, sizeof empty);
    carrier_empty_payload(&d, sizeof empty);
    carrier_write_payload(NULL, &d, 0, empty);
    for (size_t i = 0; i < sizeof empty; i++)
        assert_int_equal(empty[i], 0);
}

/* All packets of what waits, into out; how many. */
static int drain(struct video_sender *vs, int64_t *now_us, uint8_t out[][1300], size_t *len, int cap)
{
    int n = 0;
    struct rtp_packet p;
    while (video_sender_next_us(vs) <= *now_us + 20000) {
        int64_t next = video_sender_next_us(vs);
        *now_us = next > *now_us ? next : *now_us;
        if (!video_sender_poll(vs, *now_us, &p))
            continue;
        assert_true(n < cap);
        memcpy(out[n], p.data, p.len);
        len[n++] = p.len;
    }
    return n;
}

/* Numbers count the frames, and a packet that comes again is the same again, over RTX. */
static void through_the_sender(void **state)
{
    (void)state;
    static uint8_t out[64][1300];
    size_t len[64];
    struct video_sender_config c;
    video_sender_default_config(&c);
    c.payload = VIDEO_PAYLOAD_VP8_CARRIER;
    c.ssrc = 0x1000;
    c.rtx_ssrc = 0x2000;
    c.pt = 96;
    c.rtx_pt = 97;
    c.first_seq = 100;
    struct video_sender *vs = video_sender_new(&c);
    int64_t now = 1000000;
    for (uint32_t i = 0; i < 3; i++) {
        struct access_unit *au = au_of(5000, i == 0);
        au->pts_us = 1000000 + 20000 * i;
        assert_true(video_sender_push(vs, au, NTP, now));
        access_unit_unref(&au);
        int n = drain(vs, &now, out, len, 64);
        assert_int_equal(n, 5);
        const uint8_t *payload = out[0] + 12;
        assert_int_equal(payload[0], 0x10);
        const uint8_t *h = payload + 1 + (i == 0 ? 10 : 1);
        assert_int_equal(h[0], 'H');
        assert_int_equal(h[7], i);
        for (int k = 0; k < n; k++) {
            assert_int_equal(out[k][1] & 0x7f, 96);
            assert_int_equal(out[k][1] >> 7, k == n - 1);
        }
    }
    /* The frame's first packet was lost: the header is written again. */
    uint8_t nack[16] = {0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 0, 110, 0, 0};
    static uint8_t again[64][1300];
    size_t again_len[64];
    struct rtcp_events ev;
    video_sender_on_rtcp(vs, nack, sizeof nack, now, NTP, &ev);
    assert_true(ev.nack);
    assert_int_equal(drain(vs, &now, again, again_len, 64), 1);
    assert_int_equal(again[0][1] & 0x7f, 97);
    assert_int_equal(again_len[0], len[0] + 2);
    assert_memory_equal(again[0] + 14, out[0] + 12, len[0] - 12);
    video_sender_free(&vs);
}

static struct video_sender *audio_sender(int64_t start_bps)
{
    struct video_sender_config c;
    video_sender_default_config(&c);
    c.payload = VIDEO_PAYLOAD_AUDIO_CARRIER;
    c.ssrc = 0x1000;
    c.key_ssrc = 0x3000;
    c.pt = 111;
    c.first_seq = 65534;
    c.rtp_ts_offset = 0xfffffff0;
    c.ext.twcc = 4;
    c.cc = (struct cc_config){start_bps, 100000, 20000000};
    return video_sender_new(&c);
}

/* Every packet has a timestamp of its own, at 48 kHz; what is asked for comes again under a new
 * number. */
static void through_the_audio_sender(void **state)
{
    (void)state;
    static uint8_t out[64][1300], again[64][1300];
    size_t len[64], again_len[64];
    struct rtp_view v;
    struct rtcp_events ev;
    struct video_sender *vs = audio_sender(3000000);
    int64_t now = 1000000, begin = now;
    struct access_unit *au = au_of(5000, true);
    assert_true(video_sender_push(vs, au, NTP, now));
    int n = drain(vs, &now, out, len, 64);
    uint32_t ts = 0;
    assert_true(n >= 5);
    for (int i = 0; i < n; i++) {
        assert_true(rtp_parse(out[i], len[i], &v));
        assert_int_equal(v.ssrc, 0x1000);
        assert_int_equal(v.pt, 111);
        assert_int_equal(v.seq, (uint16_t)(65534 + i));
        assert_int_equal(v.marker, i == 4);
        if (i > 0)
            assert_true((int32_t)(v.ts - ts) > 0);
        ts = v.ts;
        assert_true((int32_t)(ts - (0xfffffff0 + 48000)) <= (now - begin) * 48 / 1000 + 64);
    }
    /* Beyond the frame: probes, with pieces that were there before, under numbers of their own. */
    struct video_sender_stats s;
    video_sender_get_stats(vs, now, &s);
    assert_true(n > 5);
    assert_int_equal(s.packets_padding, n - 5);
    for (int i = 5; i < n; i++) {
        bool known = false;
        for (int k = 0; k < 5; k++)
            known |= len[i] == len[k] && !memcmp(out[i] + 20, out[k] + 20, len[k] - 20);
        assert_true(known);
    }
    uint8_t nack[16] = {0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 0xff, 0xff, 0, 1};
    video_sender_on_rtcp(vs, nack, sizeof nack, now, NTP, &ev);
    assert_int_equal(drain(vs, &now, again, again_len, 64), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(again_len[i], len[i + 1]);
        assert_memory_equal(again[i] + 20, out[i + 1] + 20, len[i + 1] - 20);
        assert_true(rtp_parse(again[i], again_len[i], &v));
        assert_int_equal(v.seq, (uint16_t)(65534 + n + i));
    }
    uint8_t pli[12] = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0x30, 0};
    video_sender_on_rtcp(vs, pli, sizeof pli, now, NTP, &ev);
    assert_true(ev.key_wanted);
    pli[10] = 0x31;
    video_sender_on_rtcp(vs, pli, sizeof pli, now, NTP, &ev);
    assert_false(ev.key_wanted);
    access_unit_unref(&au);
    video_sender_free(&vs);
}

static void push_picture(struct video_sender *vs, uint64_t pic_id, int64_t now)
{
    struct access_unit *au = au_of(5000, pic_id == 1);
    au->pic_id = pic_id;
    au->pts_us = now;
    assert_true(video_sender_push(vs, au, NTP, now));
    access_unit_unref(&au);
}

static void feed_back(struct video_sender *vs, struct twcc_recorder *r, int64_t now)
{
    uint8_t buf[256];
    struct byte_writer w = byte_writer_of(buf, sizeof buf);
    struct rtcp_events ev;
    twcc_write(r, &w, 9, 0x1000, now);
    assert_false(w.failed);
    video_sender_on_rtcp(vs, buf, bw_len(&w), now, NTP, &ev);
}

/* What is asked for goes again once, and once more when feedback calls that lost, and no more when
 * feedback says that it came: whatever number the browser goes on asking for. */
static void repairs(void **state)
{
    (void)state;
    static uint8_t out[64][1300], again[64][1300];
    size_t len[64], again_len[64];
    struct rtcp_events ev;
    uint64_t had = 0;
    const uint8_t nack[16] = {0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 0xff, 0xff, 0, 0};
    struct video_sender *vs = audio_sender(20000000);
    struct twcc_recorder *r = malloc(sizeof *r);
    int64_t now = 1000000;
    twcc_recorder_init(r);
    push_picture(vs, 1, now);
    assert_int_equal(drain(vs, &now, out, len, 64), 5); /* transport-wide numbers 0 to 4 */
    video_sender_on_rtcp(vs, nack, sizeof nack, now, NTP, &ev);
    assert_int_equal(drain(vs, &now, again, again_len, 64), 1); /* 5 */
    assert_memory_equal(again[0] + 20, out[1] + 20, len[1] - 20);
    now += 40000;
    video_sender_on_rtcp(vs, nack, sizeof nack, now, NTP, &ev);
    assert_false(ev.nack);
    push_picture(vs, 2, now);
    assert_int_equal(drain(vs, &now, again, again_len, 64), 5); /* 6 to 10 */
    for (uint16_t i = 0; i <= 10; i++)
        if (i != 1 && i != 5)
            twcc_record(r, i, 1200, now);
    feed_back(vs, r, now);
    assert_false(video_sender_next_acked(vs, &had));
    assert_int_equal(drain(vs, &now, again, again_len, 64), 1); /* 11: unasked */
    assert_memory_equal(again[0] + 20, out[1] + 20, len[1] - 20);
    twcc_record(r, 11, 1200, now);
    feed_back(vs, r, now);
    assert_true(video_sender_next_acked(vs, &had));
    assert_int_equal(had, 1);
    now += 500000;
    video_sender_on_rtcp(vs, nack, sizeof nack, now, NTP, &ev);
    assert_false(ev.nack);
    free(r);
    video_sender_free(&vs);
}

/* Small pictures are not worth repeating: a probe is of packets that no frame needs. */
static void empty_probes(void **state)
{
    (void)state;
    static uint8_t out[64][1300];
    size_t len[64];
    struct video_sender *vs = audio_sender(3000000);
    int64_t now = 1000000;
    struct access_unit *au = au_of(100, true);
    assert_true(video_sender_push(vs, au, NTP, now));
    access_unit_unref(&au);
    int n = drain(vs, &now, out, len, 64);
    assert_true(n > 1);
    for (int i = 1; i < n; i++) {
        assert_int_equal(len[i], 20 + 255);
        for (size_t k = 20; k < len[i]; k++)
            assert_int_equal(out[i][k], 0);
    }
    /* The tail is what is repeated when nothing tells of it, not the probes. */
    struct rtp_packet p;
    for (bool more = true; more;) {
        now = video_sender_next_us(vs);
        more = !video_sender_poll(vs, now, &p) || p.len != len[0];
        assert_true(now < 3000000);
    }
    assert_memory_equal(p.data + 20, out[0] + 20, len[0] - 20);
    video_sender_free(&vs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames),
        cmocka_unit_test(too_large),
        cmocka_unit_test(through_the_sender),
        cmocka_unit_test(audio_frames),
        cmocka_unit_test(through_the_audio_sender),
        cmocka_unit_test(repairs),
        cmocka_unit_test(empty_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
