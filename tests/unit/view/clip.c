#include "clip.h"

#include "base/clock.h"

#include <libavutil/md5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t *next_start(const uint8_t *p, const uint8_t *end)
{
    while (p + 3 <= end && !(p[0] == 0 && p[1] == 0 && p[2] == 1))
        p++;
    return p + 3 <= end ? p : end;
}

void clip_load(struct clip *c, const char *name, int fps)
{
    static uint8_t data[1 << 20];
    const char *dir = getenv("HEVCAST_TEST_DATA");
    char path[512];
    snprintf(path, sizeof path, "%s/view/%s", dir ? dir : "tests/data", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(data, 1, sizeof data, f);
    fclose(f);
    c->n = 0;
    const uint8_t *end = data + len;
    struct access_unit *au = NULL;
    bool has_slice = false;
    for (const uint8_t *p = next_start(data, end); p < end;) {
        const uint8_t *next = next_start(p + 3, end);
        int type = p[3] >> 1 & 0x3f;
        bool first_slice = type < 32 && (p[5] & 0x80);
        if (!au || (has_slice && (first_slice || (type >= 32 && type <= 39)))) {
            assert_true(c->n < CLIP_MAX);
            au = c->au[c->n] = access_unit_new(4096);
            au->pts_us = (int64_t)c->n * 1000000 / fps;
            au->rtp_ts = 0xfffffff0u + (uint32_t)(c->n * 90000 / fps);
            au->pic_id = (uint64_t)c->n + 1;
            au->first_packet_us = au->complete_us = clock_now_us();
            c->n++;
            has_slice = false;
        }
        has_slice |= type < 32;
        au->irap |= type >= 16 && type <= 23;
        static const uint8_t zero;
        access_unit_append(au, &zero, 1);
        const uint8_t *tail = next;
        while (tail > p + 3 && tail[-1] == 0)
            tail--;
        access_unit_append(au, p, (size_t)(tail - p));
        p = next;
    }
}

void clip_free(struct clip *c)
{
    for (int i = 0; i < c->n; i++)
        access_unit_unref(&c->au[i]);
    c->n = 0;
}

void picture_md5_update(struct AVMD5 *md5, const struct picture *pic)
{
    for (int i = 0; i < picture_planes(pic->fmt); i++)
        for (int y = 0; y < picture_rows(pic->fmt, pic->height, i); y++)
            av_md5_update(md5, pic->plane[i] + (size_t)y * (size_t)pic->stride[i],
                          (size_t)picture_row_bytes(pic->fmt, pic->width, i));
}

void md5_hex(struct AVMD5 *md5, char hex[33])
{
    uint8_t sum[16];
    av_md5_final(md5, sum);
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}
