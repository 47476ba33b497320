/* Watches a share for some seconds without decoding it, and counts what comes.
 *
 *     count_frames URL [SECONDS] */
#include <hevcast/hevcast.h>

#include <stdio.h>
#include <stdlib.h>

struct count { /* written on the network thread, read after the receiver is freed */
    long access_units, keyframes, bytes;
};

static void on_access_unit(void *ctx, const hevcast_access_unit *au)
{
    struct count *c = ctx;
    c->access_units++;
    c->keyframes += au->keyframe;
    c->bytes += (long)au->len;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: count_frames URL [SECONDS]\n");
        return 2;
    }
    struct count count = {0};
    hevcast_receiver_config config;
    hevcast_receiver_default_config(&config);
    config.url = argv[1];
    config.decoder = "none";
    config.on_access_unit = on_access_unit;
    config.ctx = &count;
    hevcast_receiver *receiver;
    if (hevcast_receiver_new(&receiver, &config)) {
        fprintf(stderr, "count_frames: %s\n", hevcast_error_text());
        return 1;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    int r = hevcast_receiver_wait(receiver, (int64_t)(seconds * 1e6));
    if (r < 0)
        fprintf(stderr, "count_frames: %s\n", hevcast_error_text());
    hevcast_receiver_free(&receiver);
    printf("%ld access units, %ld key frames, %ld bytes\n", count.access_units, count.keyframes,
           count.bytes);
    return r < 0 || !count.keyframes;
}
