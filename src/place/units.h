/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moves as one: a colocation group, or a task of its own. Policies assign
 * units to devices; a load keeps count of what each device already holds.
 */
#ifndef HE_PLACE_UNITS_H
#define HE_PLACE_UNITS_H

#include "problem.h"

struct he_units {
    const struct he_problem *problem;
    uint32_t count;
    uint32_t *of;            /* task -> unit; units are numbered by their first task */
    uint32_t *start, *tasks; /* tasks[start[u] .. start[u+1]) are unit u's, ascending */
    /* [unit * device_count + device]; HE_CANNOT_RUN if any task cannot. Where no unit has two tasks
     * this and memory are the problem's own tables. */
    const double *time;
    const double *memory;    /* by unit */
    double *amount;          /* [(unit * resource_count + r) * device_count + device] */
};

he_status he_units_init(struct he_units *units, const struct he_problem *problem,
                        struct he_arena *arena) HE_MUST_CHECK;
static inline double he_unit_time(const struct he_units *units, uint32_t unit, uint32_t device)
{
    return units->time[(size_t)unit * units->problem->device_count + device];
}

/* What devices hold: weights against weight_limit (also of devices with one memory
 * together), resources against their limits. */
struct he_load {
    const struct he_units *units;
    double *weights;      /* by device */
    double *node_weights; /* by memory node */
    double *node_limit;   /* the largest weight_limit of its devices */
    double *resources;    /* [r * device_count + device] */
    double *resource_totals;
};

he_status he_load_init(struct he_load *load, const struct he_units *units,
                       struct he_arena *arena) HE_MUST_CHECK;
void he_load_clear(struct he_load *load);
/* True when @unit can run on @device and fits beside what is there. */
bool he_load_has_room(const struct he_load *load, uint32_t unit, uint32_t device);
void he_load_add(struct he_load *load, uint32_t unit, uint32_t device);
void he_load_remove(struct he_load *load, uint32_t unit, uint32_t device);

/* A device for every unit within the limits, at little @preference [unit * device_count +
 * device] (smaller is better; NULL: the unit's time). Several greedy orders, then one unit
 * making room for another; HE_ERR_BUDGET when none of them gets everything in, which for
 * tight limits is no proof that nothing does. */
he_status he_units_fit(const struct he_units *units, const double *preference,
                       struct he_arena *arena, uint32_t *device) HE_MUST_CHECK;

/* Moves and trades units until no memory is exceeded, at little time * @price (by device); mend.c.
 * @load follows @device. False: it did not get there (or there are resources, which it
 * does not look at). */
bool he_units_mend(const struct he_units *units, struct he_load *load, const double *price,
                   struct he_arena *arena, uint32_t *device) HE_MUST_CHECK;

/* Writes an answer: unit devices to tasks. @order NULL: by he_order_by_path(). */
he_status he_units_answer(const struct he_units *units, const uint32_t *unit_device,
                          const uint32_t *order, const char *policy, struct he_arena *arena,
                          struct he_placement *out) HE_MUST_CHECK;

#endif
