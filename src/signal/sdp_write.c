/* Our offers and answers as text. */
#include "signal/sdp_internal.h"

#include <stdio.h>
#include <string.h>

/* The extensions of an offer: what this side writes or reads. */
const struct rtp_ext_ids sdp_offer_ext_send = {
    .mid = 1, .abs_send_time = 2, .abs_capture_time = 3, .playout_delay = 4, .content_type = 5,
    .twcc = 6};
const struct rtp_ext_ids sdp_offer_ext_receive = {
    .mid = 1, .abs_send_time = 2, .abs_capture_time = 3, .playout_delay = 4, .twcc = 6};

static void put_session(struct sdp_writer *w, const struct sdp_local *local, const char *bundle_mid,
                        const char *second_mid)
{
    /* The id is numeric and must fit into 63 bits (RFC 8829 section 5.2.1). */
    sdp_put(w, "v=0\r\no=- %llu %llu IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
            (unsigned long long)(local->session_id & INT64_MAX),
            (unsigned long long)local->session_version);
    if (bundle_mid && bundle_mid[0])
        sdp_put(w, "a=group:BUNDLE %s%s%s\r\n", bundle_mid, second_mid ? " " : "",
                second_mid ? second_mid : "");
    if (local->send)
        sdp_put(w, "a=msid-semantic: WMS *\r\n");
}

static const char *setup_name(enum sdp_setup s)
{
    switch (s) {
    case SDP_ACTIVE:
        return "active";
    case SDP_PASSIVE:
        return "passive";
    default:
        return "actpass";
    }
}

static void put_transport(struct sdp_writer *w, const struct sdp_local *local,
                          enum sdp_setup setup)
{
    sdp_put(w, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\n", local->ufrag,
            local->pwd);
    sdp_put(w, "a=fingerprint:%s\r\na=setup:%s\r\n", local->fingerprint, setup_name(setup));
}

static void put_extensions(struct sdp_writer *w, const struct rtp_ext_ids *ids)
{
    struct rtp_ext_ids copy = *ids;
    for (int i = 0; i < sdp_ext_uri_count; i++) {
        if (*sdp_ext_id(&copy, i))
            sdp_put(w, "a=extmap:%d %s\r\n", *sdp_ext_id(&copy, i), sdp_ext_uris[i].uri);
    }
}

static void put_codec(struct sdp_writer *w, const struct sdp_codec *c)
{
    bool vp8 = strcmp(c->name, "VP8") == 0, opus = strcmp(c->name, "OPUS") == 0;
    bool h265 = !vp8 && !opus; /* an offer of ours leaves the name out */
    sdp_put(w, "a=rtpmap:%d %s\r\n", c->pt,
            opus ? "opus/48000/2" : vp8 ? "VP8/90000" : "H265/90000");
    if (c->remb)
        sdp_put(w, "a=rtcp-fb:%d goog-remb\r\n", c->pt);
    if (c->twcc)
        sdp_put(w, "a=rtcp-fb:%d transport-cc\r\n", c->pt);
    if (c->fir)
        sdp_put(w, "a=rtcp-fb:%d ccm fir\r\n", c->pt);
    if (c->nack)
        sdp_put(w, "a=rtcp-fb:%d nack\r\n", c->pt);
    if (c->pli)
        sdp_put(w, "a=rtcp-fb:%d nack pli\r\n", c->pt);
    if (c->rpsi)
        sdp_put(w, "a=rtcp-fb:%d nack rpsi\r\n", c->pt);
    /* In the order of Chrome, which some compare as text. */
    if (h265)
        sdp_put(w, "a=fmtp:%d level-id=%d;profile-id=%d;tier-flag=%d;tx-mode=SRST%s\r\n", c->pt,
                c->h265.level_id, c->h265.profile_id, c->h265.tier_flag,
                c->h265.interop_444 ? ";interop-constraints=" SDP_INTEROP_MAIN_444 : "");
    if (c->rtx_pt)
        sdp_put(w, "a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d\r\n", c->rtx_pt, c->rtx_pt, c->pt);
}

/* RFC 8627 section 5.1.1: the longest time from a packet to what repairs it, in microseconds. */
static void put_fec(struct sdp_writer *w, int pt)
{
    if (pt)
        sdp_put(w, "a=rtpmap:%d flexfec/90000\r\na=fmtp:%d repair-window=200000\r\n", pt, pt);
}

/* What is sent: a=msid, a=ssrc, and the tie between a stream and its repairs (RFC 5576). */
static void put_sources(struct sdp_writer *w, const struct sdp_local *local, bool rtx, bool fec)
{
    if (!local->ssrc)
        return;
    rtx = rtx && local->rtx_ssrc;
    if (rtx)
        sdp_put(w, "a=ssrc-group:FID %u %u\r\n", local->ssrc, local->rtx_ssrc);
    fec = fec && local->fec_ssrc;
    if (fec) /* RFC 5956 */
        sdp_put(w, "a=ssrc-group:FEC-FR %u %u\r\n", local->ssrc, local->fec_ssrc);
    sdp_put(w, "a=ssrc:%u cname:%s\r\n", local->ssrc, local->cname);
    if (fec)
        sdp_put(w, "a=ssrc:%u cname:%s\r\n", local->fec_ssrc, local->cname);
    if (rtx)
        sdp_put(w, "a=ssrc:%u cname:%s\r\n", local->rtx_ssrc, local->cname);
}

static void put_candidates(struct sdp_writer *w, const struct sdp_local *local)
{
    for (int i = 0; i < local->candidate_count; i++)
        sdp_put(w, "a=%s\r\n", local->candidates[i]);
    if (local->candidates_complete)
        sdp_put(w, "a=end-of-candidates\r\n");
}

/* The section's middle, the same in offers and answers. */
static void put_media(struct sdp_writer *w, const struct sdp_local *local, const char *mid,
                      enum sdp_setup setup, const struct rtp_ext_ids *ext,
                      const struct sdp_codec *codec, int codec_count)
{
    /* Port 9 and 0.0.0.0: no default candidate, ICE decides (RFC 8840 section 4.1). */
    sdp_put(w, "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n");
    if (mid[0])
        sdp_put(w, "a=mid:%s\r\n", mid);
    put_transport(w, local, setup);
    put_extensions(w, ext);
    sdp_put(w, local->send ? "a=sendonly\r\n" : "a=recvonly\r\n");
    if (local->send && local->msid[0])
        sdp_put(w, "a=msid:%s %s\r\n", local->msid, local->msid);
    sdp_put(w, "a=rtcp-mux\r\n");
    bool rtx = false;
    for (int i = 0; i < codec_count; i++) {
        put_codec(w, &codec[i]);
        rtx |= codec[i].rtx_pt != 0;
    }
    put_fec(w, codec[0].fec_pt);
    if (local->send)
        put_sources(w, local, rtx, codec[0].fec_pt != 0);
    put_candidates(w, local);
}

/* RFC 3264 section 6: a refused section keeps its place, with port 0. */
static void put_rejected(struct sdp_writer *w, const struct sdp_media *m)
{
    sdp_put(w, "m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\n", m->kind, m->proto, m->formats);
    if (m->mid[0])
        sdp_put(w, "a=mid:%s\r\n", m->mid);
    if (strcmp(m->kind, "application") != 0)
        sdp_put(w, "a=inactive\r\n");
}

/* The section that only carries requests for key frames: a stream that never has a packet. */
static void put_keys(struct sdp_writer *w, const struct sdp_media *m, const struct sdp_local *local,
                     const struct sdp_agreed *agreed)
{
    struct sdp_local keys = *local;
    struct rtp_ext_ids ext = {.mid = agreed->ext.mid};
    keys.ssrc = local->key_ssrc;
    snprintf(keys.msid, sizeof keys.msid, "%.20s-keys", local->msid); /* no two may be alike */
    sdp_put(w, "m=video 9 %s %d\r\n", m->proto, agreed->keys_codec.pt);
    put_media(w, &keys, m->mid, agreed->our_setup, &ext, &agreed->keys_codec, 1);
}

int sdp_write_answer(const struct sdp *offer, const struct sdp_local *local,
                     const struct sdp_agreed *agreed, char *buf, size_t cap)
{
    struct sdp_writer w = {.buf = buf, .cap = cap};
    const struct sdp_media *ours = &offer->media[agreed->media_index];
    const struct sdp_media *keys = agreed->keys_index >= 0 ? &offer->media[agreed->keys_index] : NULL;
    /* RFC 8843 section 7.3: only accepted mids, and only in a group that was offered. */
    bool first = !keys || agreed->media_index < agreed->keys_index; /* the group keeps its order */
    put_session(&w, local, !ours->bundled ? NULL : first ? ours->mid : keys->mid,
                !keys ? NULL : first ? keys->mid : ours->mid);
    for (int i = 0; i < offer->media_count; i++) {
        const struct sdp_media *m = &offer->media[i];
        if (m == keys) {
            put_keys(&w, m, local, agreed);
            continue;
        }
        if (m != ours) {
            put_rejected(&w, m);
            continue;
        }
        const struct sdp_codec *c = &agreed->codec;
        sdp_put(&w, "m=%s 9 %s %d", m->kind, m->proto, c->pt);
        if (c->rtx_pt)
            sdp_put(&w, " %d", c->rtx_pt);
        if (c->fec_pt)
            sdp_put(&w, " %d", c->fec_pt);
        sdp_put(&w, "\r\n");
        put_media(&w, local, agreed->mid, agreed->our_setup, &agreed->ext, c, 1);
    }
    return sdp_writer_end(&w);
}

int sdp_write_offer(const struct sdp_local *local, char *buf, size_t cap)
{
    struct sdp_writer w = {.buf = buf, .cap = cap};
    struct sdp_codec codec[2] = {{.pt = OFFER_PT_MAIN, .rtx_pt = OFFER_PT_MAIN_RTX,
                                  .fec_pt = OFFER_PT_FEC,
                                  .h265 = local->h265, .nack = true, .pli = true, .rpsi = true,
                                  .fir = true,
                                  .remb = true, .twcc = true}};
    int n = 1;
    if (!local->send && local->also_444) {
        codec[1] = codec[0];
        codec[1].pt = OFFER_PT_444;
        codec[1].rtx_pt = OFFER_PT_444_RTX;
        codec[1].h265.profile_id = 4;
        codec[1].h265.interop_444 = true;
        n = 2;
    }
    put_session(&w, local, "0", NULL);
    sdp_put(&w, "m=video 9 UDP/TLS/RTP/SAVPF");
    for (int i = 0; i < n; i++)
        sdp_put(&w, " %d %d", codec[i].pt, codec[i].rtx_pt);
    sdp_put(&w, " %d\r\n", codec[0].fec_pt);
    put_media(&w, local, "0", local->setup == SDP_PASSIVE ? SDP_PASSIVE : SDP_ACTPASS,
              local->send ? &sdp_offer_ext_send : &sdp_offer_ext_receive, codec, n);
    return sdp_writer_end(&w);
}
