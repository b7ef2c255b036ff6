/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/plan: the moves of he_plan_lower(), see lower.c. */
#ifndef HE_PLAN_LOWER_H
#define HE_PLAN_LOWER_H

#include "plan/plan.h"

/* memory.c: a home for every slot, views joined, model inputs and outputs in the caller's hands. */
he_status he_plan_make_homes(struct he_plan *plan) HE_MUST_CHECK;
/* steps.c: launches and copies in order, waits between lanes. */
he_status he_plan_make_steps(struct he_plan *plan) HE_MUST_CHECK;
/* lifetimes.c: offsets, from lifetimes that hold for every interleaving of the lanes. */
he_status he_plan_pack_homes(struct he_plan *plan) HE_MUST_CHECK;
/* The same with a limit to the pairs of homes that are looked at in one memory: where there are more,
 * each lane's own homes have a section of the arena. */
he_status he_plan_pack_homes_within(struct he_plan *plan, size_t most_pairs) HE_MUST_CHECK;

#endif
