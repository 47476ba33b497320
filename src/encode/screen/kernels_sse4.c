/* The kernels for SSE4.1, for processors without AVX2: all from kernels_body.h, where the compiler makes
 * the vectors. */
#include "encode/screen/kernels.h"

#include "encode/screen/kernels_dst.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("sse4.1,ssse3"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("sse4.1,ssse3")
#endif

#define K(name) sse4_##name
#include "encode/screen/kernels_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct kernels table = KERNEL_TABLE;

const struct kernels *kernels_sse4(void)
{
    return __builtin_cpu_supports("sse4.1") ? &table : NULL;
}

#else

const struct kernels *kernels_sse4(void)
{
    return NULL;
}

#endif
