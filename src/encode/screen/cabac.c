#include "encode/screen/cabac.h"

#include <stdlib.h>

/* Table 9-52: rangeTabLps. */
#define N(v) ((v) < 4 ? 128 : (v) < 8 ? 64 : (v) < 16 ? 32 : (v) < 32 ? 16 : (v) < 64 ? 8 : (v) < 128 ? 4 : 2)
#define DOUBLED(v) ((uint64_t)((v) * N(v) - 256))
#define R(a, b, c, d)                                                                              \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 |              \
     DOUBLED(a) << 32 | DOUBLED(b) << 40 | DOUBLED(c) << 48 | DOUBLED(d) << 56)
const uint64_t cabac_range_lps[64] = {
    R(128, 176, 208, 240), R(128, 167, 197, 227), R(128, 158, 187, 216), R(123, 150, 178, 205),
    R(116, 142, 169, 195), R(111, 135, 160, 185), R(105, 128, 152, 175), R(100, 122, 144, 166),
    R(95, 116, 137, 158), R(90, 110, 130, 150), R(85, 104, 123, 142), R(81, 99, 117, 135),
    R(77, 94, 111, 128), R(73, 89, 105, 122), R(69, 85, 100, 116), R(66, 80, 95, 110),
    R(62, 76, 90, 104), R(59, 72, 86, 99), R(56, 69, 81, 94), R(53, 65, 77, 89), R(51, 62, 73, 85),
    R(48, 59, 69, 80), R(46, 56, 66, 76), R(43, 53, 63, 72), R(41, 50, 59, 69), R(39, 48, 56, 65),
    R(37, 45, 54, 62), R(35, 43, 51, 59), R(33, 41, 48, 56), R(32, 39, 46, 53), R(30, 37, 43, 50),
    R(29, 35, 41, 48), R(27, 33, 39, 45), R(26, 31, 37, 43), R(24, 30, 35, 41), R(23, 28, 33, 39),
    R(22, 27, 32, 37), R(21, 26, 30, 35), R(20, 24, 29, 33), R(19, 23, 27, 31), R(18, 22, 26, 30),
    R(17, 21, 25, 28), R(16, 20, 23, 27), R(15, 19, 22, 25), R(14, 18, 21, 24), R(14, 17, 20, 23),
    R(13, 16, 19, 22), R(12, 15, 18, 21), R(12, 14, 17, 20), R(11, 14, 16, 19), R(11, 13, 15, 18),
    R(10, 12, 15, 17), R(10, 12, 14, 16), R(9, 11, 13, 15), R(9, 11, 12, 14), R(8, 10, 12, 14),
    R(8, 9, 11, 13), R(7, 9, 11, 12), R(7, 9, 10, 12), R(7, 8, 10, 11), R(6, 8, 9, 11),
    R(6, 7, 9, 10), R(6, 7, 8, 9), R(2, 2, 2, 2),
};
#undef R
#undef DOUBLED
#undef N

/* Table 9-53: for pStateIdx << 1 | valMps, the next after an MPS and after an LPS. An LPS in state 0
 * swaps valMps. */
#define S(mps, lps) {2 * (mps), 2 * (lps)}, {2 * (mps) + 1, 2 * (lps) + 1}
const uint8_t cabac_next[128][2] = {
    {2, 1}, {3, 0},
    S(2, 0), S(3, 1), S(4, 2), S(5, 2), S(6, 4), S(7, 4), S(8, 5), S(9, 6), S(10, 7), S(11, 8),
    S(12, 9), S(13, 9), S(14, 11), S(15, 11), S(16, 12), S(17, 13), S(18, 13), S(19, 15),
    S(20, 15), S(21, 16), S(22, 16), S(23, 18), S(24, 18), S(25, 19), S(26, 19), S(27, 21),
    S(28, 21), S(29, 22), S(30, 22), S(31, 23), S(32, 24), S(33, 24), S(34, 25), S(35, 26),
    S(36, 26), S(37, 27), S(38, 27), S(39, 28), S(40, 29), S(41, 29), S(42, 30), S(43, 30),
    S(44, 30), S(45, 31), S(46, 32), S(47, 32), S(48, 33), S(49, 33), S(50, 33), S(51, 34),
    S(52, 34), S(53, 35), S(54, 35), S(55, 35), S(56, 36), S(57, 36), S(58, 36), S(59, 37),
    S(60, 37), S(61, 37), S(62, 38), S(62, 38), S(63, 63),
};
#undef S

/* Tables 9-5 to 9-37: initValue for initType 0 (I) and 1 (P); 154 where the element cannot be. */
static const uint8_t init_value[2][CTX_COUNT] = {
    {
        139, 141, 157,      /* split_cu_flag */
        154,                /* cu_transquant_bypass_flag */
        154, 154, 154,      /* cu_skip_flag */
        154, 154,           /* cu_qp_delta_abs */
        154,                /* pred_mode_flag */
        184, 154, 154, 154, /* part_mode */
        184,                /* prev_intra_luma_pred_flag */
        63,                 /* intra_chroma_pred_mode */
        154, 154,           /* merge_flag, merge_idx */
        154, 154,           /* ref_idx */
        154, 154,           /* abs_mvd_greater0_flag, abs_mvd_greater1_flag */
        154, 154,           /* mvp_flag, rqt_root_cbf */
        153, 138, 138,      /* split_transform_flag */
        111, 141,           /* cbf_luma */
        94, 138, 182, 154,  /* cbf_cb, cbf_cr */
        139, 139,           /* transform_skip_flag */
        110, 110, 124, 125, 140, 153, 125, 127, 140, 109, 111, 143, 127, 111, 79, 108, 123, 63,
        110, 110, 124, 125, 140, 153, 125, 127, 140, 109, 111, 143, 127, 111, 79, 108, 123, 63,
        91, 171, 134, 141,  /* coded_sub_block_flag */
        111, 111, 125, 110, 110, 94, 124, 108, 124, 107, 125, 141, 179, 153, 125, 107, 125, 141,
        179, 153, 125, 107, 125, 141, 179, 153, 125, 140, 139, 182, 182, 152, 136, 152, 136, 153,
        136, 139, 111, 136, 139, 111, /* sig_coeff_flag */
        140, 92, 137, 138, 140, 152, 138, 139, 153, 74, 149, 92, 139, 107, 122, 152, 140, 179, 166,
        182, 140, 227, 122, 197, /* coeff_abs_level_greater1_flag */
        138, 153, 136, 167, 152, 152,
    },
    {
        107, 139, 126, 154, 197, 185, 201, 154, 154, 149, 154, 139, 154, 154, 154, 152, 110, 122,
        153, 153, 140, 198, 168, 79, 124, 138, 94, 153, 111, 149, 107, 167, 154, 139, 139,
        125, 110, 94, 110, 95, 79, 125, 111, 110, 78, 110, 111, 111, 95, 94, 108, 123, 108,
        125, 110, 94, 110, 95, 79, 125, 111, 110, 78, 110, 111, 111, 95, 94, 108, 123, 108,
        121, 140, 61, 154,
        155, 154, 139, 153, 139, 123, 123, 63, 153, 166, 183, 140, 136, 153, 154, 166, 183, 140,
        136, 153, 154, 166, 183, 140, 136, 153, 154, 170, 153, 123, 123, 107, 121, 107, 121, 167,
        151, 183, 140, 151, 183, 140,
        154, 196, 196, 167, 154, 152, 167, 182, 182, 134, 149, 136, 153, 121, 136, 137, 169, 194,
        166, 167, 154, 167, 137, 182,
        107, 167, 91, 122, 107, 167,
    },
};

void cabac_start(struct cabac *c, bool intra_slice, int slice_qp)
{
    c->low = 0;
    c->range = 510;
    c->shifted = 0;
    c->len = 0;
    for (int i = 0; i < CTX_COUNT; i++) { /* equations 9-4 to 9-7 */
        int v = init_value[intra_slice ? 0 : 1][i];
        int m = (v >> 4) * 5 - 45, n = ((v & 15) << 3) - 16;
        int pre = ((m * slice_qp) >> 4) + n;
        pre = pre < 1 ? 1 : pre > 126 ? 126 : pre;
        c->state[i] = (uint8_t)(pre <= 63 ? (63 - pre) << 1 : (pre - 64) << 1 | 1);
    }
}

bool cabac_reserve(struct cabac *c, size_t more)
{
    if (c->cap - c->len >= more)
        return true;
    size_t cap = c->cap + c->cap / 2 + more;
    uint8_t *data = realloc(c->data, cap);
    if (!data)
        return false;
    c->data = data;
    c->cap = cap;
    return true;
}

void cabac_free(struct cabac *c)
{
    free(c->data);
    c->data = NULL;
    c->len = c->cap = 0;
}

static void carry(struct cabac *c)
{
    for (size_t i = c->len; i-- > 0 && ++c->data[i] == 0;)
        ;
}

static void put_byte(struct cabac *c, uint64_t v)
{
    if (v >> 8)
        carry(c);
    c->data[c->len++] = (uint8_t)v;
}

/* Of `shifted` bits all but the last 9 of low can be written: later ones reach them by a carry. */
uint64_t cabac_put32(struct cabac *c, uint64_t low, int shifted)
{
    int keep = shifted - 23;
    uint64_t v = low >> keep;
    if (v >> 32)
        carry(c);
    for (int i = 24; i >= 0; i -= 8)
        c->data[c->len++] = (uint8_t)(v >> i);
    return low & (((uint64_t)1 << keep) - 1);
}

void cabac_finish(struct cabac *c)
{
    while (c->shifted >= 8) {
        int keep = c->shifted + 1;
        put_byte(c, c->low >> keep);
        c->low &= ((uint64_t)1 << keep) - 1;
        c->shifted -= 8;
    }
    /* 9.3.4.6 EncodeFlush: two bits more than were shifted, the last of them the stop bit. */
    int n = c->shifted + 2;
    uint64_t v = (c->low >> 7) | 1;
    int pad = -n & 7;
    v <<= pad;
    for (int left = n + pad - 8; left >= 0; left -= 8) {
        put_byte(c, v >> left);
        v &= ((uint64_t)1 << left) - 1;
    }
}
