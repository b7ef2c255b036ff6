/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One element of any number type, read and written at any address. Only for places where
 * speed does not matter, or as the slow path beside a typed loop.
 */
#ifndef CPU_ELEMENT_H
#define CPU_ELEMENT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <heteroengine/types.h>

static inline float cpu_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = half & 0x7fffu, bits;
    float value;

    if (rest >= 0x7c00u) { /* infinities and NaN keep their payload */
        bits = sign | 0x7f800000u | (rest & 0x3ffu) << 13;
    } else if (rest >= 0x400u) {
        bits = sign | ((rest << 13) + 0x38000000u);
    } else { /* zero and subnormal: rest * 2^-24 is exact */
        value = (float)rest * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
        bits |= sign;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even. */
static inline uint16_t cpu_float_to_half(float value)
{
    uint32_t bits, sign, rest;
    float magic;

    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* below 2^-14: let the adder round at 2^-24 */
        memcpy(&magic, &rest, sizeof magic);
        magic += 0.5f;
        memcpy(&rest, &magic, sizeof rest);
        return (uint16_t)(sign | (rest - 0x3f000000u));
    }
    rest += 0xfffu + (rest >> 13 & 1u);
    return (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
}

static inline float cpu_bfloat_to_float(uint16_t bfloat)
{
    uint32_t bits = (uint32_t)bfloat << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t cpu_float_to_bfloat(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#define CPU_READ(type, at)                                                                         \
    ({                                                                                             \
        type read_value;                                                                           \
        memcpy(&read_value, (at), sizeof read_value);                                              \
        read_value;                                                                                \
    })

static inline double cpu_load_double(enum he_dtype dtype, const void *at)
{
    switch ((int)dtype) {
    case HE_FLOAT32: return CPU_READ(float, at);
    case HE_FLOAT64: return CPU_READ(double, at);
    case HE_FLOAT16: return cpu_half_to_float(CPU_READ(uint16_t, at));
    case HE_BFLOAT16: return cpu_bfloat_to_float(CPU_READ(uint16_t, at));
    case HE_BOOL:
    case HE_UINT8: return CPU_READ(uint8_t, at);
    case HE_INT8: return CPU_READ(int8_t, at);
    case HE_UINT16: return CPU_READ(uint16_t, at);
    case HE_INT16: return CPU_READ(int16_t, at);
    case HE_UINT32: return CPU_READ(uint32_t, at);
    case HE_INT32: return CPU_READ(int32_t, at);
    case HE_UINT64: return (double)CPU_READ(uint64_t, at);
    case HE_INT64: return (double)CPU_READ(int64_t, at);
    default: return 0;
    }
}

/* Integers only; uint64 wraps. */
static inline int64_t cpu_load_int(enum he_dtype dtype, const void *at)
{
    switch ((int)dtype) {
    case HE_INT64:
    case HE_UINT64: return CPU_READ(int64_t, at);
    case HE_INT32: return CPU_READ(int32_t, at);
    default: return (int64_t)cpu_load_double(dtype, at);
    }
}

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
        u16 = cpu_float_to_half((float)value);
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
