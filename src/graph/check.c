/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An independent look at a graph: indices in range, each value made once and before
 * it is read, captures in step with the node that holds the body, and tasks that
 * cover every node once, in order. What it finds is a bug of ours.
 */
#include "graph/store.h"

#include <string.h>

static he_status broken(const struct he_graph *graph, const char *what, uint32_t index)
{
    return he_error_set(HE_ERR_INTERNAL, "graph '%s' is broken: %s (%u)", graph->name, what, index);
}

static he_status check_interface(const struct he_graph *graph)
{
    if (graph->capture_count > graph->input_count)
        return broken(graph, "more captures than inputs", graph->capture_count);
    for (uint32_t k = 0; k < graph->input_count; k++) {
        uint32_t v = graph->inputs[k];

        if (v >= graph->value_count)
            return broken(graph, "an input is no value", k);
        if (!graph->values[v].is_input || graph->values[v].producer != HE_NONE ||
            graph->values[v].data)
            return broken(graph, "an input is marked as something else", k);
        for (uint32_t other = 0; other < k && graph->input_count < 1000; other++)
            if (graph->inputs[other] == v)
                return broken(graph, "an input stands there twice", k);
    }
    for (uint32_t k = 0; k < graph->output_count; k++) {
        uint32_t v = graph->outputs[k];

        if (v >= graph->value_count)
            return broken(graph, "an output is no value", k);
        if (!graph->values[v].is_output || graph->values[v].producer == HE_NONE)
            return broken(graph, "an output has no producer", k);
    }
    return HE_OK;
}

static he_status check_bodies(const struct he_graph *graph, const struct he_node *node, uint32_t n)
{
    uint32_t slot = node->explicit_input_count;
    const struct he_graph *body;

    for (uint32_t b = 0; (body = he_node_body(node, b)); b++) {
        he_status status = he_graph_check(body);

        if (status != HE_OK)
            return status;
        if (body->capture_count > node->input_count - slot)
            return broken(graph, "a body captures more than its node passes", n);
        for (uint32_t k = 0; k < body->capture_count; k++, slot++)
            if (node->inputs[slot] == HE_NONE)
                return broken(graph, "a capture is omitted", n);
    }
    return slot == node->input_count ? HE_OK : broken(graph, "captures without a body", n);
}

static he_status check_nodes(const struct he_graph *graph, uint32_t *made_by)
{
    for (uint32_t v = 0; v < graph->value_count; v++)
        made_by[v] = HE_NONE;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct he_node *node = &graph->nodes[n];
        he_status status;

        if (!node->op || !node->domain || !node->name)
            return broken(graph, "a node has no operator", n);
        if (node->explicit_input_count > node->input_count)
            return broken(graph, "more explicit inputs than inputs", n);
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = node->inputs[k];

            if (v == HE_NONE)
                continue;
            if (v >= graph->value_count)
                return broken(graph, "a node reads what is no value", n);
            if (made_by[v] == HE_NONE && !graph->values[v].is_input && !graph->values[v].data)
                return broken(graph, "a node reads what is not made before it", n);
        }
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = node->outputs[k];

            if (v == HE_NONE)
                continue;
            if (v >= graph->value_count)
                return broken(graph, "a node makes what is no value", n);
            if (made_by[v] != HE_NONE || graph->values[v].is_input || graph->values[v].data)
                return broken(graph, "a value is made twice", v);
            if (graph->values[v].producer != n)
                return broken(graph, "a value names another producer", v);
            made_by[v] = n;
        }
        status = check_bodies(graph, node, n);
        if (status != HE_OK)
            return status;
    }
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].producer != made_by[v])
            return broken(graph, "a value's producer does not make it", v);
    return HE_OK;
}

/* @ready[v]: some task before has given it. */
static he_status check_tasks(const struct he_graph *graph, bool *ready, bool *placed)
{
    uint32_t covered = 0;

    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct he_task *task = &graph->tasks[t];
        bool has_anchor = false;

        for (uint32_t k = 0; k < task->input_count; k++)
            if (task->inputs[k] >= graph->value_count ||
                !(ready[task->inputs[k]] || graph->values[task->inputs[k]].is_input))
                return broken(graph, "a task reads what no task before it gives", t);
        for (uint32_t k = 0; k < task->node_count; k++) {
            uint32_t n = task->nodes[k];

            if (n >= graph->node_count || placed[n] || graph->nodes[n].task != t)
                return broken(graph, "a node is not in exactly one task", t);
            if (k && n <= task->nodes[k - 1])
                return broken(graph, "nodes of a task are out of order", t);
            has_anchor |= n == task->anchor;
            placed[n] = true;
            covered++;
        }
        if (!has_anchor)
            return broken(graph, "a task's anchor is not its own", t);
        for (uint32_t k = 0; k < task->output_count; k++) {
            uint32_t v = task->outputs[k];

            if (v >= graph->value_count || graph->values[v].producer == HE_NONE ||
                graph->nodes[graph->values[v].producer].task != t)
                return broken(graph, "a task gives what it does not make", t);
            ready[v] = true;
        }
    }
    if (graph->task_count && covered != graph->node_count)
        return broken(graph, "nodes in no task", graph->node_count - covered);
    /* Nothing a task needs may be missing from its lists. */
    for (uint32_t n = 0; graph->task_count && n < graph->node_count; n++) {
        for (uint32_t k = 0; k < graph->nodes[n].input_count; k++) {
            uint32_t v = graph->nodes[n].inputs[k];

            if (v != HE_NONE && graph->values[v].producer != HE_NONE && !ready[v] &&
                graph->nodes[graph->values[v].producer].task != graph->nodes[n].task)
                return broken(graph, "a value crosses tasks but is no output", v);
        }
    }
    for (uint32_t k = 0; graph->task_count && k < graph->output_count; k++)
        if (!ready[graph->outputs[k]])
            return broken(graph, "no task gives a graph output", k);
    return HE_OK;
}

he_status he_graph_check(const struct he_graph *graph)
{
    struct he_arena scratch;
    uint32_t *made_by;
    bool *ready, *placed;
    he_status status;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    made_by = he_arena_alloc(&scratch, graph->value_count, sizeof *made_by);
    ready = he_arena_alloc(&scratch, graph->value_count, sizeof *ready);
    placed = he_arena_alloc(&scratch, graph->node_count, sizeof *placed);
    if (!made_by || !ready || !placed)
        status = he_no_memory();
    else
        status = check_interface(graph);
    if (status == HE_OK)
        status = check_nodes(graph, made_by);
    if (status == HE_OK)
        status = check_tasks(graph, ready, placed);
    he_arena_fini(&scratch);
    return status;
}
