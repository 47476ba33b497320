/* cabac: the arithmetic coder of H.265 9.3.4 and its context variables. Pure; one thread.
 *
 * `low` holds the register of 9.3.4.2 (figure 9-11) with the bits that were shifted out of it
 * still on top; they are written 32 at a time, and a carry runs back through what was written. */
#ifndef HEVCAST_ENCODE_SCREEN_CABAC_H
#define HEVCAST_ENCODE_SCREEN_CABAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets of the context variables of each syntax element (tables 9-5 to 9-37). */
enum {
    CTX_SPLIT_CU = 0,
    CTX_BYPASS = CTX_SPLIT_CU + 3,
    CTX_SKIP = CTX_BYPASS + 1,
    CTX_QP_DELTA = CTX_SKIP + 3,
    CTX_PRED_MODE = CTX_QP_DELTA + 2,
    CTX_PART_MODE = CTX_PRED_MODE + 1,
    CTX_PREV_INTRA = CTX_PART_MODE + 4,
    CTX_CHROMA_MODE = CTX_PREV_INTRA + 1,
    CTX_MERGE_FLAG = CTX_CHROMA_MODE + 1,
    CTX_MERGE_IDX = CTX_MERGE_FLAG + 1,
    CTX_REF_IDX = CTX_MERGE_IDX + 1,
    CTX_MVD_GR0 = CTX_REF_IDX + 2,
    CTX_MVD_GR1 = CTX_MVD_GR0 + 1,
    CTX_MVP = CTX_MVD_GR1 + 1,
    CTX_ROOT_CBF = CTX_MVP + 1,
    CTX_SPLIT_TU = CTX_ROOT_CBF + 1,
    CTX_CBF_LUMA = CTX_SPLIT_TU + 3,
    CTX_CBF_CHROMA = CTX_CBF_LUMA + 2,
    CTX_TSKIP = CTX_CBF_CHROMA + 4,   /* luma, chroma */
    CTX_LAST_X = CTX_TSKIP + 2,       /* 15 luma, 3 chroma */
    CTX_LAST_Y = CTX_LAST_X + 18,
    CTX_CODED_SUB = CTX_LAST_Y + 18,  /* 2 luma, 2 chroma */
    CTX_SIG = CTX_CODED_SUB + 4,      /* 27 luma, 15 chroma */
    CTX_GR1 = CTX_SIG + 42,           /* 16 luma, 8 chroma */
    CTX_GR2 = CTX_GR1 + 24,           /* 4 luma, 2 chroma */
    CTX_COUNT = CTX_GR2 + 6,
};

struct cabac {
    uint64_t low;
    uint32_t range;
    int shifted;              /* bits of low above the register */
    uint8_t *data;            /* owns; grows in cabac_reserve alone */
    size_t len, cap;
    uint8_t state[CTX_COUNT]; /* pStateIdx << 1 | valMps */
};

/* For each qRangeIdx a byte, the lowest for 0: the range of the LPS; and 32 bits higher what it is when it
 * has been doubled into 256…511, less 256. */
extern const uint64_t cabac_range_lps[64];
extern const uint8_t cabac_next[128][2]; /* after an MPS, after an LPS */

/* Starts a slice: 9.3.2.2 with initType 0 for I and 1 for P slices. Keeps the memory. */
void cabac_start(struct cabac *c, bool intra_slice, int slice_qp);
/* Room for `more` bytes beyond those written. false: out of memory. */
bool cabac_reserve(struct cabac *c, size_t more);
/* Ends the slice after end_of_slice_segment_flag = 1 with rbsp_slice_segment_trailing_bits. */
void cabac_finish(struct cabac *c);
void cabac_free(struct cabac *c);
/* Writes the 32 highest of `shifted` bits that left the register; returns low without them. */
uint64_t cabac_put32(struct cabac *c, uint64_t low, int shifted);

/* The registers by themselves, so that a loop over many bins keeps them in the processor's: what
 * is written through c->state might else change them, as far as the compiler knows. */
struct cabac_run {
    struct cabac *c; /* borrows */
    uint64_t low;
    uint32_t range;
    int shifted;
};

#define CABAC_INLINE static inline __attribute__((always_inline))

CABAC_INLINE struct cabac_run cabac_run(struct cabac *c)
{
    return (struct cabac_run){c, c->low, c->range, c->shifted};
}

CABAC_INLINE void cabac_run_end(const struct cabac_run *r)
{
    r->c->low = r->low;
    r->c->range = r->range;
    r->c->shifted = r->shifted;
}

CABAC_INLINE void run_shift(struct cabac_run *r, int n)
{
    r->shifted += n;
    if (r->shifted >= 32) {
        r->low = cabac_put32(r->c, r->low, r->shifted);
        r->shifted -= 32;
    }
}

/* Without branches on the bin, which is as hard to foresee as it is worth coding. From one range to
 * the next is what takes the time: both ways are worked out beside each other, and the LPS's range
 * needs no counting of zeros. */
CABAC_INLINE void run_bin(struct cabac_run *r, int ctx, int bin)
{
    unsigned s = r->c->state[ctx], is_lps = (unsigned)bin ^ (s & 1);
    uint64_t both = cabac_range_lps[s >> 1] >> (r->range >> 3 & 24);
    uint32_t lps = both & 0xff, mps = r->range - lps, twice = mps + mps, mask = 0u - is_lps;
    uint32_t range_lps = 256 + (both >> 32 & 0xff), range_mps = mps < 256 ? twice : mps;
    int n_mps = mps < 256, n_lps = __builtin_clz(lps) - 23;
    int n = n_mps ^ ((n_mps ^ n_lps) & (int)mask);
    r->c->state[ctx] = cabac_next[s][is_lps];
    r->range = (range_mps & ~mask) | (range_lps & mask);
    r->low = (r->low + (mps & mask)) << n;
    run_shift(r, n);
}

/* The same for a bin that is nearly always what is likely: faster then, slower else. */
CABAC_INLINE void run_likely(struct cabac_run *r, int ctx, int bin)
{
    unsigned s = r->c->state[ctx];
    uint32_t mps = r->range - (cabac_range_lps[s >> 1] >> (r->range >> 3 & 24) & 0xff);
    if ((s & 1) != (unsigned)bin) {
        run_bin(r, ctx, bin);
        return;
    }
    r->c->state[ctx] = cabac_next[s][0];
    r->range = mps;
    if (mps < 256) {
        r->range = mps << 1;
        r->low <<= 1;
        run_shift(r, 1);
    }
}

/* n of at most 16 bypass bins, the first in the highest bit. */
CABAC_INLINE void run_bypass(struct cabac_run *r, uint32_t bins, int n)
{
    r->low = (r->low << n) + (uint64_t)bins * r->range;
    run_shift(r, n);
}

CABAC_INLINE void run_bypass_long(struct cabac_run *r, uint32_t bins, int n) /* n at most 32 */
{
    if (n > 16) {
        run_bypass(r, bins >> 16, n - 16);
        bins &= 0xffff;
        n = 16;
    }
    run_bypass(r, bins, n);
}

static inline void cabac_bin(struct cabac *c, int ctx, int bin)
{
    struct cabac_run r = cabac_run(c);
    run_bin(&r, ctx, bin);
    cabac_run_end(&r);
}

static inline void cabac_bypass(struct cabac *c, uint32_t bins, int n) /* n at most 16 */
{
    struct cabac_run r = cabac_run(c);
    run_bypass(&r, bins, n);
    cabac_run_end(&r);
}

static inline void cabac_terminate(struct cabac *c, int bin)
{
    c->range -= 2;
    if (bin) {
        c->low = (c->low + c->range) << 7;
        c->range = 256;
        c->shifted += 7;
    } else if (c->range < 256) {
        c->range <<= 1;
        c->low <<= 1;
        c->shifted++;
    }
    if (c->shifted >= 32) {
        c->low = cabac_put32(c, c->low, c->shifted);
        c->shifted -= 32;
    }
}

/* Bytes that the slice has by now, about. */
static inline size_t cabac_bytes(const struct cabac *c)
{
    return c->len + (size_t)c->shifted / 8;
}

#endif
