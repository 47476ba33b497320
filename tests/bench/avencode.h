/* avencode: the encoders that bench_screen compares with, through libavcodec: one thread, no
 * delay, a constant quality. */
#ifndef HEVCAST_TESTS_AVENCODE_H
#define HEVCAST_TESTS_AVENCODE_H

#include "base/picture.h"

#include <stddef.h>

enum { AVENCODE_POINTS = 4 };

struct avencode;
/* The i-th of their names; NULL: no more. */
const char *avencode_name(int i);
/* point: 0 to 3, from the best quality to the coarsest. NULL: libavcodec here does not have it. */
struct avencode *avencode_new(const char *name, int width, int height, int point);
/* pic: I420. Gives the bytes it took and what a decoder makes of it (gives, NULL: failed). The
 * milliseconds are of the encoder alone, in CPU time and by the clock. */
struct picture *avencode_run(struct avencode *e, const struct picture *pic, size_t *bytes,
                             double *cpu_ms, double *wall_ms);
void avencode_free(struct avencode **e);

/* CPU time of the process; the clock. */
double avencode_cpu_ms(void);
double avencode_wall_ms(void);

#endif
