/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as rows of a matrix: every limit that could bind (memory of a device, of a memory
 * node, a resource on a device, a resource in all) is a row; a unit on a device takes an
 * amount of a few of them. What least-sum searches know of limits. For bounds the time on each server
 * can be a row as well: without a limit, but all servers' prices together are given.
 */
#ifndef HE_PLACE_ROWS_H
#define HE_PLACE_ROWS_H

#include "policies.h"
#include "units.h"

#define HE_NO_ROW UINT32_MAX

struct he_rows {
    const struct he_units *units;
    uint32_t unit_count, device_count;
    uint32_t row_count;  /* 0: no limit can bind */
    uint32_t slot_count; /* rows that one device may take from */
    uint32_t *row;       /* [device * slot_count + slot], HE_NO_ROW */
    double *amount;      /* [(unit * device_count + device) * slot_count + slot] */
    double *limit;       /* by row */
    /* Rows 0 .. server_rows are the servers' times: their multipliers add up to @share. */
    uint32_t server_rows;
    double share;
};

he_status he_rows_init(struct he_rows *rows, const struct he_units *units,
                       struct he_arena *arena) HE_MUST_CHECK;
/* With the servers' times as the first rows. */
he_status he_rows_init_servers(struct he_rows *rows, const struct he_units *units, double share,
                               struct he_arena *arena) HE_MUST_CHECK;
static inline const double *he_rows_amounts(const struct he_rows *rows, uint32_t unit,
                                            uint32_t device)
{
    return rows->amount + ((size_t)unit * rows->device_count + device) * rows->slot_count;
}
/* @unary (NULL: 0) where a unit can run and alone exceeds no row, else HE_CANNOT_RUN; into @cost. */
void he_rows_price(const struct he_rows *rows, const double *unary, double *cost);
/* What @device (by unit) takes of each row, into @used; true when that keeps to the limits. */
bool he_rows_used(const struct he_rows *rows, const uint32_t *device, double *used);

/*
 * Multipliers >= 0 of the rows, about the best ones, into @multipliers, and the Lagrangian bound with
 * them: no assignment within the rows has a smaller sum of @cost (NULL: nothing costs), the share times
 * the largest time of a server added. INFINITY: there is none. Stops at @deadline_ns of the
 * clock of @options (0: never); @steps limits the Newton steps, of which each looks at about
 * @cells units times devices. @bound may be NULL.
 */
he_status he_rows_dual(const struct he_rows *rows, const double *cost, uint32_t steps, double cells,
                       const struct he_place_options *options, uint64_t deadline_ns,
                       double *multipliers, double *bound) HE_MUST_CHECK;
/* The bound with these multipliers. */
double he_rows_bound(const struct he_rows *rows, const double *cost, const double *multipliers);

/* 1 when all costs are whole numbers, so that sums are; else 0. */
double he_rows_grain(const struct he_rows *rows, const double *cost);

/* What the searches below work on and towards; they stop when nothing better is possible. */
struct he_rows_search {
    const struct he_rows *rows;
    const double *cost, *multipliers;
    double bound, grain;
    const struct he_place_options *options;
    uint64_t deadline_ns;
};

/* True when no sum of costs lies between @bound and @value. */
static inline bool he_rows_is_optimal(const struct he_rows_search *search, double value)
{
    double whisker = 1e-9 * (1.0 + fabs(value));

    return value - search->bound <= whisker || value - search->bound < search->grain - whisker;
}

/* Annealing with penalties for exceeded rows: from @device, @moves moves (or until the deadline).
 * *found: @device keeps to the limits now, and is the best met that does. */
he_status he_rows_anneal(const struct he_rows_search *search, uint64_t moves, uint32_t *device,
                         bool *found) HE_MUST_CHECK;
/* Solves pools of devices anew by tree search, from @device (within the limits): about @nodes
 * nodes without a deadline. Never gets worse. */
he_status he_rows_improve(const struct he_rows_search *search, uint64_t nodes, uint32_t *device)
    HE_MUST_CHECK;
/* Fixes what cannot be part of something better than @device (within the limits) and searches the rest.
 * @device is never worse after it; *bound rises where it is proven that nothing is smaller. */
he_status he_rows_narrow(const struct he_rows_search *search, uint32_t *device, double *bound)
    HE_MUST_CHECK;

#endif
