/* One SPS NAL unit. */
#include "fuzz.h"

#include "hevc/nal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nal n = {data, size};
    struct hevc_sps s;
    if (!hevc_parse_sps(&n, &s))
        return 0;
    FUZZ_CHECK(s.width > 0 && s.width <= s.coded_width);
    FUZZ_CHECK(s.height > 0 && s.height <= s.coded_height);
    FUZZ_CHECK(s.id >= 0 && s.id <= 15 && s.vps_id >= 0 && s.vps_id <= 15);
    FUZZ_CHECK(s.bit_depth_luma >= 8 && s.bit_depth_luma <= 16);
    return 0;
}
