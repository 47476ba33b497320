/* The decoder: equal to FFmpeg's own output, a picture for each access unit at once, and nothing
 * after a loss until it can be whole. */
#include "base/error.h"
#include "clip.h"
#include "decode/decoder.h"

#include <libavutil/md5.h>
#include <libavutil/mem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `ffmpeg -i CLIP -f rawvideo - | md5sum` */
static const struct {
    const char *name, *md5;
    int n, width, height;
    enum pix_fmt fmt;
    bool full_range, bt601;
} clips[] = {
    {"plain.hevc", "d5fcb0f51b4fd2118f0047333a39a0ee", 30, 198, 106, PIX_I420, false, false},
    {"keys.hevc", "120021ad7303a05518ea55230866192f", 30, 128, 96, PIX_I420, false, false},
    {"i444.hevc", "dc2da5c2b355193f00ccf626af2663f4", 10, 100, 60, PIX_I444, false, false},
    {"full601.hevc", "191b6b8a5fcd1b2a1a25849a6491b34a", 2, 128, 64, PIX_I420, true, true},
};

static struct decoder *open_cpu(void)
{
    struct decoder *d;
    assert_int_equal(decoder_open(&d, "cpu"), 0);
    return d;
}

static void frame_md5(const struct picture *pic, char hex[33])
{
    struct AVMD5 *md5 = av_md5_alloc();
    av_md5_init(md5);
    picture_md5_update(md5, pic);
    md5_hex(md5, hex);
    av_free(md5);
}

static void equals_ffmpeg(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof clips / sizeof clips[0]; k++) {
        struct clip c;
        clip_load(&c, clips[k].name, 30);
        assert_int_equal(c.n, clips[k].n);
        struct decoder *d = open_cpu();
        struct AVMD5 *md5 = av_md5_alloc();
        av_md5_init(md5);
        for (int i = 0; i < c.n; i++) {
            struct picture *pic;
            c.au[i]->capture_ntp = 77 + (uint64_t)i;
            assert_int_equal(decoder_decode(d, c.au[i], &pic), 0);
            assert_non_null(pic); /* one in, one out */
            assert_int_equal(pic->width, clips[k].width);
            assert_int_equal(pic->height, clips[k].height);
            assert_int_equal(pic->fmt, clips[k].fmt);
            assert_int_equal(pic->full_range, clips[k].full_range);
            assert_int_equal(pic->bt601, clips[k].bt601);
            assert_int_equal(pic->capture_ntp, 77 + i);
            assert_int_equal(pic->pts_us, c.au[i]->pts_us);
            assert_int_equal(pic->complete_us, c.au[i]->complete_us);
            assert_true(pic->ready_us >= pic->decode_start_us && pic->decode_start_us > 0);
            assert_true(damage_is_all(&pic->damage, pic->width, pic->height));
            picture_md5_update(md5, pic);
            picture_unref(&pic);
        }
        char hex[33];
        md5_hex(md5, hex);
        assert_string_equal(hex, clips[k].md5);
        av_free(md5);
        decoder_close(&d);
        clip_free(&c);
    }
}

/* Main 10 is shown as 8 bits: near what a plain shift gives. */
static void ten_bits(void **state)
{
    (void)state;
    struct clip c;
    clip_load(&c, "main10.hevc", 5);
    struct decoder *d = open_cpu();
    struct picture *pic;
    assert_int_equal(decoder_decode(d, c.au[0], &pic), 0);
    assert_non_null(pic);
    assert_int_equal(pic->fmt, PIX_I420);
    assert_false(pic->full_range);
    int low = 255, high = 0;
    for (int i = 0; i < 64 * 64; i++) {
        int v = pic->plane[0][i / 64 * pic->stride[0] + i % 64];
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    assert_in_range(low, 10, 60);
    assert_in_range(high, 180, 245);
    picture_unref(&pic);
    decoder_close(&d);
    clip_free(&c);
}

/* Another size in the same stream; pictures outlive the decoder. */
static void size_change(void **state)
{
    (void)state;
    struct clip a, b;
    clip_load(&a, "plain.hevc", 30);
    clip_load(&b, "big.hevc", 30);
    struct decoder *d = open_cpu();
    struct picture *first, *second;
    assert_int_equal(decoder_decode(d, a.au[0], &first), 0);
    assert_int_equal(decoder_decode(d, b.au[0], &second), 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(second->width, 160);
    assert_int_equal(second->height, 120);
    char before[33], after[33];
    frame_md5(first, before);
    decoder_close(&d);
    frame_md5(first, after);
    assert_string_equal(before, after);
    picture_unref(&first);
    picture_unref(&second);
    clip_free(&a);
    clip_free(&b);
}

/* Drops access unit `lost` of keys.hevc (a key frame each 10): whatever is shown must be exactly
 * what is shown without the loss, and all is shown again from the next key frame on. */
static void loss(void **state)
{
    (void)state;
    struct clip c;
    clip_load(&c, "keys.hevc", 30);
    char good[CLIP_MAX][33];
    struct decoder *d = open_cpu();
    struct picture *pic;
    for (int i = 0; i < c.n; i++) {
        assert_int_equal(decoder_decode(d, c.au[i], &pic), 0);
        frame_md5(pic, good[i]);
        picture_unref(&pic);
    }
    decoder_close(&d);
    for (int lost = 0; lost < 12; lost++) {
        d = open_cpu();
        int next_key = lost < 10 ? 10 : 20;
        for (int i = 0; i < c.n; i++) {
            if (i == lost)
                continue;
            int r = decoder_decode(d, c.au[i], &pic);
            if (i > lost && i < next_key) {
                assert_int_equal(r, ERR_PROTOCOL);
                assert_null(pic);
                assert_true(error_text()[0] != 0);
                continue;
            }
            assert_int_equal(r, 0);
            char hex[33];
            frame_md5(pic, hex);
            assert_string_equal(hex, good[i]);
            picture_unref(&pic);
        }
        decoder_close(&d);
    }
    clip_free(&c);
}

/* A slice cut short or with garbage in it (SRTP keeps both from happening): never a crash, an
 * error or a picture, and whole pictures again from the next key frame. */
static void damaged(void **state)
{
    (void)state;
    struct clip c;
    clip_load(&c, "keys.hevc", 30);
    srand(1);
    int errors = 0;
    for (int round = 0; round < 40; round++) {
        struct decoder *d = open_cpu();
        struct picture *pic;
        int bad = round % 10;
        for (int i = 0; i <= 10; i++) {
            struct access_unit *au = access_unit_new(c.au[i]->len);
            access_unit_append(au, c.au[i]->data, c.au[i]->len);
            if (i == bad && round < 20)
                au->len = au->len / 2 + (size_t)(rand() % 16);
            else if (i == bad)
                for (int k = 0; k < 8; k++)
                    au->data[6 + (size_t)rand() % (au->len - 6)] ^= (uint8_t)(1 + rand() % 255);
            int r = decoder_decode(d, au, &pic);
            assert_true(r == 0 || r == ERR_PROTOCOL);
            errors += r == ERR_PROTOCOL;
            if (r)
                assert_null(pic);
            if (i == 10) {
                assert_int_equal(r, 0);
                assert_non_null(pic);
            }
            picture_unref(&pic);
            access_unit_unref(&au);
        }
        decoder_close(&d);
    }
    assert_true(errors > 0);
    clip_free(&c);
}

static void garbage(void **state)
{
    (void)state;
    struct decoder *d = open_cpu();
    struct picture *pic;
    srand(2);
    for (int i = 0; i < 200; i++) {
        struct access_unit *au = access_unit_new(512);
        int n = rand() % 300;
        for (int k = 0; k < n; k++) {
            uint8_t byte = (uint8_t)rand();
            if (k % 50 < 4)
                byte = k % 50 == 3;
            access_unit_append(au, &byte, 1);
        }
        assert_int_equal(decoder_decode(d, au, &pic), ERR_PROTOCOL);
        assert_null(pic);
        access_unit_unref(&au);
    }
    decoder_close(&d);
}

/* The table names each decoder, and one that does not work says why. */
static void table(void **state)
{
    (void)state;
    int n = 0;
    for (; decoder_table[n]; n++) {
        char reason[160] = "";
        bool works = decoder_table[n]->probe(reason, sizeof reason);
        assert_true(works == (reason[0] == 0));
        struct decoder *d = NULL;
        if (!works) {
            assert_int_equal(decoder_open(&d, decoder_table[n]->name), ERR_UNSUPPORTED);
            assert_non_null(strstr(error_text(), reason));
            assert_null(d);
        }
    }
    assert_int_equal(n, 3);
    struct decoder *d;
    assert_int_equal(decoder_open(&d, "abacus"), ERR_NOT_FOUND);
    assert_int_equal(decoder_open(&d, NULL), 0);
    decoder_close(&d);
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_ffmpeg), cmocka_unit_test(ten_bits), cmocka_unit_test(size_change),
        cmocka_unit_test(loss),          cmocka_unit_test(damaged),  cmocka_unit_test(garbage),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
