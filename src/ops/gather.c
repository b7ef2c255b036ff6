/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing by index tensors. */
#include <inttypes.h>

#include "ops/infer.h"

static he_status want_indices(const struct he_node *node, const struct he_value *indices)
{
    if (indices->dtype == HE_DTYPE_NONE || he_dtype_is_integer(indices->dtype))
        return HE_OK;
    return he_infer_error(node, "the indices are %s, integers were expected",
                          he_dtype_name(indices->dtype));
}

static HE_INFER_RULE(infer_gather)
{
    struct he_shape shape = { .rank = 0 };
    struct he_codes data, indices;
    int64_t picked[HE_MAX_RANK];
    uint32_t axis, rank = in[0]->shape.rank;
    he_status status = want_indices(node, in[1]);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    status = he_infer_axis(node, he_node_int(node, "axis", 0), rank, &axis);
    if (status != HE_OK || !he_has_rank(in[1]))
        return status;
    for (uint32_t k = 0; k < axis && status == HE_OK; k++)
        status = he_infer_push(node, &shape, in[0]->shape.dims[k]);
    for (uint32_t k = 0; k < in[1]->shape.rank && status == HE_OK; k++)
        status = he_infer_push(node, &shape, in[1]->shape.dims[k]);
    for (uint32_t k = axis + 1; k < rank && status == HE_OK; k++)
        status = he_infer_push(node, &shape, in[0]->shape.dims[k]);
    if (status != HE_OK)
        return status;
    he_infer_set(out[0], in[0]->dtype, &shape);
    /* Picking from a list, most often a shape. */
    if (rank != 1 || !he_infer_codes(in[0], &data) || !he_infer_exact(in[1], &indices))
        return HE_OK;
    for (size_t k = 0; k < indices.count; k++) {
        int64_t at = indices.v[k], count = (int64_t)data.count;

        if (at < -count || at >= count)
            return he_infer_error(node, "index %" PRId64 " is outside a list of %" PRId64, at,
                                  count);
        picked[k] = he_codes_dim(&data, (size_t)(at < 0 ? at + count : at));
    }
    he_infer_set_known(out[0], picked, indices.count);
    return HE_OK;
}

static HE_INFER_RULE(infer_gather_elements)
{
    uint32_t unused;
    he_status status = want_indices(node, in[1]);

    he_infer_set(out[0], in[0]->dtype, &in[1]->shape);
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    if (he_has_rank(in[1]) && in[0]->shape.rank != in[1]->shape.rank)
        return he_infer_error(node, "ranks differ: data is %s, indices are %s",
                              he_infer_text(in[0]).s, he_infer_text(in[1]).s);
    return he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &unused);
}

static HE_INFER_RULE(infer_gather_nd)
{
    int64_t batch = node->opset >= 12 ? he_node_int(node, "batch_dims", 0) : 0;
    struct he_shape shape = { .rank = 0 };
    uint32_t rank = in[0]->shape.rank, index_rank = in[1]->shape.rank;
    int64_t depth;
    he_status status = want_indices(node, in[1]);

    out[0]->dtype = in[0]->dtype;
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[0], "data", 1, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "indices", 1, HE_MAX_RANK);
    if (status != HE_OK || !he_has_rank(in[0]) || !he_has_rank(in[1]))
        return status;
    depth = in[1]->shape.dims[index_rank - 1];
    if (batch < 0 || batch >= (int64_t)rank || batch >= (int64_t)index_rank)
        return he_infer_error(node, "batch_dims is %" PRId64 " (data is %s, indices are %s)",
                              batch, he_infer_text(in[0]).s, he_infer_text(in[1]).s);
    if (depth < 0)
        return HE_OK;
    if (depth > (int64_t)rank - batch)
        return he_infer_error(node, "indices %s are deeper than data %s", he_infer_text(in[1]).s,
                              he_infer_text(in[0]).s);
    for (uint32_t k = 0; k + 1 < index_rank && status == HE_OK; k++)
        status = he_infer_push(node, &shape, in[1]->shape.dims[k]);
    for (uint32_t k = (uint32_t)(batch + depth); k < rank && status == HE_OK; k++)
        status = he_infer_push(node, &shape, in[0]->shape.dims[k]);
    if (status == HE_OK)
        out[0]->shape = shape;
    return status;
}

/* data, indices, updates: the output is data with some places rewritten. */
static HE_INFER_RULE(infer_scatter_elements)
{
    struct he_shape shape = in[1]->shape;
    uint32_t unused;
    he_status status = want_indices(node, in[1]);

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (status == HE_OK)
        status = he_infer_want_same_type(node, in[0], "data", in[2], "updates");
    if (status != HE_OK)
        return status;
    if (!he_shape_merge(&shape, &in[2]->shape) ||
        (he_has_rank(in[0]) && shape.rank != HE_RANK_UNKNOWN && shape.rank != in[0]->shape.rank))
        return he_infer_error(node, "data is %s, indices are %s, updates %s",
                              he_infer_text(in[0]).s, he_infer_text(in[1]).s,
                              he_infer_text(in[2]).s);
    if (!he_has_rank(in[0]))
        return HE_OK;
    return he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &unused);
}

static HE_INFER_RULE(infer_scatter_nd)
{
    int64_t depth;
    he_status status = want_indices(node, in[1]);

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (status == HE_OK)
        status = he_infer_want_same_type(node, in[0], "data", in[2], "updates");
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[0], "data", 1, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "indices", 1, HE_MAX_RANK);
    if (status != HE_OK || !he_has_rank(in[0]) || !he_has_rank(in[1]))
        return status;
    depth = in[1]->shape.dims[in[1]->shape.rank - 1];
    if (depth > (int64_t)in[0]->shape.rank)
        return he_infer_error(node, "indices %s are deeper than data %s", he_infer_text(in[1]).s,
                              he_infer_text(in[0]).s);
    return HE_OK;
}

/* Writes updates into a cache along one axis. */
static HE_INFER_RULE(infer_tensor_scatter)
{
    uint32_t unused;
    he_status status = he_infer_want_same_type(node, in[0], "past_cache", in[1], "update");

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    if (he_has_rank(in[1]) && in[0]->shape.rank != in[1]->shape.rank)
        return he_infer_error(node, "ranks differ: past_cache is %s, update is %s",
                              he_infer_text(in[0]).s, he_infer_text(in[1]).s);
    return he_infer_axis(node, he_node_int(node, "axis", -2), in[0]->shape.rank, &unused);
}

#define ROW(op, rule, cost, axes, least, most, ...)                                                \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_GATHER, .work_class = HE_WORK_MOVE, .split_axes = axes,                  \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }

static const struct he_op rows[] = {
    ROW("Gather", infer_gather, he_work_move, HE_SPLIT_ANY, 2, 2, 1, 11, 13),
    ROW("GatherElements", infer_gather_elements, he_work_move, HE_SPLIT_OTHER_AXES, 2, 2, 11, 13),
    ROW("GatherND", infer_gather_nd, he_work_move, HE_SPLIT_NONE, 2, 2, 11, 12, 13),
    ROW("Scatter", infer_scatter_elements, NULL, HE_SPLIT_NONE, 3, 3, 9, 11),
    ROW("ScatterElements", infer_scatter_elements, NULL, HE_SPLIT_NONE, 3, 3, 11, 13, 16, 18),
    ROW("ScatterND", infer_scatter_nd, NULL, HE_SPLIT_NONE, 3, 3, 11, 13, 16, 18),
    ROW("TensorScatter", infer_tensor_scatter, NULL, HE_SPLIT_NONE, 2, 3, 24),
};

const struct he_op_table he_ops_gather = { rows, HE_COUNT(rows) };
