/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that do nothing, or that two of do the work of one: Identity, Dropout as it
 * is when not training, Cast to the same type, Reshape to the same shape, arithmetic
 * with 0 or 1, Transpose pairs, Reshape after Reshape.
 */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

static const struct he_value *output_of(const struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];

    return he_node_has_output(node, 0) ? &rewrite->graph->values[node->outputs[0]] : NULL;
}

static bool has_one_output(const struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];

    for (uint32_t k = 1; k < node->output_count; k++)
        if (he_node_has_output(node, k) && he_rewrite_use_count(rewrite, node->outputs[k]))
            return false;
    return he_node_has_output(node, 0);
}

/* Input @slot is all that comes out: same type, same known shape. */
static bool gives_input(const struct he_rewrite *rewrite, uint32_t n, uint32_t slot)
{
    const struct he_value *in = he_node_input(rewrite->graph, &rewrite->graph->nodes[n], slot);
    const struct he_value *out = output_of(rewrite, n);

    if (!in || !out || in->dtype != out->dtype || in->shape.rank != out->shape.rank ||
        in->shape.rank == HE_RANK_UNKNOWN)
        return false;
    for (uint32_t d = 0; d < in->shape.rank; d++)
        if (in->shape.dims[d] != out->shape.dims[d] || in->shape.dims[d] == HE_DIM_UNKNOWN)
            return false;
    return true;
}

static void bypass(struct he_rewrite *rewrite, uint32_t n, uint32_t slot)
{
    uint32_t value = rewrite->graph->nodes[n].inputs[slot];

    (void)he_rewrite_bypass(rewrite, n, value);
}

static he_status remove_identity(struct he_rewrite *rewrite, uint32_t n)
{
    if (has_one_output(rewrite, n) && rewrite->graph->nodes[n].input_count >= 1)
        bypass(rewrite, n, 0);
    return HE_OK;
}

static he_status remove_dropout(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];
    const struct he_value *training = he_node_input(rewrite->graph, node, 2);

    /* Since opset 12 an input may say that this is training; before 7 is_test said it is not. */
    if (training && !(training->data && training->data_bytes == 1 &&
                      *(const unsigned char *)training->data == 0))
        return HE_OK;
    if (node->opset < 7 && !he_node_int(node, "is_test", 0))
        return HE_OK;
    return remove_identity(rewrite, n);
}

static he_status remove_if_same(struct he_rewrite *rewrite, uint32_t n)
{
    if (has_one_output(rewrite, n) && gives_input(rewrite, n, 0))
        bypass(rewrite, n, 0);
    return HE_OK;
}

/* Sum, Max, Min, Mean, Concat of one thing. */
static he_status remove_if_single(struct he_rewrite *rewrite, uint32_t n)
{
    if (rewrite->graph->nodes[n].input_count == 1)
        return remove_if_same(rewrite, n);
    return HE_OK;
}

/* A cut that leaves everything: steps may not turn it round. */
static he_status remove_whole_slice(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_value *steps = he_node_input(rewrite->graph, &rewrite->graph->nodes[n], 4);
    int64_t list[HE_MAX_RANK];
    size_t count = 0;

    if (steps && (!he_value_read_ints(steps, list, HE_COUNT(list), &count) ||
                  count > HE_COUNT(list)))
        return HE_OK;
    for (size_t k = 0; k < count; k++)
        if (list[k] < 1)
            return HE_OK;
    return remove_if_same(rewrite, n);
}

/* Every element of a float32 constant is @expected. */
static bool is_all(const struct he_value *value, float expected)
{
    int64_t count;

    if (!value || !value->data || value->dtype != HE_FLOAT32)
        return false;
    count = he_shape_count(&value->shape);
    for (int64_t k = 0; k < count; k++)
        if (he_constant_float(value, k) != expected)
            return false;
    return count > 0;
}

/* x + 0, x - 0, x * 1, x / 1, x ^ 1 where nothing is broadcast. */
static he_status remove_neutral(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];
    bool is_sum = he_node_is(node, "Add") || he_node_is(node, "Sub");
    bool is_commutative = he_node_is(node, "Add") || he_node_is(node, "Mul");
    float neutral = is_sum ? 0.0f : 1.0f;

    if (node->input_count != 2)
        return HE_OK;
    for (uint32_t slot = 0; slot < (is_commutative ? 2u : 1u); slot++) {
        if (is_all(he_node_input(rewrite->graph, node, 1 - slot), neutral) &&
            gives_input(rewrite, n, slot)) {
            bypass(rewrite, n, slot);
            return HE_OK;
        }
    }
    return HE_OK;
}

static he_status remove_zero_pad(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];
    const int64_t *pads;
    int64_t list[2 * HE_MAX_RANK];
    size_t count = he_node_ints(node, node->opset < 2 ? "paddings" : "pads", &pads);

    if (node->opset >= 11) {
        const struct he_value *value = he_node_input(rewrite->graph, node, 1);

        if (!value || !he_value_read_ints(value, list, HE_COUNT(list), &count) ||
            count > HE_COUNT(list))
            return HE_OK;
        pads = list;
    }
    for (size_t k = 0; k < count; k++)
        if (pads[k] != 0)
            return HE_OK;
    return remove_if_same(rewrite, n);
}

static uint32_t permutation_of(const struct he_rewrite *rewrite, uint32_t n, int64_t *out)
{
    const struct he_node *node = &rewrite->graph->nodes[n];
    const struct he_value *in = he_node_input(rewrite->graph, node, 0);
    const int64_t *perm;
    size_t count = he_node_ints(node, "perm", &perm);

    if (!in || in->shape.rank == HE_RANK_UNKNOWN || (count && count != in->shape.rank))
        return 0;
    for (uint32_t d = 0; d < in->shape.rank; d++) {
        out[d] = count ? perm[d] : (int64_t)in->shape.rank - 1 - d;
        if (out[d] < 0 || out[d] >= in->shape.rank)
            return 0;
    }
    return in->shape.rank;
}

static he_status set_reshape(struct he_rewrite *rewrite, uint32_t n, uint32_t data,
                             const struct he_shape *to)
{
    struct he_shape shape = { .rank = 1, .dims = { (int64_t)to->rank } };
    struct he_shape target = *to; /* the values may move */
    uint32_t inputs[2] = { data, HE_NONE };
    struct he_attr *attrs = he_rewrite_attrs(rewrite, 1);
    void *list;
    he_status status;

    if (!attrs)
        return he_no_memory();
    /* Sizes are meant as they stand: a 0 does not copy. */
    attrs[0] = (struct he_attr){ .name = "allowzero", .kind = HE_ATTR_INT, .i = 1 };
    status = he_rewrite_constant(rewrite, HE_INT64, &shape, &list, &inputs[1]);
    if (status != HE_OK)
        return status;
    memcpy(list, target.dims, target.rank * sizeof *target.dims);
    return he_rewrite_become(rewrite, n, "Reshape", 14, inputs, 2, attrs, 1);
}

/* Two Transposes are one; one that leaves everything in place is none; one that moves
 * only dimensions of size 1 is a Reshape, which costs nothing. */
static he_status simplify_transpose(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    int64_t outer[HE_MAX_RANK], inner[HE_MAX_RANK];
    uint32_t rank = permutation_of(rewrite, n, outer), first;
    const struct he_value *in = he_node_input(graph, &graph->nodes[n], 0);
    int64_t last = -1;
    bool keeps_place = true, keeps_order = true;

    if (!rank)
        return HE_OK;
    first = he_rewrite_maker(rewrite, graph->nodes[n].inputs[0], "Transpose");
    if (first != HE_NONE && permutation_of(rewrite, first, inner) == rank) {
        struct he_attr *attrs = he_rewrite_attrs(rewrite, 1);
        int64_t *perm = he_arena_alloc(he_graph_arena(graph), rank, sizeof *perm);
        uint32_t source = graph->nodes[first].inputs[0];
        he_status status;

        if (!attrs || !perm)
            return he_no_memory();
        for (uint32_t d = 0; d < rank; d++)
            perm[d] = inner[outer[d]];
        attrs[0] = (struct he_attr){ .name = "perm", .kind = HE_ATTR_INTS, .count = rank,
                                     .ints = perm };
        status = he_rewrite_become(rewrite, n, "Transpose", graph->nodes[n].opset, &source, 1,
                                   attrs, 1);
        if (status == HE_OK)
            he_rewrite_remove_unread(rewrite, first);
        return status;
    }
    for (uint32_t d = 0; d < rank; d++) {
        keeps_place &= outer[d] == d;
        if (in->shape.dims[outer[d]] == 1)
            continue;
        keeps_order &= outer[d] > last;
        last = outer[d];
    }
    if (keeps_place)
        return remove_identity(rewrite, n);
    if (keeps_order && he_shape_is_static(&output_of(rewrite, n)->shape))
        return set_reshape(rewrite, n, graph->nodes[n].inputs[0], &output_of(rewrite, n)->shape);
    return HE_OK;
}

/* A Reshape that only moves dimensions of size 1 continues the Transpose before it. Gives that
 * in *done. */
static he_status continue_transpose(struct he_rewrite *rewrite, uint32_t n, bool *done)
{
    struct he_graph *graph = rewrite->graph;
    uint32_t first = he_rewrite_link(rewrite, graph->nodes[n].inputs[0], "Transpose"), rank;
    const struct he_shape *from = &graph->values[graph->nodes[n].inputs[0]].shape;
    const struct he_shape *to = &output_of(rewrite, n)->shape;
    uint32_t wide = 0, narrow = 0, source;
    int64_t old[HE_MAX_RANK], *perm;
    struct he_attr *attrs;
    he_status status;

    if (first == HE_NONE || !he_shape_is_static(from) || from->rank != to->rank)
        return HE_OK;
    rank = permutation_of(rewrite, first, old);
    if (!rank)
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, 1);
    perm = he_arena_alloc(he_graph_arena(graph), rank, sizeof *perm);
    if (!attrs || !perm)
        return he_no_memory();
    for (uint32_t d = 0; d < rank; d++) {
        uint32_t *next = to->dims[d] == 1 ? &narrow : &wide;

        while (*next < rank && (from->dims[*next] == 1) != (to->dims[d] == 1))
            ++*next;
        if (*next == rank || from->dims[*next] != to->dims[d])
            return HE_OK;
        perm[d] = old[(*next)++];
    }
    attrs[0] = (struct he_attr){ .name = "perm", .kind = HE_ATTR_INTS, .count = rank, .ints = perm };
    source = graph->nodes[first].inputs[0];
    status = he_rewrite_become(rewrite, n, "Transpose", 13, &source, 1, attrs, 1);
    if (status == HE_OK)
        he_rewrite_remove(rewrite, first);
    *done = true;
    return status;
}

/* A view of a view is one Reshape of what the first one views. */
static he_status join_views(struct he_rewrite *rewrite, uint32_t n)
{
    static const char *const views[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze" };
    struct he_graph *graph = rewrite->graph;
    const struct he_value *out = output_of(rewrite, n);
    bool done = false;
    he_status status;

    if (!out || !he_shape_is_static(&out->shape) || !graph->nodes[n].input_count ||
        graph->nodes[n].inputs[0] == HE_NONE)
        return HE_OK;
    if (gives_input(rewrite, n, 0)) {
        bypass(rewrite, n, 0);
        return HE_OK;
    }
    status = continue_transpose(rewrite, n, &done);
    if (status != HE_OK || done)
        return status;
    for (size_t k = 0; k < HE_COUNT(views); k++) {
        uint32_t first = he_rewrite_link(rewrite, graph->nodes[n].inputs[0], views[k]);
        uint32_t source;

        if (first == HE_NONE)
            continue;
        source = graph->nodes[first].inputs[0];
        if (!he_shape_is_static(&graph->values[source].shape))
            return HE_OK;
        status = set_reshape(rewrite, n, source, &out->shape);
        if (status == HE_OK)
            he_rewrite_remove_unread(rewrite, first);
        return status;
    }
    return HE_OK;
}

static const struct he_pattern patterns[] = {
    { "Identity", remove_identity },
    { "Dropout", remove_dropout },
    { "Cast", remove_if_same },
    { "Expand", remove_if_same },
    { "Tile", remove_if_same },
    { "Slice", remove_whole_slice },
    { "Sum", remove_if_single },
    { "Max", remove_if_single },
    { "Min", remove_if_single },
    { "Mean", remove_if_single },
    { "Concat", remove_if_single },
    { "Add", remove_neutral },
    { "Sub", remove_neutral },
    { "Mul", remove_neutral },
    { "Div", remove_neutral },
    { "Pow", remove_neutral },
    { "Pad", remove_zero_pad },
    { "Transpose", simplify_transpose },
    { "Reshape", join_views },
    { "Flatten", join_views },
    { "Squeeze", join_views },
    { "Unsqueeze", join_views },
};

const struct he_pattern_table he_patterns_identity = { patterns, HE_COUNT(patterns) };
