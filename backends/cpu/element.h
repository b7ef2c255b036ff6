/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes one element of any number type at any address: for places where speed does not
 * matter, or as the slow path beside a typed loop. cpu_get_double() is its reader.
 */
#ifndef CPU_ELEMENT_H
#define CPU_ELEMENT_H

#include <heteroengine/types.h>

#include "half.h"

static inline int64_t cpu_clamp_to_int(double value, double low, double high)
{
    return (int64_t)(value > low ? value < high ? value : high : low);
}

/* Integers are cut towards zero and held inside their range. */
static inline void cpu_store_double(enum he_dtype dtype, void *at, double value)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f32;
    int64_t i64;

    switch ((int)dtype) {
    case HE_FLOAT32:
        f32 = (float)value;
        memcpy(at, &f32, sizeof f32);
        break;
    case HE_FLOAT64:
        memcpy(at, &value, sizeof value);
        break;
    case HE_FLOAT16:
        u16 = cpu_double_to_half(value);
        memcpy(at, &u16, sizeof u16);
        break;
    case HE_BFLOAT16:
        u16 = cpu_float_to_bfloat((float)value);
        memcpy(at, &u16, sizeof u16);
        break;
    case HE_BOOL:
        *(uint8_t *)at = value != 0;
        break;
    case HE_UINT8:
        *(uint8_t *)at = (uint8_t)cpu_clamp_to_int(value, 0, UINT8_MAX);
        break;
    case HE_INT8:
        *(int8_t *)at = (int8_t)cpu_clamp_to_int(value, INT8_MIN, INT8_MAX);
        break;
    case HE_UINT16:
        u16 = (uint16_t)cpu_clamp_to_int(value, 0, UINT16_MAX);
        memcpy(at, &u16, sizeof u16);
        break;
    case HE_INT16:
        u16 = (uint16_t)cpu_clamp_to_int(value, INT16_MIN, INT16_MAX);
        memcpy(at, &u16, sizeof u16);
        break;
    case HE_UINT32:
        u32 = (uint32_t)cpu_clamp_to_int(value, 0, UINT32_MAX);
        memcpy(at, &u32, sizeof u32);
        break;
    case HE_INT32:
        u32 = (uint32_t)cpu_clamp_to_int(value, INT32_MIN, INT32_MAX);
        memcpy(at, &u32, sizeof u32);
        break;
    case HE_UINT64:
        u64 = value > 0 ? value < 0x1p64 ? (uint64_t)value : UINT64_MAX : 0;
        memcpy(at, &u64, sizeof u64);
        break;
    case HE_INT64:
        i64 = value < 0x1p63 ? value > -0x1p63 ? (int64_t)value : INT64_MIN : INT64_MAX;
        memcpy(at, &i64, sizeof i64);
        break;
    default:
        break;
    }
}

#endif
