/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late rewrites, for speed alone, of what is slow as it stands:
 *
 *   ConvTranspose whose windows touch and do not overlap (2x2, stride 2)
 *       each input pixel makes its own block: a 1x1 Conv and DepthToSpace
 *   Conv over one column (width 1, as exporters write a 1-D convolution)
 *       the same over one row: kernels are built for wide rows
 *   MatMul with one-hot rows, written as Equal(index, 0..K-1)
 *       rows of the matrix, by Gather; an index outside gives zeros
 */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

static bool all_are(const struct he_node *node, const char *name, int64_t wanted)
{
    const int64_t *list;
    size_t count = he_node_ints(node, name, &list);

    for (size_t k = 0; k < count; k++)
        if (list[k] != wanted)
            return false;
    return true;
}

static bool pads_nothing_by_itself(const struct he_node *node)
{
    const char *automatic = he_node_string(node, "auto_pad", "NOTSET");

    return strcmp(automatic, "NOTSET") == 0 || strcmp(automatic, "VALID") == 0;
}

/* --- ConvTranspose --- */

/* W'[(m, a, b)][c] = W[c][m][a][b], with @block = a's and b's range. */
static he_status block_weights(struct he_rewrite *rewrite, uint32_t weights, uint32_t *out)
{
    const struct he_shape from = rewrite->graph->values[weights].shape;
    int64_t inputs = from.dims[0], rows = from.dims[1] * from.dims[2] * from.dims[3];
    struct he_shape shape = { .rank = 4, .dims = { rows, inputs, 1, 1 } };
    void *memory;
    he_status status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);

    for (int64_t r = 0; status == HE_OK && r < rows; r++)
        for (int64_t c = 0; c < inputs; c++)
            ((float *)memory)[r * inputs + c] =
                he_constant_float(&rewrite->graph->values[weights], c * rows + r);
    return status;
}

static he_status block_bias(struct he_rewrite *rewrite, uint32_t bias, int64_t block, uint32_t *out)
{
    int64_t count = he_shape_count(&rewrite->graph->values[bias].shape) * block;
    struct he_shape shape = { .rank = 1, .dims = { count } };
    void *memory;
    he_status status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);

    for (int64_t k = 0; status == HE_OK && k < count; k++)
        ((float *)memory)[k] = he_constant_float(&rewrite->graph->values[bias], k / block);
    return status;
}

static he_status split_blocks(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_value *in = he_node_input(graph, node, 0);
    const struct he_value *weights = he_node_input(graph, node, 1);
    const struct he_value *bias = he_node_input(graph, node, 2);
    const int64_t *list;
    int64_t block;
    struct he_attr *attrs;
    uint32_t inputs[3], conv;
    he_status status;

    if (!in || in->shape.rank != 4 || !he_shape_is_static(&in->shape) || !weights ||
        !weights->data || weights->dtype != HE_FLOAT32 || weights->shape.rank != 4 ||
        !he_node_has_output(node, 0) || he_node_int(node, "group", 1) != 1 ||
        (bias && (!bias->data || bias->dtype != HE_FLOAT32 ||
                  he_shape_count(&bias->shape) != weights->shape.dims[1])))
        return HE_OK;
    block = weights->shape.dims[2];
    if (block < 2 || weights->shape.dims[3] != block || he_node_ints(node, "strides", &list) != 2 ||
        !all_are(node, "strides", block) || !all_are(node, "dilations", 1) ||
        !all_are(node, "pads", 0) || !all_are(node, "output_padding", 0) ||
        !pads_nothing_by_itself(node) || he_node_ints(node, "output_shape", &list) ||
        weights->shape.dims[0] != in->shape.dims[1])
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, 2);
    if (!attrs)
        return he_no_memory();
    inputs[0] = node->inputs[0];
    status = block_weights(rewrite, node->inputs[1], &inputs[1]);
    if (status == HE_OK && bias)
        status = block_bias(rewrite, graph->nodes[n].inputs[2], block * block, &inputs[2]);
    if (status == HE_OK)
        status = he_rewrite_add_node(rewrite, "Conv", 11, inputs, bias ? 3 : 2, inputs[0], &conv);
    if (status != HE_OK)
        return status;
    graph->nodes[conv].name = graph->nodes[n].name;
    graph->values[graph->nodes[conv].outputs[0]].shape.dims[1] =
        graph->values[inputs[1]].shape.dims[0];
    attrs[0] = (struct he_attr){ .name = "blocksize", .kind = HE_ATTR_INT, .i = block };
    attrs[1] = (struct he_attr){ .name = "mode", .kind = HE_ATTR_STRING, .s = "CRD", .s_bytes = 3 };
    return he_rewrite_become(rewrite, n, "DepthToSpace", 13, graph->nodes[conv].outputs, 1, attrs, 2);
}

/* --- Conv over one column --- */

/* A list attribute of two spatial dimensions (or their two ends), with these exchanged. */
static he_status exchange(struct he_rewrite *rewrite, const struct he_attr *from,
                          struct he_attr *to)
{
    int64_t *list = he_arena_alloc(he_graph_arena(rewrite->graph), from->count, sizeof *list);

    if (!list)
        return he_no_memory();
    *to = *from;
    to->ints = list;
    for (size_t k = 0; k < from->count; k++)
        list[k] = from->ints[k ^ 1];
    return HE_OK;
}

static he_status reshape_node(struct he_rewrite *rewrite, uint32_t value,
                              const struct he_shape *shape, uint32_t *out)
{
    struct he_shape list = { .rank = 1, .dims = { shape->rank } };
    uint32_t inputs[2] = { value, HE_NONE }, node;
    void *memory;
    he_status status = he_rewrite_constant(rewrite, HE_INT64, &list, &memory, &inputs[1]);

    if (status != HE_OK)
        return status;
    memcpy(memory, shape->dims, shape->rank * sizeof *shape->dims);
    status = he_rewrite_add_node(rewrite, "Reshape", 13, inputs, 2, value, &node);
    if (status != HE_OK)
        return status;
    *out = rewrite->graph->nodes[node].outputs[0];
    rewrite->graph->values[*out].shape = *shape;
    return HE_OK;
}

static void swap_last(struct he_shape *shape)
{
    int64_t kept = shape->dims[2];

    shape->dims[2] = shape->dims[3];
    shape->dims[3] = kept;
}

static he_status turn_column(struct he_rewrite *rewrite, uint32_t n)
{
    static const char *const lists[] = { "kernel_shape", "strides", "dilations", "pads" };
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_value *in = he_node_input(graph, node, 0);
    const struct he_value *weights = he_node_input(graph, node, 1);
    struct he_shape in_shape, weight_shape, out_shape;
    struct he_shape list = { .rank = 1, .dims = { 4 } };
    struct he_attr *attrs;
    uint32_t inputs[3], conv, ends[2], input_count = node->input_count;
    const int64_t *pads;
    void *memory;
    he_status status;

    if (!in || !he_shape_is_static(&in->shape) || in->shape.rank != 4 || in->shape.dims[3] != 1 ||
        in->shape.dims[2] < 8 || !weights || !weights->data || weights->shape.rank != 4 ||
        weights->shape.dims[3] != 1 || !he_node_has_output(node, 0) ||
        !pads_nothing_by_itself(node) || input_count < 2 || input_count > 3)
        return HE_OK;
    /* Between convolutions the views would keep everything plain: leave those alone. */
    if (in->producer != HE_NONE && !he_node_is(&graph->nodes[in->producer], "Transpose") &&
        !he_node_is(&graph->nodes[in->producer], "Reshape") &&
        !he_node_is(&graph->nodes[in->producer], "Unsqueeze"))
        return HE_OK;
    if (he_node_ints(node, "pads", &pads) == 4 && (pads[1] != 0 || pads[3] != 0))
        return HE_OK;
    out_shape = graph->values[node->outputs[0]].shape;
    if (!he_shape_is_static(&out_shape) || out_shape.rank != 4 || out_shape.dims[3] != 1)
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, node->attr_count);
    if (!attrs)
        return he_no_memory();
    for (uint32_t k = 0; k < node->attr_count; k++) {
        attrs[k] = node->attrs[k];
        for (size_t l = 0; l < HE_COUNT(lists); l++) {
            if (strcmp(attrs[k].name, lists[l]) != 0 || attrs[k].kind != HE_ATTR_INTS)
                continue;
            if (attrs[k].count % 2)
                return HE_OK;
            status = exchange(rewrite, &node->attrs[k], &attrs[k]);
            if (status != HE_OK)
                return status;
        }
    }
    memcpy(inputs, node->inputs, input_count * sizeof *inputs);
    in_shape = in->shape;
    weight_shape = weights->shape;
    swap_last(&in_shape);
    swap_last(&weight_shape);
    status = reshape_node(rewrite, inputs[0], &in_shape, &inputs[0]);
    if (status == HE_OK)
        status = he_rewrite_view_constant(rewrite, inputs[1], &weight_shape, &inputs[1]);
    if (status == HE_OK)
        status = he_rewrite_constant(rewrite, HE_INT64, &list, &memory, &ends[1]);
    if (status == HE_OK) {
        memcpy(memory, out_shape.dims, 4 * sizeof *out_shape.dims);
        status = he_rewrite_add_node(rewrite, "Conv", graph->nodes[n].opset, inputs, input_count,
                                     inputs[0], &conv);
    }
    if (status != HE_OK)
        return status;
    swap_last(&out_shape);
    graph->nodes[conv].attrs = attrs;
    graph->nodes[conv].attr_count = graph->nodes[n].attr_count;
    graph->nodes[conv].name = graph->nodes[n].name;
    ends[0] = graph->nodes[conv].outputs[0];
    graph->values[ends[0]].shape = out_shape;
    return he_rewrite_become(rewrite, n, "Reshape", 13, ends, 2, NULL, 0);
}

/* --- One-hot rows --- */

/* The numbers 0, 1, 2... along the last dimension, nothing along the others. */
static bool counts_up(const struct he_value *value, int64_t limit)
{
    if (!value || !value->data || (value->dtype != HE_INT32 && value->dtype != HE_INT64) ||
        value->shape.rank < 1 || he_shape_count(&value->shape) != limit ||
        value->shape.dims[value->shape.rank - 1] != limit)
        return false;
    for (int64_t k = 0; k < limit; k++) {
        int64_t wide;
        int32_t narrow;

        if (value->dtype == HE_INT32) {
            memcpy(&narrow, (const char *)value->data + (size_t)k * 4, 4);
            wide = narrow;
        } else {
            memcpy(&wide, (const char *)value->data + (size_t)k * 8, 8);
        }
        if (wide != k)
            return false;
    }
    return true;
}

static he_status index_constant(struct he_rewrite *rewrite, enum he_dtype dtype, int64_t number,
                                uint32_t *out)
{
    struct he_shape scalar = { .rank = 0 };
    int32_t narrow = (int32_t)number;
    void *memory;
    he_status status = he_rewrite_constant(rewrite, dtype, &scalar, &memory, out);

    if (status == HE_OK && dtype == HE_INT32)
        memcpy(memory, &narrow, sizeof narrow);
    else if (status == HE_OK)
        memcpy(memory, &number, sizeof number);
    return status;
}

/* @index where 0 <= index < @rows, else @rows. */
static he_status bounded_index(struct he_rewrite *rewrite, uint32_t index, int64_t rows,
                               uint32_t *out)
{
    struct he_graph *graph = rewrite->graph;
    enum he_dtype dtype = graph->values[index].dtype;
    uint32_t zero, limit, node, is_below, pair[2], choice[3];
    he_status status = index_constant(rewrite, dtype, 0, &zero);

    if (status == HE_OK)
        status = index_constant(rewrite, dtype, rows, &limit);
    if (status != HE_OK)
        return status;
    pair[0] = index;
    pair[1] = zero;
    status = he_rewrite_add_node(rewrite, "Less", 13, pair, 2, index, &node);
    if (status != HE_OK)
        return status;
    is_below = graph->nodes[node].outputs[0];
    graph->values[is_below].dtype = HE_BOOL;
    pair[1] = limit;
    status = he_rewrite_add_node(rewrite, "Min", 13, pair, 2, index, &node);
    if (status != HE_OK)
        return status;
    choice[0] = is_below;
    choice[1] = limit;
    choice[2] = graph->nodes[node].outputs[0];
    status = he_rewrite_add_node(rewrite, "Where", 16, choice, 3, index, &node);
    if (status == HE_OK)
        *out = graph->nodes[node].outputs[0];
    return status;
}

/* The matrix with a row of zeros behind. */
static he_status padded_rows(struct he_rewrite *rewrite, uint32_t matrix, uint32_t *out)
{
    struct he_shape shape = rewrite->graph->values[matrix].shape;
    void *memory;
    he_status status;

    shape.dims[0]++;
    status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);
    if (status == HE_OK)
        memcpy(memory, rewrite->graph->values[matrix].data,
               rewrite->graph->values[matrix].data_bytes);
    return status;
}

static he_status gather_rows(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_value *matrix = he_node_input(graph, node, 1), *index;
    uint32_t cast, equal, value = HE_NONE, ends[2];
    struct he_shape shape, result;
    int64_t rows;
    he_status status;

    if (node->input_count != 2 || !he_node_has_output(node, 0) || !matrix || !matrix->data ||
        matrix->dtype != HE_FLOAT32 || matrix->shape.rank != 2)
        return HE_OK;
    rows = matrix->shape.dims[0];
    cast = he_rewrite_link(rewrite, node->inputs[0], "Cast");
    equal = cast == HE_NONE ? HE_NONE : he_rewrite_link(rewrite, graph->nodes[cast].inputs[0],
                                                        "Equal");
    if (equal == HE_NONE || graph->nodes[equal].input_count != 2)
        return HE_OK;
    for (uint32_t k = 0; k < 2 && value == HE_NONE; k++)
        if (counts_up(he_node_input(graph, &graph->nodes[equal], k), rows))
            value = graph->nodes[equal].inputs[1 - k];
    if (value == HE_NONE || graph->values[value].data)
        return HE_OK;
    index = &graph->values[value];
    result = graph->values[node->outputs[0]].shape;
    shape = index->shape;
    if ((index->dtype != HE_INT32 && index->dtype != HE_INT64) || !he_shape_is_static(&shape) ||
        !he_shape_is_static(&result) || shape.rank < 2 || shape.rank != result.rank ||
        shape.dims[shape.rank - 1] != 1)
        return HE_OK;
    for (uint32_t d = 0; d + 1 < shape.rank; d++)
        if (shape.dims[d] != result.dims[d])
            return HE_OK;
    shape.rank--;
    status = reshape_node(rewrite, value, &shape, &value);
    if (status == HE_OK)
        status = bounded_index(rewrite, value, rows, &ends[1]);
    if (status == HE_OK)
        status = padded_rows(rewrite, graph->nodes[n].inputs[1], &ends[0]);
    if (status == HE_OK)
        status = he_rewrite_become(rewrite, n, "Gather", 13, ends, 2, NULL, 0);
    if (status == HE_OK) {
        he_rewrite_remove(rewrite, cast);
        he_rewrite_remove(rewrite, equal);
    }
    return status;
}

static const struct he_pattern patterns[] = {
    { "ConvTranspose", split_blocks },
    { "Conv", turn_column },
    { "MatMul", gather_rows },
};
const struct he_pattern_table he_patterns_conv = { patterns, HE_COUNT(patterns) };
