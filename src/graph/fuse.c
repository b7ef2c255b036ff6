/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes share a task: chains n0, n1, ... where each node reads the output of
 * the one before it, and nobody else does. Two kinds:
 *
 *   epilogue   Conv, ConvTranspose, Gemm or MatMul, then what can be done to its
 *              result while it is still in registers: unary activations, arithmetic
 *              with a constant scalar, per-channel or row vector, and one residual
 *              sum with a value of the same shape
 *   pointwise  pointwise and broadcasting operators over one output shape; the
 *              other operands may be anything that broadcasts to it
 *
 * All in float32 and with static shapes: everything else is a task of its own.
 * A chain is left only through its last node, hence tasks.c's argument that the
 * tasks form no cycle. Anchors are served from the last to the first, so that the
 * sum of two convolutions joins the one that runs later: its other operand exists
 * by then.
 */
#include "graph/store.h"

#include <string.h>

#include "core/size.h"

/* Longer epilogues than kernels take at once (some activations count for two) are cut. */
#define EPILOGUE_MAX 6

struct fuse {
    const struct he_graph *graph;
    uint32_t *next;
    bool *taken;          /* per node: in a chain already */
    uint32_t *use_count;  /* per value: reading inputs, graph output counted too */
    uint32_t *reader;     /* per value: some node that reads it */
};

static const char *const anchors[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
static const char *const unaries[] = {
    "Relu",  "LeakyRelu", "Clip", "Sigmoid",  "Tanh", "HardSigmoid", "HardSwish", "Elu",
    "Swish", "Gelu",      "Mish", "Softplus", "Abs",  "Sqrt",        "Exp",       "Neg",
};
static const char *const binaries[] = { "Add", "Sub", "Mul", "Div" };
static const char *const pointwise[] = {
    "Abs",       "Add",     "Ceil",  "Clip",      "Div",        "Elu",     "Erf",      "Exp",
    "Floor",     "Gelu",    "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max",     "Min",
    "Mish",      "Mul",     "Neg",   "PRelu",     "Pow",        "Reciprocal", "Relu",  "Round",
    "Selu",      "Sigmoid", "Sign",  "Softplus",  "Softsign",   "Sqrt",    "Sub",      "Sum",
    "Swish",     "Tanh",    "ThresholdedRelu", "Celu",
};

static bool is_one_of(const struct he_node *node, const char *const *names, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (he_node_is(node, names[k]))
            return true;
    return false;
}

static bool is_plain_float(const struct he_value *value)
{
    return value && value->dtype == HE_FLOAT32 && he_shape_is_static(&value->shape);
}

/* float32 in, one float32 output with a static shape. */
static bool is_float_node(const struct he_graph *graph, const struct he_node *node)
{
    if (node->output_count < 1 || !he_node_has_output(node, 0) ||
        !is_plain_float(&graph->values[node->outputs[0]]))
        return false;
    for (uint32_t k = 1; k < node->output_count; k++)
        if (he_node_has_output(node, k))
            return false;
    for (uint32_t k = 0; k < node->input_count; k++)
        if (he_node_input(graph, node, k) && !is_plain_float(he_node_input(graph, node, k)))
            return false;
    return node->input_count > 0;
}

/* All dimensions 1 but dimension @keep, counted from the end of @shape. */
static bool varies_only_along(const struct he_shape *shape, uint32_t keep_from_end)
{
    for (uint32_t d = 0; d < shape->rank; d++)
        if (shape->dims[d] != 1 && shape->rank - 1 - d != keep_from_end)
            return false;
    return true;
}

/* A constant that an epilogue can apply: scalar, per channel, or one row. */
static bool is_epilogue_constant(const struct he_node *anchor, const struct he_shape *result,
                                 const struct he_value *operand)
{
    bool is_conv = he_node_is(anchor, "Conv") || he_node_is(anchor, "ConvTranspose");
    uint32_t channel_from_end = is_conv ? result->rank - 2 : 0;

    if (!operand->data || operand->shape.rank > result->rank)
        return false;
    return he_shape_count(&operand->shape) == 1 ||
           varies_only_along(&operand->shape, channel_from_end);
}

/* Operand of @node that is not @value; HE_NONE unless @value is exactly one of two. */
static uint32_t other_operand(const struct he_node *node, uint32_t value, uint32_t *slot)
{
    if (node->input_count != 2 || node->inputs[0] == node->inputs[1])
        return HE_NONE;
    *slot = node->inputs[0] == value ? 0 : 1;
    return node->inputs[1 - *slot];
}

static bool fits_epilogue(const struct fuse *fuse, const struct he_node *anchor,
                          const struct he_node *node, uint32_t value, bool *has_residual)
{
    const struct he_graph *graph = fuse->graph;
    const struct he_shape *shape = &graph->values[value].shape;
    uint32_t other, slot = 0;

    if (!is_float_node(graph, node) ||
        !he_shape_equal(&graph->values[node->outputs[0]].shape, shape))
        return false;
    if (is_one_of(node, unaries, HE_COUNT(unaries))) {
        for (uint32_t k = 1; k < node->input_count; k++)
            if (he_node_input(graph, node, k) && !he_node_input(graph, node, k)->data)
                return false; /* Clip with bounds that are not known */
        return node->inputs[0] == value;
    }
    if (he_node_is(node, "Sum") ? node->input_count != 2
                                : !is_one_of(node, binaries, HE_COUNT(binaries)))
        return false;
    other = other_operand(node, value, &slot);
    if (other == HE_NONE)
        return false;
    if ((he_node_is(node, "Sub") || he_node_is(node, "Div")) && slot != 0)
        return false;
    if (is_epilogue_constant(anchor, shape, &graph->values[other]))
        return true;
    if ((he_node_is(node, "Add") || he_node_is(node, "Sum")) && !*has_residual &&
        !graph->values[other].data && he_shape_equal(&graph->values[other].shape, shape)) {
        *has_residual = true;
        return true;
    }
    return false;
}

static bool fits_pointwise(const struct fuse *fuse, const struct he_node *node,
                           const struct he_shape *shape)
{
    const struct he_graph *graph = fuse->graph;

    if (!is_one_of(node, pointwise, HE_COUNT(pointwise)) || !is_float_node(graph, node))
        return false;
    return he_shape_equal(&graph->values[node->outputs[0]].shape, shape);
}

/* The only reader of node @n's only output, or HE_NONE. */
static uint32_t sole_reader(const struct fuse *fuse, uint32_t n)
{
    const struct he_node *node = &fuse->graph->nodes[n];
    uint32_t value = node->outputs[0];

    if (fuse->use_count[value] != 1 || fuse->graph->values[value].is_output)
        return HE_NONE;
    return fuse->taken[fuse->reader[value]] ? HE_NONE : fuse->reader[value];
}

static void grow_epilogue(struct fuse *fuse, uint32_t anchor)
{
    const struct he_node *nodes = fuse->graph->nodes;
    bool has_residual = false;
    uint32_t last = anchor;

    fuse->taken[anchor] = true;
    for (int length = 0; length < EPILOGUE_MAX; length++) {
        uint32_t reader = sole_reader(fuse, last);

        if (reader == HE_NONE || !fits_epilogue(fuse, &nodes[anchor], &nodes[reader],
                                                nodes[last].outputs[0], &has_residual))
            return;
        fuse->next[last] = reader;
        fuse->taken[reader] = true;
        last = reader;
    }
}

static void grow_pointwise(struct fuse *fuse, uint32_t first)
{
    const struct he_graph *graph = fuse->graph;
    const struct he_shape *shape = &graph->values[graph->nodes[first].outputs[0]].shape;
    uint32_t last = first;

    fuse->taken[first] = true;
    for (;;) {
        uint32_t reader = sole_reader(fuse, last);

        if (reader == HE_NONE || !fits_pointwise(fuse, &graph->nodes[reader], shape))
            return;
        fuse->next[last] = reader;
        fuse->taken[reader] = true;
        last = reader;
    }
}

static void count_uses(struct fuse *fuse)
{
    const struct he_graph *graph = fuse->graph;

    for (uint32_t n = 0; n < graph->node_count; n++) {
        for (uint32_t k = 0; k < graph->nodes[n].input_count; k++) {
            uint32_t v = graph->nodes[n].inputs[k];

            if (v == HE_NONE)
                continue;
            fuse->use_count[v]++;
            fuse->reader[v] = n;
        }
    }
}

he_status he_graph_fuse(const struct he_graph *graph, uint32_t *next)
{
    struct fuse fuse = { .graph = graph, .next = next };
    struct he_arena scratch;
    he_status status = HE_OK;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    fuse.taken = he_arena_alloc(&scratch, graph->node_count, sizeof *fuse.taken);
    fuse.use_count = he_arena_alloc(&scratch, graph->value_count, sizeof *fuse.use_count);
    fuse.reader = he_arena_alloc(&scratch, graph->value_count, sizeof *fuse.reader);
    if (!fuse.taken || !fuse.use_count || !fuse.reader) {
        status = he_no_memory();
        goto fini;
    }
    count_uses(&fuse);
    for (uint32_t n = graph->node_count; n-- > 0;)
        if (!fuse.taken[n] && is_one_of(&graph->nodes[n], anchors, HE_COUNT(anchors)) &&
            is_float_node(graph, &graph->nodes[n]))
            grow_epilogue(&fuse, n);
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct he_node *node = &graph->nodes[n];

        if (!fuse.taken[n] && is_one_of(node, pointwise, HE_COUNT(pointwise)) &&
            is_float_node(graph, node))
            grow_pointwise(&fuse, n);
    }
fini:
    he_arena_fini(&scratch);
    return status;
}
