/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why each task runs where it does: every candidate with the terms of its cost,
 * evaluated by moving the one task there and leaving the rest, and what would
 * flip the choice. Moving one task is what a reader can check by hand; the
 * policy itself may have weighed larger moves.
 */
#include <math.h>
#include <string.h>

#include "core/words.h"
#include "plan/plan.h"

static const char *const source_words[] = {
    [HE_COST_ROOFLINE] = "roofline",
    [HE_COST_LEARNT] = "roofline x learnt factor",
    [HE_COST_MEASURED] = "measured",
    [HE_COST_CANNOT] = "cannot run",
};

static void put_seconds(struct he_text *out, double seconds)
{
    if (seconds >= 1)
        he_text_printf(out, "%.3f s", seconds);
    else if (seconds >= 1e-3)
        he_text_printf(out, "%.3f ms", seconds * 1e3);
    else
        he_text_printf(out, "%.2f us", seconds * 1e6);
}

/* Seconds the task's tensors spend on links when it runs on @device. */
static double transfer_seconds(const struct he_plan *plan, uint32_t task, uint32_t device)
{
    const struct he_problem *p = plan->problem;
    const uint32_t *where = plan->placement.device;
    double sum = 0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        const struct he_place_edge *edge = &p->edges[p->in_edges[k]];

        sum += he_problem_transfer(p, where[edge->from], device, edge->bytes);
    }
    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
        const struct he_place_edge *edge = &p->edges[p->out_edges[k]];

        sum += he_problem_transfer(p, device, where[edge->to], edge->bytes);
    }
    return sum;
}

/* The plan's value with only @task moved; INFINITY when that is not feasible. */
static double value_if_moved(const struct he_plan *plan, uint32_t task, uint32_t device,
                             struct he_arena *arena)
{
    struct he_placement moved = plan->placement;
    struct he_schedule schedule;

    moved.device = he_arena_copy(arena, plan->placement.device,
                                 plan->problem->task_count * sizeof *moved.device);
    if (!moved.device)
        return INFINITY;
    moved.device[task] = device;
    if (he_place_evaluate(plan->problem, &moved, arena, &schedule) != HE_OK)
        return INFINITY;
    return he_schedule_value(&schedule, plan->objective);
}

static void put_cost(const struct he_plan *plan, uint32_t task, uint32_t device,
                     struct he_text *out)
{
    const struct he_cost *cost;

    if (!plan->costs)
        return;
    cost = &plan->costs[(size_t)task * plan->problem->device_count + device];
    he_text_printf(out, " (%s +-%.0f %%", source_words[cost->source], cost->spread * 100);
    if (cost->source == HE_COST_ROOFLINE || cost->source == HE_COST_LEARNT) {
        he_text_printf(out, ": compute ");
        put_seconds(out, cost->compute_seconds);
        he_text_printf(out, ", memory ");
        put_seconds(out, cost->memory_seconds);
        he_text_printf(out, ", launch ");
        put_seconds(out, cost->launch_seconds);
    }
    if (cost->border_seconds > 0) {
        he_text_printf(out, ", model inputs/outputs ");
        put_seconds(out, cost->border_seconds);
    }
    he_text_printf(out, ")");
}

/* How much faster something that takes @seconds must be to save @loss; 0 when it cannot. */
static double needed_speed_up(double seconds, double loss)
{
    return seconds > loss * 1.001 ? seconds / (seconds - loss) : 0;
}

/* What would have to change for @device to win: its execution or its transfers. */
static void put_flip(const struct he_plan *plan, uint32_t task, uint32_t device, double loss,
                     struct he_text *out)
{
    double exec = needed_speed_up(he_problem_time(plan->problem, task, device), loss);
    double links = needed_speed_up(transfer_seconds(plan, task, device), loss);

    if (loss <= plan->value * 1e-6)
        he_text_printf(out, "; as good");
    else if (exec > 0 && links > 0)
        he_text_printf(out, "; flips if it runs %.2fx faster there or its links are %.2fx faster",
                       exec, links);
    else if (exec > 0)
        he_text_printf(out, "; flips if it runs %.2fx faster there", exec);
    else if (links > 0)
        he_text_printf(out, "; flips if its links are %.2fx faster", links);
    else
        he_text_printf(out, "; flips only if neighbours move there too");
}

static void explain_candidate(const struct he_plan *plan, uint32_t task, uint32_t device,
                              struct he_arena *arena, struct he_text *out)
{
    const struct he_problem *p = plan->problem;
    double time = he_problem_time(p, task, device), moved;
    bool is_chosen = plan->placement.device[task] == device;

    he_text_printf(out, "  %c %-10s ", is_chosen ? '*' : ' ', p->devices[device].id);
    if (!isfinite(time)) {
        const char *reason = NULL;

        if (plan->costs)
            reason = plan->costs[(size_t)task * p->device_count + device].reason;
        he_text_printf(out, "cannot run: %s\n", reason ? reason : "no time is given");
        return;
    }
    he_text_printf(out, "exec ");
    put_seconds(out, time);
    put_cost(plan, task, device, out);
    he_text_printf(out, ", transfer ");
    put_seconds(out, transfer_seconds(plan, task, device));
    if (p->devices[device].busy_watts > 0)
        he_text_printf(out, ", energy %.3g J", time * p->devices[device].busy_watts);
    he_text_printf(out, ", memory %.3g MB", p->task_memory[task] * 1e-6);
    if (is_chosen) {
        he_text_printf(out, ", starts at ");
        put_seconds(out, plan->schedule.start[task]);
        he_text_printf(out, " <- chosen\n");
        return;
    }
    moved = value_if_moved(plan, task, device, arena);
    if (!isfinite(moved)) {
        he_text_printf(out, "; does not fit there: %s\n", he_error_message());
        return;
    }
    he_text_printf(out, "; plan would be %+.2f %%", (moved / plan->value - 1) * 100);
    put_flip(plan, task, device, moved - plan->value, out);
    he_text_printf(out, "\n");
}

static void explain_task(const struct he_plan *plan, uint32_t task, struct he_arena *arena,
                         struct he_text *out)
{
    const struct he_problem *p = plan->problem;

    he_text_printf(out, "%s", p->task_ids[task]);
    if (plan->graph) {
        const struct he_task *t = &plan->graph->tasks[task];

        he_text_printf(out, " [");
        for (uint32_t k = 0; k < t->node_count; k++)
            he_text_printf(out, "%s%s", k ? "+" : "", plan->graph->nodes[t->nodes[k]].op);
        he_text_printf(out, ", %.3g MFLOP, %.3g MB]", t->work.flops * 1e-6,
                       (t->work.read_bytes + t->work.write_bytes) * 1e-6);
    }
    he_text_printf(out, " runs on %s\n", p->devices[plan->placement.device[task]].id);
    for (uint32_t d = 0; d < p->device_count; d++)
        explain_candidate(plan, task, d, arena, out);
}

static he_status unknown_task(const struct he_plan *plan, const char *task)
{
    const char *nearest = he_nearest_word(task, plan->problem->task_ids, plan->problem->task_count);

    if (nearest)
        return he_error_set(HE_ERR_NOT_FOUND, "the plan has no task '%s', did you mean '%s'?", task,
                            nearest);
    return he_error_set(HE_ERR_NOT_FOUND, "the plan has no task '%s'", task);
}

he_status he_plan_explain(const struct he_plan *plan, const char *task, struct he_text *out)
{
    const struct he_problem *p = plan->problem;
    bool is_found = false;

    he_text_printf(out, "%s = ", he_objective_name(plan->objective));
    put_seconds(out, plan->value);
    he_text_printf(out, ", lower bound ");
    put_seconds(out, plan->lower_bound);
    he_text_printf(out, ", policy %s, %u tasks in %u regions\n", plan->placement.policy,
                   p->task_count, plan->part_count);
    for (uint32_t t = 0; t < p->task_count; t++) {
        struct he_arena arena;

        if (task && strcmp(task, p->task_ids[t]) != 0)
            continue;
        is_found = true;
        he_arena_init(&arena, &plan->arena.alloc);
        explain_task(plan, t, &arena, out);
        he_arena_fini(&arena);
    }
    return task && !is_found ? unknown_task(plan, task) : HE_OK;
}
