/* What the encoder costs and gives on made-up screens: wall and CPU time, bytes, sharpness.
 *
 *     bench_encode [ENCODER] [BUDGET_BYTES] [PICTURES] [WIDTH HEIGHT] */
#include "avdecode.h"
#include "base/clock.h"
#include "base/error.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 2000 };

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

struct totals {
    double wall_ms[MOST], cpu_ms, convert_ms, bytes, psnr, qp;
    double most_bytes;
    int n, measured;
};

static void add(struct totals *t, const struct access_unit *au, double wall, double cpu,
                struct picture *want, struct picture *got)
{
    t->wall_ms[t->n++] = wall;
    t->cpu_ms += cpu;
    t->bytes += (double)au->len;
    t->qp += au->qp;
    if ((double)au->len > t->most_bytes)
        t->most_bytes = (double)au->len;
    if (got) {
        t->psnr += plane_psnr(want, got, 0);
        t->measured++;
    }
}

static void print(const char *scene, const char *what, struct totals *t)
{
    if (!t->n)
        return;
    qsort(t->wall_ms, (size_t)t->n, sizeof t->wall_ms[0], by_value);
    printf("%-9s %-8s %4d  wall p50 %6.1f p95 %6.1f ms  cpu %6.1f ms  %8.0f B (most %7.0f)  "
           "qp %4.1f  PSNR-Y %5.2f  convert %.2f ms\n",
           scene, what, t->n, t->wall_ms[t->n / 2], t->wall_ms[(t->n * 95) / 100],
           t->cpu_ms / t->n, t->bytes / t->n, t->most_bytes, t->qp / t->n,
           t->measured ? t->psnr / t->measured : 0, t->convert_ms / t->n);
    fflush(stdout);
}

static int run_scene(const struct encoder_ops *ops, enum scene_kind kind, int w, int h, int n,
                     size_t budget)
{
    static struct totals key, inter, refine;
    key = inter = refine = (struct totals){0};
    struct scene s;
    struct encoder_config config = {.width = w, .height = h, .fmt = PIX_I420, .fps = 30,
                                    .bitrate_bps = 8000000, .film = kind == SCENE_FILM};
    struct encoder *e = NULL;
    struct converter *c = converter_new(PIX_I420);
    struct avdecode *d = avdecode_new();
    if (!c || !d || !scene_init(&s, kind, w, h) || encoder_open(&e, ops, &config)) {
        fprintf(stderr, "bench_encode: %s\n", error_text());
        return 1;
    }
    bool more = true;
    for (int i = 0; i < n + 60 && (i < n || more); i++) {
        struct picture *pic;
        bool new_picture = i < n;
        if (i && new_picture)
            scene_step(&s);
        if (!new_picture)
            damage_clear(&s.pic->damage);
        int64_t t0 = clock_now_us();
        if (converter_run(c, s.pic, &pic))
            return 1;
        double convert = (double)(clock_now_us() - t0) / 1e3;
        bool sharpen = i && pic->damage.n == 0;
        struct encode_in in = {.pic = pic, .damage = &pic->damage, .pic_id = (uint64_t)i + 1,
                               .budget_bytes = i ? budget : 4 * budget, .refine = sharpen};
        struct encode_out out;
        t0 = clock_now_us();
        double c0 = cpu_ms();
        if (ops->encode(e, &in, &out)) {
            fprintf(stderr, "bench_encode: %s\n", error_text());
            return 1;
        }
        double wall = (double)(clock_now_us() - t0) / 1e3, cpu = cpu_ms() - c0;
        more = out.wants_more;
        if (out.au) {
            struct totals *t = out.au->irap ? &key : out.au->refinement ? &refine : &inter;
            t->convert_ms += convert;
            struct picture *got = avdecode_run(d, out.au);
            add(t, out.au, wall, cpu, pic, got);
            if (getenv("BENCH_EACH"))
                printf("  %3d %s qp %d %zu B %.1f ms %.2f dB\n", i,
                       out.au->irap ? "key" : out.au->refinement ? "refine" : "inter",
                       out.au->qp, out.au->len, wall, got ? plane_psnr(pic, got, 0) : -1);
            picture_unref(&got);
            access_unit_unref(&out.au);
        }
        picture_unref(&pic);
    }
    print(scene_name(kind), "key", &key);
    print(scene_name(kind), "inter", &inter);
    print(scene_name(kind), "refine", &refine);
    encoder_close(&e);
    converter_free(&c);
    avdecode_free(&d);
    scene_free(&s);
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "x265";
    size_t budget = argc > 2 ? strtoul(argv[2], NULL, 10) : 33000;
    int n = argc > 3 ? atoi(argv[3]) : 60;
    int w = argc > 5 ? atoi(argv[4]) : 1920, h = argc > 5 ? atoi(argv[5]) : 1080;
    const struct encoder_ops *ops;
    if (n < 1 || n > MOST - 60 || encoder_pick(&ops, name, PIX_I420)) {
        fprintf(stderr, "bench_encode: %s\n", error_text());
        return 1;
    }
    printf("%s, %dx%d, %zu bytes a picture, %d pictures\n", ops->name, w, h, budget, n);
    for (int k = 0; k < SCENE_KINDS; k++)
        if (!getenv("BENCH_SCENE") || atoi(getenv("BENCH_SCENE")) == k)
            if (run_scene(ops, (enum scene_kind)k, w, h, n, budget))
                return 1;
    return 0;
}
