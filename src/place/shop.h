/* SPDX-License-Identifier: Apache-2.0 */
/* Job-shop search: where transfers cost nothing, or next to nothing, a schedule is a choice of
 * device and a sequence on every server, and its critical path says which tasks are worth moving. */
#ifndef HE_PLACE_SHOP_H
#define HE_PLACE_SHOP_H

#include "policies.h"

/* True when the search's picture of @problem is right or nearly so: more than one device, none
 * slowing another, and all transfers and launches together, at their dearest, are within a hundredth of the makespan's
 * lower bound. */
bool he_shop_fits(const struct he_problem *problem);

/* Improves the makespan of the contest's best on the devices of @problem (which may be a view of
 * the contest's own). @effort scales the amount of work when the options give no time limit; with
 * one it goes on until then, or until the lower bound is met. */
he_status he_shop_search(struct he_contest *contest, const struct he_problem *problem,
                         const struct he_place_options *options, double effort) HE_MUST_CHECK;

#endif
