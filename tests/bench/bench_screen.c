/* Encoders side by side on recorded screens: CPU, bits, and sharpness.
 *
 *     bench_screen [--points N] [--pictures N] CLIP [ENCODER...]
 *
 * CLIP: one of record_scenes.py. Each encoder codes it at a number of points, the finest first:
 * `screen` at bit rates, the others at constant qualities. The first picture is shown until it is
 * exact, or four times; then the clip runs, and at its end stands still. One JSON object a line,
 * which screen_report.py makes tables of. PSNR of several pictures is that of their mean squared
 * error: pictures that are exact do not make up for others. */
#include "avdecode.h"
#include "avencode.h"
#include "base/error.h"
#include "clip.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "scenes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 600, POINTS = 6, SETTLE_MOST = 90, REPEAT_FIRST = 4, FPS = 30 };

/* Bytes a picture of 1920x1080: 20, 10, 5, 2.5, 1.2 and 0.6 Mb/s; in proportion for other sizes. */
static const size_t budgets[POINTS] = {83333, 41667, 20833, 10417, 5000, 2500};

struct one {
    double cpu_ms, wall_ms, kbit, psnr, mse;
};

struct result {
    struct one first, changed[MOST]; /* of the pictures that changed */
    int n_changed, n_still;
    double still_cpu_ms;             /* of all that did not */
    double still_kbit, end_psnr;
    int exact_after;                 /* pictures after the end until it was exact; -1: not */
};

struct run {
    struct encoder *own;
    struct avencode *other;
    struct avdecode *decoder;
    struct converter *converter;
    struct picture *seen; /* owns; the viewer's picture */
    size_t budget;
    uint64_t id;
    bool more;
    int64_t now_us; /* of the clip: 30 calls a second */
};

static double mse_of(double psnr)
{
    return psnr >= 99 ? 0 : 255 * 255 / pow(10, psnr / 10);
}

/* One picture; false: failed. Nothing to send costs nothing and leaves what is seen. */
static bool code(struct run *r, struct picture *pic, const struct damage *damage, bool key,
                 struct one *out)
{
    *out = (struct one){0};
    pic->pts_us = r->now_us += 1000000 / FPS;
    if (r->other) {
        size_t bytes = 0;
        struct picture *p = avencode_run(r->other, pic, &bytes, &out->cpu_ms, &out->wall_ms);
        if (!p)
            return false;
        picture_unref(&r->seen);
        r->seen = p;
        out->kbit = (double)bytes * 8 / 1000;
    } else {
        struct encode_out eo;
        bool refine = !key && damage->n == 0 && r->more;
        struct encode_in in = {.pic = pic, .damage = damage, .pic_id = ++r->id,
                               .budget_bytes = key ? 4 * r->budget : r->budget,
                               .key_wanted = key, .refine = refine};
        double start = avencode_cpu_ms(), since = avencode_wall_ms();
        int rc = r->own->ops->encode(r->own, &in, &eo);
        out->cpu_ms = avencode_cpu_ms() - start;
        out->wall_ms = avencode_wall_ms() - since;
        if (rc)
            return false;
        r->more = eo.wants_more;
        if (eo.au) {
            out->kbit = (double)eo.au->len * 8 / 1000;
            picture_unref(&r->seen);
            r->seen = avdecode_run(r->decoder, eo.au);
            access_unit_unref(&eo.au);
        }
    }
    out->psnr = r->seen ? plane_psnr(pic, r->seen, 0) : 0;
    out->mse = mse_of(out->psnr);
    return r->seen != NULL;
}

static bool still_for(struct run *r, struct picture *pic, int n, bool until_exact,
                      struct result *out)
{
    static const struct damage none;
    for (int i = 0; i < n; i++) {
        struct one one;
        bool was_more = r->more;
        if (!code(r, pic, &none, false, &one))
            return false;
        out->still_cpu_ms += one.cpu_ms;
        out->still_kbit += one.kbit;
        out->n_still++;
        out->end_psnr = one.psnr;
        if (until_exact && out->exact_after < 0 && one.psnr >= 99)
            out->exact_after = was_more ? i + 1 : 0;
        if (until_exact && (r->own ? !r->more : i + 1 == REPEAT_FIRST))
            break;
    }
    return true;
}

static bool run_clip(struct run *r, struct clip *clip, int most, struct result *out)
{
    struct picture *bgrx, *pic = NULL;
    struct result warm = {0};
    bool good = true;
    out->exact_after = -1;
    for (int i = 0; good && i < most && (bgrx = clip_next(clip)); i++) {
        picture_unref(&pic);
        if (converter_run(r->converter, bgrx, &pic))
            return false;
        if (i == 0) {
            good = code(r, pic, &bgrx->damage, true, &out->first) &&
                   still_for(r, pic, SETTLE_MOST, true, &warm);
        } else if (bgrx->damage.n) {
            good = code(r, pic, &bgrx->damage, false, &out->changed[out->n_changed++]);
        } else {
            good = still_for(r, pic, 1, false, out);
        }
    }
    good = good && pic && still_for(r, pic, SETTLE_MOST, true, out);
    picture_unref(&pic);
    return good;
}

static bool run_one(const char *encoder, const char *path, int point, int most,
                    struct result *out)
{
    int width, height;
    struct clip *clip = clip_open(path, &width, &height);
    if (!clip)
        return false;
    struct run r = {.converter = converter_new(PIX_I420), .decoder = avdecode_new(),
                    .budget = budgets[point] * (size_t)width * (size_t)height / (1920 * 1080)};
    struct encoder_config config = {.width = width, .height = height, .fmt = PIX_I420, .fps = FPS,
                                    .bitrate_bps = 10000000, .pictures_stay = true};
    *out = (struct result){0};
    bool good = r.converter && r.decoder;
    if (good && !strcmp(encoder, "screen"))
        good = encoder_open(&r.own, &encoder_screen, &config) == 0;
    else if (good)
        good = (r.other = avencode_new(encoder, width, height, point)) != NULL;
    good = good && run_clip(&r, clip, most, out);
    if (r.own)
        encoder_close(&r.own);
    avencode_free(&r.other);
    avdecode_free(&r.decoder);
    converter_free(&r.converter);
    picture_unref(&r.seen);
    clip_close(&clip);
    return good;
}

static int by_cpu(const void *a, const void *b)
{
    double x = ((const struct one *)a)->cpu_ms, y = ((const struct one *)b)->cpu_ms;
    return x < y ? -1 : x > y;
}

static int by_wall(const void *a, const void *b)
{
    double x = ((const struct one *)a)->wall_ms, y = ((const struct one *)b)->wall_ms;
    return x < y ? -1 : x > y;
}

/* Means over the changed pictures; of a switch not the first, which shows what is new. */
static void report(const char *encoder, const char *scene, int point, struct result *r)
{
    int from = !strcmp(scene, "switch") && r->n_changed > 1 ? 1 : 0, n = r->n_changed - from;
    struct one sum = {0}, *of = r->changed + from;
    for (int i = 0; i < n; i++) {
        sum.cpu_ms += of[i].cpu_ms / n;
        sum.kbit += of[i].kbit / n;
        sum.mse += of[i].mse / n;
    }
    qsort(of, (size_t)n, sizeof *of, by_wall);
    double wall_p95 = n ? of[n * 95 / 100].wall_ms : 0;
    qsort(of, (size_t)n, sizeof *of, by_cpu);
    printf("{\"scene\": \"%s\", \"encoder\": \"%s\", \"point\": %d, \"pictures\": %d, "
           "\"cpu_ms\": %.3f, \"cpu_ms_p50\": %.3f, \"cpu_ms_p95\": %.3f, \"wall_ms_p95\": %.3f, "
           "\"kbit\": %.2f, \"psnr_y\": %.2f, \"first_cpu_ms\": %.2f, \"first_kbit\": %.1f, "
           "\"first_psnr_y\": %.2f, \"still_cpu_ms\": %.4f, \"end_psnr_y\": %.2f, "
           "\"exact_after_ms\": %d}\n",
           scene, encoder, point, n, sum.cpu_ms, n ? of[n / 2].cpu_ms : 0,
           n ? of[n * 95 / 100].cpu_ms : 0, wall_p95, sum.kbit,
           !n ? 0 : sum.mse > 1e-9 ? 10 * log10(255 * 255 / sum.mse) : 99, r->first.cpu_ms,
           r->first.kbit, r->first.psnr, r->n_still ? r->still_cpu_ms / r->n_still : 0, r->end_psnr,
           r->exact_after < 0 ? -1 : r->exact_after * 1000 / FPS);
    fflush(stdout);
}

/* CLIP's name without directory and ending. */
static void name_of(const char *path, char *name, size_t len)
{
    const char *base = strrchr(path, '/');
    snprintf(name, len, "%s", base ? base + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot)
        *dot = 0;
}

static int bench(const char *path, const char *const *encoders, int n_encoders, int points,
                 int most)
{
    static struct result r;
    char scene[64];
    int failed = 0;
    name_of(path, scene, sizeof scene);
    for (int i = 0; i < n_encoders; i++) {
        int all = strcmp(encoders[i], "screen") ? AVENCODE_POINTS : POINTS;
        for (int point = 0; point < all && point < points; point++) {
            if (run_one(encoders[i], path, point, most, &r)) {
                report(encoders[i], scene, point, &r);
            } else {
                fprintf(stderr, "bench_screen: %s on %s failed\n", encoders[i], path);
                failed = 1;
                break;
            }
        }
    }
    return failed;
}

int main(int argc, char **argv)
{
    const char *clip = NULL, *encoders[16];
    int points = POINTS, most = MOST, n = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--points") && i + 1 < argc)
            points = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--pictures") && i + 1 < argc)
            most = atoi(argv[++i]);
        else if (!clip)
            clip = argv[i];
        else if (n < 16)
            encoders[n++] = argv[i];
    }
    if (!clip || points < 1 || most < 2 || most > MOST) {
        fprintf(stderr, "usage: bench_screen [--points N] [--pictures N] CLIP [ENCODER...]\n");
        return 2;
    }
    if (!n) {
        encoders[n++] = "screen";
        for (int i = 0; avencode_name(i) && n < 16; i++)
            encoders[n++] = avencode_name(i);
    }
    return bench(clip, encoders, n, points, most);
}
