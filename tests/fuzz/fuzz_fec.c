/* FlexFEC: bytes as a sequence of media and repair packets into the decoder; and what an encoder
 * makes of them must give back a packet that is left out. Each record: length (2 bytes, of 1400),
 * then the packet. */
#include "fuzz.h"

#include "rtp/fec_decoder.h"
#include "rtp/fec_encoder.h"
#include "rtp/packet.h"

#include <string.h>

static void decode_it(const uint8_t *data, size_t size)
{
    struct fec_decoder *d = fec_decoder_new();
    if (!d)
        abort();
    while (size >= 3) {
        size_t len = rd_be16(data) % 1400;
        bool repair = data[2] & 1;
        data += 3;
        size -= 3;
        len = len < size ? len : size;
        uint8_t *copy = malloc(len ? len : 1); /* so that ASan sees reads past its end */
        if (!copy)
            abort();
        memcpy(copy, data, len);
        if (repair)
            fec_decoder_repair(d, copy, len);
        else if (len >= RTP_HEADER_LEN)
            fec_decoder_media(d, copy, len);
        size_t n;
        const uint8_t *p;
        while ((p = fec_decoder_next(d, &n))) {
            struct rtp_view v;
            FUZZ_CHECK(n >= RTP_HEADER_LEN && n <= FEC_MAX_PACKET && p[0] >> 6 == 2);
            rtp_parse(p, n, &v);
        }
        free(copy);
        data += len;
        size -= len;
    }
    fec_decoder_free(&d);
}

/* The bytes cut into packets: one that is left out must come back as it was. */
static void encode_it(const uint8_t *data, size_t size)
{
    if (size < 4)
        return;
    struct fec_encoder *e = fec_encoder_new(200);
    struct fec_decoder *d = fec_decoder_new();
    if (!e || !d)
        abort();
    int columns = 1 + data[0] % FEC_COLUMNS, n = 2 + data[1] % 100, out = 1 + data[2] % (n - 1);
    uint8_t packet[200] = {0x80}, lost[200] = {0}, fec[224 + 16] = {0x81};
    size_t lost_len = 0, len;
    for (int i = 0; i < n; i++) {
        len = 12 + data[(size_t)i % size] % 180u;
        for (size_t k = 12; k < len; k++)
            packet[k] = data[((size_t)i * 7 + k) % size];
        wr_be16(packet + 2, (uint16_t)(65500 + i));
        FUZZ_CHECK(fec_encoder_add(e, packet, len, columns, data[3] & 128));
        if (i != out) {
            fec_decoder_media(d, packet, len);
        } else {
            memcpy(lost, packet, len);
            lost_len = len;
        }
    }
    fec_encoder_close(e, 1 + data[3] % columns);
    int back = 0;
    while ((len = fec_encoder_next(e, fec + 16)) > 0) {
        FUZZ_CHECK(len <= 224);
        FUZZ_CHECK(fec_decoder_repair(d, fec, len + 16));
        const uint8_t *p = fec_decoder_next(d, &len);
        if (!p)
            continue;
        FUZZ_CHECK(len == lost_len && memcmp(p, lost, len) == 0);
        back++;
    }
    FUZZ_CHECK(back == 1);
    fec_encoder_free(&e);
    fec_decoder_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode_it(data, size);
    encode_it(data, size);
    return 0;
}
