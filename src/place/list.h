/* SPDX-License-Identifier: Apache-2.0 */
/* List scheduling with gaps: the engine of heft and peft and of the portfolio's variants. */
#ifndef HE_PLACE_LIST_H
#define HE_PLACE_LIST_H

#include "units.h"

struct he_list_rule {
    const double *priority;   /* among ready tasks the largest goes first */
    const double *optimistic; /* he_rank_optimistic() table, or NULL */
    double foresight;         /* a device is judged by finish + foresight * optimistic */
};

/* Takes ready tasks by priority and gives each the device where it finishes first (with
 * foresight), using idle gaps of servers and links; the first task of a unit decides for all.
 * Fills @device by unit and @order by start. HE_ERR_BUDGET when a unit finds no room. */
he_status he_list_schedule(const struct he_units *units, const struct he_list_rule *rule,
                           uint32_t *device, uint32_t *order) HE_MUST_CHECK;

#endif
