/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path: shortest path over the dataflow frontier. Tasks are taken in their
 * topological order; a state says where the frontier is: the devices of the tasks
 * whose results (or groups) are still waited for. An arc puts the next task on a device
 * and costs its time, its transfers and a launch. Of two ways to the same frontier only
 * the cheaper can be part of a shortest path, so that on chains and other narrow
 * graphs the answer is the optimum of the sum; on wide ones the cheapest states are
 * kept (a beam).
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "policies.h"
#include "random.h"
#include "units.h"

#define MOST_STATES 1024
#define LEAST_STATES 8
#define WORK 300000.0 /* arcs, about, without a time limit */

struct way {
    double cost;
    uint64_t frontier; /* hash of the devices of the frontier (Zobrist 1970) */
    uint32_t parent, device;
};

struct walker {
    const struct he_problem *problem;
    struct he_units units;
    struct he_arena *arena;
    uint32_t *slot_of;  /* per task: its place in a state while somebody waits for it */
    uint32_t *last_use; /* per task: the last task that looks at its device */
    uint32_t slot_count;
    uint32_t *leaving; /* slots whose tasks nobody looks at behind this step */
    uint32_t leaving_count;
    double work;
    uint32_t beam;
    /* The states before and after a step: device by slot, room used, cost. */
    uint16_t *devices, *next_devices;
    double *used, *next_used;
    double *cost, *next_cost;
    uint64_t *frontier, *next_frontier;
    size_t used_width; /* weights per device, then resources per device */
    uint32_t state_count;
    struct way *ways;
    uint32_t *parents; /* [task * beam + state] */
    uint16_t *chosen;
};

static uint32_t first_of_unit(const struct walker *w, uint32_t task)
{
    return w->units.tasks[w->units.start[w->units.of[task]]];
}

/* A task is looked at by its readers and, as the first of its unit, by all of the unit. */
static he_status plan_slots(struct walker *w)
{
    const struct he_problem *p = w->problem;
    uint32_t n = p->task_count, free_count = 0;
    uint32_t *free_slots = he_arena_alloc(w->arena, n, sizeof *free_slots);
    uint32_t *expire_start = he_arena_alloc(w->arena, (size_t)n + 1, sizeof *expire_start);
    uint32_t *expire = he_arena_alloc(w->arena, n, sizeof *expire);
    uint32_t *fill = he_arena_alloc(w->arena, (size_t)n + 1, sizeof *fill);

    w->slot_of = he_arena_alloc(w->arena, n, sizeof *w->slot_of);
    w->last_use = he_arena_alloc(w->arena, n, sizeof *w->last_use);
    if (!free_slots || !expire_start || !expire || !fill || !w->slot_of || !w->last_use)
        return he_no_memory();
    for (uint32_t t = 0; t < n; t++) {
        w->last_use[t] = t;
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            if (p->edges[p->out_edges[k]].to > w->last_use[t])
                w->last_use[t] = p->edges[p->out_edges[k]].to;
        }
        if (t > w->last_use[first_of_unit(w, t)])
            w->last_use[first_of_unit(w, t)] = t;
    }
    for (uint32_t t = 0; t < n; t++)
        expire_start[w->last_use[t] + 1]++;
    for (uint32_t t = 0; t < n; t++)
        expire_start[t + 1] += expire_start[t];
    memcpy(fill, expire_start, ((size_t)n + 1) * sizeof *fill);
    for (uint32_t t = 0; t < n; t++)
        expire[fill[w->last_use[t]]++] = t;
    for (uint32_t t = 0; t < n; t++) {
        w->slot_of[t] = free_count ? free_slots[--free_count] : w->slot_count++;
        for (uint32_t k = expire_start[t]; k < expire_start[t + 1]; k++)
            free_slots[free_count++] = w->slot_of[expire[k]];
    }
    return HE_OK;
}

static he_status make_states(struct walker *w)
{
    const struct he_problem *p = w->problem;
    double per_state = p->task_count * (4.0 * p->device_count + w->slot_count / 64.0);
    size_t beam;

    w->beam = (uint32_t)fmax(LEAST_STATES, fmin(MOST_STATES, w->work / (per_state + 1.0)));
    beam = w->beam;
    w->used_width = (size_t)p->device_count * (1 + p->resource_count);
    w->leaving = he_arena_alloc(w->arena, w->slot_count, sizeof *w->leaving);
    w->frontier = he_arena_alloc(w->arena, beam, sizeof *w->frontier);
    w->next_frontier = he_arena_alloc(w->arena, beam, sizeof *w->frontier);
    w->devices = he_arena_alloc(w->arena, beam, w->slot_count * sizeof *w->devices);
    w->next_devices = he_arena_alloc(w->arena, beam, w->slot_count * sizeof *w->devices);
    w->used = he_arena_alloc(w->arena, beam, w->used_width * sizeof *w->used);
    w->next_used = he_arena_alloc(w->arena, beam, w->used_width * sizeof *w->used);
    w->cost = he_arena_alloc(w->arena, beam, sizeof *w->cost);
    w->next_cost = he_arena_alloc(w->arena, beam, sizeof *w->cost);
    w->ways = he_arena_alloc(w->arena, beam, p->device_count * sizeof *w->ways);
    w->parents = he_arena_alloc(w->arena, p->task_count, beam * sizeof *w->parents);
    w->chosen = he_arena_alloc(w->arena, p->task_count, beam * sizeof *w->chosen);
    if (!w->leaving || !w->frontier || !w->next_frontier || !w->devices || !w->next_devices || !w->used || !w->next_used || !w->cost ||
        !w->next_cost || !w->ways || !w->parents || !w->chosen)
        return he_no_memory();
    w->state_count = 1;
    return HE_OK;
}

/* Room for @unit on @device in @state. */
static bool has_room(const struct walker *w, uint32_t state, uint32_t unit, uint32_t device)
{
    const struct he_problem *p = w->problem;
    const double *used = w->used + state * w->used_width;
    double in_memory = 0.0, room = 0.0;

    if (isinf(he_unit_time(&w->units, unit, device)) ||
        !he_fits(used[device] + w->units.memory[unit], p->weight_limit[device]))
        return false;
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (p->devices[j].memory_node == p->devices[device].memory_node) {
            in_memory += used[j];
            room = fmax(room, p->weight_limit[j]);
        }
    }
    if (!he_fits(in_memory + w->units.memory[unit], room))
        return false;
    for (size_t r = 0; r < p->resource_count; r++) {
        const double *of = used + (1 + r) * p->device_count;
        double amount = w->units.amount[(unit * p->resource_count + r) * p->device_count + device];
        double total = amount;

        if (amount == 0.0)
            continue;
        for (uint32_t j = 0; j < p->device_count; j++)
            total += of[j];
        if (!he_fits(total, p->resources[r].limit) ||
            (p->resources[r].device_limits &&
             !he_fits(of[device] + amount, p->resources[r].device_limits[device])))
            return false;
    }
    return true;
}

/* True when an earlier reader has the tensor of @edge brought into the memory of @device. */
static bool is_there(const struct walker *w, const uint16_t *at, uint32_t edge, uint32_t device)
{
    const struct he_problem *p = w->problem;
    uint32_t tensor = p->edge_tensor[edge], now = p->edges[edge].to;

    for (uint32_t k = p->tensor_start[tensor]; k < p->tensor_start[tensor + 1]; k++) {
        uint32_t reader = p->edges[p->out_edges[k]].to;

        /* Only readers that are still on the frontier are remembered. */
        if (reader < now && w->last_use[reader] >= now &&
            p->devices[at[w->slot_of[reader]]].memory_node == p->devices[device].memory_node)
            return true;
    }
    return false;
}

static double arc_cost(const struct walker *w, uint32_t state, uint32_t task, uint32_t device)
{
    const struct he_problem *p = w->problem;
    const uint16_t *at = w->devices + (size_t)state * w->slot_count;
    double cost = he_problem_time(p, task, device);
    bool starts_region = p->in_start[task] == p->in_start[task + 1];

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t e = p->in_edges[k], from = at[w->slot_of[p->edges[e].from]];

        if (from == device)
            continue;
        starts_region = true;
        if (!is_there(w, at, e, device))
            cost += he_problem_transfer(p, from, device, p->edges[e].bytes);
    }
    return cost + (starts_region && p->launch ? p->launch[device] : 0.0);
}

static uint64_t zobrist(uint32_t slot, uint32_t device)
{
    struct he_random r = { ((uint64_t)slot << 32) | device };

    return he_random_next(&r);
}

/* The frontier once @task is on @device. */
static uint64_t frontier_after(const struct walker *w, uint32_t state, uint32_t task,
                               uint32_t device)
{
    const uint16_t *at = w->devices + (size_t)state * w->slot_count;
    uint64_t hash = w->frontier[state];

    for (uint32_t k = 0; k < w->leaving_count; k++)
        hash ^= zobrist(w->leaving[k], at[w->leaving[k]]);
    return w->last_use[task] > task ? hash ^ zobrist(w->slot_of[task], device) : hash;
}

static int compare_frontiers(const void *left, const void *right)
{
    const struct way *a = left, *b = right;

    if (a->frontier != b->frontier)
        return a->frontier < b->frontier ? -1 : 1;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    return a->device < b->device ? -1 : a->device > b->device;
}

static int compare_costs(const void *left, const void *right)
{
    const struct way *a = left, *b = right;

    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return compare_frontiers(left, right);
}

/* The cheapest way to each frontier, and of those the cheapest ones the beam holds. */
static uint32_t select_ways(struct walker *w, uint32_t count)
{
    uint32_t kept = 0;

    if (count > 1)
        qsort(w->ways, count, sizeof *w->ways, compare_frontiers);
    for (uint32_t k = 0; k < count; k++) {
        if (k == 0 || w->ways[k].frontier != w->ways[k - 1].frontier)
            w->ways[kept++] = w->ways[k];
    }
    if (kept > 1)
        qsort(w->ways, kept, sizeof *w->ways, compare_costs);
    return kept < w->beam ? kept : w->beam;
}

static void enter_state(struct walker *w, uint32_t state, uint32_t task)
{
    const struct he_problem *p = w->problem;
    const struct way *way = &w->ways[state];
    uint16_t *devices = w->next_devices + (size_t)state * w->slot_count;
    double *used = w->next_used + state * w->used_width;
    uint32_t unit = w->units.of[task];

    memcpy(devices, w->devices + (size_t)way->parent * w->slot_count,
           w->slot_count * sizeof *devices);
    memcpy(used, w->used + way->parent * w->used_width, w->used_width * sizeof *used);
    devices[w->slot_of[task]] = (uint16_t)way->device;
    if (first_of_unit(w, task) == task) {
        used[way->device] += w->units.memory[unit];
        for (size_t r = 0; r < p->resource_count; r++)
            used[(1 + r) * p->device_count + way->device] +=
                w->units.amount[(unit * p->resource_count + r) * p->device_count + way->device];
    }
    w->next_cost[state] = way->cost;
    w->next_frontier[state] = way->frontier;
    w->parents[(size_t)task * w->beam + state] = way->parent;
    w->chosen[(size_t)task * w->beam + state] = (uint16_t)way->device;
}

static void swap_states(struct walker *w)
{
    uint16_t *devices = w->devices;
    double *used = w->used, *cost = w->cost;
    uint64_t *frontier = w->frontier;

    w->devices = w->next_devices;
    w->next_devices = devices;
    w->used = w->next_used;
    w->next_used = used;
    w->frontier = w->next_frontier;
    w->next_frontier = frontier;
    w->cost = w->next_cost;
    w->next_cost = cost;
}

/* Notes that @task is the last to look at @seen; it may look more than once. */
static void leave(struct walker *w, uint32_t seen, uint32_t task)
{
    if (w->last_use[seen] != task)
        return;
    for (uint32_t k = 0; k < w->leaving_count; k++) {
        if (w->leaving[k] == w->slot_of[seen])
            return;
    }
    w->leaving[w->leaving_count++] = w->slot_of[seen];
}

static he_status take_step(struct walker *w, uint32_t task)
{
    const struct he_problem *p = w->problem;
    uint32_t count = 0, unit = w->units.of[task], first = first_of_unit(w, task);

    w->leaving_count = 0;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        leave(w, p->edges[p->in_edges[k]].from, task);
    if (first != task)
        leave(w, first, task);
    for (uint32_t s = 0; s < w->state_count; s++) {
        const uint16_t *at = w->devices + (size_t)s * w->slot_count;

        for (uint32_t j = 0; j < p->device_count; j++) {
            if (first == task ? !has_room(w, s, unit, j) : at[w->slot_of[first]] != j)
                continue;
            w->ways[count++] = (struct way){ .cost = w->cost[s] + arc_cost(w, s, task, j),
                                             .frontier = frontier_after(w, s, task, j),
                                             .parent = s,
                                             .device = j };
        }
    }
    if (count == 0)
        return he_error_set(HE_ERR_BUDGET, "task %s finds no device with room for its %.0f bytes",
                            p->task_ids[task], w->units.memory[unit]);
    w->state_count = select_ways(w, count);
    for (uint32_t s = 0; s < w->state_count; s++)
        enter_state(w, s, task);
    swap_states(w);
    return HE_OK;
}

/* The last step has one frontier, the empty one: state 0 is the shortest path. */
static void trace_back(const struct walker *w, uint32_t *unit_device)
{
    uint32_t state = 0;

    for (uint32_t t = w->problem->task_count; t-- > 0;) {
        unit_device[w->units.of[t]] = w->chosen[(size_t)t * w->beam + state];
        state = w->parents[(size_t)t * w->beam + state];
    }
}

he_status he_policy_path(const struct he_problem *p, const struct he_place_options *options,
                         struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct walker w = { .problem = p, .arena = &scratch };
    uint32_t *device;
    he_status status;

    w.work = options->time_limit > 0.0 ? fmax(WORK, fmin(options->time_limit, 10.0) * 4.0 * WORK) : WORK;
    if (p->device_count > UINT16_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED, "path takes at most %u devices", UINT16_MAX);
    he_arena_init(&scratch, &p->arena.alloc);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    status = device ? he_units_init(&w.units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = plan_slots(&w);
    if (status == HE_OK)
        status = make_states(&w);
    for (uint32_t t = 0; status == HE_OK && t < p->task_count; t++)
        status = take_step(&w, t);
    if (status == HE_OK) {
        trace_back(&w, device);
        status = he_units_answer(&w.units, device, NULL, "path", arena, out);
    }
    he_arena_fini(&scratch);
    return status;
}
