/* SPDX-License-Identifier: Apache-2.0 */
/*
 * float16 and bfloat16 as bit patterns, to and from float: round to nearest even,
 * subnormals kept, NaN stays NaN. Free of branches, so that loops vectorise.
 */
#ifndef CPU_HALF_H
#define CPU_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CPU_INLINE static inline __attribute__((always_inline))

/* Tells the vectoriser that iterations are independent: out may be in, but
 * never overlaps it shifted. */
#if defined(__clang__)
#define CPU_IVDEP /* it checks for overlap when running, and warns about loops that cannot be done */
#else
#define CPU_IVDEP _Pragma("GCC ivdep")
#endif

CPU_INLINE uint32_t cpu_float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CPU_INLINE float cpu_bits_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

CPU_INLINE float cpu_half_to_float(uint16_t half)
{
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    /* The product rebiases the exponent and normalises subnormals in one go. */
    uint32_t bits = cpu_float_bits(cpu_bits_float(magnitude) * 0x1p112f);

    bits = magnitude >= 0x7c00u << 13 ? magnitude | 0x7f800000u : bits;
    return cpu_bits_float(bits | (uint32_t)(half & 0x8000) << 16);
}

CPU_INLINE uint16_t cpu_float_to_half(float x)
{
    uint32_t bits = cpu_float_bits(x), a = bits & 0x7fffffffu, normal, tiny, result;

    normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1)) >> 13;
    /* 0.5 has the spacing of float16 subnormals: the sum rounds as they do. */
    tiny = cpu_float_bits(cpu_bits_float(a) + 0.5f) - 0x3f000000u;
    result = a < 0x38800000u ? tiny : normal;
    result = a >= 0x47800000u ? 0x7c00u : result;
    result = a > 0x7f800000u ? 0x7e00u : result;
    return (uint16_t)(result | (bits >> 16 & 0x8000u));
}

/* Not through float with two roundings: the first one is to odd. */
CPU_INLINE uint16_t cpu_double_to_half(double x)
{
    float nearest = (float)x;
    uint32_t bits = cpu_float_bits(nearest);
    double back = (double)nearest;

    if (back != x && back - back == 0 && x == x) {
        if (fabs(back) > fabs(x))
            bits--;
        bits |= 1;
    }
    return cpu_float_to_half(cpu_bits_float(bits));
}

CPU_INLINE float cpu_bfloat_to_float(uint16_t x)
{
    return cpu_bits_float((uint32_t)x << 16);
}

CPU_INLINE uint16_t cpu_float_to_bfloat(float x)
{
    uint32_t bits = cpu_float_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;

    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

#endif
