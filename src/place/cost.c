/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cost: minimise  sum over tasks of T_i / E_j(i) + transfers + launches  within
 * the memory of devices and the resource budgets. minsum.h does it; tasks then
 * run by longest remaining path.
 */
#include "minsum.h"
#include "policies.h"

he_status he_policy_cost(const struct he_problem *p, const struct he_place_options *options,
                         struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_units units;
    uint32_t *device;
    double proven;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    status = device ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = he_min_sum_solve(&units, units.time, 1.0, 1.0, options, device, &proven);
    if (status == HE_OK)
        status = he_units_answer(&units, device, NULL, "cost", arena, out);
    if (status == HE_OK && options->objective == HE_OBJECTIVE_COST)
        out->proven = proven * (1.0 - 1e-9); /* sums of the same numbers in another order differ */
    he_arena_fini(&scratch);
    return status;
}
