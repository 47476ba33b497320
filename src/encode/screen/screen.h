/* screen: what tests want of the screen encoder besides encoder.h. */
#ifndef HEVCAST_ENCODE_SCREEN_SCREEN_H
#define HEVCAST_ENCODE_SCREEN_SCREEN_H

#include "encode/encoder.h"

/* The reconstruction of the last access unit, of the coded size. Borrowed until the next call. */
struct picture *screen_reconstruction(struct encoder *e);

#endif
