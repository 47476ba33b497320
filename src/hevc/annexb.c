/* The byte stream format of H.265 Annex B. */
#include "hevc/nal.h"

#include "hevc/bits.h"

#include <string.h>

const uint8_t hevc_resume_uuid[16] = {0x49, 0xbe, 0x61, 0x21, 0xbd, 0x62, 0x44, 0x90,
                                      0xb1, 0xd0, 0x1f, 0xec, 0x78, 0x45, 0xd8, 0x24};

/* The position of the next 00 00 01 at or after `from`, or len. Coded data has a zero in every 256
 * bytes or so, and memchr passes the others many at a time: several times faster than a loop. */
size_t annexb_find_start_code(const uint8_t *d, size_t len, size_t from)
{
    size_t i = from;
    while (i + 2 < len) {
        const uint8_t *zero = memchr(d + i, 0, len - 2 - i);
        if (!zero)
            break;
        i = (size_t)(zero - d);
        if (d[i + 1] != 0)
            i += 2;
        else if (d[i + 2] == 1)
            return i;
        else
            i += d[i + 2] == 0 ? 1 : 3;
    }
    return len;
}

bool annexb_next(const uint8_t *data, size_t len, size_t *pos, struct nal *out)
{
    size_t at = *pos < len ? annexb_find_start_code(data, len, *pos) : len;
    while (at < len) {
        size_t begin = at + 3;
        size_t next = annexb_find_start_code(data, len, begin);
        size_t end = next;
        /* trailing_zero_8bits, and the zero_byte of a 4-byte start code: a NAL unit itself never
         * ends in 00 (7.4.2). */
        while (end > begin && data[end - 1] == 0)
            end--;
        if (end - begin >= 2) {
            *pos = next;
            out->data = data + begin;
            out->len = end - begin;
            return true;
        }
        at = next;
    }
    *pos = len;
    return false;
}

bool au_append_nal(struct access_unit *au, const uint8_t *nal, size_t len)
{
    static const uint8_t start_code[4] = {0, 0, 0, 1};
    if (!access_unit_reserve(au, au->len + sizeof start_code + len))
        return false;
    return access_unit_append(au, start_code, sizeof start_code) &&
           access_unit_append(au, nal, len);
}
