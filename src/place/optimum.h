/* SPDX-License-Identifier: Apache-2.0 */
/* The least makespan, proven: for small graphs without live tensors to mind. */
#ifndef HE_PLACE_OPTIMUM_H
#define HE_PLACE_OPTIMUM_H

#include "policies.h"

/* True when he_optimum_search() understands the problem: makespan, few tasks and edges, and memory
 * that no order of tasks could exceed. */
bool he_optimum_takes(const struct he_contest *contest, const struct he_problem *problem);

/* Goes through all schedules, not only those that follow from an order of tasks, that could beat
 * the contest's best; what it finds enters. HE_OK: the best is the optimum now.
 * HE_ERR_UNSUPPORTED: more than @node_limit nodes, or past @deadline_ns (0: none). */
he_status he_optimum_search(struct he_contest *contest, const struct he_problem *problem,
                            const struct he_place_options *options, uint64_t node_limit,
                            uint64_t deadline_ns) HE_MUST_CHECK;

#endif
