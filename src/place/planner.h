/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind he_place() share: place.c (the front door), sets.c (machines that price and
 * power afford), blame.c (the limit that leaves no room). */
#ifndef HE_PLACE_PLANNER_H
#define HE_PLACE_PLANNER_H

#include "policies.h"

struct he_planner {
    const struct he_problem *problem;
    he_policy_run *run;
    struct he_place_options options;
    struct he_contest *contest; /* judges by the whole problem and its limits */
    uint64_t deadline_ns;
};

/* The policy, and the guard, on every largest set of devices that the budgets afford; answers go
 * into the contest. */
he_status he_planner_run(struct he_planner *planner) HE_MUST_CHECK;

/* Sets the error that says which limit is to blame for nothing fitting, and the least that would
 * do. */
he_status he_place_blame(const struct he_problem *problem);

#endif
