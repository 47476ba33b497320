/* What the sdp_*.c files share: spans of a text, lines, and the writer. Pure. */
#ifndef HEVCAST_SIGNAL_SDP_INTERNAL_H
#define HEVCAST_SIGNAL_SDP_INTERNAL_H

#include "signal/sdp.h"

/* A piece of the text; borrows. */
struct span {
    const char *p;
    size_t n;
};

bool span_is(struct span s, const char *text);
bool span_is_nocase(struct span s, const char *text);
bool span_starts(struct span s, const char *prefix); /* case matters */
/* The part before the first `sep`, which is taken off *s together with the separators after it.
 * Empty when *s is. */
struct span span_next(struct span *s, char sep);
struct span span_trim(struct span s); /* spaces and tabs at both ends */
/* Decimal digits only, at most max. */
bool span_number(struct span s, uint64_t max, uint64_t *out);
/* false: does not fit (nothing is written then). */
bool span_copy(struct span s, char *out, size_t cap);

/* The next line of *rest without its end (CRLF, LF or the text's end); blank ones are skipped.
 * 1: a line "x=value" with its value in *value; 0: no more; -1: not of this form. */
int sdp_next_line(struct span *rest, char *type, struct span *value);
/* "name:value" or "name" of an a= line. */
void sdp_split_attribute(struct span line, struct span *name, struct span *value);
/* a=candidate, ice-ufrag, ice-pwd, end-of-candidates of a section; true: it was one of these. */
bool sdp_ice_attribute(struct sdp_media *m, struct span name, struct span value);
/* RFC 8839 section 5.4: ice-chars, of these lengths. false: refused, out is "". */
bool sdp_ice_word(struct span s, size_t min, char *out, size_t cap);

int sdp_fail(int code, char *why, size_t why_len, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Text into a caller's buffer; past its end it only sets `failed`. */
struct sdp_writer {
    char *buf;
    size_t cap, len;
    bool failed;
};
void sdp_put(struct sdp_writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int sdp_writer_end(const struct sdp_writer *w); /* the length, or SDP_NO_SPACE */

/* RFC 7798 section 7.1: progressive, not interlaced, non-packed, frame-only (B), then the
 * general_max_12bit…lower_bit_rate flags of Main 4:4:4 (H.265 table A.2: 1 1 1 0 0 0 0 0 1). */
#define SDP_INTEROP_MAIN_444 "BE0800000000"

/* Payload types and extension ids of our own offers. GStreamer takes 96 to 127 alone. */
enum { OFFER_PT_MAIN = 96, OFFER_PT_MAIN_RTX = 97, OFFER_PT_444 = 98, OFFER_PT_444_RTX = 99,
       OFFER_PT_FEC = 100 };
extern const struct rtp_ext_ids sdp_offer_ext_send, sdp_offer_ext_receive;

/* The header extensions that a negotiation may answer, for one direction. */
struct rtp_ext_ids sdp_ext_usable(const struct rtp_ext_ids *offered, bool send, const char *mid);

struct sdp_ext_uri {
    const char *uri;
    size_t offset; /* in struct rtp_ext_ids */
};
extern const struct sdp_ext_uri sdp_ext_uris[];
extern const int sdp_ext_uri_count;
static inline uint8_t *sdp_ext_id(struct rtp_ext_ids *ids, int i)
{
    return (uint8_t *)ids + sdp_ext_uris[i].offset;
}

#endif
