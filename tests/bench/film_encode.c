/* film_encode WIDTHxHEIGHT FPS BITRATE_KBPS: raw I420 pictures from standard input, as the screen encoder's access
 * units to standard output. What changed it is not told but finds out; a key frame at the start alone. */
#include "base/error.h"
#include "encode/encoder.h"

#include <stdio.h>
#include <stdlib.h>

static bool read_picture(struct picture *p)
{
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++) {
            size_t n = (size_t)picture_row_bytes(p->fmt, p->width, i);
            if (fread(p->plane[i] + (ptrdiff_t)y * p->stride[i], 1, n, stdin) != n)
                return false;
        }
    return true;
}

/* 1: one was coded (a picture that did not change is coded as such); 0: the input ended; -1: an error. */
static int encode_next(struct encoder *e, int width, int height, size_t budget, uint64_t number)
{
    struct picture *pic = picture_new(PIX_I420, width, height);
    struct damage damage;
    damage_set_all(&damage, width, height);
    struct encode_in in = {.pic = pic, .damage = &damage, .pic_id = number, .key_wanted = number == 1,
                           .budget_bytes = number == 1 ? 8 * budget : budget};
    struct encode_out out = {0};
    int result = pic && read_picture(pic) ? 1 : 0;
    if (result && (e->ops->encode(e, &in, &out) ||
                   (out.au && fwrite(out.au->data, out.au->len, 1, stdout) != 1)))
        result = -1;
    access_unit_unref(&out.au);
    picture_unref(&pic);
    return result;
}

int main(int argc, char **argv)
{
    int width, height, fps = argc == 4 ? atoi(argv[2]) : 0, kbps = argc == 4 ? atoi(argv[3]) : 0, result = 0;
    if (fps < 1 || kbps < 1 || sscanf(argv[1], "%dx%d", &width, &height) != 2) {
        fprintf(stderr, "usage: film_encode WIDTHxHEIGHT FPS BITRATE_KBPS\n");
        return 2;
    }
    struct encoder_config config = {.width = width, .height = height, .fmt = PIX_I420, .fps = fps,
                                    .bitrate_bps = (int64_t)kbps * 1000};
    struct encoder *e = NULL;
    if (encoder_open(&e, &encoder_screen, &config)) {
        fprintf(stderr, "film_encode: %s\n", error_text());
        return 1;
    }
    for (uint64_t n = 1; (result = encode_next(e, width, height, (size_t)kbps * 125 / (size_t)fps, n)) > 0; n++)
        continue;
    encoder_close(&e);
    return result < 0 || fflush(stdout) ? 1 : 0;
}
