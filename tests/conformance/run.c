/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as one region of one device, through the front doors of the ABI. */
#include "conformance.h"

#include <stdlib.h>
#include <string.h>

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);

    if (!memory)
        abort();
    return memory;
}

he_status test_device_write(struct he_device *dev, void *buffer, size_t offset, const void *data,
                            size_t bytes)
{
    if (!he_device_has(dev, HE_CAP_HOST_MEMORY))
        return he_device_buffer_write(dev, buffer, offset, data, bytes);
    memcpy((char *)buffer + offset, data, bytes);
    return HE_OK;
}

he_status test_device_read(struct he_device *dev, void *buffer, size_t offset, void *out,
                           size_t bytes)
{
    he_status status = he_device_wait(dev);

    if (status != HE_OK)
        return status;
    if (!he_device_has(dev, HE_CAP_HOST_MEMORY))
        return he_device_buffer_read(dev, buffer, offset, out, bytes);
    memcpy(out, (char *)buffer + offset, bytes);
    return HE_OK;
}

static uint32_t find_slot(const struct test_run *run, uint32_t value)
{
    for (uint32_t k = 0; k < run->region.slot_count; k++)
        if (run->slots[k].value == value)
            return k;
    return HE_NONE;
}

static size_t value_bytes(const struct test_run *run, uint32_t value)
{
    const struct he_value *v = &run->region.graph->values[value];

    return (size_t)he_shape_bytes(&v->shape, v->dtype);
}

static void add_slot(struct test_run *run, uint32_t value)
{
    const struct he_value *v = &run->region.graph->values[value];

    if (v->data || find_slot(run, value) != HE_NONE)
        return;
    /* 192 in front, so that an offset that is ignored is noticed. */
    run->offsets[run->region.slot_count] = run->bytes + 192;
    run->bytes += (value_bytes(run, value) + 192 + 63) & ~(size_t)63;
    run->slots[run->region.slot_count++] = (struct he_slot){
        .value = value,
        .role = v->is_input ? HE_SLOT_INPUT : v->is_output ? HE_SLOT_OUTPUT : HE_SLOT_INTERIOR,
        .alias = HE_NONE,
    };
}

static void list_slots(struct test_run *run, const struct he_graph *graph)
{
    run->tasks = need(graph->task_count, sizeof *run->tasks);
    run->slots = need(graph->value_count, sizeof *run->slots);
    run->offsets = need(graph->value_count, sizeof *run->offsets);
    run->region = (struct he_region){ .graph = graph, .tasks = run->tasks,
                                      .task_count = graph->task_count, .slots = run->slots };
    for (uint32_t t = 0; t < graph->task_count; t++) {
        run->tasks[t] = t;
        for (uint32_t k = 0; k < graph->tasks[t].input_count; k++)
            add_slot(run, graph->tasks[t].inputs[k]);
        for (uint32_t k = 0; k < graph->tasks[t].output_count; k++)
            add_slot(run, graph->tasks[t].outputs[k]);
    }
}

static he_status bind(struct test_run *run, uint32_t i)
{
    uint32_t count = run->region.slot_count;
    struct he_binding *bindings = need(count, sizeof *bindings);
    char *garbage = need(run->bytes, 1);
    he_status status = he_device_buffer_alloc(run->dev, run->bytes, &run->arenas[i]);

    memset(garbage, 0x5a, run->bytes);
    if (status == HE_OK)
        status = test_device_write(run->dev, run->arenas[i], 0, garbage, run->bytes);
    for (uint32_t k = 0; k < count; k++)
        bindings[k] = (struct he_binding){ .buffer = run->arenas[i], .offset = run->offsets[k] };
    if (status == HE_OK)
        status = he_device_bind(run->dev, run->program, bindings, run->workspace, 0,
                                &run->instances[i]);
    free(garbage);
    free(bindings);
    return status;
}

he_status test_run_open(struct test_run *run, struct he_device *dev, const struct he_graph *graph)
{
    struct he_program_info info;
    he_status status = HE_OK;

    *run = (struct test_run){ .dev = dev };
    list_slots(run, graph);
    for (uint32_t t = 0; t < graph->task_count && status == HE_OK; t++)
        status = he_device_supports(dev, graph, &graph->tasks[t]);
    if (status != HE_OK)
        return status;
    status = he_device_compile(dev, &run->region, &run->program);
    if (status == HE_ERR_UNSUPPORTED)
        status = he_error_prefix(HE_ERR_INTERNAL, "supports() said yes, compile() no");
    if (status == HE_OK)
        status = he_device_program_info(dev, run->program, &info);
    if (status == HE_OK && info.workspace_bytes)
        status = he_device_buffer_alloc(dev, info.workspace_bytes, &run->workspace);
    for (uint32_t i = 0; i < RUN_INSTANCES && status == HE_OK; i++)
        status = bind(run, i);
    return status;
}

void test_run_close(struct test_run *run)
{
    for (uint32_t i = 0; i < RUN_INSTANCES; i++) {
        he_device_instance_free(run->dev, run->instances[i]);
        he_device_buffer_free(run->dev, run->arenas[i]);
    }
    he_device_buffer_free(run->dev, run->workspace);
    he_device_program_free(run->dev, run->program);
    free(run->tasks);
    free(run->slots);
    free(run->offsets);
    *run = (struct test_run){ 0 };
}

he_status test_run_put(struct test_run *run, uint32_t instance, uint32_t value, const void *data)
{
    uint32_t slot = find_slot(run, value);

    if (slot == HE_NONE)
        return HE_OK;
    return test_device_write(run->dev, run->arenas[instance], run->offsets[slot], data,
                             value_bytes(run, value));
}

he_status test_run_get(struct test_run *run, uint32_t instance, uint32_t value, void *out)
{
    uint32_t slot = find_slot(run, value);

    if (slot == HE_NONE)
        return he_error_set(HE_ERR_INTERNAL, "value %u has no slot", value);
    return test_device_read(run->dev, run->arenas[instance], run->offsets[slot], out,
                            value_bytes(run, value));
}

he_status test_run_launch(struct test_run *run, uint32_t instance, uint64_t *task_ns)
{
    struct he_launch launch = { .struct_size = sizeof launch, .task_ns = task_ns };
    he_status status = he_device_launch(run->dev, run->instances[instance],
                                        task_ns ? &launch : NULL);

    return status == HE_OK ? he_device_wait(run->dev) : status;
}

he_status test_run_move(struct test_run *run, uint32_t instance, uint32_t value, void *buffer)
{
    uint32_t slot = find_slot(run, value);
    struct he_binding binding = { .buffer = buffer, .offset = run->offsets[slot] };

    return he_device_instance_set(run->dev, run->instances[instance], slot, &binding);
}
