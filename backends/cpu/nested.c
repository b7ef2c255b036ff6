/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sub-graph becomes a region of all its tasks, in row-major layout. Its values are packed
 * into an arena by lifetime, largest first into the lowest gap.
 */
#include "nested.h"

#include <stdlib.h>
#include <string.h>

#define NO_PLACE SIZE_MAX

/* --- The region --- */

static uint32_t find_input(const struct he_graph *graph, uint32_t value)
{
    uint32_t k;

    for (k = 0; k < graph->input_count; k++)
        if (graph->inputs[k] == value)
            return k;
    return HE_NONE;
}

/* While it is built: the slot of each value. */
struct builder {
    struct cpu_nested *nested;
    uint32_t *slot_of;
};

static bool is_slot_value(const struct he_graph *graph, uint32_t value)
{
    return value != HE_NONE && !graph->values[value].data;
}

static void add_slot(struct builder *b, uint32_t value, enum he_slot_role role)
{
    struct cpu_nested *nested = b->nested;
    const struct he_value *v = &nested->graph->values[value];

    if (b->slot_of[value] != HE_NONE)
        return;
    b->slot_of[value] = nested->region.slot_count;
    nested->slots[nested->region.slot_count++] = (struct he_slot){
        .value = value,
        .role = role,
        .alias = HE_NONE,
        .is_dynamic = v->dtype == HE_DTYPE_NONE || !he_shape_is_static(&v->shape),
    };
}

/* A view of a value inside needs no bytes of its own. */
static void alias_views(struct builder *b, const struct he_task *task)
{
    struct cpu_nested *nested = b->nested;
    const struct he_node *node = &nested->graph->nodes[task->nodes[0]];
    uint32_t in, out;

    if (task->node_count != 1 || !cpu_is_view(nested->graph, node) || !node->input_count ||
        !node->output_count || node->inputs[0] == HE_NONE || node->outputs[0] == HE_NONE)
        return;
    in = b->slot_of[node->inputs[0]];
    out = b->slot_of[node->outputs[0]];
    if (in == HE_NONE || out == HE_NONE || nested->slots[out].role != HE_SLOT_INTERIOR ||
        nested->slots[in].is_dynamic || nested->slots[out].is_dynamic)
        return;
    nested->slots[out].alias = nested->slots[in].alias != HE_NONE ? nested->slots[in].alias : in;
}

static void add_slots(struct builder *b)
{
    struct cpu_nested *nested = b->nested;
    const struct he_graph *graph = nested->graph;
    const struct he_task *task;
    uint32_t t, k, value;

    for (t = 0; t < graph->task_count; t++) {
        task = &graph->tasks[t];
        for (k = 0; k < task->input_count; k++) {
            value = task->inputs[k];
            if (is_slot_value(graph, value))
                add_slot(b, value,
                         find_input(graph, value) != HE_NONE ? HE_SLOT_INPUT : HE_SLOT_INTERIOR);
        }
        for (k = 0; k < task->output_count; k++)
            if (is_slot_value(graph, task->outputs[k]))
                add_slot(b, task->outputs[k], HE_SLOT_INTERIOR);
    }
    for (k = 0; k < graph->input_count; k++)
        if (is_slot_value(graph, graph->inputs[k]))
            nested->input_slots[k] = b->slot_of[graph->inputs[k]];
    for (k = 0; k < graph->output_count; k++) {
        value = graph->outputs[k];
        if (!is_slot_value(graph, value) || b->slot_of[value] == HE_NONE)
            continue;
        if (nested->slots[b->slot_of[value]].role != HE_SLOT_INTERIOR)
            continue; /* an input, or an output already */
        nested->slots[b->slot_of[value]].role = HE_SLOT_OUTPUT;
        nested->output_slots[k] = b->slot_of[value];
    }
    for (t = 0; t < graph->task_count; t++)
        alias_views(b, &graph->tasks[t]);
}

/* --- The arena --- */

struct item {
    size_t bytes, offset;
    uint32_t first, last, slot;
};

static int larger_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static bool live_together(const struct item *a, const struct item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* items[0..k) have their places; finds the lowest one for items[k]. */
static he_status place_item(struct item *items, size_t k)
{
    struct item *item = &items[k];
    bool has_moved = true;
    size_t j, end;

    item->offset = 0;
    while (has_moved) {
        has_moved = false;
        for (j = 0; j < k; j++) {
            if (!live_together(item, &items[j]))
                continue;
            if (item->offset >= items[j].offset + items[j].bytes ||
                items[j].offset >= item->offset + item->bytes)
                continue;
            item->offset = items[j].offset + items[j].bytes;
            if (__builtin_add_overflow(item->offset, item->bytes, &end))
                return cpu_no_memory();
            has_moved = true;
        }
    }
    return HE_OK;
}

static void touch(struct item *items, const uint32_t *item_of, const struct cpu_nested *nested,
                  uint32_t slot, uint32_t time)
{
    struct item *item;

    if (slot == HE_NONE)
        return;
    if (nested->slots[slot].alias != HE_NONE)
        slot = nested->slots[slot].alias;
    if (item_of[slot] == HE_NONE)
        return;
    item = &items[item_of[slot]];
    if (time < item->first)
        item->first = time;
    if (time > item->last)
        item->last = time;
}

static he_status pack_items(struct builder *b, struct item *items, uint32_t *item_of)
{
    struct cpu_nested *nested = b->nested;
    const struct he_graph *graph = nested->graph;
    const struct he_task *task;
    size_t count = 0, bytes, k;
    uint32_t s, t;
    he_status status;

    for (s = 0; s < nested->region.slot_count; s++) {
        item_of[s] = HE_NONE;
        if (nested->slots[s].role == HE_SLOT_INPUT || nested->slots[s].is_dynamic ||
            nested->slots[s].alias != HE_NONE)
            continue;
        status = cpu_value_bytes(&graph->values[nested->slots[s].value], &bytes);
        if (status != HE_OK)
            return status;
        if (bytes > SIZE_MAX - 64)
            return cpu_no_memory();
        item_of[s] = (uint32_t)count;
        items[count++] = (struct item){ .bytes = (bytes + !bytes + 63) & ~(size_t)63,
                                        .first = UINT32_MAX, .slot = s };
    }
    for (t = 0; t < graph->task_count; t++) {
        task = &graph->tasks[t];
        for (k = 0; k < task->input_count; k++)
            touch(items, item_of, nested, b->slot_of[task->inputs[k]], t);
        for (k = 0; k < task->output_count; k++)
            touch(items, item_of, nested, b->slot_of[task->outputs[k]], t);
    }
    for (s = 0; s < nested->region.slot_count; s++)
        if (nested->slots[s].role == HE_SLOT_OUTPUT)
            touch(items, item_of, nested, s, graph->task_count);
    qsort(items, count, sizeof *items, larger_first);
    for (k = 0; k < count; k++) {
        status = place_item(items, k);
        if (status != HE_OK)
            return status;
        nested->offsets[items[k].slot] = items[k].offset;
        if (items[k].offset + items[k].bytes > nested->arena_bytes)
            nested->arena_bytes = items[k].offset + items[k].bytes;
    }
    for (s = 0; s < nested->region.slot_count; s++)
        if (nested->slots[s].alias != HE_NONE)
            nested->offsets[s] = nested->offsets[nested->slots[s].alias];
    return HE_OK;
}

static he_status pack(struct builder *b)
{
    const struct he_allocator *alloc = &b->nested->alloc;
    uint32_t count = b->nested->region.slot_count;
    struct item *items = cpu_alloc(alloc, count, sizeof *items);
    uint32_t *item_of = cpu_alloc(alloc, count, sizeof *item_of);
    he_status status;

    if (items && item_of)
        status = pack_items(b, items, item_of);
    else
        status = cpu_no_memory();
    cpu_free(alloc, items);
    cpu_free(alloc, item_of);
    return status;
}

/* --- Making --- */

static he_status fill(struct cpu_nested *nested, const struct cpu_compile *settings,
                      uint32_t *slot_of)
{
    struct builder b = { nested, slot_of };
    const struct he_graph *graph = nested->graph;
    size_t place;
    uint32_t k;
    he_status status;

    memset(slot_of, 0xff, graph->value_count * sizeof *slot_of);
    memset(nested->input_slots, 0xff, graph->input_count * sizeof *nested->input_slots);
    memset(nested->output_slots, 0xff, graph->output_count * sizeof *nested->output_slots);
    for (k = 0; k < graph->task_count; k++)
        nested->tasks[k] = k;
    for (k = 0; k < graph->value_count; k++)
        nested->offsets[k] = NO_PLACE;
    nested->region = (struct he_region){
        .graph = graph,
        .tasks = nested->tasks,
        .task_count = graph->task_count,
        .slots = nested->slots,
    };
    add_slots(&b);
    status = pack(&b);
    if (status != HE_OK)
        return status;
    status = cpu_program_create(settings, &nested->region, &nested->program);
    if (status != HE_OK)
        return status;
    nested->constant_bytes = nested->program->constant_bytes;
    nested->workspace_bytes = nested->arena_bytes;
    return cpu_place(&nested->workspace_bytes, nested->program->workspace_bytes, &place);
}

he_status cpu_nested_create(const struct cpu_compile *settings, const struct he_graph *graph,
                            struct cpu_nested **out)
{
    const struct he_allocator *alloc = &settings->alloc;
    struct cpu_nested *nested;
    uint32_t *slot_of;
    he_status status;

    *out = NULL;
    nested = cpu_alloc(alloc, 1, sizeof *nested);
    if (!nested)
        return cpu_no_memory();
    nested->alloc = *alloc;
    nested->graph = graph;
    nested->tasks = cpu_alloc(alloc, graph->task_count, sizeof *nested->tasks);
    nested->slots = cpu_alloc(alloc, graph->value_count, sizeof *nested->slots);
    nested->offsets = cpu_alloc(alloc, graph->value_count, sizeof *nested->offsets);
    nested->input_slots = cpu_alloc(alloc, graph->input_count, sizeof *nested->input_slots);
    nested->output_slots = cpu_alloc(alloc, graph->output_count, sizeof *nested->output_slots);
    slot_of = cpu_alloc(alloc, graph->value_count, sizeof *slot_of);
    if (nested->tasks && nested->slots && nested->offsets && nested->input_slots &&
        nested->output_slots && slot_of)
        status = fill(nested, settings, slot_of);
    else
        status = cpu_no_memory();
    cpu_free(alloc, slot_of);
    if (status != HE_OK) {
        cpu_nested_destroy(nested);
        return status;
    }
    *out = nested;
    return HE_OK;
}

void cpu_nested_destroy(struct cpu_nested *nested)
{
    struct he_allocator alloc;

    if (!nested)
        return;
    alloc = nested->alloc;
    cpu_program_destroy(nested->program);
    cpu_free(&alloc, nested->tasks);
    cpu_free(&alloc, nested->slots);
    cpu_free(&alloc, nested->offsets);
    cpu_free(&alloc, nested->input_slots);
    cpu_free(&alloc, nested->output_slots);
    cpu_free(&alloc, nested);
}

/* --- Running --- */

he_status cpu_nested_bind(const struct cpu_nested *nested, struct cpu_nested_state **out)
{
    struct cpu_nested_state *state;
    struct he_binding binding = { 0 };
    uint32_t k;
    he_status status;

    *out = NULL;
    state = cpu_alloc(&nested->alloc, 1, sizeof *state);
    if (!state)
        return cpu_no_memory();
    state->nested = nested;
    state->tensors = cpu_alloc(&nested->alloc, nested->region.slot_count, sizeof *state->tensors);
    state->inputs = cpu_alloc(&nested->alloc, nested->graph->input_count, sizeof *state->inputs);
    status = state->tensors && state->inputs
                 ? cpu_instance_create(nested->program, &state->instance)
                 : cpu_no_memory();
    if (status != HE_OK) {
        cpu_nested_unbind(state);
        return status;
    }
    for (k = 0; k < nested->region.slot_count; k++) {
        if (!nested->slots[k].is_dynamic)
            continue;
        binding.dynamic = &state->tensors[k];
        cpu_instance_set(state->instance, k, &binding);
    }
    *out = state;
    return HE_OK;
}

void cpu_nested_unbind(struct cpu_nested_state *state)
{
    const struct cpu_nested *nested;
    uint32_t k;

    if (!state)
        return;
    nested = state->nested;
    cpu_instance_destroy(state->instance);
    for (k = 0; state->tensors && k < nested->region.slot_count; k++)
        if (nested->slots[k].role != HE_SLOT_INPUT)
            cpu_free(&nested->alloc, state->tensors[k].data);
    cpu_free(&nested->alloc, state->tensors);
    cpu_free(&nested->alloc, state->inputs);
    cpu_free(&nested->alloc, state);
}

void cpu_nested_begin(struct cpu_nested_state *state, void *workspace)
{
    const struct cpu_nested *nested = state->nested;
    uint32_t k;

    if (state->workspace == workspace)
        return;
    state->workspace = workspace;
    state->instance->frame.workspace =
        (char *)workspace + ((nested->arena_bytes + 63) & ~(size_t)63);
    for (k = 0; k < nested->region.slot_count; k++)
        if (nested->offsets[k] != NO_PLACE)
            state->instance->slots[k] = (char *)workspace + nested->offsets[k];
}

static he_status check_input(const struct he_value *value, enum he_dtype dtype,
                             const struct he_shape *shape)
{
    if (value->dtype == dtype && he_shape_equal(&value->shape, shape))
        return HE_OK;
    return he_error_set(HE_ERR_SHAPE, "\"%s\" of the sub-graph was planned with another type or "
                        "shape than it gets", value->name ? value->name : "");
}

he_status cpu_nested_input(struct cpu_nested_state *state, uint32_t input, enum he_dtype dtype,
                           const struct he_shape *shape, void *data)
{
    const struct cpu_nested *nested = state->nested;
    struct he_binding binding = { .buffer = data };
    uint32_t slot = nested->input_slots[input];

    state->inputs[input].dtype = dtype;
    state->inputs[input].shape = *shape;
    state->inputs[input].data = data;
    if (slot == HE_NONE)
        return HE_OK;
    if (nested->slots[slot].is_dynamic) {
        state->tensors[slot] = (struct he_dynamic_tensor){ dtype, *shape, data, 0 };
        return HE_OK;
    }
    if (state->instance->slots[slot] != data)
        cpu_instance_set(state->instance, slot, &binding);
    return check_input(&nested->graph->values[nested->slots[slot].value], dtype, shape);
}

bool cpu_nested_output_is_static(const struct cpu_nested *nested, uint32_t k)
{
    const struct he_value *value = &nested->graph->values[nested->graph->outputs[k]];

    return value->dtype != HE_DTYPE_NONE && he_shape_is_static(&value->shape);
}

void cpu_nested_output_to(struct cpu_nested_state *state, uint32_t k, void *data,
                          struct he_dynamic_tensor *tensor)
{
    const struct cpu_nested *nested = state->nested;
    uint32_t slot = nested->output_slots[k];
    struct he_binding binding = { .buffer = data };

    if (slot == HE_NONE)
        return;
    if (nested->slots[slot].is_dynamic)
        state->instance->dynamic[slot] = tensor ? tensor : &state->tensors[slot];
    else if (data && state->instance->slots[slot] != data)
        cpu_instance_set(state->instance, slot, &binding);
}

he_status cpu_nested_run(struct cpu_nested_state *state)
{
    return cpu_instance_run(state->instance, NULL);
}

struct he_tensor cpu_nested_output(const struct cpu_nested_state *state, uint32_t k)
{
    const struct cpu_nested *nested = state->nested;
    uint32_t value = nested->graph->outputs[k], input, slot;
    const struct he_value *v = &nested->graph->values[value];
    const struct he_dynamic_tensor *dynamic;

    if (v->data)
        return he_tensor_dense(v->dtype, &v->shape, (void *)(uintptr_t)v->data);
    input = find_input(nested->graph, value);
    if (input != HE_NONE)
        return he_tensor_dense(state->inputs[input].dtype, &state->inputs[input].shape,
                               state->inputs[input].data);
    slot = nested->program->slot_of[value];
    if (slot == HE_NONE) /* a graph that he_graph_check() would refuse */
        return (struct he_tensor){ .dtype = HE_DTYPE_NONE };
    if (!nested->slots[slot].is_dynamic)
        return he_tensor_dense(v->dtype, &v->shape, state->instance->slots[slot]);
    dynamic = state->instance->dynamic[slot];
    return he_tensor_dense(dynamic->dtype, &dynamic->shape, dynamic->data);
}
