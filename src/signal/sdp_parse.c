/* An SDP (RFC 8866) into struct sdp. */
#include "signal/sdp_internal.h"

#include <string.h>

/* A payload type of the section that is being read. */
struct format {
    struct sdp_codec codec;
    int apt; /* of rtx: the payload type that it repairs; -1: none */
};

struct parser {
    struct sdp *out;
    struct sdp_media *m; /* NULL in the session's part */
    struct format format[128];
    int format_count;
    bool port_zero, bundle_only;
    bool fingerprint_sha256;
    /* The session's part, for sections without their own. */
    char ufrag[257], pwd[257], fingerprint[256];
    bool session_sha256;
    enum sdp_setup setup;
    enum sdp_direction direction;
    struct rtp_ext_ids ext;
    struct span bundle; /* mids of the first BUNDLE group */
    char *why;
    size_t why_len;
};

const struct sdp_ext_uri sdp_ext_uris[] = {
    {"urn:ietf:params:rtp-hdrext:sdes:mid", offsetof(struct rtp_ext_ids, mid)},
    {"http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
     offsetof(struct rtp_ext_ids, twcc)},
    {"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
     offsetof(struct rtp_ext_ids, abs_send_time)},
    {"http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
     offsetof(struct rtp_ext_ids, abs_capture_time)},
    {"http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
     offsetof(struct rtp_ext_ids, playout_delay)},
    {"http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
     offsetof(struct rtp_ext_ids, content_type)},
    {"http://www.webrtc.org/experiments/rtp-hdrext/color-space",
     offsetof(struct rtp_ext_ids, color_space)},
};
const int sdp_ext_uri_count = sizeof sdp_ext_uris / sizeof sdp_ext_uris[0];

static struct format *find_format(struct parser *ps, struct span pt)
{
    uint64_t v;
    if (!span_number(pt, 127, &v))
        return NULL;
    for (int i = 0; i < ps->format_count; i++) {
        if (ps->format[i].codec.pt == v)
            return &ps->format[i];
    }
    return NULL;
}

/* "video 9 UDP/TLS/RTP/SAVPF 49 50" */
static int parse_media_line(struct parser *ps, struct span value)
{
    struct sdp_media *m = ps->m;
    struct span kind = span_next(&value, ' ');
    struct span port = span_next(&value, ' ');
    struct span proto = span_next(&value, ' ');
    struct span formats = span_trim(value);
    uint64_t port_number;
    struct span port_digits = span_next(&port, '/'); /* "9/2": a number of ports */
    if (kind.n == 0 || proto.n == 0 || formats.n == 0 ||
        !span_copy(kind, m->kind, sizeof m->kind) || !span_copy(proto, m->proto, sizeof m->proto))
        return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                        "an m= line of the session description is broken");
    if (!span_number(port_digits, 65535, &port_number))
        return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                        "an m= line of the session description has no port number");
    ps->port_zero = port_number == 0;
    ps->format_count = 0;
    size_t at = 0;
    while (formats.n > 0) {
        struct span one = span_next(&formats, ' ');
        /* What does not fit is left out: a rejection need not repeat all of them. */
        if (at + one.n + 2 < sizeof m->formats) {
            if (at > 0)
                m->formats[at++] = ' ';
            memcpy(m->formats + at, one.p, one.n);
            at += one.n;
        }
        uint64_t pt;
        if (!span_number(one, 127, &pt) || find_format(ps, one) || ps->format_count == 128)
            continue;
        struct format *f = &ps->format[ps->format_count++];
        *f = (struct format){.codec = {.pt = (uint8_t)pt}, .apt = -1};
        h265_params_default(&f->codec.h265);
    }
    m->formats[at] = '\0';
    return at > 0 ? SDP_OK
                  : sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                             "an m= line of the session description is too long");
}

/* Names end up in sentences for people: letters, digits and - _ . only. */
static void codec_name(char out[16], struct span name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < 15; i++) {
        char c = name.p[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        bool ok = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
        out[n++] = ok ? c : '?';
    }
    out[n] = '\0';
}

static void parse_rtpmap(struct parser *ps, struct span value)
{
    struct format *f = find_format(ps, span_next(&value, ' '));
    struct span name = span_next(&value, '/');
    struct span clock = span_next(&value, '/');
    uint64_t rate;
    if (!f || name.n == 0 || !span_number(span_trim(clock), 10000000, &rate))
        return;
    codec_name(f->codec.name, name);
    f->codec.clock_rate = (int)rate;
}

static void parse_fmtp(struct parser *ps, struct span value)
{
    struct format *f = find_format(ps, span_next(&value, ' '));
    if (!f)
        return;
    h265_params_parse(&f->codec.h265, value.p, value.n); /* meaningless unless it is H265 */
    while (value.n > 0) {
        struct span param = span_trim(span_next(&value, ';'));
        uint64_t pt;
        if (span_starts(param, "apt=") &&
            span_number((struct span){param.p + 4, param.n - 4}, 127, &pt))
            f->apt = (int)pt;
    }
}

static void feedback(struct sdp_codec *c, struct span what)
{
    struct span kind = span_next(&what, ' ');
    what = span_trim(what);
    if (span_is(kind, "nack") && what.n == 0)
        c->nack = true;
    else if (span_is(kind, "nack") && span_is(what, "pli"))
        c->pli = true;
    else if (span_is(kind, "nack") && span_is(what, "rpsi"))
        c->rpsi = true;
    else if (span_is(kind, "ccm") && span_is(what, "fir"))
        c->fir = true;
    else if (span_is(kind, "goog-remb"))
        c->remb = true;
    else if (span_is(kind, "transport-cc"))
        c->twcc = true;
}

static void parse_rtcp_fb(struct parser *ps, struct span value)
{
    struct span pt = span_next(&value, ' ');
    value = span_trim(value);
    if (span_is(pt, "*")) { /* RFC 4585 section 4.2: all formats */
        for (int i = 0; i < ps->format_count; i++)
            feedback(&ps->format[i].codec, value);
        return;
    }
    struct format *f = find_format(ps, pt);
    if (f)
        feedback(&f->codec, value);
}

/* "3/recvonly URI attributes" (RFC 8285 section 5). Ids above 14 need two-byte headers, which we
 * do not write; 15 is reserved. */
static void parse_extmap(struct rtp_ext_ids *ext, struct span value)
{
    struct span id_part = span_next(&value, ' ');
    struct span id = span_next(&id_part, '/');
    struct span uri = span_next(&value, ' ');
    uint64_t v;
    if (!span_number(id, 14, &v) || v == 0 || span_is(id_part, "inactive"))
        return;
    int which = -1;
    for (int i = 0; i < sdp_ext_uri_count; i++) {
        if (*sdp_ext_id(ext, i) == v)
            return; /* one id for two: the first has it */
        if (span_is(uri, sdp_ext_uris[i].uri))
            which = i;
    }
    if (which >= 0 && *sdp_ext_id(ext, which) == 0)
        *sdp_ext_id(ext, which) = (uint8_t)v;
}

static bool parse_direction(struct span name, enum sdp_direction *out)
{
    if (span_is(name, "sendrecv"))
        *out = SDP_SENDRECV;
    else if (span_is(name, "sendonly"))
        *out = SDP_SENDONLY;
    else if (span_is(name, "recvonly"))
        *out = SDP_RECVONLY;
    else if (span_is(name, "inactive"))
        *out = SDP_INACTIVE;
    else
        return false;
    return true;
}

static enum sdp_setup parse_setup(struct span value)
{
    value = span_trim(value);
    if (span_is_nocase(value, "active"))
        return SDP_ACTIVE;
    if (span_is_nocase(value, "passive"))
        return SDP_PASSIVE;
    return span_is_nocase(value, "actpass") ? SDP_ACTPASS : SDP_SETUP_NONE;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* "sha-256 AB:CD:…" into out, the hash in lower case. Of several (RFC 8122 section 5) SHA-256 is
 * kept, else the first of SHA-384 and SHA-512; weaker ones are as good as none. */
static void parse_fingerprint(struct span value, char out[256], bool *sha256)
{
    value = span_trim(value);
    struct span hash = span_next(&value, ' ');
    struct span hex = span_trim(value);
    const char *name;
    size_t bytes;
    if (span_is_nocase(hash, "sha-256")) {
        name = "sha-256";
        bytes = 32;
    } else if (span_is_nocase(hash, "sha-384")) {
        name = "sha-384";
        bytes = 48;
    } else if (span_is_nocase(hash, "sha-512")) {
        name = "sha-512";
        bytes = 64;
    } else {
        return;
    }
    if (hex.n != bytes * 3 - 1)
        return;
    for (size_t i = 0; i < hex.n; i++) {
        if (i % 3 == 2 ? hex.p[i] != ':' : !is_hex(hex.p[i]))
            return;
    }
    if (*sha256 || (out[0] && bytes != 32))
        return;
    *sha256 = bytes == 32;
    struct sdp_writer w = {.buf = out, .cap = 256};
    sdp_put(&w, "%s %.*s", name, (int)hex.n, hex.p);
}

static bool has_word(struct span list, const char *word)
{
    while (list.n > 0) {
        if (span_is(span_next(&list, ' '), word))
            return true;
    }
    return false;
}

static void session_attribute(struct parser *ps, struct span name, struct span value)
{
    if (span_is(name, "group")) {
        struct span kind = span_next(&value, ' ');
        if (span_is(kind, "BUNDLE") && ps->bundle.n == 0)
            ps->bundle = value;
    } else if (span_is(name, "ice-ufrag")) {
        sdp_ice_word(value, 4, ps->ufrag, sizeof ps->ufrag);
    } else if (span_is(name, "ice-pwd")) {
        sdp_ice_word(value, 22, ps->pwd, sizeof ps->pwd);
    } else if (span_is(name, "ice-options")) {
        ps->out->trickle |= has_word(value, "trickle");
    } else if (span_is(name, "fingerprint")) {
        parse_fingerprint(value, ps->fingerprint, &ps->session_sha256);
    } else if (span_is(name, "setup")) {
        ps->setup = parse_setup(value);
    } else if (span_is(name, "extmap")) {
        parse_extmap(&ps->ext, value);
    } else {
        parse_direction(name, &ps->direction);
    }
}

static int media_attribute(struct parser *ps, struct span name, struct span value)
{
    struct sdp_media *m = ps->m;
    uint64_t v;
    if (span_is(name, "mid")) {
        struct span mid = span_next(&value, ' ');
        if (mid.n == 0 || !span_copy(mid, m->mid, sizeof m->mid))
            return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                            "an a=mid of the session description is empty or longer than 32");
        for (size_t i = 0; i < mid.n; i++) {
            if (mid.p[i] <= ' ' || mid.p[i] > '~')
                return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                                "an a=mid of the session description is not a token");
        }
    } else if (span_is(name, "rtpmap")) {
        parse_rtpmap(ps, value);
    } else if (span_is(name, "fmtp")) {
        parse_fmtp(ps, value);
    } else if (span_is(name, "rtcp-fb")) {
        parse_rtcp_fb(ps, value);
    } else if (span_is(name, "extmap")) {
        parse_extmap(&m->ext, value);
    } else if (span_is(name, "rtcp-mux") || span_is(name, "rtcp-mux-only")) {
        m->rtcp_mux = true;
    } else if (span_is(name, "bundle-only")) {
        ps->bundle_only = true;
    } else if (span_is(name, "fingerprint")) {
        parse_fingerprint(value, m->fingerprint, &ps->fingerprint_sha256);
    } else if (span_is(name, "setup")) {
        m->setup = parse_setup(value);
    } else if (span_is(name, "ice-options")) {
        ps->out->trickle |= has_word(value, "trickle");
    } else if (span_is(name, "ssrc")) {
        if (m->ssrc == 0 && span_number(span_next(&value, ' '), UINT32_MAX, &v))
            m->ssrc = (uint32_t)v;
    } else if (!sdp_ice_attribute(m, name, value)) {
        parse_direction(name, &m->direction);
    }
    return SDP_OK;
}

static uint8_t flexfec_pt(const struct parser *ps)
{
    for (int i = 0; i < ps->format_count; i++) {
        const struct sdp_codec *c = &ps->format[i].codec;
        if (strcmp(c->name, "FLEXFEC") == 0 && c->clock_rate == 90000)
            return c->pt;
    }
    return 0;
}

/* The section is complete: its formats become codecs, rtx and FEC folded into what they repair. */
static int end_media(struct parser *ps)
{
    struct sdp_media *m = ps->m;
    if (!m)
        return SDP_OK;
    m->rejected = ps->port_zero && !ps->bundle_only;
    for (int i = 0; i < ps->format_count && m->codec_count < SDP_MAX_CODECS; i++) {
        struct sdp_codec *c = &ps->format[i].codec;
        if (c->name[0] == '\0' || strcmp(c->name, "RTX") == 0 || strcmp(c->name, "FLEXFEC") == 0)
            continue;
        for (int j = 0; j < ps->format_count; j++) {
            const struct format *rtx = &ps->format[j];
            if (strcmp(rtx->codec.name, "RTX") == 0 && rtx->apt == c->pt && c->rtx_pt == 0)
                c->rtx_pt = rtx->codec.pt;
        }
        if (c->h265.profile_id != 4)
            c->h265.interop_444 = false;
        c->fec_pt = flexfec_pt(ps);
        m->codec[m->codec_count++] = *c;
    }
    for (int i = 0; i < ps->out->media_count - 1; i++) {
        if (m->mid[0] && strcmp(ps->out->media[i].mid, m->mid) == 0)
            return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                            "two sections of the session description have one a=mid");
    }
    return SDP_OK;
}

static int begin_media(struct parser *ps, struct span value)
{
    int error = end_media(ps);
    if (error)
        return error;
    if (ps->out->media_count == SDP_MAX_MEDIA)
        return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                        "the session description has more than %d sections", SDP_MAX_MEDIA);
    ps->m = &ps->out->media[ps->out->media_count++];
    ps->m->direction = ps->direction;
    ps->m->ext = ps->ext;
    ps->bundle_only = false;
    ps->fingerprint_sha256 = false;
    return parse_media_line(ps, value);
}

/* "- 4611731400430051336 2 IN IP4 127.0.0.1" */
static void parse_origin(struct sdp *out, struct span value)
{
    span_next(&value, ' ');
    if (!span_number(span_next(&value, ' '), UINT64_MAX, &out->session_id))
        out->session_id = 0;
    if (!span_number(span_next(&value, ' '), UINT64_MAX, &out->session_version))
        out->session_version = 0;
}

static void take_transport(struct sdp_media *m, const char *ufrag, const char *pwd,
                           const char *fingerprint, enum sdp_setup setup)
{
    if (!m->ufrag[0] && !m->pwd[0]) {
        strcpy(m->ufrag, ufrag); /* equal sizes */
        strcpy(m->pwd, pwd);
    }
    if (!m->fingerprint[0])
        strcpy(m->fingerprint, fingerprint);
    if (m->setup == SDP_SETUP_NONE)
        m->setup = setup;
}

static struct sdp_media *find_mid(struct sdp *s, struct span mid)
{
    for (int i = 0; i < s->media_count; i++) {
        if (mid.n > 0 && span_is(mid, s->media[i].mid))
            return &s->media[i];
    }
    return NULL;
}

/* What a section leaves out, the session or the BUNDLE's tagged section has. */
static void resolve(struct parser *ps)
{
    struct sdp *s = ps->out;
    for (int i = 0; i < s->media_count; i++)
        take_transport(&s->media[i], ps->ufrag, ps->pwd, ps->fingerprint, ps->setup);

    struct sdp_media *tagged = NULL;
    struct span mids = ps->bundle;
    while (mids.n > 0) {
        struct sdp_media *m = find_mid(s, span_next(&mids, ' '));
        if (!m)
            continue;
        m->bundled = true;
        if (!tagged && !m->rejected)
            tagged = m;
    }
    s->bundle = s->media_count > 0;
    for (int i = 0; i < s->media_count; i++) {
        struct sdp_media *m = &s->media[i];
        if (!m->rejected && !m->bundled)
            s->bundle = false;
        if (!tagged || !m->bundled || m == tagged)
            continue;
        take_transport(m, tagged->ufrag, tagged->pwd, tagged->fingerprint, tagged->setup);
        if (m->candidate_count == 0 && strcmp(m->ufrag, tagged->ufrag) == 0) {
            memcpy(m->candidate, tagged->candidate, sizeof m->candidate);
            m->candidate_count = tagged->candidate_count;
            m->end_of_candidates |= tagged->end_of_candidates;
        }
    }
}

static int parse_lines(struct parser *ps, struct span rest)
{
    char type;
    struct span value, name;
    if (sdp_next_line(&rest, &type, &value) != 1 || type != 'v' || !span_is(value, "0"))
        return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                        "this is not a session description: it does not begin with v=0");
    int more, error = SDP_OK;
    while (!error && (more = sdp_next_line(&rest, &type, &value)) != 0) {
        if (more < 0)
            return sdp_fail(SDP_MALFORMED, ps->why, ps->why_len,
                            "the session description has a line that is not \"x=…\"");
        if (type == 'o' && !ps->m) {
            parse_origin(ps->out, value);
        } else if (type == 'm') {
            error = begin_media(ps, value);
        } else if (type == 'a') {
            sdp_split_attribute(value, &name, &value);
            if (ps->m)
                error = media_attribute(ps, name, value);
            else
                session_attribute(ps, name, value);
        }
    }
    return error ? error : end_media(ps);
}

int sdp_parse(struct sdp *out, const char *text, size_t len, char *why, size_t why_len)
{
    memset(out, 0, sizeof *out);
    if (len > SDP_MAX_LEN)
        return sdp_fail(SDP_MALFORMED, why, why_len,
                        "the session description is longer than %d bytes", SDP_MAX_LEN);
    if (len == 0 || memchr(text, '\0', len))
        return sdp_fail(SDP_MALFORMED, why, why_len, "this is not a session description");

    struct parser ps = {.out = out, .why = why, .why_len = why_len, .direction = SDP_SENDRECV};
    int error = parse_lines(&ps, (struct span){text, len});
    if (error)
        return error;
    if (out->media_count == 0)
        return sdp_fail(SDP_MALFORMED, why, why_len,
                        "the session description has no media section");
    resolve(&ps);
    return SDP_OK;
}
