/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terms behind each choice: every candidate is judged by moving the one task
 * there and leaving the rest. That is what a reader can check by hand; the
 * policy itself may have weighed larger moves.
 */
#include <math.h>
#include <string.h>

#include "plan/explain.h"

he_status he_explainer_init(struct he_explainer *x, const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;

    *x = (struct he_explainer){ .plan = plan };
    he_arena_init(&x->arena, &plan->arena.alloc);
    x->device = he_alloc(&plan->arena.alloc, p->task_count, sizeof *x->device);
    x->candidates = he_alloc(&plan->arena.alloc, p->device_count, sizeof *x->candidates);
    if ((!x->device && p->task_count) || !x->candidates)
        return he_no_memory();
    memcpy(x->device, plan->placement.device, p->task_count * sizeof *x->device);
    return he_judge_init(&x->judge, p);
}

void he_explainer_fini(struct he_explainer *x)
{
    if (!x->plan)
        return;
    he_judge_fini(&x->judge);
    he_free(&x->plan->arena.alloc, x->device);
    he_free(&x->plan->arena.alloc, x->candidates);
    he_arena_fini(&x->arena);
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

/* In the schedule just judged: from the arrival of the last input to the start. */
static double queue_seconds(const struct he_explainer *x, uint32_t task)
{
    const struct he_problem *p = x->plan->problem;
    double ready = 0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t e = p->in_edges[k], from = p->edges[e].from;
        bool is_sent = p->devices[x->device[from]].memory_node !=
                       p->devices[x->device[task]].memory_node;

        ready = fmax(ready, is_sent ? x->judge.sent_finish[e] : x->judge.finish[from]);
    }
    return fmax(0, x->judge.start[task] - ready);
}

/* How much faster something that takes @seconds must be to save @loss; 0 when it cannot. */
static double needed_speed_up(double seconds, double loss)
{
    return loss > 0 && seconds > loss * 1.001 ? seconds / (seconds - loss) : 0;
}

static const char *cannot_run_reason(const struct he_plan *plan, uint32_t task, uint32_t device)
{
    const char *reason =
        plan->costs ? plan->costs[(size_t)task * plan->problem->device_count + device].reason : NULL;

    return reason ? reason : "no time is given";
}

static he_status judge_candidate(struct he_explainer *x, uint32_t task, struct he_candidate *c)
{
    const struct he_plan *plan = x->plan;
    he_status status;

    x->device[task] = c->device;
    status = he_judge_run(&x->judge, x->device, plan->placement.order, false);
    if (status == HE_OK && x->judge.shortfall.kind == HE_FITS) {
        c->value = he_figures_value(&x->judge.figures, plan->objective);
        c->queue = queue_seconds(x, task);
        c->exec_flip = needed_speed_up(c->exec, c->value - plan->value);
        c->link_flip = needed_speed_up(c->transfer, c->value - plan->value);
    } else if (status == HE_OK) {
        (void)he_shortfall_error(plan->problem, &x->judge.shortfall, x->device);
        c->reason = he_arena_string(&x->arena, he_error_message(), strlen(he_error_message()));
        if (!c->reason)
            status = he_no_memory();
    }
    x->device[task] = plan->placement.device[task];
    return status;
}

he_status he_explain_task(struct he_explainer *x, uint32_t task)
{
    const struct he_plan *plan = x->plan;
    const struct he_problem *p = plan->problem;

    he_arena_fini(&x->arena);
    he_arena_init(&x->arena, &plan->arena.alloc);
    for (uint32_t d = 0; d < p->device_count; d++) {
        struct he_candidate *c = &x->candidates[d];
        he_status status;

        *c = (struct he_candidate){ .device = d, .exec = he_problem_time(p, task, d),
                                    .value = INFINITY, .memory_bytes = p->task_memory[task],
                                    .is_chosen = plan->placement.device[task] == d };
        c->can_run = isfinite(c->exec);
        if (!c->can_run) {
            c->reason = cannot_run_reason(plan, task, d);
            continue;
        }
        c->transfer = transfer_seconds(plan, task, d);
        c->energy = c->exec * p->devices[d].busy_watts;
        status = judge_candidate(x, task, c);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

const char *he_explain_flip(const struct he_plan *plan, const struct he_what_if *change,
                            uint32_t task)
{
    uint32_t here = plan->placement.device[task];
    const char *id = plan->problem->devices[here].id;

    if (!change->device || change->removed == here || strcmp(change->device[task], id) == 0)
        return NULL;
    return change->device[task];
}

/* --- Why --- */

/* "runs 3.1x as fast" and what speaks against it. */
static const char *compare(struct he_explainer *x, const struct he_candidate *winner,
                           const struct he_candidate *rival)
{
    const char *rival_id = x->plan->problem->devices[rival->device].id;
    double exec = rival->exec - winner->exec, transfer = rival->transfer - winner->transfer;
    double queue = rival->queue - winner->queue;

    if (exec >= transfer && exec >= queue && exec > 0)
        return he_arena_printf(&x->arena, "runs %.2fx as fast as on %s", rival->exec / winner->exec,
                               rival_id);
    if (transfer >= queue && transfer > 0)
        return he_arena_printf(&x->arena,
                               "its tensors are near: on %s transfers would take %.3g us more",
                               rival_id, transfer * 1e6);
    if (queue > 0)
        return he_arena_printf(&x->arena, "%s is busy: it would wait there for %.3g us more",
                               rival_id, queue * 1e6);
    return he_arena_printf(&x->arena, "later tasks are better off with it here than on %s",
                           rival_id);
}

/* NULL without memory. */
static const char *find_why(struct he_explainer *x, uint32_t task)
{
    const struct he_plan *plan = x->plan;
    const struct he_candidate *winner = &x->candidates[plan->placement.device[task]], *rival = NULL;
    bool has_misfit = false;

    for (uint32_t d = 0; d < plan->problem->device_count; d++) {
        const struct he_candidate *c = &x->candidates[d];

        if (c == winner || !c->can_run)
            continue;
        has_misfit |= isinf(c->value);
        if (!isinf(c->value) && (!rival || c->value < rival->value))
            rival = c;
    }
    if (!rival)
        return has_misfit ? "no other device that can run it has room or budget for it"
                          : "no other device can run it";
    if (rival->value < plan->value * (1.0 - 1e-9))
        return he_arena_printf(&x->arena,
                               "the policy chose it; moving this task alone to %s would be %.2f %% "
                               "better", plan->problem->devices[rival->device].id,
                               (1.0 - rival->value / plan->value) * 100);
    if (rival->value <= plan->value * (1.0 + 1e-9))
        return he_arena_printf(&x->arena, "%s would be as good: the %s does not depend on it",
                               plan->problem->devices[rival->device].id,
                               he_objective_name(plan->objective));
    return compare(x, winner, rival);
}

const char *he_explain_why(struct he_explainer *x, uint32_t task)
{
    const char *why = find_why(x, task);

    return why ? why : "";
}
