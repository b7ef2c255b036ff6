/* SPDX-License-Identifier: Apache-2.0 */
/* Annealing of the largest load of a server or link, with loads kept up to date by move. */
#ifndef HE_PLACE_LOADS_H
#define HE_PLACE_LOADS_H

#include "policies.h"

/* Splits of topological orders into one run of tasks per server; what it finds enters the contest. */
he_status he_runs_search(struct he_contest *contest, const struct he_place_options *options)
    HE_MUST_CHECK;

/* Improves the contest's best on the devices of @problem; what it finds enters the contest. */
he_status he_balance_loads(struct he_contest *contest, const struct he_problem *problem,
                           const struct he_place_options *options) HE_MUST_CHECK;

#endif
