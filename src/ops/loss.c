/* SPDX-License-Identifier: Apache-2.0 */
/* What training needs: losses, and the optimiser steps of ai.onnx.preview.training. */
#include <string.h>

#include "ops/infer.h"

/* scores [N, C, rest], labels [N, rest] -> labels' shape, or a scalar when reduced */
static HE_INFER_RULE(infer_loss)
{
    bool is_reduced = strcmp(he_node_string(node, "reduction", "mean"), "none") != 0;
    struct he_shape expected;
    he_status status = he_infer_want_rank(node, in[0], "the scores", 2, HE_MAX_RANK);

    if (status != HE_OK)
        return status;
    if (he_has_rank(in[0])) {
        expected = in[0]->shape;
        for (uint32_t k = 1; k + 1 < expected.rank; k++)
            expected.dims[k] = expected.dims[k + 1];
        expected.rank--;
        if (!he_shape_merge(&expected, &in[1]->shape))
            return he_infer_error(node, "scores %s do not go with labels %s",
                                  he_infer_text(in[0]).s, he_infer_text(in[1]).s);
    } else {
        expected = in[1]->shape;
    }
    if (is_reduced)
        expected.rank = 0;
    he_infer_set(out[0], in[0]->dtype, &expected);
    he_infer_set(out[1], in[0]->dtype, &in[0]->shape); /* log_prob */
    return HE_OK;
}

/* rate, step, then n tensors each of X, G and the states -> n tensors of X and the states */
static HE_INFER_RULE(infer_optimiser)
{
    uint32_t kinds = strcmp(node->op, "Adam") == 0 ? 4 : 3;
    uint32_t given = node->explicit_input_count - 2, n = given / kinds;

    if (given % kinds != 0 || node->output_count > n * (kinds - 1))
        return he_infer_error(node, "%u tensors in, %u out: not a multiple of %u and %u", given,
                              node->output_count, kinds, kinds - 1);
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *from = in[k < n ? 2 + k : 2 + n + k];

        if (out[k] && from)
            he_infer_set(out[k], from->dtype, &from->shape);
    }
    return HE_OK;
}

static HE_WORK_RULE(work_cross_entropy)
{
    work->flops = 14 * he_work_count(in[0], work);
}

static HE_WORK_RULE(work_optimiser)
{
    work->flops = 0;
    for (uint32_t k = 0; k < node->output_count; k++)
        work->flops += 6 * he_work_count(out[k], work);
}

#define OPTIMISER(op)                                                                              \
    { .name = op, .domain = "ai.onnx.preview.training", .versions = HE_VERSIONS(1),                \
      .infer = infer_optimiser, .work = work_optimiser, .access = HE_ACCESS_BROADCAST,             \
      .work_class = HE_WORK_ELEMENTWISE, .split_axes = HE_SPLIT_NONE, .min_inputs = 3,             \
      .max_inputs = 255, .max_outputs = 255 }

static const struct he_op rows[] = {
    OPTIMISER("Adagrad"),
    OPTIMISER("Adam"),
    OPTIMISER("Momentum"),
    { .name = "NegativeLogLikelihoodLoss", .domain = "", .versions = HE_VERSIONS(12, 13, 22),
      .infer = infer_loss, .access = HE_ACCESS_GATHER, .work_class = HE_WORK_REDUCTION,
      .split_axes = HE_SPLIT_NONE, .min_inputs = 2, .max_inputs = 3, .max_outputs = 1 },
    { .name = "SoftmaxCrossEntropyLoss", .domain = "", .versions = HE_VERSIONS(12, 13),
      .infer = infer_loss, .work = work_cross_entropy, .access = HE_ACCESS_REDUCE,
      .work_class = HE_WORK_REDUCTION, .split_axes = HE_SPLIT_NONE, .min_inputs = 2,
      .max_inputs = 3, .max_outputs = 2 },
};

const struct he_op_table he_ops_loss = { rows, HE_COUNT(rows) };
