/* The DST of 8.6.4.2, for both compilations of the kernels. */
#ifndef HEVCAST_ENCODE_SCREEN_KERNELS_DST_H
#define HEVCAST_ENCODE_SCREEN_KERNELS_DST_H

#include <stdint.h>

static const int16_t kernels_dst[4][4] = {
    {29, 55, 74, 84}, {74, 74, 0, -74}, {84, -29, -74, 55}, {55, -84, 74, -29}};
static const int16_t kernels_dst_t[4][4] = {
    {29, 74, 84, 55}, {55, 74, -29, -84}, {74, 0, -74, 74}, {84, -74, 55, -29}};

#endif
