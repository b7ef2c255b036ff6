/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a graph that is written anew with some of its tasks cut. One of the old graph may
 * be there whole, in parts, or both. Whoever wants a piece of it gets, the first that is there: the
 * part with just these bounds, a piece made before, a Slice of the whole, a Slice of the part
 * that covers it, a Concat of what it takes of several parts (the halo). Whoever wants the whole
 * gets the Concat of the parts. So tasks that are cut alike hand over part by part, and nothing
 * needs to be taken apart again.
 */
#include <inttypes.h>
#include <string.h>

#include "graph/shard_write.h"

/* A panel of a constant that is no plain run of its bytes. */
struct he_panel {
    uint32_t value;
    const char *from; /* the first of @rows runs of @run_bytes, @step_bytes apart */
    size_t rows, run_bytes, step_bytes;
    struct he_panel *next;
};

/* --- New nodes --- */

he_status he_shard_add_node(struct he_shard_writer *w, const struct he_node *like,
                            uint32_t input_count, const char *name, uint32_t *out)
{
    struct he_node *node;
    uint32_t *inputs = he_graph_indices(w->graph, input_count);
    uint32_t *outputs = he_graph_indices(w->graph, like->output_count);
    he_status status = inputs && outputs ? he_graph_add_node(w->graph, out) : he_no_memory();

    if (status != HE_OK)
        return status;
    node = &w->graph->nodes[*out];
    *node = *like;
    if (name)
        node->name = name;
    node->inputs = inputs;
    node->input_count = input_count;
    node->outputs = outputs;
    node->task = HE_NONE;
    return HE_OK;
}

/* Ties @value to output 0 of @node; its shape follows from the node's inputs and must be @shape. */
he_status he_shard_set_output(struct he_shard_writer *w, uint32_t node, uint32_t value,
                              const struct he_shape *shape)
{
    he_status status;

    w->graph->nodes[node].outputs[0] = value;
    w->graph->values[value].producer = node;
    status = he_graph_infer_node(w->graph, &w->graph->nodes[node]);
    if (status == HE_OK && !he_shape_equal(&w->graph->values[value].shape, shape))
        status = he_error_set(HE_ERR_INTERNAL, "%s: a part has another shape than was planned",
                              he_node_label(w->graph, &w->graph->nodes[node]));
    return status;
}

he_status he_shard_add_ints(struct he_shard_writer *w, const int64_t *ints, uint32_t count,
                            uint32_t *out)
{
    const struct he_shape shape = { .rank = 1, .dims = { count } };
    void *data = he_arena_copy(he_graph_arena(w->graph), ints, count * sizeof *ints);

    if (!data)
        return he_no_memory();
    return he_graph_add_constant(w->graph, "", HE_INT64, &shape, data, count * sizeof *ints, out);
}

/* What to call a value that may have lost its name. */
const char *he_shard_value_name(const struct he_shard_writer *w, uint32_t value)
{
    const struct he_value *v = &w->base->values[value];
    const struct he_node *maker = v->producer == HE_NONE ? NULL : &w->base->nodes[v->producer];

    if (v->name[0] || !maker)
        return v->name;
    return maker->name[0] ? maker->name : maker->op;
}

static he_status add_slice(struct he_shard_writer *w, uint32_t from, uint32_t axis, int64_t begin,
                           int64_t end, const char *name, uint32_t *out)
{
    const struct he_node slice = {
        .op = "Slice", .domain = "", .opset = 13, .output_count = 1, .explicit_input_count = 4
    };
    struct he_shape shape = w->graph->values[from].shape;
    uint32_t inputs[4] = { from }, node;
    int64_t which = axis;
    he_status status = he_shard_add_ints(w, &begin, 1, &inputs[1]);

    shape.dims[axis] = end - begin;
    if (status == HE_OK)
        status = he_shard_add_ints(w, &end, 1, &inputs[2]);
    if (status == HE_OK)
        status = he_shard_add_ints(w, &which, 1, &inputs[3]);
    if (status == HE_OK)
        status = he_graph_add_value(w->graph, "", out);
    if (status == HE_OK)
        status = he_shard_add_node(w, &slice, 4, name, &node);
    if (status != HE_OK)
        return status;
    memcpy(w->graph->nodes[node].inputs, inputs, sizeof inputs);
    return he_shard_set_output(w, node, *out, &shape);
}

/* Joins @count values along @axis into @out, whose shape is known. */
static he_status add_concat(struct he_shard_writer *w, const uint32_t *values, uint32_t count,
                            uint32_t axis, const char *name, uint32_t out)
{
    const struct he_node concat = {
        .op = "Concat", .domain = "", .opset = 13, .output_count = 1, .explicit_input_count = count
    };
    struct he_shape shape = w->graph->values[out].shape;
    struct he_attr *attr = he_arena_alloc(he_graph_arena(w->graph), 1, sizeof *attr);
    uint32_t node;
    he_status status = attr ? he_shard_add_node(w, &concat, count, name, &node) : he_no_memory();

    if (status != HE_OK)
        return status;
    *attr = (struct he_attr){ .name = "axis", .kind = HE_ATTR_INT, .count = 1, .i = axis };
    w->graph->nodes[node].attrs = attr;
    w->graph->nodes[node].attr_count = 1;
    memcpy(w->graph->nodes[node].inputs, values, count * sizeof *values);
    return he_shard_set_output(w, node, out, &shape);
}

/* --- Values, whole and in pieces --- */

/* The same value in the new graph, with no maker yet. */
he_status he_shard_copy_value(struct he_shard_writer *w, uint32_t v, uint32_t *out)
{
    he_status status = he_graph_add_value(w->graph, w->base->values[v].name, out);

    if (status != HE_OK)
        return status;
    w->graph->values[*out] = w->base->values[v];
    w->graph->values[*out].producer = HE_NONE;
    return HE_OK;
}

he_status he_shard_get_whole(struct he_shard_writer *w, uint32_t v, uint32_t *out)
{
    uint32_t count = 0, *values;
    const char *name;
    he_status status;

    if (w->whole[v] == HE_NONE) {
        status = he_shard_copy_value(w, v, &w->whole[v]);
        for (const struct he_piece *p = w->parts[v]; p; p = p->next)
            count++;
        if (status == HE_OK && count > 0) {
            values = he_arena_alloc(&w->scratch, count, sizeof *values);
            name = he_arena_printf(he_graph_arena(w->graph), "%s[join]", he_shard_value_name(w, v));
            if (!values || !name)
                return he_no_memory();
            count = 0;
            for (const struct he_piece *p = w->parts[v]; p; p = p->next)
                values[count++] = p->value;
            status = add_concat(w, values, count, w->parts[v]->axis, name, w->whole[v]);
        }
        if (status != HE_OK)
            return status;
    }
    *out = w->whole[v];
    return HE_OK;
}

/* A panel of a constant is a constant: in place where its bytes are a plain run. */
static he_status cut_constant(struct he_shard_writer *w, uint32_t v, uint32_t axis, int64_t begin,
                              int64_t end, uint32_t *out)
{
    const struct he_value *whole = &w->base->values[v];
    struct he_shape shape = whole->shape;
    size_t inner = he_dtype_bits(whole->dtype) / 8, outer = 1;
    struct he_panel *panel;
    he_status status;

    for (uint32_t d = 0; d < shape.rank; d++) {
        if (d < axis)
            outer *= (size_t)shape.dims[d];
        else if (d > axis)
            inner *= (size_t)shape.dims[d];
    }
    shape.dims[axis] = end - begin;
    if (outer == 1)
        return he_graph_add_constant(w->graph, whole->name, whole->dtype, &shape,
                                     (const char *)whole->data + (size_t)begin * inner,
                                     (size_t)(end - begin) * inner, out);
    panel = he_arena_alloc(he_graph_arena(w->graph), 1, sizeof *panel);
    status = panel ? he_graph_add_constant(w->graph, whole->name, whole->dtype, &shape, whole->data,
                                           outer * (size_t)(end - begin) * inner, out)
                   : he_no_memory();
    if (status != HE_OK)
        return status;
    w->graph->values[*out].has_known_ints = false;
    *panel = (struct he_panel){ .value = *out,
                                .from = (const char *)whole->data + (size_t)begin * inner,
                                .rows = outer,
                                .run_bytes = (size_t)(end - begin) * inner,
                                .step_bytes = (size_t)whole->shape.dims[axis] * inner,
                                .next = he_graph_store(w->graph)->panels };
    he_graph_store(w->graph)->panels = panel;
    return HE_OK;
}

/* What of the parts of @v lies in @begin..@end, joined where it is of several. */
static he_status gather_pieces(struct he_shard_writer *w, uint32_t v, uint32_t axis, int64_t begin,
                               int64_t end, const char *name, uint32_t *out)
{
    uint32_t count = 0, *values;
    he_status status = HE_OK;

    for (const struct he_piece *p = w->parts[v]; p; p = p->next)
        count += p->begin < end && p->end > begin;
    values = he_arena_alloc(&w->scratch, count, sizeof *values);
    if (!values)
        return he_no_memory();
    count = 0;
    for (const struct he_piece *p = w->parts[v]; p && status == HE_OK; p = p->next) {
        int64_t low = begin > p->begin ? begin : p->begin, high = end < p->end ? end : p->end;
        const char *piece_name;

        if (low >= high)
            continue;
        values[count++] = p->value;
        if (low == p->begin && high == p->end)
            continue;
        piece_name = he_arena_printf(he_graph_arena(w->graph), "%s[%" PRId64 ":%" PRId64 "]",
                                     he_shard_value_name(w, v), low, high);
        status = piece_name ? add_slice(w, p->value, axis, low - p->begin, high - p->begin,
                                        piece_name, &values[count - 1])
                            : he_no_memory();
    }
    *out = values[0];
    if (status != HE_OK || count == 1)
        return status;
    status = he_shard_copy_value(w, v, out);
    if (status != HE_OK)
        return status;
    w->graph->values[*out].name = "";
    w->graph->values[*out].is_output = false;
    w->graph->values[*out].has_known_ints = false;
    w->graph->values[*out].shape.dims[axis] = end - begin;
    return add_concat(w, values, count, axis, name, *out);
}

static const struct he_piece *find_piece(const struct he_piece *list, uint32_t axis, int64_t begin,
                                         int64_t end)
{
    while (list && (list->axis != axis || list->begin != begin || list->end != end))
        list = list->next;
    return list;
}

he_status he_shard_get_piece(struct he_shard_writer *w, uint32_t v, uint32_t axis, int64_t begin,
                             int64_t end, uint32_t *out)
{
    const struct he_value *whole = &w->base->values[v];
    const struct he_piece *found = find_piece(w->parts[v], axis, begin, end);
    struct he_piece *piece;
    const char *name;
    he_status status;

    if (begin == 0 && end == whole->shape.dims[axis])
        return he_shard_get_whole(w, v, out);
    if (!found)
        found = find_piece(w->slices[v], axis, begin, end);
    if (found) {
        *out = found->value;
        return HE_OK;
    }
    name = he_arena_printf(he_graph_arena(w->graph), "%s[%" PRId64 ":%" PRId64 "]",
                           he_shard_value_name(w, v), begin, end);
    piece = he_arena_alloc(&w->scratch, 1, sizeof *piece);
    if (!name || !piece)
        return he_no_memory();
    if (whole->data) {
        status = cut_constant(w, v, axis, begin, end, out);
    } else if (w->whole[v] == HE_NONE && w->parts[v] && w->parts[v]->axis == axis) {
        status = gather_pieces(w, v, axis, begin, end, name, out);
    } else {
        status = he_shard_get_whole(w, v, out);
        if (status == HE_OK)
            status = add_slice(w, *out, axis, begin, end, name, out);
    }
    *piece = (struct he_piece){ axis, *out, begin, end, w->slices[v] };
    w->slices[v] = piece;
    return status;
}

he_status he_graph_fill_shards(struct he_graph *graph)
{
    struct he_graph_store *store = he_graph_store(graph);

    for (; store->panels; store->panels = store->panels->next) {
        const struct he_panel *panel = store->panels;
        char *data = he_arena_alloc(store->arena, panel->rows, panel->run_bytes);

        if (!data)
            return he_no_memory();
        for (size_t k = 0; k < panel->rows; k++)
            memcpy(data + k * panel->run_bytes, panel->from + k * panel->step_bytes,
                   panel->run_bytes);
        graph->values[panel->value].data = data;
    }
    return HE_OK;
}
