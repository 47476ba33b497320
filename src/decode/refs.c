#include "decode/refs.h"

#include "hevc/nal.h"

#include <stdlib.h>
#include <string.h>

/* NAL unit types, H.265 table 7-1. */
enum {
    T_RADL_N = 6,
    T_RASL_N = 8,
    T_RASL_R = 9,
    T_RSV_VCL_R15 = 15,
    T_BLA_W_LP = 16,
    T_BLA_N_LP = 18,
    T_IDR_W_RADL = 19,
    T_IDR_N_LP = 20,
    T_IRAP_LAST = 23,
    T_VCL_LAST = 31,
    T_SPS = 33,
    T_PPS = 34,
    T_AUD = 35,
    T_EOS = 36,
    T_FD = 38,
    T_SEI_PREFIX = 39,
    T_SEI_SUFFIX = 40,
};

enum {
    MAX_SPS = 16, /* 7.4.3.2.1 */
    MAX_PPS = 64, /* 7.4.3.3.1 */
    MAX_RPS = 64, /* num_short_term_ref_pic_sets */
    MAX_LT_SPS = 32,
    MAX_DPB = 16, /* A.4.2 */
};

/* Bits of a NAL unit; emulation prevention bytes (7.4.2) are skipped as they come. Past the end
 * it gives 0 and sets `failed`. */
struct bits {
    const uint8_t *p, *end; /* borrows */
    unsigned zeros, byte;
    int left; /* bits of `byte` not read yet */
    bool failed;
};

static void next_byte(struct bits *b)
{
    if (b->zeros >= 2 && b->p < b->end && *b->p == 3) {
        b->p++;
        b->zeros = 0;
    }
    if (b->p >= b->end) {
        b->failed = true;
        b->byte = 0;
    } else {
        b->byte = *b->p++;
        b->zeros = b->byte ? 0 : b->zeros + 1;
    }
    b->left = 8;
}

static uint32_t u(struct bits *b, int n)
{
    uint32_t v = 0;
    while (n-- > 0 && !b->failed) {
        if (!b->left)
            next_byte(b);
        v = v << 1 | (b->byte >> --b->left & 1);
    }
    return b->failed ? 0 : v;
}

static void skip(struct bits *b, int n)
{
    for (; n > 0; n -= 32)
        u(b, n < 32 ? n : 32);
}

static uint32_t ue(struct bits *b)
{
    int zeros = 0;
    while (!b->failed && !u(b, 1))
        if (++zeros > 31)
            b->failed = true;
    return b->failed ? 0 : (uint32_t)((1ull << zeros) - 1 + u(b, zeros));
}

/* Section 9.2: the smallest n with 2^n >= v. */
static int ceil_log2(uint32_t v)
{
    int n = 0;
    while ((1u << n) < v)
        n++;
    return n;
}

/* 7.4.8: negative deltas first (nearest first), then the positive ones. */
struct rps {
    int n_neg, n_pos;
    int delta[MAX_DPB];
    bool used[MAX_DPB];
};

struct sps {
    bool valid, separate_planes, long_term;
    int log2_poc_lsb, n_rps, n_lt;
    struct rps rps[MAX_RPS];
    uint32_t lt_lsb[MAX_LT_SPS];
    bool lt_used[MAX_LT_SPS];
};

struct pps {
    bool valid, output_flag;
    int sps_id, extra_bits;
};

struct refs {
    struct sps sps[MAX_SPS];
    struct pps pps[MAX_PPS];
    bool started;   /* an IRAP was seen since the reset */
    bool skip_rasl; /* NoRaslOutputFlag of the last IRAP (8.1.3) */
    bool after_eos;
    bool resumable;   /* the IRAP's access unit said so: hevc_resume_uuid */
    int pps_id;       /* of the last IRAP */
    int32_t prev_tid0_poc; /* 8.3.1 */
    int n;
    int32_t poc[MAX_DPB + 1]; /* the pictures that may be referred to; the newest is last */
};

struct refs *refs_new(void)
{
    return calloc(1, sizeof(struct refs));
}

void refs_free(struct refs **r)
{
    free(*r);
    *r = NULL;
}

void refs_reset(struct refs *r)
{
    r->started = false;
    r->n = 0;
}

bool refs_started(const struct refs *r)
{
    return r->started;
}

bool refs_resumable(const struct refs *r)
{
    return r->started && r->resumable;
}

void refs_drop_last(struct refs *r)
{
    if (r->n)
        r->n--;
}

static bool rps_add(struct rps *s, int delta, bool used, bool negative)
{
    int i = s->n_neg + s->n_pos;
    if (i >= MAX_DPB)
        return false;
    s->delta[i] = delta;
    s->used[i] = used;
    if (negative)
        s->n_neg++;
    else
        s->n_pos++;
    return true;
}

/* Inter RPS, equations 7-61 and 7-62. */
static bool parse_rps_inter(struct bits *b, const struct sps *sps, int idx, bool in_slice,
                            struct rps *out)
{
    uint32_t back = in_slice ? ue(b) + 1 : 1;
    if (back > (uint32_t)idx)
        return false;
    const struct rps *ref = &sps->rps[idx - (int)back];
    bool sign = u(b, 1);
    uint32_t magnitude = ue(b) + 1;
    if (magnitude > 1 << 15)
        return false;
    int delta = sign ? -(int)magnitude : (int)magnitude, n = ref->n_neg + ref->n_pos;
    bool used[MAX_DPB + 1], use[MAX_DPB + 1];
    for (int j = 0; j <= n; j++) {
        used[j] = u(b, 1);
        use[j] = used[j] || u(b, 1);
    }
    bool ok = !b->failed;
    for (int j = n - 1; j >= ref->n_neg && ok; j--)
        if (ref->delta[j] + delta < 0 && use[j])
            ok = rps_add(out, ref->delta[j] + delta, used[j], true);
    if (delta < 0 && use[n] && ok)
        ok = rps_add(out, delta, used[n], true);
    for (int j = 0; j < ref->n_neg && ok; j++)
        if (ref->delta[j] + delta < 0 && use[j])
            ok = rps_add(out, ref->delta[j] + delta, used[j], true);
    for (int j = ref->n_neg - 1; j >= 0 && ok; j--)
        if (ref->delta[j] + delta > 0 && use[j])
            ok = rps_add(out, ref->delta[j] + delta, used[j], false);
    if (delta > 0 && use[n] && ok)
        ok = rps_add(out, delta, used[n], false);
    for (int j = ref->n_neg; j < n && ok; j++)
        if (ref->delta[j] + delta > 0 && use[j])
            ok = rps_add(out, ref->delta[j] + delta, used[j], false);
    return ok;
}

/* st_ref_pic_set(idx), 7.3.7. */
static bool parse_rps(struct bits *b, const struct sps *sps, int idx, bool in_slice,
                      struct rps *out)
{
    memset(out, 0, sizeof *out);
    if (idx && u(b, 1))
        return parse_rps_inter(b, sps, idx, in_slice, out);
    uint32_t n_neg = ue(b), n_pos = ue(b);
    if (n_neg > MAX_DPB || n_pos > MAX_DPB - n_neg)
        return false;
    int delta = 0;
    for (uint32_t i = 0; i < n_neg + n_pos && !b->failed; i++) {
        bool negative = i < n_neg;
        if (i == n_neg)
            delta = 0;
        uint32_t step = ue(b) + 1;
        if (step > 1 << 15)
            return false;
        delta += negative ? -(int)step : (int)step;
        rps_add(out, delta, u(b, 1), negative);
    }
    return !b->failed;
}

/* profile_tier_level(1, max_sub_layers_minus1), 7.3.3. */
static void skip_ptl(struct bits *b, int max_sub_layers_minus1)
{
    bool profile[8] = {false}, level[8] = {false};
    skip(b, 96);
    for (int i = 0; i < max_sub_layers_minus1; i++) {
        profile[i] = u(b, 1);
        level[i] = u(b, 1);
    }
    if (max_sub_layers_minus1)
        skip(b, 2 * (8 - max_sub_layers_minus1));
    for (int i = 0; i < max_sub_layers_minus1; i++)
        skip(b, (profile[i] ? 88 : 0) + (level[i] ? 8 : 0));
}

/* scaling_list_data(), 7.3.4. */
static void skip_scaling_lists(struct bits *b)
{
    for (int size = 0; size < 4; size++)
        for (int matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            if (!u(b, 1)) {
                ue(b);
                continue;
            }
            int n = size ? 64 : 16;
            if (size > 1)
                ue(b);
            for (int i = 0; i < n && !b->failed; i++)
                ue(b); /* se(v): the same bits */
        }
}

/* seq_parameter_set_rbsp(), 7.3.2.2.1, up to the long-term pictures. */
static void parse_sps(struct refs *r, struct bits *b)
{
    skip(b, 4);
    int sub_layers_minus1 = (int)u(b, 3);
    skip(b, 1);
    skip_ptl(b, sub_layers_minus1);
    uint32_t id = ue(b);
    if (b->failed || id >= MAX_SPS)
        return;
    struct sps *s = &r->sps[id];
    memset(s, 0, sizeof *s);
    if (ue(b) == 3)
        s->separate_planes = u(b, 1);
    ue(b);
    ue(b);
    if (u(b, 1))
        for (int i = 0; i < 4; i++)
            ue(b);
    ue(b);
    ue(b);
    uint32_t log2_poc_lsb = ue(b) + 4;
    for (int i = u(b, 1) ? 0 : sub_layers_minus1; i <= sub_layers_minus1; i++)
        for (int k = 0; k < 3; k++)
            ue(b);
    for (int i = 0; i < 6; i++)
        ue(b);
    if (u(b, 1) && u(b, 1))
        skip_scaling_lists(b);
    skip(b, 2);
    if (u(b, 1)) {
        skip(b, 8);
        ue(b);
        ue(b);
        skip(b, 1);
    }
    uint32_t n_rps = ue(b);
    if (b->failed || log2_poc_lsb > 16 || n_rps > MAX_RPS)
        return;
    s->log2_poc_lsb = (int)log2_poc_lsb;
    s->n_rps = (int)n_rps;
    for (int i = 0; i < s->n_rps; i++)
        if (!parse_rps(b, s, i, false, &s->rps[i]))
            return;
    s->long_term = u(b, 1);
    uint32_t n_lt = s->long_term ? ue(b) : 0;
    if (n_lt > MAX_LT_SPS)
        return;
    s->n_lt = (int)n_lt;
    for (int i = 0; i < s->n_lt; i++) {
        s->lt_lsb[i] = u(b, s->log2_poc_lsb);
        s->lt_used[i] = u(b, 1);
    }
    s->valid = !b->failed;
}

static void parse_pps(struct refs *r, struct bits *b)
{
    uint32_t id = ue(b), sps_id = ue(b);
    if (b->failed || id >= MAX_PPS || sps_id >= MAX_SPS)
        return;
    struct pps p = {.sps_id = (int)sps_id};
    skip(b, 1);
    p.output_flag = u(b, 1);
    p.extra_bits = (int)u(b, 3);
    p.valid = !b->failed;
    r->pps[id] = p;
}

/* The reference picture set of one picture: what it needs, and what later ones may need. */
struct needed {
    int n;
    struct {
        int32_t poc,
            mask; /* matches (their poc & mask) == poc: long-term ones may give LSBs only */
        bool used;
    } ref[2 * MAX_DPB];
};

static void need(struct needed *s, int32_t poc, int32_t mask, bool used)
{
    if (s->n < 2 * MAX_DPB) {
        s->ref[s->n].poc = poc & mask;
        s->ref[s->n].mask = mask;
        s->ref[s->n++].used = used;
    }
}

/* 7.3.6.1, from num_long_term_sps on, and equation 7-52. */
static bool parse_long_term(struct bits *b, const struct sps *sps, int32_t poc, struct needed *out)
{
    uint32_t from_sps = sps->n_lt ? ue(b) : 0, n = from_sps + ue(b);
    if (from_sps > MAX_LT_SPS || n > MAX_LT_SPS)
        return false;
    int32_t max_lsb = 1 << sps->log2_poc_lsb;
    uint32_t cycle = 0;
    for (uint32_t i = 0; i < n && !b->failed; i++) {
        uint32_t lsb;
        bool used;
        if (i < from_sps) {
            uint32_t k = u(b, ceil_log2((uint32_t)sps->n_lt));
            if (k >= (uint32_t)sps->n_lt)
                return false;
            lsb = sps->lt_lsb[k];
            used = sps->lt_used[k];
        } else {
            lsb = u(b, sps->log2_poc_lsb);
            used = u(b, 1);
        }
        bool msb_present = u(b, 1);
        uint32_t step = msb_present ? ue(b) : 0;
        cycle = (i == 0 || i == from_sps ? 0 : cycle) + step;
        int32_t msb = (int32_t)((uint32_t)(poc & ~(max_lsb - 1)) - cycle * (uint32_t)max_lsb);
        if (msb_present)
            need(out, msb + (int32_t)lsb, -1, used);
        else
            need(out, (int32_t)lsb, max_lsb - 1, used);
    }
    return !b->failed;
}

/* 8.3.1 */
static int32_t derive_poc(const struct refs *r, const struct sps *sps, int32_t lsb)
{
    int32_t max_lsb = 1 << sps->log2_poc_lsb;
    int32_t prev_lsb = r->prev_tid0_poc & (max_lsb - 1), msb = r->prev_tid0_poc - prev_lsb;
    if (lsb < prev_lsb && prev_lsb - lsb >= max_lsb / 2)
        msb = (int32_t)((uint32_t)msb + (uint32_t)max_lsb);
    else if (lsb > prev_lsb && lsb - prev_lsb > max_lsb / 2)
        msb = (int32_t)((uint32_t)msb - (uint32_t)max_lsb);
    return (int32_t)((uint32_t)msb + (uint32_t)lsb);
}

/* Which of the pictures that are there it is; -1: none. */
static int find_poc(const struct refs *r, const struct needed *set, int i)
{
    for (int k = r->n - 1; k >= 0; k--)
        if ((r->poc[k] & set->ref[i].mask) == set->ref[i].poc)
            return k;
    return -1;
}

/* Marks as section 8.3.2 does: keeps what is in the set. false: one that is used is missing. */
static bool apply(struct refs *r, const struct needed *set)
{
    bool whole = true;
    int32_t keep[MAX_DPB];
    int n = 0;
    for (int i = 0; i < set->n; i++) {
        int found = find_poc(r, set, i);
        if (found < 0)
            whole &= !set->ref[i].used;
        else if (n < MAX_DPB)
            keep[n++] = r->poc[found];
    }
    memcpy(r->poc, keep, (size_t)n * sizeof keep[0]);
    r->n = n;
    return whole;
}

/* Of a slice segment header, as far as references go. */
struct slice {
    int type, tid, pps_id;
    bool irap, fresh; /* fresh: nothing before it is referred to */
    int32_t poc;
    struct needed set;
};

/* short_term_ref_pic_set_sps_flag and what follows, 7.3.6.1. */
static bool parse_references(struct bits *b, const struct sps *sps, struct slice *s)
{
    struct rps local;
    const struct rps *rps = &local;
    if (!u(b, 1)) {
        if (!parse_rps(b, sps, sps->n_rps, true, &local))
            return false;
    } else {
        uint32_t idx = u(b, ceil_log2((uint32_t)sps->n_rps));
        if (idx >= (uint32_t)sps->n_rps)
            return false;
        rps = &sps->rps[idx];
    }
    for (int i = 0; i < rps->n_neg + rps->n_pos; i++)
        need(&s->set, (int32_t)((uint32_t)s->poc + (uint32_t)rps->delta[i]), -1, rps->used[i]);
    return (!sps->long_term || parse_long_term(b, sps, s->poc, &s->set)) && !b->failed;
}

/* slice_segment_header() of the first slice segment, 7.3.6.1, up to the reference pictures.
 * REFS_WHOLE: it could be parsed. */
static enum refs_verdict parse_slice(const struct refs *r, struct bits *b, struct slice *s)
{
    bool is_idr = s->type == T_IDR_W_RADL || s->type == T_IDR_N_LP;
    s->irap = s->type >= T_BLA_W_LP && s->type <= T_IRAP_LAST;
    if (s->irap)
        skip(b, 1);
    uint32_t pps_id = ue(b);
    if (b->failed || pps_id >= MAX_PPS || !r->pps[pps_id].valid ||
        !r->sps[r->pps[pps_id].sps_id].valid)
        return r->started && !s->irap ? REFS_MISSING : REFS_NONE;
    if (r->started && !s->irap && r->resumable && (int)pps_id % 8 != r->pps_id % 8)
        return REFS_MISSING; /* of an IRAP that was lost: its POC means another picture */
    s->pps_id = (int)pps_id;
    const struct pps *pps = &r->pps[pps_id];
    const struct sps *sps = &r->sps[pps->sps_id];
    skip(b, pps->extra_bits);
    ue(b); /* slice_type */
    skip(b, (pps->output_flag ? 1 : 0) + (sps->separate_planes ? 2 : 0));
    s->fresh = s->irap && (is_idr || s->type <= T_BLA_N_LP || !r->started || r->after_eos);
    if (!is_idr) {
        int32_t lsb = (int32_t)u(b, sps->log2_poc_lsb);
        s->poc = s->fresh ? lsb : derive_poc(r, sps, lsb);
        if (!parse_references(b, sps, s))
            return REFS_NONE;
    }
    return REFS_WHOLE;
}

static enum refs_verdict check_slice(struct refs *r, struct bits *b, int type, int tid,
                                     bool resumable)
{
    struct slice s = {.type = type, .tid = tid};
    enum refs_verdict v = parse_slice(r, b, &s);
    if (v != REFS_WHOLE)
        return v;
    if (s.irap) {
        r->started = true;
        r->skip_rasl = s.fresh;
        r->resumable = resumable;
        r->pps_id = s.pps_id;
        r->after_eos = false;
    } else if (!r->started) {
        return REFS_MISSING;
    } else if ((type == T_RASL_N || type == T_RASL_R) && r->skip_rasl) {
        return REFS_LEADING;
    }
    /* Sub-layer non-reference pictures have even types below 16; 6..9 are leading ones. */
    bool non_ref = type < T_RSV_VCL_R15 && !(type & 1);
    if (tid == 0 && !non_ref && !(type >= T_RADL_N && type <= T_RASL_R))
        r->prev_tid0_poc = s.poc;
    if (s.fresh)
        r->n = 0;
    else if (!apply(r, &s.set) && !s.irap)
        return REFS_MISSING;
    r->poc[r->n++] = s.poc;
    return REFS_WHOLE;
}

bool refs_could_resume(const struct refs *r, const uint8_t *nal, size_t len)
{
    if (!refs_resumable(r) || len < 3 || nal[0] & 1 || nal[1] >> 3)
        return false;
    struct bits b = {.p = nal + 2, .end = nal + len};
    struct slice s = {.type = nal[0] >> 1 & 0x3f};
    if (s.type >= T_BLA_W_LP || !u(&b, 1) || parse_slice(r, &b, &s) != REFS_WHOLE)
        return false;
    for (int i = 0; i < s.set.n; i++)
        if (s.set.ref[i].used && find_poc(r, &s.set, i) < 0)
            return false;
    return true;
}

bool refs_newest(const struct refs *r, int32_t *poc)
{
    if (r->n > 0)
        *poc = r->poc[r->n - 1];
    return r->n > 0;
}

/* Does the SEI NAL unit begin with hevc_resume_uuid? */
static bool is_resume_sei(struct bits *b)
{
    if (u(b, 8) != 5 || u(b, 8) < sizeof hevc_resume_uuid)
        return false;
    bool same = true;
    for (size_t i = 0; i < sizeof hevc_resume_uuid; i++)
        same &= u(b, 8) == hevc_resume_uuid[i];
    return same && !b->failed;
}

/* The next start code's first byte, or the end. */
static const uint8_t *find_start(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 3; p++)
        if (p[2] > 1)
            p += 2;
        else if (p[2] == 1 && !p[0] && !p[1])
            return p;
    return end;
}

enum refs_verdict refs_check(struct refs *r, const struct access_unit *au, bool *irap)
{
    const uint8_t *end = au->data + au->len, *p = find_start(au->data, end);
    bool resumable = false;
    if (irap)
        *irap = false;
    while (end - p > 5) {
        const uint8_t *nal = p + 3, *next;
        int type = nal[0] >> 1 & 0x3f, layer = (nal[0] & 1) << 5 | nal[1] >> 3;
        struct bits b = {.p = nal + 2, .end = end};
        if (layer == 0 && type <= T_VCL_LAST) {
            if (irap)
                *irap = type >= T_BLA_W_LP && type <= T_IRAP_LAST;
            if (!u(&b, 1)) /* the first slice segment is missing */
                return r->started ? REFS_MISSING : REFS_NONE;
            return check_slice(r, &b, type, (nal[1] & 7) - 1, resumable);
        }
        next = find_start(nal, end);
        b.end = next;
        if (layer == 0 && type == T_SPS)
            parse_sps(r, &b);
        else if (layer == 0 && type == T_PPS)
            parse_pps(r, &b);
        else if (type == T_EOS)
            r->after_eos = true;
        else if (layer == 0 && type == T_SEI_PREFIX)
            resumable |= is_resume_sei(&b);
        p = next;
    }
    return REFS_NONE;
}

size_t refs_copy_without_sei(uint8_t *dst, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len, *p = find_start(data, end);
    size_t n = 0;
    while (p < end) {
        const uint8_t *next = find_start(p + 3, end);
        int type = end - p > 3 ? p[3] >> 1 & 0x3f : T_FD;
        if (type != T_AUD && type != T_FD && type != T_SEI_PREFIX && type != T_SEI_SUFFIX) {
            memcpy(dst + n, p, (size_t)(next - p));
            n += (size_t)(next - p);
        }
        p = next;
    }
    return n;
}
