/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one node for constant folding: a graph of that node alone, its inputs
 * constant, compiled as a region of one task and launched once.
 */
#include <stdint.h>
#include <string.h>

#include "engine/engine.h"

#define DATA_ALIGNMENT 64

struct lone_node {
    struct he_graph graph;
    struct he_node node;
    struct he_task task;
    struct he_slot *slots;
    struct he_binding *bindings;
    struct he_dynamic_tensor *dynamics;
    uint32_t slot_count;
};

static void *alloc_aligned(struct he_arena *arena, size_t bytes)
{
    char *memory = he_arena_alloc(arena, bytes + DATA_ALIGNMENT, 1);

    if (!memory)
        return NULL;
    return memory + (DATA_ALIGNMENT - (uintptr_t)memory % DATA_ALIGNMENT) % DATA_ALIGNMENT;
}

/* A result of known size is made in @results, where it stays. */
static he_status add_output(struct lone_node *lone, struct he_arena *results, uint32_t value)
{
    const struct he_value *v = &lone->graph.values[value];
    int64_t bytes = he_shape_bytes(&v->shape, v->dtype);
    uint32_t k = lone->slot_count++;

    lone->slots[k] = (struct he_slot){ .value = value, .role = HE_SLOT_OUTPUT, .alias = HE_NONE,
                                       .is_dynamic = bytes < 0 };
    if (bytes < 0) {
        lone->task.is_dynamic = true;
        lone->bindings[k].dynamic = &lone->dynamics[k];
        return HE_OK;
    }
    lone->bindings[k].buffer = alloc_aligned(results, (size_t)bytes);
    return lone->bindings[k].buffer ? HE_OK : he_no_memory();
}

/* Copies the node with its operands renumbered: inputs first, then outputs. */
static he_status isolate(const struct he_graph *graph, const struct he_node *node,
                         const struct he_tensor *inputs, struct he_arena *arena,
                         struct he_arena *results, struct lone_node *lone)
{
    uint32_t most = node->input_count + node->output_count, *zero;

    *lone = (struct lone_node){ .node = *node };
    lone->graph.values = he_arena_alloc(arena, most, sizeof *lone->graph.values);
    lone->node.inputs = he_arena_alloc(arena, node->input_count, sizeof *lone->node.inputs);
    lone->node.outputs = he_arena_alloc(arena, node->output_count, sizeof *lone->node.outputs);
    lone->slots = he_arena_alloc(arena, most, sizeof *lone->slots);
    lone->bindings = he_arena_alloc(arena, most, sizeof *lone->bindings);
    lone->dynamics = he_arena_alloc(arena, most, sizeof *lone->dynamics);
    lone->task.outputs = he_arena_alloc(arena, node->output_count, sizeof *lone->task.outputs);
    zero = he_arena_alloc(arena, 1, sizeof *zero);
    if (!lone->graph.values || !lone->node.inputs || !lone->node.outputs || !lone->slots ||
        !lone->bindings || !lone->dynamics || !lone->task.outputs || !zero)
        return he_no_memory();
    lone->graph.name = "fold";
    for (uint32_t k = 0; k < node->input_count; k++) {
        uint32_t index = lone->graph.value_count;

        lone->node.inputs[k] = HE_NONE;
        if (node->inputs[k] == HE_NONE)
            continue;
        lone->graph.values[index] = graph->values[node->inputs[k]];
        lone->graph.values[index].producer = HE_NONE;
        lone->graph.values[index].data = inputs[k].data;
        lone->node.inputs[k] = index;
        lone->graph.value_count++;
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        uint32_t index = lone->graph.value_count;
        he_status status;

        lone->node.outputs[k] = HE_NONE;
        if (node->outputs[k] == HE_NONE)
            continue;
        lone->graph.values[index] = graph->values[node->outputs[k]];
        lone->graph.values[index].producer = 0;
        lone->graph.values[index].is_output = true;
        lone->node.outputs[k] = index;
        lone->task.outputs[lone->task.output_count++] = index;
        lone->graph.value_count++;
        status = add_output(lone, results, index);
        if (status != HE_OK)
            return status;
    }
    lone->node.task = 0;
    lone->graph.nodes = &lone->node;
    lone->graph.node_count = 1;
    lone->graph.tasks = &lone->task;
    lone->graph.task_count = 1;
    lone->graph.outputs = lone->task.outputs;
    lone->graph.output_count = lone->task.output_count;
    lone->task.nodes = zero;
    lone->task.node_count = 1;
    return HE_OK;
}

static he_status run(struct he_device *dev, const struct lone_node *lone,
                     const struct he_region *region, struct he_arena *arena)
{
    void *program = NULL, *instance = NULL, *workspace = NULL;
    struct he_program_info info;
    he_status status;

    status = he_device_compile(dev, region, &program);
    if (status != HE_OK)
        return status;
    status = he_device_program_info(dev, program, &info);
    if (status == HE_OK && info.workspace_bytes) {
        workspace = alloc_aligned(arena, info.workspace_bytes);
        if (!workspace)
            status = he_no_memory();
    }
    if (status == HE_OK)
        status = he_device_bind(dev, program, lone->bindings, workspace, 0, &instance);
    if (status == HE_OK)
        status = he_device_launch(dev, instance, NULL);
    he_device_instance_free(dev, instance);
    he_device_program_free(dev, program);
    return status;
}

/* Moves the results to the arena and says their final shapes. */
static he_status collect(struct lone_node *lone, const struct he_node *node,
                         struct he_tensor *outputs, struct he_arena *arena)
{
    uint32_t slot = 0;

    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *value;
        struct he_dynamic_tensor *dynamic;
        void *data;

        outputs[k] = (struct he_tensor){ .dtype = HE_DTYPE_NONE };
        if (node->outputs[k] == HE_NONE)
            continue;
        value = &lone->graph.values[lone->node.outputs[k]];
        if (!lone->slots[slot].is_dynamic) {
            outputs[k] = he_tensor_dense(value->dtype, &value->shape, lone->bindings[slot++].buffer);
            continue;
        }
        dynamic = &lone->dynamics[slot++];
        data = alloc_aligned(arena, (size_t)he_shape_bytes(&dynamic->shape, dynamic->dtype));
        if (!data)
            return he_no_memory();
        if (dynamic->data)
            memcpy(data, dynamic->data, (size_t)he_shape_bytes(&dynamic->shape, dynamic->dtype));
        outputs[k] = he_tensor_dense(dynamic->dtype, &dynamic->shape, data);
    }
    return HE_OK;
}

static he_status evaluate(void *self, const struct he_graph *graph, const struct he_node *node,
                          const struct he_tensor *inputs, struct he_tensor *outputs,
                          struct he_arena *arena)
{
    struct he_device *dev = self;
    struct he_region region;
    struct he_arena scratch;
    struct lone_node lone;
    uint32_t first_task = 0;
    he_status status;

    he_arena_init(&scratch, &arena->alloc);
    status = isolate(graph, node, inputs, &scratch, arena, &lone);
    region = (struct he_region){ .graph = &lone.graph, .tasks = &first_task, .task_count = 1,
                                 .slots = lone.slots, .slot_count = lone.slot_count };
    if (status == HE_OK)
        status = he_device_supports(dev, &lone.graph, &lone.task);
    if (status == HE_OK)
        status = run(dev, &lone, &region, &scratch);
    if (status == HE_OK)
        status = collect(&lone, node, outputs, arena);
    for (uint32_t k = 0; k < lone.slot_count; k++) {
        /* From the device's allocator, which is the engine's, as the arena's. */
        if (lone.dynamics[k].data)
            he_free(&arena->alloc, lone.dynamics[k].data);
    }
    he_arena_fini(&scratch);
    return status;
}

struct he_evaluator he_device_evaluator(struct he_device *dev)
{
    return (struct he_evaluator){ evaluate, dev };
}
