// What the page does with a decoded picture's pixels before it draws them.
#pragma once
#include <stdint.h>

struct plane {
    const uint8_t *data; // borrowed; readable up to the next multiple of 16 of a row
    int stride, width, height;
};

struct planes {
    int width, height, chroma; // chroma: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4
    bool full, bt601;          // range, and BT.601 instead of BT.709
    plane plane[3];
};

// The rows that differ from the picture of the last call, in bands [from, to) in pairs. Its number
// comes first; 0: the same picture. Without memory, one band that is everything.
const int32_t *pixels_changed(const planes &p);

// The rows [from, to) as RGBA without gaps, valid until the next call. NULL: no memory.
uint8_t *pixels_rgba(const planes &p, int from, int to);
