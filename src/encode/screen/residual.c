#include "encode/screen/residual.h"

#include <string.h>

/* 6.5.3 to 6.5.5: position in scan order → y << 2 | x, of a 4x4 block. */
static const uint8_t scan4[3][16] = {
    {0, 4, 1, 8, 5, 2, 12, 9, 6, 3, 13, 10, 7, 14, 11, 15},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15},
};
/* The sub-blocks of a block: y << 3 | x. */
static const uint8_t scan_sub2[3][4] = {{0, 8, 1, 9}, {0, 1, 8, 9}, {0, 8, 1, 9}};
static const uint8_t scan_sub8[64] = {
    0,  8,  1,  16, 9,  2,  24, 17, 10, 3,  32, 25, 18, 11, 4,  40, 33, 26, 19, 12, 5,  48,
    41, 34, 27, 20, 13, 6,  56, 49, 42, 35, 28, 21, 14, 7,  57, 50, 43, 36, 29, 22, 15, 58,
    51, 44, 37, 30, 23, 59, 52, 45, 38, 31, 60, 53, 46, 39, 61, 54, 47, 62, 55, 63};
static const uint8_t scan_sub4[16] = {0, 8, 1, 16, 9, 2, 24, 17, 10, 3, 25, 18, 11, 26, 19, 27};

static const uint8_t *sub_scan(int size_log2, enum scan scan)
{
    static const uint8_t one[1] = {0};
    switch (size_log2) {
    case 2: return one;
    case 3: return scan_sub2[scan];
    case 4: return scan_sub4;
    default: return scan_sub8;
    }
}

enum scan residual_scan(int intra_mode, int size_log2, bool chroma, bool chroma444)
{
    if (size_log2 > 3 || (size_log2 == 3 && chroma && !chroma444))
        return SCAN_DIAGONAL;
    if (intra_mode >= 6 && intra_mode <= 14)
        return SCAN_VERTICAL;
    return intra_mode >= 22 && intra_mode <= 30 ? SCAN_HORIZONTAL : SCAN_DIAGONAL;
}

/* Positions of a 4x4 block by rows → in scan order, for its upper and its lower half: bits move. */
static uint16_t to_scan[3][2][256];

/* sigCtx within a sub-block for each prevCsbf (9.3.4.2.5), and of 4x4 blocks, by y << 2 | x. */
static const uint8_t sig_pattern[5][16] = {
    {2, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
    {2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {2, 1, 0, 0, 2, 1, 0, 0, 2, 1, 0, 0, 2, 1, 0, 0},
    {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2},
    {0, 1, 4, 5, 2, 3, 4, 5, 6, 6, 8, 8, 7, 7, 8, 8},
};
enum { SIG_4X4 = 4 };
static uint8_t sig_scan[3][5][16]; /* the same in scan order */

/* Before main, since several encoders may open at once. */
__attribute__((constructor)) static void make_tables(void)
{
    for (int scan = 0; scan < 3; scan++)
        for (int i = 0; i < 16; i++) {
            int at = scan4[scan][i];
            for (int v = 0; v < 256; v++)
                if (v >> (at & 7) & 1)
                    to_scan[scan][at >> 3][v] |= (uint16_t)(1 << i);
            for (int k = 0; k < 5; k++)
                sig_scan[scan][k][i] = sig_pattern[k][at];
        }
}

CABAC_INLINE void write_last_prefix(struct cabac_run *r, int ctx, int prefix, int most, int shift)
{
    for (int i = 0; i < prefix; i++)
        run_bin(r, ctx + (i >> shift), 1);
    if (prefix < most)
        run_bin(r, ctx + (prefix >> shift), 0);
}

/* Table of 9.3.3.? for last_sig_coeff: prefix of each position; the suffix counts from its first */
static int last_prefix(int pos)
{
    if (pos < 4)
        return pos;
    int log2 = 31 - __builtin_clz((unsigned)pos);
    return 2 * log2 + (pos >> (log2 - 1) & 1);
}

CABAC_INLINE void write_last_suffix(struct cabac_run *r, int pos, int prefix)
{
    if (prefix > 3) {
        int n = (prefix >> 1) - 1;
        run_bypass(r, (uint32_t)pos & ((1u << n) - 1), n);
    }
}

CABAC_INLINE void write_last(struct cabac_run *r, int x, int y, int size_log2, bool chroma,
                             enum scan scan)
{
    if (scan == SCAN_VERTICAL) {
        int t = x;
        x = y;
        y = t;
    }
    int offset = chroma ? 15 : 3 * (size_log2 - 2) + ((size_log2 - 1) >> 2);
    int shift = chroma ? size_log2 - 2 : (size_log2 + 1) >> 2;
    int px = last_prefix(x), py = last_prefix(y), most = 2 * size_log2 - 1;
    write_last_prefix(r, CTX_LAST_X + offset, px, most, shift);
    write_last_prefix(r, CTX_LAST_Y + offset, py, most, shift);
    write_last_suffix(r, x, px);
    write_last_suffix(r, y, py);
}

/* 9.3.3.11: Rice prefix of at most four ones, then Exp-Golomb. */
CABAC_INLINE void write_remaining(struct cabac_run *r, uint32_t v, int rice)
{
    if (v < 4u << rice) {
        int ones = (int)(v >> rice); /* ones, a zero, rice bits: at most 9 */
        run_bypass(r, ((2u << ones) - 2) << rice | (v & ((1u << rice) - 1)), ones + 1 + rice);
        return;
    }
    v -= 4u << rice;
    int k = rice + 1, ones = 4;
    for (; v >= 1u << k; ones++)
        v -= 1u << k++;
    run_bypass_long(r, (uint32_t)(((uint64_t)2 << ones) - 2), ones + 1);
    run_bypass_long(r, v, k);
}

struct sub_block {
    uint16_t abs[16]; /* those that are not 0, from the last in scan order */
    int n;
    uint32_t signs;   /* the first in the highest of n bits */
};

/* Greater-than-1 and -2 flags, signs, and what remains. *c1: 0 when the sub-block before ended
 * its flags after a 1 (9.3.4.2.6). */
CABAC_INLINE void write_levels(struct cabac_run *r, const struct sub_block *s, bool chroma,
                               bool first, int *c1)
{
    int set = (first || chroma ? 0 : 2) + (*c1 == 0), flags = s->n < 8 ? s->n : 8, two = -1;
    int ctx = CTX_GR1 + (chroma ? 16 : 0) + set * 4, next = 1;
    for (int i = 0; i < flags; i++) {
        int greater = s->abs[i] > 1;
        run_bin(r, ctx + next, greater);
        if (greater) {
            next = 0;
            if (two < 0)
                two = i;
        } else if (next > 0 && next < 3) {
            ++next;
        }
    }
    *c1 = next;
    if (two >= 0)
        run_bin(r, CTX_GR2 + (chroma ? 4 : 0) + set, s->abs[two] > 2);
    run_bypass(r, s->signs, s->n);
    if (two < 0 && s->n <= 8)
        return; /* all are 1 */
    int rice = 0;
    for (int i = 0; i < s->n; i++) {
        int base = i >= 8 ? 1 : i == two ? 3 : 2;
        if (s->abs[i] < base)
            continue;
        write_remaining(r, (uint32_t)(s->abs[i] - base), rice);
        if (s->abs[i] > 3 << rice && rice < 4)
            rice++;
    }
}

struct block {
    const int16_t *level;
    int log2;
    bool chroma;
    enum scan scan;
    const uint8_t *subs;
    uint8_t coded[9][9]; /* coded_sub_block_flag, with a border of 0 */
};

/* Which of four levels side by side are not 0: a bit each, the first the lowest. */
static inline uint32_t row_mask(const int16_t *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t low = UINT64_C(0x7fff7fff7fff7fff);
    uint64_t v;
    memcpy(&v, p, 8);
    v = (((v & low) + low) | v) >> 15 & UINT64_C(0x0001000100010001);
    return (uint32_t)(v * UINT64_C(0x0001000200040008) >> 48) & 15;
#else
    return (uint32_t)((p[0] != 0) | (p[1] != 0) << 1 | (p[2] != 0) << 2 | (p[3] != 0) << 3);
#endif
}

/* Of a sub-block, in scan order. */
static inline uint32_t sub_mask(const struct block *b, int sub)
{
    const int16_t *p = b->level + ((sub >> 3) << (b->log2 + 2)) + (sub & 7) * 4;
    ptrdiff_t stride = (ptrdiff_t)1 << b->log2;
    uint64_t row[4];
    for (int y = 0; y < 4; y++)
        memcpy(&row[y], p + y * stride, 8);
    if (!(row[0] | row[1] | row[2] | row[3]))
        return 0;
    uint32_t upper = row_mask(p) | row_mask(p + stride) << 4;
    uint32_t lower = row_mask(p + 2 * stride) | row_mask(p + 3 * stride) << 4;
    return to_scan[b->scan][0][upper] | to_scan[b->scan][1][lower];
}

CABAC_INLINE void write_significance(struct cabac_run *r, const struct block *b, int sub,
                                     uint32_t mask, int from, bool infer_dc)
{
    int xs = sub & 7, ys = sub >> 3, kind = SIG_4X4;
    int base = CTX_SIG + (b->chroma ? 27 : 0);
    if (b->log2 > 2) {
        kind = b->coded[ys][xs + 1] | b->coded[ys + 1][xs] << 1;
        if (b->chroma)
            base += b->log2 == 3 ? 9 : 12;
        else
            base += (xs || ys ? 3 : 0) + (b->log2 == 3 ? b->scan == SCAN_DIAGONAL ? 9 : 15 : 21);
    }
    const uint8_t *pattern = sig_scan[b->scan][kind];
    for (int i = from; i > 0; i--)
        run_bin(r, base + pattern[i], mask >> i & 1);
    if (from < 0 || (infer_dc && !(mask >> 1)))
        return; /* the one at 0 must be it */
    int dc = b->log2 > 2 && !xs && !ys ? CTX_SIG + (b->chroma ? 27 : 0) : base + pattern[0];
    run_bin(r, dc, mask & 1);
}

CABAC_INLINE void collect(const struct block *b, int sub, uint32_t mask, struct sub_block *out)
{
    const int16_t *p = b->level + ((sub >> 3) << (b->log2 + 2)) + (sub & 7) * 4;
    const uint8_t *order = scan4[b->scan];
    out->n = 0;
    out->signs = 0;
    while (mask) {
        int i = 31 - __builtin_clz(mask);
        mask &= ~(1u << i);
        int v = p[((order[i] >> 2) << b->log2) + (order[i] & 3)];
        out->signs = out->signs << 1 | (v < 0);
        out->abs[out->n++] = (uint16_t)(v < 0 ? -v : v);
    }
}

/* Inlined where the size is a constant. */
CABAC_INLINE void write_block(struct cabac_run *r, const int16_t *level, int size_log2, bool chroma,
                              enum scan scan)
{
    struct block b = {.level = level, .log2 = size_log2, .chroma = chroma, .scan = scan,
                      .subs = sub_scan(size_log2, scan)};
    int last = (1 << (2 * (size_log2 - 2))) - 1;
    uint32_t mask = 0;
    while (last >= 0 && !(mask = sub_mask(&b, b.subs[last])))
        last--;
    if (last < 0)
        return;
    int pos = 31 - __builtin_clz(mask), at = scan4[scan][pos], sub = b.subs[last];
    write_last(r, (sub & 7) * 4 + (at & 3), (sub >> 3) * 4 + (at >> 2), size_log2, chroma, scan);
    int c1 = 1;
    for (int i = last; i >= 0; i--) {
        sub = b.subs[i];
        int xs = sub & 7, ys = sub >> 3;
        if (i < last)
            mask = sub_mask(&b, sub);
        bool inner = i < last && i > 0;
        if (inner)
            run_bin(r, CTX_CODED_SUB + (chroma ? 2 : 0) +
                           (b.coded[ys][xs + 1] | b.coded[ys + 1][xs]), mask != 0);
        b.coded[ys][xs] = mask != 0 || i == 0 || i == last;
        if (inner && !mask)
            continue;
        write_significance(r, &b, sub, mask, i == last ? pos - 1 : 15, inner);
        if (!mask)
            continue;
        struct sub_block s;
        collect(&b, sub, mask, &s);
        write_levels(r, &s, chroma, i == 0, &c1);
    }
}

void residual_write(struct cabac *c, const int16_t *level, int size_log2, bool chroma,
                    enum scan scan)
{
    struct cabac_run r = cabac_run(c);
    if (size_log2 == 2)
        write_block(&r, level, 2, chroma, scan);
    else
        write_block(&r, level, size_log2, chroma, scan);
    cabac_run_end(&r);
}
