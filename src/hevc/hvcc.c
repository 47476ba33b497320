/* The forms of ISO/IEC 14496-15 (MP4, Matroska) to Annex B. */
#include "hevc/nal.h"

#include "base/bytes.h"

bool hvcc_to_annexb(const uint8_t *hvcc, size_t len, struct access_unit *out, int *nal_length_size)
{
    /* HEVCDecoderConfigurationRecord, 8.3.3.1: 22 fixed bytes, then arrays of NAL units. */
    struct byte_reader r = byte_reader_of(hvcc, len);
    const uint8_t *fixed = br_take(&r, 22);
    if (!fixed || fixed[0] != 1)
        return false;
    int size = (fixed[21] & 3) + 1;
    if (size == 3)
        return false;
    size_t before = out->len;
    int arrays = br_u8(&r);
    for (int i = 0; i < arrays && !r.failed; i++) {
        br_u8(&r); /* array_completeness, NAL_unit_type: the units say it themselves */
        int n = br_u16(&r);
        for (int j = 0; j < n && !r.failed; j++) {
            size_t nal_len = br_u16(&r);
            const uint8_t *nal = br_take(&r, nal_len);
            if (!nal)
                break;
            if (nal_len >= 2 && !au_append_nal(out, nal, nal_len))
                goto fail;
        }
    }
    if (r.failed)
        goto fail;
    *nal_length_size = size;
    return true;
fail:
    out->len = before;
    return false;
}

bool hvcc_sample_to_annexb(const uint8_t *data, size_t len, int nal_length_size,
                           struct access_unit *out)
{
    struct byte_reader r = byte_reader_of(data, len);
    size_t before = out->len;
    while (r.left > 0) {
        const uint8_t *prefix = br_take(&r, (size_t)nal_length_size);
        if (!prefix)
            goto fail;
        size_t nal_len = 0;
        for (int i = 0; i < nal_length_size; i++)
            nal_len = nal_len << 8 | prefix[i];
        const uint8_t *nal = br_take(&r, nal_len);
        if (!nal)
            goto fail;
        if (nal_len >= 2 && !au_append_nal(out, nal, nal_len))
            goto fail;
    }
    return true;
fail:
    out->len = before;
    return false;
}
