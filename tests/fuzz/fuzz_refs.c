/* The tracker of references, a NAL unit at a time. */
#include "fuzz.h"

#include "decode/refs.h"

#include <string.h>

static size_t next_start(const uint8_t *data, size_t size, size_t from)
{
    for (; from + 3 <= size; from++)
        if (data[from] == 0 && data[from + 1] == 0 && data[from + 2] == 1)
            return from;
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct refs *r = refs_new();
    if (!r)
        return 0;
    for (size_t at = next_start(data, size, 0); at < size;) {
        size_t end = next_start(data, size, at + 3), len = end - at;
        /* An exact copy: reads past the end are seen by ASan. */
        uint8_t *copy = malloc(len), *out = malloc(len);
        if (copy && out) {
            struct access_unit au = {.len = len};
            memcpy(copy, data + at, len);
            au.data = copy;
            bool irap = false;
            enum refs_verdict v = refs_check(r, &au, &irap);
            FUZZ_CHECK(v != REFS_WHOLE || refs_started(r));
            FUZZ_CHECK(!irap || v != REFS_LEADING);
            if (v == REFS_WHOLE && len % 7 == 0)
                refs_drop_last(r);
            FUZZ_CHECK(refs_copy_without_sei(out, copy, len) <= len);
        }
        free(copy);
        free(out);
        at = end;
    }
    refs_free(&r);
    return 0;
}
