/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placed tasks -> regions, by greedy merging along the placement's order.
 *
 * Every device has at most one open region. A task joins it when that makes no
 * cycle and changes nothing in the schedule, else it opens the next one:
 *
 *   - nothing the task waits for may (transitively) wait for the open region;
 *   - once another region waits for the open one, it may not come to wait for
 *     anything new, so that what is known of others stays true;
 *   - it is not merged across an edge between servers: a region starts when all
 *     its inputs are there and is done when its last task is, so a merge there would
 *     delay work that can run side by side. That holds, too, where the maker is waited
 *     for already but the tensor still has to come over a link.
 *
 * What a region waits for is kept as one number per device: the last region there.
 * That is exact because a device runs its regions in their order.
 */
#include <string.h>

#include "core/size.h"
#include "partition/partition.h"

#define NO_REGION UINT32_MAX

/* While the parts are made: [region * device_count + device] in waits, numbers are 1 + the
 * ordinal of the last region of that device waited for, 0 for none. */
struct builder {
    const struct he_problem *problem;
    const struct he_placement *placement;
    struct he_arena scratch;
    uint32_t *region_of; /* per task */
    uint32_t *open;      /* per device */
    uint32_t *device, *ordinal, *size; /* per region */
    bool *is_awaited, *is_exported;    /* per region */
    bool *is_there; /* [tensor * device_count + device]: some region of the device waits for it */
    uint32_t *waits;
    size_t waits_capacity;
    uint32_t count;
    uint32_t *per_device; /* how many regions each device has so far */
};

static uint32_t *waits_of(struct builder *b, uint32_t region)
{
    return b->waits + (size_t)region * b->problem->device_count;
}

static uint32_t server_of(const struct builder *b, uint32_t device)
{
    return b->problem->devices[device].server;
}

/* Whether the tensor of an edge to device @j moves, and nothing there has waited for it yet. */
static bool comes_late(const struct builder *b, uint32_t edge, uint32_t from, uint32_t j)
{
    const struct he_problem *p = b->problem;

    return !b->is_there[(size_t)p->edge_tensor[edge] * p->device_count + j] &&
           he_problem_transfer(p, from, j, p->edges[edge].bytes) > 0;
}

static bool may_join(struct builder *b, uint32_t task, uint32_t region)
{
    const struct he_problem *p = b->problem;
    uint32_t j = b->device[region];
    const uint32_t *mine = waits_of(b, region);

    if (b->is_exported[region])
        return false;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t edge = p->in_edges[k], other = b->region_of[p->edges[edge].from];
        const uint32_t *theirs = waits_of(b, other);
        bool is_new;

        if (other == region)
            continue;
        if (theirs[j] > b->ordinal[region])
            return false; /* it waits for this region: a cycle */
        /* That it is made is waited for already; that it has come over may take longer. */
        is_new = mine[b->device[other]] < b->ordinal[other] + 1 ||
                 comes_late(b, edge, b->device[other], j);
        if (is_new && (b->is_awaited[region] ||
                       server_of(b, b->device[other]) != server_of(b, j)))
            return false;
        for (uint32_t d = 0; b->is_awaited[region] && d < p->device_count; d++) {
            if (theirs[d] > mine[d])
                return false;
        }
    }
    return true;
}

static he_status open_region(struct builder *b, uint32_t j, uint32_t *region)
{
    uint32_t d = b->problem->device_count, before = b->open[j], *waits;

    if (he_alloc_grow(&b->scratch.alloc, (void **)&b->waits, &b->waits_capacity,
                      (size_t)b->count * d, ((size_t)b->count + 1) * d, sizeof *b->waits) != HE_OK)
        return HE_ERR_NO_MEMORY;
    *region = b->count++;
    waits = waits_of(b, *region);
    memset(waits, 0, d * sizeof *waits);
    if (before != NO_REGION) {
        memcpy(waits, waits_of(b, before), d * sizeof *waits);
        waits[j] = b->ordinal[before] + 1;
        b->is_awaited[before] = true;
    }
    b->device[*region] = j;
    b->ordinal[*region] = b->per_device[j]++;
    b->open[j] = *region;
    return HE_OK;
}

static void join(struct builder *b, uint32_t task, uint32_t region)
{
    const struct he_problem *p = b->problem;
    uint32_t *mine = waits_of(b, region);

    b->region_of[task] = region;
    b->size[region]++;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t edge = p->in_edges[k], other = b->region_of[p->edges[edge].from];
        const uint32_t *theirs = waits_of(b, other);

        if (other == region)
            continue;
        b->is_there[(size_t)p->edge_tensor[edge] * p->device_count + b->device[region]] = true;
        b->is_awaited[other] = true;
        for (uint32_t d = 0; d < p->device_count; d++) {
            if (theirs[d] > mine[d])
                mine[d] = theirs[d];
        }
        if (mine[b->device[other]] < b->ordinal[other] + 1)
            mine[b->device[other]] = b->ordinal[other] + 1;
    }
    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
        uint32_t reader = b->placement->device[p->edges[p->out_edges[k]].to];

        if (server_of(b, reader) != server_of(b, b->device[region]))
            b->is_exported[region] = true;
    }
}

/* --- Regions in a topological order --- */

static void heap_push(uint32_t *heap, uint32_t *count, uint32_t value)
{
    uint32_t at = (*count)++;

    for (; at > 0 && heap[(at - 1) / 2] > value; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}

static uint32_t heap_pop(uint32_t *heap, uint32_t *count)
{
    uint32_t top = heap[0], last = heap[--*count], at = 0;

    for (uint32_t child = 1; child < *count; child = 2 * at + 1) {
        if (child + 1 < *count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* Kahn's algorithm over the regions, the oldest first; an edge per task edge and one from each
 * region to the next of its device. */
static he_status sort_regions(struct builder *b, const struct he_part *parts, uint32_t *order)
{
    const struct he_problem *p = b->problem;
    uint32_t *missing = he_arena_alloc(&b->scratch, b->count, sizeof *missing);
    uint32_t *next = he_arena_alloc(&b->scratch, b->count, sizeof *next);
    uint32_t *last = he_arena_alloc(&b->scratch, p->device_count, sizeof *last);
    uint32_t *heap = he_arena_alloc(&b->scratch, b->count, sizeof *heap);
    uint32_t ready = 0, done = 0;

    if (!missing || !next || !last || !heap)
        return he_no_memory();
    for (uint32_t j = 0; j < p->device_count; j++)
        last[j] = NO_REGION;
    for (uint32_t r = 0; r < b->count; r++) {
        next[r] = NO_REGION;
        if (last[b->device[r]] != NO_REGION) {
            next[last[b->device[r]]] = r;
            missing[r]++;
        }
        last[b->device[r]] = r;
    }
    for (uint32_t e = 0; e < p->edge_count; e++) {
        uint32_t from = b->region_of[p->edges[e].from], to = b->region_of[p->edges[e].to];

        missing[to] += from != to;
    }
    for (uint32_t r = 0; r < b->count; r++) {
        if (missing[r] == 0)
            heap_push(heap, &ready, r);
    }
    while (ready > 0) {
        uint32_t region = heap_pop(heap, &ready);

        order[done++] = region;
        if (next[region] != NO_REGION && --missing[next[region]] == 0)
            heap_push(heap, &ready, next[region]);
        for (uint32_t i = 0; i < parts[region].task_count; i++) {
            uint32_t task = parts[region].tasks[i];

            for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
                uint32_t to = b->region_of[p->edges[p->out_edges[k]].to];

                if (to != region && --missing[to] == 0)
                    heap_push(heap, &ready, to);
            }
        }
    }
    if (done < b->count)
        return he_error_set(HE_ERR_INTERNAL, "the graph of regions has a cycle");
    return HE_OK;
}

static he_status hand_out(struct builder *b, struct he_arena *arena, struct he_part **parts)
{
    const struct he_problem *p = b->problem;
    uint32_t *order = he_arena_alloc(&b->scratch, b->count, sizeof *order);
    struct he_part *made = he_arena_alloc(&b->scratch, b->count, sizeof *made);
    uint32_t *tasks = he_arena_alloc(arena, p->task_count, sizeof *tasks);
    uint32_t used = 0;
    he_status status;

    *parts = he_arena_alloc(arena, b->count, sizeof **parts);
    if (!order || !made || !tasks || !*parts)
        return he_no_memory();
    for (uint32_t r = 0; r < b->count; r++) {
        made[r] = (struct he_part){ .device = b->device[r], .tasks = tasks + used };
        used += b->size[r];
    }
    for (uint32_t k = 0; k < p->task_count; k++) {
        struct he_part *part = &made[b->region_of[b->placement->order[k]]];

        part->tasks[part->task_count++] = b->placement->order[k];
    }
    status = sort_regions(b, made, order);
    for (uint32_t r = 0; status == HE_OK && r < b->count; r++)
        (*parts)[r] = made[order[r]];
    return status;
}

static he_status make_regions(struct builder *b)
{
    const struct he_problem *p = b->problem;
    uint32_t n = p->task_count, d = p->device_count;

    b->region_of = he_arena_alloc(&b->scratch, n, sizeof(uint32_t));
    b->device = he_arena_alloc(&b->scratch, n, sizeof(uint32_t));
    b->ordinal = he_arena_alloc(&b->scratch, n, sizeof(uint32_t));
    b->size = he_arena_alloc(&b->scratch, n, sizeof(uint32_t));
    b->is_awaited = he_arena_alloc(&b->scratch, n, sizeof(bool));
    b->is_exported = he_arena_alloc(&b->scratch, n, sizeof(bool));
    b->is_there = he_arena_alloc(&b->scratch, (size_t)p->tensor_count * d, sizeof(bool));
    b->open = he_arena_alloc(&b->scratch, d, sizeof(uint32_t));
    b->per_device = he_arena_alloc(&b->scratch, d, sizeof(uint32_t));
    if (!b->region_of || !b->device || !b->ordinal || !b->size || !b->is_awaited ||
        !b->is_exported || !b->is_there || !b->open || !b->per_device)
        return he_no_memory();
    for (uint32_t j = 0; j < d; j++)
        b->open[j] = NO_REGION;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t task = b->placement->order[k], region = b->open[b->placement->device[task]];

        if ((region == NO_REGION || !may_join(b, task, region)) &&
            open_region(b, b->placement->device[task], &region) != HE_OK)
            return HE_ERR_NO_MEMORY;
        join(b, task, region);
    }
    return HE_OK;
}

he_status he_partition(const struct he_problem *problem, const struct he_placement *placement,
                       struct he_arena *arena, struct he_part **parts, uint32_t *part_count)
{
    struct builder b = { .problem = problem, .placement = placement };
    he_status status;

    *parts = NULL;
    *part_count = 0;
    he_arena_init(&b.scratch, &problem->arena.alloc);
    status = make_regions(&b);
    if (status == HE_OK)
        status = hand_out(&b, arena, parts);
    if (status == HE_OK)
        *part_count = b.count;
    he_free(&b.scratch.alloc, b.waits);
    he_arena_fini(&b.scratch);
    return status;
}

bool he_partition_is_convex(const struct he_problem *p, const bool *members)
{
    /* Tasks outside that a path from a member leads to. Without memory for that the answer is
     * no: the careful one. */
    bool *is_behind = he_alloc(&p->arena.alloc, p->task_count, sizeof *is_behind);
    bool is_convex = is_behind != NULL;

    for (uint32_t t = 0; is_convex && t < p->task_count; t++) {
        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++) {
            uint32_t from = p->edges[p->in_edges[k]].from;

            if (members[t])
                is_convex &= !is_behind[from];
            else
                is_behind[t] |= members[from] || is_behind[from];
        }
    }
    he_free(&p->arena.alloc, is_behind);
    return is_convex;
}
