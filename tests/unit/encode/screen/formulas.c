#include "formulas.h"

#include "encode/screen/kernels.h"

#include <math.h>
#include <stdlib.h>

static int clip3(int low, int high, int v)
{
    return v < low ? low : v > high ? high : v;
}

/* ------------------------------------------------------------------ availability */

unsigned formula_z_address(const struct geometry *g, int x, int y)
{
    unsigned ctb = (unsigned)((y / 64) * ((g->cw + 63) / 64) + x / 64), at = ctb * 256;
    for (unsigned i = 0; i < 4; i++) {
        unsigned m = 1u << i;
        at += (m & (unsigned)(x / 4) ? m * m : 0) + (m & (unsigned)(y / 4) ? 2 * m * m : 0);
    }
    return at;
}

bool formula_available(const struct geometry *g, int x, int y, int xn, int yn)
{
    if (xn < 0 || yn < 0 || xn >= g->cw || yn >= g->ch)
        return false;
    return formula_z_address(g, xn, yn) <= formula_z_address(g, x, y);
}

/* ------------------------------------------------------------------ intra */

void formula_substitute(struct border *b, int n)
{
    int found = -1;
    for (int y = 2 * n - 1; y >= -1 && found < 0; y--)
        if (b->left_there[y + 1])
            found = b->left[y + 1];
    for (int x = 0; x < 2 * n && found < 0; x++)
        if (b->top_there[x + 1])
            found = b->top[x + 1];
    if (found < 0)
        found = 128; /* 1 << (bitDepth - 1), for all */
    if (!b->left_there[2 * n])
        b->left[2 * n] = found;
    for (int y = 2 * n - 2; y >= -1; y--)
        if (!b->left_there[y + 1])
            b->left[y + 1] = b->left[y + 2];
    b->top[0] = b->left[0];
    for (int x = 0; x < 2 * n; x++)
        if (!b->top_there[x + 1])
            b->top[x + 1] = b->top[x];
}

static bool is_filtered(int n, int mode)
{
    int v = abs(mode - 26), h = abs(mode - 10), least = v < h ? v : h;
    if (mode == 1 || n == 4)
        return false;
    return least > (n == 8 ? 7 : n == 16 ? 1 : 0); /* intraHorVerDistThres */
}

static void filter(struct border *to, const struct border *b, int n)
{
    to->left[0] = to->top[0] = (b->left[1] + 2 * b->left[0] + b->top[1] + 2) >> 2;
    for (int i = 1; i < 2 * n; i++) {
        to->left[i] = (b->left[i + 1] + 2 * b->left[i] + b->left[i - 1] + 2) >> 2;
        to->top[i] = (b->top[i - 1] + 2 * b->top[i] + b->top[i + 1] + 2) >> 2;
    }
    to->left[2 * n] = b->left[2 * n];
    to->top[2 * n] = b->top[2 * n];
}

static int log2_of(int n)
{
    int l = 0;
    while (1 << l < n)
        l++;
    return l;
}

static int dc_sample(const struct border *b, int n, int x, int y, bool edge)
{
    int dc = n;
    for (int i = 0; i < n; i++)
        dc += b->top[i + 1] + b->left[i + 1];
    dc >>= log2_of(n) + 1;
    if (!edge || (x && y))
        return dc;
    if (!x && !y)
        return (b->left[1] + 2 * dc + b->top[1] + 2) >> 2;
    return ((y ? b->left[y + 1] : b->top[x + 1]) + 3 * dc + 2) >> 2;
}

/* Table 8-5. */
static int angle_of(int mode)
{
    static const int a[9] = {0, 2, 5, 9, 13, 17, 21, 26, 32};
    int k = mode >= 18 ? mode - 26 : 10 - mode;
    return k < 0 ? -a[-k] : a[k];
}

/* One sample by 8.4.4.2.6; modes below 18 are the same with left and above, x and y swapped. */
static int angular_sample(const struct border *b, int n, int mode, int x, int y, bool edge)
{
    bool upright = mode >= 18;
    const int *ahead = upright ? b->top : b->left, *side = upright ? b->left : b->top;
    int along = upright ? x : y, away = upright ? y : x, angle = angle_of(mode);
    if (angle == 0 && edge && along == 0)
        return clip3(0, 255, ahead[1] + ((side[away + 1] - side[0]) >> 1));
    int idx = ((away + 1) * angle) >> 5, fact = ((away + 1) * angle) & 31, r[2];
    for (int i = 0; i < 2; i++) {
        int at = along + idx + 1 + i; /* ref[at] */
        /* Table 8-6: 8192 / angle, rounded. */
        r[i] = at >= 0 ? ahead[at <= 2 * n ? at : 2 * n]
                       : side[(at * (int)lround(8192. / angle) + 128) >> 8];
    }
    return fact ? ((32 - fact) * r[0] + fact * r[1] + 16) >> 5 : r[0];
}

void formula_intra(uint8_t *out, int n, int mode, int plane, bool chroma444, const struct border *b)
{
    struct border smooth;
    bool edge = plane == 0 && n < 32;
    if (is_filtered(n, mode) && (plane == 0 || chroma444)) {
        filter(&smooth, b, n);
        b = &smooth;
    }
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            int v;
            if (mode == 0)
                v = ((n - 1 - x) * b->left[y + 1] + (x + 1) * b->top[n + 1] +
                     (n - 1 - y) * b->top[x + 1] + (y + 1) * b->left[n + 1] + n) >>
                    (log2_of(n) + 1);
            else if (mode == 1)
                v = dc_sample(b, n, x, y, edge);
            else
                v = angular_sample(b, n, mode, x, y, edge);
            out[y * n + x] = (uint8_t)v;
        }
}

void formula_intra_at(uint8_t *out, const struct geometry *g, const struct frame *f, int plane,
                      int x, int y, int n, int mode)
{
    struct border b = {0};
    int m = plane ? 1 << g->cshift : 1;
    for (int i = -1; i < 2 * n; i++) {
        b.left_there[i + 1] = formula_available(g, x * m, y * m, (x - 1) * m, (y + i) * m);
        b.top_there[i + 1] = formula_available(g, x * m, y * m, (x + i) * m, (y - 1) * m);
        if (b.left_there[i + 1])
            b.left[i + 1] = *frame_at(f, plane, x - 1, y + i);
        if (b.top_there[i + 1])
            b.top[i + 1] = *frame_at(f, plane, x + i, y - 1);
    }
    formula_substitute(&b, n);
    formula_intra(out, n, mode, plane, g->cshift == 0, &b);
}

/* ------------------------------------------------------------------ residual */

int formula_qp(const struct geometry *g, int plane, int qp_y, int offset)
{
    static const int table[13] = {29, 30, 31, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37}; /* from 30 */
    int q = clip3(0, 57, qp_y + offset);
    if (plane == 0)
        return qp_y;
    if (g->cshift == 0)
        return q < 51 ? q : 51;
    return q < 30 ? q : q >= 43 ? q - 6 : table[q - 30];
}

static int matrix(int n, bool dst, int k, int i)
{
    static const int dst_matrix[4][4] = {
        {29, 55, 74, 84}, {74, 74, 0, -74}, {84, -29, -74, 55}, {55, -84, 74, -29}};
    return dst ? dst_matrix[k][i] : kernels_dct[k * 32 / n][i];
}

void formula_inverse(const int16_t *coef, int16_t *res, int n, bool dst)
{
    static int64_t g[32 * 32];
    for (int x = 0; x < n; x++)
        for (int y = 0; y < n; y++) {
            int64_t e = 0;
            for (int k = 0; k < n; k++)
                e += (int64_t)matrix(n, dst, k, y) * coef[k * n + x];
            e = (e + 64) >> 7;
            g[y * n + x] = e < -32768 ? -32768 : e > 32767 ? 32767 : e;
        }
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            int64_t r = 0;
            for (int k = 0; k < n; k++)
                r += (int64_t)matrix(n, dst, k, x) * g[y * n + k];
            res[y * n + x] = (int16_t)((r + 2048) >> 12);
        }
}

void formula_residual(const int16_t *level, int16_t *res, int log2, int qp, bool skip, bool dst)
{
    static const int scale[6] = {40, 45, 51, 57, 64, 72};
    int16_t d[32 * 32];
    int n = 1 << log2, shift = 8 + log2 - 5;
    for (int i = 0; i < n * n; i++) { /* equation 8-309 */
        int64_t v = (int64_t)level[i] * 16 * scale[qp % 6] * (1 << (qp / 6));
        v = (v + (1 << (shift - 1))) >> shift;
        d[i] = (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
    }
    if (!skip) {
        formula_inverse(d, res, n, dst);
        return;
    }
    for (int i = 0; i < n * n; i++)
        res[i] = (int16_t)((((int64_t)d[i] * 128) + 2048) >> 12);
}

/* ------------------------------------------------------------------ inter */

/* Tables 8-11 and 8-12; luma at quarters, chroma at eighths. */
static int tap(bool chroma, int frac, int i)
{
    static const int luma[4][8] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                   {-1, 4, -10, 58, 17, -5, 1, 0},
                                   {-1, 4, -11, 40, 40, -11, 4, -1},
                                   {0, 1, -5, 17, 58, -10, 4, -1}};
    static const int four[5][4] = {
        {0, 64, 0, 0}, {-2, 58, 10, -2}, {-4, 54, 16, -2}, {-6, 46, 28, -4}, {-4, 36, 36, -4}};
    if (!chroma)
        return luma[frac][i];
    return frac <= 4 ? four[frac][i] : four[8 - frac][3 - i];
}

int formula_inter(const struct geometry *g, const struct frame *ref, int plane, int x, int y,
                  int mvx, int mvy)
{
    bool chroma = plane > 0;
    int s = chroma ? g->cshift : 0, w = g->cw >> s, h = g->ch >> s;
    /* mvCLX is in units of 1/(4 · SubWidthC); of 4:4:4 in quarters, taken as eighths (8-228). */
    int unit = chroma ? 8 : 4, mx = mvx, my = mvy, taps = chroma ? 4 : 8, before = chroma ? 1 : 3;
    if (chroma && s == 0) {
        mx *= 2;
        my *= 2;
    }
    int xi = x + (mx >= 0 ? mx / unit : -((-mx + unit - 1) / unit)), xf = mx & (unit - 1);
    int yi = y + (my >= 0 ? my / unit : -((-my + unit - 1) / unit)), yf = my & (unit - 1);
    /* shift1 is 0 and shift2 is 6 (8-bit samples). A whole position stands for 64 times the sample,
     * so that one filter alone, or none, comes to the same. */
    int fine = 0;
    for (int j = 0; j < taps; j++) {
        int row = 0;
        for (int i = 0; i < taps; i++)
            row += tap(chroma, xf, i) * *frame_at(ref, plane, clip3(0, w - 1, xi + i - before),
                                                  clip3(0, h - 1, yi + j - before));
        fine += tap(chroma, yf, j) * row;
    }
    fine >>= 6;
    return clip3(0, 255, (fine + 32) >> 6); /* 8.5.3.3.4.2 */
}
