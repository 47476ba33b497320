#include "rtp/h265_depack.h"

#include "base/bytes.h"

#include <string.h>

enum { PAYLOAD_AP = 48, PAYLOAD_FU = 49, PAYLOAD_PACI = 50 };

void h265_depack_start(struct h265_depack *d) { memset(d, 0, sizeof *d); }

bool h265_depack_whole(const struct h265_depack *d) { return !d->in_fu; }

static bool is_dropped(int type)
{
    return type == NAL_AUD || type == NAL_FD || type == NAL_EOS || type == NAL_EOB;
}

static void note(struct h265_depack *d, int type)
{
    if (nal_is_vcl(type)) {
        if (!d->has_vcl)
            d->first_vcl_type = type;
        d->has_vcl = true;
        d->has_irap |= nal_is_irap(type);
    }
    d->has_param_sets |= type >= NAL_VPS && type <= NAL_PPS;
}

static enum h265_depack_result add_nal(struct h265_depack *d, struct access_unit *au,
                                       const uint8_t *nal, size_t len)
{
    int type = nal[0] >> 1 & 0x3f;
    if (nal[0] & 0x80) /* F: the bits are known to be damaged, section 1.1.4 */
        return H265_DEPACK_MALFORMED;
    if (type >= PAYLOAD_AP)
        return H265_DEPACK_IGNORED;
    if (is_dropped(type))
        return H265_DEPACK_OK;
    note(d, type);
    return au_append_nal(au, nal, len) ? H265_DEPACK_OK : H265_DEPACK_NO_MEMORY;
}

/* Section 4.4.2. A peer's TID and layer of the AP itself are not looked at: some wrote them wrong. */
static enum h265_depack_result add_ap(struct h265_depack *d, struct access_unit *au,
                                      const uint8_t *payload, size_t len)
{
    struct byte_reader r = byte_reader_of(payload + 2, len - 2);
    enum h265_depack_result result = H265_DEPACK_OK;
    if (r.left == 0)
        return H265_DEPACK_MALFORMED;
    while (r.left > 0) {
        size_t nal_len = br_u16(&r);
        const uint8_t *nal = br_take(&r, nal_len);
        if (!nal || nal_len < 2)
            return H265_DEPACK_MALFORMED;
        enum h265_depack_result one = add_nal(d, au, nal, nal_len);
        if (one > result)
            result = one;
    }
    return result;
}

/* Section 4.4.3. S and E in one fragment are wrong, but harmless. */
static enum h265_depack_result add_fu(struct h265_depack *d, struct access_unit *au,
                                      const uint8_t *payload, size_t len)
{
    if (len < 4)
        return H265_DEPACK_MALFORMED;
    bool start = payload[2] & 0x80, end = payload[2] & 0x40;
    int type = payload[2] & 0x3f;
    uint8_t nal_header[2] = {(uint8_t)((payload[0] & 0x81) | type << 1), payload[1]};
    if (start == d->in_fu || payload[0] & 0x80 || type >= PAYLOAD_AP)
        return H265_DEPACK_MALFORMED;
    if (start) {
        d->in_fu = true;
        memcpy(d->fu_header, nal_header, sizeof nal_header);
        if (!is_dropped(type)) {
            note(d, type);
            if (!au_append_nal(au, nal_header, sizeof nal_header))
                return H265_DEPACK_NO_MEMORY;
        }
    } else if (memcmp(d->fu_header, nal_header, sizeof nal_header) != 0) {
        return H265_DEPACK_MALFORMED;
    }
    if (end)
        d->in_fu = false;
    if (is_dropped(type))
        return H265_DEPACK_OK;
    return access_unit_append(au, payload + 3, len - 3) ? H265_DEPACK_OK : H265_DEPACK_NO_MEMORY;
}

enum h265_depack_result h265_depack_add(struct h265_depack *d, struct access_unit *au,
                                        const uint8_t *payload, size_t len)
{
    if (len < 2)
        return H265_DEPACK_MALFORMED;
    int type = payload[0] >> 1 & 0x3f;
    if (type == PAYLOAD_FU)
        return add_fu(d, au, payload, len);
    if (d->in_fu) /* the open fragment's end never came */
        return H265_DEPACK_MALFORMED;
    if (type == PAYLOAD_AP)
        return add_ap(d, au, payload, len);
    if (type == PAYLOAD_PACI) /* it wraps a NAL unit, which is lost */
        return H265_DEPACK_MALFORMED;
    return add_nal(d, au, payload, len);
}

size_t h265_payload_first_nal(const uint8_t *payload, size_t len, uint8_t *nal, size_t cap)
{
    int type = len > 2 ? payload[0] >> 1 & 0x3f : -1;
    size_t skip = 0, n = len;
    if (h265_payload_first_type(payload, len) < 0 || len <= 4 || cap < 2)
        return 0;
    if (type == PAYLOAD_FU) {
        skip = 1; /* two bytes of header are put together */
        n = len - 1;
    } else if (type == PAYLOAD_AP) {
        skip = 4;
        n = (size_t)payload[2] << 8 | payload[3];
        n = n < len - skip ? n : len - skip;
    }
    n = n < cap ? n : cap;
    if (n < 2)
        return 0;
    memcpy(nal, payload + skip, n);
    if (type == PAYLOAD_FU) {
        nal[0] = (uint8_t)((payload[0] & 0x81) | (payload[2] & 0x3f) << 1);
        nal[1] = payload[1];
    }
    return n;
}

int h265_payload_first_type(const uint8_t *payload, size_t len)
{
    if (len < 2)
        return -1;
    int type = payload[0] >> 1 & 0x3f;
    if (type == PAYLOAD_FU)
        return len >= 3 && payload[2] & 0x80 ? payload[2] & 0x3f : -1;
    if (type == PAYLOAD_AP)
        return len >= 6 ? payload[4] >> 1 & 0x3f : -1;
    return type;
}
