/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pointwise arithmetic goes in front of what only moves its elements:
 *
 *   f(move(x))         = move(f(x))           behind a product or a convolution, so that f
 *   f(view(x), c)      = view(f(x, c'))         becomes part of its task
 *   f(Gather(T, i), c) = Gather(f(T, c), i)   where T is a constant with fewer rows than are
 *                                             gathered: f is folded into the table
 *   pool(view(x))      = view(pool(x))          over all of space, where the view keeps N and C
 *
 * move: Reshape and its kin, Transpose, DepthToSpace, SpaceToDepth. A second operand c has
 * to be a constant scalar, or one number per channel where the view keeps axis 1.
 */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

static const char *const unaries[] = {
    "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish",
    "Elu",  "Swish",     "Gelu", "Mish",    "Neg",  "Exp",         "Sqrt",
};
static const char *const binaries[] = { "Add", "Mul", "Sub", "Div" };
static const char *const views[] = { "Reshape", "Squeeze", "Unsqueeze", "Flatten" };
static const char *const moves[] = { "Transpose", "DepthToSpace", "SpaceToDepth" };

static bool is_in(const struct he_node *node, const char *const *names, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (he_node_is(node, names[k]))
            return true;
    return false;
}

/* How @node reads @value: as f(value) or as f(value, constant); the constant's slot, 0 for none. */
static bool is_function_of(const struct he_graph *graph, const struct he_node *node, uint32_t value,
                           uint32_t *constant_slot)
{
    *constant_slot = 0;
    if (is_in(node, unaries, HE_COUNT(unaries))) {
        for (uint32_t k = 1; k < node->input_count; k++)
            if (he_node_input(graph, node, k) && !he_node_input(graph, node, k)->data)
                return false;
        return node->inputs[0] == value;
    }
    if (!is_in(node, binaries, HE_COUNT(binaries)) || node->input_count != 2 ||
        he_node_int(node, "broadcast", 0))
        return false;
    for (uint32_t k = 0; k < 2; k++) {
        const struct he_value *other = he_node_input(graph, node, k);

        if (other && other->data && other->dtype == HE_FLOAT32 && node->inputs[1 - k] == value) {
            *constant_slot = k + 1;
            return true;
        }
    }
    return false;
}

/* The maker of @value would take a pointwise node into its task. */
static bool is_worth_joining(const struct he_rewrite *rewrite, uint32_t value)
{
    static const char *const anchors[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
    const struct he_graph *graph = rewrite->graph;

    for (int depth = 0; depth < 16; depth++) {
        const struct he_node *node;

        if (graph->values[value].producer == HE_NONE ||
            he_rewrite_sole_reader(rewrite, value) == HE_NONE)
            return false;
        node = &graph->nodes[graph->values[value].producer];
        if (is_in(node, anchors, HE_COUNT(anchors)))
            return true;
        if (!is_in(node, unaries, HE_COUNT(unaries)) && !is_in(node, binaries, HE_COUNT(binaries)))
            return false;
        value = node->inputs[0] != HE_NONE && !graph->values[node->inputs[0]].data
                    ? node->inputs[0]
                    : node->inputs[1];
        if (value == HE_NONE)
            return false;
    }
    return false;
}

/* Node @n again, over other inputs: a new node whose output has the type and shape of @like. */
static he_status repeat_node(struct he_rewrite *rewrite, uint32_t n, const uint32_t *inputs,
                             uint32_t like, uint32_t *out)
{
    const struct he_node *node = &rewrite->graph->nodes[n];
    struct he_attr *attrs = node->attrs;
    uint32_t attr_count = node->attr_count;
    const char *name = node->name;
    he_status status = he_rewrite_add_node(rewrite, node->op, node->opset, inputs,
                                           node->input_count, like, out);

    if (status != HE_OK)
        return status;
    rewrite->graph->nodes[*out].attrs = attrs;
    rewrite->graph->nodes[*out].attr_count = attr_count;
    rewrite->graph->nodes[*out].name = name;
    return HE_OK;
}

static he_status copy_inputs(const struct he_rewrite *rewrite, uint32_t n, uint32_t **out)
{
    const struct he_node *node = &rewrite->graph->nodes[n];

    *out = he_arena_copy(he_graph_arena(rewrite->graph), node->inputs,
                         node->input_count * sizeof **out);
    return *out ? HE_OK : he_no_memory();
}

/* One number per channel of @viewed, in a form that fits the channels of @source; false when the
 * constant is something else, or the view does not keep axes 0 and 1. */
static he_status channel_operand(struct he_rewrite *rewrite, uint32_t constant, uint32_t source,
                                 uint32_t viewed, uint32_t *out, bool *fits)
{
    const struct he_value *value = &rewrite->graph->values[constant];
    const struct he_shape from = rewrite->graph->values[source].shape;
    const struct he_shape to = rewrite->graph->values[viewed].shape;
    int64_t count = he_shape_count(&value->shape);
    struct he_shape shape = { .rank = from.rank - 1 };

    *fits = false;
    if (from.rank < 3 || to.rank < 3 || !he_shape_is_static(&from) || !he_shape_is_static(&to) ||
        from.dims[0] != to.dims[0] || from.dims[1] != to.dims[1] || count != from.dims[1] ||
        value->shape.rank > to.rank || value->shape.rank + 1 < to.rank)
        return HE_OK;
    /* In the view's dimensions only axis 1 may be wide. */
    for (uint32_t d = 0; d < value->shape.rank; d++)
        if (value->shape.dims[d] != 1 && d + to.rank - value->shape.rank != 1)
            return HE_OK;
    *fits = true;
    for (uint32_t d = 0; d < shape.rank; d++)
        shape.dims[d] = d == 0 ? count : 1;
    return he_rewrite_view_constant(rewrite, constant, &shape, out);
}

static he_status sink_move(struct he_rewrite *rewrite, uint32_t n, uint32_t move, uint32_t moved,
                           uint32_t constant_slot)
{
    struct he_graph *graph = rewrite->graph;
    uint32_t source = graph->nodes[move].inputs[0], *inputs, *move_inputs, copy;
    bool is_view = is_in(&graph->nodes[move], views, HE_COUNT(views)), fits;
    he_status status;

    if (!he_shape_equal(&graph->values[moved].shape,
                        &graph->values[graph->nodes[n].outputs[0]].shape) ||
        graph->values[source].dtype != HE_FLOAT32 || !is_worth_joining(rewrite, source))
        return HE_OK;
    status = copy_inputs(rewrite, n, &inputs);
    if (status != HE_OK)
        return status;
    if (constant_slot) {
        const struct he_value *constant = &graph->values[inputs[constant_slot - 1]];

        if (he_shape_count(&constant->shape) == 1) {
            if (constant->shape.rank > graph->values[source].shape.rank)
                return HE_OK;
        } else {
            if (!is_view)
                return HE_OK;
            status = channel_operand(rewrite, inputs[constant_slot - 1], source, moved,
                                     &inputs[constant_slot - 1], &fits);
            if (status != HE_OK || !fits)
                return status;
        }
    }
    inputs[constant_slot == 1 ? 1 : 0] = source;
    status = repeat_node(rewrite, n, inputs, source, &copy);
    if (status == HE_OK)
        status = copy_inputs(rewrite, move, &move_inputs);
    if (status != HE_OK)
        return status;
    move_inputs[0] = graph->nodes[copy].outputs[0];
    status = he_rewrite_become(rewrite, n, graph->nodes[move].op, graph->nodes[move].opset,
                               move_inputs, graph->nodes[move].input_count,
                               graph->nodes[move].attrs, graph->nodes[move].attr_count);
    if (status == HE_OK)
        he_rewrite_remove(rewrite, move);
    return status;
}

/* A constant, or what the next folding turns into one. */
static bool will_be_constant(const struct he_graph *graph, uint32_t value, int depth)
{
    const struct he_node *node;

    if (graph->values[value].data)
        return true;
    if (graph->values[value].producer == HE_NONE || depth == 0)
        return false;
    node = &graph->nodes[graph->values[value].producer];
    if (!is_in(node, unaries, HE_COUNT(unaries)) && !is_in(node, binaries, HE_COUNT(binaries)))
        return false;
    for (uint32_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] != HE_NONE && !will_be_constant(graph, node->inputs[k], depth - 1))
            return false;
    return true;
}

/* f(Gather(T, i), c): c broadcasts to one row of T, and there are more gathered rows than rows. */
static he_status sink_gather(struct he_rewrite *rewrite, uint32_t n, uint32_t gather,
                             uint32_t gathered, uint32_t constant_slot)
{
    struct he_graph *graph = rewrite->graph;
    uint32_t table = graph->nodes[gather].inputs[0], *inputs, copy, ends[2];
    const struct he_value *rows = &graph->values[table];
    struct he_attr *attrs;
    he_status status;

    if (!will_be_constant(graph, table, 8) || rows->dtype != HE_FLOAT32 || rows->shape.rank < 1 ||
        he_node_int(&graph->nodes[gather], "axis", 0) != 0 ||
        !he_shape_equal(&graph->values[gathered].shape,
                        &graph->values[graph->nodes[n].outputs[0]].shape) ||
        he_shape_count(&rows->shape) > he_shape_count(&graph->values[gathered].shape))
        return HE_OK;
    status = copy_inputs(rewrite, n, &inputs);
    if (status != HE_OK)
        return status;
    if (constant_slot) {
        uint32_t constant = inputs[constant_slot - 1];
        const struct he_shape wide = graph->values[constant].shape;
        struct he_shape shape = { .rank = rows->shape.rank - 1 };

        /* Its last dimensions as a row's, and nothing in front of them. */
        for (uint32_t d = 0; d < wide.rank; d++) {
            uint32_t from_end = wide.rank - 1 - d;

            if (from_end >= shape.rank && wide.dims[d] != 1)
                return HE_OK;
            if (from_end < shape.rank)
                shape.dims[shape.rank - 1 - from_end] = wide.dims[d];
        }
        for (uint32_t d = 0; d + wide.rank < shape.rank; d++)
            shape.dims[d] = 1;
        status = he_rewrite_view_constant(rewrite, constant, &shape, &inputs[constant_slot - 1]);
        if (status != HE_OK)
            return status;
    }
    inputs[constant_slot == 1 ? 1 : 0] = table;
    status = repeat_node(rewrite, n, inputs, table, &copy);
    if (status != HE_OK)
        return status;
    ends[0] = graph->nodes[copy].outputs[0];
    ends[1] = graph->nodes[gather].inputs[1];
    attrs = graph->nodes[gather].attrs;
    status = he_rewrite_become(rewrite, n, "Gather", graph->nodes[gather].opset, ends, 2, attrs,
                               graph->nodes[gather].attr_count);
    if (status == HE_OK)
        he_rewrite_remove(rewrite, gather);
    return status;
}

static he_status move_behind(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];

    if (!he_node_has_output(node, 0) || graph->values[node->outputs[0]].dtype != HE_FLOAT32)
        return HE_OK;
    for (uint32_t k = 0; k < node->input_count && k < 2; k++) {
        uint32_t value = node->inputs[k], slot, maker;
        const struct he_node *from;

        if (value == HE_NONE || graph->values[value].producer == HE_NONE ||
            he_rewrite_sole_reader(rewrite, value) == HE_NONE ||
            !is_function_of(graph, node, value, &slot))
            continue;
        maker = graph->values[value].producer;
        from = &graph->nodes[maker];
        if (from->input_count < 1 || from->inputs[0] == HE_NONE)
            continue;
        if (he_node_is(from, "Gather") && from->input_count == 2)
            return sink_gather(rewrite, n, maker, value, slot);
        if (is_in(from, views, HE_COUNT(views)) || is_in(from, moves, HE_COUNT(moves)))
            return sink_move(rewrite, n, maker, value, slot);
    }
    return HE_OK;
}

/* A pool over all of space does not care how space is folded. */
static he_status pool_before_view(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    uint32_t view = HE_NONE, source, pool, ends[2];
    struct he_shape from, to, list = { .rank = 1 };
    void *memory;
    he_status status;

    for (size_t k = 0; k < HE_COUNT(views) && view == HE_NONE; k++)
        view = he_rewrite_link(rewrite, node->inputs[0], views[k]);
    if (view == HE_NONE || !he_node_has_output(node, 0))
        return HE_OK;
    source = graph->nodes[view].inputs[0];
    from = graph->values[source].shape;
    to = graph->values[node->outputs[0]].shape;
    if (!he_shape_is_static(&from) || !he_shape_is_static(&to) || from.rank < 3 || to.rank < 3 ||
        from.dims[0] != to.dims[0] || from.dims[1] != to.dims[1])
        return HE_OK;
    list.dims[0] = to.rank;
    status = he_rewrite_constant(rewrite, HE_INT64, &list, &memory, &ends[1]);
    if (status != HE_OK)
        return status;
    memcpy(memory, to.dims, to.rank * sizeof *to.dims);
    status = repeat_node(rewrite, n, &source, source, &pool);
    if (status != HE_OK)
        return status;
    ends[0] = graph->nodes[pool].outputs[0];
    for (uint32_t d = 2; d < from.rank; d++)
        graph->values[ends[0]].shape.dims[d] = 1;
    status = he_rewrite_become(rewrite, n, "Reshape", 13, ends, 2, NULL, 0);
    if (status == HE_OK)
        he_rewrite_remove(rewrite, view);
    return status;
}

#define ROW(name) { name, move_behind }
static const struct he_pattern patterns[] = {
    ROW("Relu"),      ROW("LeakyRelu"), ROW("Clip"),  ROW("Sigmoid"), ROW("Tanh"), ROW("HardSigmoid"),
    ROW("HardSwish"), ROW("Elu"),       ROW("Swish"), ROW("Gelu"),    ROW("Mish"), ROW("Neg"),
    ROW("Exp"),       ROW("Sqrt"),      ROW("Add"),   ROW("Mul"),     ROW("Sub"),  ROW("Div"),
    { "GlobalMaxPool", pool_before_view },
    { "GlobalAveragePool", pool_before_view },
};
const struct he_pattern_table he_patterns_move = { patterns, HE_COUNT(patterns) };
