/* An offer, negotiated by each kind of our ends; what we answer must read back. */
#include "fuzz.h"

#include "signal/sdp.h"

#include <string.h>

static struct sdp offer, answer;

static const char fingerprint[] =
    "sha-256 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:"
    "77:88:99";

static void answer_as(const struct sdp_local *local)
{
    static char text[2 * SDP_MAX_LEN];
    struct sdp_agreed agreed;
    char why[200] = "";
    int r = sdp_negotiate(&offer, local, &agreed, why, sizeof why);
    FUZZ_CHECK(r == SDP_OK || why[0]);
    if (r != SDP_OK)
        return;
    FUZZ_CHECK(agreed.media_index >= 0 && agreed.media_index < offer.media_count);
    FUZZ_CHECK(agreed.codec.h265.level_id <= local->h265.level_id);
    FUZZ_CHECK(agreed.our_setup == SDP_ACTIVE || agreed.our_setup == SDP_PASSIVE);
    int n = sdp_write_answer(&offer, local, &agreed, text, sizeof text);
    FUZZ_CHECK(n > 0 && (size_t)n == strlen(text));
    FUZZ_CHECK(sdp_parse(&answer, text, (size_t)n, why, sizeof why) == SDP_OK);
    FUZZ_CHECK(answer.media_count == offer.media_count);
    for (int i = 0; i < answer.media_count; i++) {
        FUZZ_CHECK(answer.media[i].rejected == (i != agreed.media_index && i != agreed.keys_index));
        FUZZ_CHECK(strcmp(answer.media[i].mid, offer.media[i].mid) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[200] = "";
    if (sdp_parse(&offer, (const char *)data, size, why, sizeof why) != SDP_OK) {
        FUZZ_CHECK(why[0]);
        return 0;
    }
    struct sdp_local local = {.send = true, .ufrag = "user", .pwd = "a-password-of-22-chars",
                              .ssrc = 1, .rtx_ssrc = 2, .cname = "c", .msid = "m"};
    memcpy(local.fingerprint, fingerprint, sizeof fingerprint);
    h265_params_default(&local.h265);
    answer_as(&local);
    local.h265.profile_id = 4;
    local.h265.interop_444 = true;
    answer_as(&local);
    local.payload = VIDEO_PAYLOAD_VP8_CARRIER;
    answer_as(&local);
    local.payload = VIDEO_PAYLOAD_AUDIO_CARRIER;
    local.key_ssrc = 3;
    answer_as(&local);
    local.payload = VIDEO_PAYLOAD_H265;
    h265_params_default(&local.h265);
    local.send = false;
    local.also_444 = true;
    answer_as(&local);
    return 0;
}
