/* SPDX-License-Identifier: Apache-2.0 */
/* The explanation for a reader at a terminal. */
#include <math.h>
#include <string.h>

#include "core/words.h"
#include "plan/explain.h"

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

/* The objective in its unit. */
static void put_value(struct he_text *out, const struct he_plan *plan, double value)
{
    if (plan->objective == HE_OBJECTIVE_ENERGY)
        he_text_printf(out, "%.6g J", value);
    else
        put_seconds(out, value);
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
    if (cost->way)
        he_text_printf(out, ", done the way '%s' (%s)", cost->way,
                       he_cost_why_names[cost->way_why]);
    if (cost->border_seconds > 0) {
        he_text_printf(out, ", model inputs/outputs ");
        put_seconds(out, cost->border_seconds);
    }
    he_text_printf(out, ")");
}

/* What would have to change for this device to win: its execution or its transfers. */
static void put_flip(const struct he_plan *plan, const struct he_candidate *c, struct he_text *out)
{
    if (c->value <= plan->value * (1.0 + 1e-9))
        he_text_printf(out, "; as good");
    else if (c->exec_flip > 0 && c->link_flip > 0)
        he_text_printf(out, "; flips if it runs %.2fx faster there or its links are %.2fx faster",
                       c->exec_flip, c->link_flip);
    else if (c->exec_flip > 0)
        he_text_printf(out, "; flips if it runs %.2fx faster there", c->exec_flip);
    else if (c->link_flip > 0)
        he_text_printf(out, "; flips if its links are %.2fx faster", c->link_flip);
    else
        he_text_printf(out, "; flips only if neighbours move there too");
}

static void put_candidate(const struct he_plan *plan, uint32_t task, const struct he_candidate *c,
                          struct he_text *out)
{
    const struct he_problem *p = plan->problem;

    he_text_printf(out, "  %c %-10s ", c->is_chosen ? '*' : ' ', p->devices[c->device].id);
    if (!c->can_run) {
        he_text_printf(out, "cannot run: %s\n", c->reason);
        return;
    }
    he_text_printf(out, "exec ");
    put_seconds(out, c->exec);
    put_cost(plan, task, c->device, out);
    he_text_printf(out, ", transfer ");
    put_seconds(out, c->transfer);
    he_text_printf(out, ", queue ");
    put_seconds(out, c->queue);
    if (p->devices[c->device].busy_watts > 0)
        he_text_printf(out, ", energy %.3g J", c->energy);
    he_text_printf(out, ", memory %.3g MB", c->memory_bytes * 1e-6);
    if (c->is_chosen) {
        he_text_printf(out, ", starts at ");
        put_seconds(out, plan->schedule.start[task]);
        he_text_printf(out, " <- chosen\n");
        return;
    }
    if (c->reason) {
        he_text_printf(out, "; does not fit there: %s\n", c->reason);
        return;
    }
    he_text_printf(out, "; plan would be %+.2f %%", (c->value / plan->value - 1) * 100);
    put_flip(plan, c, out);
    he_text_printf(out, "\n");
}

static void put_task(struct he_explainer *x, uint32_t task, const struct he_what_if *changes,
                     size_t change_count, struct he_text *out)
{
    const struct he_plan *plan = x->plan;
    const struct he_problem *p = plan->problem;
    const char *here = p->devices[plan->placement.device[task]].id;
    const struct he_node_part *part = he_plan_part(plan, task);

    he_text_printf(out, "%s", p->task_ids[task]);
    if (plan->graph) {
        const struct he_task *t = &plan->graph->tasks[task];

        he_text_printf(out, " [");
        for (uint32_t k = 0; k < t->node_count; k++)
            he_text_printf(out, "%s%s", k ? "+" : "", plan->graph->nodes[t->nodes[k]].op);
        he_text_printf(out, ", %.3g MFLOP, %.3g MB]", t->work.flops * 1e-6,
                       (t->work.read_bytes + t->work.write_bytes) * 1e-6);
    }
    if (part)
        he_text_printf(out, ", %lld to %lld along axis %u of %s,", (long long)part->begin,
                       (long long)part->end, part->axis, part->of);
    he_text_printf(out, " runs on %s: %s\n", here, he_explain_why(x, task));
    for (uint32_t d = 0; d < p->device_count; d++)
        put_candidate(plan, task, &x->candidates[d], out);
    for (size_t k = 0; k < change_count; k++) {
        const char *device = he_explain_flip(plan, &changes[k], task);

        if (device)
            he_text_printf(out, "    %s: it would run on %s\n", changes[k].change, device);
    }
}

static void put_changes(const struct he_plan *plan, const struct he_what_if *changes, size_t count,
                        struct he_text *out)
{
    if (count > 0)
        he_text_printf(out, "what would change the plan:\n");
    for (size_t k = 0; k < count; k++) {
        const struct he_what_if *c = &changes[k];

        he_text_printf(out, "  %-32s ", c->change);
        if (isinf(c->value)) {
            he_text_printf(out, "no plan\n");
            continue;
        }
        put_value(out, plan, c->value);
        he_text_printf(out, " (%+.2f %%), %u of %u tasks elsewhere\n",
                       plan->value > 0 ? (c->value / plan->value - 1) * 100 : 0, c->moved,
                       plan->problem->task_count);
    }
}

he_status he_explain_unknown(const struct he_plan *plan, const char *task)
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
    struct he_explainer x = { 0 };
    struct he_what_if *changes = NULL;
    struct he_arena arena;
    size_t change_count = 0;
    bool is_found = false;
    he_status status = HE_OK;

    he_text_printf(out, "%s = ", he_objective_name(plan->objective));
    put_value(out, plan, plan->value);
    he_text_printf(out, ", lower bound ");
    put_value(out, plan, plan->lower_bound);
    he_text_printf(out, ", policy %s, %u tasks in %u regions\n", plan->placement.policy,
                   p->task_count, plan->part_count);
    he_arena_init(&arena, &plan->arena.alloc);
    if (p->task_count <= HE_WHAT_IF_TASKS)
        status = he_plan_what_if(plan, &arena, &changes, &change_count);
    if (status == HE_OK)
        status = he_explainer_init(&x, plan);
    for (uint32_t t = 0; status == HE_OK && t < p->task_count; t++) {
        if (task && strcmp(task, p->task_ids[t]) != 0)
            continue;
        is_found = true;
        status = he_explain_task(&x, t);
        if (status == HE_OK)
            put_task(&x, t, changes, change_count, out);
    }
    if (status == HE_OK && (is_found || !task))
        put_changes(plan, changes, change_count, out);
    he_explainer_fini(&x);
    he_arena_fini(&arena);
    return status == HE_OK && task && !is_found ? he_explain_unknown(plan, task) : status;
}
