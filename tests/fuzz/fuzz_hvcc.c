/* The first byte: its low bits choose the length size of samples; hvcC else. */
#include "fuzz.h"

#include "hevc/nal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct access_unit *au = access_unit_new(64);
    if (!au)
        abort();
    int nal_length_size = 0, pick = data[0] & 3;
    if (pick == 3)
        hvcc_to_annexb(data + 1, size - 1, au, &nal_length_size);
    else
        hvcc_sample_to_annexb(data + 1, size - 1, 1 << pick, au);
    size_t pos = 0;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n))
        FUZZ_CHECK(n.len >= 2);
    access_unit_unref(&au);
    return 0;
}
