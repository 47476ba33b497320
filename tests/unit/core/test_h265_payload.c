/* src/rtp/h265_pack, h265_depack: RFC 7798. */
#include "test_util.h"

#include "rtp/h265_depack.h"
#include "rtp/h265_pack.h"

/* An access unit of NAL units of the given types and lengths, filled so that each is known. */
struct spec {
    int type, layer, tid;
    size_t len;
};

static struct access_unit *make_au(const struct spec *s, int n)
{
    struct access_unit *au = access_unit_new(16);
    for (int i = 0; i < n; i++) {
        uint8_t *d = malloc(s[i].len);
        memset(d, 0x30 + i, s[i].len);
        d[0] = (uint8_t)(s[i].type << 1 | s[i].layer >> 5);
        d[1] = (uint8_t)((s[i].layer & 31) << 3 | (s[i].tid + 1));
        for (size_t k = 2; k + 2 < s[i].len; k++)
            d[k] = (uint8_t)(1 + (k * 7 + (size_t)i) % 255);
        assert_true(au_append_nal(au, d, s[i].len));
        free(d);
    }
    return au;
}

struct packed {
    uint8_t *data;
    size_t len;
    struct h265_payload d;
};

static int pack(const struct access_unit *au, size_t max, bool aggregate, struct packed *out,
                int max_out)
{
    struct h265_packer p;
    struct h265_payload d;
    int n = 0;
    h265_packer_start(&p, au, max, aggregate);
    while (h265_packer_next(&p, &d)) {
        assert_true(n < max_out);
        assert_true(d.size <= max);
        out[n].data = malloc(d.size);
        out[n].len = d.size;
        out[n].d = d;
        h265_write_payload(au, &d, out[n].data);
        n++;
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(out[i].d.last, i == n - 1);
    return n;
}

static struct access_unit *unpack(const struct packed *p, int n)
{
    struct access_unit *au = access_unit_new(16);
    struct h265_depack d;
    h265_depack_start(&d);
    for (int i = 0; i < n; i++)
        assert_int_equal(h265_depack_add(&d, au, p[i].data, p[i].len), H265_DEPACK_OK);
    assert_true(h265_depack_whole(&d));
    return au;
}

static void free_all(struct packed *p, int n)
{
    for (int i = 0; i < n; i++)
        free(p[i].data);
}

static void same(const struct access_unit *a, const struct access_unit *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

static void round_trips(void **state)
{
    (void)state;
    static const struct {
        int n;
        struct spec s[6];
        bool aggregate;
        int packets;
    } cases[] = {
        {1, {{1, 0, 0, 2}}, true, 1},                               /* a header alone */
        {1, {{1, 0, 0, 100}}, true, 1},
        {1, {{1, 0, 0, 101}}, true, 2},
        {1, {{19, 0, 0, 1000}}, true, 11},
        {4, {{32, 0, 0, 24}, {33, 0, 0, 30}, {34, 0, 0, 8}, {19, 0, 0, 500}}, true, 7},
        {4, {{32, 0, 0, 24}, {33, 0, 0, 30}, {34, 0, 0, 8}, {19, 0, 0, 500}}, false, 9},
        {4, {{32, 0, 0, 60}, {33, 0, 0, 60}, {34, 0, 0, 8}, {39, 0, 0, 8}}, true, 2}, /* does not fit in one */
        {3, {{1, 0, 0, 10}, {1, 0, 0, 10}, {40, 0, 0, 10}}, true, 3},  /* slices stay alone */
        {2, {{32, 0, 0, 300}, {33, 0, 0, 20}}, true, 5},               /* parameter sets as FU */
        {3, {{39, 3, 2, 10}, {39, 1, 4, 10}, {1, 63, 6, 200}}, true, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct access_unit *au = make_au(cases[i].s, cases[i].n);
        struct packed p[32];
        int n = pack(au, 100, cases[i].aggregate, p, 32);
        if (cases[i].packets != n)
            fail_msg("case %zu: %d packets", i, n);
        struct access_unit *back = unpack(p, n);
        same(au, back);
        access_unit_unref(&au);
        access_unit_unref(&back);
        free_all(p, n);
    }
}

static void fragments_are_equal(void **state)
{
    (void)state;
    for (size_t len = 99; len < 1500; len += 7) {
        struct spec s = {19, 5, 3, len};
        struct access_unit *au = make_au(&s, 1);
        struct packed p[64];
        int n = pack(au, 64, true, p, 64);
        for (int i = 0; i < n; i++) {
            assert_int_equal(p[i].data[0] >> 1, 49);
            assert_int_equal((p[i].data[0] & 1) << 5 | p[i].data[1] >> 3, 5);
            assert_int_equal(p[i].data[1] & 7, 4);
            assert_int_equal(p[i].data[2] & 0x3f, 19);
            assert_int_equal(p[i].data[2] >> 7, i == 0);
            assert_int_equal(p[i].data[2] >> 6 & 1, i == n - 1);
            assert_true(p[0].len - p[i].len <= 1); /* no runt */
            if (i > 0)
                assert_true(p[i].len <= p[i - 1].len);
        }
        /* no more than needed */
        assert_int_equal(n, (len - 2 + 60) / 61);
        access_unit_unref(&au);
        free_all(p, n);
    }
}

static void aggregate_header_is_the_smallest(void **state)
{
    (void)state;
    static const struct spec s[] = {{39, 33, 4, 10}, {39, 2, 6, 10}, {39, 40, 3, 10}};
    struct access_unit *au = make_au(s, 3);
    struct packed p[4];
    assert_int_equal(pack(au, 100, true, p, 4), 1);
    assert_int_equal(p[0].data[0] >> 1 & 0x3f, 48);
    assert_int_equal((p[0].data[0] & 1) << 5 | p[0].data[1] >> 3, 2);
    assert_int_equal((p[0].data[1] & 7) - 1, 3);
    assert_int_equal(p[0].len, 2 + 3 * 12);
    access_unit_unref(&au);
    free_all(p, 1);
}

static void some_types_are_not_sent(void **state)
{
    (void)state;
    static const struct spec s[] = {{35, 0, 0, 3},  {32, 0, 0, 5}, {38, 0, 0, 90}, {33, 0, 0, 5},
                                    {1, 0, 0, 20},  {36, 0, 0, 2}, {37, 0, 0, 2},  {38, 0, 0, 300},
                                    {50, 0, 0, 20}, {63, 0, 0, 20}};
    struct access_unit *au = make_au(s, 10);
    struct packed p[4];
    int n = pack(au, 100, true, p, 4);
    assert_int_equal(n, 2); /* an AP of 32 and 33, and the slice with the marker */
    struct access_unit *back = unpack(p, n);
    static const struct spec want[] = {{32, 0, 0, 5}, {33, 0, 0, 5}, {1, 0, 0, 20}};
    size_t pos = 0;
    struct nal nal;
    for (int i = 0; i < 3; i++) {
        assert_true(annexb_next(back->data, back->len, &pos, &nal));
        assert_int_equal(nal_type(&nal), want[i].type);
        assert_int_equal(nal.len, want[i].len);
    }
    assert_false(annexb_next(back->data, back->len, &pos, &nal));
    access_unit_unref(&back);
    free_all(p, n);

    struct access_unit *none = make_au(s, 1);
    assert_int_equal(pack(none, 100, true, p, 4), 0);
    access_unit_unref(&none);
    access_unit_unref(&au);
}

/* Short and empty NAL units between those of an AP must not shift what is written. */
static void junk_between_aggregated(void **state)
{
    (void)state;
    static const uint8_t bytes[] = "\0\0\0\1\x40\1\xaa\0\0\1\x42\0\0\0\1\0\0\1\x42\1\xbb\0\0\0"
                                   "\0\0\1\x26\1\xcc";
    struct access_unit *au = access_unit_new(64);
    assert_true(access_unit_append(au, bytes, sizeof bytes - 1));
    struct packed p[4];
    int n = pack(au, 100, true, p, 4);
    assert_int_equal(n, 2);
    assert_int_equal(p[0].len, 2 + 5 + 5);
    assert_memory_equal(p[0].data + 2, "\0\3\x40\1\xaa\0\3\x42\1\xbb", 10);
    free_all(p, n);
    access_unit_unref(&au);
}

static void malformed_payloads(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int n;
        const char *payload[3];
        size_t len[3];
        int result; /* of the last */
    } cases[] = {
        {"empty", 1, {""}, {0}, H265_DEPACK_MALFORMED},
        {"one byte", 1, {"\2"}, {1}, H265_DEPACK_MALFORMED},
        {"two bytes", 1, {"\2\1"}, {2}, H265_DEPACK_OK},
        {"EOS is left out", 1, {"\x48\1"}, {2}, H265_DEPACK_OK},
        {"AP of two bytes", 1, {"\x60\1"}, {2}, H265_DEPACK_MALFORMED},
        {"FU of two bytes", 1, {"\x62\1"}, {2}, H265_DEPACK_MALFORMED},
        {"single", 1, {"\2\1x"}, {3}, H265_DEPACK_OK},
        {"F set", 1, {"\x82\1x"}, {3}, H265_DEPACK_MALFORMED},
        {"PACI", 1, {"\x64\1xxxx"}, {6}, H265_DEPACK_MALFORMED},
        {"type 51", 1, {"\x66\1xxxx"}, {6}, H265_DEPACK_IGNORED},
        {"type 63", 1, {"\x7e\1xxxx"}, {6}, H265_DEPACK_IGNORED},
        {"AP without units", 1, {"\x60\1\0"}, {3}, H265_DEPACK_MALFORMED},
        {"AP of one", 1, {"\x60\1\0\2\x40\1"}, {6}, H265_DEPACK_OK},
        {"AP with a zero size", 1, {"\x60\1\0\0\0\2\x40\1"}, {8}, H265_DEPACK_MALFORMED},
        {"AP cut", 1, {"\x60\1\0\3\x40\1"}, {6}, H265_DEPACK_MALFORMED},
        {"AP size cut", 1, {"\x60\1\0\2\x40\1\0"}, {7}, H265_DEPACK_MALFORMED},
        {"AP with a wrong TID", 1, {"\x60\7\0\2\x40\1"}, {6}, H265_DEPACK_OK},
        {"AP with an AP inside", 1, {"\x60\1\0\3\x60\1x"}, {7}, H265_DEPACK_IGNORED},
        {"FU without payload", 1, {"\x62\1\x93"}, {3}, H265_DEPACK_MALFORMED},
        {"FU start", 1, {"\x62\1\x93x"}, {4}, H265_DEPACK_OK},
        {"FU with S and E", 1, {"\x62\1\xd3x"}, {4}, H265_DEPACK_OK},
        {"FU middle first", 1, {"\x62\1\x13x"}, {4}, H265_DEPACK_MALFORMED},
        {"FU of a FU", 1, {"\x62\1\xb1x"}, {4}, H265_DEPACK_MALFORMED},
        {"FU with F", 1, {"\xe2\1\x93x"}, {4}, H265_DEPACK_MALFORMED},
        {"FU whole", 2, {"\x62\1\x93x", "\x62\1\x53y"}, {4, 4}, H265_DEPACK_OK},
        {"FU twice begun", 2, {"\x62\1\x93x", "\x62\1\x93y"}, {4, 4}, H265_DEPACK_MALFORMED},
        {"FU of two types", 2, {"\x62\1\x93x", "\x62\1\x54y"}, {4, 4}, H265_DEPACK_MALFORMED},
        {"FU cut by a single", 2, {"\x62\1\x93x", "\2\1x"}, {4, 3}, H265_DEPACK_MALFORMED},
        {"FU after its end", 3, {"\x62\1\x93x", "\x62\1\x53y", "\x62\1\x53y"}, {4, 4, 4},
         H265_DEPACK_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct access_unit *au = access_unit_new(16);
        struct h265_depack d;
        int result = -1;
        h265_depack_start(&d);
        for (int k = 0; k < cases[i].n; k++) {
            uint8_t *copy = exact_copy(cases[i].payload[k], cases[i].len[k]);
            result = (int)h265_depack_add(&d, au, copy, cases[i].len[k]);
            h265_payload_first_type(copy, cases[i].len[k]);
            free(copy);
        }
        if (result != cases[i].result)
            fail_msg("%s: %d", cases[i].name, result);
        access_unit_unref(&au);
    }
}

static void depack_notes_what_it_saw(void **state)
{
    (void)state;
    struct access_unit *au = access_unit_new(16);
    struct h265_depack d;
    h265_depack_start(&d);
    static const uint8_t ap[] = "\x60\1\0\3\x40\1x\0\3\x46\1x\0\3\x4e\1x"; /* VPS, AUD, SEI */
    assert_int_equal(h265_depack_add(&d, au, ap, sizeof ap - 1), H265_DEPACK_OK);
    assert_true(d.has_param_sets && !d.has_vcl && !d.has_irap);
    assert_int_equal(au->len, 14); /* without the AUD */
    static const uint8_t fu[] = "\x62\1\x95x"; /* CRA begins */
    assert_int_equal(h265_depack_add(&d, au, fu, 4), H265_DEPACK_OK);
    assert_true(d.has_vcl && d.has_irap);
    assert_int_equal(d.first_vcl_type, NAL_CRA);
    assert_false(h265_depack_whole(&d));
    access_unit_unref(&au);

    assert_int_equal(h265_payload_first_type(ap, sizeof ap - 1), NAL_VPS);
    assert_int_equal(h265_payload_first_type(fu, 4), NAL_CRA);
    assert_int_equal(h265_payload_first_type((const uint8_t *)"\x62\1\x15x", 4), -1);
    assert_int_equal(h265_payload_first_type((const uint8_t *)"\x40\1x", 3), NAL_VPS);
    assert_int_equal(h265_payload_first_type((const uint8_t *)"\x60\1\0\2\x40", 5), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(fragments_are_equal),
        cmocka_unit_test(aggregate_header_is_the_smallest),
        cmocka_unit_test(some_types_are_not_sent),
        cmocka_unit_test(junk_between_aggregated),
        cmocka_unit_test(malformed_payloads),
        cmocka_unit_test(depack_notes_what_it_saw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
