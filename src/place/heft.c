/* SPDX-License-Identifier: Apache-2.0 */
/* heft: tasks by mean upward rank, each on the device where it finishes first.
 * Source: Topcuoglu, Hariri, Wu, TPDS 2002. */
#include "list.h"
#include "policies.h"
#include "rank.h"
#include "sweep.h"

/* Where memories are so full that some task finds no room at its turn: the schedule without
 * limits, whose tasks then trade places until they fit, and stay on their devices. */
static he_status schedule_and_mend(const struct he_units *units, const double *rank,
                                   struct he_arena *arena, uint32_t *device, uint32_t *order)
{
    const struct he_problem *p = units->problem;
    uint32_t d = p->device_count;
    struct he_choices all = { 0 };
    struct he_sweep sweep = { 0 };
    double *price = he_arena_alloc(arena, d, sizeof *price);
    he_status status = he_sweep_init(&sweep, units, arena);

    all.start = he_arena_alloc(arena, (size_t)units->count + 1, sizeof *all.start);
    all.device = he_arena_alloc(arena, units->count, d * sizeof *all.device);
    all.regret = he_arena_alloc(arena, units->count, d * sizeof *all.regret);
    if (status == HE_OK && (!price || !all.start || !all.device || !all.regret))
        status = he_no_memory();
    for (uint32_t u = 0; status == HE_OK && u < units->count; u++) {
        all.start[u + 1] = all.start[u];
        for (uint32_t j = 0; j < d; j++) {
            price[j] = 1.0;
            if (!isinf(he_unit_time(units, u, j)))
                all.device[all.start[u + 1]++] = j;
        }
    }
    if (status == HE_OK)
        status = he_order_by_priority(p, rank, order);
    sweep.ignores_room = true;
    if (status == HE_OK)
        status = he_sweep_run(&sweep, order, false, &all, 0.0);
    if (status == HE_OK && !he_units_mend(units, &sweep.load, price, arena, sweep.device))
        status = he_error_set(HE_ERR_BUDGET, "list scheduling finds no room for every task");
    if (status == HE_OK)
        status = he_sweep_run(&sweep, order, false, NULL, 0.0);
    if (status == HE_OK)
        status = he_order_by_start(p, sweep.begin, order);
    for (uint32_t u = 0; status == HE_OK && u < units->count; u++)
        device[u] = sweep.device[u];
    he_sweep_fini(&sweep);
    return status;
}

he_status he_policy_heft(const struct he_problem *p, const struct he_place_options *options,
                         struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_units units;
    struct he_list_rule rule = { 0 };
    double *rank;
    uint32_t *device, *order;
    he_status status;

    (void)options; /* there is one HEFT, whatever is asked for */
    he_arena_init(&scratch, &p->arena.alloc);
    rank = he_arena_alloc(&scratch, p->task_count, sizeof *rank);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = rank && device && order ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK) {
        he_rank_upward(p, HE_RANK_MEAN, 1.0, rank);
        rule.priority = rank;
        status = he_list_schedule(&units, &rule, device, order);
        if (status == HE_ERR_BUDGET)
            status = schedule_and_mend(&units, rank, &scratch, device, order);
    }
    if (status == HE_OK)
        status = he_units_answer(&units, device, order, "heft", arena, out);
    he_arena_fini(&scratch);
    return status;
}
