/* A Link header; an address out of it makes a header that gives the same address. */
#include "fuzz.h"

#include "signal/whep_link.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char value[4097], url[WHEP_LINK_URL_MAX], header[4 * WHEP_LINK_URL_MAX];
    memcpy(value, data, size);
    value[size] = '\0';
    const char *p = value;
    while (whep_link_next(&p, url)) {
        FUZZ_CHECK(strlen(url) > 4 && strchr(url, ':'));
        FUZZ_CHECK(whep_link_format(url, header, 8) == -1);
        whep_link_format(url, header, sizeof header);
    }
    return 0;
}
