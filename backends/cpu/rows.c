/* SPDX-License-Identifier: Apache-2.0 */
/* Folds over one row of floats; see rows.h. */
#include "rows.h"

#include "fastmath.h"
#include "kernel.h"

/* 64 bytes however wide the machine's own vectors are; the compiler cuts them up. */
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
#define LANES 16
/* Elements summed in float before the sum moves to double: 4 accumulators of 16 lanes, 16 each. */
#define STRETCH 1024

/* By address: a vector as an argument would depend on the instruction set. */
CPU_INLINE double lanes_sum(const lanes *a)
{
    double sum = 0;
    int k;

    for (k = 0; k < LANES; k++)
        sum += (double)(*a)[k];
    return sum;
}

#define AT(k) (*(const lanes *)(x + i + (k) * LANES))

/* TERM maps a vector (or a scalar) to what is summed. */
#define ROW_SUM(TERM, TERM1)                                          \
    {                                                                 \
        double sum = 0;                                               \
        int64_t i = 0, end;                                           \
        while (n - i >= LANES) {                                      \
            lanes a = {0}, b = {0}, c = {0}, d = {0};                 \
            end = n - i > STRETCH ? i + STRETCH : n;                  \
            for (; end - i >= 4 * LANES; i += 4 * LANES) {            \
                a += TERM(AT(0));                                     \
                b += TERM(AT(1));                                     \
                c += TERM(AT(2));                                     \
                d += TERM(AT(3));                                     \
            }                                                         \
            for (; end - i >= LANES; i += LANES)                      \
                a += TERM(AT(0));                                     \
            a = (a + b) + (c + d);                                    \
            sum += lanes_sum(&a);                                     \
        }                                                             \
        for (; i < n; i++)                                            \
            sum += (double)TERM1(x[i]);                               \
        return sum;                                                   \
    }

#define SAME(v) (v)
CPU_VECTOR double cpu_row_sum(const float *x, int64_t n) ROW_SUM(SAME, SAME)

#define SQUARE(v) (((v) - center) * ((v) - center))
CPU_VECTOR double cpu_row_sum_square(const float *x, int64_t n, float center)
    ROW_SUM(SQUARE, SQUARE)

typedef int32_t int_lanes __attribute__((vector_size(64), aligned(4), may_alias));
#define MAGNITUDE(v) ((lanes)((int_lanes)(v) & 0x7fffffff))
CPU_VECTOR double cpu_row_sum_abs(const float *x, int64_t n) ROW_SUM(MAGNITUDE, fabsf)

CPU_VECTOR float cpu_row_dot(const float *x, const float *y, int64_t n)
{
    lanes a = {0}, b = {0}, c = {0}, d = {0};
    float sum = 0.0f;
    int64_t i = 0;

#define PRODUCT(k) (AT(k) * *(const lanes *)(y + i + (k) * LANES))
    for (; n - i >= 4 * LANES; i += 4 * LANES) {
        a += PRODUCT(0);
        b += PRODUCT(1);
        c += PRODUCT(2);
        d += PRODUCT(3);
    }
    for (; n - i >= LANES; i += LANES)
        a += PRODUCT(0);
#undef PRODUCT
    for (; i < n; i++)
        sum += x[i] * y[i];
    a = (a + b) + (c + d);
    return sum + (float)lanes_sum(&a);
}

/* Minimum and maximum in an array of lanes: a plain loop over it vectorises. */
#define EXTREME_LANES 64
#define ROW_EXTREME(START, BETTER)                                              \
    {                                                                           \
        float best[EXTREME_LANES], result = START;                              \
        int64_t i = 0, k;                                                       \
        if (n >= EXTREME_LANES) {                                               \
            for (k = 0; k < EXTREME_LANES; k++)                                 \
                best[k] = x[k];                                                 \
            for (i = EXTREME_LANES; n - i >= EXTREME_LANES; i += EXTREME_LANES) \
                for (k = 0; k < EXTREME_LANES; k++)                             \
                    best[k] = BETTER(x[i + k], best[k]) ? x[i + k] : best[k];   \
            for (k = 0; k < EXTREME_LANES; k++)                                 \
                result = BETTER(best[k], result) ? best[k] : result;            \
        }                                                                       \
        for (; i < n; i++)                                                      \
            result = BETTER(x[i], result) ? x[i] : result;                      \
        return result;                                                          \
    }
#define GREATER(a, b) ((a) > (b) || (a) != (a))
#define LESS(a, b) ((a) < (b) || (a) != (a))
CPU_VECTOR float cpu_row_max(const float *x, int64_t n) ROW_EXTREME(-INFINITY, GREATER)
CPU_VECTOR float cpu_row_min(const float *x, int64_t n) ROW_EXTREME(INFINITY, LESS)

CPU_VECTOR static void exp_terms(float *out, const float *x, int64_t n, float shift)
{
    int64_t i;

    CPU_IVDEP
    for (i = 0; i < n; i++)
        out[i] = fm_exp(x[i] - shift);
}

double cpu_row_sum_exp(const float *x, int64_t n, float shift, float *out)
{
    float block[STRETCH], *terms;
    double sum = 0;
    int64_t i, m;

    for (i = 0; i < n; i += m) {
        m = n - i < STRETCH ? n - i : STRETCH;
        terms = out ? out + i : block;
        exp_terms(terms, x + i, m, shift);
        sum += cpu_row_sum(terms, m);
    }
    return sum;
}

CPU_VECTOR void cpu_row_scale(float *out, const float *x, int64_t n, float scale, float offset)
{
    int64_t i;

    CPU_IVDEP
    for (i = 0; i < n; i++)
        out[i] = x[i] * scale + offset;
}
