#include "encode/screen/rate.h"

#include <math.h>

void rate_init(struct rate *r)
{
    r->scale[0][0] = r->scale[0][1] = 1.4;
    r->scale[1][0] = r->scale[1][1] = 1.0;
    for (int qp = 0; qp <= RATE_QP_MAX; qp++)
        for (int b = 0; b < RATE_BINS; b++) {
            double step = qp ? 0.625 * pow(2, qp / 6.0) : 0.5;
            double a = b ? pow(2, b / 2.0 - 4) : 0; /* middle of the bin */
            r->unit[qp][b] = (float)(96 * .5 * log2(1 + a * a / (step * step)) / 8);
        }
}

int rate_bin(uint32_t activity)
{
    /* Half octaves of the mean difference times 16; there are 112 differences in a block. */
    uint32_t a = activity * 32 / 112;
    if (a == 0)
        return activity > 0;
    int log2 = 31 - __builtin_clz(a);
    int bin = 2 * log2 + (log2 > 0 ? a >> (log2 - 1) & 1 : 0);
    return bin < 1 ? 1 : bin < RATE_BINS ? bin : RATE_BINS - 1;
}

double rate_estimate(const struct rate *r, const struct rate_work *w, int qp)
{
    double sum = 0;
    int blocks = 0;
    for (int b = 0; b < RATE_BINS; b++) {
        sum += w->blocks[b] * (double)r->unit[qp][b];
        blocks += w->blocks[b];
    }
    return sum * r->scale[qp == RATE_LOSSLESS][w->refine] + blocks * 0.3;
}

int rate_pick(const struct rate *r, const struct rate_work *w, size_t budget)
{
    if (rate_estimate(r, w, RATE_LOSSLESS) <= 0.6 * (double)budget)
        return RATE_LOSSLESS;
    int qp = RATE_QP_MIN;
    while (qp < RATE_QP_MAX && rate_estimate(r, w, qp) > 0.85 * (double)budget)
        qp++;
    return qp;
}

void rate_learn(struct rate *r, int qp, int refine, double estimated, size_t bytes)
{
    double *scale = &r->scale[qp == RATE_LOSSLESS][refine];
    if (estimated < 100)
        return; /* too little to learn from */
    double ratio = (double)bytes / estimated, weight = estimated < 2000 ? 0.1 : 0.4;
    *scale *= 1 + weight * (ratio < 0.2 ? -0.8 : ratio > 4 ? 3 : ratio - 1);
    *scale = *scale < 0.05 ? 0.05 : *scale > 8 ? 8 : *scale;
}
