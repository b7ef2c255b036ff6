/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the best of several answers. Between equals the shorter schedule wins, then the one with
 * less work and fewer transfers, then the first: the outcome depends on nothing but the order in
 * which they are shown. */
#include <string.h>

#include "policies.h"
#include "rank.h"

#define LARGE_TASKS 20000

he_status he_contest_init(struct he_contest *c, const struct he_problem *p,
                          enum he_objective objective, struct he_arena *arena)
{
    *c = (struct he_contest){ .problem = p, .objective = objective, .value = INFINITY };
    c->device = he_arena_alloc(arena, p->task_count, sizeof *c->device);
    c->order = he_arena_alloc(arena, p->task_count, sizeof *c->order);
    c->items = he_arena_alloc(arena, (size_t)p->task_count + p->edge_count, sizeof *c->items);
    if (!c->device || !c->order || !c->items)
        return he_no_memory();
    return he_judge_init(&c->judge, p);
}

void he_contest_fini(struct he_contest *c)
{
    he_judge_fini(&c->judge);
}

static bool is_better(const struct he_figures *a, const struct he_figures *b, double value_a,
                      double value_b)
{
    if (value_a != value_b)
        return value_a < value_b;
    if (a->makespan != b->makespan)
        return a->makespan < b->makespan;
    return a->sum_cost < b->sum_cost;
}

he_status he_contest_enter(struct he_contest *c, const uint32_t *device, const uint32_t *order,
                           const char *policy, double *value)
{
    return he_contest_enter_items(c, device, order, NULL, policy, value);
}

he_status he_contest_enter_items(struct he_contest *c, const uint32_t *device,
                                 const uint32_t *order, const uint32_t *items, const char *policy,
                                 double *value)
{
    he_status status = he_judge_run_items(&c->judge, device, order, items, false);
    size_t item_count = (size_t)c->problem->task_count + c->problem->edge_count;
    double found;

    if (value)
        *value = INFINITY;
    if (status == HE_OK)
        status = he_judge_stretch(&c->judge, device, order, false);
    if (status != HE_OK)
        return status;
    he_judge_hold_latency(&c->judge);
    if (c->judge.shortfall.kind != HE_FITS) {
        c->shortfall = c->judge.shortfall;
        return HE_OK;
    }
    found = he_figures_value(&c->judge.figures, c->objective);
    if (value)
        *value = found;
    if (c->has_best && !is_better(&c->judge.figures, &c->best, found, c->value))
        return HE_OK;
    c->best = c->judge.figures;
    memmove(c->device, device, c->problem->task_count * sizeof *device);
    memmove(c->order, order, c->problem->task_count * sizeof *order);
    c->has_items = items != NULL;
    if (items)
        memmove(c->items, items, item_count * sizeof *items);
    c->policy = policy;
    c->value = found;
    c->has_best = true;
    return HE_OK;
}

he_status he_contest_enter_orders(struct he_contest *c, const struct he_placement *answer)
{
    const struct he_problem *p = c->problem;
    struct he_arena scratch;
    uint32_t *order;
    he_status status = he_contest_enter_items(c, answer->device, answer->order, answer->items,
                                              answer->policy, NULL);

    /* On large graphs a judgement costs as much as a whole schedule: a fitting answer's own order
     * is good enough there. */
    if (status != HE_OK || (p->task_count > LARGE_TASKS && c->judge.shortfall.kind == HE_FITS))
        return status;
    he_arena_init(&scratch, &p->arena.alloc);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = order ? he_order_by_path(p, answer->device, order) : he_no_memory();
    if (status == HE_OK)
        status = he_contest_enter(c, answer->device, order, answer->policy, NULL);
    for (uint32_t t = 0; order && t < p->task_count; t++)
        order[t] = t;
    if (status == HE_OK)
        status = he_contest_enter(c, answer->device, order, answer->policy, NULL);
    he_arena_fini(&scratch);
    return status;
}

he_status he_contest_answer(const struct he_contest *c, struct he_arena *arena,
                            struct he_placement *out)
{
    size_t bytes = c->problem->task_count * sizeof *out->device;
    size_t item_bytes = bytes + c->problem->edge_count * sizeof *out->items;

    if (!c->has_best)
        return c->shortfall.kind != HE_FITS
                   ? he_error_set(HE_ERR_BUDGET, "every plan tried exceeds a budget")
                   : he_error_set(HE_ERR_BUDGET, "no plan keeps to the devices' memory and resources");
    out->policy = c->policy;
    out->proven = c->proven;
    out->device = he_arena_copy(arena, c->device, bytes);
    out->order = he_arena_copy(arena, c->order, bytes);
    out->items = c->has_items ? he_arena_copy(arena, c->items, item_bytes) : NULL;
    return out->device && out->order && (out->items || !c->has_items) ? HE_OK : he_no_memory();
}
