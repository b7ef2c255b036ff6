/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots of a region: every non-constant value its tasks read or write, once,
 * with its role, and where it is a view the slot whose bytes it shares.
 */
#include <string.h>

#include "graph/graph.h"
#include "partition/partition.h"

struct slotter {
    const struct he_graph *graph;
    struct he_slot *slots;
    uint32_t slot_count;
    uint32_t *slot_of;  /* per value, HE_NONE without one */
    bool *is_member;    /* per task */
};

static void add_value(struct slotter *s, uint32_t value)
{
    const struct he_value *v = &s->graph->values[value];
    bool is_made_here = v->producer != HE_NONE && s->is_member[s->graph->nodes[v->producer].task];

    if (v->data || s->slot_of[value] != HE_NONE)
        return;
    s->slot_of[value] = s->slot_count;
    s->slots[s->slot_count++] = (struct he_slot){
        .value = value,
        .role = !is_made_here    ? HE_SLOT_INPUT
                : v->is_output ? HE_SLOT_OUTPUT
                               : HE_SLOT_INTERIOR,
        .layout = HE_LAYOUT_PLAIN,
        .alias = HE_NONE,
        .is_dynamic = he_shape_bytes(&v->shape, v->dtype) < 0,
    };
}

/* What a task outside reads is an output. */
static void find_outputs(struct slotter *s)
{
    for (uint32_t t = 0; t < s->graph->task_count; t++) {
        const struct he_task *task = &s->graph->tasks[t];

        if (s->is_member[t])
            continue;
        for (uint32_t k = 0; k < task->input_count; k++) {
            uint32_t slot = s->slot_of[task->inputs[k]];

            if (slot != HE_NONE && s->slots[slot].role == HE_SLOT_INTERIOR)
                s->slots[slot].role = HE_SLOT_OUTPUT;
        }
    }
}

static void find_views(struct slotter *s)
{
    for (uint32_t k = 0; k < s->slot_count; k++) {
        const struct he_value *value = &s->graph->values[s->slots[k].value];
        uint32_t input, base;

        if (s->slots[k].role == HE_SLOT_INPUT || s->slots[k].is_dynamic ||
            !he_graph_is_view(s->graph, &s->graph->nodes[value->producer], &input))
            continue;
        base = s->slot_of[input];
        /* A base inside a fused task is never in memory, and what is in memory only once it
         * runs has nothing to share yet. */
        if (base != HE_NONE && !s->slots[base].is_dynamic)
            s->slots[k].alias = base;
    }
}

he_status he_partition_slots(const struct he_graph *graph, const uint32_t *tasks,
                             uint32_t task_count, struct he_arena *arena, struct he_slot **slots,
                             uint32_t *slot_count)
{
    struct slotter s = { .graph = graph };
    struct he_arena scratch;
    size_t most = 0;
    he_status status = HE_OK;

    *slots = NULL;
    *slot_count = 0;
    for (uint32_t k = 0; k < task_count; k++)
        most += (size_t)graph->tasks[tasks[k]].input_count + graph->tasks[tasks[k]].output_count;
    he_arena_init(&scratch, &arena->alloc);
    s.slots = he_arena_alloc(&scratch, most, sizeof *s.slots);
    s.slot_of = he_arena_alloc(&scratch, graph->value_count, sizeof *s.slot_of);
    s.is_member = he_arena_alloc(&scratch, graph->task_count, sizeof *s.is_member);
    if (!s.slots || !s.slot_of || !s.is_member) {
        status = he_no_memory();
        goto done;
    }
    memset(s.slot_of, 0xff, graph->value_count * sizeof *s.slot_of);
    for (uint32_t k = 0; k < task_count; k++)
        s.is_member[tasks[k]] = true;
    for (uint32_t k = 0; k < task_count; k++) {
        const struct he_task *task = &graph->tasks[tasks[k]];

        for (uint32_t i = 0; i < task->input_count; i++)
            add_value(&s, task->inputs[i]);
        for (uint32_t i = 0; i < task->output_count; i++)
            add_value(&s, task->outputs[i]);
    }
    find_outputs(&s);
    find_views(&s);
    *slots = he_arena_copy(arena, s.slots, s.slot_count * sizeof *s.slots);
    if (!*slots)
        status = he_no_memory();
    else
        *slot_count = s.slot_count;

done:
    he_arena_fini(&scratch);
    return status;
}
