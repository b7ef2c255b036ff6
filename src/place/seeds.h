/* SPDX-License-Identifier: Apache-2.0 */
/* Many list schedules: what the searches begin with. */
#ifndef HE_PLACE_SEEDS_H
#define HE_PLACE_SEEDS_H

#include "policies.h"

/* Enters list schedules by every mix of rank, weight of transfers and foresight, of the graph, of the
 * graph seen from its end, and of the graph with heavy edges contracted; until @deadline_ns, or,
 * when that is 0, until about @work cells (tasks and edges times devices) are filled. One always. */
he_status he_seeds_enter(struct he_contest *contest, const struct he_problem *problem,
                         const struct he_place_options *options, uint64_t deadline_ns,
                         double work) HE_MUST_CHECK;

#endif
