/* A second HEVC decoder for the tests: libde265, where it is installed. */
#ifndef HEVCAST_TESTS_DE265DECODE_H
#define HEVCAST_TESTS_DE265DECODE_H

#include "base/picture.h"

struct de265decode;
struct de265decode *de265decode_new(void); /* NULL: libde265 was not there at build time */
void de265decode_free(struct de265decode **d);
/* The picture of this access unit; NULL: none, an error, or a warning. */
struct picture *de265decode_run(struct de265decode *d, const struct access_unit *au);

#endif
