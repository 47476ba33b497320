/* testcard: a moving picture that is drawn, not captured: `test[:WxH@FPS]`.
 *
 *   +--------------------------------------------+ 0
 *   | white|yellow|cyan|green|magenta|red|blue|bk| 75 % bars, edges at i * width / 8
 *   +--------------------------------------------+ height / 3
 *   |        hh:mm:ss.mmm  (local time)          |
 *   |        FRAME 000000                        |
 *   +--------------------------------------------+ height * 3 / 5
 *   | small coloured text                        |
 *   +--------------------------------------------+ height * 3 / 4
 *   | grey lane, a box moves in it               |
 *   +------------+-------------------------------+ strip.y
 *   | time stamp |                               |
 *   +------------+-------------------------------+ height
 *
 * The time stamp is for machines: from it a reader of the decoded picture knows when the picture
 * was drawn. It has 4 rows of 18 square cells. The first cell of each row is white and the last
 * is black, for the reader's threshold; the 16 between are bits, white for 1, most significant
 * first, first row first. The 64 bits:
 *
 *   63..16  CLOCK_MONOTONIC in microseconds when the picture was drawn, modulo 2^48
 *   15..8   the frame number modulo 256
 *    7..0   CRC-8 (polynomial 0x07, initial value 0xff) over the seven bytes above, in that order
 *
 * Cells have an even size of 4 to 16 pixels, min(width / 18, height / 20) rounded down to even,
 * and the strip begins at x = 0 and the last multiple of 8 lines that leaves room for it. */
#ifndef HEVCAST_SOURCE_TESTCARD_H
#define HEVCAST_SOURCE_TESTCARD_H

#include "base/picture.h"

enum { TESTCARD_ROWS = 4, TESTCARD_COLUMNS = 18, TESTCARD_BARS = 8 };
enum { TESTCARD_MIN_WIDTH = 128, TESTCARD_MIN_HEIGHT = 96, TESTCARD_MAX = 8192 };

struct testcard_strip {
    int y, cell; /* pixels; x is 0 */
};
struct testcard_strip testcard_strip_of(int width, int height);

struct testcard_stamp {
    int64_t time_us; /* modulo 2^48 */
    int frame;       /* modulo 256 */
};
/* Reads the time stamp of a picture of the test card's own size: BGRX, or any format with luma
 * in plane 0. false: the cells have no contrast or the checksum is wrong. */
bool testcard_read(const struct picture *pic, struct testcard_stamp *out);

/* 0xRRGGBB of the bars, left to right. */
extern const uint32_t testcard_bars[TESTCARD_BARS];

/* test[:[WxH][@FPS]]; ERR_INVALID with a sentence. */
int testcard_parse(const char *spec, int *width, int *height, int *fps);

/* Seven rows of five pixels, bit 4 on the left; blank for what it does not have. */
const uint8_t *testcard_glyph(char c);

#endif
