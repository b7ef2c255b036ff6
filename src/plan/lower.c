/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From parts to something that runs, in three moves:
 *
 *   lanes and regions   (here)     one lane per device with work; slots and layouts
 *   homes and memory    memory.c   where each value lives, views, packing
 *   steps               steps.c    launches and copies per lane, who waits for whom
 *
 * steps.c needs the homes, and the lifetimes in memory.c need the steps' order;
 * so homes are made first, then steps, then the arenas are packed.
 */
#include <string.h>

#include "plan/lower.h"
#include "plan/plan.h"

static he_status make_lanes(struct he_plan *plan)
{
    uint32_t device_count = plan->machine->device_count;
    uint32_t *lane_of = he_arena_alloc(&plan->arena, device_count, sizeof *lane_of);

    plan->lanes = he_arena_alloc(&plan->arena, device_count, sizeof *plan->lanes);
    plan->memories = he_arena_alloc(&plan->arena, (size_t)device_count + 1,
                                    sizeof *plan->memories);
    plan->regions = he_arena_alloc(&plan->arena, plan->part_count, sizeof *plan->regions);
    if (!lane_of || !plan->lanes || !plan->memories || !plan->regions)
        return he_no_memory();
    /* Memory 0 is the host's, where the caller's tensors are, even when no device uses it. */
    plan->memories[plan->memory_count++] = (struct he_plan_memory){ .device = HE_NONE,
                                                                    .is_host = true };
    memset(lane_of, 0xff, device_count * sizeof *lane_of);
    for (uint32_t p = 0; p < plan->part_count; p++) {
        uint32_t device = plan->parts[p].device;
        bool is_host = (plan->machine->devices[device].caps & HE_CAP_HOST_MEMORY) != 0;

        if (lane_of[device] == HE_NONE) {
            struct he_lane *lane = &plan->lanes[plan->lane_count];

            lane->device = device;
            lane->memory = is_host ? 0 : plan->memory_count;
            if (!is_host)
                plan->memories[plan->memory_count++] = (struct he_plan_memory){ .device = device };
            else if (plan->memories[0].device == HE_NONE)
                plan->memories[0].device = device;
            lane_of[device] = plan->lane_count++;
        }
        plan->regions[p].lane = lane_of[device];
    }
    return HE_OK;
}

static he_status make_slots(struct he_plan *plan)
{
    for (uint32_t r = 0; r < plan->part_count; r++) {
        const struct he_part *part = &plan->parts[r];
        struct he_plan_region *region = &plan->regions[r];
        uint32_t slot_count;
        he_status status;

        status = he_partition_slots(plan->graph, part->tasks, part->task_count, &plan->arena,
                                    &region->slots, &slot_count);
        if (status != HE_OK)
            return status;
        region->view = (struct he_region){
            .graph = plan->graph,
            .tasks = part->tasks,
            .task_count = part->task_count,
            .slots = region->slots,
            .slot_count = slot_count,
        };
    }
    plan->region_count = plan->part_count;
    return HE_OK;
}

/*
 * Devices that take channels-last tensors and share a memory agree on the
 * layout of what they exchange: the layout pass sees all their tasks as one
 * region, whose border (model inputs and outputs, other devices) stays plain.
 */
static he_status choose_layouts(struct he_plan *plan)
{
    const struct he_graph *graph = plan->graph;
    struct he_slot *slots;
    enum he_layout *layout_of;
    struct he_region whole;
    uint32_t *tasks, task_count = 0, slot_count;
    bool *is_member;
    he_status status;

    tasks = he_arena_alloc(&plan->arena, graph->task_count, sizeof *tasks);
    is_member = he_arena_alloc(&plan->arena, graph->task_count, sizeof *is_member);
    layout_of = he_arena_alloc(&plan->arena, graph->value_count, sizeof *layout_of);
    if (!tasks || !is_member || !layout_of)
        return he_no_memory();
    for (uint32_t t = 0; t < graph->task_count; t++) {
        uint32_t caps = plan->machine->devices[plan->placement.device[t]].caps;

        if ((caps & HE_CAP_CHANNELS_LAST) && (caps & HE_CAP_HOST_MEMORY))
            tasks[task_count++] = t;
    }
    if (task_count == 0)
        return HE_OK;
    status = he_partition_slots(graph, tasks, task_count, &plan->arena, &slots, &slot_count);
    if (status != HE_OK)
        return status;
    whole = (struct he_region){ .graph = graph, .tasks = tasks, .task_count = task_count,
                                .slots = slots, .slot_count = slot_count };
    he_graph_choose_layouts(&whole, slots, NULL);
    for (uint32_t k = 0; k < slot_count; k++)
        layout_of[slots[k].value] = slots[k].layout;
    for (uint32_t r = 0; r < plan->region_count; r++) {
        struct he_plan_region *region = &plan->regions[r];
        uint32_t caps = plan->machine->devices[plan->lanes[region->lane].device].caps;

        for (uint32_t k = 0; k < region->view.slot_count; k++) {
            if ((caps & HE_CAP_CHANNELS_LAST) && (caps & HE_CAP_HOST_MEMORY))
                region->slots[k].layout = layout_of[region->slots[k].value];
        }
    }
    return HE_OK;
}

he_status he_plan_lower(struct he_plan *plan)
{
    he_status status;

    if (plan->regions)
        return HE_OK;
    status = make_lanes(plan);
    if (status == HE_OK)
        status = make_slots(plan);
    if (status == HE_OK)
        status = choose_layouts(plan);
    if (status == HE_OK)
        status = he_plan_make_homes(plan);
    if (status == HE_OK)
        status = he_plan_make_steps(plan);
    if (status == HE_OK)
        status = he_plan_pack_homes(plan);
    return status;
}
