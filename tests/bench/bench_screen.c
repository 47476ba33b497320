/* Encoders side by side on recorded screens: CPU, bits, and sharpness.
 *
 *     bench_screen [--points N] [--pictures N] DIR [ENCODER...]
 *
 * DIR holds record_scenes.py's clips of one size. Each encoder codes each of them at up to four points:
 * `screen` at four bit rates, the others at four constant qualities. The first picture is shown until it is
 * exact or six times; then the clip runs, and at its end stands still. One JSON object a line on
 * standard output, which screen_report.py makes tables of. */
#include "avdecode.h"
#include "avencode.h"
#include "base/error.h"
#include "clip.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 600, POINTS = 4, SETTLE_MOST = 90, REPEAT_FIRST = 6 };

static const char *const scenes[] = {"still", "typing", "terminal", "page", "drag", "switch", "film"};
/* Bytes a picture: 10, 2.5, 1.2 and 0.6 Mb/s at 30 a second. */
static const size_t budgets[POINTS] = {41667, 10417, 5000, 2500};

struct one {
    double cpu_ms, kbit, psnr;
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
};

/* One picture; false: failed. Nothing to send costs nothing and leaves what is seen. */
static bool code(struct run *r, const struct picture *pic, const struct damage *damage, bool key,
                 struct one *out)
{
    *out = (struct one){0};
    if (r->other) {
        size_t bytes = 0;
        struct picture *p = avencode_run(r->other, pic, &bytes, &out->cpu_ms);
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
        double start = avencode_cpu_ms();
        int rc = r->own->ops->encode(r->own, &in, &eo);
        out->cpu_ms = avencode_cpu_ms() - start;
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
    return r->seen != NULL;
}

static bool still_for(struct run *r, const struct picture *pic, int n, bool until_exact,
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
                    .budget = budgets[point]};
    struct encoder_config config = {width, height, PIX_I420, 30, 10000000};
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

/* Means over the changed pictures; of a switch not the first, which shows what is new. */
static void report(const char *encoder, const char *scene, int point, struct result *r)
{
    int from = !strcmp(scene, "switch") && r->n_changed > 1 ? 1 : 0, n = r->n_changed - from;
    struct one sum = {0};
    for (int i = from; i < r->n_changed; i++) {
        sum.cpu_ms += r->changed[i].cpu_ms / n;
        sum.kbit += r->changed[i].kbit / n;
        sum.psnr += r->changed[i].psnr / n;
    }
    qsort(r->changed + from, (size_t)n, sizeof r->changed[0], by_cpu);
    printf("{\"scene\": \"%s\", \"encoder\": \"%s\", \"point\": %d, \"pictures\": %d, "
           "\"cpu_ms\": %.3f, \"cpu_ms_p50\": %.3f, \"cpu_ms_p95\": %.3f, \"kbit\": %.2f, "
           "\"psnr_y\": %.2f, \"first_cpu_ms\": %.2f, \"first_kbit\": %.1f, \"first_psnr_y\": %.2f, "
           "\"still_cpu_ms\": %.4f, \"end_psnr_y\": %.2f, \"exact_after_ms\": %d}\n",
           scene, encoder, point, n, sum.cpu_ms, n ? r->changed[from + n / 2].cpu_ms : 0,
           n ? r->changed[from + n * 95 / 100].cpu_ms : 0, sum.kbit, sum.psnr, r->first.cpu_ms,
           r->first.kbit, r->first.psnr, r->n_still ? r->still_cpu_ms / r->n_still : 0, r->end_psnr,
           r->exact_after < 0 ? -1 : r->exact_after * 1000 / 30);
    fflush(stdout);
}

static int bench(const char *dir, const char *const *encoders, int n_encoders, int points,
                 int most)
{
    static struct result r;
    int failed = 0;
    for (size_t s = 0; s < sizeof scenes / sizeof scenes[0]; s++)
        for (int i = 0; i < n_encoders; i++)
            for (int point = 0; point < points; point++) {
                char path[1024];
                snprintf(path, sizeof path, "%s/%s.nut", dir, scenes[s]);
                if (run_one(encoders[i], path, point, most, &r)) {
                    report(encoders[i], scenes[s], point, &r);
                } else {
                    fprintf(stderr, "bench_screen: %s on %s failed\n", encoders[i], path);
                    failed = 1;
                }
            }
    return failed;
}

int main(int argc, char **argv)
{
    const char *dir = NULL, *encoders[16];
    int points = POINTS, most = MOST, n = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--points") && i + 1 < argc)
            points = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--pictures") && i + 1 < argc)
            most = atoi(argv[++i]);
        else if (!dir)
            dir = argv[i];
        else if (n < 16)
            encoders[n++] = argv[i];
    }
    if (!dir || points < 1 || points > POINTS || most < 2 || most > MOST) {
        fprintf(stderr, "usage: bench_screen [--points N] [--pictures N] DIR [ENCODER...]\n");
        return 2;
    }
    if (!n) {
        encoders[n++] = "screen";
        for (int i = 0; avencode_name(i) && n < 16; i++)
            encoders[n++] = avencode_name(i);
    }
    return bench(dir, encoders, n, points, most);
}
