/* SPDX-License-Identifier: Apache-2.0 */
/* Annealing on replays: hundreds of thousands of steps a second, for the makespan or the energy. */
#ifndef HE_PLACE_WALK_H
#define HE_PLACE_WALK_H

#include "policies.h"

/* True when the search sees all there is to see: makespan or energy, and memory that no order of
 * tasks could exceed. */
bool he_walk_takes(const struct he_contest *contest, const struct he_problem *problem);

/* Improves the contest's best. @effort scales the amount of work when there is no time limit. */
he_status he_walk_search(struct he_contest *contest, const struct he_problem *problem,
                         const struct he_place_options *options, double effort) HE_MUST_CHECK;

#endif
