/* SPDX-License-Identifier: Apache-2.0 */
/* The search for the makespan of graphs too large to be judged move by move. */
#ifndef HE_PLACE_LARGE_H
#define HE_PLACE_LARGE_H

#include "policies.h"

/* Prices of devices, schedules from the front and from the back in turn: what it finds enters the
 * contest, which may be empty. @problem may be a view of the contest's own. Without a time limit
 * @effort scales the amount of work, which is linear in tasks, edges and candidates; with one it
 * goes on until then. For the makespan only: nothing happens under other objectives. */
he_status he_large_search(struct he_contest *contest, const struct he_problem *problem,
                          const struct he_place_options *options, double effort) HE_MUST_CHECK;

#endif
