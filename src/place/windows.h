/* SPDX-License-Identifier: Apache-2.0 */
/* How early tasks can start and how much must follow them: bounds on the makespan. */
#ifndef HE_PLACE_WINDOWS_H
#define HE_PLACE_WINDOWS_H

#include "problem.h"

struct he_windows {
    double *head; /* by task: no schedule starts it earlier */
    double *tail; /* by task: from its end to the end of everything, at least */
    double path;  /* the longest way through a task, with its transfers and launches */
};

/* Large problems (tasks times devices) go by least times alone. */
he_status he_windows_init(struct he_windows *windows, const struct he_problem *problem,
                          struct he_arena *arena) HE_MUST_CHECK;

/* The best of: what starts after some moment and has so much behind it must share the servers
 * in between. @area: by task, what it takes of a time shared by all servers, at least (the
 * sum over all tasks is a bound of its own). */
double he_windows_area(const struct he_windows *windows, uint32_t task_count, const double *area,
                       struct he_arena *arena);

#endif
