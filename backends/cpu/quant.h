/* SPDX-License-Identifier: Apache-2.0 */
/* Small things the quantised kernels share. */
#ifndef CPU_QUANT_H
#define CPU_QUANT_H

#include <math.h>

#include "pointwise.h"

/* round(@x) to even plus @zero, kept within [@low, @high]; NaN gives @low. */
static inline int32_t cpu_quantize(float x, int32_t zero, int32_t low, int32_t high)
{
    /* The clamp comes first: what is out of range must not reach the conversion. */
    float y = rintf(x);
    float least = (float)(low - zero), most = (float)(high - zero);

    y = y > least ? y : least;
    y = y < most ? y : most;
    return (int32_t)y + zero;
}

#endif
