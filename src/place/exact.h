/* SPDX-License-Identifier: Apache-2.0 */
/* Branch and bound, for the exact policy and for small graphs in the portfolio. */
#ifndef HE_PLACE_EXACT_H
#define HE_PLACE_EXACT_H

#include "policies.h"

#define HE_EXACT_TASKS 12

/* Goes through every answer that could beat the contest's best; what it finds enters. HE_OK:
 * the best is the optimum now. HE_ERR_UNSUPPORTED: the graph is too large, or the tree has more
 * than @node_limit nodes, or @deadline_ns (0: none) has passed; what was found until then
 * has entered. */
he_status he_exact_search(struct he_contest *contest, const struct he_problem *problem,
                          const struct he_place_options *options, uint64_t node_limit,
                          uint64_t deadline_ns) HE_MUST_CHECK;

#endif
