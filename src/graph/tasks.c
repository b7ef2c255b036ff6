/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes become tasks. fuse.c says which nodes follow each other inside a task; here
 * the chains are numbered, and what each reads, gives and works is written down.
 *
 * Tasks stand in the order of their last nodes. That is a topological order: a task
 * is left only through the output of its last node (fuse.c), so an edge from task A
 * to task B ends at a node behind A's last and not behind B's last. By the same
 * argument no cycle of tasks can arise.
 */
#include "graph/store.h"

#include <string.h>

struct tasks {
    struct he_graph *graph;
    struct he_arena scratch;
    uint32_t *next, *previous; /* in the chain, per node */
    bool *crosses;             /* per value: read by another task than its own */
    uint32_t *seen_by;         /* per value: 1 + the task that has listed it */
    uint32_t *list;            /* room for one task's values */
};

bool he_graph_is_view(const struct he_graph *graph, const struct he_node *node, uint32_t *input)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    const struct he_value *data = he_node_input(graph, node, 0);

    if (!op || op->access != HE_ACCESS_VIEW || !data || data->data || !he_node_has_output(node, 0))
        return false;
    for (uint32_t k = 1; k < node->output_count; k++)
        if (he_node_has_output(node, k))
            return false; /* Dropout that is asked for its mask */
    if (data->dtype != graph->values[node->outputs[0]].dtype)
        return false;
    *input = node->inputs[0];
    return true;
}

static double value_bytes(const struct he_value *value)
{
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);

    return bytes < 0 ? 0 : (double)bytes;
}

/* What the bodies of a control node do: the heavier branch, or all rounds. */
static void control_work(const struct he_graph *graph, const struct he_node *node,
                         struct he_work *work)
{
    const struct he_graph *body;
    double rounds = 1;
    int64_t trips;
    size_t count;

    if (he_node_is(node, "Loop") && he_node_input(graph, node, 0) &&
        he_value_read_ints(he_node_input(graph, node, 0), &trips, 1, &count) && count == 1)
        rounds = trips > 0 ? (double)trips : 0;
    work->work_class = HE_WORK_CONTROL;
    work->is_estimate = true;
    for (uint32_t b = 0; (body = he_node_body(node, b)); b++) {
        double flops = 0, read = 0, write = 0;

        for (uint32_t t = 0; t < body->task_count; t++) {
            flops += body->tasks[t].work.flops;
            read += body->tasks[t].work.read_bytes;
            write += body->tasks[t].work.write_bytes;
        }
        work->flops = flops * rounds > work->flops ? flops * rounds : work->flops;
        work->read_bytes = read * rounds > work->read_bytes ? read * rounds : work->read_bytes;
        work->write_bytes = write * rounds > work->write_bytes ? write * rounds : work->write_bytes;
    }
}

static he_status node_work(struct tasks *tasks, const struct he_node *node, struct he_work *work)
{
    const struct he_graph *graph = tasks->graph;
    const struct he_value **inputs, **outputs;

    memset(work, 0, sizeof *work);
    if (he_node_is_control(node)) {
        control_work(graph, node, work);
        return HE_OK;
    }
    inputs = he_arena_alloc(&tasks->scratch, node->input_count, sizeof *inputs);
    outputs = he_arena_alloc(&tasks->scratch, node->output_count, sizeof *outputs);
    if (!inputs || !outputs)
        return he_no_memory();
    for (uint32_t k = 0; k < node->input_count; k++)
        inputs[k] = he_node_input(graph, node, k);
    for (uint32_t k = 0; k < node->output_count; k++)
        outputs[k] = he_node_has_output(node, k) ? &graph->values[node->outputs[k]] : NULL;
    he_op_work(node, inputs, outputs, work);
    return HE_OK;
}

/* Bytes that flow inside the task stay in registers and caches. */
static he_status task_work(struct tasks *tasks, struct he_task *task)
{
    struct he_graph *graph = tasks->graph;
    uint32_t index = (uint32_t)(task - graph->tasks), view;
    const struct he_node *only = &graph->nodes[task->nodes[0]];

    for (uint32_t k = 0; k < task->node_count; k++) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];
        struct he_work work;
        he_status status = node_work(tasks, node, &work);

        if (status != HE_OK)
            return status;
        if (task->nodes[k] == task->anchor)
            task->work.work_class = work.work_class;
        for (uint32_t i = 0; i < node->input_count; i++) {
            const struct he_value *value = he_node_input(graph, node, i);

            if (value && value->producer != HE_NONE && graph->nodes[value->producer].task == index)
                work.read_bytes -= value_bytes(value);
        }
        for (uint32_t o = 0; o < node->output_count; o++)
            if (he_node_has_output(node, o) && !tasks->crosses[node->outputs[o]] &&
                !graph->values[node->outputs[o]].is_output)
                work.write_bytes -= value_bytes(&graph->values[node->outputs[o]]);
        task->work.flops += work.flops;
        task->work.read_bytes += work.read_bytes > 0 ? work.read_bytes : 0;
        task->work.write_bytes += work.write_bytes > 0 ? work.write_bytes : 0;
        task->work.is_estimate |= work.is_estimate;
    }
    if (task->node_count == 1 && he_graph_is_view(graph, only, &view))
        task->work = (struct he_work){ .work_class = HE_WORK_NONE };
    return HE_OK;
}

/* tasks->list, @count long, for good. */
static he_status keep(struct tasks *tasks, uint32_t count, uint32_t **out, uint32_t *out_count)
{
    *out = he_arena_copy(he_graph_arena(tasks->graph), tasks->list, count * sizeof *tasks->list);
    *out_count = count;
    return *out ? HE_OK : he_no_memory();
}

static he_status list_values(struct tasks *tasks, struct he_task *task)
{
    struct he_graph *graph = tasks->graph;
    uint32_t index = (uint32_t)(task - graph->tasks), count = 0;
    he_status status;

    for (uint32_t k = 0; k < task->node_count; k++) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];

        for (uint32_t i = 0; i < node->input_count; i++) {
            uint32_t v = node->inputs[i];

            if (v == HE_NONE || tasks->seen_by[v] == index + 1)
                continue;
            tasks->seen_by[v] = index + 1;
            if (graph->values[v].data)
                task->constant_bytes += graph->values[v].data_bytes;
            else if (graph->values[v].producer == HE_NONE ||
                     graph->nodes[graph->values[v].producer].task != index)
                tasks->list[count++] = v;
        }
    }
    status = keep(tasks, count, &task->inputs, &task->input_count);
    if (status != HE_OK)
        return status;
    count = 0;
    for (uint32_t k = 0; k < task->node_count; k++) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];

        for (uint32_t o = 0; o < node->output_count; o++) {
            uint32_t v = node->outputs[o];

            if (v == HE_NONE || !(tasks->crosses[v] || graph->values[v].is_output))
                continue;
            tasks->list[count++] = v;
            if (!he_shape_is_static(&graph->values[v].shape))
                task->is_dynamic = true;
        }
    }
    return keep(tasks, count, &task->outputs, &task->output_count);
}

/* Chains -> graph->tasks with their nodes, and node->task. */
static he_status number_tasks(struct tasks *tasks)
{
    struct he_graph *graph = tasks->graph;
    uint32_t count = 0;

    for (uint32_t n = 0; n < graph->node_count; n++) {
        tasks->previous[n] = HE_NONE;
        count += tasks->next[n] == HE_NONE;
    }
    for (uint32_t n = 0; n < graph->node_count; n++)
        if (tasks->next[n] != HE_NONE)
            tasks->previous[tasks->next[n]] = n;
    graph->tasks = he_arena_alloc(he_graph_arena(graph), count, sizeof *graph->tasks);
    if (!graph->tasks)
        return he_no_memory();
    graph->task_count = count;
    count = 0;
    for (uint32_t last = 0; last < graph->node_count; last++) {
        struct he_task *task = &graph->tasks[count];
        uint32_t length = 0;

        if (tasks->next[last] != HE_NONE)
            continue;
        for (uint32_t n = last; n != HE_NONE; n = tasks->previous[n]) {
            graph->nodes[n].task = count;
            length++;
        }
        task->nodes = he_graph_indices(graph, length);
        if (!task->nodes)
            return he_no_memory();
        task->node_count = length;
        for (uint32_t n = last; n != HE_NONE; n = tasks->previous[n])
            task->nodes[--length] = n;
        task->anchor = task->nodes[0];
        count++;
    }
    return HE_OK;
}

static he_status make(struct tasks *tasks, bool fuse)
{
    struct he_graph *graph = tasks->graph;
    he_status status = HE_OK;
    size_t widest = 0;

    for (uint32_t n = 0; n < graph->node_count; n++) {
        tasks->next[n] = HE_NONE;
        widest += (size_t)graph->nodes[n].input_count + graph->nodes[n].output_count;
    }
    tasks->list = he_arena_alloc(&tasks->scratch, widest, sizeof *tasks->list);
    if (!tasks->list)
        return he_no_memory();
    if (fuse)
        status = he_graph_fuse(graph, tasks->next);
    if (status == HE_OK)
        status = number_tasks(tasks);
    for (uint32_t n = 0; status == HE_OK && n < graph->node_count; n++) {
        for (uint32_t k = 0; k < graph->nodes[n].input_count; k++) {
            const struct he_value *value = he_node_input(graph, &graph->nodes[n], k);

            if (value && value->producer != HE_NONE &&
                graph->nodes[value->producer].task != graph->nodes[n].task)
                tasks->crosses[value - graph->values] = true;
        }
    }
    for (uint32_t t = 0; status == HE_OK && t < graph->task_count; t++) {
        status = list_values(tasks, &graph->tasks[t]);
        if (status == HE_OK)
            status = task_work(tasks, &graph->tasks[t]);
    }
    return status;
}

he_status he_graph_make_own_tasks(struct he_graph *graph, bool fuse)
{
    struct tasks tasks = { .graph = graph };
    he_status status;

    he_arena_init(&tasks.scratch, &he_graph_arena(graph)->alloc);
    tasks.next = he_arena_alloc(&tasks.scratch, graph->node_count, sizeof *tasks.next);
    tasks.previous = he_arena_alloc(&tasks.scratch, graph->node_count, sizeof *tasks.previous);
    tasks.crosses = he_arena_alloc(&tasks.scratch, graph->value_count, sizeof *tasks.crosses);
    tasks.seen_by = he_arena_alloc(&tasks.scratch, graph->value_count, sizeof *tasks.seen_by);
    if (!tasks.next || !tasks.previous || !tasks.crosses || !tasks.seen_by)
        status = he_no_memory();
    else
        status = make(&tasks, fuse);
    he_arena_fini(&tasks.scratch);
    return status;
}

he_status he_graph_make_tasks(struct he_graph *graph, bool fuse)
{
    for (uint32_t n = 0; n < graph->node_count; n++) {
        for (uint32_t b = 0; he_node_body(&graph->nodes[n], b); b++) {
            he_status status = he_graph_make_tasks(he_node_body(&graph->nodes[n], b), fuse);

            if (status != HE_OK)
                return status;
        }
    }
    return he_graph_make_own_tasks(graph, fuse);
}
