/* SPDX-License-Identifier: Apache-2.0 */
/* A graph and a machine -> the placement problem, with the cost behind each cell. */
#include <math.h>
#include <string.h>

#include "core/map.h"
#include "cost/cost.h"

/* Tasks go by the name of the anchor's first output, or of the anchor; made unique. */
static he_status name_tasks(const struct he_graph *graph, struct he_problem *problem)
{
    struct he_map names;
    uint32_t seen;
    he_status status;

    he_map_init(&names, &problem->arena);
    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct he_node *anchor = &graph->nodes[graph->tasks[t].anchor];
        const char *name = anchor->name;

        if (!name[0] && anchor->output_count > 0 && anchor->outputs[0] != HE_NONE)
            name = graph->values[anchor->outputs[0]].name;
        if (!name[0] || he_map_get(&names, name, &seen))
            name = he_arena_printf(&problem->arena, "%s#%u", name[0] ? name : anchor->op, t);
        if (!name)
            return he_no_memory();
        status = he_map_put(&names, name, t);
        if (status != HE_OK)
            return status;
        problem->task_ids[t] = name;
    }
    return HE_OK;
}

static double value_bytes(const struct he_value *value)
{
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);

    return bytes > 0 ? (double)bytes : 0;
}

/* One edge per value and consumer; edges of one value share its tensor. */
static he_status add_edges(const struct he_graph *graph, struct he_problem *problem)
{
    size_t most = 0;

    for (uint32_t t = 0; t < graph->task_count; t++)
        most += graph->tasks[t].input_count;
    problem->edges = he_arena_alloc(&problem->arena, most, sizeof *problem->edges);
    if (!problem->edges)
        return he_no_memory();
    for (uint32_t t = 0; t < graph->task_count; t++) {
        for (uint32_t k = 0; k < graph->tasks[t].input_count; k++) {
            uint32_t index = graph->tasks[t].inputs[k];
            const struct he_value *value = &graph->values[index];

            if (value->producer == HE_NONE)
                continue;
            problem->edges[problem->edge_count++] = (struct he_place_edge){
                .from = graph->nodes[value->producer].task,
                .to = t,
                .bytes = value_bytes(value),
                .tensor = index + 1,
            };
        }
    }
    return HE_OK;
}

/* Model inputs and outputs are the caller's, in host memory: a task that reads or
 * makes one on a device with a memory of its own pays for the way. */
static double border_seconds(const struct he_graph *graph, const struct he_task *task,
                             const struct he_machine *machine, uint32_t device)
{
    double seconds = 0;
    uint32_t host = 0;

    if (machine->devices[device].caps & HE_CAP_HOST_MEMORY)
        return 0;
    while (host < machine->device_count && !(machine->devices[host].caps & HE_CAP_HOST_MEMORY))
        host++;
    if (host == machine->device_count)
        return 0;
    for (uint32_t k = 0; k < task->input_count; k++) {
        const struct he_value *value = &graph->values[task->inputs[k]];

        if (value->is_input)
            seconds += he_machine_transfer_seconds(machine, host, device, value_bytes(value));
    }
    for (uint32_t k = 0; k < task->output_count; k++) {
        const struct he_value *value = &graph->values[task->outputs[k]];

        if (value->is_output)
            seconds += he_machine_transfer_seconds(machine, device, host, value_bytes(value));
    }
    return seconds;
}

/* Plans on several real devices that promise less than this much more turned out slower as
 * often as not (bench/guard). */
#define CAUTION 0.05
/* Out of one memory, before anybody has measured what the cores cost each other; and after. */
#define CAUTION_SIDE_BY_SIDE 0.5
#define CAUTION_MEASURED 0.1

/* A figure that is uncertain counts with its spread: on a machine whose cores are wanted by others the
 * wake-ups that take long are the ones that everybody waits for. */
static double sure_hand_over(const struct he_machine_pair *pair)
{
    return pair->hand_over_s * (1 + pair->hand_over_spread);
}

/* A region that waited for another device is started by a message between two threads; from
 * whichever device is furthest. */
static double waking_seconds(const struct he_machine *machine, uint32_t device)
{
    double hand_over = 0;

    for (uint32_t from = 0; from < machine->device_count; from++) {
        struct he_machine_pair pair = he_machine_pair_at(machine, from, device);

        if (from != device)
            hand_over = fmax(hand_over, sure_hand_over(&pair));
    }
    return hand_over;
}

/* How much of a task's time is moving memory: by its roofline. */
static double memory_share(const struct he_cost *cost)
{
    double sum = cost->compute_seconds + cost->memory_seconds;

    return sum > 0 ? cost->memory_seconds / sum : 0;
}

/* Of a tensor that others made on another core, a task reads what it needs: a Slice its piece. */
static he_status add_fetched_bytes(const struct he_graph *graph, struct he_problem *problem)
{
    double *bytes = he_arena_alloc(&problem->arena, problem->edge_count, sizeof *bytes);

    problem->company->fetched_bytes = bytes;
    if (!bytes)
        return he_no_memory();
    for (uint32_t e = 0; e < problem->edge_count; e++) {
        const struct he_task *task = &graph->tasks[problem->edges[e].to];
        double made = 0;

        bytes[e] = problem->edges[e].bytes;
        if (task->work.work_class != HE_WORK_MOVE)
            continue;
        for (uint32_t k = 0; k < task->output_count; k++)
            made += value_bytes(&graph->values[task->outputs[k]]);
        bytes[e] = fmin(bytes[e], made);
    }
    return HE_OK;
}

/* Seconds per byte; 0 where the two have other ways than their caches, or the same caches. */
static double sure_fetch(const struct he_machine *machine, const struct he_problem *problem,
                         uint32_t from, uint32_t to)
{
    struct he_machine_pair pair = he_machine_pair_at(machine, from, to);

    if (!he_machine_same_memory(machine, from, to) ||
        problem->devices[from].server == problem->devices[to].server)
        return 0;
    return pair.fetch_s * (1 + pair.fetch_spread);
}

static he_status add_company(const struct he_graph *graph, const struct he_machine *machine,
                             const struct he_cost *costs, struct he_problem *problem)
{
    uint32_t n = machine->device_count;
    size_t cells = (size_t)problem->task_count * n;
    struct he_place_company *company;

    if (n < 2)
        return HE_OK;
    company = he_arena_alloc(&problem->arena, 1, sizeof *company);
    problem->company = company;
    if (!company)
        return he_no_memory();
    company->slowdown_compute = he_arena_alloc(&problem->arena, (size_t)n * n, sizeof(double));
    company->slowdown_memory = he_arena_alloc(&problem->arena, (size_t)n * n, sizeof(double));
    company->fetch_seconds = he_arena_alloc(&problem->arena, (size_t)n * n, sizeof(double));
    company->memory_share = he_arena_alloc(&problem->arena, cells, sizeof(double));
    if (!company->slowdown_compute || !company->slowdown_memory || !company->fetch_seconds ||
        !company->memory_share)
        return he_no_memory();
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < n; b++) {
            struct he_machine_pair pair = he_machine_pair_at(machine, a, b);

            company->slowdown_compute[(size_t)a * n + b] = pair.slowdown_compute;
            company->slowdown_memory[(size_t)a * n + b] = pair.slowdown_memory;
            if (a == b || machine->devices[a].is_simulated)
                continue;
            company->fetch_seconds[(size_t)a * n + b] = sure_fetch(machine, problem, a, b);
            /* The worker that sleeps, then the caller. */
            company->gather_seconds = fmax(company->gather_seconds, 2 * sure_hand_over(&pair));
            company->caution = CAUTION;
            company->caution_side_by_side =
                fmax(company->caution_side_by_side, pair.source == HE_SOURCE_MEASURED
                                                        ? CAUTION_MEASURED
                                                        : CAUTION_SIDE_BY_SIDE);
        }
    }
    for (size_t k = 0; k < cells; k++)
        company->memory_share[k] = memory_share(&costs[k]);
    return add_fetched_bytes(graph, problem);
}

static he_status fill(const struct he_graph *graph, const struct he_machine *machine,
                      struct he_device *const *devs, const struct he_cost_store *store,
                      struct he_problem *problem, struct he_cost **costs)
{
    uint32_t tasks = graph->task_count, devices = machine->device_count;
    struct he_arena *arena = &problem->arena;
    struct he_cost_device *on;
    he_status status;

    problem->name = graph->name;
    problem->task_count = tasks;
    problem->device_count = devices;
    problem->has_contention = true;
    problem->task_ids = he_arena_alloc(arena, tasks, sizeof *problem->task_ids);
    problem->task_memory = he_arena_alloc(arena, tasks, sizeof *problem->task_memory);
    problem->launch = he_arena_alloc(arena, devices, sizeof *problem->launch);
    problem->waking = he_arena_alloc(arena, devices, sizeof *problem->waking);
    problem->devices = he_arena_alloc(arena, devices, sizeof *problem->devices);
    problem->links = he_arena_alloc(arena, (size_t)devices * devices, sizeof *problem->links);
    problem->time = he_arena_alloc(arena, (size_t)tasks * devices, sizeof *problem->time);
    *costs = he_arena_alloc(arena, (size_t)tasks * devices, sizeof **costs);
    on = he_arena_alloc(arena, devices, sizeof *on);
    if (!problem->task_ids || !problem->task_memory || !problem->launch || !problem->waking ||
        !problem->devices || !problem->links || !problem->time || !*costs || !on)
        return he_no_memory();
    for (uint32_t d = 0; d < devices; d++) {
        status = he_cost_device_init(&on[d], &machine->devices[d], devs ? devs[d] : NULL, store,
                                     arena);
        if (status != HE_OK)
            return status;
    }
    for (uint32_t t = 0; t < tasks; t++) {
        problem->task_memory[t] = (double)graph->tasks[t].constant_bytes;
        for (uint32_t d = 0; d < devices; d++) {
            struct he_cost *cost = &(*costs)[(size_t)t * devices + d];

            he_cost_task(graph, &graph->tasks[t], &on[d], arena, cost);
            cost->border_seconds = border_seconds(graph, &graph->tasks[t], machine, d);
            problem->time[(size_t)t * devices + d] = cost->seconds + cost->border_seconds;
        }
    }
    for (uint32_t d = 0; d < devices; d++) {
        problem->waking[d] = waking_seconds(machine, d);
        problem->launch[d] = machine->devices[d].launch_ns * 1e-9 + problem->waking[d];
    }
    he_cost_describe_devices(machine, problem);
    for (uint32_t d = 0; devs && d < devices; d++) {
        double limit = devs[d] ? (double)he_device_memory_limit(devs[d]) : 0;

        if (limit > 0)
            problem->devices[d].memory_bytes = fmin(problem->devices[d].memory_bytes, limit);
    }
    status = he_cost_describe_budgets(machine, problem);
    if (status == HE_OK)
        status = name_tasks(graph, problem);
    if (status == HE_OK)
        status = add_edges(graph, problem);
    if (status == HE_OK)
        status = add_company(graph, machine, *costs, problem);
    return status == HE_OK ? he_problem_index(problem) : status;
}

he_status he_cost_build(const struct he_graph *graph, const struct he_machine *machine,
                        struct he_device *const *devs, const struct he_cost_store *store,
                        const struct he_allocator *alloc, struct he_problem **out,
                        struct he_cost **costs)
{
    struct he_problem *problem = he_problem_create(alloc);
    he_status status;

    *out = NULL;
    if (!problem)
        return he_no_memory();
    status = fill(graph, machine, devs, store, problem, costs);
    if (status != HE_OK) {
        he_problem_destroy(problem);
        return status;
    }
    *out = problem;
    return HE_OK;
}
