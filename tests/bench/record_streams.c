/* record_streams DIR WIDTHxHEIGHT PICTURES: what our encoders make of the made-up screens, for
 * benchmarks and tests of decoders. DIR/ENCODER-SCENE-CHROMA.hvt holds, for each access unit: its
 * length (32 bits, big endian), the MD5 of the picture's planes as libavcodec decodes it, the bytes. */
#include "avdecode.h"
#include "base/bytes.h"
#include "base/error.h"
#include "convert/convert.h"
#include "encode/encoder.h"
#include "scenes.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const char *encoder;
    enum scene_kind kind;
    enum pix_fmt fmt;
};

static bool write_unit(FILE *f, const struct access_unit *au, const struct picture *p)
{
    unsigned char head[4 + 16];
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    bool ok = md5 && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1;
    for (int i = 0; ok && i < 3; i++)
        for (int y = 0; ok && y < picture_rows(p->fmt, p->height, i); y++)
            ok = EVP_DigestUpdate(md5, p->plane[i] + (ptrdiff_t)y * p->stride[i],
                                  (size_t)picture_row_bytes(p->fmt, p->width, i)) == 1;
    wr_be32(head, (uint32_t)au->len);
    ok = ok && EVP_DigestFinal_ex(md5, head + 4, NULL) == 1 && fwrite(head, sizeof head, 1, f) == 1 &&
         fwrite(au->data, au->len, 1, f) == 1;
    EVP_MD_CTX_free(md5);
    return ok;
}

/* The scene at full speed, then still: the encoder's refinements belong to what a decoder sees. */
static bool record(FILE *f, const struct job *j, int width, int height, int pictures)
{
    struct scene s = {0};
    struct encoder *e = NULL;
    const struct encoder_ops *ops;
    struct encoder_config config = {.width = width, .height = height, .fmt = j->fmt, .fps = 30,
                                    .bitrate_bps = 8000000, .film = j->kind == SCENE_FILM};
    struct converter *c = converter_new(j->fmt);
    struct avdecode *d = avdecode_new();
    bool ok = c && d && scene_init(&s, j->kind, width, height) &&
              !encoder_pick(&ops, j->encoder, j->fmt) && !encoder_open(&e, ops, &config);
    for (int i = 0; ok && i < pictures; i++) {
        struct picture *pic = NULL;
        struct encode_in in = {.key_wanted = i == 0, .refine = i == 1,
                               .budget_bytes = i ? 8000000 / 8 / 30 : 8000000 / 8 / 4};
        struct encode_out out = {0};
        if (i == 1)
            damage_clear(&s.pic->damage);
        else if (i > 1)
            scene_step(&s);
        ok = !converter_run(c, s.pic, &pic);
        in.pic = pic;
        in.damage = &s.pic->damage;
        in.pic_id = (uint64_t)i + 1;
        ok = ok && !e->ops->encode(e, &in, &out);
        if (ok && out.au) {
            struct picture *seen = avdecode_run(d, out.au);
            ok = seen && write_unit(f, out.au, seen);
            picture_unref(&seen);
        }
        access_unit_unref(&out.au);
        picture_unref(&pic);
    }
    encoder_close(&e);
    converter_free(&c);
    avdecode_free(&d);
    scene_free(&s);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct job jobs[] = {
        {"screen", SCENE_TERMINAL, PIX_I420}, {"screen", SCENE_TYPING, PIX_I420},
        {"screen", SCENE_TERMINAL, PIX_I444}, {"x265", SCENE_TERMINAL, PIX_I420},
        {"x265", SCENE_FILM, PIX_I420},       {"x265", SCENE_FILM, PIX_I444},
    };
    int width, height;
    if (argc != 4 || sscanf(argv[2], "%dx%d", &width, &height) != 2) {
        fprintf(stderr, "usage: record_streams DIR WIDTHxHEIGHT PICTURES\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        const struct job *j = &jobs[i];
        char path[512];
        snprintf(path, sizeof path, "%s/%s-%s-%s.hvt", argv[1], j->encoder, scene_name(j->kind),
                 j->fmt == PIX_I444 ? "444" : "420");
        FILE *f = fopen(path, "w");
        if (!f || !record(f, j, width, height, atoi(argv[3])) || fclose(f) != 0) {
            fprintf(stderr, "%s: %s\n", path, error_text());
            return 1;
        }
    }
    return 0;
}
