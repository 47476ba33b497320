/* src/hevc: Annex B, SPS, hvcC, parameter sets, access units. */
#include "test_util.h"

#include "hevc/nal.h"

static const char CLIP_420[] = "core/aud-98x54.hevc";  /* 6 pictures, IDR CRA, AUDs, 98x54 */
static const char CLIP_444[] = "core/slices-444.hevc"; /* 4 pictures of 4 slices, 128x256 */

static void annexb_walks_all_start_codes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int n;
        size_t nal_len[3];
    } cases[] = {
        {"", 0, 0, {0}},
        {"\0\0\1", 3, 0, {0}},
        {"\0\0\1\x40", 4, 0, {0}},                          /* shorter than a header */
        {"\0\0\1\x40\1", 5, 1, {2}},
        {"\0\0\0\1\x40\1\xaa", 7, 1, {3}},
        {"\0\0\0\0\0\1\x40\1\xaa\0\0\0", 12, 1, {3}},       /* zeros around */
        {"junk\0\0\1\x40\1\0\0\1\x42\1\xbb", 15, 2, {2, 3}}, /* junk in front is skipped */
        {"\0\0\1\0\0\1\x40\1", 8, 1, {2}},                  /* an empty one between */
        {"\0\0\1\x40\1\1\0\1\0\0\3\1\0\0\0\1\x42\1", 18, 2, {9, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *data = exact_copy(cases[i].bytes, cases[i].len);
        size_t pos = 0;
        struct nal n;
        int count = 0;
        while (annexb_next(data, cases[i].len, &pos, &n)) {
            assert_true(count < cases[i].n);
            assert_int_equal(n.len, cases[i].nal_len[count]);
            count++;
        }
        assert_int_equal(count, cases[i].n);
        assert_false(annexb_next(data, cases[i].len, &pos, &n));
        free(data);
    }
}

/* The one-line definition, to compare the fast search with. */
static int count_slowly(const uint8_t *d, size_t len)
{
    int n = 0;
    for (size_t i = 0; i + 2 < len; i++) {
        if (d[i] || d[i + 1] || d[i + 2] != 1)
            continue;
        size_t end = i + 3;
        while (end < len && !(end + 2 < len && !d[end] && !d[end + 1] && d[end + 2] == 1))
            end++;
        while (end > i + 3 && d[end - 1] == 0)
            end--;
        n += end - (i + 3) >= 2;
    }
    return n;
}

static void annexb_search_equals_its_definition(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int round = 0; round < 2000; round++) {
        size_t len = test_random(&seed) % 64;
        uint8_t *d = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            d[i] = (uint8_t)(test_random(&seed) % 4 ? test_random(&seed) % 2 : 7);
        uint8_t *data = exact_copy(d, len);
        free(d);
        size_t pos = 0;
        struct nal n;
        int count = 0;
        while (annexb_next(data, len, &pos, &n))
            count++;
        assert_int_equal(count, count_slowly(data, len));
        free(data);
    }
}

static struct nal find_nal(const uint8_t *data, size_t len, int type)
{
    size_t pos = 0;
    struct nal n;
    while (annexb_next(data, len, &pos, &n))
        if (nal_type(&n) == type)
            return n;
    fail_msg("no NAL unit of type %d", type);
    return n;
}

static void sps_of_x265(void **state)
{
    (void)state;
    size_t len;
    uint8_t *clip = read_data(CLIP_420, &len);
    struct nal n = find_nal(clip, len, NAL_SPS);
    struct hevc_sps s;
    assert_true(hevc_parse_sps(&n, &s));
    assert_int_equal(s.profile_idc, 1);
    assert_int_equal(s.tier, 0);
    assert_int_equal(s.level_idc, 30);
    assert_int_equal(s.chroma_format_idc, 1);
    assert_int_equal(s.bit_depth_luma, 8);
    assert_int_equal(s.bit_depth_chroma, 8);
    assert_int_equal(s.width, 98);
    assert_int_equal(s.height, 54);
    assert_int_equal(s.coded_width, 112);
    assert_int_equal(s.coded_height, 64);
    assert_int_equal(s.max_num_reorder, 0);
    assert_true(s.max_dec_pic_buffering >= 1);
    assert_true(s.has_vui_colour);
    assert_false(s.full_range);
    assert_int_equal(s.colour_primaries, 1);
    assert_int_equal(s.transfer, 1);
    assert_int_equal(s.matrix, 1);
    free(clip);

    clip = read_data(CLIP_444, &len);
    n = find_nal(clip, len, NAL_SPS);
    assert_true(hevc_parse_sps(&n, &s));
    assert_int_equal(s.profile_idc, 4);
    assert_int_equal(s.chroma_format_idc, 3);
    assert_int_equal(s.width, 128);
    assert_int_equal(s.height, 256);
    assert_true(s.full_range);
    assert_int_equal(s.matrix, 2);
    free(clip);
}

/* Writes bits; an SPS with all that x265 does not use is put together with it. */
struct bit_writer {
    uint8_t buf[512];
    int bits;
};
static void put(struct bit_writer *w, uint32_t v, int n)
{
    while (n-- > 0) {
        if (v >> n & 1)
            w->buf[w->bits / 8] |= (uint8_t)(0x80 >> w->bits % 8);
        w->bits++;
    }
}
static void put_ue(struct bit_writer *w, uint32_t v)
{
    int n = 0;
    while ((v + 1) >> (n + 1))
        n++;
    put(w, 0, n);
    put(w, v + 1, n + 1);
}
/* Header and emulation prevention. */
static size_t finish_nal(struct bit_writer *w, int type, uint8_t *out)
{
    put(w, 1, 1);
    size_t n = 0, len = (size_t)(w->bits + 7) / 8;
    out[n++] = (uint8_t)(type << 1);
    out[n++] = 1;
    int zeros = 0;
    for (size_t i = 0; i < len; i++) {
        if (zeros >= 2 && w->buf[i] <= 3) {
            out[n++] = 3;
            zeros = 0;
        }
        out[n++] = w->buf[i];
        zeros = w->buf[i] == 0 ? zeros + 1 : 0;
    }
    return n;
}

static size_t rich_sps(uint8_t *out)
{
    struct bit_writer w = {0};
    put(&w, 3, 4); /* VPS 3 */
    put(&w, 2, 3); /* three sub-layers */
    put(&w, 0, 1);
    put(&w, 0, 2);
    put(&w, 1, 1); /* high tier */
    put(&w, 2, 5); /* Main 10 */
    put(&w, 0x20000000, 32);
    put(&w, 0x900000, 24);
    put(&w, 0, 24);
    put(&w, 153, 8);
    put(&w, 3, 2); /* sub-layer 0: profile and level */
    put(&w, 1, 2); /* sub-layer 1: level */
    put(&w, 0, 12);
    for (int i = 0; i < 11; i++)
        put(&w, 0, 8);
    put(&w, 90, 8);
    put(&w, 120, 8);
    put_ue(&w, 5); /* id */
    put_ue(&w, 2); /* 4:2:2 */
    put_ue(&w, 1920);
    put_ue(&w, 1088);
    put(&w, 1, 1);
    put_ue(&w, 1);
    put_ue(&w, 2);
    put_ue(&w, 0);
    put_ue(&w, 8);
    put_ue(&w, 2); /* 10 bits */
    put_ue(&w, 2);
    put_ue(&w, 4);
    put(&w, 1, 1);
    for (int i = 0; i < 3; i++) {
        put_ue(&w, (uint32_t)i + 1);
        put_ue(&w, (uint32_t)i);
        put_ue(&w, 0);
    }
    for (int i = 0; i < 6; i++)
        put_ue(&w, 1);
    put(&w, 3, 2); /* scaling lists: all predicted but one that is written out */
    for (int size = 0; size < 4; size++) {
        for (int m = 0; m < 6; m += size == 3 ? 3 : 1) {
            bool coded = size == 2 && m == 1;
            put(&w, coded, 1);
            if (!coded) {
                put_ue(&w, 0);
                continue;
            }
            for (int i = 0; i < 65; i++)
                put_ue(&w, 5);
        }
    }
    put(&w, 0, 2);
    put(&w, 1, 1); /* pcm */
    put(&w, 0x77, 8);
    put_ue(&w, 0);
    put_ue(&w, 2);
    put(&w, 1, 1);
    put_ue(&w, 2); /* two reference sets, the second predicted from the first */
    put_ue(&w, 2);
    put_ue(&w, 1);
    for (int i = 0; i < 3; i++) {
        put_ue(&w, 0);
        put(&w, 1, 1);
    }
    put(&w, 1, 1);
    put(&w, 1, 1);
    put_ue(&w, 0);
    put(&w, 1, 1);
    put(&w, 1, 2); /* not used, but a delta */
    put(&w, 0, 2); /* neither */
    put(&w, 1, 1);
    put(&w, 1, 1); /* long-term */
    put_ue(&w, 2);
    put(&w, 0, 18);
    put(&w, 3, 2);
    put(&w, 1, 1); /* VUI */
    put(&w, 1, 1);
    put(&w, 255, 8);
    put(&w, 0x00010001, 32);
    put(&w, 1, 1);
    put(&w, 1, 1);
    put(&w, 1, 1);
    put(&w, 5, 3);
    put(&w, 1, 1); /* full range */
    put(&w, 1, 1);
    put(&w, 9, 8);
    put(&w, 16, 8);
    put(&w, 9, 8);
    return finish_nal(&w, NAL_SPS, out);
}

static void sps_with_everything(void **state)
{
    (void)state;
    uint8_t buf[600];
    struct nal n = {buf, rich_sps(buf)};
    struct hevc_sps s;
    assert_true(hevc_parse_sps(&n, &s));
    assert_int_equal(s.id, 5);
    assert_int_equal(s.vps_id, 3);
    assert_int_equal(s.tier, 1);
    assert_int_equal(s.profile_idc, 2);
    assert_int_equal(s.profile_compat_flags, 0x20000000);
    assert_int_equal(s.constraint_flags[0], 0x90);
    assert_int_equal(s.level_idc, 153);
    assert_int_equal(s.width, 1914);
    assert_int_equal(s.height, 1080);
    assert_int_equal(s.bit_depth_luma, 10);
    assert_int_equal(s.max_dec_pic_buffering, 4);
    assert_int_equal(s.max_num_reorder, 2);
    assert_true(s.has_vui_colour && s.full_range);
    assert_int_equal(s.colour_primaries, 9);
    assert_int_equal(s.transfer, 16);
    assert_int_equal(s.matrix, 9);
}

static void sps_malformed(void **state)
{
    (void)state;
    uint8_t buf[600];
    size_t len = rich_sps(buf);
    struct hevc_sps s;
    /* Each truncation that cuts into the colours or before is refused. */
    for (size_t cut = 0; cut < len - 1; cut++) {
        uint8_t *copy = exact_copy(buf, cut);
        struct nal n = {copy, cut};
        if (cut >= 2 || cut == 0)
            assert_false(hevc_parse_sps(&n, &s));
        free(copy);
    }
    /* Each flipped bit is survived, and what is accepted is sane. */
    for (size_t bit = 0; bit < 8 * len; bit++) {
        uint8_t *copy = exact_copy(buf, len);
        copy[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        struct nal n = {copy, len};
        if (hevc_parse_sps(&n, &s)) {
            assert_true(s.width > 0 && s.width <= s.coded_width && s.coded_width <= 16888);
            assert_true(s.height > 0 && s.height <= s.coded_height);
            assert_true(s.id >= 0 && s.id < 16);
        }
        free(copy);
    }
}

static void hvcc(void **state)
{
    (void)state;
    size_t len, clip_len;
    uint8_t *data = read_data("core/aud-98x54.hvcc", &len);
    uint8_t *clip = read_data(CLIP_420, &clip_len);
    struct access_unit *au = access_unit_new(16);
    int size = 0;
    assert_true(hvcc_to_annexb(data, len, au, &size));
    assert_int_equal(size, 4);
    static const int want[] = {NAL_VPS, NAL_SPS, NAL_PPS};
    size_t pos = 0;
    struct nal n;
    for (int i = 0; i < 3; i++) {
        assert_true(annexb_next(au->data, au->len, &pos, &n));
        struct nal ref = find_nal(clip, clip_len, want[i]);
        assert_int_equal(n.len, ref.len);
        assert_memory_equal(n.data, ref.data, n.len);
    }
    assert_false(annexb_next(au->data, au->len, &pos, &n));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = exact_copy(data, cut);
        size_t before = au->len;
        assert_false(hvcc_to_annexb(copy, cut, au, &size));
        assert_int_equal(au->len, before);
        free(copy);
    }
    data[21] = (uint8_t)((data[21] & ~3) | 2); /* a length of 3 bytes is not allowed */
    assert_false(hvcc_to_annexb(data, len, au, &size));
    access_unit_unref(&au);
    free(data);
    free(clip);
}

static void hvcc_samples(void **state)
{
    (void)state;
    static const struct {
        int size;
        const char *data;
        size_t len;
        bool ok;
        const char *want;
        size_t want_len;
    } cases[] = {
        {4, "\0\0\0\2\x40\1\0\0\0\3\x26\1\xaa", 13, true, "\0\0\0\1\x40\1\0\0\0\1\x26\1\xaa", 13},
        {2, "\0\2\x40\1", 4, true, "\0\0\0\1\x40\1", 6},
        {1, "\2\x40\1", 3, true, "\0\0\0\1\x40\1", 6},
        {4, "", 0, true, "", 0},
        {4, "\0\0\0\5\x40\1", 6, false, "", 0},
        {4, "\xff\xff\xff\xff\x40\1", 6, false, "", 0},
        {4, "\0\0\0\2\x40\1\0\0", 8, false, "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct access_unit *au = access_unit_new(1);
        uint8_t *copy = exact_copy(cases[i].data, cases[i].len);
        assert_int_equal(hvcc_sample_to_annexb(copy, cases[i].len, cases[i].size, au), cases[i].ok);
        assert_int_equal(au->len, cases[i].want_len);
        assert_memory_equal(au->data, cases[i].want, au->len);
        free(copy);
        access_unit_unref(&au);
    }
}

/* Types of the NAL units of au, as "32 33 34 20 ". */
static const char *types_of(const struct access_unit *au)
{
    static char text[256];
    size_t pos = 0, at = 0;
    struct nal n;
    text[0] = 0;
    while (annexb_next(au->data, au->len, &pos, &n) && at < sizeof text - 8)
        at += (size_t)sprintf(text + at, "%d ", nal_type(&n));
    return text;
}

static void splits(const char *name, size_t step, const char *const *want, int n_want)
{
    size_t len;
    uint8_t *clip = read_data(name, &len);
    struct au_splitter *s = au_splitter_new(1 << 20);
    int n = 0;
    struct access_unit *au;
    for (size_t at = 0; at <= len; at += step) {
        size_t n_bytes = len - at < step ? len - at : step;
        assert_true(au_splitter_push(s, clip + at, n_bytes));
        if (at + step > len)
            au_splitter_end(s);
        while ((au = au_splitter_pop(s))) {
            assert_true(n < n_want);
            assert_string_equal(types_of(au), want[n]);
            n++;
            access_unit_unref(&au);
        }
    }
    assert_int_equal(n, n_want);
    assert_int_equal(au_splitter_dropped(s), 0);
    au_splitter_free(&s);
    free(clip);
}

static void splitter_on_real_streams(void **state)
{
    (void)state;
    static const char *const want_420[] = {"35 32 33 34 20 ", "35 1 ", "35 1 ",
                                           "35 32 33 34 21 ", "35 1 ", "35 1 "};
    static const char *const want_444[] = {"32 33 34 20 20 20 20 ", "1 1 1 1 ", "1 1 1 1 ",
                                           "1 1 1 1 "};
    static const size_t steps[] = {1, 2, 3, 7, 100, 1000000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        splits(CLIP_420, steps[i], want_420, 6);
        splits(CLIP_444, steps[i], want_444, 4);
    }
}

static void splitter_gives_at_once(void **state)
{
    (void)state;
    static const uint8_t first[] = "\0\0\0\1\x26\1\x80\xaa\xbb", second[] = "\0\0\0\1\2\1\x80";
    struct au_splitter *s = au_splitter_new(1000);
    assert_true(au_splitter_push(s, first, sizeof first - 1));
    assert_null(au_splitter_pop(s));
    /* The header of the next picture is enough; its end is not waited for. */
    assert_true(au_splitter_push(s, second, sizeof second - 1));
    struct access_unit *au = au_splitter_pop(s);
    assert_non_null(au);
    assert_string_equal(types_of(au), "19 ");
    access_unit_unref(&au);
    au_splitter_free(&s);
}

static void splitter_is_bounded(void **state)
{
    (void)state;
    struct au_splitter *s = au_splitter_new(10000);
    uint8_t big[3000];
    memset(big, 0x55, sizeof big);
    static const uint8_t idr[] = "\0\0\0\1\x26\1\x80\xaa", trail[] = "\0\0\0\1\2\1\x80\xaa";
    static const uint8_t zeros[3000];
    assert_true(au_splitter_push(s, idr, sizeof idr - 1));
    assert_true(au_splitter_push(s, trail, sizeof trail - 1));
    for (int i = 0; i < 10; i++) /* the second picture grows to 30 kB */
        assert_true(au_splitter_push(s, big, sizeof big));
    assert_true(au_splitter_push(s, trail, sizeof trail - 1));
    for (int i = 0; i < 100; i++) /* trailing zeros don't count as a picture */
        assert_true(au_splitter_push(s, zeros, sizeof zeros));
    assert_true(au_splitter_push(s, trail, sizeof trail - 1));
    au_splitter_end(s);
    static const bool after_loss[] = {false, true, false};
    for (int i = 0; i < 3; i++) {
        struct access_unit *au = au_splitter_pop(s);
        assert_non_null(au);
        assert_int_equal(au->len, 8);
        assert_int_equal(au->after_loss, after_loss[i]);
        access_unit_unref(&au);
    }
    assert_null(au_splitter_pop(s));
    assert_int_equal(au_splitter_dropped(s), 1);
    au_splitter_free(&s);
}

static struct access_unit *nth_au(const char *name, int nth)
{
    size_t len;
    uint8_t *clip = read_data(name, &len);
    struct au_splitter *s = au_splitter_new(1 << 20);
    assert_true(au_splitter_push(s, clip, len));
    au_splitter_end(s);
    struct access_unit *au = NULL;
    for (int i = 0; i <= nth; i++) {
        access_unit_unref(&au);
        au = au_splitter_pop(s);
        assert_non_null(au);
    }
    au_splitter_free(&s);
    free(clip);
    return au;
}

/* au with only the NAL units of one type, in the order of `types`. */
static struct access_unit *pick(const struct access_unit *au, const int *types, int n)
{
    struct access_unit *out = access_unit_new(au->len);
    for (int i = 0; i < n; i++) {
        struct nal nal = find_nal(au->data, au->len, types[i]);
        assert_true(au_append_nal(out, nal.data, nal.len));
    }
    return out;
}

static void param_sets_complete_an_irap(void **state)
{
    (void)state;
    static const struct {
        int n, types[6];
        const char *want;
        bool irap;
    } cases[] = {
        {4, {32, 33, 34, 20}, "32 33 34 20 ", true},
        {5, {35, 32, 33, 34, 20}, "32 33 34 20 ", true}, /* AUD goes */
        {1, {20}, "32 33 34 20 ", true},
        {2, {33, 20}, "32 33 34 20 ", true},
        {4, {34, 33, 32, 20}, "32 33 34 20 ", true},     /* wrong order */
        {4, {20, 32, 33, 34}, "32 33 34 20 ", true},     /* too late */
        {3, {32, 33, 34}, "32 33 34 ", false},           /* no picture */
    };
    struct access_unit *idr = nth_au(CLIP_420, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct param_sets *p = param_sets_new();
        param_sets_learn(p, idr);
        struct access_unit *au = pick(idr, cases[i].types, cases[i].n);
        assert_true(param_sets_complete(p, au));
        assert_string_equal(types_of(au), cases[i].want);
        assert_int_equal(au->irap, cases[i].irap);
        assert_int_equal(au->width, 98);
        assert_int_equal(au->height, 54);
        access_unit_unref(&au);
        param_sets_free(&p);
        assert_null(p);
    }
    /* Without any parameter sets an IRAP picture is of no use, and says so. */
    struct param_sets *p = param_sets_new();
    struct access_unit *au = pick(idr, (const int[]){20}, 1);
    assert_true(param_sets_complete(p, au));
    assert_false(au->irap);
    assert_null(param_sets_sps(p));
    assert_string_equal(types_of(au), "20 ");
    access_unit_unref(&au);
    access_unit_unref(&idr);

    struct access_unit *trail = nth_au(CLIP_420, 1);
    assert_true(param_sets_complete(p, trail));
    assert_string_equal(types_of(trail), "1 ");
    assert_false(trail->irap);
    access_unit_unref(&trail);
    param_sets_free(&p);
}

static void param_sets_follow_a_new_sps(void **state)
{
    (void)state;
    struct param_sets *p = param_sets_new();
    struct access_unit *a = nth_au(CLIP_420, 0), *b = nth_au(CLIP_444, 0);
    assert_true(param_sets_complete(p, a));
    assert_int_equal(param_sets_sps(p)->width, 98);
    size_t len = b->len;
    assert_true(param_sets_complete(p, b));
    assert_int_equal(b->len, len); /* nothing to change: not rewritten */
    assert_true(b->irap);
    assert_int_equal(b->width, 128);
    assert_int_equal(b->height, 256);
    struct access_unit *bare = pick(b, (const int[]){20}, 1);
    assert_true(param_sets_complete(p, bare));
    assert_string_equal(types_of(bare), "32 33 34 20 ");
    struct nal n = find_nal(bare->data, bare->len, NAL_SPS), ref = find_nal(b->data, len, NAL_SPS);
    assert_int_equal(n.len, ref.len);
    assert_memory_equal(n.data, ref.data, n.len);
    access_unit_unref(&bare);
    access_unit_unref(&a);
    access_unit_unref(&b);
    param_sets_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annexb_walks_all_start_codes),
        cmocka_unit_test(annexb_search_equals_its_definition),
        cmocka_unit_test(sps_of_x265),
        cmocka_unit_test(sps_with_everything),
        cmocka_unit_test(sps_malformed),
        cmocka_unit_test(hvcc),
        cmocka_unit_test(hvcc_samples),
        cmocka_unit_test(splitter_on_real_streams),
        cmocka_unit_test(splitter_gives_at_once),
        cmocka_unit_test(splitter_is_bounded),
        cmocka_unit_test(param_sets_complete_an_irap),
        cmocka_unit_test(param_sets_follow_a_new_sps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
