#include "rtp/carrier_pack.h"

#include "base/bytes.h"

#include <string.h>

enum { DESCRIPTOR = 1, AUDIO_DESCRIPTOR = 8, START_OF_PARTITION = 0x10 };
enum { FLAG_KEY = 1, FLAG_REFINEMENT = 2, VERSION = 1 };

/* RFC 6386 section 9.1. The type must be the real one: a browser asks for a key frame when it gets
 * no key frames, and drops delta frames after a loss. 16x16 pixels. */
static const uint8_t vp8_key[10] = {0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00};
static const uint8_t vp8_delta[1] = {0x11};

static size_t fake_len(const struct access_unit *au, bool audio)
{
    return audio ? 0 : au->irap ? sizeof vp8_key : sizeof vp8_delta;
}

static size_t prefix_len(const struct access_unit *au, bool audio)
{
    return fake_len(au, audio) + CARRIER_HEADER_LEN;
}

static uint32_t clamp_u32(int64_t v)
{
    return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static uint16_t clamp_u16(int v) { return v < 0 || v > 0xffff ? 0 : (uint16_t)v; }

static void write_prefix(const struct access_unit *au, bool audio, uint32_t frame,
                         uint64_t capture_ntp, uint8_t *out)
{
    size_t n = fake_len(au, audio);
    memcpy(out, au->irap ? vp8_key : vp8_delta, n);
    uint8_t *h = out + n;
    bool timed = au->capture_us > 0 && au->encode_us > 0;
    h[0] = 'H';
    h[1] = VERSION;
    h[2] = (uint8_t)((au->irap ? FLAG_KEY : 0) | (au->refinement ? FLAG_REFINEMENT : 0));
    h[3] = CARRIER_HEADER_LEN;
    wr_be32(h + 4, frame);
    wr_be64(h + 8, capture_ntp);
    wr_be32(h + 16, timed ? clamp_u32(au->encode_us - au->capture_us) : 0);
    wr_be16(h + 20, clamp_u16(au->width));
    wr_be16(h + 22, clamp_u16(au->height));
    wr_be32(h + 24, (uint32_t)au->len);
}

void carrier_packer_start(struct carrier_packer *p, const struct access_unit *au, uint32_t frame,
                          size_t max_payload, bool audio)
{
    memset(p, 0, sizeof *p);
    p->au = au;
    p->audio = audio;
    p->frame = frame;
    p->total = (uint32_t)(prefix_len(au, audio) + au->len);
    size_t max = max_payload - (audio ? AUDIO_DESCRIPTOR : DESCRIPTOR);
    p->pieces = (uint32_t)((p->total + max - 1) / max);
    if (p->pieces > (audio ? CARRIER_MAX_AUDIO_PACKETS : CARRIER_MAX_PACKETS))
        p->pieces = 0;
}

/* Equal sizes, as in h265_pack; the larger ones first. */
bool carrier_packer_next(struct carrier_packer *p, struct h265_payload *out)
{
    memset(out, 0, sizeof *out);
    if (p->piece == p->pieces)
        return false;
    out->kind = p->audio ? H265_AUDIO_CARRIER : H265_CARRIER;
    out->frame = p->frame;
    out->piece = (uint16_t)p->piece;
    out->pieces = (uint16_t)p->pieces;
    out->offset = p->at;
    out->len = p->total / p->pieces + (p->piece < p->total % p->pieces ? 1 : 0);
    out->size = (p->audio ? AUDIO_DESCRIPTOR : DESCRIPTOR) + out->len;
    p->at += out->len;
    out->last = ++p->piece == p->pieces;
    return true;
}

void carrier_empty_payload(struct h265_payload *out, size_t size)
{
    memset(out, 0, sizeof *out);
    out->kind = H265_AUDIO_CARRIER;
    out->size = (uint32_t)size;
}

void carrier_write_payload(const struct access_unit *au, const struct h265_payload *d,
                           uint64_t capture_ntp, uint8_t *out)
{
    bool audio = d->kind == H265_AUDIO_CARRIER;
    uint8_t prefix[CARRIER_PREFIX_MAX];
    size_t n = prefix_len(au, audio), from = d->offset, len = d->len;
    if (audio) {
        wr_be32(out, d->frame);
        wr_be16(out + 4, d->piece);
        wr_be16(out + 6, d->pieces);
        out += AUDIO_DESCRIPTOR;
        if (d->pieces == 0) {
            memset(out, 0, d->size - AUDIO_DESCRIPTOR);
            return;
        }
    } else {
        *out++ = d->offset == 0 ? START_OF_PARTITION : 0;
    }
    if (from < n) {
        size_t part = n - from < len ? n - from : len;
        write_prefix(au, audio, d->frame, capture_ntp, prefix);
        memcpy(out, prefix + from, part);
        out += part;
        from += part;
        len -= part;
    }
    memcpy(out, au->data + (from - n), len);
}
