/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses are kept as doubly linked lists threaded through one array; the inputs of a
 * node own a run of it, so that (node, slot) finds its entry at once.
 */
#include "graph/rewrite.h"

#include <math.h>
#include <string.h>

static void link_use(struct he_rewrite *rewrite, uint32_t use, uint32_t value)
{
    uint32_t *first = &rewrite->first_use[value];

    rewrite->uses[use].previous = HE_NONE;
    rewrite->uses[use].next = *first;
    if (*first != HE_NONE)
        rewrite->uses[*first].previous = use;
    *first = use;
}

static void unlink_use(struct he_rewrite *rewrite, uint32_t use, uint32_t value)
{
    struct he_use *gone = &rewrite->uses[use];

    if (gone->previous != HE_NONE)
        rewrite->uses[gone->previous].next = gone->next;
    else
        rewrite->first_use[value] = gone->next;
    if (gone->next != HE_NONE)
        rewrite->uses[gone->next].previous = gone->previous;
}

static he_status add_uses(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];

    rewrite->node_uses[n] = rewrite->use_count;
    for (uint32_t k = 0; k < node->input_count; k++) {
        void *array = rewrite->uses;
        he_status status = he_arena_grow(&rewrite->scratch, &array, &rewrite->use_capacity,
                                         rewrite->use_count, sizeof *rewrite->uses);

        if (status != HE_OK)
            return status;
        rewrite->uses = array;
        rewrite->uses[rewrite->use_count] = (struct he_use){ n, k, HE_NONE, HE_NONE };
        if (node->inputs[k] != HE_NONE)
            link_use(rewrite, rewrite->use_count, node->inputs[k]);
        rewrite->use_count++;
    }
    return HE_OK;
}

he_status he_rewrite_begin(struct he_rewrite *rewrite, struct he_graph *graph)
{
    he_status status = HE_OK;

    *rewrite = (struct he_rewrite){ .graph = graph };
    he_arena_init(&rewrite->scratch, &he_graph_arena(graph)->alloc);
    rewrite->node_uses = he_arena_alloc(&rewrite->scratch, graph->node_count,
                                        sizeof *rewrite->node_uses);
    rewrite->first_use = he_arena_alloc(&rewrite->scratch, graph->value_count,
                                        sizeof *rewrite->first_use);
    if (!rewrite->node_uses || !rewrite->first_use)
        status = he_no_memory();
    rewrite->first_use_capacity = graph->value_count;
    rewrite->node_use_capacity = graph->node_count;
    for (uint32_t v = 0; status == HE_OK && v < graph->value_count; v++)
        rewrite->first_use[v] = HE_NONE;
    for (uint32_t n = 0; status == HE_OK && n < graph->node_count; n++)
        status = add_uses(rewrite, n);
    if (status != HE_OK)
        he_arena_fini(&rewrite->scratch);
    return status;
}

void he_rewrite_end(struct he_rewrite *rewrite)
{
    he_arena_fini(&rewrite->scratch);
}

uint32_t he_rewrite_use_count(const struct he_rewrite *rewrite, uint32_t value)
{
    uint32_t count = rewrite->graph->values[value].is_output;

    for (uint32_t u = rewrite->first_use[value]; u != HE_NONE; u = rewrite->uses[u].next)
        count++;
    return count;
}

uint32_t he_rewrite_sole_reader(const struct he_rewrite *rewrite, uint32_t value)
{
    uint32_t use = rewrite->first_use[value];

    if (use == HE_NONE || rewrite->uses[use].next != HE_NONE ||
        rewrite->graph->values[value].is_output)
        return HE_NONE;
    return rewrite->uses[use].node;
}

uint32_t he_rewrite_maker(const struct he_rewrite *rewrite, uint32_t value, const char *op)
{
    uint32_t maker = value == HE_NONE ? HE_NONE : rewrite->graph->values[value].producer;

    return maker != HE_NONE && he_node_is(&rewrite->graph->nodes[maker], op) ? maker : HE_NONE;
}

uint32_t he_rewrite_link(const struct he_rewrite *rewrite, uint32_t value, const char *op)
{
    uint32_t maker = he_rewrite_maker(rewrite, value, op);

    return maker != HE_NONE && he_rewrite_sole_reader(rewrite, value) != HE_NONE ? maker : HE_NONE;
}

void he_rewrite_set_input(struct he_rewrite *rewrite, uint32_t n, uint32_t slot, uint32_t value)
{
    struct he_node *node = &rewrite->graph->nodes[n];
    uint32_t use = rewrite->node_uses[n] + slot;

    if (node->inputs[slot] != HE_NONE)
        unlink_use(rewrite, use, node->inputs[slot]);
    node->inputs[slot] = value;
    if (value != HE_NONE)
        link_use(rewrite, use, value);
}

static void drop_inputs(struct he_rewrite *rewrite, uint32_t n)
{
    for (uint32_t k = 0; k < rewrite->graph->nodes[n].input_count; k++)
        he_rewrite_set_input(rewrite, n, k, HE_NONE);
}

he_status he_rewrite_become(struct he_rewrite *rewrite, uint32_t n, const char *op, int opset,
                            const uint32_t *inputs, uint32_t input_count, struct he_attr *attrs,
                            uint32_t attr_count)
{
    struct he_node *node = &rewrite->graph->nodes[n];
    uint32_t *row = he_graph_indices(rewrite->graph, input_count);

    if (!row)
        return he_no_memory();
    memcpy(row, inputs, input_count * sizeof *row);
    drop_inputs(rewrite, n);
    node->op = op;
    node->domain = "";
    node->opset = opset;
    node->inputs = row;
    node->input_count = node->explicit_input_count = input_count;
    node->output_count = 1;
    node->attrs = attrs;
    node->attr_count = attr_count;
    rewrite->changed = true;
    return add_uses(rewrite, n);
}

/* Lists for one more value. */
static he_status grow_values(struct he_rewrite *rewrite)
{
    void *array = rewrite->first_use;
    he_status status = he_arena_grow(&rewrite->scratch, &array, &rewrite->first_use_capacity,
                                     rewrite->graph->value_count, sizeof *rewrite->first_use);

    if (status != HE_OK)
        return status;
    rewrite->first_use = array;
    rewrite->first_use[rewrite->graph->value_count] = HE_NONE;
    return HE_OK;
}

he_status he_rewrite_add_node(struct he_rewrite *rewrite, const char *op, int opset,
                              const uint32_t *inputs, uint32_t input_count, uint32_t like,
                              uint32_t *out)
{
    struct he_graph *graph = rewrite->graph;
    void *array = rewrite->node_uses;
    uint32_t value, *outputs = he_graph_indices(graph, 1);
    he_status status;

    if (!outputs)
        return he_no_memory();
    status = he_arena_grow(&rewrite->scratch, &array, &rewrite->node_use_capacity,
                           graph->node_count, sizeof *rewrite->node_uses);
    if (status == HE_OK) {
        rewrite->node_uses = array;
        status = grow_values(rewrite);
    }
    if (status == HE_OK)
        status = he_graph_add_value(graph, "", &value);
    if (status == HE_OK)
        status = he_graph_add_node(graph, out);
    if (status != HE_OK)
        return status;
    graph->values[value].dtype = graph->values[like].dtype;
    graph->values[value].shape = graph->values[like].shape;
    graph->values[value].producer = *out;
    outputs[0] = value;
    rewrite->node_uses[*out] = rewrite->use_count;
    rewrite->is_unsorted = true;
    graph->nodes[*out].outputs = outputs;
    return he_rewrite_become(rewrite, *out, op, opset, inputs, input_count, NULL, 0);
}

void he_rewrite_remove(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_node *node = &rewrite->graph->nodes[n];

    drop_inputs(rewrite, n);
    for (uint32_t k = 0; k < node->output_count; k++)
        if (he_node_has_output(node, k) && rewrite->graph->values[node->outputs[k]].producer == n)
            rewrite->graph->values[node->outputs[k]].producer = HE_NONE;
    node->op = NULL;
    rewrite->changed = true;
}

static void move_readers(struct he_rewrite *rewrite, uint32_t from, uint32_t to)
{
    while (rewrite->first_use[from] != HE_NONE) {
        const struct he_use *use = &rewrite->uses[rewrite->first_use[from]];

        he_rewrite_set_input(rewrite, use->node, use->slot, to);
    }
}

bool he_rewrite_bypass(struct he_rewrite *rewrite, uint32_t n, uint32_t value)
{
    struct he_graph *graph = rewrite->graph;
    uint32_t output = graph->nodes[n].outputs[0];
    uint32_t maker = graph->values[value].producer;
    struct he_node *node;

    if (!graph->values[output].is_output) {
        move_readers(rewrite, output, value);
        he_rewrite_remove(rewrite, n);
        return true;
    }
    if (maker == HE_NONE || graph->values[value].is_output)
        return false;
    /* The output keeps its index: who made @value makes it now. */
    he_rewrite_remove(rewrite, n);
    node = &graph->nodes[maker];
    for (uint32_t k = 0; k < node->output_count; k++)
        if (node->outputs[k] == value)
            node->outputs[k] = output;
    graph->values[output].producer = maker;
    graph->values[value].producer = HE_NONE;
    move_readers(rewrite, value, output);
    return true;
}

void he_rewrite_remove_unread(struct he_rewrite *rewrite, uint32_t n)
{
    const struct he_node *node = &rewrite->graph->nodes[n];

    if (!node->op)
        return;
    for (uint32_t k = 0; k < node->output_count; k++)
        if (he_node_has_output(node, k) && he_rewrite_use_count(rewrite, node->outputs[k]))
            return;
    he_rewrite_remove(rewrite, n);
}

he_status he_rewrite_constant(struct he_rewrite *rewrite, enum he_dtype dtype,
                              const struct he_shape *shape, void **data, uint32_t *out)
{
    struct he_graph *graph = rewrite->graph;
    int64_t bytes = he_shape_bytes(shape, dtype);
    he_status status;

    if (bytes < 0)
        return he_error_set(HE_ERR_INTERNAL, "a constant of unknown size");
    *data = he_arena_alloc(he_graph_arena(graph), (size_t)bytes, 1);
    if (!*data)
        return he_no_memory();
    status = grow_values(rewrite);
    if (status == HE_OK)
        status = he_graph_add_constant(graph, "", dtype, shape, *data, (size_t)bytes, out);
    if (status == HE_OK) /* it was looked at before the caller has filled it */
        graph->values[*out].has_known_ints = false;
    return status;
}

he_status he_rewrite_view_constant(struct he_rewrite *rewrite, uint32_t from,
                                   const struct he_shape *shape, uint32_t *out)
{
    const struct he_shape own = *shape; /* it may be that of a value, which moves */
    he_status status = grow_values(rewrite);
    const struct he_value *value = &rewrite->graph->values[from];

    if (status != HE_OK)
        return status;
    return he_graph_add_constant(rewrite->graph, "", value->dtype, &own, value->data,
                                 value->data_bytes, out);
}

struct he_attr *he_rewrite_attrs(struct he_rewrite *rewrite, uint32_t count)
{
    return he_arena_alloc(he_graph_arena(rewrite->graph), count, sizeof(struct he_attr));
}

bool he_constant_scalar(const struct he_value *value, float *out)
{
    if (!value || !value->data || value->dtype != HE_FLOAT32 || he_shape_count(&value->shape) != 1)
        return false;
    *out = he_constant_float(value, 0);
    return true;
}

bool he_constant_is(const struct he_value *value, float expected)
{
    float found;

    return he_constant_scalar(value, &found) &&
           fabsf(found - expected) <= 4e-7f * fmaxf(1.0f, fabsf(expected));
}
