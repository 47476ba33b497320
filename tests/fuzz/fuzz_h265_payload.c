/* An access unit is packed and unpacked: what comes out is what was to be sent. The first byte is
 * the size of payloads, and whether to aggregate. */
#include "fuzz.h"

#include "rtp/h265_depack.h"
#include "rtp/h265_pack.h"

static bool is_sent(int type)
{
    return type != NAL_AUD && type != NAL_FD && type != NAL_EOS && type != NAL_EOB && type < 48;
}

/* Is a NAL unit with the forbidden bit in it? A receiver refuses it. */
static bool has_forbidden_bit(const struct access_unit *au)
{
    size_t pos = 0;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n))
        if (n.data[0] & 0x80)
            return true;
    return false;
}

static void compare(const struct access_unit *in, const struct access_unit *out)
{
    size_t a = 0, b = 0;
    struct nal x, y;
    while (annexb_next(in->data, in->len, &a, &x)) {
        if (!is_sent(nal_type(&x)))
            continue;
        FUZZ_CHECK(annexb_next(out->data, out->len, &b, &y));
        FUZZ_CHECK(x.len == y.len);
        for (size_t i = 0; i < x.len; i++)
            FUZZ_CHECK(x.data[i] == y.data[i]);
    }
    FUZZ_CHECK(!annexb_next(out->data, out->len, &b, &y));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t max = 16 + (data[0] & 0x7f);
    struct access_unit *in = access_unit_new(size), *out = access_unit_new(size);
    if (!in || !out || !access_unit_append(in, data + 1, size - 1))
        abort();
    struct h265_packer p;
    struct h265_payload d;
    struct h265_depack depack;
    bool last = false, refused = false;
    h265_packer_start(&p, in, max, data[0] & 0x80);
    h265_depack_start(&depack);
    while (h265_packer_next(&p, &d)) {
        FUZZ_CHECK(!last && d.size >= 2 && d.size <= max);
        last = d.last;
        uint8_t *payload = malloc(d.size);
        if (!payload)
            abort();
        h265_write_payload(in, &d, payload);
        refused |= h265_depack_add(&depack, out, payload, d.size) != H265_DEPACK_OK;
        free(payload);
    }
    if (!has_forbidden_bit(in)) {
        FUZZ_CHECK(!refused && h265_depack_whole(&depack));
        compare(in, out);
    }
    access_unit_unref(&in);
    access_unit_unref(&out);
    return 0;
}
