/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions on float, written so that loops over them vectorise: no
 * branches, no tables, no calls. Each is argument reduction plus a minimax
 * polynomial (fitted by iteratively reweighted least squares), within 3 ulp of the
 * true value over the whole range, infinities and NaN included; subnormal results of sigmoid and
 * tanh's relatives may be flushed to zero. test_fastmath.c holds them to that.
 *
 * Needs -fno-trapping-math (so that selects need not be branches), and must not
 * be compiled with -ffast-math: rounding by adding a large number would go away.
 */
#ifndef CPU_FASTMATH_H
#define CPU_FASTMATH_H

#include "half.h"

/* 1.5 * 2^23: adding it rounds to the nearest integer, which the low bits then hold. */
#define FM_ROUNDER 12582912.0f
#define FM_ROUNDER_BITS 0x4b400000u

CPU_INLINE float fm_exp(float x)
{
    float t, n, r, p;
    int32_t k, half_k;

    /* Written so that NaN passes through both. */
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    t = x * 1.44269504f + FM_ROUNDER;
    n = t - FM_ROUNDER;
    r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    p = 1.3950630785e-03f;
    p = p * r + 8.3689699378e-03f;
    p = p * r + 4.1666203712e-02f;
    p = p * r + 1.6666518169e-01f;
    p = p * r + 5.0000000958e-01f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    /* In two steps, so that subnormal results and the overflow come out right. */
    k = (int32_t)(cpu_float_bits(t) - FM_ROUNDER_BITS);
    half_k = k >> 1;
    p = p * cpu_bits_float((uint32_t)(half_k + 127) << 23);
    return p * cpu_bits_float((uint32_t)(k - half_k + 127) << 23);
}

/* For arguments that are known to lie in [-87, 88]: one scaling is enough. */
CPU_INLINE float fm_exp_bounded(float x)
{
    float t, n, r, p;

    t = x * 1.44269504f + FM_ROUNDER;
    n = t - FM_ROUNDER;
    r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    p = 1.3950630785e-03f;
    p = p * r + 8.3689699378e-03f;
    p = p * r + 4.1666203712e-02f;
    p = p * r + 1.6666518169e-01f;
    p = p * r + 5.0000000958e-01f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    return p * cpu_bits_float((cpu_float_bits(t) - FM_ROUNDER_BITS + 127u) << 23);
}

/* e^x - 1 for x <= 0, small x included. */
CPU_INLINE float fm_expm1_negative(float x)
{
    float p = 1.3950630785e-03f, big = fm_exp(x) - 1.0f;

    p = p * x + 8.3689699378e-03f;
    p = p * x + 4.1666203712e-02f;
    p = p * x + 1.6666518169e-01f;
    p = p * x + 5.0000000958e-01f;
    p = p * (x * x) + x;
    return x > -0.345f ? p : big;
}

CPU_INLINE float fm_log(float x)
{
    /* Subnormals are scaled into the normal range first. */
    float scaled = x < 0x1p-126f ? x * 0x1p23f : x, shift = x < 0x1p-126f ? -23.0f : 0.0f;
    int32_t bits = (int32_t)(cpu_float_bits(scaled) - 0x3f3504f3u);
    float e = (float)(bits >> 23) + shift;
    float r = cpu_bits_float((uint32_t)(bits & 0x7fffff) + 0x3f3504f3u) - 1.0f;
    float p = 6.7466410602e-02f, result;

    p = p * r - 1.1675651972e-01f;
    p = p * r + 1.1888162095e-01f;
    p = p * r - 1.2405588884e-01f;
    p = p * r + 1.4219552382e-01f;
    p = p * r - 1.6667995857e-01f;
    p = p * r + 2.0002118658e-01f;
    p = p * r - 2.5000009599e-01f;
    p = p * r + 3.3333312604e-01f;
    p = p * (r * r) * r;
    p = p + e * 1.42860677e-6f;
    p = p - 0.5f * (r * r);
    result = (r + p) + e * 0.693145752f;
    result = x > 3.4028234e38f ? x : result;
    result = x == 0.0f ? -INFINITY : result;
    result = x < 0.0f ? NAN : result;
    return x != x ? x : result;
}

/* log(1 + x) for x >= 0: the second term gives back what 1 + x lost. */
CPU_INLINE float fm_log1p(float x)
{
    float u = 1.0f + x;

    return fm_log(u) + (x - (u - 1.0f)) / u;
}

CPU_INLINE float fm_sigmoid(float x)
{
    return 1.0f / (1.0f + fm_exp(-x));
}

CPU_INLINE float fm_tanh(float x)
{
    float a = fabsf(x), s = a * a, p, big;

    p = -6.1987260349e-03f;
    p = p * s + 2.1020556023e-02f;
    p = p * s - 5.3840519187e-02f;
    p = p * s + 1.3332480557e-01f;
    p = p * s - 3.3333314678e-01f;
    p = p * s * a + a;
    big = a > 10.0f ? 10.0f : a;
    big = 1.0f - 2.0f / (fm_exp_bounded(2.0f * big) + 1.0f);
    return copysignf(a < 0.55f ? p : big, x);
}

CPU_INLINE float fm_erf(float x)
{
    float a = fabsf(x), s = a * a, p, q;

    p = 8.1851067138e-05f;
    p = p * s - 8.0977073710e-04f;
    p = p * s + 5.1969525407e-03f;
    p = p * s - 2.6857705349e-02f;
    p = p * s + 1.1283664005e-01f;
    p = p * s - 3.7612631614e-01f;
    p = p * s + 1.2837916641e-01f;
    p = p * a + a;
    a = a > 4.0f ? 4.0f : a;
    q = 4.9382636791e-06f;
    q = q * a - 4.5581775133e-05f;
    q = q * a - 4.9583816169e-05f;
    q = q * a + 2.9301497020e-03f;
    q = q * a - 2.2674125942e-02f;
    q = q * a + 1.0526268831e-01f;
    q = q * a + 6.3562527863e-01f;
    q = q * a + 1.2855174624e-01f;
    q = 1.0f - fm_exp_bounded(-(q * a + a));
    return copysignf(a < 0.93f ? p : q, x);
}

CPU_INLINE float fm_softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + fm_log1p(fm_exp(-fabsf(x)));
}

/* x * tanh(log(1 + e^x)), in one exponential. */
CPU_INLINE float fm_mish(float x)
{
    float e = fm_exp(x > 20.0f ? 20.0f : x), n = e * (e + 2.0f);

    return x > 20.0f ? x : x * (n / (n + 2.0f));
}

CPU_INLINE float fm_gelu_erf(float x)
{
    return 0.5f * x * (1.0f + fm_erf(x * 0.707106781f));
}

/* 0.5 x (1 + tanh u) = x sigmoid(2 u) */
CPU_INLINE float fm_gelu_tanh(float x)
{
    return x * fm_sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}

/*
 * Sine, cosine and tangent reduce in double: pi/2 in two parts, the first with 33
 * bits, is exact enough up to |x| of FM_TRIG_MAX; callers give larger ones to libm.
 */
#define FM_TRIG_MAX 1.0e6f

CPU_INLINE float fm_trig_reduce(float x, uint32_t *quadrant)
{
    double t = (double)x * 0.63661977236758134308 + 6755399441055744.0;
    double n = t - 6755399441055744.0;
    double r = ((double)x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
    uint64_t bits;

    memcpy(&bits, &t, sizeof bits);
    *quadrant = (uint32_t)bits;
    return (float)r;
}

CPU_INLINE float fm_sin_quadrant(float r, uint32_t quadrant)
{
    float s = r * r, sine, cosine, value;

    sine = -1.9511458017e-04f;
    sine = sine * s + 8.3321329748e-03f;
    sine = sine * s - 1.6666654177e-01f;
    sine = sine * s * r + r;
    cosine = 2.4434214175e-05f;
    cosine = cosine * s - 1.3887331719e-03f;
    cosine = cosine * s + 4.1666646163e-02f;
    cosine = cosine * (s * s) - 0.5f * s + 1.0f;
    value = quadrant & 1 ? cosine : sine;
    return cpu_bits_float(cpu_float_bits(value) ^ (quadrant & 2) << 30);
}

CPU_INLINE float fm_sin(float x)
{
    uint32_t quadrant;
    float r = fm_trig_reduce(x, &quadrant);

    return fm_sin_quadrant(r, quadrant);
}

CPU_INLINE float fm_cos(float x)
{
    uint32_t quadrant;
    float r = fm_trig_reduce(x, &quadrant);

    return fm_sin_quadrant(r, quadrant + 1);
}

CPU_INLINE float fm_tan(float x)
{
    uint32_t quadrant;
    float r = fm_trig_reduce(x, &quadrant), s = r * r, p;

    p = 9.5050004865e-03f;
    p = p * s + 2.9202711982e-03f;
    p = p * s + 2.4552991243e-02f;
    p = p * s + 5.3377344563e-02f;
    p = p * s + 1.3339202839e-01f;
    p = p * s + 3.3333141557e-01f;
    p = p * s * r + r;
    return quadrant & 1 ? -1.0f / p : p;
}

/* x^y for finite y and normal positive x, through base-2 logarithm and exponential in
 * double: an error of y * log2(x) would be multiplied by up to 128. */
CPU_INLINE float fm_pow_normal(float x, float y)
{
    int32_t bits = (int32_t)(cpu_float_bits(x) - 0x3f3504f3u);
    double e = (double)(bits >> 23);
    double m = (double)cpu_bits_float((uint32_t)(bits & 0x7fffff) + 0x3f3504f3u);
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, p, t, n, r;
    float low, high;
    int32_t k;

    p = 2.84701388009376610e-01;
    p = p * s2 + 3.19759872835685077e-01;
    p = p * s2 + 4.12213545551753935e-01;
    p = p * s2 + 5.77077887063649042e-01;
    p = p * s2 + 9.61796694404120411e-01;
    p = p * s2 + 2.88539008177742184e+00;
    t = (p * s + e) * (double)y;
    t = t > 129.0 ? 129.0 : t;
    t = t < -151.0 ? -151.0 : t;
    n = (t + 6755399441055744.0) - 6755399441055744.0;
    r = t - n;
    p = 1.31758534014787995e-06;
    p = p * r + 1.53097375511509435e-05;
    p = p * r + 1.54038517740813253e-04;
    p = p * r + 1.33334520617107250e-03;
    p = p * r + 9.61812854281886981e-03;
    p = p * r + 5.55041093934238033e-02;
    p = p * r + 2.40226506988806654e-01;
    p = p * r + 6.93147180546513697e-01;
    p = p * r + 1.0;
    k = (int32_t)n;
    low = cpu_bits_float((uint32_t)((k >> 1) + 127) << 23);
    high = cpu_bits_float((uint32_t)(k - (k >> 1) + 127) << 23);
    return (float)p * low * high;
}

#endif
