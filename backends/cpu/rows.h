/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folds over one contiguous row of floats, vectorised, shared by the reductions, the
 * normalisations and the softmax family. Sums are kept in many float lanes over short
 * stretches and in double across them: about as good as a double sum.
 */
#ifndef CPU_ROWS_H
#define CPU_ROWS_H

#include <stdint.h>

double cpu_row_sum(const float *x, int64_t n);
double cpu_row_sum_abs(const float *x, int64_t n);
/* Sum of (x - center)^2 */
double cpu_row_sum_square(const float *x, int64_t n, float center);
float cpu_row_dot(const float *a, const float *b, int64_t n);
/* NaN when there is one; -infinity and +infinity for n = 0. */
float cpu_row_max(const float *x, int64_t n);
float cpu_row_min(const float *x, int64_t n);
/* Sum of e^(x - shift); with @out, also stores the terms there (@out may be @x). */
double cpu_row_sum_exp(const float *x, int64_t n, float shift, float *out);
/* out = x * scale + offset; @out may be @x */
void cpu_row_scale(float *out, const float *x, int64_t n, float scale, float offset);

#endif
