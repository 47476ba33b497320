/* Byte stream to access units to completed access units; the first byte is the size of the pieces. */
#include "fuzz.h"

#include "hevc/nal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t step = (size_t)data[0] + 1, max = 4096;
    struct au_splitter *s = au_splitter_new(max);
    struct param_sets *p = param_sets_new();
    if (!s || !p)
        abort();
    data++;
    size--;
    for (size_t at = 0; at < size || at == 0; at += step) {
        au_splitter_push(s, data + at, size - at < step ? size - at : step);
        if (at + step >= size)
            au_splitter_end(s);
        struct access_unit *au;
        while ((au = au_splitter_pop(s))) {
            FUZZ_CHECK(au->len <= max);
            FUZZ_CHECK(param_sets_complete(p, au));
            size_t pos = 0;
            struct nal n;
            while (annexb_next(au->data, au->len, &pos, &n))
                FUZZ_CHECK(nal_type(&n) != NAL_AUD && n.len >= 2);
            access_unit_unref(&au);
        }
    }
    param_sets_free(&p);
    au_splitter_free(&s);
    return 0;
}
