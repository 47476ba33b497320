/* The kernels once more, for AVX2: the compiler makes the vectors. */
#include "encode/screen/kernels.h"

#include "encode/screen/kernels_dst.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define K(name) avx2_##name
#include "encode/screen/kernels_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct kernels table = KERNEL_TABLE;

const struct kernels *kernels_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? &table : NULL;
}

#else

const struct kernels *kernels_avx2(void)
{
    return NULL;
}

#endif
