/* Sequence parameter sets, H.265 section 7.3.2.2, up to the colour description of the VUI. */
#include "hevc/nal.h"

#include "hevc/bits.h"

#include <string.h>

enum { MAX_SUB_LAYERS = 7, MAX_ST_RPS = 64, MAX_DPB = 16, MAX_SIZE = 16888 /* level 6.2, A.4.1 */ };

/* profile_tier_level(1, max_sub_layers_minus1), 7.3.3 */
static void parse_ptl(struct bit_reader *b, int max_sub_layers_minus1, struct hevc_sps *out)
{
    bits_skip(b, 2); /* general_profile_space */
    out->tier = (int)bits_1(b);
    out->profile_idc = (int)bits_u(b, 5);
    out->profile_compat_flags = bits_u(b, 32);
    for (int i = 0; i < 6; i++)
        out->constraint_flags[i] = (uint8_t)bits_u(b, 8);
    out->level_idc = (int)bits_u(b, 8);

    bool profile_present[MAX_SUB_LAYERS] = {0}, level_present[MAX_SUB_LAYERS] = {0};
    for (int i = 0; i < max_sub_layers_minus1; i++) {
        profile_present[i] = bits_1(b);
        level_present[i] = bits_1(b);
    }
    if (max_sub_layers_minus1 > 0)
        bits_skip(b, 2 * (8 - max_sub_layers_minus1));
    for (int i = 0; i < max_sub_layers_minus1; i++) {
        if (profile_present[i])
            bits_skip(b, 88);
        if (level_present[i])
            bits_skip(b, 8);
    }
}

/* scaling_list_data, 7.3.4: read only to get past it. */
static void skip_scaling_lists(struct bit_reader *b)
{
    for (int size = 0; size < 4 && !b->failed; size++) {
        for (int matrix = 0; matrix < 6 && !b->failed; matrix += size == 3 ? 3 : 1) {
            if (!bits_1(b)) {
                bits_ue(b);
                continue;
            }
            int coefs = 1 << (4 + (size << 1));
            if (coefs > 64)
                coefs = 64;
            if (size > 1)
                bits_se(b);
            for (int i = 0; i < coefs && !b->failed; i++)
                bits_se(b);
        }
    }
}

/* st_ref_pic_set(idx), 7.3.7; num_delta_pocs of the sets before it are needed to read it. */
static bool skip_st_ref_pic_set(struct bit_reader *b, int idx, int num_delta_pocs[MAX_ST_RPS])
{
    if (idx > 0 && bits_1(b)) { /* inter_ref_pic_set_prediction_flag */
        bits_1(b);
        bits_ue(b);
        int n = 0;
        for (int j = 0; j <= num_delta_pocs[idx - 1] && !b->failed; j++) {
            bool used = bits_1(b);
            bool use_delta = used || bits_1(b);
            n += use_delta;
        }
        num_delta_pocs[idx] = n;
        return !b->failed && n <= MAX_DPB;
    }
    uint32_t negative = bits_ue(b), positive = bits_ue(b);
    if (b->failed || negative > MAX_DPB || positive > MAX_DPB || negative + positive > MAX_DPB)
        return false;
    for (uint32_t i = 0; i < negative + positive; i++) {
        bits_ue(b);
        bits_1(b);
    }
    num_delta_pocs[idx] = (int)(negative + positive);
    return !b->failed;
}

static bool skip_reference_sets(struct bit_reader *b, int log2_max_poc_lsb)
{
    int num_delta_pocs[MAX_ST_RPS];
    uint32_t n = bits_ue(b);
    if (b->failed || n > MAX_ST_RPS)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!skip_st_ref_pic_set(b, (int)i, num_delta_pocs))
            return false;
    if (bits_1(b)) { /* long_term_ref_pics_present_flag */
        uint32_t lt = bits_ue(b);
        if (b->failed || lt > 32)
            return false;
        bits_skip(b, (int)lt * (log2_max_poc_lsb + 1));
    }
    return !b->failed;
}

/* vui_parameters, E.2.1, as far as the colours. */
static void parse_vui(struct bit_reader *b, struct hevc_sps *out)
{
    if (bits_1(b) && bits_u(b, 8) == 255) /* aspect_ratio_idc EXTENDED_SAR */
        bits_skip(b, 32);
    if (bits_1(b)) /* overscan */
        bits_1(b);
    if (!bits_1(b)) /* video_signal_type_present_flag */
        return;
    bits_skip(b, 3);
    out->full_range = bits_1(b);
    if (!bits_1(b))
        return;
    out->has_vui_colour = true;
    out->colour_primaries = (int)bits_u(b, 8);
    out->transfer = (int)bits_u(b, 8);
    out->matrix = (int)bits_u(b, 8);
}

/* Picture size and conformance window (7.4.3.2.1). */
static bool parse_size(struct bit_reader *b, struct hevc_sps *out)
{
    uint32_t chroma = bits_ue(b);
    if (b->failed || chroma > 3)
        return false;
    out->chroma_format_idc = (int)chroma;
    bool separate_planes = chroma == 3 && bits_1(b);
    uint32_t w = bits_ue(b), h = bits_ue(b);
    if (b->failed || w == 0 || h == 0 || w > MAX_SIZE || h > MAX_SIZE)
        return false;
    uint32_t crop[4] = {0}; /* left, right, top, bottom */
    if (bits_1(b))
        for (int i = 0; i < 4; i++)
            crop[i] = bits_ue(b);
    uint32_t sub_w = chroma == 1 || chroma == 2 ? 2 : 1;
    uint32_t sub_h = chroma == 1 ? 2 : 1;
    if (separate_planes)
        sub_w = sub_h = 1;
    uint64_t cut_w = (uint64_t)sub_w * ((uint64_t)crop[0] + crop[1]);
    uint64_t cut_h = (uint64_t)sub_h * ((uint64_t)crop[2] + crop[3]);
    if (b->failed || cut_w >= w || cut_h >= h)
        return false;
    out->coded_width = (int)w;
    out->coded_height = (int)h;
    out->width = (int)(w - cut_w);
    out->height = (int)(h - cut_h);
    return true;
}

/* From the block sizes to the PCM parameters. */
static bool skip_tools(struct bit_reader *b)
{
    for (int i = 0; i < 6; i++) /* four block sizes, two transform depths */
        if (bits_ue(b) > 31)
            return false;
    if (bits_1(b) && bits_1(b)) /* scaling_list_enabled_flag, sps_scaling_list_data_present_flag */
        skip_scaling_lists(b);
    bits_skip(b, 2);
    if (bits_1(b)) { /* pcm_enabled_flag */
        bits_skip(b, 8);
        bits_ue(b);
        bits_ue(b);
        bits_1(b);
    }
    return !b->failed;
}

bool hevc_parse_sps(const struct nal *nal, struct hevc_sps *out)
{
    memset(out, 0, sizeof *out);
    out->colour_primaries = out->transfer = out->matrix = 2;
    if (nal->len < 4 || nal_type(nal) != NAL_SPS || nal_layer(nal) != 0)
        return false;
    struct bit_reader b = bit_reader_of(nal->data + 2, nal->len - 2);
    out->vps_id = (int)bits_u(&b, 4);
    int sub_layers_minus1 = (int)bits_u(&b, 3);
    if (sub_layers_minus1 >= MAX_SUB_LAYERS)
        return false;
    bits_1(&b);
    parse_ptl(&b, sub_layers_minus1, out);
    uint32_t id = bits_ue(&b);
    if (b.failed || id > 15)
        return false;
    out->id = (int)id;
    if (!parse_size(&b, out))
        return false;
    uint32_t luma = bits_ue(&b), chroma = bits_ue(&b), poc = bits_ue(&b);
    if (b.failed || luma > 8 || chroma > 8 || poc > 12)
        return false;
    out->bit_depth_luma = (int)luma + 8;
    out->bit_depth_chroma = (int)chroma + 8;
    bool all_layers = bits_1(&b); /* sps_sub_layer_ordering_info_present_flag */
    for (int i = all_layers ? 0 : sub_layers_minus1; i <= sub_layers_minus1; i++) {
        uint32_t buffering = bits_ue(&b), reorder = bits_ue(&b), latency = bits_ue(&b);
        if (b.failed || buffering >= MAX_DPB || reorder > buffering)
            return false;
        out->max_dec_pic_buffering = (int)buffering + 1;
        out->max_num_reorder = (int)reorder;
        out->max_latency_increase = latency > INT32_MAX ? INT32_MAX : (int)latency;
    }
    if (!skip_tools(&b) || !skip_reference_sets(&b, (int)poc + 4))
        return false;
    bits_skip(&b, 2); /* sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag */
    if (bits_1(&b))
        parse_vui(&b, out);
    return !b.failed;
}
