/* What an offer and we have in common (RFC 3264, 8829, 8843; wire.md "SDP"). */
#include "signal/sdp_internal.h"

#include <string.h>

struct rtp_ext_ids sdp_ext_usable(const struct rtp_ext_ids *offered, bool send, const char *mid)
{
    /* Only what we write or read: a peer relies on what was answered. color-space is not among
     * them. */
    struct rtp_ext_ids ext = {.twcc = offered->twcc,
                              .abs_send_time = offered->abs_send_time,
                              .abs_capture_time = offered->abs_capture_time,
                              .playout_delay = offered->playout_delay};
    if (strlen(mid) <= 16) /* the data of a one-byte extension header (RFC 8285 section 4.2) */
        ext.mid = offered->mid;
    if (send)
        ext.content_type = offered->content_type;
    return ext;
}

static bool dtls_rtp(const char *proto)
{
    /* JSEP (RFC 8829 section 5.1.2) asks to take any of these. */
    static const char *const known[] = {"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP",
                                        "TCP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF",
                                        "TCP/DTLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(proto, known[i]) == 0)
            return true;
    }
    return false;
}

/* Are transport and direction of this section usable? `who`: "offer" or "answer". */
static int check_section(const struct sdp_media *m, bool send, const char *who, char *why,
                         size_t why_len)
{
    if (!dtls_rtp(m->proto))
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "the %s's %s is not carried by DTLS-SRTP (UDP/TLS/RTP/SAVPF)", who,
                        m->kind);
    if (send && m->direction != SDP_RECVONLY && m->direction != SDP_SENDRECV)
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "the %s does not want to receive %s (its direction must be recvonly)",
                        who, m->kind);
    if (!send && m->direction != SDP_SENDONLY && m->direction != SDP_SENDRECV)
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "the %s sends no video (its direction must be sendonly)", who);
    if (!m->rtcp_mux)
        return sdp_fail(SDP_UNUSABLE, why, why_len, "the %s's %s has no a=rtcp-mux", who,
                        m->kind);
    if (!m->ufrag[0] || !m->pwd[0])
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "the %s's %s has no usable ICE user name and password", who, m->kind);
    if (!m->fingerprint[0])
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "the %s's %s has no usable DTLS fingerprint (sha-256, sha-384 or "
                        "sha-512)", who, m->kind);
    return SDP_OK;
}

static bool is_h265(const struct sdp_codec *c)
{
    return strcmp(c->name, "H265") == 0 && c->clock_rate == 90000;
}

static bool is_vp8(const struct sdp_codec *c)
{
    return strcmp(c->name, "VP8") == 0 && c->clock_rate == 90000;
}

static bool is_opus(const struct sdp_codec *c)
{
    return strcmp(c->name, "OPUS") == 0 && c->clock_rate == 48000;
}

/* RExt with the Main 4:4:4 flags at the local tier. */
static struct h265_params as_444(const struct h265_params *p)
{
    struct h265_params v = *p;
    v.profile_id = 4;
    v.interop_444 = true;
    return v;
}

static bool we_match(const struct sdp_local *local, const struct h265_params *remote)
{
    if (h265_params_match(&local->h265, remote))
        return true;
    struct h265_params with_444 = as_444(&local->h265);
    return !local->send && local->also_444 && h265_params_match(&with_444, remote);
}

static const struct sdp_codec *find_codec(const struct sdp_media *m, const struct sdp_local *local)
{
    for (int i = 0; i < m->codec_count; i++) {
        const struct sdp_codec *c = &m->codec[i];
        bool ours = local->payload == VIDEO_PAYLOAD_VP8_CARRIER     ? is_vp8(c)
                    : local->payload == VIDEO_PAYLOAD_AUDIO_CARRIER ? is_opus(c)
                                                                    : is_h265(c) && we_match(local, &c->h265);
        if (ours)
            return c;
    }
    return NULL;
}

static void agree_codec(struct sdp_agreed *agreed, const struct sdp_codec *theirs,
                        const struct sdp_local *local)
{
    struct sdp_codec *out = &agreed->codec;
    *out = *theirs;
    agreed->peer_level_id = is_h265(theirs) ? theirs->h265.level_id : 0;
    if (local->h265.level_id < out->h265.level_id)
        out->h265.level_id = local->h265.level_id;
}

/* Transport-wide feedback takes both, the extension and the feedback message; one alone is none. */
static void agree_twcc(struct sdp_agreed *out)
{
    bool both = out->codec.twcc && out->ext.twcc;
    out->codec.twcc = both;
    if (!both || strcmp(out->codec.name, "H265") != 0)
        out->codec.fec_pt = 0; /* how much of it is sent, feedback says */
    if (!both)
        out->ext.twcc = 0;
}

static void agree_transport(struct sdp_agreed *out, const struct sdp_media *m)
{
    memcpy(out->mid, m->mid, sizeof out->mid);
    memcpy(out->ufrag, m->ufrag, sizeof out->ufrag);
    memcpy(out->pwd, m->pwd, sizeof out->pwd);
    memcpy(out->fingerprint, m->fingerprint, sizeof out->fingerprint);
}

/* "VP8, VP9, AV1": what a section offers, without repetitions and repair formats. */
static void list_codecs(const struct sdp_media *m, char *out, size_t cap)
{
    struct sdp_writer w = {.buf = out, .cap = cap};
    out[0] = '\0';
    for (int i = 0; i < m->codec_count; i++) {
        const char *name = m->codec[i].name;
        bool repeated = strcmp(name, "RED") == 0 || strcmp(name, "ULPFEC") == 0 ||
                        strncmp(name, "FLEXFEC", 7) == 0;
        for (int j = 0; j < i && !repeated; j++)
            repeated = strcmp(m->codec[j].name, name) == 0;
        if (!repeated)
            sdp_put(&w, "%s%s", w.len ? ", " : "", name);
    }
}

static const char *profile_name(const struct h265_params *p)
{
    if (p->profile_id == 1)
        return "Main";
    if (p->profile_id == 2)
        return "Main 10";
    return p->profile_id == 4 && p->interop_444 ? "Main 4:4:4" : "another profile";
}

/* Why this section's codecs do not do. */
static int no_h265(const struct sdp_media *m, const struct sdp_local *local, const char *who,
                   char *why, size_t why_len)
{
    char names[160];
    const struct h265_params *theirs = NULL;
    bool invalid = false;
    for (int i = 0; i < m->codec_count; i++) {
        if (!is_h265(&m->codec[i]))
            continue;
        if (!m->codec[i].h265.valid)
            invalid = true;
        else if (!theirs)
            theirs = &m->codec[i].h265;
    }
    list_codecs(m, names, sizeof names);
    if (local->payload != VIDEO_PAYLOAD_H265) {
        bool audio = local->payload == VIDEO_PAYLOAD_AUDIO_CARRIER;
        return sdp_fail(SDP_NO_H265, why, why_len,
                        "the %s asks for the %s carrier and has no %s (it has %s)", who,
                        audio ? "audio" : "VP8", audio ? "Opus" : "VP8",
                        names[0] ? names : "no codec that has a name");
    }
    if (!theirs && !invalid)
        return sdp_fail(SDP_NO_H265, why, why_len,
                        "the %s has no H265 video (it has %s); HEVC must be enabled at both ends",
                        who, names[0] ? names : "no codec that has a name");
    if (!theirs)
        return sdp_fail(SDP_NO_H265, why, why_len,
                        "the %s's H265 has parameters that are out of range", who);
    if (local->send && local->h265.profile_id == 4 && theirs->profile_id != 4)
        return sdp_fail(SDP_NO_H265, why, why_len,
                        "this is sent as 4:4:4 (Main 4:4:4), and the %s has %s alone; "
                        "share with --chroma 420 for browsers", who, profile_name(theirs));
    return sdp_fail(SDP_NO_H265, why, why_len,
                    "the %s's H265 is %s, %s tier%s; this end has %s, Main tier", who,
                    profile_name(theirs), theirs->tier_flag ? "High" : "Main",
                    theirs->tx_mode_srst ? "" : " in several RTP streams",
                    profile_name(&local->h265));
}

/* Our role after the peer's a=setup of an offer (RFC 5763 section 5, RFC 8842 section 5.3). */
static enum sdp_setup answer_setup(enum sdp_setup theirs, enum sdp_setup wish)
{
    switch (theirs) {
    case SDP_PASSIVE:
        return SDP_ACTIVE;
    case SDP_ACTPASS:
        return wish == SDP_PASSIVE ? SDP_PASSIVE : SDP_ACTIVE;
    default:
        return SDP_PASSIVE; /* RFC 4145 section 4: without a=setup an offer is active */
    }
}

/* The audio carrier's second section: audio has no key frame requests of its own. */
static int find_keys(const struct sdp *offer, struct sdp_agreed *out, char *why, size_t why_len)
{
    bool bundled = offer->media[out->media_index].bundled;
    for (int i = 0; i < offer->media_count; i++) {
        const struct sdp_media *m = &offer->media[i];
        for (int j = 0; j < m->codec_count; j++) {
            if (strcmp(m->kind, "video") != 0 || m->rejected || !m->bundled || !bundled ||
                !is_vp8(&m->codec[j]) || !m->codec[j].pli || check_section(m, true, "offer", NULL, 0))
                continue;
            out->keys_index = i;
            out->keys_codec = (struct sdp_codec){.pt = m->codec[j].pt, .clock_rate = 90000,
                                                 .name = "VP8", .pli = true,
                                                 .fir = m->codec[j].fir};
            return SDP_OK;
        }
    }
    return sdp_fail(SDP_NO_VIDEO, why, why_len,
                    "the offer asks for the audio carrier and has no bundled video section with VP8 "
                    "and nack pli, through which it would ask for key frames");
}

int sdp_negotiate(const struct sdp *offer, const struct sdp_local *local, struct sdp_agreed *out,
                  char *why, size_t why_len)
{
    int error = SDP_OK;
    bool audio = local->payload == VIDEO_PAYLOAD_AUDIO_CARRIER;
    const char *kind = audio ? "audio" : "video";
    memset(out, 0, sizeof *out);
    out->keys_index = -1;
    for (int i = 0; i < offer->media_count; i++) {
        const struct sdp_media *m = &offer->media[i];
        if (strcmp(m->kind, kind) != 0 || m->rejected)
            continue;
        /* The first section's complaint stands when no section does. */
        char *say = error ? NULL : why;
        const struct sdp_codec *codec = find_codec(m, local);
        int here = codec ? check_section(m, local->send, "offer", say, why_len)
                         : no_h265(m, local, "offer", say, why_len);
        if (here) {
            error = error ? error : here;
            continue;
        }
        out->media_index = i;
        agree_codec(out, codec, local);
        agree_transport(out, m);
        out->ext = sdp_ext_usable(&m->ext, local->send, m->mid);
        agree_twcc(out);
        out->our_setup = answer_setup(m->setup, local->setup);
        return audio ? find_keys(offer, out, why, why_len) : SDP_OK;
    }
    if (error)
        return error;
    return sdp_fail(SDP_NO_VIDEO, why, why_len, "the offer has no %s section", kind);
}

int sdp_accept_answer(const struct sdp *answer, const struct sdp_local *local,
                      struct sdp_agreed *out, char *why, size_t why_len)
{
    memset(out, 0, sizeof *out);
    out->keys_index = -1;
    const struct sdp_media *m = &answer->media[0]; /* our offer has one section */
    if (answer->media_count != 1 || strcmp(m->kind, "video") != 0)
        return sdp_fail(SDP_NO_VIDEO, why, why_len,
                        "the answer is not one video section, as the offer was");
    if (m->rejected)
        return sdp_fail(SDP_NO_H265, why, why_len,
                        "the other end refused the video: it does not %s HEVC",
                        local->send ? "take" : "send");

    struct sdp_codec codec = {0};
    for (int i = 0; i < m->codec_count && !codec.name[0]; i++) {
        struct sdp_codec c = m->codec[i];
        if (!is_h265(&c))
            continue;
        /* Some answer without an fmtp: then what we offered under this number holds. */
        if (!c.h265.profile_given && c.pt == OFFER_PT_444 && local->also_444 && !local->send)
            c.h265 = as_444(&c.h265);
        else if (!c.h265.profile_given && c.pt == OFFER_PT_MAIN)
            c.h265 = (struct h265_params){
                .profile_id = local->h265.profile_id, .interop_444 = local->h265.interop_444,
                .tier_flag = c.h265.tier_flag, .level_id = c.h265.level_id,
                .tx_mode_srst = c.h265.tx_mode_srst, .valid = c.h265.valid};
        if (we_match(local, &c.h265))
            codec = c;
    }
    if (!codec.name[0])
        return no_h265(m, local, "answer", why, why_len);
    int error = check_section(m, local->send, "answer", why, why_len);
    if (error)
        return error;

    agree_codec(out, &codec, local);
    agree_transport(out, m);
    /* An answer may take away, not add or renumber (RFC 8285 section 6). */
    struct rtp_ext_ids offered = local->send ? sdp_offer_ext_send : sdp_offer_ext_receive;
    struct rtp_ext_ids theirs = m->ext;
    for (int i = 0; i < sdp_ext_uri_count; i++) {
        if (*sdp_ext_id(&theirs, i) != *sdp_ext_id(&offered, i))
            *sdp_ext_id(&theirs, i) = 0;
    }
    out->ext = sdp_ext_usable(&theirs, local->send, m->mid);
    agree_twcc(out);
    /* "actpass" is no answer; take it as the default, active (RFC 8842 section 5.3). */
    out->our_setup = m->setup == SDP_PASSIVE ? SDP_ACTIVE : SDP_PASSIVE;
    if (local->setup == SDP_PASSIVE && out->our_setup == SDP_ACTIVE)
        return sdp_fail(SDP_UNUSABLE, why, why_len,
                        "both ends wait for the other's DTLS handshake");
    return SDP_OK;
}
