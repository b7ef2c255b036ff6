/* SPDX-License-Identifier: Apache-2.0 */
/* The least largest load of a device with no regard to order, by annealing at several levels. */
#ifndef HE_PLACE_SCATTER_H
#define HE_PLACE_SCATTER_H

#include "policies.h"

/* Improves the contest's best; he_spread_covers(@problem) must hold. */
he_status he_scatter_search(struct he_contest *contest, const struct he_problem *problem,
                            const struct he_place_options *options) HE_MUST_CHECK;

#endif
