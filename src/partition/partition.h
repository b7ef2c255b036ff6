/* SPDX-License-Identifier: Apache-2.0 */
/* Placed tasks -> regions: maximal runs on one device that stay convex, so that
 * the graph of regions has no cycle. */
#ifndef HE_PARTITION_PARTITION_H
#define HE_PARTITION_PARTITION_H

#include <heteroengine/backend.h>

#include "place/problem.h"

/* A set of tasks on one device, in the order they run. */
struct he_part {
    uint32_t device;
    uint32_t *tasks;
    uint32_t task_count;
};

/* Parts come out in a topological order of regions. Source: greedy merging along
 * the placement's order, cut where a path leaves the device and comes back. */
he_status he_partition(const struct he_problem *problem, const struct he_placement *placement,
                       struct he_arena *arena, struct he_part **parts, uint32_t *part_count) HE_MUST_CHECK;
/* True when no path leaves @members (bit per task) and returns. For tests and --check. */
bool he_partition_is_convex(const struct he_problem *problem, const bool *members);

/* Slots of one region (he_region.slots): every value it reads or writes, with role and alias. */
he_status he_partition_slots(const struct he_graph *graph, const uint32_t *tasks, uint32_t task_count,
                             struct he_arena *arena, struct he_slot **slots, uint32_t *slot_count) HE_MUST_CHECK;

#endif
