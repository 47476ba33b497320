/* Clocks. Not for the sans-IO core, which is told the time. Any thread. */
#ifndef HEVCAST_BASE_CLOCK_H
#define HEVCAST_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in microseconds: the time base of every *_us in hevcast. */
static inline int64_t clock_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* CLOCK_REALTIME in microseconds since 1970. */
static inline int64_t clock_real_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Microseconds since 1970 as NTP UQ32.32 (RFC 5905 section 6), and back. */
static inline uint64_t ntp_from_real_us(int64_t us)
{
    uint64_t sec = (uint64_t)(us / 1000000) + 2208988800u;
    uint64_t frac = ((uint64_t)(us % 1000000) << 32) / 1000000;
    return sec << 32 | frac;
}
static inline int64_t real_us_from_ntp(uint64_t ntp)
{
    return (int64_t)((ntp >> 32) - 2208988800u) * 1000000 +
           (int64_t)(((ntp & 0xffffffffu) * 1000000 + (1u << 31)) >> 32);
}

#endif
