/* The smallest HEVC decoder for tests of the encoders: libavcodec, one thread, no delay. Apart
 * from src/decode, so that a fault there does not hide one of the encoder. */
#ifndef HEVCAST_TESTS_AVDECODE_H
#define HEVCAST_TESTS_AVDECODE_H

#include "base/picture.h"

struct avdecode;
struct avdecode *avdecode_new(void);
void avdecode_free(struct avdecode **d);
/* The picture of this access unit, or NULL when it gave none, an error, or a corrupt one. */
struct picture *avdecode_run(struct avdecode *d, const struct access_unit *au);

#endif
