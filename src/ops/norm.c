/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisations. */
#include <inttypes.h>

#include "ops/infer.h"

/* Every parameter is one number per channel. */
static he_status want_per_channel(const struct he_node *node, const struct he_value *const *in,
                                  uint32_t first, uint32_t last)
{
    int64_t channels = he_infer_dim(in[0], 1);

    for (uint32_t k = first; k <= last; k++) {
        if (!he_has_rank(in[k]))
            continue;
        if (in[k]->shape.rank != 1 || he_dim_conflict(in[k]->shape.dims[0], channels))
            return he_infer_error(node, "input %u is %s, X is %s: one number per channel expected",
                                  k, he_infer_text(in[k]).s, he_infer_text(in[0]).s);
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_batch_norm)
{
    he_status status = HE_OK;

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    /* Until opset 8 spatial=0 asks for one number per activation. */
    if (node->opset >= 9 || he_node_int(node, "spatial", 1))
        status = want_per_channel(node, in, 1, 4);
    /* running mean and variance; until opset 13 also the saved ones */
    for (int k = 1; k < 5; k++)
        he_infer_set(out[k], in[k % 2 ? 3 : 4]->dtype, &in[k % 2 ? 3 : 4]->shape);
    return status;
}

static HE_INFER_RULE(infer_instance_norm)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return want_per_channel(node, in, 1, 2);
}

static HE_INFER_RULE(infer_group_norm)
{
    int64_t groups = he_node_int(node, "num_groups", 0);
    int64_t channels = he_infer_dim(in[0], 1);

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (groups < 1 || (channels >= 0 && channels % groups != 0))
        return he_infer_error(node, "num_groups is %" PRId64 ", X is %s", groups,
                              he_infer_text(in[0]).s);
    /* Opset 18 had one scale per group. */
    return node->opset >= 21 ? want_per_channel(node, in, 1, 2) : HE_OK;
}

/* X, scale, bias: normalised over the axes from axis on. */
static HE_INFER_RULE(infer_layer_norm)
{
    int64_t stash = he_node_int(node, "stash_type", HE_FLOAT32);
    struct he_shape shape, statistics;
    uint32_t axis;
    he_status status;

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (stash <= HE_DTYPE_NONE || stash >= HE_DTYPE_COUNT)
        return he_infer_error(node, "stash_type is %" PRId64, stash);
    out[1]->dtype = out[2]->dtype = (enum he_dtype)stash;
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", -1), in[0]->shape.rank, &axis);
    if (status != HE_OK)
        return status;
    for (int k = 1; k < 3; k++) {
        if (!in[k])
            continue;
        if (!he_shape_broadcast(&in[0]->shape, &in[k]->shape, &shape) ||
            (shape.rank != HE_RANK_UNKNOWN && shape.rank != in[0]->shape.rank))
            return he_infer_error(node, "%s %s does not fit X %s", k == 1 ? "scale" : "bias",
                                  he_infer_text(in[k]).s, he_infer_text(in[0]).s);
    }
    statistics = in[0]->shape;
    for (uint32_t k = axis; k < statistics.rank; k++)
        statistics.dims[k] = 1;
    out[1]->shape = out[2]->shape = statistics;
    return HE_OK;
}

static HE_INFER_RULE(infer_lrn)
{
    if (he_node_int(node, "size", 0) < 1)
        return he_infer_error(node, "size is %" PRId64, he_node_int(node, "size", 0));
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return he_infer_want_rank(node, in[0], "X", 2, HE_MAX_RANK);
}

static HE_INFER_RULE(infer_lp_norm)
{
    uint32_t unused;

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (!he_has_rank(in[0]))
        return HE_OK;
    return he_infer_axis(node, he_node_int(node, "axis", -1), in[0]->shape.rank, &unused);
}

/* --- Work --- */

/* Folded scale and shift. */
static HE_WORK_RULE(work_batch_norm)
{
    work->flops = 2 * he_work_count(in[0], work);
}

/* Mean, variance, then subtract, multiply, scale, shift. */
static HE_WORK_RULE(work_normalise)
{
    work->flops = 8 * he_work_count(in[0], work);
}

static HE_WORK_RULE(work_lrn)
{
    double size = (double)he_node_int(node, "size", 1);

    work->flops = (2 * size + 12) * he_work_count(in[0], work);
}

#define NORM(op, rule, cost, axes, least, most, outputs, ...)                                      \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION, .split_axes = axes,             \
      .min_inputs = least, .max_inputs = most, .max_outputs = outputs }

static const struct he_op rows[] = {
    /* In its inference form it is pointwise with one pair of numbers per channel. */
    { .name = "BatchNormalization", .domain = "", .versions = HE_VERSIONS(1, 6, 7, 9, 14, 15),
      .infer = infer_batch_norm, .work = work_batch_norm, .access = HE_ACCESS_BROADCAST,
      .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL | HE_SPLIT_SPATIAL,
      .flags = HE_OP_CHANNELS_LAST, .min_inputs = 5, .max_inputs = 5, .max_outputs = 5 },
    NORM("GroupNormalization", infer_group_norm, work_normalise, HE_SPLIT_BATCH, 3, 3, 1, 18, 21),
    NORM("InstanceNormalization", infer_instance_norm, work_normalise,
         HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, 3, 3, 1, 1, 6, 22),
    { .name = "LRN", .domain = "", .versions = HE_VERSIONS(1, 13), .infer = infer_lrn,
      .work = work_lrn, .access = HE_ACCESS_WINDOW, .work_class = HE_WORK_WINDOW,
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_SPATIAL, .flags = HE_OP_CHANNELS_LAST,
      .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 },
    NORM("LayerNormalization", infer_layer_norm, work_normalise, HE_SPLIT_BATCH, 2, 3, 3, 17),
    NORM("LpNormalization", infer_lp_norm, work_normalise, HE_SPLIT_OTHER_AXES, 1, 1, 1, 1, 22),
    NORM("MeanVarianceNormalization", he_infer_same, work_normalise, HE_SPLIT_CHANNEL, 1, 1, 1, 9,
         13),
    NORM("RMSNormalization", infer_layer_norm, work_normalise, HE_SPLIT_BATCH, 2, 2, 1, 23),
};

const struct he_op_table he_ops_norm = { rows, HE_COUNT(rows) };
