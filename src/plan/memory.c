/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map. A home is one value in one memory. Views share the bytes of
 * what they are a view of, parts (of a Concat, by a Slice) lie inside the whole (a small
 * union-find over homes, with the distance to the root). Model inputs and
 * outputs stay in the caller's memory when a host device reads or makes them.
 * Where in the arenas they lie is lifetimes.c's matter.
 */
#include <string.h>

#include "core/map.h"
#include "core/size.h"
#include "plan/lower.h"

/* --- Homes --- */

struct home_maker {
    struct he_plan *plan;
    uint32_t *home_of; /* [memory * value_count + value] */
    size_t capacity;
};

static uint32_t *home_slot(const struct home_maker *m, uint32_t memory, uint32_t value)
{
    return &m->home_of[(size_t)memory * m->plan->graph->value_count + value];
}

static uint32_t index_in(const uint32_t *list, uint32_t count, uint32_t value)
{
    for (uint32_t k = 0; k < count; k++) {
        if (list[k] == value)
            return k;
    }
    return HE_NONE;
}

/* The home of @value in @memory, made when it is not there yet. */
static uint32_t get_home(struct home_maker *m, uint32_t memory, uint32_t value)
{
    struct he_plan *plan = m->plan;
    const struct he_graph *graph = plan->graph;
    const struct he_value *v = &graph->values[value];
    int64_t bytes = he_shape_bytes(&v->shape, v->dtype);
    uint32_t *slot = home_slot(m, memory, value);
    struct he_home *home;

    if (*slot != HE_NONE)
        return *slot;
    /* A dynamic value is one tensor on the host, for all devices. */
    if (bytes < 0 && memory != 0)
        return *slot = get_home(m, 0, value);
    *slot = plan->home_count++;
    home = &plan->homes[*slot];
    *home = (struct he_home){ .value = value, .memory = memory, .kind = HE_HOME_ARENA,
                              .bytes = bytes > 0 ? (size_t)bytes : 0, .root = *slot };
    if (bytes < 0) {
        home->kind = HE_HOME_DYNAMIC;
        home->index = plan->dynamic_count++;
    } else if (plan->memories[memory].is_host && v->is_input) {
        home->kind = HE_HOME_INPUT;
        home->index = index_in(graph->inputs, graph->input_count, value);
    } else if (plan->memories[memory].is_host && v->is_output) {
        home->kind = HE_HOME_OUTPUT;
        home->index = index_in(graph->outputs, graph->output_count, value);
    }
    return *slot;
}

/* The home whose bytes @home has, with what lies between cut short. */
static uint32_t find_root(struct he_plan *plan, uint32_t home)
{
    uint32_t root = home;
    size_t shift = 0;

    while (plan->homes[root].root != root) {
        shift += plan->homes[root].shift;
        root = plan->homes[root].root;
    }
    if (root != home) {
        plan->homes[home].root = root;
        plan->homes[home].shift = shift;
    }
    return root;
}

/* Puts all bytes of @part at @offset of those of @whole, if they are its own and in nobody's
 * hands. */
static bool join_part(struct he_plan *plan, uint32_t whole, uint32_t part, size_t offset)
{
    uint32_t w = find_root(plan, whole), p = find_root(plan, part);
    size_t shift = plan->homes[whole].shift + offset;

    if (w == p)
        return plan->homes[part].shift == shift;
    if (plan->homes[w].kind == HE_HOME_DYNAMIC || plan->homes[p].kind != HE_HOME_ARENA ||
        plan->homes[p].bytes != plan->homes[part].bytes)
        return false;
    plan->homes[p].root = w;
    plan->homes[p].shift = shift;
    return true;
}

/* Makes @view share the bytes of @base where that is possible: bytes in the caller's hands
 * cannot also be somewhere else in its hands. */
static bool join_view(struct he_plan *plan, uint32_t base, uint32_t view)
{
    return plan->homes[base].bytes == plan->homes[view].bytes &&
           (join_part(plan, base, view, 0) || join_part(plan, view, base, 0));
}

static void join_region_views(struct he_plan *plan, struct he_plan_region *region)
{
    for (uint32_t k = 0; k < region->view.slot_count; k++) {
        struct he_slot *slot = &region->slots[k];

        if (slot->alias == HE_NONE)
            continue;
        if (slot->layout != HE_LAYOUT_PLAIN ||
            region->slots[slot->alias].layout != HE_LAYOUT_PLAIN ||
            !join_view(plan, region->slot_homes[slot->alias], region->slot_homes[k]))
            slot->alias = HE_NONE;
    }
}

/* What Slice, Split and Concat would copy within host memory, where it may stay in place: their
 * kernels see that both ends are the same and do nothing. Other devices bind whole buffers. */
static void join_region_parts(struct he_plan *plan, const struct he_plan_region *region,
                              const uint32_t *slot_of)
{
    const struct he_graph *graph = plan->graph;
    struct he_value_part part;

    for (uint32_t t = 0; t < region->view.task_count; t++) {
        const struct he_task *task = &graph->tasks[region->view.tasks[t]];
        const struct he_node *node = &graph->nodes[task->anchor];

        if (task->node_count != 1)
            continue;
        for (uint32_t k = 0; k < node->input_count || k < node->output_count; k++) {
            uint32_t whole, piece;

            if (!he_graph_part(graph, node, k, HE_LAYOUT_PLAIN, &part) &&
                !he_graph_part(graph, node, k, HE_LAYOUT_CHANNELS_LAST, &part))
                continue;
            whole = slot_of[part.whole];
            piece = slot_of[part.part];
            if (region->slots[whole].layout == region->slots[piece].layout &&
                he_graph_part(graph, node, k, region->slots[whole].layout, &part))
                join_part(plan, region->slot_homes[whole], region->slot_homes[piece], part.offset);
        }
    }
}

static he_status join_parts(struct he_plan *plan)
{
    uint32_t *slot_of = he_arena_alloc(&plan->arena, plan->graph->value_count, sizeof *slot_of);

    if (!slot_of)
        return he_no_memory();
    for (uint32_t r = 0; r < plan->region_count; r++) {
        const struct he_plan_region *region = &plan->regions[r];

        if (!plan->memories[plan->lanes[region->lane].memory].is_host)
            continue;
        for (uint32_t k = 0; k < region->view.slot_count; k++)
            slot_of[region->slots[k].value] = k;
        join_region_parts(plan, region, slot_of);
    }
    return HE_OK;
}

static he_status find_pass_throughs(struct he_plan *plan)
{
    const struct he_graph *graph = plan->graph;

    plan->pass_throughs = he_arena_alloc(&plan->arena, graph->output_count,
                                         sizeof *plan->pass_throughs);
    if (!plan->pass_throughs)
        return he_no_memory();
    for (uint32_t k = 0; k < graph->output_count; k++) {
        uint32_t value = graph->outputs[k];

        /* Also the second name of a value that is an output twice. */
        if (graph->values[value].producer == HE_NONE ||
            index_in(graph->outputs, graph->output_count, value) != k)
            plan->pass_throughs[plan->pass_through_count++] =
                (struct he_pass_through){ .output = k, .value = value };
    }
    return HE_OK;
}

he_status he_plan_make_homes(struct he_plan *plan)
{
    struct home_maker m = { .plan = plan };
    size_t most = plan->graph->output_count, cells;

    for (uint32_t r = 0; r < plan->region_count; r++)
        most += plan->regions[r].view.slot_count;
    /* Every slot has a home, and each may need a second one in the host's memory. */
    if (!he_size_mul(most, 2, &most) ||
        !he_size_mul(plan->memory_count, plan->graph->value_count, &cells))
        return he_no_memory();
    plan->homes = he_arena_alloc(&plan->arena, most, sizeof *plan->homes);
    m.home_of = he_arena_alloc(&plan->arena, cells, sizeof *m.home_of);
    if (!plan->homes || !m.home_of)
        return he_no_memory();
    memset(m.home_of, 0xff, cells * sizeof *m.home_of);
    for (uint32_t r = 0; r < plan->region_count; r++) {
        struct he_plan_region *region = &plan->regions[r];
        uint32_t memory = plan->lanes[region->lane].memory;

        region->slot_homes = he_arena_alloc(&plan->arena, region->view.slot_count,
                                            sizeof *region->slot_homes);
        if (!region->slot_homes)
            return he_no_memory();
        for (uint32_t k = 0; k < region->view.slot_count; k++) {
            uint32_t value = region->slots[k].value;

            region->slot_homes[k] = get_home(&m, memory, value);
            /* The caller's side of what a device with its own memory reads or makes. */
            if (!plan->memories[memory].is_host &&
                (plan->graph->values[value].is_input || plan->graph->values[value].is_output))
                get_home(&m, 0, value);
        }
    }
    for (uint32_t r = 0; r < plan->region_count; r++)
        join_region_views(plan, &plan->regions[r]);
    if (join_parts(plan) != HE_OK)
        return HE_ERR_NO_MEMORY;
    for (uint32_t h = 0; h < plan->home_count; h++)
        find_root(plan, h);
    return find_pass_throughs(plan);
}
