/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions, ArgMax and ArgMin, and running sums. */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

/* Removes or flattens the axes of @mask. */
static struct he_shape reduced(const struct he_shape *shape, uint32_t mask, bool keep)
{
    struct he_shape result = { .rank = 0 };

    for (uint32_t k = 0; k < shape->rank; k++) {
        if (!(mask & (1u << k)))
            result.dims[result.rank++] = shape->dims[k];
        else if (keep)
            result.dims[result.rank++] = 1;
    }
    return result;
}

/* The product of a list of sizes. */
static void set_product(const struct he_value *in, struct he_value *out)
{
    struct he_codes codes;
    int64_t product = 1;

    if (!he_infer_codes(in, &codes))
        return;
    for (size_t k = 0; k < codes.count; k++) {
        if (!he_dim_mul(product, he_codes_dim(&codes, k), &product))
            return;
    }
    he_infer_set_known(out, &product, 1);
}

/* Axes are an attribute until opset 17 (ReduceSum: 12), then input 1. */
static HE_INFER_RULE(infer_reduce)
{
    bool is_sum = strcmp(node->op, "ReduceSum") == 0;
    bool has_input = node->opset >= (is_sum ? 13 : 18);
    bool keep = he_node_int(node, "keepdims", 1) != 0;
    bool skip_empty = has_input && he_node_int(node, "noop_with_empty_axes", 0) != 0;
    const int64_t *list = NULL;
    struct he_codes codes = { .count = 0 };
    size_t count = 0;
    uint32_t rank = in[0]->shape.rank, mask;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (!has_input)
        count = he_node_ints(node, "axes", &list);
    if (has_input && in[1]) {
        int64_t length = he_infer_length(in[1]);

        if (!he_infer_exact(in[1], &codes)) {
            /* Which axes is a matter of data; how many may be known. */
            if (!he_has_rank(in[0]))
                return HE_OK;
            if (keep)
                out[0]->shape = he_shape_of_rank(rank);
            else if (length > 0 && length <= (int64_t)rank)
                out[0]->shape = he_shape_of_rank(rank - (uint32_t)length);
            return HE_OK;
        }
        list = codes.v;
        count = codes.count;
    }
    if (count == 0 && skip_empty) {
        out[0]->shape = in[0]->shape;
        return HE_OK;
    }
    if (!he_has_rank(in[0])) {
        if (count == 0 && !keep)
            out[0]->shape = he_shape_of_rank(0);
        return HE_OK;
    }
    mask = (1u << rank) - 1;
    if (count != 0) {
        status = he_infer_axes(node, list, count, rank, &mask);
        if (status != HE_OK)
            return status;
    }
    out[0]->shape = reduced(&in[0]->shape, mask, keep);
    if (strcmp(node->op, "ReduceProd") == 0 && rank == 1)
        set_product(in[0], out[0]);
    return HE_OK;
}

static HE_INFER_RULE(infer_arg)
{
    bool keep = he_node_int(node, "keepdims", 1) != 0;
    uint32_t axis;
    he_status status;

    out[0]->dtype = HE_INT64;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (in[0]->shape.rank == 0) {
        out[0]->shape = he_shape_of_rank(0);
        return HE_OK;
    }
    status = he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &axis);
    if (status == HE_OK)
        out[0]->shape = reduced(&in[0]->shape, 1u << axis, keep);
    return status;
}

/* CumSum, CumProd: axis is input 1, a scalar. */
static HE_INFER_RULE(infer_cumulate)
{
    int64_t axis;
    uint32_t unused;

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (he_infer_exact_scalar(in[1], &axis) && he_has_rank(in[0]))
        return he_infer_axis(node, axis, in[0]->shape.rank, &unused);
    return HE_OK;
}

static HE_WORK_RULE(work_reduce)
{
    work->flops = he_work_count(in[0], work);
}

static HE_WORK_RULE(work_reduce_two)
{
    work->flops = 2 * he_work_count(in[0], work);
}

static HE_WORK_RULE(work_reduce_costly)
{
    work->flops = 12 * he_work_count(in[0], work);
}

#define REDUCE(op, cost, ...)                                                                      \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_reduce,       \
      .work = cost, .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION,                   \
      .split_axes = HE_SPLIT_OTHER_AXES, .min_inputs = 1, .max_inputs = 2, .max_outputs = 1 }
#define ARG(op, ...)                                                                               \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_arg,          \
      .work = work_reduce, .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION,            \
      .split_axes = HE_SPLIT_OTHER_AXES, .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 }
#define CUMULATE(op, ...)                                                                          \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_cumulate,     \
      .work = work_reduce, .access = HE_ACCESS_SEQUENTIAL, .work_class = HE_WORK_REDUCTION,        \
      .split_axes = HE_SPLIT_OTHER_AXES, .min_inputs = 2, .max_inputs = 2, .max_outputs = 1 }

static const struct he_op rows[] = {
    ARG("ArgMax", 1, 11, 12, 13),
    ARG("ArgMin", 1, 11, 12, 13),
    CUMULATE("CumProd", 26),
    CUMULATE("CumSum", 11, 14),
    REDUCE("ReduceL1", work_reduce_two, 1, 11, 13, 18),
    REDUCE("ReduceL2", work_reduce_two, 1, 11, 13, 18),
    REDUCE("ReduceLogSum", work_reduce, 1, 11, 13, 18, 28),
    REDUCE("ReduceLogSumExp", work_reduce_costly, 1, 11, 13, 18, 28),
    REDUCE("ReduceMax", work_reduce, 1, 11, 12, 13, 18, 20),
    REDUCE("ReduceMean", work_reduce, 1, 11, 13, 18),
    REDUCE("ReduceMin", work_reduce, 1, 11, 12, 13, 18, 20),
    REDUCE("ReduceProd", work_reduce, 1, 11, 13, 18),
    REDUCE("ReduceSum", work_reduce, 1, 11, 13),
    REDUCE("ReduceSumSquare", work_reduce_two, 1, 11, 13, 18),
};

const struct he_op_table he_ops_reduce = { rows, HE_COUNT(rows) };
