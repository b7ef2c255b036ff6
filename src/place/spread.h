/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads of devices by where parts are, kept up to date: a net knows how many readers it has on each
 * device, so that a move costs a step per net of the part. For problems in which only
 * devices have loads (he_spread_covers()).
 */
#ifndef HE_PLACE_SPREAD_H
#define HE_PLACE_SPREAD_H

#include "nets.h"
#include "random.h"

struct he_spread {
    const struct he_nets *nets;
    uint32_t device_count;
    uint32_t *device;   /* by part */
    uint32_t *readers;  /* [net * device_count + device]: parts there that read the net */
    uint32_t *places;   /* by net: devices with readers */
    double *copy;       /* [net * device_count + device]: seconds */
    double *load;       /* by server */
    double *memory;     /* by device */
    const double *room; /* by device */
};

/* No links that fill up, no launches, resources or budgets, every memory one device's own. */
bool he_spread_covers(const struct he_problem *problem);
he_status he_spread_init(struct he_spread *spread, const struct he_nets *nets,
                         struct he_arena *arena) HE_MUST_CHECK;
/* Puts every part where @device says and counts from scratch. */
void he_spread_set(struct he_spread *spread, const uint32_t *device);
/* True when @part can run on @device and fits beside what is there. */
static inline bool he_spread_has_room(const struct he_spread *s, uint32_t part, uint32_t device)
{
    return !isinf(s->nets->time[(size_t)part * s->device_count + device]) &&
           s->memory[device] + s->nets->memory[part] <= s->room[device];
}
/* @load becomes that after the move; load[] has server_count numbers. */
void he_spread_try(const struct he_spread *spread, uint32_t part, uint32_t to, double *load);
/* Makes the move; the loads become @load, as he_spread_try() gave it. */
void he_spread_move(struct he_spread *spread, uint32_t part, uint32_t to, const double *load);
double he_spread_most(const struct he_spread *spread); /* the largest load */

#endif
