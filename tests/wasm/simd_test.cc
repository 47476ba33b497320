// The decoder's vector code against libde265's plain versions, on random input. simd.test.mjs calls each
// exported function with a seed: 0: all the same; else which case differed.
#include "../../web/decoder/simd.h"

#include <libde265/fallback.h>

#include <string.h>

#define EXPORT(name) extern "C" __attribute__((export_name(#name))) int name

namespace {

acceleration_functions plain, ours;
uint64_t state;

uint32_t random32()
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}
int below(int n) { return (int)(random32() % (uint32_t)n); }

// Mostly noise; sometimes only black and white, where sums are largest.
void fill(uint8_t *p, int n)
{
    int kind = below(4);
    for (int i = 0; i < n; i++)
        p[i] = kind == 0 ? (random32() & 1 ? 255 : 0) : kind == 1 ? 255 : (uint8_t)random32();
}

void begin(int seed)
{
    state = (uint64_t)seed * 2654435761u + 1;
    init_acceleration_functions_fallback(&plain);
    hv_init_acceleration(&ours);
}

enum { SIZE = 64, STRIDE = SIZE + 32, MARGIN = 8 };
uint8_t source[2][STRIDE * (SIZE + 2 * MARGIN)], drawn[2][STRIDE * SIZE];
int16_t predicted[2][2][SIZE * SIZE], scratch[SIZE * (SIZE + 8)];

const uint8_t *at(int list) { return source[list] + MARGIN * STRIDE + MARGIN; }

// One prediction, by both; ours may keep it in mind only.
void predict(int list, int width, int height, int stride, bool luma)
{
    for (int k = 0; k < 2; k++) {
        static int x, y;
        acceleration_functions &t = k ? ours : plain;
        int16_t *out = predicted[k][list];
        if (k == 0) {
            x = below(3) ? below(luma ? 4 : 8) : 0;
            y = below(3) ? below(luma ? 4 : 8) : 0;
        }
        if (luma)
            t.put_hevc_qpel_8[x][y](out, stride, at(list), STRIDE, width, height, scratch);
        else if (x && y)
            t.put_hevc_epel_hv_8(out, stride, at(list), STRIDE, width, height, x, y, scratch, 8);
        else if (x)
            t.put_hevc_epel_h_8(out, stride, at(list), STRIDE, width, height, x, y, scratch, 8);
        else if (y)
            t.put_hevc_epel_v_8(out, stride, at(list), STRIDE, width, height, x, y, scratch, 8);
        else
            t.put_hevc_epel_8(out, stride, at(list), STRIDE, width, height, x, y, scratch);
    }
}

// libde265 writes around the picture's edge by itself, where no function of the table is asked.
void predict_at_edge(int list, int width, int height, int stride)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            predicted[0][list][y * stride + x] = predicted[1][list][y * stride + x] =
                (int16_t)(below(256) << 6);
}

void draw(acceleration_functions &t, int k, int how, int width, int height, int stride, const int *w)
{
    int16_t *a = predicted[k][0], *b = predicted[k][1];
    switch (how) {
    case 0: t.put_unweighted_pred_8(drawn[k], STRIDE, a, stride, width, height); break;
    case 1: t.put_weighted_pred_avg_8(drawn[k], STRIDE, a, b, stride, width, height); break;
    case 2: t.put_weighted_pred_8(drawn[k], STRIDE, a, stride, width, height, w[0], w[1], w[4]); break;
    default:
        t.put_weighted_bipred_8(drawn[k], STRIDE, a, b, stride, width, height, w[0], w[1], w[2], w[3],
                                w[4]);
    }
}

} // namespace

EXPORT(motion)(int seed, int rounds)
{
    static const int sizes[] = {2, 4, 6, 8, 12, 16, 24, 32, 48, 64};
    begin(seed);
    for (int i = 0; i < rounds; i++) {
        bool luma = below(2);
        int width = sizes[luma ? 1 + below(9) : below(10)], height = sizes[below(10)];
        if (luma && width == 6)
            width = 4; // there is none
        int stride = (width + 7) & ~7;
        for (int list = 0; list < 2; list++)
            fill(source[list], sizeof source[0]);
        fill(drawn[0], sizeof drawn[0]);
        memcpy(drawn[1], drawn[0], sizeof drawn[0]);
        int how = below(4);
        const int w[] = {below(256) - 128, below(256) - 128, below(256) - 128, below(256) - 128,
                         6 + below(8)};
        for (int list = 0; list <= (how & 1); list++) {
            if (below(8))
                predict(list, width, height, stride, luma);
            else
                predict_at_edge(list, width, height, stride);
        }
        draw(plain, 0, how, width, height, stride, w);
        draw(ours, 1, how, width, height, stride, w);
        // Also what is beside the block must be as it was.
        if (memcmp(drawn[0], drawn[1], sizeof drawn[0]))
            return 1 + i;
    }
    return 0;
}

EXPORT(transforms)(int seed, int rounds)
{
    static int16_t coeffs[32 * 32];
    begin(seed);
    for (int i = 0; i < rounds; i++) {
        int kind = below(5), n = kind == 4 ? 4 : 4 << kind, left = n * n;
        memset(coeffs, 0, sizeof coeffs);
        // None, one, a corner, all; small, or as large as they get.
        int corner = 1 + below(n), large = below(3);
        int count = below(4) == 0 ? left : below(12);
        for (int c = 0; c < count; c++) {
            int x = below(corner), y = below(corner);
            coeffs[y * n + x] = large == 0   ? (int16_t)random32()
                                : large == 1 ? (random32() & 1 ? 32767 : -32768)
                                             : (int16_t)(below(400) - 200);
        }
        if (below(5) == 0)
            coeffs[0] = (int16_t)random32();
        fill(drawn[0], sizeof drawn[0]);
        memcpy(drawn[1], drawn[0], sizeof drawn[0]);
        for (int k = 0; k < 2; k++) {
            acceleration_functions &t = k ? ours : plain;
            if (kind == 4)
                t.transform_4x4_dst_add_8(drawn[k], coeffs, STRIDE);
            else
                t.transform_add_8[kind](drawn[k], coeffs, STRIDE);
        }
        if (memcmp(drawn[0], drawn[1], sizeof drawn[0]))
            return 1 + i;
    }
    return 0;
}

EXPORT(residuals)(int seed, int rounds)
{
    static int32_t r[32 * 32];
    begin(seed);
    for (int i = 0; i < rounds; i++) {
        int n = 4 << below(4), range = below(2) ? 512 : 131072;
        for (int c = 0; c < n * n; c++)
            r[c] = below(range) - range / 2;
        fill(drawn[0], sizeof drawn[0]);
        memcpy(drawn[1], drawn[0], sizeof drawn[0]);
        plain.add_residual_8(drawn[0], STRIDE, r, n, 8);
        ours.add_residual_8(drawn[1], STRIDE, r, n, 8);
        if (memcmp(drawn[0], drawn[1], sizeof drawn[0]))
            return 1 + i;
    }
    return 0;
}
