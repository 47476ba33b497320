/* Planes of YUV to RGB, for the window and for --pix-fmt bgr24 and rgb24. libyuv does this fast,
 * but its weights end at 2: in BT.709 blue needs 2.11, so that a pure blue came out as 243. */
#include "base/error.h"
#include "convert/convert.h"

#include <libyuv.h>
#include <math.h>
#include <stdlib.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Products are kept in 1/32: the largest sum, 279 + 270, stays within 16 bits. */
enum { SUM_BITS = 5 };

struct weights {
    int16_t y;      /* in 1/8192, of (y - y0) * 128 */
    int16_t gu, gv; /* in 1/4096, of (u - 128) * 256: subtracted from green */
    int16_t b, r;   /* of u in blue, of v in red */
    int16_t y0;
};

typedef void row_fn(const uint8_t *y, const uint8_t *u, const uint8_t *v, uint8_t *dst, int n,
                    const struct weights *w);

/* ITU-R BT.709-6 items 3.2 and 3.4, and BT.601-7; chroma spans 224 steps, or 255 in full range. */
static struct weights weights_of(const struct picture *in)
{
    double kr = in->bt601 ? 0.299 : 0.2126, kb = in->bt601 ? 0.114 : 0.0722, kg = 1 - kr - kb;
    double ys = in->full_range ? 1 : 255.0 / 219, cs = in->full_range ? 1 : 255.0 / 224;
    return (struct weights){
        .y = (int16_t)lrint(ys * 8192),
        .gu = (int16_t)lrint(2 * (1 - kb) * kb / kg * cs * 4096),
        .gv = (int16_t)lrint(2 * (1 - kr) * kr / kg * cs * 4096),
        .b = (int16_t)lrint(2 * (1 - kb) * cs * 4096),
        .r = (int16_t)lrint(2 * (1 - kr) * cs * 4096),
        .y0 = in->full_range ? 0 : 16,
    };
}

/* What pmulhrsw does. */
static int mul(int a, int b)
{
    return (a * b + 0x4000) >> 15;
}
static uint8_t clamp(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void row_plain(const uint8_t *y, const uint8_t *u, const uint8_t *v, uint8_t *dst, int n,
                      const struct weights *w)
{
    for (int i = 0; i < n; i++) {
        int luma = mul((y[i] - w->y0) * 128, w->y) + (1 << (SUM_BITS - 1));
        int cu = (u[i] - 128) * 256, cv = (v[i] - 128) * 256;
        dst[4 * i] = clamp((luma + mul(cu, w->b)) >> SUM_BITS);
        dst[4 * i + 1] = clamp((luma - mul(cu, w->gu) - mul(cv, w->gv)) >> SUM_BITS);
        dst[4 * i + 2] = clamp((luma + mul(cv, w->r)) >> SUM_BITS);
        dst[4 * i + 3] = 255;
    }
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static __m256i widen(const uint8_t *p, int16_t zero, int shift)
{
    __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
    return _mm256_slli_epi16(_mm256_sub_epi16(x, _mm256_set1_epi16(zero)), shift);
}

/* Bit for bit what row_plain gives. */
__attribute__((target("avx2"))) static void row_avx2(const uint8_t *y, const uint8_t *u,
                                                     const uint8_t *v, uint8_t *dst, int n,
                                                     const struct weights *w)
{
    const __m256i wy = _mm256_set1_epi16(w->y), wb = _mm256_set1_epi16(w->b);
    const __m256i wr = _mm256_set1_epi16(w->r), wgu = _mm256_set1_epi16(w->gu);
    const __m256i wgv = _mm256_set1_epi16(w->gv), half = _mm256_set1_epi16(1 << (SUM_BITS - 1));
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i luma = _mm256_mulhrs_epi16(widen(y + i, w->y0, 7), wy);
        __m256i cu = widen(u + i, 128, 8), cv = widen(v + i, 128, 8);
        luma = _mm256_add_epi16(luma, half);
        __m256i b = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(cu, wb));
        __m256i r = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(cv, wr));
        __m256i g = _mm256_sub_epi16(luma, _mm256_mulhrs_epi16(cu, wgu));
        g = _mm256_sub_epi16(g, _mm256_mulhrs_epi16(cv, wgv));
        /* Within each half: b0..b7 r0..r7 and g0..g7 255.., then pairs, then pixels. */
        __m256i br =
            _mm256_packus_epi16(_mm256_srai_epi16(b, SUM_BITS), _mm256_srai_epi16(r, SUM_BITS));
        __m256i ga = _mm256_packus_epi16(_mm256_srai_epi16(g, SUM_BITS), _mm256_set1_epi16(255));
        __m256i bg = _mm256_unpacklo_epi8(br, ga), ra = _mm256_unpackhi_epi8(br, ga);
        __m256i low = _mm256_unpacklo_epi16(bg, ra), high = _mm256_unpackhi_epi16(bg, ra);
        __m256i *to = (__m256i *)(dst + 4 * i);
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
    }
    row_plain(y + i, u + i, v + i, dst + 4 * i, n - i, w);
}
#endif

static row_fn *best_row(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return row_avx2;
#endif
    return row_plain;
}

/* One chroma sample for each pixel of a row: 4:2:0 has one for two. */
static void widen_chroma(const struct picture *in, int row, uint8_t *u, uint8_t *v)
{
    int n = (in->width + 1) / 2;
    if (in->fmt == PIX_NV12) {
        const uint8_t *uv = in->plane[1] + (ptrdiff_t)row * in->stride[1];
        for (int i = 0; i < n; i++) {
            u[2 * i] = u[2 * i + 1] = uv[2 * i];
            v[2 * i] = v[2 * i + 1] = uv[2 * i + 1];
        }
        return;
    }
    const uint8_t *pu = in->plane[1] + (ptrdiff_t)row * in->stride[1];
    const uint8_t *pv = in->plane[2] + (ptrdiff_t)row * in->stride[2];
    for (int i = 0; i < n; i++)
        u[2 * i] = u[2 * i + 1] = pu[i];
    for (int i = 0; i < n; i++)
        v[2 * i] = v[2 * i + 1] = pv[i];
}

int convert_yuv_to_rgb(const struct picture *in, uint8_t *dst, int dst_stride, int bytes_per_pixel,
                       bool red_first)
{
    if (bytes_per_pixel != 3 && bytes_per_pixel != 4)
        return error_set(ERR_INVALID, "a pixel has 3 or 4 bytes, not %d", bytes_per_pixel);
    if (in->fmt != PIX_I420 && in->fmt != PIX_I444 && in->fmt != PIX_NV12)
        return error_set(ERR_UNSUPPORTED, "pixel format %d is not planes of YUV", in->fmt);
    size_t width = (size_t)in->width + 1;
    uint8_t *rows = malloc(width * 6); /* u, v, and a row of pixels; once for a whole picture */
    if (!rows)
        return error_set(ERR_MEMORY, "out of memory");
    uint8_t *u = rows, *v = rows + width, *pixels = rows + 2 * width;
    struct weights w = weights_of(in);
    row_fn *row = best_row();
    /* Red first: U and V trade places, and so do their weights. */
    if (red_first)
        w = (struct weights){w.y, w.gv, w.gu, w.r, w.b, w.y0};
    for (int y = 0; y < in->height; y++) {
        const uint8_t *cu = u, *cv = v;
        if (in->fmt == PIX_I444) {
            cu = in->plane[1] + (ptrdiff_t)y * in->stride[1];
            cv = in->plane[2] + (ptrdiff_t)y * in->stride[2];
        } else if (!(y & 1)) {
            widen_chroma(in, y / 2, u, v);
        }
        uint8_t *to = dst + (ptrdiff_t)y * dst_stride;
        row(in->plane[0] + (ptrdiff_t)y * in->stride[0], red_first ? cv : cu, red_first ? cu : cv,
            bytes_per_pixel == 4 ? to : pixels, in->width, &w);
        if (bytes_per_pixel == 3)
            ARGBToRGB24(pixels, 0, to, 0, in->width, 1);
    }
    free(rows);
    return 0;
}
