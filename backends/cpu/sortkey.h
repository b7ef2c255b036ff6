/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any number as an int64 that sorts like it: what TopK, Unique and NonMaxSuppression compare, so
 * that one sort serves every type. Both zeros are equal; NaN stands behind infinity.
 */
#ifndef CPU_SORTKEY_H
#define CPU_SORTKEY_H

#include "half.h"
#include "move.h"

static inline int64_t cpu_key_f32(float x)
{
    int32_t bits = (int32_t)cpu_float_bits(x == 0 ? 0.0f : x);

    if (x != x)
        return INT64_MAX;
    return bits < 0 ? (int64_t)(bits ^ INT32_MAX) : bits;
}

static inline int64_t cpu_key_f64(double x)
{
    int64_t bits;

    if (x != x)
        return INT64_MAX;
    x = x == 0 ? 0.0 : x;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

static inline int64_t cpu_sort_key(enum he_dtype dtype, const void *data, int64_t k)
{
    switch ((int)dtype) {
    case HE_FLOAT32:
        return cpu_key_f32(((const float *)data)[k]);
    case HE_FLOAT64:
        return cpu_key_f64(((const double *)data)[k]);
    case HE_FLOAT16:
        return cpu_key_f32(cpu_half_to_float(((const uint16_t *)data)[k]));
    case HE_BFLOAT16:
        return cpu_key_f32(cpu_bfloat_to_float(((const uint16_t *)data)[k]));
    case HE_INT64:
        return ((const int64_t *)data)[k];
    case HE_UINT64: /* the order of unsigned numbers, half the range below zero */
        return (int64_t)(((const uint64_t *)data)[k] ^ (uint64_t)1 << 63);
    case HE_INT32:
        return ((const int32_t *)data)[k];
    case HE_UINT32:
        return ((const uint32_t *)data)[k];
    case HE_INT16:
        return ((const int16_t *)data)[k];
    case HE_UINT16:
        return ((const uint16_t *)data)[k];
    case HE_INT8:
        return ((const int8_t *)data)[k];
    default: /* uint8, bool */
        return ((const uint8_t *)data)[k];
    }
}

#define CPU_SORTED_TYPES (CPU_NUMBER_TYPES | CPU_TYPE(HE_BOOL))

#endif
