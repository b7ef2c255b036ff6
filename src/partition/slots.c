/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of a region: every non-constant value its tasks read or make. */
#include <string.h>

#include "graph/graph.h"
#include "partition/partition.h"

struct slot_maker {
    const struct he_graph *graph;
    struct he_slot *slots;
    uint32_t slot_count;
    uint32_t *slot_of; /* per value */
    bool *is_member;   /* per task */
};

static void add_slot(struct slot_maker *m, uint32_t value, bool is_made_here)
{
    const struct he_value *v = &m->graph->values[value];

    if (m->slot_of[value] != HE_NONE)
        return;
    m->slot_of[value] = m->slot_count;
    m->slots[m->slot_count++] = (struct he_slot){
        .value = value,
        .role = !is_made_here ? HE_SLOT_INPUT : v->is_output ? HE_SLOT_OUTPUT : HE_SLOT_INTERIOR,
        .layout = HE_LAYOUT_PLAIN,
        .alias = HE_NONE,
        .is_dynamic = he_shape_bytes(&v->shape, v->dtype) < 0,
    };
}

/* What a task outside the region reads is an output of the region. */
static void mark_outputs(struct slot_maker *m)
{
    for (uint32_t t = 0; t < m->graph->task_count; t++) {
        const struct he_task *task = &m->graph->tasks[t];

        if (m->is_member[t])
            continue;
        for (uint32_t k = 0; k < task->input_count; k++) {
            uint32_t slot = m->slot_of[task->inputs[k]];

            if (slot != HE_NONE && m->slots[slot].role == HE_SLOT_INTERIOR)
                m->slots[slot].role = HE_SLOT_OUTPUT;
        }
    }
}

/* A task that only hands its input's bytes on under another shape. */
static void mark_alias(struct slot_maker *m, const struct he_task *task)
{
    const struct he_node *node = &m->graph->nodes[task->nodes[0]];
    uint32_t input, out;

    if (task->node_count != 1 || task->output_count != 1 ||
        !he_graph_is_view(m->graph, node, &input) || m->slot_of[input] == HE_NONE)
        return;
    out = m->slot_of[task->outputs[0]];
    if (!m->slots[out].is_dynamic && !m->slots[m->slot_of[input]].is_dynamic)
        m->slots[out].alias = m->slot_of[input];
}

he_status he_partition_slots(const struct he_graph *graph, const uint32_t *tasks,
                             uint32_t task_count, struct he_arena *arena, struct he_slot **slots,
                             uint32_t *slot_count)
{
    struct slot_maker m = { .graph = graph };
    size_t most = 0;

    for (uint32_t k = 0; k < task_count; k++)
        most += (size_t)graph->tasks[tasks[k]].input_count + graph->tasks[tasks[k]].output_count;
    m.slots = he_arena_alloc(arena, most, sizeof *m.slots);
    m.slot_of = he_arena_alloc(arena, graph->value_count, sizeof *m.slot_of);
    m.is_member = he_arena_alloc(arena, graph->task_count, sizeof *m.is_member);
    if (!m.slots || !m.slot_of || !m.is_member)
        return he_no_memory();
    memset(m.slot_of, 0xff, graph->value_count * sizeof *m.slot_of);
    for (uint32_t k = 0; k < task_count; k++)
        m.is_member[tasks[k]] = true;
    for (uint32_t k = 0; k < task_count; k++) {
        const struct he_task *task = &graph->tasks[tasks[k]];

        for (uint32_t i = 0; i < task->input_count; i++) {
            uint32_t producer = graph->values[task->inputs[i]].producer;

            add_slot(&m, task->inputs[i],
                     producer != HE_NONE && m.is_member[graph->nodes[producer].task]);
        }
        for (uint32_t i = 0; i < task->output_count; i++)
            add_slot(&m, task->outputs[i], true);
        mark_alias(&m, task);
    }
    mark_outputs(&m);
    *slots = m.slots;
    *slot_count = m.slot_count;
    return HE_OK;
}
