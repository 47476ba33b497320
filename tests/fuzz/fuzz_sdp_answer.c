/* An answer to our offers. */
#include "fuzz.h"

#include "signal/sdp.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp answer;
    struct sdp_agreed agreed;
    char why[200] = "";
    if (sdp_parse(&answer, (const char *)data, size, why, sizeof why) != SDP_OK)
        return 0;
    struct sdp_local local = {.also_444 = true};
    h265_params_default(&local.h265);
    for (int send = 0; send < 2; send++) {
        local.send = send;
        why[0] = '\0';
        if (sdp_accept_answer(&answer, &local, &agreed, why, sizeof why) != SDP_OK) {
            FUZZ_CHECK(why[0]);
            continue;
        }
        FUZZ_CHECK(agreed.ufrag[0] && agreed.pwd[0] && agreed.fingerprint[0]);
        FUZZ_CHECK(agreed.codec.h265.level_id <= local.h265.level_id);
        FUZZ_CHECK(agreed.codec.pt <= 127 && agreed.codec.rtx_pt <= 127);
        FUZZ_CHECK(agreed.our_setup == SDP_ACTIVE || agreed.our_setup == SDP_PASSIVE);
    }
    return 0;
}
