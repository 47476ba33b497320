#include "simd.h"

#include <libde265/fallback.h>

void hv_init_acceleration(acceleration_functions *table)
{
    init_acceleration_functions_fallback(table);
    simd_motion_init(table);
    simd_transform_init(table);
}
