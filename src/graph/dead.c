/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes what nobody reads: nodes none of whose outputs reach a graph output,
 * outputs of living nodes that nobody asked for, captures a body does not use, and
 * values nothing refers to. What is left keeps its order and gets new numbers.
 * Inputs of the root stay: they are its interface.
 */
#include "graph/store.h"

struct dead {
    struct he_graph *graph;
    bool *node_lives;
    bool *value_is_read; /* by a living node, or an output */
    uint32_t *values;    /* old -> new, HE_NONE when gone */
};

/* Drops captures of @node's bodies that the bodies no longer read. */
static void drop_captures(struct he_node *node)
{
    uint32_t from = node->explicit_input_count, to = from;
    struct he_graph *body;

    for (uint32_t b = 0; (body = he_node_body(node, b)); b++) {
        uint32_t first = body->input_count - body->capture_count, kept = 0;

        for (uint32_t k = 0; k < body->capture_count; k++, from++) {
            uint32_t inner = body->inputs[first + k];
            bool is_read = body->values[inner].is_output;

            for (uint32_t n = 0; n < body->node_count && !is_read; n++)
                for (uint32_t i = 0; i < body->nodes[n].input_count; i++)
                    is_read |= body->nodes[n].inputs[i] == inner;
            if (!is_read) {
                body->values[inner].is_input = false;
                continue;
            }
            body->inputs[first + kept++] = inner;
            node->inputs[to++] = node->inputs[from];
        }
        body->capture_count = kept;
        body->input_count = first + kept;
    }
    node->input_count = to;
}

static he_status mark(struct dead *dead)
{
    struct he_graph *graph = dead->graph;

    for (uint32_t k = 0; k < graph->output_count; k++)
        dead->value_is_read[graph->outputs[k]] = true;
    for (uint32_t n = graph->node_count; n-- > 0;) {
        struct he_node *node = &graph->nodes[n];

        for (uint32_t k = 0; node->op && k < node->output_count; k++)
            if (he_node_has_output(node, k) && dead->value_is_read[node->outputs[k]])
                dead->node_lives[n] = true;
        if (!dead->node_lives[n])
            continue;
        for (uint32_t b = 0; he_node_body(node, b); b++) {
            he_status status = he_graph_remove_dead(he_node_body(node, b));

            if (status != HE_OK)
                return status;
        }
        drop_captures(node);
        for (uint32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] != HE_NONE)
                dead->value_is_read[node->inputs[k]] = true;
        for (uint32_t k = 0; k < node->output_count; k++)
            if (he_node_has_output(node, k) && !dead->value_is_read[node->outputs[k]])
                node->outputs[k] = HE_NONE;
    }
    return HE_OK;
}

static void compact(struct dead *dead)
{
    struct he_graph *graph = dead->graph;
    uint32_t values = 0, nodes = 0;

    for (uint32_t v = 0; v < graph->value_count; v++) {
        dead->values[v] = HE_NONE;
        if (!dead->value_is_read[v] && !graph->values[v].is_input)
            continue;
        graph->values[values] = graph->values[v];
        graph->values[values].producer = HE_NONE;
        dead->values[v] = values++;
    }
    graph->value_count = values;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        struct he_node *node = &graph->nodes[nodes];

        if (!dead->node_lives[n])
            continue;
        *node = graph->nodes[n];
        for (uint32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] != HE_NONE)
                node->inputs[k] = dead->values[node->inputs[k]];
        for (uint32_t k = 0; k < node->output_count; k++) {
            if (node->outputs[k] == HE_NONE)
                continue;
            node->outputs[k] = dead->values[node->outputs[k]];
            graph->values[node->outputs[k]].producer = nodes;
        }
        nodes++;
    }
    graph->node_count = nodes;
    for (uint32_t k = 0; k < graph->input_count; k++)
        graph->inputs[k] = dead->values[graph->inputs[k]];
    for (uint32_t k = 0; k < graph->output_count; k++)
        graph->outputs[k] = dead->values[graph->outputs[k]];
}

he_status he_graph_remove_dead(struct he_graph *graph)
{
    struct he_arena scratch;
    struct dead dead = { .graph = graph };
    he_status status;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    dead.node_lives = he_arena_alloc(&scratch, graph->node_count, sizeof *dead.node_lives);
    dead.value_is_read = he_arena_alloc(&scratch, graph->value_count, sizeof *dead.value_is_read);
    dead.values = he_arena_alloc(&scratch, graph->value_count, sizeof *dead.values);
    if (dead.node_lives && dead.value_is_read && dead.values) {
        status = mark(&dead);
        if (status == HE_OK)
            compact(&dead);
    } else {
        status = he_no_memory();
    }
    he_arena_fini(&scratch);
    graph->tasks = NULL; /* they spoke of the old numbers */
    graph->task_count = 0;
    return status;
}
