/* Big-endian reads and writes on wire data. Pure; any thread. The caller has checked lengths,
 * or uses struct byte_reader, which turns a short input into a sticky `failed`. */
#ifndef HEVCAST_BASE_BYTES_H
#define HEVCAST_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t rd_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t rd_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}
static inline uint32_t rd_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t rd_be64(const uint8_t *p)
{
    return (uint64_t)rd_be32(p) << 32 | rd_be32(p + 4);
}
static inline void wr_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void wr_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
}
static inline void wr_be32(uint8_t *p, uint32_t v)
{
    wr_be16(p, (uint16_t)(v >> 16));
    wr_be16(p + 2, (uint16_t)v);
}
static inline void wr_be64(uint8_t *p, uint64_t v)
{
    wr_be32(p, (uint32_t)(v >> 32));
    wr_be32(p + 4, (uint32_t)v);
}

/* A cursor over borrowed bytes. Reads past the end give 0 and set `failed`. */
struct byte_reader {
    const uint8_t *p; /* borrows */
    size_t left;
    bool failed;
};

static inline struct byte_reader byte_reader_of(const void *data, size_t len)
{
    return (struct byte_reader){.p = data, .left = len};
}
/* The next n bytes, or NULL (and `failed`) when fewer are left. */
static inline const uint8_t *br_take(struct byte_reader *r, size_t n)
{
    if (r->failed || r->left < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    r->left -= n;
    return p;
}
static inline uint8_t br_u8(struct byte_reader *r)
{
    const uint8_t *p = br_take(r, 1);
    return p ? p[0] : 0;
}
static inline uint16_t br_u16(struct byte_reader *r)
{
    const uint8_t *p = br_take(r, 2);
    return p ? rd_be16(p) : 0;
}
static inline uint32_t br_u32(struct byte_reader *r)
{
    const uint8_t *p = br_take(r, 4);
    return p ? rd_be32(p) : 0;
}

/* A cursor over a caller's buffer. Writes past the end are dropped and set `failed`. */
struct byte_writer {
    uint8_t *start, *p; /* borrows */
    size_t left;
    bool failed;
};

static inline struct byte_writer byte_writer_of(void *data, size_t cap)
{
    return (struct byte_writer){.start = data, .p = data, .left = cap};
}
static inline uint8_t *bw_space(struct byte_writer *w, size_t n)
{
    if (w->failed || w->left < n) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->p;
    w->p += n;
    w->left -= n;
    return p;
}
static inline void bw_u8(struct byte_writer *w, uint8_t v)
{
    uint8_t *p = bw_space(w, 1);
    if (p)
        p[0] = v;
}
static inline void bw_u16(struct byte_writer *w, uint16_t v)
{
    uint8_t *p = bw_space(w, 2);
    if (p)
        wr_be16(p, v);
}
static inline void bw_u32(struct byte_writer *w, uint32_t v)
{
    uint8_t *p = bw_space(w, 4);
    if (p)
        wr_be32(p, v);
}
static inline void bw_bytes(struct byte_writer *w, const void *data, size_t len)
{
    uint8_t *p = bw_space(w, len);
    if (p && len)
        memcpy(p, data, len);
}
static inline size_t bw_len(const struct byte_writer *w) { return (size_t)(w->p - w->start); }

/* RFC 1982 order of 16-bit sequence numbers and 32-bit timestamps: is a after b? */
static inline bool seq16_after(uint16_t a, uint16_t b) { return (int16_t)(a - b) > 0; }
static inline bool ts32_after(uint32_t a, uint32_t b) { return (int32_t)(a - b) > 0; }

#endif
