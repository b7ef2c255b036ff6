/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a part of a node's result needs of its inputs, operator by operator. Operators that
 * work along an axis cannot be cut along that one; an operator without a rule is not cut.
 */
#include <string.h>

#include "core/size.h"
#include "graph/shard.h"
#include "graph/store.h"
#include "ops/infer.h"

/* One question. */
struct cut {
    const struct he_graph *graph;
    const struct he_node *node;
    const struct he_shape *in, *out; /* of input 0 and output 0 */
    uint32_t axis;
    int64_t begin, end;
    struct he_shard_need *needs;
    struct he_shard_patch *patch;
};

static void need(const struct cut *c, uint32_t input, uint32_t axis)
{
    c->needs[input] = (struct he_shard_need){ axis, c->begin, c->end };
}

/* Along axis @keep counted from the end of the result: an operand has it, or repeats over it. */
static bool need_broadcast(const struct cut *c, uint32_t input)
{
    const struct he_value *operand = he_node_input(c->graph, c->node, input);
    uint32_t from_end = c->out->rank - c->axis, at;

    if (!operand || operand->shape.rank < from_end)
        return true;
    at = operand->shape.rank - from_end;
    if (operand->shape.dims[at] == 1)
        return true;
    if (operand->shape.dims[at] != c->out->dims[c->axis])
        return false;
    need(c, input, at);
    return true;
}

static bool cut_broadcast(const struct cut *c)
{
    for (uint32_t k = 0; k < c->node->input_count; k++) {
        if (!need_broadcast(c, k))
            return false;
    }
    return true;
}

static bool cut_pointwise(const struct cut *c)
{
    if (!he_shape_equal(c->in, c->out))
        return false;
    need(c, 0, c->axis);
    return true;
}

/* Negative axes count from the end. */
static uint32_t axis_of(const struct cut *c, int64_t fallback)
{
    int64_t axis = he_node_int(c->node, "axis", fallback);

    return (uint32_t)(axis < 0 ? axis + c->in->rank : axis);
}

/* Normalised along one axis; until opset 12 over everything from that axis on. */
static bool cut_softmax(const struct cut *c)
{
    uint32_t axis = axis_of(c, c->node->opset >= 13 ? -1 : 1);

    need(c, 0, c->axis);
    return c->node->opset >= 13 ? c->axis != axis : c->axis < axis;
}

static bool cut_lp_norm(const struct cut *c)
{
    need(c, 0, c->axis);
    return c->axis != axis_of(c, -1);
}

/* X, scale, bias, normalised from axis on. */
static bool cut_layer_norm(const struct cut *c)
{
    return c->axis < axis_of(c, -1) && cut_broadcast(c);
}

/* X, then one number per channel each. */
static bool cut_channel_norm(const struct cut *c)
{
    need(c, 0, c->axis);
    for (uint32_t k = 1; c->axis == 1 && k < c->node->input_count; k++)
        need(c, k, 0);
    if (he_node_is(c->node, "InstanceNormalization"))
        return c->axis < 2;
    /* Before opset 7 it may compute statistics of the batch. */
    return c->node->opset >= 7 && !he_node_int(c->node, "training_mode", 0) &&
           (c->node->opset >= 9 || he_node_int(c->node, "spatial", 1));
}

static bool cut_batch_only(const struct cut *c)
{
    need(c, 0, 0);
    return c->axis == 0;
}

static bool cut_global_pool(const struct cut *c)
{
    need(c, 0, c->axis);
    return c->axis < 2;
}

static bool cut_lrn(const struct cut *c)
{
    need(c, 0, c->axis);
    return c->axis != 1;
}

static bool cut_window(const struct cut *c)
{
    return he_shard_window(c->graph, c->node, c->axis, c->begin, c->end, c->needs, c->patch);
}

/* A [.., M, K] x B [.., K, N]: rows are A's, columns are B's, the rest broadcasts. */
static bool cut_matmul(const struct cut *c)
{
    const struct he_value *a = he_node_input(c->graph, c->node, 0);
    const struct he_value *b = he_node_input(c->graph, c->node, 1);

    if (!a || !b || a->shape.rank < 2 || b->shape.rank < 2)
        return false;
    if (c->axis + 2 == c->out->rank)
        need(c, 0, a->shape.rank - 2);
    else if (c->axis + 1 == c->out->rank)
        need(c, 1, b->shape.rank - 1);
    else
        return need_broadcast(c, 0) && need_broadcast(c, 1);
    return true;
}

static bool cut_gemm(const struct cut *c)
{
    if (c->axis == 0)
        need(c, 0, he_node_int(c->node, "transA", 0) ? 1 : 0);
    else
        need(c, 1, he_node_int(c->node, "transB", 0) ? 0 : 1);
    return c->node->input_count < 3 || need_broadcast(c, 2);
}

static bool cut_transpose(const struct cut *c)
{
    const int64_t *perm;
    size_t count = he_node_ints(c->node, "perm", &perm);

    if (count != 0 && count != c->out->rank)
        return false;
    need(c, 0, count ? (uint32_t)perm[c->axis] : c->out->rank - 1 - c->axis);
    return true;
}

static bool cut_concat(const struct cut *c)
{
    for (uint32_t k = 0; k < c->node->input_count; k++)
        need(c, k, c->axis);
    return c->axis != axis_of(c, 1);
}

/* The same bytes under another shape: the axis must be one on both sides. */
static bool cut_view(const struct cut *c)
{
    int64_t before = 1, outer = 1;
    uint32_t at = 0;

    if (he_node_is(c->node, "BitCast") ||
        (he_node_is(c->node, "Squeeze") && !he_node_attr(c->node, "axes") &&
         !he_node_input(c->graph, c->node, 1)))
        return false; /* without axes it takes away whatever is 1 */
    for (uint32_t d = 0; d < c->axis; d++)
        before *= c->out->dims[d];
    while (at < c->in->rank && (outer < before || c->in->dims[at] == 1))
        outer *= c->in->dims[at++];
    if (at == c->in->rank || outer != before || c->in->dims[at] != c->out->dims[c->axis])
        return false;
    need(c, 0, at);
    c->patch->has_shape = he_node_is(c->node, "Reshape");
    return !c->patch->has_shape || c->node->opset >= 5;
}

/* Bit k: axis k of input 0, from attribute @name or constant input @input. */
static bool read_axes(const struct cut *c, const char *name, uint32_t input, uint32_t *mask,
                      size_t *count)
{
    const struct he_value *value = he_node_input(c->graph, c->node, input);
    int64_t axes[HE_MAX_RANK];
    const int64_t *list = axes;

    *mask = 0;
    if (!value)
        *count = he_node_ints(c->node, name, &list);
    else if (!he_value_read_ints(value, axes, HE_MAX_RANK, count))
        return false;
    for (size_t k = 0; k < *count; k++) {
        int64_t axis = list[k] < 0 ? list[k] + c->in->rank : list[k];

        if (axis < 0 || axis >= (int64_t)c->in->rank)
            return false;
        *mask |= 1u << axis;
    }
    return true;
}

static bool cut_reduce(const struct cut *c)
{
    uint32_t mask, at = 0, left = c->axis;
    size_t count;

    if (strncmp(c->node->op, "Arg", 3) == 0) {
        mask = 1u << axis_of(c, 0);
    } else {
        if (!read_axes(c, "axes", 1, &mask, &count))
            return false;
        if (count == 0)
            return false;
    }
    if (he_node_int(c->node, "keepdims", 1)) {
        need(c, 0, c->axis);
        return !(mask & 1u << c->axis);
    }
    for (;; at++) {
        if (at == c->in->rank)
            return false;
        if (!(mask & 1u << at) && left-- == 0)
            break;
    }
    need(c, 0, at);
    return true;
}

static bool cut_gather(const struct cut *c)
{
    const struct he_value *indices = he_node_input(c->graph, c->node, 1);
    uint32_t axis = axis_of(c, 0);

    if (!indices)
        return false;
    if (c->axis < axis)
        need(c, 0, c->axis);
    else if (c->axis < axis + indices->shape.rank)
        need(c, 1, c->axis - axis);
    else
        need(c, 0, c->axis - indices->shape.rank + 1);
    return true;
}

/* Along an axis that is not sliced. */
static bool cut_slice(const struct cut *c)
{
    uint32_t mask;
    size_t count;

    if (!read_axes(c, "axes", 3, &mask, &count) || count == 0)
        return false;
    need(c, 0, c->axis);
    return !(mask & 1u << c->axis);
}

static bool cut_pad(const struct cut *c)
{
    const struct he_value *value = he_node_input(c->graph, c->node, 1);
    int64_t pads[2 * HE_MAX_RANK];
    const int64_t *list = pads;
    size_t count;

    if (he_node_input(c->graph, c->node, 3))
        return false;
    if (!value)
        count = he_node_ints(c->node, "pads", &list);
    else if (!he_value_read_ints(value, pads, HE_COUNT(pads), &count))
        return false;
    if (count != 2 * (size_t)c->out->rank)
        return false;
    need(c, 0, c->axis);
    return list[c->axis] == 0 && list[c->out->rank + c->axis] == 0;
}

/* X, scale, zero point: for all of X, or per step of one axis. */
static bool cut_quantize(const struct cut *c)
{
    const struct he_value *scale = he_node_input(c->graph, c->node, 1);

    if (!scale || he_node_int(c->node, "block_size", 0))
        return false;
    need(c, 0, c->axis);
    return he_shape_count(&scale->shape) == 1 ||
           (scale->shape.rank == 1 && c->axis != axis_of(c, 1));
}

static const struct {
    const char *op;
    bool (*rule)(const struct cut *c);
} rules[] = {
    { "ArgMax", cut_reduce },
    { "ArgMin", cut_reduce },
    { "AveragePool", cut_window },
    { "BatchNormalization", cut_channel_norm },
    { "Concat", cut_concat },
    { "Conv", cut_window },
    { "ConvTranspose", cut_window },
    { "DepthToSpace", cut_batch_only },
    { "DequantizeLinear", cut_quantize },
    { "Gather", cut_gather },
    { "Gemm", cut_gemm },
    { "GlobalAveragePool", cut_global_pool },
    { "GlobalLpPool", cut_global_pool },
    { "GlobalMaxPool", cut_global_pool },
    { "GroupNormalization", cut_batch_only },
    { "Hardmax", cut_softmax },
    { "InstanceNormalization", cut_channel_norm },
    { "LRN", cut_lrn },
    { "LayerNormalization", cut_layer_norm },
    { "LogSoftmax", cut_softmax },
    { "LpNormalization", cut_lp_norm },
    { "LpPool", cut_window },
    { "MatMul", cut_matmul },
    { "MaxPool", cut_window },
    { "Pad", cut_pad },
    { "QuantizeLinear", cut_quantize },
    { "RMSNormalization", cut_layer_norm },
    { "ReduceL1", cut_reduce },
    { "ReduceL2", cut_reduce },
    { "ReduceLogSum", cut_reduce },
    { "ReduceLogSumExp", cut_reduce },
    { "ReduceMax", cut_reduce },
    { "ReduceMean", cut_reduce },
    { "ReduceMin", cut_reduce },
    { "ReduceProd", cut_reduce },
    { "ReduceSum", cut_reduce },
    { "ReduceSumSquare", cut_reduce },
    { "Slice", cut_slice },
    { "Softmax", cut_softmax },
    { "SpaceToDepth", cut_batch_only },
    { "Transpose", cut_transpose },
};

static bool by_access(const struct cut *c, const struct he_op *op)
{
    switch (op->access) {
    case HE_ACCESS_POINTWISE:
        return cut_pointwise(c);
    case HE_ACCESS_BROADCAST:
        /* Operands used to be placed by an attribute; a rotation mixes its last axis. */
        return c->node->opset >= 7 && !he_node_is(c->node, "RotaryEmbedding") && cut_broadcast(c);
    case HE_ACCESS_VIEW:
        return cut_view(c);
    default:
        return false;
    }
}

/* Static shapes, whole bytes, one result. */
static bool is_plain(const struct he_graph *graph, const struct he_node *node)
{
    const struct he_value *result;

    if (node->input_count == 0 || he_node_is_control(node) || !he_node_has_output(node, 0))
        return false;
    for (uint32_t k = 1; k < node->output_count; k++) {
        if (he_node_has_output(node, k))
            return false;
    }
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = he_node_input(graph, node, k);

        if (value && (value->is_opaque || !he_shape_is_static(&value->shape) ||
                      he_dtype_bits(value->dtype) % 8 != 0 || he_dtype_bits(value->dtype) == 0))
            return false;
    }
    result = &graph->values[node->outputs[0]];
    return he_node_input(graph, node, 0) && he_shape_is_static(&result->shape) &&
           he_dtype_bits(result->dtype) % 8 == 0;
}

bool he_shard_node(const struct he_graph *graph, const struct he_node *node, uint32_t axis,
                   int64_t begin, int64_t end, struct he_shard_need *needs,
                   struct he_shard_patch *patch)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    struct cut c = { .graph = graph,
                     .node = node,
                     .axis = axis,
                     .begin = begin,
                     .end = end,
                     .needs = needs,
                     .patch = patch };

    memset(patch, 0, sizeof *patch);
    for (uint32_t k = 0; k < node->input_count; k++)
        needs[k] = (struct he_shard_need){ .axis = HE_NONE };
    if (!op || *node->domain || (op->flags & (HE_OP_RANDOM | HE_OP_DATA_SHAPE)) ||
        !is_plain(graph, node))
        return false;
    c.in = &he_node_input(graph, node, 0)->shape;
    c.out = &graph->values[node->outputs[0]].shape;
    if (axis >= c.out->rank || begin < 0 || begin >= end || end > c.out->dims[axis])
        return false;
    for (size_t k = 0; k < HE_COUNT(rules); k++) {
        if (strcmp(rules[k].op, node->op) == 0)
            return rules[k].rule(&c);
    }
    return by_access(&c, op);
}
