#include "rtp/h265_pack.h"

#include "base/bytes.h"

#include <string.h>

enum { PAYLOAD_AP = 48, PAYLOAD_FU = 49, NAL_HEADER = 2, FU_HEADER = 3, START_CODE = 3, MAX_AP_NALS = 32 };

/* What a receiver needs not, and some choke on: 7.4.2.4.4 lets them go. */
static bool is_sent(const struct nal *n)
{
    int t = nal_type(n);
    /* Types from 48 on would be read as AP, FU or PACI (RFC 7798 section 4.4). */
    return t != NAL_AUD && t != NAL_FD && t != NAL_EOS && t != NAL_EOB && t < PAYLOAD_AP;
}

static void look_ahead(struct h265_packer *p)
{
    do {
        p->has_next = annexb_next(p->au->data, p->au->len, &p->pos, &p->next);
    } while (p->has_next && !is_sent(&p->next));
}

void h265_packer_start(struct h265_packer *p, const struct access_unit *au, size_t max_payload,
                       bool aggregate)
{
    memset(p, 0, sizeof *p);
    p->au = au;
    p->max_payload = max_payload;
    p->aggregate = aggregate;
    look_ahead(p);
}

static uint32_t offset_of(const struct h265_packer *p, const uint8_t *at)
{
    return (uint32_t)(at - p->au->data);
}

/* The next fragment, RFC 7798 section 4.4.3. The sizes differ by one byte at most, the larger ones
 * first: no runt, and runs of equal packets are what UDP segmentation offload takes. */
static void next_fragment(struct h265_packer *p, struct h265_payload *out)
{
    uint32_t total = (uint32_t)p->cut.len - NAL_HEADER;
    uint32_t len = total / p->pieces + (p->piece < total % p->pieces ? 1 : 0);
    out->kind = H265_FU;
    out->nal_header[0] = p->cut.data[0];
    out->nal_header[1] = p->cut.data[1];
    out->fu_start = p->piece == 0;
    out->fu_end = p->piece == p->pieces - 1;
    out->offset = offset_of(p, p->cut.data) + NAL_HEADER + p->piece_at;
    out->len = len;
    out->size = FU_HEADER + len;
    p->piece_at += len;
    if (++p->piece == p->pieces)
        p->pieces = 0;
}

static void begin_fragments(struct h265_packer *p)
{
    size_t max = p->max_payload - FU_HEADER;
    p->cut = p->next;
    /* At least two: a NAL unit is cut only when it does not fit, so S and E never meet. */
    p->pieces = (uint32_t)((p->cut.len - NAL_HEADER + max - 1) / max);
    if (p->pieces < 2)
        p->pieces = 2;
    p->piece = p->piece_at = 0;
    look_ahead(p);
}

/* Small NAL units that belong to no slice; slices stay alone, so that losing one packet does not
 * cost two of them. */
static bool is_aggregated(const struct h265_packer *p)
{
    int t = nal_type(&p->next);
    return t == NAL_VPS || t == NAL_SPS || t == NAL_PPS || t == NAL_SEI_PREFIX ||
           t == NAL_SEI_SUFFIX;
}

/* Collects an aggregation packet, section 4.4.2, if two or more fit; else a single one. */
static void next_whole(struct h265_packer *p, struct h265_payload *out)
{
    const struct nal first = p->next;
    size_t size = NAL_HEADER;
    int count = 0, layer = 63, tid = 6;
    uint8_t f = 0;
    const uint8_t *end = first.data + first.len;
    while (p->aggregate && p->has_next && is_aggregated(p) && count < MAX_AP_NALS &&
           size + 2 + p->next.len <= p->max_payload) {
        layer = nal_layer(&p->next) < layer ? nal_layer(&p->next) : layer;
        tid = nal_tid(&p->next) < tid ? nal_tid(&p->next) : tid;
        f |= p->next.data[0] & 0x80;
        size += 2 + p->next.len;
        end = p->next.data + p->next.len;
        count++;
        look_ahead(p);
    }
    out->offset = offset_of(p, first.data);
    if (count > 1) {
        out->offset -= START_CODE;
        out->kind = H265_AP;
        out->nal_count = (uint8_t)count;
        out->nal_header[0] = (uint8_t)(f | PAYLOAD_AP << 1 | layer >> 5);
        out->nal_header[1] = (uint8_t)((layer & 31) << 3 | (tid + 1));
        out->len = (uint32_t)(end - first.data) + START_CODE;
        out->size = (uint32_t)size;
        return;
    }
    out->kind = H265_SINGLE;
    out->len = out->size = (uint32_t)first.len;
    if (count == 0)
        look_ahead(p);
}

bool h265_packer_next(struct h265_packer *p, struct h265_payload *out)
{
    memset(out, 0, sizeof *out);
    if (p->pieces == 0 && !p->has_next)
        return false;
    if (p->pieces == 0 && p->next.len > p->max_payload)
        begin_fragments(p);
    if (p->pieces > 0)
        next_fragment(p, out);
    else
        next_whole(p, out);
    out->last = p->pieces == 0 && !p->has_next;
    return true;
}

static void write_ap(const struct access_unit *au, const struct h265_payload *d, uint8_t *out)
{
    out[0] = d->nal_header[0];
    out[1] = d->nal_header[1];
    out += NAL_HEADER;
    size_t pos = 0;
    struct nal n;
    /* The same walk as the packer's, so the same NAL units, and they fill d->size. */
    for (int i = 0; i < d->nal_count && annexb_next(au->data + d->offset, d->len, &pos, &n);) {
        if (!is_sent(&n))
            continue;
        wr_be16(out, (uint16_t)n.len);
        memcpy(out + 2, n.data, n.len);
        out += 2 + n.len;
        i++;
    }
}

void h265_write_payload(const struct access_unit *au, const struct h265_payload *d, uint8_t *out)
{
    switch (d->kind) {
    case H265_SINGLE:
        memcpy(out, au->data + d->offset, d->len);
        break;
    case H265_AP:
        write_ap(au, d, out);
        break;
    case H265_FU:
        out[0] = (uint8_t)((d->nal_header[0] & 0x81) | PAYLOAD_FU << 1);
        out[1] = d->nal_header[1];
        out[2] = (uint8_t)((d->fu_start ? 0x80 : 0) | (d->fu_end ? 0x40 : 0) |
                           (d->nal_header[0] >> 1 & 0x3f));
        memcpy(out + FU_HEADER, au->data + d->offset, d->len);
        break;
    case H265_CARRIER:
    case H265_AUDIO_CARRIER:
        break; /* carrier_write_payload's */
    }
}
