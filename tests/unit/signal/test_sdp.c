/* signal/sdp: offers and answers as real programs write them. */
#include "signal/sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char fingerprint[] =
    "sha-256 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:"
    "77:88:99";

static struct {
    struct sdp *sdp, *second;
    struct sdp_local sender, receiver;
    struct sdp_agreed agreed;
    char why[256], out[32768];
} t;

static const char *const candidates[] = {
    "candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host",
    "candidate:2 1 udp 1694498815 198.51.100.3 40001 typ srflx raddr 192.0.2.7 rport 40000",
};

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    t.sdp = malloc(sizeof *t.sdp);
    t.second = malloc(sizeof *t.second);
    h265_params_default(&t.sender.h265);
    t.sender.h265.level_id = 123;
    t.sender.send = true;
    strcpy(t.sender.ufrag, "oufr");
    strcpy(t.sender.pwd, "ourpasswordourpassword");
    strcpy(t.sender.fingerprint, fingerprint);
    strcpy(t.sender.cname, "cn");
    strcpy(t.sender.msid, "hevcast");
    t.sender.ssrc = 1111;
    t.sender.rtx_ssrc = 2222;
    t.sender.fec_ssrc = 3333;
    t.sender.session_id = 42;
    t.sender.session_version = 1;
    t.sender.candidates = candidates;
    t.sender.candidate_count = 2;
    t.sender.candidates_complete = true;
    t.receiver = t.sender;
    t.receiver.send = false;
    t.receiver.h265.level_id = 180;
    t.receiver.also_444 = true;
    return t.sdp && t.second ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(t.sdp);
    free(t.second);
    return 0;
}

static char *load(const char *name, size_t *len)
{
    char path[512];
    const char *dir = getenv("HEVCAST_TEST_DATA");
    assert_non_null(dir);
    snprintf(path, sizeof path, "%s/signal/%s", dir, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = malloc(65537);
    *len = fread(text, 1, 65536, f);
    text[*len] = '\0';
    fclose(f);
    return text;
}

static void parse_file(struct sdp *out, const char *name)
{
    size_t len;
    char *text = load(name, &len);
    int r = sdp_parse(out, text, len, t.why, sizeof t.why);
    free(text);
    if (r)
        fail_msg("%s: %s", name, t.why);
}

static int parse_text(struct sdp *out, const char *text)
{
    return sdp_parse(out, text, strlen(text), t.why, sizeof t.why);
}

static int negotiate(const char *name, const struct sdp_local *local)
{
    parse_file(t.sdp, name);
    return sdp_negotiate(t.sdp, local, &t.agreed, t.why, sizeof t.why);
}

/* The answer to what negotiate agreed on, in t.out. */
static void answer(const struct sdp_local *local)
{
    int n = sdp_write_answer(t.sdp, local, &t.agreed, t.out, sizeof t.out);
    assert_true(n > 0);
    assert_int_equal(n, strlen(t.out));
}

static void has(const char *line)
{
    char with_ends[300];
    snprintf(with_ends, sizeof with_ends, "\r\n%s\r\n", line);
    if (!strstr(t.out, with_ends))
        fail_msg("no line \"%s\" in:\n%s", line, t.out);
}

static void has_not(const char *text)
{
    if (strstr(t.out, text))
        fail_msg("\"%s\" stands in:\n%s", text, t.out);
}

static void test_chrome(void **state)
{
    (void)state;
    assert_int_equal(negotiate("chrome.sdp", &t.sender), SDP_OK);
    assert_true(t.sdp->bundle && t.sdp->trickle);
    assert_int_equal(t.sdp->media_count, 3);
    assert_int_equal(t.sdp->session_version, 2);
    const struct sdp_codec *c = &t.agreed.codec;
    assert_int_equal(c->pt, 49);
    assert_int_equal(c->rtx_pt, 50);
    assert_int_equal(c->h265.profile_id, 1);
    assert_int_equal(c->h265.level_id, 123); /* the lower of 180 and ours */
    assert_true(c->nack && c->pli && c->fir && c->remb);
    assert_true(c->twcc);
    assert_int_equal(t.sdp->media[0].ext.twcc, 4);
    assert_int_equal(t.agreed.ext.twcc, 4);
    assert_int_equal(t.agreed.ext.mid, 9);
    assert_int_equal(t.agreed.ext.abs_send_time, 2);
    assert_int_equal(t.agreed.ext.playout_delay, 5);
    assert_int_equal(t.agreed.ext.content_type, 6);
    assert_int_equal(t.agreed.ext.color_space, 0);
    assert_string_equal(t.agreed.ufrag, "0XWt");
    assert_int_equal(t.agreed.our_setup, SDP_ACTIVE);

    answer(&t.sender);
    has("m=video 9 UDP/TLS/RTP/SAVPF 49 50");
    has("a=group:BUNDLE 0");
    has("a=sendonly");
    has("a=setup:active");
    has("a=fmtp:49 level-id=123;profile-id=1;tier-flag=0;tx-mode=SRST");
    has("a=fmtp:50 apt=49");
    has("a=rtcp-fb:49 nack pli");
    has("a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid");
    has("a=ssrc-group:FID 1111 2222");
    assert_null(strstr(t.out, "flexfec")); /* nor flexfec-03, which is something else */
    assert_null(strstr(t.out, "FEC-FR"));
    has("a=msid:hevcast hevcast");
    has("a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host");
    has("a=end-of-candidates");
    has("m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126");
    has("m=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    has("a=mid:1");
    has("a=mid:2");
    has("a=rtcp-fb:49 transport-cc");
    has("a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01");
    has_not("a=rtpmap:51");

    /* What we wrote reads back. */
    assert_int_equal(parse_text(t.second, t.out), SDP_OK);
    assert_int_equal(t.second->media_count, 3);
    assert_false(t.second->media[0].rejected);
    assert_true(t.second->media[1].rejected && t.second->media[2].rejected);
    assert_true(t.second->bundle);
    assert_int_equal(t.second->session_id, 42);
    assert_int_equal(t.second->media[0].candidate_count, 2);
    assert_int_equal(t.second->media[0].ssrc, 1111);
}

static void test_chrome_main_10(void **state)
{
    (void)state;
    t.sender.h265.profile_id = 2;
    assert_int_equal(negotiate("chrome.sdp", &t.sender), SDP_OK);
    assert_int_equal(t.agreed.codec.pt, 51);
    assert_int_equal(t.agreed.codec.rtx_pt, 52);
}

static void test_chrome_444_refused(void **state)
{
    (void)state;
    t.sender.h265.profile_id = 4;
    t.sender.h265.interop_444 = true;
    assert_int_equal(negotiate("chrome.sdp", &t.sender), SDP_NO_H265);
    assert_non_null(strstr(t.why, "4:4:4"));
    assert_non_null(strstr(t.why, "--chroma 420"));
}

/* ?carrier=vp8: VP8's payload type carries the HEVC (doc/carrier.md). */
static void test_vp8_carrier(void **state)
{
    (void)state;
    static const char *const offers[] = {"chrome-no-h265.sdp", "firefox.sdp",
                                         "chrome.sdp"};
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        parse_file(t.sdp, offers[i]);
        t.sender.payload = VIDEO_PAYLOAD_VP8_CARRIER;
        assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_OK);
        answer(&t.sender);
        assert_string_equal(t.agreed.codec.name, "VP8");
        assert_int_not_equal(t.agreed.codec.rtx_pt, 0);
        char line[64];
        snprintf(line, sizeof line, "a=rtpmap:%d VP8/90000", t.agreed.codec.pt);
        has(line);
        snprintf(line, sizeof line, "a=rtcp-fb:%d nack", t.agreed.codec.pt);
        has(line);
        snprintf(line, sizeof line, "a=fmtp:%d apt=%d", t.agreed.codec.rtx_pt,
                 t.agreed.codec.pt);
        has(line);
        has_not("H265");
        has_not("tx-mode");
    }
    /* A 4:4:4 stream is no matter: the page's decoder takes it. */
    t.sender.h265.profile_id = 4;
    t.sender.h265.interop_444 = true;
    assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_OK);
    /* Without VP8 there is no carrier; and without asking for it, VP8 is no codec of ours. */
    parse_file(t.sdp, "gstreamer.sdp");
    assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_NO_H265);
    assert_non_null(strstr(t.why, "no VP8"));
    t.sender.payload = VIDEO_PAYLOAD_H265;
    parse_file(t.sdp, "firefox.sdp");
    assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_NO_H265);
    assert_non_null(strstr(t.why, "no H265"));
}

/* ?carrier=audio: Opus' payload type carries the HEVC; VP8 beside it only asks for key frames. */
static void test_audio_carrier(void **state)
{
    (void)state;
    t.sender.payload = VIDEO_PAYLOAD_AUDIO_CARRIER;
    t.sender.key_ssrc = 3333;
    assert_int_equal(negotiate("chrome-carrier-audio.sdp", &t.sender), SDP_OK);
    assert_string_equal(t.agreed.codec.name, "OPUS");
    assert_int_equal(t.agreed.codec.pt, 111);
    assert_int_equal(t.agreed.codec.rtx_pt, 0);
    assert_int_equal(t.agreed.codec.fec_pt, 0);
    assert_true(t.agreed.codec.nack && t.agreed.codec.twcc);
    assert_int_equal(t.agreed.ext.twcc, 4);
    assert_int_equal(t.agreed.media_index, 1);
    assert_int_equal(t.agreed.keys_index, 0);
    answer(&t.sender);
    has("a=group:BUNDLE 0 1"); /* in the offer's order: the first is the tagged one */
    has("m=audio 9 UDP/TLS/RTP/SAVPF 111");
    has("a=rtpmap:111 opus/48000/2");
    has("a=rtcp-fb:111 nack");
    has("a=rtcp-fb:111 transport-cc");
    has("m=video 9 UDP/TLS/RTP/SAVPF 96");
    has("a=rtcp-fb:96 nack pli");
    has("a=ssrc:3333 cname:cn");
    has_not("a=rtcp-fb:96 nack\r\n");
    has_not("a=rtcp-fb:96 transport-cc");
    has_not("rtx");
    assert_int_equal(sdp_parse(t.second, t.out, strlen(t.out), t.why, sizeof t.why), SDP_OK);
    assert_int_equal(t.second->media_count, 2);
    assert_int_equal(t.second->media[0].ssrc, 3333);
    assert_int_equal(t.second->media[1].ssrc, t.sender.ssrc);
    /* An offer that lacks one of the two, and a player that did not ask for it. */
    assert_int_equal(negotiate("audio-only.sdp", &t.sender), SDP_NO_VIDEO);
    assert_non_null(strstr(t.why, "key frames"));
    assert_int_equal(negotiate("gstreamer.sdp", &t.sender), SDP_NO_VIDEO);
    assert_non_null(strstr(t.why, "no audio section"));
    t.sender.payload = VIDEO_PAYLOAD_H265;
    assert_int_equal(negotiate("audio-only.sdp", &t.sender), SDP_NO_VIDEO);
    assert_int_equal(negotiate("chrome-carrier-audio.sdp", &t.sender), SDP_NO_H265);
}

static void test_safari(void **state)
{
    (void)state;
    assert_int_equal(negotiate("safari.sdp", &t.sender), SDP_OK);
    assert_int_equal(t.agreed.codec.pt, 100);
    assert_int_equal(t.agreed.codec.h265.level_id, 93); /* the default */
    assert_int_equal(t.sdp->media[0].candidate_count, 1);
    answer(&t.sender);
    has("a=fmtp:100 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST");
}

static void test_gstreamer(void **state)
{
    (void)state;
    assert_int_equal(negotiate("gstreamer.sdp", &t.sender), SDP_OK);
    assert_int_equal(t.agreed.codec.pt, 96);
    assert_int_equal(t.agreed.codec.rtx_pt, 97);
    assert_string_equal(t.agreed.mid, "video0");
    answer(&t.sender);
    has("a=group:BUNDLE video0");
    has("a=mid:video0");
    has_not("goog-remb"); /* was not offered */
}

static void test_pion_sender(void **state)
{
    (void)state;
    assert_int_equal(negotiate("pion-sender.sdp", &t.receiver), SDP_OK);
    assert_string_equal(t.agreed.ufrag, "QwErTyUiOpAsDfGh"); /* of the session's part */
    assert_int_equal(t.sdp->media[0].ssrc, 2596996162u);
    assert_true(t.sdp->media[0].end_of_candidates);
    assert_true(t.agreed.codec.nack && t.agreed.codec.pli && !t.agreed.codec.fir);
    answer(&t.receiver);
    has("a=recvonly");
    has_not("a=ssrc");
    /* A sender cannot serve a sender. */
    assert_int_equal(negotiate("pion-sender.sdp", &t.sender), SDP_UNUSABLE);
}

static void test_bundle_only(void **state)
{
    (void)state;
    assert_int_equal(negotiate("bundle-only.sdp", &t.sender), SDP_OK);
    assert_int_equal(t.agreed.media_index, 1);
    assert_false(t.sdp->media[1].rejected);
    /* Transport and candidates are those of the tagged section. */
    assert_string_equal(t.agreed.ufrag, "0XWt");
    assert_int_equal(t.sdp->media[1].candidate_count, 1);
    assert_true(t.sdp->media[1].end_of_candidates);
    answer(&t.sender);
    has("a=group:BUNDLE 0");
    has("m=video 9 UDP/TLS/RTP/SAVPF 49 50");
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(negotiate("chrome-no-h265.sdp", &t.sender), SDP_NO_H265);
    assert_non_null(strstr(t.why, "VP8, H264, AV1, VP9"));
    assert_null(strstr(t.why, "RED"));
    assert_int_equal(negotiate("firefox.sdp", &t.sender), SDP_NO_H265);
    assert_non_null(strstr(t.why, "VP8, VP9, H264"));
    assert_int_equal(negotiate("audio-only.sdp", &t.sender), SDP_NO_VIDEO);
}

/* Replaces `what` in a file's text once, then parses and negotiates as a sender. */
static int with_change(const char *name, const char *what, const char *with)
{
    size_t len;
    char *text = load(name, &len), *at = strstr(text, what);
    char *changed = malloc(65536 + 1024);
    assert_non_null(at);
    int n = snprintf(changed, 65536 + 1024, "%.*s%s%s", (int)(at - text), text, with,
                     at + strlen(what));
    int r = sdp_parse(t.sdp, changed, (size_t)n, t.why, sizeof t.why);
    if (r == SDP_OK)
        r = sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why);
    free(changed);
    free(text);
    return r;
}

static void test_fmtp_values(void **state)
{
    (void)state;
    static const struct {
        const char *fmtp;
        int result;
    } cases[] = {
        {"profile-id=1", SDP_OK},
        {"PROFILE-ID=1; TIER-FLAG=0 ; Level-Id=93;tx-mode=srst", SDP_OK},
        {"level-id=255", SDP_OK},
        {"level-id=30", SDP_OK},
        {"level-id=31", SDP_NO_H265}, /* no multiple of 3 */
        {"level-id=256", SDP_NO_H265},
        {"level-id=", SDP_NO_H265},
        {"level-id=-93", SDP_NO_H265},
        {"profile-id=32", SDP_NO_H265},
        {"profile-id=2", SDP_NO_H265}, /* another profile */
        {"profile-id=99999999999999999999999", SDP_NO_H265},
        {"tier-flag=1", SDP_NO_H265},
        {"tier-flag=2", SDP_NO_H265},
        {"tx-mode=MRST", SDP_NO_H265},
        {"tx-mode=what", SDP_NO_H265},
        {"profile-space=1", SDP_NO_H265},
        {"sprop-max-don-diff=2", SDP_NO_H265},
        {"unknown=1;;;x;=;sprop-vps=QAE==", SDP_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "a=rtpmap:96 H265/90000\r\na=fmtp:96 %s\r\n", cases[i].fmtp);
        int r = with_change("gstreamer.sdp", "a=rtpmap:96 H265/90000\r\n", line);
        if (r != cases[i].result)
            fail_msg("%s gave %d: %s", cases[i].fmtp, r, t.why);
    }
}

static void test_invalid_codec_leaves_the_next(void **state)
{
    (void)state;
    /* Chrome's first H265 is broken, its second (Main 10) is not. */
    t.sender.h265.profile_id = 2;
    assert_int_equal(with_change("chrome.sdp", "a=fmtp:49 level-id=180", "a=fmtp:49 level-id=7"),
                     SDP_OK);
    assert_int_equal(t.agreed.codec.pt, 51);
    t.sender.h265.profile_id = 1;
    assert_int_equal(with_change("chrome.sdp", "a=fmtp:49 level-id=180", "a=fmtp:49 level-id=7"),
                     SDP_NO_H265);
}

static void test_transport_rules(void **state)
{
    (void)state;
    static const struct {
        const char *what, *with;
        int result;
    } cases[] = {
        {"a=rtcp-mux\r\na=rtcp-rsize\r\n", "", SDP_OK}, /* rtcp-mux-only is there */
        {"a=ice-ufrag:s0lKR2Yt0Ih5kQZAMaLFTt0nmRl1ePUe\r\n", "", SDP_UNUSABLE},
        {"a=ice-ufrag:s0lKR2Yt0Ih5kQZAMaLFTt0nmRl1ePUe\r\n", "a=ice-ufrag:a b\r\n", SDP_UNUSABLE},
        {"a=ice-pwd:Ea6x3TFn0Kk9nX5yKyQc9ZrFWW4Dk4wJ\r\n", "a=ice-pwd:short\r\n", SDP_UNUSABLE},
        {"a=fingerprint:sha-256 0D", "a=fingerprint:sha-1 0D", SDP_UNUSABLE},
        {"a=fingerprint:sha-256 0D", "a=fingerprint:SHA-256 0d", SDP_OK},
        {"a=fingerprint:sha-256 0D", "a=fingerprint:sha-256 0DD", SDP_UNUSABLE},
        {"a=recvonly", "a=sendonly", SDP_UNUSABLE},
        {"a=recvonly", "a=inactive", SDP_UNUSABLE},
        {"a=recvonly", "a=sendrecv", SDP_OK},
        {"a=recvonly\r\n", "", SDP_OK}, /* sendrecv is the default */
        {"UDP/TLS/RTP/SAVPF", "RTP/AVP", SDP_UNUSABLE},
        {"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", SDP_OK},
        {"m=video 9", "m=video 0", SDP_NO_VIDEO}, /* rejected */
        {"m=video 9", "m=video 70000", SDP_MALFORMED},
        {"m=video 9", "m=video x", SDP_MALFORMED},
        {"a=mid:video0", "a=mid:abcdefghijklmnopqrstuvwxyz0123456789", SDP_MALFORMED},
        {"a=mid:video0", "a=mid:", SDP_MALFORMED},
        {"a=group:BUNDLE video0\r\n", "", SDP_OK},
        {"v=0", "v=1", SDP_MALFORMED},
        {"s=-\r\n", "s\r\n", SDP_MALFORMED},
        {"s=-\r\n", "s=-\rx\r\n", SDP_MALFORMED},
        {"90000", "48000", SDP_NO_H265},
        {"H265/90000", "h265/90000", SDP_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int r = with_change("gstreamer.sdp", cases[i].what, cases[i].with);
        if (r != cases[i].result)
            fail_msg("case %zu (%s): %d, %s", i, cases[i].with, r, t.why);
        if (r != SDP_OK)
            assert_true(strlen(t.why) > 10);
    }
    assert_int_equal(with_change("chrome.sdp", "a=rtcp-mux\r\n", ""), SDP_UNUSABLE);
    assert_int_equal(with_change("chrome.sdp", "a=mid:1", "a=mid:0"), SDP_MALFORMED);
    /* Weird but legal. */
    assert_int_equal(with_change("gstreamer.sdp", "a=mid:video0", "a=mid:{!#$%&'*+-.^_`|~}"),
                     SDP_OK);
    assert_string_equal(t.agreed.mid, "{!#$%&'*+-.^_`|~}");
}

static void test_setup_roles(void **state)
{
    (void)state;
    static const struct {
        const char *offered;
        enum sdp_setup wish, ours;
    } cases[] = {
        {"a=setup:actpass", SDP_SETUP_NONE, SDP_ACTIVE},
        {"a=setup:actpass", SDP_PASSIVE, SDP_PASSIVE},
        {"a=setup:active", SDP_SETUP_NONE, SDP_PASSIVE},
        {"a=setup:passive", SDP_PASSIVE, SDP_ACTIVE},
        {"a=x-none", SDP_SETUP_NONE, SDP_PASSIVE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t.sender.setup = cases[i].wish;
        assert_int_equal(with_change("gstreamer.sdp", "a=setup:actpass", cases[i].offered), SDP_OK);
        assert_int_equal(t.agreed.our_setup, cases[i].ours);
        answer(&t.sender);
        has(cases[i].ours == SDP_ACTIVE ? "a=setup:active" : "a=setup:passive");
    }
}

static void test_extensions(void **state)
{
    (void)state;
    /* Two-byte ids, a reserved one, an id used twice, and a direction. */
    assert_int_equal(
        with_change("gstreamer.sdp", "a=recvonly\r\n",
                    "a=recvonly\r\n"
                    "a=extmap:20 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
                    "a=extmap:0 http://www.webrtc.org/experiments/rtp-hdrext/color-space\r\n"
                    "a=extmap:3/recvonly "
                    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\n"
                    "a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
                    "a=extmap:4/inactive "
                    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n"),
        SDP_OK);
    assert_int_equal(t.agreed.ext.mid, 0);
    assert_int_equal(t.agreed.ext.abs_capture_time, 3);
    assert_int_equal(t.agreed.ext.abs_send_time, 0);
    assert_int_equal(t.agreed.ext.playout_delay, 0);
    /* A mid that one-byte headers cannot carry. */
    assert_int_equal(with_change("chrome.sdp", "a=mid:0", "a=mid:a-mid-of-seventeen"), SDP_OK);
    assert_int_equal(t.agreed.ext.mid, 0);
}

/* Our two ends with each other. */
static void exchange(bool sender_444, const char *fmtp)
{
    int n = sdp_write_offer(&t.receiver, t.out, sizeof t.out);
    assert_true(n > 0);
    has("m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100");
    has("a=rtpmap:100 flexfec/90000\r\na=fmtp:100 repair-window=200000");
    has("a=recvonly");
    has("a=fmtp:98 level-id=180;profile-id=4;tier-flag=0;tx-mode=SRST;"
        "interop-constraints=BE0800000000");
    assert_int_equal(parse_text(t.sdp, t.out), SDP_OK);
    assert_int_equal(t.sdp->media[0].codec_count, 2);
    if (sender_444) {
        t.sender.h265.profile_id = 4;
        t.sender.h265.interop_444 = true;
    }
    assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_OK);
    answer(&t.sender);
    has(fmtp);
    has("a=rtpmap:100 flexfec/90000\r\na=fmtp:100 repair-window=200000");
    has("a=ssrc-group:FEC-FR 1111 3333");
    assert_int_equal(t.agreed.codec.fec_pt, 100);
    assert_int_equal(parse_text(t.second, t.out), SDP_OK);
    assert_int_equal(sdp_accept_answer(t.second, &t.receiver, &t.agreed, t.why, sizeof t.why),
                     SDP_OK);
    assert_int_equal(t.agreed.codec.h265.interop_444, sender_444);
    assert_int_equal(t.agreed.codec.h265.level_id, 123);
    assert_int_equal(t.agreed.our_setup, SDP_PASSIVE); /* the answerer is active */
    assert_int_equal(t.agreed.ext.abs_capture_time, 3);
    assert_true(t.agreed.codec.rtx_pt == t.agreed.codec.pt + 1);
    assert_int_equal(t.agreed.codec.fec_pt, 100);
    assert_int_equal(t.agreed.codec.twcc, true); /* FEC needs it */
}

static void test_own_ends(void **state)
{
    (void)state;
    exchange(false, "a=fmtp:96 level-id=123;profile-id=1;tier-flag=0;tx-mode=SRST");
    exchange(true, "a=fmtp:98 level-id=123;profile-id=4;tier-flag=0;tx-mode=SRST;"
                   "interop-constraints=BE0800000000");
}

static void test_own_444_receiver_without(void **state)
{
    (void)state;
    t.receiver.also_444 = false;
    assert_true(sdp_write_offer(&t.receiver, t.out, sizeof t.out) > 0);
    has("m=video 9 UDP/TLS/RTP/SAVPF 96 97 100");
    assert_int_equal(parse_text(t.sdp, t.out), SDP_OK);
    t.sender.h265.profile_id = 4;
    t.sender.h265.interop_444 = true;
    assert_int_equal(sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why), SDP_NO_H265);
}

static void test_sender_offers(void **state)
{
    (void)state; /* publish */
    assert_true(sdp_write_offer(&t.sender, t.out, sizeof t.out) > 0);
    has("a=sendonly");
    has("a=setup:actpass");
    assert_int_equal(parse_text(t.sdp, t.out), SDP_OK);
    assert_int_equal(sdp_negotiate(t.sdp, &t.receiver, &t.agreed, t.why, sizeof t.why), SDP_OK);
    answer(&t.receiver);
    assert_int_equal(parse_text(t.second, t.out), SDP_OK);
    assert_int_equal(sdp_accept_answer(t.second, &t.sender, &t.agreed, t.why, sizeof t.why),
                     SDP_OK);
}

static int accept_change(const char *what, const char *with)
{
    size_t len;
    char *text = load("gstreamer-answer.sdp", &len), *at = strstr(text, what);
    assert_non_null(at);
    char *changed = malloc(65536);
    snprintf(changed, 65536, "%.*s%s%s", (int)(at - text), text, with, at + strlen(what));
    int r = parse_text(t.second, changed);
    if (r == SDP_OK)
        r = sdp_accept_answer(t.second, &t.receiver, &t.agreed, t.why, sizeof t.why);
    free(changed);
    free(text);
    return r;
}

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(accept_change("s=-", "s=x"), SDP_OK);
    assert_int_equal(t.agreed.codec.pt, 96);
    assert_int_equal(t.agreed.codec.rtx_pt, 0);
    assert_true(t.agreed.codec.pli && !t.agreed.codec.nack);
    assert_int_equal(t.agreed.our_setup, SDP_PASSIVE);
    assert_string_equal(t.agreed.ufrag, "s0lKR2Yt0Ih5kQZAMaLFTt0nmRl1ePUe");
    assert_int_equal(accept_change("a=setup:active", "a=setup:passive"), SDP_OK);
    assert_int_equal(t.agreed.our_setup, SDP_ACTIVE);
    assert_int_equal(accept_change("m=video 9", "m=video 0"), SDP_NO_H265);
    assert_int_equal(accept_change("H265", "H264"), SDP_NO_H265);
    assert_int_equal(accept_change("profile-id=1", "profile-id=2"), SDP_NO_H265);
    assert_int_equal(accept_change("a=sendonly", "a=recvonly"), SDP_UNUSABLE);
    assert_int_equal(accept_change("m=video", "m=audio"), SDP_NO_VIDEO);
    /* An id that we did not offer is not ours to read. */
    assert_int_equal(
        accept_change("a=sendonly", "a=sendonly\r\na=extmap:7 "
                      "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"), SDP_OK);
    assert_int_equal(t.agreed.ext.abs_capture_time, 0);
    /* An answer on our 4:4:4 payload type that repeats no parameters. */
    assert_int_equal(accept_change("SAVPF 96\r\nc", "SAVPF 98\r\na=rtpmap:98 H265/90000\r\nc"),
                     SDP_OK);
    assert_true(t.agreed.codec.h265.interop_444);
}

static void test_no_space(void **state)
{
    (void)state;
    assert_int_equal(negotiate("chrome.sdp", &t.sender), SDP_OK);
    int full = sdp_write_answer(t.sdp, &t.sender, &t.agreed, t.out, sizeof t.out);
    for (int cap = 0; cap <= full; cap++) {
        char *buf = malloc((size_t)cap + 1);
        assert_int_equal(sdp_write_answer(t.sdp, &t.sender, &t.agreed, buf, (size_t)cap),
                         SDP_NO_SPACE);
        free(buf);
    }
    assert_int_equal(sdp_write_answer(t.sdp, &t.sender, &t.agreed, t.out, (size_t)full + 1), full);
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "v=0", "v=0\r\n", "hello", "{\"type\":\"offer\"}", "v=0\r\nm=\r\n", "v=0\nm=video\n",
        "v=0\nm=video 9 \n", "v=0\nm=video 9 UDP/TLS/RTP/SAVPF\n", "<html>", "\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(parse_text(t.sdp, texts[i]), SDP_MALFORMED);
    assert_int_equal(sdp_parse(t.sdp, "v=0\0\n", 5, t.why, sizeof t.why), SDP_MALFORMED);
    char *large = calloc(1, SDP_MAX_LEN + 1);
    assert_int_equal(sdp_parse(t.sdp, large, SDP_MAX_LEN + 1, t.why, sizeof t.why), SDP_MALFORMED);
    free(large);

    char many[4096] = "v=0\n";
    for (int i = 0; i <= SDP_MAX_MEDIA; i++)
        strcat(many, "m=audio 9 RTP/AVP 0\n");
    assert_int_equal(parse_text(t.sdp, many), SDP_MALFORMED);
    /* Cut anywhere, it is refused or understood, never read past its end (ASan). */
    size_t len;
    char *text = load("chrome.sdp", &len);
    for (size_t n = 0; n < len; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, text, n);
        if (sdp_parse(t.sdp, cut, n, t.why, sizeof t.why) == SDP_OK)
            sdp_negotiate(t.sdp, &t.sender, &t.agreed, t.why, sizeof t.why);
        free(cut);
    }
    free(text);
}

static void test_sdpfrag(void **state)
{
    (void)state;
    struct sdp_media *m = &t.sdp->media[0];
    size_t len;
    char *text = load("trickle.sdpfrag", &len);
    assert_int_equal(sdpfrag_parse(m, text, len, t.why, sizeof t.why), SDP_OK);
    free(text);
    assert_string_equal(m->ufrag, "EsAw");
    assert_string_equal(m->pwd, "P2uYro0UCOQ4zxjKXaWCBui1");
    assert_string_equal(m->mid, "0");
    assert_int_equal(m->candidate_count, 3);
    assert_string_equal(m->candidate[0], "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 "
                                         "typ host generation 0 ufrag EsAw network-id 1");
    assert_true(m->end_of_candidates);

    text = load("restart.sdpfrag", &len);
    assert_int_equal(sdpfrag_parse(m, text, len, t.why, sizeof t.why), SDP_OK);
    free(text);
    assert_string_equal(m->ufrag, "ysXw");
    assert_int_equal(m->candidate_count, 0);
    assert_false(m->end_of_candidates);

    int n = sdpfrag_write("uuuu", "pppppppppppppppppppppp", "0", candidates, 2, true, t.out,
                          sizeof t.out);
    assert_int_equal(n, strlen(t.out));
    assert_int_equal(sdpfrag_parse(m, t.out, (size_t)n, t.why, sizeof t.why), SDP_OK);
    assert_int_equal(m->candidate_count, 2);
    assert_string_equal(m->candidate[1], candidates[1]);
    assert_string_equal(m->ufrag, "uuuu");
    assert_true(m->end_of_candidates);
    assert_int_equal(sdpfrag_write("u", "p", "0", candidates, 2, true, t.out, (size_t)n / 2),
                     SDP_NO_SPACE);

    assert_int_equal(sdpfrag_parse(m, "", 0, t.why, sizeof t.why), SDP_MALFORMED);
    assert_int_equal(sdpfrag_parse(m, "nonsense", 8, t.why, sizeof t.why), SDP_MALFORMED);
    assert_int_equal(sdpfrag_parse(m, "a=x\r\n", 5, t.why, sizeof t.why), SDP_MALFORMED);
}

static void test_many_candidates(void **state)
{
    (void)state;
    struct sdp_media *m = &t.sdp->media[0];
    char text[8192] = "";
    for (int i = 0; i < SDP_MAX_CANDIDATES + 5; i++)
        strcat(text, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n");
    strcat(text, "a=candidate:");
    memset(text + strlen(text), 'x', 300); /* the array is zeroed: still a string */
    assert_int_equal(sdpfrag_parse(m, text, strlen(text), t.why, sizeof t.why), SDP_OK);
    assert_int_equal(m->candidate_count, SDP_MAX_CANDIDATES);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_chrome), T(test_chrome_main_10), T(test_chrome_444_refused), T(test_vp8_carrier), T(test_audio_carrier),
 T(test_safari),
        T(test_gstreamer), T(test_pion_sender), T(test_bundle_only), T(test_refusals),
        T(test_fmtp_values), T(test_invalid_codec_leaves_the_next), T(test_transport_rules),
        T(test_setup_roles), T(test_extensions), T(test_own_ends),
        T(test_own_444_receiver_without), T(test_sender_offers), T(test_answers), T(test_no_space),
        T(test_garbage), T(test_sdpfrag), T(test_many_candidates),
    };
    return cmocka_run_group_tests_name("sdp", tests, NULL, NULL);
}
