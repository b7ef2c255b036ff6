/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portfolio: no list scheduler wins everywhere, so several are run and the best
 * answer by the judge is kept, under the objective that is asked for.
 */
#include "policies.h"

static he_policy_run *const members[] = { he_policy_cost, he_policy_heft, he_policy_peft,
                                          he_policy_priority };

he_status he_policy_portfolio(const struct he_problem *p, const struct he_place_options *options,
                              struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_contest contest = { 0 };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, options->objective, &scratch);
    if (status == HE_OK)
        status = he_guard(&contest);
    for (size_t k = 0; status == HE_OK && k < sizeof members / sizeof *members; k++)
        status = he_contest_run(&contest, p, members[k], options);
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
