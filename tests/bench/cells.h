/* The clock that the latency benchmark draws on the screen and finds again in the decoded picture.
 *
 * One row of CELL_COUNT black and white squares at the screen's top left corner. 16 pixels wide
 * and aligned to 16, so that one cell is whole transform blocks and survives any sane quantizer
 * and 4:2:0: white and black have no chroma. From left to right:
 *
 *   1 0 1 0 | 32 bits of CLOCK_MONOTONIC in units of 0.1 ms, high bit first | CRC-8 | 0 1 1 0
 *
 * The fixed cells give the reader its threshold; the CRC rejects pictures in which old and new
 * cells are mixed (torn captures), which would otherwise give absurd times. */
#ifndef HEVCAST_BENCH_CELLS_H
#define HEVCAST_BENCH_CELLS_H

#include <stdint.h>
#include <time.h>

enum {
    CELL_PX = 16,
    CELL_COUNT = 4 + 32 + 8 + 4,
    CELL_ROW_PX = CELL_COUNT * CELL_PX,
    CELL_TICK_US = 100,
};

static inline int64_t cells_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* CRC-8, polynomial x^8 + x^2 + x + 1, initial value 0xff so that all-black is not valid. */
static inline uint8_t cells_crc(uint32_t ticks)
{
    uint8_t crc = 0xff;

    for (int byte = 3; byte >= 0; byte--) {
        crc ^= (uint8_t)(ticks >> (8 * byte));
        for (int i = 0; i < 8; i++)
            crc = (uint8_t)(crc & 0x80 ? (crc << 1) ^ 0x07 : crc << 1);
    }
    return crc;
}

/* cell[i] is 1 for white. */
static inline void cells_encode(uint32_t ticks, uint8_t cell[CELL_COUNT])
{
    uint64_t bits = (uint64_t)0xa << 44 | (uint64_t)ticks << 12 |
                    (uint64_t)cells_crc(ticks) << 4 | 0x6;

    for (int i = 0; i < CELL_COUNT; i++)
        cell[i] = bits >> (CELL_COUNT - 1 - i) & 1;
}

/* Returns 0 and the ticks, or -1 when the fixed cells or the CRC do not fit. */
static inline int cells_decode(const uint8_t cell[CELL_COUNT], uint32_t *ticks)
{
    uint64_t bits = 0;

    for (int i = 0; i < CELL_COUNT; i++)
        bits = bits << 1 | cell[i];
    *ticks = (uint32_t)(bits >> 12);
    return bits >> 44 == 0xa && (bits & 0xf) == 0x6 && (bits >> 4 & 0xff) == cells_crc(*ticks)
               ? 0 : -1;
}

#endif
