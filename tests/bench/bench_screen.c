/* Encoders side by side on the same made-up screens: CPU, bits and sharpness of the pictures that
 * changed, after the first picture was refined; and how many refinements until it is exact.
 *
 *     bench_screen [--json FILE] [--budget BYTES] [--pictures N] [--size WxH] [ENCODER...] */
#include "avdecode.h"
#include "base/error.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "scenes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 600, SETTLE_MOST = 120, BENCH_DRAG = SCENE_KINDS, BENCH_KINDS };

struct options {
    const char *json;
    size_t budget;
    int pictures, width, height;
    const char *encoders[8];
    int n_encoders;
};

struct result {
    double cpu_ms[MOST], key_cpu_ms, key_kbit, key_psnr, kbit, psnr, end_psnr, refine_cpu_ms;
    int n, coded, refinements; /* until it was exact, or gave up */
    bool exact;
};

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

/* A window of text that is dragged over the desktop. */
struct drag {
    struct picture *desktop, *window;
    int x, y;
};

static struct rect drag_rect(const struct drag *d)
{
    return (struct rect){d->x, d->y, d->window->width, d->window->height};
}

static void copy(struct picture *to, int x, int y, const struct picture *from, struct rect r)
{
    for (int j = 0; j < r.h; j++)
        memcpy(to->plane[0] + (ptrdiff_t)(y + j) * to->stride[0] + 4 * x,
               from->plane[0] + (ptrdiff_t)(r.y + j) * from->stride[0] + 4 * r.x, (size_t)r.w * 4);
}

static bool drag_init(struct drag *d, struct scene *s)
{
    struct picture *p = s->pic;
    uint32_t seed = 9;
    d->desktop = picture_new(PIX_BGRX, p->width, p->height);
    d->window = picture_new(PIX_BGRX, p->width / 3, p->height / 2);
    if (!d->desktop || !d->window)
        return false;
    copy(d->desktop, 0, 0, p, (struct rect){0, 0, p->width, p->height});
    struct rect all = {0, 0, d->window->width, d->window->height};
    scene_fill(d->window, all, 0x3a3f4b);
    scene_text(d->window, (struct rect){2, 24, all.w - 4, all.h - 26}, 0x202020, 0xf4f4f0, &seed);
    d->x = p->width / 10;
    d->y = p->height / 10;
    copy(p, d->x, d->y, d->window, all);
    return true;
}

static void drag_step(struct drag *d, struct scene *s, int step)
{
    struct rect old = drag_rect(d);
    copy(s->pic, old.x, old.y, d->desktop, old);
    d->x += 9 + step % 5;
    d->y += 3 + step % 3;
    if (d->x + old.w > s->pic->width || d->y + old.h > s->pic->height) {
        d->x = s->pic->width / 10;
        d->y = s->pic->height / 10;
    }
    struct rect now = drag_rect(d);
    copy(s->pic, now.x, now.y, d->window, (struct rect){0, 0, now.w, now.h});
    damage_clear(&s->pic->damage);
    damage_add(&s->pic->damage, old);
    damage_add(&s->pic->damage, now);
}

struct run {
    struct encoder *e;
    struct converter *c;
    struct avdecode *d;
    struct picture *seen; /* owns; the viewer's picture */
    uint64_t id;
};

/* One call of the encoder with the scene's picture. false: failed. */
static bool encode(struct run *r, struct scene *s, struct encode_in in, struct encode_out *out,
                   double *cpu, double *kbit, double *psnr)
{
    struct picture *pic;
    if (converter_run(r->c, s->pic, &pic))
        return false;
    in.pic = pic;
    in.damage = &s->pic->damage;
    in.pic_id = ++r->id;
    double c0 = cpu_ms();
    int rc = r->e->ops->encode(r->e, &in, out);
    *cpu = cpu_ms() - c0;
    *kbit = 0;
    if (!rc && out->au) {
        *kbit = (double)out->au->len * 8 / 1000;
        picture_unref(&r->seen);
        r->seen = avdecode_run(r->d, out->au);
        access_unit_unref(&out->au);
    }
    *psnr = r->seen ? plane_psnr(pic, r->seen, 0) : 0;
    picture_unref(&pic);
    return rc == 0 && r->seen;
}

static bool settle(struct run *r, struct scene *s, const struct options *o, struct result *out)
{
    struct encode_out eo = {.wants_more = true};
    double cpu, kbit;
    damage_clear(&s->pic->damage);
    out->refinements = 0;
    out->refine_cpu_ms = 0;
    while (eo.wants_more && out->refinements < SETTLE_MOST) {
        struct encode_in in = {.budget_bytes = o->budget, .refine = true};
        if (!encode(r, s, in, &eo, &cpu, &kbit, &out->end_psnr))
            return false;
        out->refinements++;
        out->refine_cpu_ms += cpu;
    }
    out->exact = !eo.wants_more;
    return true;
}

static bool run_scene(const struct encoder_ops *ops, int kind, const struct options *o,
                      struct result *out)
{
    struct scene s = {0};
    struct drag drag = {0};
    struct encoder_config config = {o->width, o->height, PIX_I420, 30, 8000000};
    struct run r = {.c = converter_new(PIX_I420), .d = avdecode_new()};
    struct encode_out eo;
    struct encode_in in = {.budget_bytes = 4 * o->budget, .key_wanted = true};
    *out = (struct result){0};
    bool good =
        r.c && r.d &&
        scene_init(&s, kind == BENCH_DRAG ? SCENE_STILL : (enum scene_kind)kind, o->width,
                   o->height) &&
        (kind != BENCH_DRAG || drag_init(&drag, &s)) && !encoder_open(&r.e, ops, &config) &&
        encode(&r, &s, in, &eo, &out->key_cpu_ms, &out->key_kbit, &out->key_psnr) &&
        settle(&r, &s, o, out);
    in = (struct encode_in){.budget_bytes = o->budget};
    for (int i = 0; good && i < o->pictures; i++) {
        double kbit, psnr;
        if (kind == BENCH_DRAG)
            drag_step(&drag, &s, i);
        else if (kind != SCENE_STILL)
            scene_step(&s);
        good = encode(&r, &s, in, &eo, &out->cpu_ms[out->n++], &kbit, &psnr);
        out->kbit += kbit / o->pictures;
        out->psnr += psnr / o->pictures;
    }
    good = good && settle(&r, &s, o, out);
    encoder_close(&r.e);
    converter_free(&r.c);
    avdecode_free(&r.d);
    picture_unref(&r.seen);
    picture_unref(&drag.desktop);
    picture_unref(&drag.window);
    scene_free(&s);
    return good;
}

static double mean(const struct result *r)
{
    double sum = 0;
    for (int i = 0; i < r->n; i++)
        sum += r->cpu_ms[i];
    return r->n ? sum / r->n : 0;
}

static void report(const char *encoder, const char *scene, struct result *r, FILE *json, bool *first)
{
    double average = mean(r);
    qsort(r->cpu_ms, (size_t)r->n, sizeof r->cpu_ms[0], by_value);
    double p95 = r->cpu_ms[r->n * 95 / 100];
    printf("%-9s %-7s %8.2f %8.2f %9.1f %6.2f %8.1f %9.0f %6.2f %7d %6.2f\n", scene, encoder,
           average, p95, r->kbit, r->psnr, r->key_cpu_ms, r->key_kbit, r->key_psnr, r->refinements,
           r->end_psnr);
    fflush(stdout);
    if (!json)
        return;
    fprintf(json,
            "%s  {\"scene\": \"%s\", \"encoder\": \"%s\", \"cpu_ms\": %.3f, \"cpu_ms_p95\": %.3f, "
            "\"kbit\": %.2f, \"psnr_y\": %.2f, \"key_cpu_ms\": %.2f, \"key_kbit\": %.1f, "
            "\"key_psnr_y\": %.2f, \"refinements\": %d, \"done\": %s, \"end_psnr_y\": %.2f}",
            *first ? "" : ",\n", scene, encoder, average, p95, r->kbit, r->psnr, r->key_cpu_ms,
            r->key_kbit, r->key_psnr, r->refinements, r->exact ? "true" : "false", r->end_psnr);
    *first = false;
}

static bool parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.budget = 33000, .pictures = 60, .width = 1920, .height = 1080};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--json"))
            o->json = argv[++i];
        else if (!strcmp(argv[i], "--budget"))
            o->budget = strtoul(value, NULL, 10), i++;
        else if (!strcmp(argv[i], "--pictures"))
            o->pictures = atoi(value), i++;
        else if (!strcmp(argv[i], "--size") && sscanf(value, "%dx%d", &o->width, &o->height) == 2)
            i++;
        else if (argv[i][0] != '-' && o->n_encoders < 8)
            o->encoders[o->n_encoders++] = argv[i];
        else
            return false;
    }
    if (!o->n_encoders) {
        o->encoders[o->n_encoders++] = "screen";
        o->encoders[o->n_encoders++] = "x265";
    }
    return o->pictures > 0 && o->pictures <= MOST && o->budget > 0;
}

int main(int argc, char **argv)
{
    struct options o;
    static struct result r;
    if (!parse(&o, argc, argv)) {
        fprintf(stderr, "usage: bench_screen [--json FILE] [--budget BYTES] [--pictures N] "
                        "[--size WxH] [ENCODER...]\n");
        return 2;
    }
    FILE *json = o.json ? fopen(o.json, "w") : NULL;
    bool first = true;
    if (json)
        fprintf(json, "[\n");
    printf("%dx%d, %zu bytes a picture, %d pictures after the first was refined\n", o.width,
           o.height, o.budget, o.pictures);
    printf("%-9s %-7s %8s %8s %9s %6s %8s %9s %6s %7s %6s\n", "scene", "encoder", "CPU ms", "p95",
           "kbit", "PSNR-Y", "key ms", "key kbit", "PSNR", "refines", "end");
    int failed = 0;
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        for (int i = 0; i < o.n_encoders; i++) {
            const struct encoder_ops *ops;
            const char *scene = kind == BENCH_DRAG ? "drag" : scene_name((enum scene_kind)kind);
            if (encoder_pick(&ops, o.encoders[i], PIX_I420) ||
                !run_scene(ops, kind, &o, &r)) {
                fprintf(stderr, "bench_screen: %s: %s\n", o.encoders[i], error_text());
                failed = 1;
                continue;
            }
            report(ops->name, scene, &r, json, &first);
        }
    if (json) {
        fprintf(json, "\n]\n");
        fclose(json);
    }
    return failed;
}
