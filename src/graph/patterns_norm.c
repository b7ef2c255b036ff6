/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations written out in arithmetic:
 *
 *   d = x - mean(x);  d / sqrt(mean(d^2) + eps) * gamma + beta     LayerNormalization
 *   e = exp(x - max(x));  e / sum(e)                               Softmax
 *
 * where the reductions keep their dimensions, or a Reshape puts these back.
 */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

/* The axes a reduction works along, ascending; 0 when they are not known. */
static uint32_t read_axes(const struct he_graph *graph, const struct he_node *node, int64_t *axes)
{
    const struct he_value *in = he_node_input(graph, node, 0);
    const struct he_value *given = he_node_input(graph, node, 1);
    const int64_t *attr;
    size_t count = he_node_ints(node, "axes", &attr);
    uint32_t rank, found = 0;
    bool is_axis[HE_MAX_RANK] = { false };

    if (!in || in->shape.rank == HE_RANK_UNKNOWN)
        return 0;
    rank = in->shape.rank;
    if (given) {
        if (!he_value_read_ints(given, axes, HE_MAX_RANK, &count) || count > HE_MAX_RANK)
            return 0;
        attr = axes;
    }
    if (!count)
        return 0; /* all of them, or none */
    for (size_t k = 0; k < count; k++) {
        int64_t axis = attr[k] < 0 ? attr[k] + rank : attr[k];

        if (axis < 0 || axis >= rank)
            return 0;
        is_axis[axis] = true;
    }
    for (uint32_t d = 0; d < rank; d++)
        if (is_axis[d])
            axes[found++] = d;
    return found;
}

/* Nodes of a pattern, to be removed from the outermost to the innermost. */
struct chain {
    uint32_t nodes[24];
    uint32_t count;
};

static uint32_t step(const struct he_rewrite *rewrite, struct chain *chain, uint32_t value,
                     const char *op)
{
    uint32_t n = he_rewrite_link(rewrite, value, op);

    if (n == HE_NONE || chain->count == HE_COUNT(chain->nodes))
        return HE_NONE;
    chain->nodes[chain->count++] = n;
    return n;
}

/* Through Reshape and the like, which only change the shape, back to what they view. */
static uint32_t skip_views(const struct he_rewrite *rewrite, struct chain *chain, uint32_t value)
{
    static const char *const views[] = { "Reshape", "Unsqueeze" };

    for (size_t k = 0; k < HE_COUNT(views); k++) {
        uint32_t n = step(rewrite, chain, value, views[k]);

        if (n != HE_NONE)
            return skip_views(rewrite, chain, rewrite->graph->nodes[n].inputs[0]);
    }
    return value;
}

/* @shape is that of @in with dimension 1 along @axes. */
static bool is_reduced(const struct he_shape *shape, const struct he_shape *in, const int64_t *axes,
                       uint32_t count)
{
    struct he_shape expected = *in;

    for (uint32_t k = 0; k < count; k++)
        expected.dims[axes[k]] = 1;
    for (uint32_t d = 0; d < in->rank; d++)
        if (in->dims[d] == HE_DIM_UNKNOWN)
            return false;
    return he_shape_equal(shape, &expected);
}

/* @value = @op along some axes of what it gives, as a tensor that broadcasts against it. */
static uint32_t match_reduction(const struct he_rewrite *rewrite, struct chain *chain,
                                uint32_t value, const char *op, int64_t *axes, uint32_t *count)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t n = step(rewrite, chain, skip_views(rewrite, chain, value), op), source;

    if (n == HE_NONE)
        return HE_NONE;
    source = graph->nodes[n].inputs[0];
    *count = read_axes(graph, &graph->nodes[n], axes);
    if (!*count || !is_reduced(&graph->values[value].shape, &graph->values[source].shape, axes,
                               *count))
        return HE_NONE;
    return source;
}

/* Found in another order than they read each other: what one round leaves, the next takes. */
static void remove_chain(struct he_rewrite *rewrite, const struct chain *chain)
{
    for (int round = 0; round < 3; round++)
        for (uint32_t k = 0; k < chain->count; k++)
            he_rewrite_remove_unread(rewrite, chain->nodes[k]);
}

/* --- LayerNormalization --- */

struct layer_norm {
    uint32_t x; /* what is normalised */
    float epsilon;
    int64_t axes[HE_MAX_RANK];
    uint32_t axis_count;
    struct chain chain;
};

/* @value = x - mean(x) along the last axes. */
static bool match_centred(const struct he_rewrite *rewrite, uint32_t value, struct layer_norm *out)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t sub = he_rewrite_maker(rewrite, value, "Sub");
    uint32_t rank;

    if (sub == HE_NONE)
        return false;
    out->x = graph->nodes[sub].inputs[0];
    if (match_reduction(rewrite, &out->chain, graph->nodes[sub].inputs[1], "ReduceMean", out->axes,
                        &out->axis_count) != out->x)
        return false;
    rank = graph->values[out->x].shape.rank;
    for (uint32_t k = 0; k < out->axis_count; k++)
        if (out->axes[k] != rank - out->axis_count + k)
            return false;
    return graph->values[out->x].dtype == HE_FLOAT32;
}

/* @value = d ^ 2; gives d. */
static uint32_t match_square(const struct he_rewrite *rewrite, struct chain *chain, uint32_t value)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t n = step(rewrite, chain, value, "Pow");

    if (n != HE_NONE)
        return he_constant_is(he_node_input(graph, &graph->nodes[n], 1), 2)
                   ? graph->nodes[n].inputs[0]
                   : HE_NONE;
    n = step(rewrite, chain, value, "Mul");
    return n != HE_NONE && graph->nodes[n].inputs[0] == graph->nodes[n].inputs[1]
               ? graph->nodes[n].inputs[0]
               : HE_NONE;
}

/* The deviation: sqrt(mean(d^2) + eps) of d = @centred, or another Sub of the same. */
static bool match_deviation(const struct he_rewrite *rewrite, uint32_t value, uint32_t centred,
                            struct layer_norm *out)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t root = step(rewrite, &out->chain, value, "Sqrt"), add, mean, square, count;
    int64_t axes[HE_MAX_RANK];

    if (root == HE_NONE)
        return false;
    add = step(rewrite, &out->chain, graph->nodes[root].inputs[0], "Add");
    if (add == HE_NONE)
        return false;
    if (he_constant_scalar(he_node_input(graph, &graph->nodes[add], 1), &out->epsilon))
        mean = graph->nodes[add].inputs[0];
    else if (he_constant_scalar(he_node_input(graph, &graph->nodes[add], 0), &out->epsilon))
        mean = graph->nodes[add].inputs[1];
    else
        return false;
    square = match_reduction(rewrite, &out->chain, mean, "ReduceMean", axes, &count);
    if (square == HE_NONE || count != out->axis_count ||
        memcmp(axes, out->axes, count * sizeof *axes) != 0)
        return false;
    return match_square(rewrite, &out->chain, square) == centred;
}

/* A constant with one number per normalised element, under exactly their shape. */
static he_status norm_operand(struct he_rewrite *rewrite, const struct layer_norm *norm,
                              uint32_t value, float fallback, uint32_t *out)
{
    struct he_graph *graph = rewrite->graph;
    struct he_shape shape = { .rank = norm->axis_count };
    int64_t count;
    void *memory;
    he_status status;

    for (uint32_t k = 0; k < norm->axis_count; k++)
        shape.dims[k] = graph->values[norm->x].shape.dims[norm->axes[k]];
    count = he_shape_count(&shape);
    status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);
    for (int64_t k = 0; status == HE_OK && k < count; k++)
        ((float *)memory)[k] =
            value == HE_NONE ? fallback : he_constant_float(&graph->values[value], k);
    return status;
}

/* The sole reader of @n is @op with a constant that has one number per normalised element. */
static uint32_t next_operand(const struct he_rewrite *rewrite, const struct layer_norm *norm,
                             uint32_t n, const char *op, uint32_t *operand)
{
    const struct he_graph *graph = rewrite->graph;
    const struct he_shape *x = &graph->values[norm->x].shape;
    uint32_t output = graph->nodes[n].outputs[0];
    uint32_t reader = he_rewrite_sole_reader(rewrite, output);
    const struct he_value *value;
    int64_t count = 1;

    if (reader == HE_NONE || !he_node_is(&graph->nodes[reader], op) ||
        graph->nodes[reader].input_count != 2)
        return HE_NONE;
    *operand = graph->nodes[reader].inputs[graph->nodes[reader].inputs[0] == output];
    value = *operand == HE_NONE ? NULL : &graph->values[*operand];
    if (!value || !value->data || value->dtype != HE_FLOAT32 || value->shape.rank > x->rank)
        return HE_NONE;
    for (uint32_t k = 0; k < norm->axis_count; k++)
        count *= x->dims[norm->axes[k]];
    for (uint32_t k = 0; k < value->shape.rank; k++) {
        uint32_t from_end = value->shape.rank - 1 - k;
        int64_t wanted = from_end < norm->axis_count ? x->dims[x->rank - 1 - from_end] : 1;

        if (value->shape.dims[k] != wanted)
            return HE_NONE;
    }
    return he_shape_count(&value->shape) == count ? reader : HE_NONE;
}

/* @quotient is the centred values over the deviation; a Mul and an Add may follow. */
static he_status make_layer_norm(struct he_rewrite *rewrite, struct layer_norm *norm,
                                 uint32_t quotient)
{
    uint32_t inputs[3] = { norm->x, HE_NONE, HE_NONE }, scale, bias, input_count = 2;
    uint32_t product = next_operand(rewrite, norm, quotient, "Mul", &scale);
    uint32_t sum = next_operand(rewrite, norm, product == HE_NONE ? quotient : product, "Add",
                                &bias);
    uint32_t last = sum != HE_NONE ? sum : product != HE_NONE ? product : quotient;
    struct he_attr *attrs = he_rewrite_attrs(rewrite, 2);
    he_status status;

    if (!attrs)
        return he_no_memory();
    attrs[0] = (struct he_attr){ .name = "axis", .kind = HE_ATTR_INT, .i = norm->axes[0] };
    attrs[1] = (struct he_attr){ .name = "epsilon", .kind = HE_ATTR_FLOAT, .f = norm->epsilon };
    status = norm_operand(rewrite, norm, product == HE_NONE ? HE_NONE : scale, 1, &inputs[1]);
    if (status == HE_OK && sum != HE_NONE)
        status = norm_operand(rewrite, norm, bias, 0, &inputs[input_count++]);
    if (status == HE_OK)
        status = he_rewrite_become(rewrite, last, "LayerNormalization", 17, inputs, input_count,
                                   attrs, 2);
    if (status != HE_OK)
        return status;
    if (product != HE_NONE && product != last)
        he_rewrite_remove(rewrite, product);
    if (quotient != last)
        he_rewrite_remove(rewrite, quotient);
    remove_chain(rewrite, &norm->chain);
    return HE_OK;
}

/* @n divides the centred values by the deviation, or multiplies by its reciprocal. */
static he_status read_layer_norm(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_op *row = he_op_find("", "LayerNormalization");

    if (!row || he_op_since(row, 17) == 0 || node->input_count != 2 ||
        !he_node_has_output(node, 0))
        return HE_OK;
    for (uint32_t k = 0; k < 2; k++) {
        struct layer_norm norm = { .epsilon = 0 };
        uint32_t centred = node->inputs[k], deviation = node->inputs[1 - k], other;

        if (he_node_is(node, "Div") && k == 1)
            break;
        if (he_node_is(node, "Mul")) {
            other = step(rewrite, &norm.chain, deviation, "Reciprocal");
            if (other == HE_NONE)
                continue;
            deviation = graph->nodes[other].inputs[0];
        }
        if (!match_centred(rewrite, centred, &norm) ||
            !match_deviation(rewrite, deviation, centred, &norm))
            continue;
        if (norm.chain.count < HE_COUNT(norm.chain.nodes))
            norm.chain.nodes[norm.chain.count++] = graph->values[centred].producer;
        return make_layer_norm(rewrite, &norm, n);
    }
    return HE_OK;
}

/* --- Softmax --- */

static he_status read_softmax(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    struct chain chain = { .count = 0 };
    int64_t axes[HE_MAX_RANK], top_axes[HE_MAX_RANK];
    uint32_t count, top_count, power, exponent, sub, x;
    struct he_attr *attrs;
    he_status status;

    if (node->input_count != 2 || !he_node_has_output(node, 0))
        return HE_OK;
    power = node->inputs[0];
    exponent = he_rewrite_maker(rewrite, power, "Exp");
    /* Read here and by the sum, nowhere else. */
    if (exponent == HE_NONE || he_rewrite_use_count(rewrite, power) != 2 ||
        match_reduction(rewrite, &chain, node->inputs[1], "ReduceSum", axes, &count) != power ||
        count != 1)
        return HE_OK;
    x = graph->nodes[exponent].inputs[0];
    sub = he_rewrite_link(rewrite, x, "Sub");
    if (sub == HE_NONE)
        return HE_OK; /* without the maximum it may overflow where Softmax does not */
    x = graph->nodes[sub].inputs[0];
    if (match_reduction(rewrite, &chain, graph->nodes[sub].inputs[1], "ReduceMax", top_axes,
                        &top_count) != x ||
        top_count != 1 || top_axes[0] != axes[0])
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, 1);
    if (!attrs)
        return he_no_memory();
    attrs[0] = (struct he_attr){ .name = "axis", .kind = HE_ATTR_INT, .i = axes[0] };
    status = he_rewrite_become(rewrite, n, "Softmax", 13, &x, 1, attrs, 1);
    if (status != HE_OK)
        return status;
    remove_chain(rewrite, &chain);
    he_rewrite_remove_unread(rewrite, exponent);
    he_rewrite_remove_unread(rewrite, sub);
    remove_chain(rewrite, &chain);
    return HE_OK;
}

static he_status read_quotient(struct he_rewrite *rewrite, uint32_t n)
{
    he_status status = read_layer_norm(rewrite, n);

    if (status != HE_OK || !he_node_is(&rewrite->graph->nodes[n], "Div"))
        return status;
    return read_softmax(rewrite, n);
}

static const struct he_pattern patterns[] = {
    { "Div", read_quotient },
    { "Mul", read_layer_norm },
};
const struct he_pattern_table he_patterns_norm = { patterns, HE_COUNT(patterns) };
