// simd: the decoder's inner loops in WebAssembly's 128-bit vectors, for pictures of 8 bits. They take
// the places in libde265's table of functions (acceleration.h) that its code for x86 takes elsewhere,
// and give the same bits as its plain versions: tests/wasm compares them on random input.
#ifndef HEVCAST_WEB_SIMD_H
#define HEVCAST_WEB_SIMD_H

#include <libde265/acceleration.h>

// What libde265 calls instead of its init_acceleration_functions_fallback (the build renames it in
// decctx.cc): the plain versions first, then ours.
void hv_init_acceleration(acceleration_functions *table);

void simd_motion_init(acceleration_functions *table);
void simd_transform_init(acceleration_functions *table);

#endif
