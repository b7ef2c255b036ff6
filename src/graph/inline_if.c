/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding across the border of a body: constants go in, and the branch of a decided
 * If comes out.
 */
#include "graph/fold.h"

#include <string.h>

/* The slot of @node that passes the first capture of @body. */
static uint32_t first_capture_slot(const struct he_node *node, const struct he_graph *body)
{
    uint32_t slot = node->explicit_input_count;

    for (uint32_t b = 0; he_node_body(node, b) && he_node_body(node, b) != body; b++)
        slot += he_node_body(node, b)->capture_count;
    return slot;
}

he_status he_fold_sink_constants(struct he_graph *graph, struct he_node *node)
{
    uint32_t from = node->explicit_input_count, to = from;
    uint32_t *inputs = he_graph_indices(graph, node->input_count);
    struct he_graph *body;

    if (!inputs)
        return he_no_memory();
    memcpy(inputs, node->inputs, node->input_count * sizeof *inputs);
    for (uint32_t b = 0; (body = he_node_body(node, b)); b++) {
        uint32_t first = body->input_count - body->capture_count, kept = 0;

        for (uint32_t k = 0; k < body->capture_count; k++, from++) {
            uint32_t inner = body->inputs[first + k];
            const struct he_value *outer = &graph->values[node->inputs[from]];

            if (outer->data) {
                struct he_value *value = &body->values[inner];
                const char *name = value->name;

                *value = *outer;
                value->name = name;
                value->is_input = value->is_output = false;
                value->producer = HE_NONE;
                continue;
            }
            body->inputs[first + kept++] = inner;
            inputs[to++] = node->inputs[from];
        }
        body->capture_count = kept;
        body->input_count = first + kept;
    }
    node->inputs = inputs;
    node->input_count = to;
    return HE_OK;
}

struct he_graph *he_fold_taken_branch(const struct he_graph *graph, const struct he_node *node)
{
    const struct he_value *condition = he_node_input(graph, node, 0);
    struct he_graph *branch;

    if (!he_node_is(node, "If") || !condition || condition->dtype != HE_BOOL ||
        condition->data_bytes != 1 || !condition->data)
        return NULL;
    branch = he_node_body_named(node, *(const unsigned char *)condition->data ? "then_branch"
                                                                               : "else_branch");
    /* A branch that does not fit its node is left for inference to complain about. */
    return branch && branch->output_count >= node->output_count &&
                   branch->input_count == branch->capture_count
               ? branch
               : NULL;
}

/* Gives every value of @branch an index in the outer graph. */
static he_status map_values(struct he_graph *graph, const struct he_node *node,
                            const struct he_graph *branch, uint32_t *map)
{
    uint32_t slot = first_capture_slot(node, branch);

    for (uint32_t v = 0; v < branch->value_count; v++)
        map[v] = HE_NONE;
    for (uint32_t k = 0; k < branch->capture_count; k++)
        map[branch->inputs[k]] = node->inputs[slot + k];
    for (uint32_t k = 0; k < node->output_count; k++)
        if (he_node_has_output(node, k))
            map[branch->outputs[k]] = node->outputs[k];
    for (uint32_t v = 0; v < branch->value_count; v++) {
        he_status status;

        if (map[v] != HE_NONE)
            continue;
        status = he_graph_add_value(graph, branch->values[v].name, &map[v]);
        if (status != HE_OK)
            return status;
        graph->values[map[v]] = branch->values[v];
        graph->values[map[v]].producer = HE_NONE;
        graph->values[map[v]].is_input = graph->values[map[v]].is_output = false;
    }
    return HE_OK;
}

static he_status map_row(struct he_graph *graph, const uint32_t *map, uint32_t **row, uint32_t count)
{
    uint32_t *mapped = he_graph_indices(graph, count);

    if (!mapped)
        return he_no_memory();
    for (uint32_t k = 0; k < count; k++)
        if ((*row)[k] != HE_NONE)
            mapped[k] = map[(*row)[k]];
    *row = mapped;
    return HE_OK;
}

he_status he_fold_inline_branch(struct he_fold *fold, struct he_node *node, struct he_graph *branch)
{
    struct he_graph *graph = fold->graph;
    struct he_arena scratch;
    uint32_t *map;
    he_status status;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    map = he_arena_alloc(&scratch, branch->value_count, sizeof *map);
    status = map ? map_values(graph, node, branch, map) : he_no_memory();
    for (uint32_t n = 0; status == HE_OK && n < branch->node_count; n++) {
        struct he_node inner = branch->nodes[n];

        status = map_row(graph, map, &inner.inputs, inner.input_count);
        if (status == HE_OK)
            status = map_row(graph, map, &inner.outputs, inner.output_count);
        if (status == HE_OK)
            status = he_fold_node(fold, &inner);
    }
    he_arena_fini(&scratch);
    return status;
}
