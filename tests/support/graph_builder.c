/* SPDX-License-Identifier: Apache-2.0 */
/* Small graphs by hand. Arrays have their full size from the start, so nothing ever moves. */
#include "support/graph_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES 256
#define MAX_NODES 128
#define MAX_ENDS 64  /* inputs and outputs of a graph or a node */
#define MAX_ATTRS 8

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        abort();
    return memory;
}

static void *copy(const void *data, size_t bytes)
{
    void *memory = need(bytes + !bytes, 1);

    if (bytes)
        memcpy(memory, data, bytes);
    return memory;
}

static void check(bool is_fine, const char *what)
{
    if (is_fine)
        return;
    fprintf(stderr, "graph_builder: %s\n", what);
    abort();
}

struct he_graph *build_graph(const char *name)
{
    struct he_graph *graph = need(1, sizeof *graph);

    graph->name = name;
    graph->values = need(MAX_VALUES, sizeof *graph->values);
    graph->nodes = need(MAX_NODES, sizeof *graph->nodes);
    graph->inputs = need(MAX_ENDS, sizeof *graph->inputs);
    graph->outputs = need(MAX_ENDS, sizeof *graph->outputs);
    return graph;
}

static void free_tasks(struct he_graph *graph)
{
    uint32_t k;

    for (k = 0; k < graph->task_count; k++) {
        free(graph->tasks[k].nodes);
        free(graph->tasks[k].inputs);
        free(graph->tasks[k].outputs);
    }
    free(graph->tasks);
    graph->tasks = NULL;
    graph->task_count = 0;
}

void build_free(struct he_graph *graph)
{
    struct he_attr *attr;
    uint32_t k, a;

    if (!graph)
        return;
    free_tasks(graph);
    for (k = 0; k < graph->node_count; k++) {
        for (a = 0; a < graph->nodes[k].attr_count; a++) {
            attr = &graph->nodes[k].attrs[a];
            free((void *)(uintptr_t)attr->ints);
            build_free(attr->graph);
        }
        free(graph->nodes[k].attrs);
        free(graph->nodes[k].inputs);
        free(graph->nodes[k].outputs);
    }
    for (k = 0; k < graph->value_count; k++)
        free((void *)(uintptr_t)graph->values[k].data);
    free(graph->values);
    free(graph->nodes);
    free(graph->inputs);
    free(graph->outputs);
    free(graph);
}

struct he_shape build_shape(const char *text)
{
    struct he_shape shape = { .rank = 0 };
    char *end;

    if (*text == '*')
        return (struct he_shape){ .rank = HE_RANK_UNKNOWN };
    while (*text) {
        if (*text == '?') {
            shape.dims[shape.rank++] = HE_DIM_UNKNOWN;
            text++;
        } else {
            shape.dims[shape.rank++] = strtoll(text, &end, 10);
            check(end != text, "a shape that cannot be read");
            text = end;
        }
        text += *text == ',';
    }
    return shape;
}

uint32_t build_value(struct he_graph *graph, const char *name, enum he_dtype dtype,
                     const char *shape)
{
    check(graph->value_count < MAX_VALUES, "too many values");
    graph->values[graph->value_count] = (struct he_value){
        .name = name, .dtype = dtype, .shape = build_shape(shape), .producer = HE_NONE };
    return graph->value_count++;
}

uint32_t build_input(struct he_graph *graph, const char *name, enum he_dtype dtype,
                     const char *shape)
{
    uint32_t value = build_value(graph, name, dtype, shape);

    check(graph->input_count < MAX_ENDS, "too many inputs");
    graph->values[value].is_input = true;
    graph->inputs[graph->input_count++] = value;
    return value;
}

uint32_t build_capture(struct he_graph *graph, const char *name, enum he_dtype dtype,
                       const char *shape)
{
    graph->capture_count++;
    return build_input(graph, name, dtype, shape);
}

uint32_t build_constant(struct he_graph *graph, const char *name, enum he_dtype dtype,
                        const char *shape, const void *data)
{
    uint32_t index = build_value(graph, name, dtype, shape);
    struct he_value *value = &graph->values[index];

    value->data_bytes = (size_t)he_shape_bytes(&value->shape, dtype);
    value->data = copy(data, value->data_bytes);
    return index;
}

void build_output(struct he_graph *graph, uint32_t value)
{
    check(graph->output_count < MAX_ENDS, "too many outputs");
    graph->values[value].is_output = true;
    graph->outputs[graph->output_count++] = value;
}

uint32_t build_node(struct he_graph *graph, const char *op, uint32_t input_count,
                    const uint32_t *inputs, uint32_t output_count, const uint32_t *outputs)
{
    struct he_node *node = &graph->nodes[graph->node_count];
    uint32_t k;

    check(graph->node_count < MAX_NODES && input_count < MAX_ENDS, "too many nodes or inputs");
    node->name = "";
    node->op = op;
    node->domain = "";
    node->opset = 17;
    node->inputs = need(MAX_ENDS, sizeof *node->inputs);
    memcpy(node->inputs, inputs, input_count * sizeof *inputs);
    node->input_count = node->explicit_input_count = input_count;
    node->outputs = copy(outputs, output_count * sizeof *outputs);
    node->output_count = output_count;
    node->attrs = need(MAX_ATTRS, sizeof *node->attrs);
    for (k = 0; k < output_count; k++)
        if (outputs[k] != HE_NONE)
            graph->values[outputs[k]].producer = graph->node_count;
    return graph->node_count++;
}

static struct he_attr *add_attr(struct he_graph *graph, uint32_t node, const char *name,
                                enum he_attr_kind kind)
{
    struct he_attr *attr = &graph->nodes[node].attrs[graph->nodes[node].attr_count];

    check(graph->nodes[node].attr_count++ < MAX_ATTRS, "too many attributes");
    attr->name = name;
    attr->kind = kind;
    return attr;
}

void build_int(struct he_graph *graph, uint32_t node, const char *name, int64_t value)
{
    add_attr(graph, node, name, HE_ATTR_INT)->i = value;
}

void build_float(struct he_graph *graph, uint32_t node, const char *name, float value)
{
    add_attr(graph, node, name, HE_ATTR_FLOAT)->f = value;
}

void build_string(struct he_graph *graph, uint32_t node, const char *name, const char *value)
{
    struct he_attr *attr = add_attr(graph, node, name, HE_ATTR_STRING);

    attr->s = value;
    attr->s_bytes = strlen(value);
}

void build_ints(struct he_graph *graph, uint32_t node, const char *name, size_t count,
                const int64_t *values)
{
    struct he_attr *attr = add_attr(graph, node, name, HE_ATTR_INTS);

    attr->ints = copy(values, count * sizeof *values);
    attr->count = count;
}

void build_body(struct he_graph *graph, uint32_t node, const char *name, struct he_graph *body,
                uint32_t capture_count, const uint32_t *captures)
{
    struct he_node *n = &graph->nodes[node];

    check(capture_count == body->capture_count, "captures do not fit");
    check(n->input_count + capture_count <= MAX_ENDS, "too many inputs");
    add_attr(graph, node, name, HE_ATTR_GRAPH)->graph = body;
    if (capture_count)
        memcpy(n->inputs + n->input_count, captures, capture_count * sizeof *captures);
    n->input_count += capture_count;
}

/* --- Tasks --- */

static bool has(const uint32_t *list, uint32_t count, uint32_t value)
{
    uint32_t k;

    for (k = 0; k < count; k++)
        if (list[k] == value)
            return true;
    return false;
}

static bool is_read_outside(const struct he_graph *graph, const struct he_task *task,
                            uint32_t value)
{
    uint32_t n;

    if (graph->values[value].is_output)
        return true;
    for (n = 0; n < graph->node_count; n++)
        if (!has(task->nodes, task->node_count, n) &&
            has(graph->nodes[n].inputs, graph->nodes[n].input_count, value))
            return true;
    return false;
}

/* Lists what the task reads and gives. */
static void finish_task(struct he_graph *graph, uint32_t index)
{
    struct he_task *task = &graph->tasks[index];
    const struct he_node *node;
    const struct he_value *value;
    uint32_t n, k, v;

    task->inputs = need(MAX_ENDS, sizeof *task->inputs);
    task->outputs = need(MAX_ENDS, sizeof *task->outputs);
    task->anchor = task->nodes[0];
    for (n = 0; n < task->node_count; n++) {
        node = &graph->nodes[task->nodes[n]];
        graph->nodes[task->nodes[n]].task = index;
        for (k = 0; k < node->input_count; k++) {
            v = node->inputs[k];
            if (v == HE_NONE || graph->values[v].data ||
                has(task->inputs, task->input_count, v) ||
                (graph->values[v].producer != HE_NONE &&
                 has(task->nodes, task->node_count, graph->values[v].producer)))
                continue;
            task->inputs[task->input_count++] = v;
        }
        for (k = 0; k < node->output_count; k++) {
            v = node->outputs[k];
            if (v == HE_NONE || !is_read_outside(graph, task, v))
                continue;
            value = &graph->values[v];
            task->outputs[task->output_count++] = v;
            task->is_dynamic |= !he_shape_is_static(&value->shape);
        }
    }
}

void build_tasks(struct he_graph *graph)
{
    uint32_t k;

    free_tasks(graph);
    graph->tasks = need(graph->node_count + 1, sizeof *graph->tasks);
    graph->task_count = graph->node_count;
    for (k = 0; k < graph->node_count; k++) {
        graph->tasks[k].nodes = need(MAX_NODES, sizeof(uint32_t));
        graph->tasks[k].nodes[0] = k;
        graph->tasks[k].node_count = 1;
        finish_task(graph, k);
    }
}

void build_fuse(struct he_graph *graph, uint32_t count)
{
    uint32_t first = graph->task_count - count, k, n;
    struct he_task *into = &graph->tasks[first], *task;

    for (k = first + 1; k < graph->task_count; k++) {
        task = &graph->tasks[k];
        for (n = 0; n < task->node_count; n++)
            into->nodes[into->node_count++] = task->nodes[n];
        free(task->nodes);
        free(task->inputs);
        free(task->outputs);
    }
    free(into->inputs);
    free(into->outputs);
    into->input_count = into->output_count = 0;
    graph->task_count = first + 1;
    finish_task(graph, first);
}
