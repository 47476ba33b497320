/* frame_pictures: libavcodec's frames as pictures, by reference. The pictures outlive the pool's
 * owner. Frames are taken by one thread; pictures are released on any thread. */
#ifndef HEVCAST_DECODE_FRAME_PICTURE_H
#define HEVCAST_DECODE_FRAME_PICTURE_H

#include "base/picture.h"

#include <libavutil/frame.h>

struct frame_pictures;
struct frame_pictures *frame_pictures_new(void);
void frame_pictures_free(struct frame_pictures **p);
/* borrows: an empty frame to decode into, or NULL when out of memory. */
AVFrame *frame_pictures_frame(struct frame_pictures *p);
/* gives *out: the frame of the last frame_pictures_frame as a picture; a frame in the memory of a
 * device is read back, another pixel format than the four of picture.h is converted.
 * ERR_UNSUPPORTED, ERR_MEMORY. */
int frame_pictures_take(struct frame_pictures *p, struct picture **out);

#endif
