#include "rtp/fec_decoder.h"

#include "rtp/packet.h"

#include <stdlib.h>

struct media {
    bool present;
    uint16_t seq, len;
    uint8_t data[FEC_MAX_PACKET];
};

struct repair {
    bool waits;
    struct fec_header header;
    uint16_t len;
    uint8_t data[FEC_MAX_PACKET];
};

struct fec_decoder {
    bool started;
    uint32_t ssrc;
    uint16_t newest;
    int waiting;       /* repair packets that miss two or more */
    int next_repair;   /* slot */
    uint16_t out[FEC_MEDIA_RING]; /* recovered sequence numbers */
    int out_first, out_n;
    struct media media[FEC_MEDIA_RING];
    struct repair repair[FEC_REPAIR_RING];
};

struct fec_decoder *fec_decoder_new(void) { return calloc(1, sizeof(struct fec_decoder)); }

void fec_decoder_free(struct fec_decoder **d)
{
    free(*d);
    *d = NULL;
}

static struct media *slot(struct fec_decoder *d, uint16_t seq)
{
    return &d->media[seq & (FEC_MEDIA_RING - 1)];
}

static bool have(struct fec_decoder *d, uint16_t seq)
{
    const struct media *m = slot(d, seq);
    return m->present && m->seq == seq;
}

static void forget(struct fec_decoder *d)
{
    for (int i = 0; i < FEC_MEDIA_RING; i++)
        d->media[i].present = false;
    for (int i = 0; i < FEC_REPAIR_RING; i++)
        d->repair[i].waits = false;
    d->waiting = d->out_n = 0;
}

/* How many of its packets are missing; the last of those in *seq. */
static int missing(struct fec_decoder *d, const struct fec_header *h, uint16_t *seq)
{
    int n = 0;
    for (int i = 0; i < FEC_SPAN && n < 2; i++) {
        uint16_t s = (uint16_t)(h->base + i);
        if (fec_mask_has(&h->mask, i) && !have(d, s)) {
            n++;
            *seq = s;
        }
    }
    return n;
}

/* Section 6.3.2: header, then payload. false: nonsense. */
static bool recover(struct fec_decoder *d, const struct repair *r, uint16_t seq)
{
    struct fec_parity p = r->header.parity;
    uint8_t data[FEC_MAX_PACKET] = {0};
    memcpy(data + RTP_HEADER_LEN, r->data, r->len);
    for (int i = 0; i < FEC_SPAN; i++) {
        uint16_t s = (uint16_t)(r->header.base + i);
        if (!fec_mask_has(&r->header.mask, i) || s == seq)
            continue;
        const struct media *m = slot(d, s);
        p.first[0] ^= m->data[0] & 0x3f;
        p.first[1] ^= m->data[1];
        p.length ^= (uint16_t)(m->len - RTP_HEADER_LEN);
        p.ts ^= rd_be32(m->data + 4);
        for (size_t k = RTP_HEADER_LEN; k < m->len; k++)
            data[k] ^= m->data[k];
    }
    if (p.length > r->len)
        return false;
    struct media *m = slot(d, seq);
    memcpy(m->data, data, RTP_HEADER_LEN + (size_t)p.length);
    m->data[0] = 0x80 | (p.first[0] & 0x3f);
    m->data[1] = p.first[1];
    wr_be16(m->data + 2, seq);
    wr_be32(m->data + 4, p.ts);
    wr_be32(m->data + 8, d->ssrc);
    m->len = (uint16_t)(RTP_HEADER_LEN + p.length);
    m->seq = seq;
    m->present = true;
    if (seq16_after(seq, d->newest))
        d->newest = seq;
    d->out[(d->out_first + d->out_n++) & (FEC_MEDIA_RING - 1)] = seq;
    return true;
}

static void give_up(struct fec_decoder *d, struct repair *r)
{
    r->waits = false;
    d->waiting--;
}

/* One packet more makes one repair packet useful, whose packet may make the next one so. One that
 * is far off would write over what is in use. */
static void solve(struct fec_decoder *d)
{
    bool progress = true;
    while (progress && d->waiting > 0) {
        progress = false;
        for (int i = 0; i < FEC_REPAIR_RING; i++) {
            struct repair *r = &d->repair[i];
            uint16_t seq = 0;
            if (!r->waits)
                continue;
            int n = missing(d, &r->header, &seq);
            int ahead = (int16_t)(r->header.base - d->newest);
            bool far = ahead <= -FEC_MEDIA_RING || ahead > FEC_MEDIA_RING - FEC_SPAN;
            if (n > 1 && !far)
                continue;
            if (n == 1 && !far && d->out_n < FEC_MEDIA_RING)
                progress |= recover(d, r, seq);
            give_up(d, r);
        }
    }
}

void fec_decoder_media(struct fec_decoder *d, const uint8_t *packet, size_t len)
{
    if (len < RTP_HEADER_LEN || len > FEC_MAX_PACKET)
        return;
    uint16_t seq = rd_be16(packet + 2);
    uint32_t ssrc = rd_be32(packet + 8);
    if (!d->started || ssrc != d->ssrc)
        forget(d);
    if (!d->started || ssrc != d->ssrc || seq16_after(seq, d->newest))
        d->newest = seq;
    d->started = true;
    d->ssrc = ssrc;
    if (have(d, seq) || (uint16_t)(d->newest - seq) >= FEC_MEDIA_RING)
        return;
    struct media *m = slot(d, seq);
    memcpy(m->data, packet, len);
    m->len = (uint16_t)len;
    m->seq = seq;
    m->present = true;
    solve(d);
}

bool fec_decoder_repair(struct fec_decoder *d, const uint8_t *packet, size_t len)
{
    struct fec_header h;
    const uint8_t *payload;
    size_t n;
    if (!fec_header_read(packet, len, &h, &payload, &n) || n > FEC_MAX_PACKET - RTP_HEADER_LEN)
        return false;
    if (!d->started || h.ssrc != d->ssrc)
        return false;
    uint16_t seq;
    if (missing(d, &h, &seq) == 0)
        return true;
    struct repair *r = &d->repair[d->next_repair];
    d->next_repair = (d->next_repair + 1) & (FEC_REPAIR_RING - 1);
    d->waiting += !r->waits;
    r->waits = true;
    r->header = h;
    r->len = (uint16_t)n;
    memcpy(r->data, payload, n);
    solve(d);
    return true;
}

const uint8_t *fec_decoder_next(struct fec_decoder *d, size_t *len)
{
    while (d->out_n > 0) {
        uint16_t seq = d->out[d->out_first];
        d->out_first = (d->out_first + 1) & (FEC_MEDIA_RING - 1);
        d->out_n--;
        if (have(d, seq)) {
            *len = slot(d, seq)->len;
            return slot(d, seq)->data;
        }
    }
    return NULL;
}
