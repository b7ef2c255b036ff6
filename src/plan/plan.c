/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan: place, partition, bound; and its public figures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "plan/plan.h"

void he_plan_destroy(struct he_plan *plan)
{
    struct he_arena arena;

    if (!plan)
        return;
    he_graph_destroy(plan->graph);
    he_problem_destroy(plan->problem);
    /* The plan lives in its own arena. */
    arena = plan->arena;
    he_arena_fini(&arena);
}

/* Takes @graph and @problem, whatever comes. */
static he_status begin(struct he_graph *graph, const struct he_machine *machine,
                       struct he_problem *problem, struct he_cost *costs,
                       const struct he_allocator *alloc, struct he_plan **out)
{
    struct he_arena arena;
    struct he_plan *plan;

    *out = NULL;
    he_arena_init(&arena, alloc);
    plan = he_arena_alloc(&arena, 1, sizeof *plan);
    if (!plan) {
        he_graph_destroy(graph);
        he_problem_destroy(problem);
        return he_no_memory();
    }
    plan->arena = arena;
    plan->graph = graph;
    plan->machine = machine;
    plan->problem = problem;
    plan->costs = costs;
    *out = plan;
    return HE_OK;
}

static he_status finish(struct he_plan *plan, uint64_t started_ns)
{
    uint64_t placed_ns = he_now_ns();
    struct he_bound bound;

    plan->value = he_schedule_value(&plan->schedule, plan->objective);
    plan->plan_seconds = (double)(placed_ns - started_ns) * 1e-9;
    bound = he_place_bound(plan->problem, plan->objective);
    if (plan->placement.proven > bound.value)
        bound = (struct he_bound){ plan->placement.proven, "search" };
    plan->lower_bound = bound.value;
    plan->lower_bound_by = bound.by;
    plan->bound_seconds = (double)(he_now_ns() - placed_ns) * 1e-9;
    return he_partition(plan->problem, &plan->placement, &plan->arena, &plan->parts,
                        &plan->part_count);
}

he_status he_plan_create(struct he_graph *graph, const struct he_machine *machine,
                         struct he_problem *problem, struct he_cost *costs, const char *strategy,
                         const struct he_place_options *options, const struct he_allocator *alloc,
                         struct he_plan **out)
{
    struct he_place_options place_options = *options;
    uint64_t started_ns = he_now_ns();
    struct he_plan *plan;
    he_status status = begin(graph, machine, problem, costs, alloc, &plan);

    *out = NULL;
    if (status != HE_OK)
        return status;
    /* An unknown strategy is he_place()'s to report, with the nearest valid one. */
    he_strategy_find(strategy, &place_options.objective);
    plan->objective = place_options.objective;
    plan->strategy = he_arena_string(&plan->arena, strategy, strlen(strategy));
    status = plan->strategy ? he_place(problem, strategy, &place_options, &plan->arena,
                                       &plan->placement, &plan->schedule)
                            : he_no_memory();
    if (status == HE_OK)
        status = finish(plan, started_ns);
    if (status != HE_OK) {
        he_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return HE_OK;
}

he_status he_plan_create_placed(struct he_graph *graph, const struct he_machine *machine,
                                struct he_problem *problem, struct he_cost *costs,
                                const struct he_placement *placement, enum he_objective objective,
                                const struct he_allocator *alloc, struct he_plan **out)
{
    uint64_t started_ns = he_now_ns();
    size_t bytes = problem->task_count * sizeof *placement->device;
    struct he_plan *plan;
    he_status status = begin(graph, machine, problem, costs, alloc, &plan);

    *out = NULL;
    if (status != HE_OK)
        return status;
    plan->objective = objective;
    plan->strategy = "saved";
    plan->placement.policy = "saved";
    plan->placement.device = he_arena_copy(&plan->arena, placement->device, bytes);
    plan->placement.order = he_arena_copy(&plan->arena, placement->order, bytes);
    status = plan->placement.device && plan->placement.order
                 ? he_place_evaluate(problem, &plan->placement, &plan->arena, &plan->schedule)
                 : he_no_memory();
    if (status == HE_OK)
        status = finish(plan, started_ns);
    if (status != HE_OK) {
        he_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return HE_OK;
}

he_status he_plan_save(const struct he_plan *plan, const char *path)
{
    struct he_json_writer json;
    struct he_text text;
    he_status status;

    if (!plan || !path)
        return he_error_set(HE_ERR_INVALID, "he_plan_save: plan or path is NULL");
    he_text_init(&text, &plan->arena.alloc);
    he_json_begin(&json, &text, true);
    he_plan_write_json(plan, &json);
    he_text_append(&text, "\n", 1);
    status = he_text_status(&text);
    if (status == HE_OK)
        status = he_file_write(path, he_text_string(&text), text.size);
    he_text_fini(&text);
    return status;
}

he_status he_plan_figures(const struct he_plan *plan, struct he_plan_figures *out)
{
    struct he_plan_figures figures;
    size_t size;

    if (!plan || !out || out->struct_size < sizeof out->struct_size)
        return he_error_set(HE_ERR_INVALID, "he_plan_figures: plan, out or its struct_size is missing");
    size = out->struct_size < sizeof figures ? out->struct_size : sizeof figures;
    figures = (struct he_plan_figures){
        .struct_size = size,
        .makespan = plan->schedule.makespan,
        .sum_cost = plan->schedule.sum_cost,
        .lower_bound = plan->lower_bound,
        .gap = plan->lower_bound > 0 ? plan->value / plan->lower_bound - 1 : 0,
        .plan_seconds = plan->plan_seconds,
        .task_count = plan->problem->task_count,
        .region_count = plan->part_count,
    };
    for (uint32_t d = 0; d < plan->problem->device_count; d++) {
        bool has_work = false;

        for (uint32_t t = 0; t < plan->problem->task_count; t++)
            has_work |= plan->placement.device[t] == d;
        figures.device_count += has_work;
    }
    for (uint32_t m = 0; m < plan->memory_count; m++) {
        figures.arena_bytes += plan->memories[m].arena_bytes;
        figures.arena_lower_bound_bytes += plan->memories[m].lower_bound_bytes;
    }
    memcpy(out, &figures, size);
    return HE_OK;
}

he_status he_plan_task(const struct he_plan *plan, size_t index, const char **id,
                       const char **device, double *seconds)
{
    if (!plan || index >= plan->problem->task_count)
        return he_error_set(HE_ERR_INVALID, "he_plan_task: no task %zu", index);
    if (id)
        *id = plan->problem->task_ids[index];
    if (device)
        *device = plan->problem->devices[plan->placement.device[index]].id;
    if (seconds)
        *seconds = he_problem_time(plan->problem, (uint32_t)index, plan->placement.device[index]);
    return HE_OK;
}

he_status he_plan_explain_text(const struct he_plan *plan, const char *task, char **out)
{
    struct he_text text;
    he_status status;

    if (!plan || !out)
        return he_error_set(HE_ERR_INVALID, "he_plan_explain_text: plan or out is NULL");
    *out = NULL;
    /* The caller frees it with he_string_free(), which knows malloc only. */
    he_text_init(&text, &he_allocator_default);
    status = he_plan_explain(plan, task, &text);
    if (status == HE_OK)
        status = he_text_status(&text);
    if (status != HE_OK) {
        he_text_fini(&text);
        return status;
    }
    *out = text.data;
    return HE_OK;
}

void he_string_free(char *string)
{
    free(string);
}
