/* trickle-ice-sdpfrag, RFC 8840 section 9. */
#include "signal/sdp_internal.h"

#include <string.h>

int sdpfrag_parse(struct sdp_media *out, const char *text, size_t len, char *why, size_t why_len)
{
    memset(out, 0, sizeof *out);
    if (len == 0 || len > SDP_MAX_LEN || memchr(text, '\0', len))
        return sdp_fail(SDP_MALFORMED, why, why_len, "this is not a trickle-ice-sdpfrag");
    struct span rest = {text, len}, value, name;
    char type;
    int more, known = 0;
    while ((more = sdp_next_line(&rest, &type, &value)) != 0) {
        if (more < 0)
            return sdp_fail(SDP_MALFORMED, why, why_len,
                            "the fragment has a line that is not \"x=…\"");
        if (type != 'a')
            continue; /* m= lines only group; with BUNDLE there is one transport */
        sdp_split_attribute(value, &name, &value);
        if (span_is(name, "mid")) {
            if (!out->mid[0])
                span_copy(span_next(&value, ' '), out->mid, sizeof out->mid);
        } else if (sdp_ice_attribute(out, name, value)) {
            known++;
        }
    }
    if (known == 0)
        return sdp_fail(SDP_MALFORMED, why, why_len,
                        "the fragment has no candidate and no ICE user name");
    return SDP_OK;
}

int sdpfrag_write(const char *ufrag, const char *pwd, const char *mid,
                  const char *const *candidates, int n, bool end, char *buf, size_t cap)
{
    struct sdp_writer w = {.buf = buf, .cap = cap};
    if (ufrag && ufrag[0])
        sdp_put(&w, "a=ice-ufrag:%s\r\n", ufrag);
    if (pwd && pwd[0])
        sdp_put(&w, "a=ice-pwd:%s\r\n", pwd);
    sdp_put(&w, "m=video 9 UDP/TLS/RTP/SAVPF 0\r\n"); /* a pseudo line, RFC 8840 section 9.1 */
    if (mid && mid[0])
        sdp_put(&w, "a=mid:%s\r\n", mid);
    for (int i = 0; i < n; i++)
        sdp_put(&w, "a=%s\r\n", candidates[i]);
    if (end)
        sdp_put(&w, "a=end-of-candidates\r\n");
    return sdp_writer_end(&w);
}
