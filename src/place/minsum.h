/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least sum: give every unit a device so that  sum of what each costs where it is
 * + what tensors cost that go between memories + launches  is small, within the
 * limits. This is the formula of the cost strategy, and with other weights that of
 * energy.
 */
#ifndef HE_PLACE_MINSUM_H
#define HE_PLACE_MINSUM_H

#include "maxflow.h"
#include "units.h"

struct he_min_sum {
    const struct he_units *units;
    const double *unary;   /* [unit * device_count + device], HE_CANNOT_RUN where it cannot */
    double transfer_scale; /* what a second of transfer costs */
    double launch_scale;   /* what a second of launch costs */
    bool is_unlimited;     /* no limit can be exceeded, wherever the units are */
    bool is_relaxed;       /* limits do not hold for now */
    struct he_load load;
    uint32_t *device; /* by unit: the state */
    double value;     /* of the state */
    /* --- Private --- */
    /* Visited marks: an entry counts when it equals the running number. */
    uint64_t *tensor_stamp, *task_stamp, *node_stamp, *unit_stamp;
    uint64_t stamp, node_stamp_now, unit_mark;
    uint32_t *node_of_unit, *members, *saved;
    uint32_t *queue, queue_head, queue_count;
    bool *is_queued;
    struct he_flow flow;
    uint64_t work; /* tensors looked at */
};

he_status he_min_sum_init(struct he_min_sum *sum, const struct he_units *units,
                          const double *unary, double transfer_scale, double launch_scale,
                          struct he_arena *arena) HE_MUST_CHECK;
void he_min_sum_fini(struct he_min_sum *sum);
/* Sets the state; loads and value follow. */
void he_min_sum_set(struct he_min_sum *sum, const uint32_t *device);
/* The whole value of the state, from scratch. */
double he_min_sum_value(struct he_min_sum *sum);
double he_min_sum_tensor(struct he_min_sum *sum, uint32_t tensor); /* one term of it */
double he_min_sum_launch(const struct he_min_sum *sum, uint32_t task);
/* True when the state keeps to the limits. */
bool he_min_sum_is_within(const struct he_min_sum *sum);
/* What the value would change by; does not ask for room. */
double he_min_sum_delta(struct he_min_sum *sum, uint32_t unit, uint32_t device);
void he_min_sum_move(struct he_min_sum *sum, uint32_t unit, uint32_t device, double delta);

/* Descents; each only ever lowers the value, and keeps to the limits unless relaxed. True when
 * something got better. */
bool he_min_sum_descend(struct he_min_sum *sum);  /* one unit at a time */
bool he_min_sum_clusters(struct he_min_sum *sum); /* connected units of one device at once */
bool he_min_sum_exchange(struct he_min_sum *sum, uint64_t work_limit); /* two trade places */
/* Best split of all units of two devices between the two, by minimum cut, for every pair. */
he_status he_min_sum_swap(struct he_min_sum *sum, uint64_t work_limit, bool *is_better)
    HE_MUST_CHECK;

/* Branch and bound over the units in order, from the state as the answer to beat (when it keeps to
 * the limits), with the multipliers of @search (NULL: no limit binds). Leaves the best in the state.
 * *is_proven when it went through everything within @node_limit. */
struct he_rows_search;
he_status he_min_sum_exact(struct he_min_sum *sum, const struct he_rows_search *search,
                           uint64_t node_limit, struct he_arena *arena, bool *is_proven)
    HE_MUST_CHECK;

/* All of it: several starts, descents, cuts, multipliers where limits bind, exact when small.
 * Gives the best assignment found in @device. No assignment within the limits has a sum smaller than
 * *proven: that of @device when it is the optimum, 0 when nothing was shown. HE_ERR_BUDGET when none
 * keeps to the limits. */
he_status he_min_sum_solve(const struct he_units *units, const double *unary,
                           double transfer_scale, double launch_scale,
                           const struct he_place_options *options, uint32_t *device,
                           double *proven) HE_MUST_CHECK;

#endif
