/* Writes one decoded picture of a share as a PPM file.
 *
 *     write_ppm URL FILE.ppm */
#include <hevcast/hevcast.h>

#include <stdio.h>
#include <stdlib.h>

struct shot {
    const char *path;
    bool done, failed; /* decode thread; read after the receiver was freed */
};

static bool write_ppm(const char *path, const hevcast_picture *p)
{
    uint8_t *rgb = malloc((size_t)p->width * (size_t)p->height * 3);
    FILE *f = fopen(path, "wb");
    bool ok = rgb && f && !hevcast_picture_to_rgb(p, rgb, p->width * 3, true);
    if (ok) {
        fprintf(f, "P6\n%d %d\n255\n", p->width, p->height);
        ok = fwrite(rgb, (size_t)p->width * 3, (size_t)p->height, f) == (size_t)p->height;
    }
    if (f && fclose(f))
        ok = false;
    free(rgb);
    return ok;
}

static void on_picture(void *ctx, const hevcast_picture *picture)
{
    struct shot *s = ctx;
    if (s->done)
        return;
    s->done = true;
    s->failed = !write_ppm(s->path, picture);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: write_ppm URL FILE.ppm\n");
        return 2;
    }
    struct shot shot = {.path = argv[2]};
    hevcast_receiver_config config;
    hevcast_receiver_default_config(&config);
    config.url = argv[1];
    config.max_frames = 1;
    config.on_picture = on_picture;
    config.ctx = &shot;
    hevcast_receiver *receiver;
    if (hevcast_receiver_new(&receiver, &config)) {
        fprintf(stderr, "write_ppm: %s\n", hevcast_error_text());
        return 1;
    }
    int r = hevcast_receiver_wait(receiver, 15000000);
    if (r < 0)
        fprintf(stderr, "write_ppm: %s\n", hevcast_error_text());
    hevcast_receiver_free(&receiver);
    if (!shot.done || shot.failed)
        fprintf(stderr, "write_ppm: no picture was written\n");
    return !shot.done || shot.failed;
}
