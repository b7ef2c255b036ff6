/* SPDX-License-Identifier: Apache-2.0 */
/* How urgent tasks are: lengths of paths to the end, and orders made from them. */
#ifndef HE_PLACE_RANK_H
#define HE_PLACE_RANK_H

#include "problem.h"

enum he_rank_kind { HE_RANK_MEAN, HE_RANK_MIN, HE_RANK_MAX };

/* Latency and seconds per byte of the links, summed over pairs of devices and divided by @pairs. */
void he_mean_link(const struct he_problem *problem, double pairs, double *latency,
                  double *per_byte);
/* HEFT's upward rank: the task's time (mean, least or most over the devices that can run it)
 * plus the longest way to the end, transfers at their mean times @transfer_weight. */
void he_rank_upward(const struct he_problem *problem, enum he_rank_kind kind,
                    double transfer_weight, double *rank);
/* PEFT's optimistic cost table [task * device_count + device]: the least time from the end of
 * the task on that device to the end of everything, were every device free. Without memory for
 * its own tables it says 0, which is optimistic, too. */
void he_rank_optimistic(const struct he_problem *problem, double *table);
/* A topological order by longest remaining path of a given assignment, most urgent first. */
he_status he_order_by_path(const struct he_problem *problem, const uint32_t *device,
                           uint32_t *order) HE_MUST_CHECK;
/* A topological order, at each step the ready task with the largest @priority (the lower
 * number among equals). */
he_status he_order_by_priority(const struct he_problem *problem, const double *priority,
                               uint32_t *order) HE_MUST_CHECK;
/* By start time: the order in which a schedule has tasks begin. */
he_status he_order_by_start(const struct he_problem *problem, const double *start,
                            uint32_t *order) HE_MUST_CHECK;

#endif
