/* SPDX-License-Identifier: Apache-2.0 */
/*
 * energy: joules are busy watts where tasks run and idle watts of every device
 * for as long as it takes. Were tasks run one by one, that would be a least sum with
 * the idle watts of the whole machine on every second; were they spread evenly, with a
 * share of them. Both sums are minimised, and searched on from the better one.
 */
#include "local.h"
#include "minsum.h"

struct energy {
    const struct he_problem *problem;
    const struct he_place_options *options;
    struct he_units units;
    struct he_contest contest;
    double idle_watts; /* of all devices */
    double *unary;
    uint32_t *device;
};

static he_status try_share(struct energy *e, double share, struct he_arena *arena)
{
    const struct he_problem *p = e->problem;
    struct he_placement answer = { 0 };
    bool is_proven;
    he_status status;

    for (uint32_t u = 0; u < e->units.count; u++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            double time = he_unit_time(&e->units, u, j);
            double watts =
                p->devices[j].busy_watts - p->devices[j].idle_watts + share * e->idle_watts;

            e->unary[(size_t)u * p->device_count + j] = isinf(time) ? HE_CANNOT_RUN : time * watts;
        }
    }
    status = he_min_sum_solve(&e->units, e->unary, share * e->idle_watts, share * e->idle_watts,
                              e->options, e->device, &is_proven);
    if (status == HE_ERR_BUDGET)
        return HE_OK;
    if (status == HE_OK)
        status = he_units_answer(&e->units, e->device, NULL, "energy", arena, &answer);
    return status == HE_OK ? he_contest_enter_orders(&e->contest, &answer) : status;
}

he_status he_policy_energy(const struct he_problem *p, const struct he_place_options *options,
                           struct he_arena *arena, struct he_placement *out)
{
    struct he_place_options by_energy = *options;
    struct he_arena scratch;
    struct energy e = { .problem = p, .options = &by_energy };
    he_status status;

    by_energy.objective = HE_OBJECTIVE_ENERGY;
    for (uint32_t j = 0; j < p->device_count; j++)
        e.idle_watts += p->devices[j].idle_watts;
    he_arena_init(&scratch, &p->arena.alloc);
    e.unary = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *e.unary);
    e.device = he_arena_alloc(&scratch, p->task_count, sizeof *e.device);
    status = e.unary && e.device ? he_units_init(&e.units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = he_contest_init(&e.contest, p, HE_OBJECTIVE_ENERGY, &scratch);
    by_energy.time_limit = options->time_limit / 4.0;
    if (status == HE_OK)
        status = try_share(&e, 1.0, &scratch);
    if (status == HE_OK)
        status = try_share(&e, 1.0 / p->server_count, &scratch);
    if (status == HE_OK)
        status = he_contest_run(&e.contest, p, he_policy_heft, &by_energy);
    if (status == HE_OK)
        status = he_guard(&e.contest);
    if (status == HE_OK)
        status = he_local_search(&e.contest, p, &by_energy, 0.5);
    if (status == HE_OK)
        status = he_contest_answer(&e.contest, arena, out);
    he_contest_fini(&e.contest);
    he_arena_fini(&scratch);
    return status;
}
