/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a whole graph as one region of one device. */
#include "support/region_runner.h"

#include <stdlib.h>
#include <string.h>

#include "support/graph_builder.h"

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);

    if (!memory)
        abort();
    return memory;
}

static void add_slot(struct region_runner *run, uint32_t value)
{
    const struct he_value *v = &run->region.graph->values[value];

    if (v->data || runner_slot(run, value) != HE_NONE)
        return;
    run->slots[run->region.slot_count++] = (struct he_slot){
        .value = value,
        .role = v->is_input ? HE_SLOT_INPUT : v->is_output ? HE_SLOT_OUTPUT : HE_SLOT_INTERIOR,
        .alias = HE_NONE,
        .is_dynamic = !he_shape_is_static(&v->shape),
    };
}

void runner_init(struct region_runner *run, struct he_device *dev, const struct he_allocator *alloc,
                 const struct he_graph *graph)
{
    uint32_t t, k;

    *run = (struct region_runner){ .dev = dev, .alloc = *alloc };
    run->tasks = need(graph->task_count, sizeof *run->tasks);
    run->slots = need(graph->value_count, sizeof *run->slots);
    run->region = (struct he_region){ .graph = graph,
                                      .tasks = run->tasks,
                                      .task_count = graph->task_count,
                                      .slots = run->slots };
    for (t = 0; t < graph->task_count; t++) {
        run->tasks[t] = t;
        for (k = 0; k < graph->tasks[t].input_count; k++)
            add_slot(run, graph->tasks[t].inputs[k]);
        for (k = 0; k < graph->tasks[t].output_count; k++)
            add_slot(run, graph->tasks[t].outputs[k]);
    }
}

uint32_t runner_slot(const struct region_runner *run, uint32_t value)
{
    uint32_t k;

    for (k = 0; k < run->region.slot_count; k++)
        if (run->slots[k].value == value)
            return k;
    return HE_NONE;
}

static he_status open_instance(struct region_runner *run, uint32_t i)
{
    uint32_t count = run->region.slot_count, k;
    struct he_binding *bindings = need(count, sizeof *bindings);
    const struct he_value *value;
    size_t index, bytes;
    he_status status;

    for (k = 0; k < count; k++) {
        index = (size_t)i * count + k;
        value = &run->region.graph->values[run->slots[k].value];
        if (run->slots[k].is_dynamic) {
            bindings[k].dynamic = &run->dynamic[index];
        } else if (run->slots[k].alias != HE_NONE) {
            bindings[k].buffer = run->memory[(size_t)i * count + run->slots[k].alias];
        } else {
            bytes = (size_t)he_shape_bytes(&value->shape, value->dtype);
            run->memory[index] = aligned_alloc(64, (bytes + 64) & ~(size_t)63);
            bindings[k].buffer = run->memory[index];
            memset(run->memory[index], 0x5a, bytes);
        }
    }
    if (run->info.workspace_bytes)
        run->workspaces[i] = aligned_alloc(64, (run->info.workspace_bytes + 63) & ~(size_t)63);
    status = he_device_bind(run->dev, run->program, bindings, run->workspaces[i], 0,
                            &run->instances[i]);
    free(bindings);
    return status;
}

he_status runner_open(struct region_runner *run, uint32_t instance_count)
{
    uint32_t count = run->region.slot_count, i;
    he_status status = he_device_compile(run->dev, &run->region, &run->program);

    if (status == HE_OK)
        status = he_device_program_info(run->dev, run->program, &run->info);
    if (status != HE_OK)
        return status;
    run->memory = need((size_t)count * instance_count, sizeof *run->memory);
    run->dynamic = need((size_t)count * instance_count, sizeof *run->dynamic);
    for (i = 0; i < instance_count && status == HE_OK; i++) {
        run->instance_count++;
        status = open_instance(run, i);
    }
    return status;
}

void runner_close(struct region_runner *run)
{
    size_t k, total = (size_t)run->region.slot_count * run->instance_count;

    for (k = 0; k < run->instance_count; k++) {
        he_device_instance_free(run->dev, run->instances[k]);
        free(run->workspaces[k]);
    }
    he_device_program_free(run->dev, run->program);
    for (k = 0; k < total; k++) {
        free(run->memory[k]);
        run->alloc.free(run->alloc.self, run->dynamic[k].data);
    }
    free(run->memory);
    free(run->dynamic);
    free(run->tasks);
    free(run->slots);
    *run = (struct region_runner){ 0 };
}

he_status runner_set(struct region_runner *run, uint32_t instance, uint32_t value,
                     const char *shape, const void *data)
{
    uint32_t slot = runner_slot(run, value);
    size_t index = (size_t)instance * run->region.slot_count + slot;
    const struct he_value *v = &run->region.graph->values[value];
    struct he_dynamic_tensor *tensor = &run->dynamic[index];
    int64_t bytes;

    if (!run->slots[slot].is_dynamic) {
        memcpy(run->memory[index], data, (size_t)he_shape_bytes(&v->shape, v->dtype));
        return HE_OK;
    }
    tensor->dtype = v->dtype;
    tensor->shape = build_shape(shape);
    bytes = he_shape_bytes(&tensor->shape, v->dtype);
    run->alloc.free(run->alloc.self, tensor->data);
    tensor->capacity = (size_t)bytes;
    tensor->data = run->alloc.alloc(run->alloc.self, (size_t)bytes + 1);
    if (!tensor->data)
        return HE_ERR_NO_MEMORY;
    memcpy(tensor->data, data, (size_t)bytes);
    return HE_OK;
}

he_status runner_launch(struct region_runner *run, uint32_t instance)
{
    struct he_launch launch = { .struct_size = sizeof launch };

    return he_device_launch(run->dev, run->instances[instance], &launch);
}

struct he_tensor runner_get(const struct region_runner *run, uint32_t instance, uint32_t value)
{
    uint32_t slot = runner_slot(run, value);
    size_t index = (size_t)instance * run->region.slot_count + slot;
    const struct he_value *v = &run->region.graph->values[value];
    const struct he_dynamic_tensor *tensor = &run->dynamic[index];

    if (run->slots[slot].is_dynamic)
        return he_tensor_dense(tensor->dtype, &tensor->shape, tensor->data);
    if (run->slots[slot].alias != HE_NONE)
        index = (size_t)instance * run->region.slot_count + run->slots[slot].alias;
    return he_tensor_dense(v->dtype, &v->shape, run->memory[index]);
}
