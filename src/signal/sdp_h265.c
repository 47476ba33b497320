/* a=fmtp of H265: RFC 7798 section 7.1, with the defaults of draft-ietf-avtcore-hevc-webrtc. */
#include "signal/sdp_internal.h"

#include <string.h>

void h265_params_default(struct h265_params *p)
{
    *p = (struct h265_params){.profile_id = 1, .tier_flag = 0, .level_id = 93,
                              .tx_mode_srst = true, .valid = true};
}

/* general_level_idc is 30 times the level's number (H.265 A.4.1): 1 to 7.2 in steps of a tenth,
 * and 255 for level 8.5. */
static bool level_valid(uint64_t v) { return v == 255 || (v >= 30 && v <= 216 && v % 3 == 0); }

/* 12 hex digits: 4 source flags, then 44 bits that hold the constraint flags of the range
 * extensions (H.265 7.3.3). */
static bool constraints(struct span s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0 || s.n > 12)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return false;
        v = v << 4 | digit;
    }
    *out = v << 4 * (12 - s.n); /* left-aligned when trailing zeros were left out */
    return true;
}

/* Main 4:4:4: the 12, 10 and 8 bit flags set, those of 4:2:2, 4:2:0, monochrome, intra and single
 * picture clear; lower_bit_rate may be either way (H.265 table A.2). */
static bool is_main_444(uint64_t v) { return (v >> 36 & 0xff) == 0xe0; }

static void one_param(struct h265_params *p, struct span name, struct span value)
{
    uint64_t v = 0;
    if (span_is_nocase(name, "profile-id")) {
        if (span_number(value, 31, &v))
            p->profile_id = (int)v;
        else
            p->valid = false;
        p->profile_given = true;
    } else if (span_is_nocase(name, "tier-flag")) {
        if (span_number(value, 1, &v))
            p->tier_flag = (int)v;
        else
            p->valid = false;
    } else if (span_is_nocase(name, "level-id")) {
        if (span_number(value, 255, &v) && level_valid(v))
            p->level_id = (int)v;
        else
            p->valid = false;
    } else if (span_is_nocase(name, "tx-mode")) {
        if (span_is_nocase(value, "SRST"))
            p->tx_mode_srst = true;
        else if (span_is_nocase(value, "MRST") || span_is_nocase(value, "MRMT"))
            p->tx_mode_srst = false;
        else
            p->valid = false;
    } else if (span_is_nocase(name, "profile-space")) {
        if (!span_is(value, "0")) /* 1 to 3 are reserved */
            p->valid = false;
    } else if (span_is_nocase(name, "interop-constraints")) {
        if (constraints(value, &v))
            p->interop_444 = is_main_444(v);
        else
            p->valid = false;
    } else if (span_is_nocase(name, "sprop-max-don-diff")) {
        /* Above 0 the packets carry decoding order numbers, which the depacketizer does not take
         * (wire.md: no DONL). */
        if (!span_is(value, "0"))
            p->valid = false;
    }
}

void h265_params_parse(struct h265_params *p, const char *text, size_t len)
{
    struct span rest = {text, len};
    while (rest.n > 0) {
        struct span value = span_next(&rest, ';');
        /* The name ends at the first '='; base64 values (sprop-vps) may have more of them. */
        struct span name = {value.p, 0};
        while (name.n < value.n && value.p[name.n] != '=')
            name.n++;
        if (name.n == value.n)
            continue;
        value.p += name.n + 1;
        value.n -= name.n + 1;
        one_param(p, span_trim(name), span_trim(value));
    }
}

bool h265_params_match(const struct h265_params *a, const struct h265_params *b)
{
    if (!a->valid || !b->valid || a->profile_id != b->profile_id ||
        a->tier_flag != b->tier_flag || a->tx_mode_srst != b->tx_mode_srst)
        return false;
    /* The range extensions are many profiles under one number. */
    return a->profile_id != 4 || (a->interop_444 && b->interop_444);
}
