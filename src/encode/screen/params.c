#include "encode/screen/params.h"

#include "hevc/nal.h"

#include <string.h>

struct bit_writer {
    uint8_t data[512]; /* no header comes near: 68 entry points are the most */
    size_t bits;
};

static void put(struct bit_writer *w, int n, uint32_t v)
{
    for (int i = n - 1; i >= 0; i--, w->bits++)
        if (v >> i & 1)
            w->data[w->bits / 8] |= (uint8_t)(0x80 >> w->bits % 8);
}

static void put_ue(struct bit_writer *w, uint32_t v) /* 9.2 */
{
    int n = 31 - __builtin_clz(v + 1);
    put(w, n, 0);
    put(w, n + 1, v + 1);
}

static void put_se(struct bit_writer *w, int v)
{
    put_ue(w, v > 0 ? 2 * (uint32_t)v - 1 : 2 * (uint32_t)-v);
}

static void put_trailing(struct bit_writer *w) /* rbsp_trailing_bits, byte_alignment */
{
    put(w, 1, 1);
    w->bits = (w->bits + 7) & ~(size_t)7;
}

/* Appends the bytes with 03 after each 00 00 that 00, 01, 02 or 03 follows. */
static bool append_escaped(struct access_unit *au, const uint8_t *d, size_t len, int *zeros)
{
    if (!access_unit_reserve(au, au->len + len + len / 2 + 4))
        return false;
    uint8_t *out = au->data + au->len;
    int z = *zeros;
    for (size_t i = 0; i < len; i++) {
        if (z >= 2 && d[i] <= 3) {
            *out++ = 3;
            z = 0;
        }
        *out++ = d[i];
        z = d[i] ? 0 : z + 1;
    }
    *zeros = z;
    au->len = (size_t)(out - au->data);
    return true;
}

static bool nal_begin(struct access_unit *au, int type, const struct bit_writer *w, int *zeros)
{
    const uint8_t head[6] = {0, 0, 0, 1, (uint8_t)(type << 1), 1};
    *zeros = 0;
    return access_unit_append(au, head, sizeof head) &&
           append_escaped(au, w->data, w->bits / 8, zeros);
}

void params_choose(struct screen_params *p, const struct encoder_config *c)
{
    int odd = c->fmt == PIX_I420 ? 1 : 0;
    int level = hevc_level_for(c->width, c->height, c->fps, c->bitrate_bps);
    int roomy = hevc_level_for_dpb(level, c->width, c->height);
    if (roomy > level && roomy <= c->max_level_idc)
        level = roomy;
    *p = (struct screen_params){.fmt = c->fmt, .coded_width = (c->width + 7) & ~7,
                                .coded_height = (c->height + 7) & ~7,
                                .width = (c->width + odd) & ~odd,
                                .height = (c->height + odd) & ~odd, .level_idc = level,
                                .dpb_size = hevc_dpb_size(level, c->width, c->height)};
}

static void put_profile_tier_level(struct bit_writer *w, const struct screen_params *p) /* 7.3.3 */
{
    bool rext = p->fmt == PIX_I444;
    int profile = rext ? 4 : 1; /* A.3.5 format range extensions, A.3.2 Main */
    put(w, 2, 0);
    put(w, 1, 0); /* Main tier */
    put(w, 5, (uint32_t)profile);
    for (int i = 0; i < 32; i++)
        put(w, 1, rext ? i == 4 : i == 1 || i == 2); /* Main also fits Main 10 */
    put(w, 1, 1); /* progressive */
    put(w, 1, 0);
    put(w, 1, 1); /* non-packed */
    put(w, 1, 1); /* frame only */
    if (rext) { /* table A.2, Main 4:4:4: at most 12, 10, 8 bits; neither 4:2:2, 4:2:0 nor mono */
        put(w, 9, 0x1c1);
        put(w, 32, 0);
        put(w, 2, 0);
    } else {
        put(w, 32, 0);
        put(w, 11, 0);
    }
    put(w, 1, 0);
    put(w, 8, (uint32_t)p->level_idc);
}

static void put_buffering(struct bit_writer *w, const struct screen_params *p)
{
    put_ue(w, (uint32_t)p->dpb_size - 1); /* max_dec_pic_buffering_minus1 */
    put_ue(w, 0);
    put_ue(w, 0);
}

static void put_vps(struct bit_writer *w, const struct screen_params *p) /* 7.3.2.1 */
{
    put(w, 4, 0);
    put(w, 2, 3);
    put(w, 6, 0);
    put(w, 3, 0);
    put(w, 1, 1);
    put(w, 16, 0xffff);
    put_profile_tier_level(w, p);
    put(w, 1, 1);
    put_buffering(w, p);
    put(w, 6, 0);
    put_ue(w, 0);
    put(w, 1, 0); /* no timing: pictures come when something changes */
    put(w, 1, 0);
    put_trailing(w);
}

static void put_vui(struct bit_writer *w, const struct screen_params *p) /* E.2.1 */
{
    put(w, 1, 0);
    put(w, 1, 0);
    put(w, 1, 1); /* video_signal_type: unspecified format, limited range, BT.709 (table E.3) */
    put(w, 3, 5);
    put(w, 1, 0);
    put(w, 1, 1);
    put(w, 8, 1);
    put(w, 8, 1);
    put(w, 8, 1);
    if (p->fmt == PIX_I420) { /* chroma_loc_info: left, as convert sites it */
        put(w, 1, 1);
        put_ue(w, 0);
        put_ue(w, 0);
    } else {
        put(w, 1, 0);
    }
    put(w, 3, 0); /* neutral chroma, field sequence, frame field info */
    put(w, 1, 0); /* default display window */
    put(w, 1, 0); /* timing */
    put(w, 1, 0); /* bitstream restriction */
}

static void put_sps(struct bit_writer *w, const struct screen_params *p) /* 7.3.2.2 */
{
    bool c420 = p->fmt == PIX_I420;
    put(w, 4, 0);
    put(w, 3, 0);
    put(w, 1, 1);
    put_profile_tier_level(w, p);
    put_ue(w, 0);
    put_ue(w, c420 ? 1 : 3);
    if (!c420)
        put(w, 1, 0); /* separate_colour_plane_flag */
    put_ue(w, (uint32_t)p->coded_width);
    put_ue(w, (uint32_t)p->coded_height);
    int unit = c420 ? 2 : 1, right = (p->coded_width - p->width) / unit,
        bottom = (p->coded_height - p->height) / unit;
    put(w, 1, right || bottom);
    if (right || bottom) {
        put_ue(w, 0);
        put_ue(w, (uint32_t)right);
        put_ue(w, 0);
        put_ue(w, (uint32_t)bottom);
    }
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, SCREEN_POC_BITS - 4);
    put(w, 1, 1);
    put_buffering(w, p);
    put_ue(w, 0); /* smallest coding block 8 */
    put_ue(w, SCREEN_CTB_LOG2 - 3);
    put_ue(w, 0); /* transform blocks 4 to 32, */
    put_ue(w, 3);
    put_ue(w, 1); /* split once at most */
    put_ue(w, 1);
    put(w, 1, 0); /* scaling lists */
    put(w, 1, 0); /* amp */
    put(w, 1, 0); /* sao */
    put(w, 1, 0); /* pcm */
    put_ue(w, 1); /* one short-term reference picture set: */
    put_ue(w, 1); /* one picture before, */
    put_ue(w, 0);
    put_ue(w, 0); /* at POC - 1, */
    put(w, 1, 1); /* used */
    put(w, 1, 1); /* long-term references, */
    put_ue(w, 0); /* told in the slices */
    put(w, 1, 0); /* temporal motion vectors: a skipped block depends on its neighbours alone */
    put(w, 1, 0); /* strong intra smoothing: it blurs */
    put(w, 1, 1);
    put_vui(w, p);
    put(w, 1, 0);
    put_trailing(w);
}

static void put_pps(struct bit_writer *w, const struct screen_params *p, bool wavefronts) /* 7.3.2.3 */
{
    put_ue(w, (uint32_t)(p->pps_id + (wavefronts ? SCREEN_PPS_WAVEFRONTS : 0)));
    put_ue(w, 0);
    put(w, 1, 0); /* dependent slices */
    put(w, 1, 0); /* output_flag_present */
    put(w, 3, 0);
    put(w, 1, 0); /* sign hiding */
    put(w, 1, 0); /* cabac_init_present */
    put_ue(w, 0);
    put_ue(w, 0);
    put_se(w, SCREEN_INIT_QP - 26);
    put(w, 1, 0); /* constrained intra */
    put(w, 1, 1); /* transform_skip_enabled */
    put(w, 1, 1); /* cu_qp_delta_enabled, for whole tree blocks */
    put_ue(w, 0);
    put_se(w, SCREEN_CHROMA_QP_OFFSET);
    put_se(w, SCREEN_CHROMA_QP_OFFSET);
    put(w, 1, 0);
    put(w, 2, 0); /* weighted prediction */
    put(w, 1, 1); /* transquant_bypass_enabled */
    put(w, 1, 0); /* tiles */
    put(w, 1, wavefronts); /* entropy_coding_sync_enabled */
    put(w, 1, 0); /* loop filter across slices */
    put(w, 1, 1); /* deblocking control: disabled, it would blur text and touch what stood still */
    put(w, 1, 0);
    put(w, 1, 1);
    put(w, 1, 0); /* scaling lists */
    put(w, 1, 0); /* lists_modification_present */
    put_ue(w, 0); /* log2_parallel_merge_level 2 */
    put(w, 1, 0);
    put(w, 1, 0);
    put_trailing(w);
}

/* 7.3.2.4: user_data_unregistered() of the identifier alone. */
static void put_resume_sei(struct bit_writer *w)
{
    put(w, 8, 5);
    put(w, 8, sizeof hevc_resume_uuid);
    for (size_t i = 0; i < sizeof hevc_resume_uuid; i++)
        put(w, 8, hevc_resume_uuid[i]);
    put_trailing(w);
}

bool params_write_sets(struct access_unit *au, const struct screen_params *p)
{
    struct bit_writer vps = {0}, sps = {0}, pps = {0}, rows_pps = {0}, sei = {0};
    int zeros;
    put_vps(&vps, p);
    put_sps(&sps, p);
    put_pps(&pps, p, false);
    put_pps(&rows_pps, p, true);
    put_resume_sei(&sei);
    return nal_begin(au, NAL_VPS, &vps, &zeros) && nal_begin(au, NAL_SPS, &sps, &zeros) &&
           nal_begin(au, NAL_PPS, &pps, &zeros) &&
           (!p->wavefronts || nal_begin(au, NAL_PPS, &rows_pps, &zeros)) &&
           nal_begin(au, NAL_SEI_PREFIX, &sei, &zeros);
}

/* The short-term set is that of the SPS, the picture at POC - 1; or it is told: one picture, or
 * none (7.3.7). Then the long-term ones, by the low bits of their POC. */
static void put_references(struct bit_writer *w, const struct slice_params *s)
{
    put(w, 1, s->before == 1);
    if (s->before != 1) {
        put(w, 1, 0); /* inter_ref_pic_set_prediction_flag */
        put_ue(w, s->before > 0);
        put_ue(w, 0);
        if (s->before > 0) {
            put_ue(w, (uint32_t)s->before - 1);
            put(w, 1, 1);
        }
    }
    put_ue(w, (uint32_t)s->n_lt);
    int cycles = 0;
    for (int i = 0; i < s->n_lt; i++) {
        put(w, SCREEN_POC_BITS, (uint32_t)s->lt[i].poc & ((1u << SCREEN_POC_BITS) - 1));
        put(w, 1, s->lt[i].used);
        /* delta_poc_msb_present: no two have the same low bits. But with entry points the header
         * should need no emulation prevention, which libde265 counts among the data's: ones keep
         * the zeros apart. The cycles add up along the list. */
        int behind = (s->poc >> SCREEN_POC_BITS) - (s->lt[i].poc >> SCREEN_POC_BITS);
        bool tell = s->wavefronts && behind >= cycles;
        put(w, 1, tell);
        if (tell) {
            put_ue(w, (uint32_t)(behind - cycles));
            cycles = behind;
        }
    }
}

/* How long it is with emulation prevention. */
static size_t escaped_len(const struct substream *d)
{
    size_t more = 0;
    int z = 0;
    for (size_t i = 0; i < d->len; i++) {
        if (z >= 2 && d->data[i] <= 3) {
            more++;
            z = 0;
        }
        z = d->data[i] ? 0 : z + 1;
    }
    return d->len + more;
}

/* 7.4.7.1: each substream's bytes but the last's, emulation prevention included. Each ends with a
 * byte that is not 0, so that none is added for two together. */
static void put_entry_points(struct bit_writer *w, const struct substream *streams, int n)
{
    put_ue(w, (uint32_t)n - 1);
    if (n < 2)
        return;
    size_t most = 1;
    for (int i = 0; i < n - 1; i++) {
        size_t len = escaped_len(&streams[i]);
        most = len > most ? len : most;
    }
    int bits = most > 1 ? 32 - __builtin_clz((uint32_t)most - 1) : 1;
    put_ue(w, (uint32_t)bits - 1);
    for (int i = 0; i < n - 1; i++)
        put(w, bits, (uint32_t)escaped_len(&streams[i]) - 1);
}

static void put_slice_header(struct bit_writer *w, const struct slice_params *s,
                             const struct substream *streams, int n) /* 7.3.6.1 */
{
    put(w, 1, 1); /* first_slice_segment_in_pic */
    if (s->key)
        put(w, 1, 0); /* no_output_of_prior_pics */
    put_ue(w, (uint32_t)(s->pps_id + (s->wavefronts ? SCREEN_PPS_WAVEFRONTS : 0)));
    put_ue(w, s->key ? 2 : 1);
    if (!s->key) {
        put(w, SCREEN_POC_BITS, (uint32_t)s->poc & ((1u << SCREEN_POC_BITS) - 1));
        put_references(w, s);
        put(w, 1, s->n_refs != 1); /* num_ref_idx_active_override */
        if (s->n_refs != 1)
            put_ue(w, (uint32_t)s->n_refs - 1);
        put_ue(w, 5 - SCREEN_MERGE_CANDIDATES);
    }
    put_se(w, s->qp - SCREEN_INIT_QP);
    if (s->wavefronts)
        put_entry_points(w, streams, n);
    put_trailing(w);
}

bool params_write_slice(struct access_unit *au, const struct slice_params *s,
                        const struct substream *streams, int n)
{
    struct bit_writer w = {0};
    int zeros;
    put_slice_header(&w, s, streams, n);
    bool good = nal_begin(au, s->key ? NAL_IDR_N_LP : NAL_TRAIL_R, &w, &zeros);
    for (int i = 0; i < n && good; i++)
        good = append_escaped(au, streams[i].data, streams[i].len, &zeros);
    return good;
}
