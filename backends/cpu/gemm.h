/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of our own, for when oneDNN is absent or does not take the shape. */
#ifndef CPU_GEMM_H
#define CPU_GEMM_H

#include "kernel.h"

/* A matrix of floats: element (i, j) at i * row + j * column; one of the two is 1. */
struct cpu_matrix {
    const float *data;
    int64_t row, column;
};

/* Bytes of scratch cpu_gemm_f32() needs for these sizes: @b, rearranged. */
size_t cpu_gemm_scratch(int64_t m, int64_t n, int64_t k);

/* c (row-major, @c_row apart) = a (m x k) * b (k x n), added to what is there with @adds. */
void cpu_gemm_f32(struct cpu_team *team, int64_t m, int64_t n, int64_t k, struct cpu_matrix a,
                  struct cpu_matrix b, float *c, int64_t c_row, bool adds, void *scratch);

#endif
