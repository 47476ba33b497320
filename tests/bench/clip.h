/* clip: the recordings of record_scenes.py, a picture at a time, with the damage of each. */
#ifndef HEVCAST_TESTS_CLIP_H
#define HEVCAST_TESTS_CLIP_H

#include "base/picture.h"

struct clip;
/* NULL: it cannot be read. */
struct clip *clip_open(const char *path, int *width, int *height);
/* The next picture, BGRX, borrowed until the next call; its damage is where it differs from the
 * one before, as rectangles outward to 16 rows. NULL: the end. */
struct picture *clip_next(struct clip *c);
void clip_close(struct clip **c);

#endif
