#include "rtp/fec_encoder.h"

#include "rtp/packet.h"

#include <stdlib.h>

enum { MIN_CROSSED = 3 }; /* with fewer, all pairs are the same */

struct column {
    struct fec_mask mask;
    struct fec_parity parity;
    size_t len;    /* of the longest */
    uint8_t *data; /* borrows: in the encoder's memory */
};

struct block {
    int columns, packets;
    bool crossed;
    uint32_t ssrc;
    uint16_t base;
    struct column column[FEC_COLUMNS];
};

struct fec_encoder {
    size_t cap;           /* of a column's data */
    struct block block[2];
    int open;             /* which one */
    int ready, taken;     /* repair packets of the other */
    uint8_t memory[];
};

struct fec_encoder *fec_encoder_new(size_t max_packet)
{
    if (max_packet <= RTP_HEADER_LEN)
        return NULL;
    size_t cap = max_packet - RTP_HEADER_LEN;
    struct fec_encoder *e = calloc(1, sizeof *e + 2 * FEC_COLUMNS * cap);
    if (!e)
        return NULL;
    e->cap = cap;
    for (int i = 0; i < 2 * FEC_COLUMNS; i++)
        e->block[i / FEC_COLUMNS].column[i % FEC_COLUMNS].data = e->memory + (size_t)i * cap;
    return e;
}

void fec_encoder_free(struct fec_encoder **e)
{
    free(*e);
    *e = NULL;
}

static void exclusive_or(uint8_t *restrict to, const uint8_t *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++) /* the compiler makes vectors of it */
        to[i] ^= from[i];
}

static void begin(struct block *b, uint16_t seq, uint32_t ssrc, int columns, bool crossed)
{
    b->columns = columns < 1 ? 1 : columns > FEC_COLUMNS ? FEC_COLUMNS : columns;
    b->crossed = crossed && b->columns >= MIN_CROSSED;
    b->base = seq;
    b->ssrc = ssrc;
    for (int i = 0; i < b->columns; i++) {
        struct column *c = &b->column[i];
        c->mask = (struct fec_mask){{0}};
        c->parity = (struct fec_parity){.length = 0};
        c->len = 0;
    }
}

/* What is longer than before is copied: the rest of the buffer has no meaning. */
static void merge(struct column *c, const struct fec_parity *parity, const uint8_t *data, size_t len)
{
    size_t both = len < c->len ? len : c->len;
    exclusive_or(c->data, data, both);
    if (len > c->len) {
        memcpy(c->data + both, data + both, len - both);
        c->len = len;
    }
    c->parity.first[0] ^= parity->first[0];
    c->parity.first[1] ^= parity->first[1];
    c->parity.length ^= parity->length;
    c->parity.ts ^= parity->ts;
}

/* The second column of packet i: from round to round of the first one at another distance. */
static int other_column(const struct block *b, int i)
{
    int distance = 1 + i / b->columns % (b->columns / 2);
    return (i + distance) % b->columns;
}

static void protect(struct block *b, int i, int column, const struct fec_parity *parity,
                    const uint8_t *data, size_t len)
{
    struct column *c = &b->column[column];
    fec_mask_set(&c->mask, i);
    merge(c, parity, data, len);
}

bool fec_encoder_add(struct fec_encoder *e, const uint8_t *packet, size_t len, int columns,
                     bool crossed)
{
    struct block *b = &e->block[e->open];
    uint16_t seq = rd_be16(packet + 2);
    bool follows = b->packets == 0 || seq == (uint16_t)(b->base + b->packets);
    if (!follows || b->packets == FEC_SPAN || len > e->cap + RTP_HEADER_LEN) {
        b->packets = 0;
        return false;
    }
    if (b->packets == 0)
        begin(b, seq, rd_be32(packet + 8), columns, crossed);
    size_t tail = len - RTP_HEADER_LEN;
    int i = b->packets++;
    struct fec_parity parity = {.first = {packet[0] & 0x3f, packet[1]}, .length = (uint16_t)tail,
                                .ts = rd_be32(packet + 4)};
    protect(b, i, i % b->columns, &parity, packet + RTP_HEADER_LEN, tail);
    if (b->crossed)
        protect(b, i, other_column(b, i), &parity, packet + RTP_HEADER_LEN, tail);
    return true;
}

int fec_encoder_open(const struct fec_encoder *e) { return e->block[e->open].packets; }

void fec_encoder_close(struct fec_encoder *e, int repairs)
{
    struct block *b = &e->block[e->open];
    if (b->packets == 0)
        return;
    /* Of a crossed block that ends early, the last column in use may say nothing new. */
    int used = b->packets < b->columns ? b->packets : b->columns;
    repairs = repairs < 1 ? 1 : repairs > used || b->crossed ? used : repairs;
    for (int i = repairs; i < used; i++) {
        struct column *c = &b->column[i % repairs];
        merge(c, &b->column[i].parity, b->column[i].data, b->column[i].len);
        c->mask.bits[0] |= b->column[i].mask.bits[0];
        c->mask.bits[1] |= b->column[i].mask.bits[1];
    }
    e->ready = repairs;
    e->taken = 0;
    e->open = !e->open;
    e->block[e->open].packets = 0;
}

void fec_encoder_forget(struct fec_encoder *e)
{
    e->block[e->open].packets = 0;
    e->ready = e->taken = 0;
}

int fec_encoder_ready(const struct fec_encoder *e) { return e->ready - e->taken; }

size_t fec_encoder_next(struct fec_encoder *e, uint8_t *out)
{
    if (e->taken == e->ready)
        return 0;
    const struct block *b = &e->block[!e->open];
    const struct column *c = &b->column[e->taken++];
    struct fec_header h = {.ssrc = b->ssrc, .base = b->base, .mask = c->mask, .parity = c->parity};
    size_t n = fec_header_write(&h, out);
    memcpy(out + n, c->data, c->len);
    return n + c->len;
}
