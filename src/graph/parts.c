/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that are a run of bytes of another one: what Slice and Split take out of their input
 * and what Concat puts into its output, where every dimension outside the axis is 1. The planner
 * gives such values memory inside the other's, and nothing is copied.
 */
#include "graph/store.h"

/* Bytes of one step along @axis, when only dimensions of 1 stand outside it. */
static bool run_bytes(const struct he_value *value, uint32_t axis, enum he_layout layout,
                      size_t *out)
{
    const struct he_shape *shape = &value->shape;
    bool is_last = layout == HE_LAYOUT_CHANNELS_LAST;
    unsigned bits = he_dtype_bits(value->dtype);

    *out = bits / 8;
    if (bits == 0 || bits % 8 != 0)
        return false;
    for (uint32_t d = 0; d < shape->rank; d++) {
        /* Channels-last puts dimension 1 innermost. */
        uint32_t depth = is_last && d == 1 ? shape->rank : d;
        uint32_t own = is_last && axis == 1 ? shape->rank : axis;

        if (depth < own && shape->dims[d] != 1)
            return false;
        if (depth > own)
            *out *= (size_t)shape->dims[d];
    }
    return true;
}

/* The one axis a Slice cuts in steps of one; where it begins. */
static bool read_slice(const struct he_graph *graph, const struct he_node *node, uint32_t *axis,
                       int64_t *begin)
{
    const struct he_value *in = he_node_input(graph, node, 0);
    const struct he_value *steps = he_node_input(graph, node, 4);
    const struct he_value *starts = he_node_input(graph, node, 1);
    const struct he_value *axes = he_node_input(graph, node, 3);
    int64_t step = 1, which;
    size_t count;

    if (node->opset < 10 || !starts || !axes || !he_value_read_ints(starts, begin, 1, &count) ||
        count != 1 || !he_value_read_ints(axes, &which, 1, &count) || count != 1 ||
        (steps && (!he_value_read_ints(steps, &step, 1, &count) || step != 1)))
        return false;
    which += which < 0 ? in->shape.rank : 0;
    if (which < 0 || which >= (int64_t)in->shape.rank)
        return false;
    *axis = (uint32_t)which;
    if (*begin < 0)
        *begin += in->shape.dims[*axis];
    return *begin >= 0 && *begin <= in->shape.dims[*axis];
}

static bool is_placed(const struct he_graph *graph, uint32_t value)
{
    const struct he_value *v = value == HE_NONE ? NULL : &graph->values[value];

    return v && !v->data && !v->is_opaque && he_shape_is_static(&v->shape);
}

/* Steps along the axis that stand before operand @k of a list. */
static int64_t steps_before(const struct he_graph *graph, const uint32_t *values, uint32_t k,
                            uint32_t axis)
{
    int64_t sum = 0;

    for (uint32_t j = 0; j < k; j++) {
        if (values[j] == HE_NONE || !he_shape_is_static(&graph->values[values[j]].shape))
            return -1;
        sum += graph->values[values[j]].shape.dims[axis];
    }
    return sum;
}

bool he_graph_part(const struct he_graph *graph, const struct he_node *node, uint32_t k,
                   enum he_layout layout, struct he_value_part *out)
{
    bool is_concat = he_node_is(node, "Concat"), is_split = he_node_is(node, "Split");
    uint32_t axis, whole, part;
    int64_t begin = 0, rank, which;
    size_t run;

    if (!(is_concat  ? k < node->input_count
          : is_split ? k < node->output_count
                     : k == 0 && he_node_is(node, "Slice")))
        return false;
    whole = is_concat ? node->outputs[0] : node->inputs[0];
    part = is_concat ? node->inputs[k] : node->outputs[k];
    if (!is_placed(graph, whole) || !is_placed(graph, part) || whole == part)
        return false;
    if (is_concat || is_split) {
        rank = graph->values[whole].shape.rank;
        which = he_node_int(node, "axis", is_concat ? 1 : 0);
        which += which < 0 ? rank : 0;
        if (which < 0 || which >= rank)
            return false;
        axis = (uint32_t)which;
        begin = steps_before(graph, is_concat ? node->inputs : node->outputs, k, axis);
        if (begin < 0)
            return false;
    } else if (!read_slice(graph, node, &axis, &begin)) {
        return false;
    }
    if (!run_bytes(&graph->values[whole], axis, layout, &run))
        return false;
    *out = (struct he_value_part){ .whole = whole, .part = part, .offset = (size_t)begin * run };
    return true;
}

/* Memory of its own, which can be put anywhere: made by work, not handed on, not the caller's. */
static bool has_own_memory(const struct he_graph *graph, uint32_t value)
{
    const struct he_value *v = &graph->values[value];
    const struct he_node *maker;
    uint32_t input;

    if (v->producer == HE_NONE || v->is_output)
        return false;
    maker = &graph->nodes[v->producer];
    return !he_node_is(maker, "Slice") && !he_node_is(maker, "Split") &&
           !he_graph_is_view(graph, maker, &input);
}

bool he_graph_is_in_place(const struct he_graph *graph, const struct he_task *task)
{
    const struct he_node *node = &graph->nodes[task->anchor];
    bool is_concat = he_node_is(node, "Concat"), is_split = he_node_is(node, "Split");
    uint32_t count = is_concat ? node->input_count : is_split ? node->output_count : 1;

    if (task->node_count != 1)
        return false;
    for (uint32_t k = 0; k < count; k++) {
        struct he_value_part part;

        if (!he_graph_part(graph, node, k, HE_LAYOUT_PLAIN, &part) ||
            (graph->values[part.part].shape.rank > 2 && graph->values[part.part].shape.rank < 6 &&
             !he_graph_part(graph, node, k, HE_LAYOUT_CHANNELS_LAST, &part)))
            return false;
        if (!is_concat ? graph->values[part.part].is_output : !has_own_memory(graph, part.part))
            return false;
        for (uint32_t j = 0; is_concat && j < k; j++) {
            if (node->inputs[j] == node->inputs[k])
                return false; /* it cannot be in two places */
        }
    }
    return true;
}
