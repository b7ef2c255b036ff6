/* SPDX-License-Identifier: Apache-2.0 */
/* Local search on an answer, for the local policy and as the last step of others. */
#ifndef HE_PLACE_LOCAL_H
#define HE_PLACE_LOCAL_H

#include "policies.h"

/* Improves the contest's best on the devices of @problem (which may be a view of the contest's
 * own). @effort scales the amount of work when the options give no time limit; with one it goes
 * on until then. */
he_status he_local_search(struct he_contest *contest, const struct he_problem *problem,
                          const struct he_place_options *options, double effort) HE_MUST_CHECK;

#endif
