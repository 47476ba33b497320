/* font: the overlay's letters, ASCII in a cell of 6 x 10. Pure; any thread. */
#ifndef HEVCAST_DISPLAY_FONT_H
#define HEVCAST_DISPLAY_FONT_H

#include <stdint.h>

enum { FONT_CELL_W = 6, FONT_CELL_H = 10 };

/* The size in cells of text, lines by \n. */
void font_measure(const char *text, int *columns, int *lines);
/* Draws text at 0,0 of an image of width x height pixels, each letter's pixel as scale x scale of
 * `colour`; other pixels stay. What does not fit is cut off. */
void font_draw(uint32_t *pixels, int stride_pixels, int width, int height, const char *text,
               int scale, uint32_t colour);

#endif
