/* A bit reader over the payload of a NAL unit: skips emulation prevention bytes (7.3.1.1) on the
 * way. Reads past the end give 0 and set `failed`, so that a parser checks once, at its end or
 * before it loops. Internal to hevc/. */
#ifndef HEVCAST_HEVC_BITS_H
#define HEVCAST_HEVC_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bit_reader {
    const uint8_t *p, *end; /* borrows; the next byte to load */
    int zeros;              /* 00 bytes in a row before p */
    unsigned cur, left;     /* the loaded byte, and its bits that were not read */
    bool failed;
};

static inline struct bit_reader bit_reader_of(const uint8_t *data, size_t len)
{
    return (struct bit_reader){.p = data, .end = data + len};
}

static inline unsigned bits_1(struct bit_reader *b)
{
    if (b->left == 0) {
        if (b->p < b->end && b->zeros >= 2 && *b->p == 3) {
            b->p++;
            b->zeros = 0;
        }
        if (b->p >= b->end) {
            b->failed = true;
            return 0;
        }
        b->cur = *b->p++;
        b->zeros = b->cur == 0 ? b->zeros + 1 : 0;
        b->left = 8;
    }
    return b->cur >> --b->left & 1;
}

static inline uint32_t bits_u(struct bit_reader *b, int n) /* n at most 32 */
{
    uint32_t v = 0;
    while (n-- > 0)
        v = v << 1 | bits_1(b);
    return v;
}

static inline void bits_skip(struct bit_reader *b, int n)
{
    while (n-- > 0)
        bits_1(b);
}

static inline uint32_t bits_ue(struct bit_reader *b) /* 9.2 */
{
    int zeros = 0;
    while (!b->failed && bits_1(b) == 0) {
        if (++zeros > 31) {
            b->failed = true;
            return 0;
        }
    }
    return b->failed ? 0 : (1u << zeros) - 1 + bits_u(b, zeros);
}

static inline int32_t bits_se(struct bit_reader *b) /* 9.2.2 */
{
    uint32_t k = bits_ue(b);
    return k & 1 ? (int32_t)(k / 2) + 1 : -(int32_t)(k / 2);
}

size_t annexb_find_start_code(const uint8_t *d, size_t len, size_t from);

#endif
