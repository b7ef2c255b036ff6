/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topological order, by depth-first search with an explicit stack: nodes are
 * visited in the order they stand in, each behind its producers, so that a
 * graph already in order stays as it is.
 */
#include "graph/store.h"

enum { UNSEEN, OPEN, DONE };

struct visit {
    uint32_t node, next_input;
};

he_status he_graph_sort(struct he_graph *graph)
{
    struct he_arena scratch;
    uint32_t count = graph->node_count, done = 0;
    struct visit *stack;
    uint8_t *state;
    struct he_node *sorted;
    uint32_t *place;
    he_status status = HE_OK;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    stack = he_arena_alloc(&scratch, count, sizeof *stack);
    state = he_arena_alloc(&scratch, count, sizeof *state);
    sorted = he_arena_alloc(&scratch, count, sizeof *sorted);
    place = he_arena_alloc(&scratch, count, sizeof *place);
    if (!stack || !state || !sorted || !place) {
        status = he_no_memory();
        goto fini;
    }
    for (uint32_t first = 0; first < count; first++) {
        uint32_t depth = 0;

        if (state[first] != UNSEEN)
            continue;
        state[first] = OPEN;
        stack[depth++] = (struct visit){ first, 0 };
        while (depth) {
            struct visit *top = &stack[depth - 1];
            const struct he_node *node = &graph->nodes[top->node];
            uint32_t value, producer;

            if (top->next_input == node->input_count) {
                state[top->node] = DONE;
                place[top->node] = done;
                sorted[done++] = *node;
                depth--;
                continue;
            }
            value = node->inputs[top->next_input++];
            producer = value == HE_NONE ? HE_NONE : graph->values[value].producer;
            if (producer == HE_NONE || state[producer] == DONE)
                continue;
            if (state[producer] == OPEN) {
                status = he_error_set(HE_ERR_PARSE, "the graph has a cycle through '%s'",
                                      graph->values[value].name);
                status = he_node_error(graph, node, status);
                goto fini;
            }
            state[producer] = OPEN;
            stack[depth++] = (struct visit){ producer, 0 };
        }
    }
    for (uint32_t k = 0; k < count; k++)
        graph->nodes[k] = sorted[k];
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].producer != HE_NONE)
            graph->values[v].producer = place[graph->values[v].producer];
fini:
    he_arena_fini(&scratch);
    return status;
}
