/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placement written into the model: a device configuration "heteroengine"
 * (ONNX IR version 11) with the machine's devices; on every node a sharding of
 * its outputs (whole, on the one device) and a pipeline stage, the number of
 * changes of device on the longest way to it; and a `layer_ann` property with the
 * device's id where the author left none. Nodes that were folded or merged away go with the
 * nodes that read them.
 */
#include <string.h>

#include "core/file.h"
#include "core/map.h"
#include "core/text.h"
#include "model/model.h"
#include "plan/plan.h"
#include "plan/producers.h"

#define CONFIGURATION "heteroengine"
#define FIRST_IR_VERSION 11

struct writer {
    const struct he_plan *plan;
    struct he_arena *arena;
    struct onnx_node *nodes;
    uint32_t *task;       /* per node: whose device it takes, or HE_NONE */
    int64_t *stage;       /* per task */
    int64_t *numbers;     /* 0, 1, 2...: one-device lists point into it */
};

static he_status find_stages(struct writer *w)
{
    const struct he_problem *p = w->plan->problem;
    const uint32_t *device = w->plan->placement.device;

    w->stage = he_arena_alloc(w->arena, p->task_count, sizeof *w->stage);
    if (!w->stage && p->task_count)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++) {
        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++) {
            uint32_t from = p->edges[p->in_edges[k]].from;
            int64_t stage = w->stage[from] + (device[from] != device[t]);

            if (stage > w->stage[t])
                w->stage[t] = stage;
        }
    }
    return HE_OK;
}

/* Nodes by what they make; then, from the back, those without a task by who reads them. */
static he_status find_tasks(struct writer *w, const struct onnx_graph *source)
{
    const struct he_graph *graph = w->plan->graph;
    struct he_producers producers;
    struct he_map readers; /* name -> task of the first node that reads it */
    he_status status;

    he_map_init(&readers, w->arena);
    w->task = he_arena_alloc(w->arena, source->node_count, sizeof *w->task);
    if (!w->task && source->node_count)
        return he_no_memory();
    status = he_producers_init(&producers, graph, w->arena);
    for (size_t n = source->node_count; n-- > 0 && status == HE_OK;) {
        const struct onnx_node *node = &source->nodes[n];
        uint32_t found;

        w->task[n] = HE_NONE;
        for (size_t k = 0; k < node->output_count && w->task[n] == HE_NONE; k++) {
            uint32_t producer = he_producer_of(&producers, node->outputs[k]);

            if (producer != HE_NONE)
                w->task[n] = graph->nodes[producer].task;
            else if (*node->outputs[k] && he_map_get(&readers, node->outputs[k], &found))
                w->task[n] = found;
        }
        for (size_t k = 0; k < node->input_count && status == HE_OK; k++) {
            if (w->task[n] != HE_NONE && *node->inputs[k])
                status = he_map_put(&readers, node->inputs[k], w->task[n]);
        }
    }
    return status;
}

/* The node's other configurations, then ours. */
static he_status place_node(struct writer *w, struct onnx_node *node, uint32_t task)
{
    uint32_t device = w->plan->placement.device[task];
    struct onnx_node_device *devices =
        he_arena_alloc(w->arena, node->node_device_count + 1, sizeof *devices), *ours;
    size_t count = 0;

    if (!devices)
        return he_no_memory();
    for (size_t k = 0; k < node->node_device_count; k++) {
        if (strcmp(node->node_devices[k].configuration, CONFIGURATION) != 0)
            devices[count++] = node->node_devices[k];
    }
    ours = &devices[count++];
    ours->configuration = CONFIGURATION;
    ours->stage = w->stage[task];
    ours->shardings = he_arena_alloc(w->arena, node->output_count, sizeof *ours->shardings);
    if (!ours->shardings && node->output_count)
        return he_no_memory();
    for (size_t k = 0; k < node->output_count; k++) {
        if (*node->outputs[k])
            ours->shardings[ours->sharding_count++] = (struct onnx_sharding){
                .tensor = node->outputs[k], .devices = &w->numbers[device], .device_count = 1 };
    }
    node->node_devices = devices;
    node->node_device_count = count;
    return HE_OK;
}

static bool is_device(const struct he_problem *p, const char *text)
{
    for (uint32_t d = 0; d < p->device_count; d++) {
        if (strcmp(p->devices[d].id, text) == 0)
            return true;
    }
    return false;
}

/* An author's own annotation stays; one that names a device is taken for ours of old. */
static he_status annotate_node(struct writer *w, struct onnx_node *node, uint32_t task)
{
    const struct he_problem *p = w->plan->problem;
    struct onnx_property *properties =
        he_arena_alloc(w->arena, node->metadata_count + 1, sizeof *properties);
    size_t at = node->metadata_count;

    if (!properties)
        return he_no_memory();
    if (node->metadata_count)
        memcpy(properties, node->metadata, node->metadata_count * sizeof *properties);
    for (size_t k = 0; k < node->metadata_count; k++) {
        if (strcmp(properties[k].key, "layer_ann") != 0)
            continue;
        if (!is_device(p, properties[k].value))
            return HE_OK;
        at = k;
    }
    properties[at] =
        (struct onnx_property){ "layer_ann", p->devices[w->plan->placement.device[task]].id };
    node->metadata = properties;
    node->metadata_count += at == node->metadata_count;
    return HE_OK;
}

static he_status place_nodes(struct writer *w, struct onnx_graph *graph)
{
    he_status status = HE_OK;

    w->nodes = he_arena_alloc(w->arena, graph->node_count, sizeof *w->nodes);
    if (!w->nodes && graph->node_count)
        return he_no_memory();
    if (graph->node_count)
        memcpy(w->nodes, graph->nodes, graph->node_count * sizeof *w->nodes);
    for (size_t n = 0; n < graph->node_count && status == HE_OK; n++) {
        if (w->task[n] == HE_NONE)
            continue;
        status = place_node(w, &w->nodes[n], w->task[n]);
        if (status == HE_OK)
            status = annotate_node(w, &w->nodes[n], w->task[n]);
    }
    graph->nodes = w->nodes;
    return status;
}

static he_status add_configuration(struct writer *w, struct he_model *model)
{
    const struct he_problem *p = w->plan->problem;
    struct onnx_configuration *configurations =
        he_arena_alloc(w->arena, model->configuration_count + 1, sizeof *configurations), *ours;
    size_t count = 0;

    w->numbers = he_arena_alloc(w->arena, p->device_count, sizeof *w->numbers);
    if (!configurations || !w->numbers)
        return he_no_memory();
    for (size_t k = 0; k < model->configuration_count; k++) {
        if (strcmp(model->configurations[k].name, CONFIGURATION) != 0)
            configurations[count++] = model->configurations[k];
    }
    ours = &configurations[count++];
    ours->name = CONFIGURATION;
    ours->device_count = p->device_count;
    ours->devices = he_arena_alloc(w->arena, p->device_count, sizeof *ours->devices);
    if (!ours->devices)
        return he_no_memory();
    for (uint32_t d = 0; d < p->device_count; d++) {
        ours->devices[ours->name_count++] = p->devices[d].id;
        w->numbers[d] = d;
    }
    model->configurations = configurations;
    model->configuration_count = count;
    return HE_OK;
}

he_status he_plan_save_onnx(const struct he_plan *plan, const char *path)
{
    struct writer w = { .plan = plan };
    struct he_model placed;
    struct he_arena arena;
    struct he_text text;
    he_status status;

    if (!plan || !path)
        return he_error_set(HE_ERR_INVALID, "he_plan_save_onnx: plan or path is NULL");
    if (!plan->model)
        return he_error_set(HE_ERR_INVALID, "a plan of a bare task graph has no model to write");
    he_arena_init(&arena, &plan->arena.alloc);
    he_text_init(&text, &plan->arena.alloc);
    w.arena = &arena;
    placed = *plan->model;
    if (placed.ir_version < FIRST_IR_VERSION)
        placed.ir_version = FIRST_IR_VERSION;
    status = find_stages(&w);
    if (status == HE_OK)
        status = find_tasks(&w, &placed.graph);
    if (status == HE_OK)
        status = add_configuration(&w, &placed);
    if (status == HE_OK)
        status = place_nodes(&w, &placed.graph);
    if (status == HE_OK)
        status = he_model_write(&placed, &text);
    if (status == HE_OK)
        status = he_file_write(path, text.data, text.size);
    he_text_fini(&text);
    he_arena_fini(&arena);
    return status;
}
