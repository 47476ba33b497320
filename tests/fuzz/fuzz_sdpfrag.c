/* A trickle-ice-sdpfrag; what was understood, written again, is understood the same. */
#include "fuzz.h"

#include "signal/sdp.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp_media m, again;
    static char text[2 * SDP_MAX_LEN];
    char why[200] = "";
    if (sdpfrag_parse(&m, (const char *)data, size, why, sizeof why) != SDP_OK) {
        FUZZ_CHECK(why[0]);
        return 0;
    }
    const char *list[SDP_MAX_CANDIDATES];
    for (int i = 0; i < m.candidate_count; i++)
        list[i] = m.candidate[i];
    int n = sdpfrag_write(m.ufrag, m.pwd, NULL, list, m.candidate_count, true, text, sizeof text);
    FUZZ_CHECK(n > 0);
    FUZZ_CHECK(sdpfrag_parse(&again, text, (size_t)n, why, sizeof why) == SDP_OK);
    FUZZ_CHECK(again.candidate_count == m.candidate_count);
    FUZZ_CHECK(strcmp(again.ufrag, m.ufrag) == 0 && strcmp(again.pwd, m.pwd) == 0);
    for (int i = 0; i < m.candidate_count; i++)
        FUZZ_CHECK(strcmp(again.candidate[i], m.candidate[i]) == 0);
    return 0;
}
