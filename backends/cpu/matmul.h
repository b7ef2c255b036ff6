/* SPDX-License-Identifier: Apache-2.0 */
/* The shape side of MatMul and its integer relatives: sizes, and where each batch's matrices lie. */
#ifndef CPU_MATMUL_H
#define CPU_MATMUL_H

#include "pointwise.h"

struct cpu_matmul {
    int64_t m, n, k;
    int64_t batches;
    struct he_shape batch;                        /* leading dimensions of the output */
    int64_t a_step[HE_MAX_RANK], b_step[HE_MAX_RANK]; /* elements per batch dimension */
    bool b_is_shared;                             /* one b for all, a without gaps */
};

/* HE_ERR_SHAPE when the inner sizes differ or the batches do not broadcast. */
he_status cpu_matmul_init(struct cpu_matmul *mm, const struct he_node *node,
                          const struct he_shape *a, const struct he_shape *b);
/* Element offsets of the matrices of batch @index. */
void cpu_matmul_offsets(const struct cpu_matmul *mm, int64_t index, int64_t *a, int64_t *b);

#endif
