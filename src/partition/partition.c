/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions by levels. The level of a task is the largest number of changes of
 * device on any path to it; a region is the tasks of one device on one level.
 * An edge stays on its level only within one device, hence within one region,
 * and otherwise leads to a higher level: the graph of regions has no cycle, and
 * a path that leaves a region cannot come back, which is convexity. Linear time.
 *
 * Two branches of one device on one level become one region even when they are
 * independent; fewer launches are bought with later hand-over.
 */
#include <stdlib.h>
#include <string.h>

#include "partition/partition.h"

struct group {
    uint32_t level, device;
    uint32_t first; /* its earliest task along the order */
    uint32_t count;
    uint32_t part; /* after sorting */
};

static int by_level(const void *a, const void *b)
{
    const struct group *ga = a, *gb = b;

    if (ga->level != gb->level)
        return ga->level < gb->level ? -1 : 1;
    return ga->first < gb->first ? -1 : ga->first > gb->first;
}

static void find_levels(const struct he_problem *problem, const struct he_placement *placement,
                        uint32_t *level)
{
    /* Tasks are numbered topologically. */
    for (uint32_t t = 0; t < problem->task_count; t++) {
        for (uint32_t k = problem->in_start[t]; k < problem->in_start[t + 1]; k++) {
            uint32_t from = problem->edges[problem->in_edges[k]].from;
            uint32_t here = level[from] + (placement->device[from] != placement->device[t]);

            if (here > level[t])
                level[t] = here;
        }
    }
}

/* Numbers the (level, device) pairs in the order they turn up. */
static he_status find_groups(const struct he_problem *problem,
                             const struct he_placement *placement, const uint32_t *level,
                             struct he_arena *arena, struct group *groups, uint32_t *group_of,
                             uint32_t *group_count)
{
    uint32_t levels = 0, *cell;

    for (uint32_t t = 0; t < problem->task_count; t++)
        levels = level[t] + 1 > levels ? level[t] + 1 : levels;
    cell = he_arena_alloc(arena, (size_t)levels * problem->device_count, sizeof *cell);
    if (!cell)
        return he_no_memory();
    memset(cell, 0xff, (size_t)levels * problem->device_count * sizeof *cell);
    *group_count = 0;
    for (uint32_t k = 0; k < problem->task_count; k++) {
        uint32_t t = placement->order[k];
        uint32_t *group = &cell[(size_t)level[t] * problem->device_count + placement->device[t]];

        if (*group == UINT32_MAX) {
            *group = (*group_count)++;
            groups[*group] = (struct group){ .level = level[t], .device = placement->device[t],
                                             .first = k };
        }
        groups[*group].count++;
        group_of[t] = *group;
    }
    return HE_OK;
}

he_status he_partition(const struct he_problem *problem, const struct he_placement *placement,
                       struct he_arena *arena, struct he_part **parts, uint32_t *part_count)
{
    uint32_t n = problem->task_count, *level, *group_of, *part_of_group;
    struct group *groups;
    he_status status;

    level = he_arena_alloc(arena, n, sizeof *level);
    group_of = he_arena_alloc(arena, n, sizeof *group_of);
    groups = he_arena_alloc(arena, n, sizeof *groups);
    part_of_group = he_arena_alloc(arena, n, sizeof *part_of_group);
    if (!level || !group_of || !groups || !part_of_group)
        return he_no_memory();
    find_levels(problem, placement, level);
    status = find_groups(problem, placement, level, arena, groups, group_of, part_count);
    if (status != HE_OK)
        return status;
    for (uint32_t g = 0; g < *part_count; g++)
        groups[g].part = g; /* remembers the unsorted number */
    qsort(groups, *part_count, sizeof *groups, by_level);
    *parts = he_arena_alloc(arena, *part_count, sizeof **parts);
    if (!*parts)
        return he_no_memory();
    for (uint32_t p = 0; p < *part_count; p++) {
        part_of_group[groups[p].part] = p;
        (*parts)[p].device = groups[p].device;
        (*parts)[p].tasks = he_arena_alloc(arena, groups[p].count, sizeof *(*parts)[p].tasks);
        if (!(*parts)[p].tasks)
            return he_no_memory();
    }
    for (uint32_t k = 0; k < n; k++) {
        struct he_part *part = &(*parts)[part_of_group[group_of[placement->order[k]]]];

        part->tasks[part->task_count++] = placement->order[k];
    }
    return HE_OK;
}

bool he_partition_is_convex(const struct he_problem *problem, const bool *members)
{
    bool *left = calloc(problem->task_count ? problem->task_count : 1, sizeof *left);
    bool is_convex = left != NULL;

    /* left[t]: a path from a member through an outsider leads to t. */
    for (uint32_t t = 0; is_convex && t < problem->task_count; t++) {
        for (uint32_t k = problem->in_start[t]; k < problem->in_start[t + 1]; k++) {
            uint32_t from = problem->edges[problem->in_edges[k]].from;

            left[t] |= left[from] || (members[from] && !members[t]);
        }
        if (left[t] && members[t])
            is_convex = false;
    }
    free(left);
    return is_convex;
}
