/* SPDX-License-Identifier: Apache-2.0 */
/* From the names of a model's values to the nodes of its graph that make them: the way back from
 * tasks to the document, for hints and for placements written into the model. */
#ifndef HE_PLAN_PRODUCERS_H
#define HE_PLAN_PRODUCERS_H

#include "core/map.h"
#include "graph/graph.h"

struct he_producers {
    const struct he_graph *graph;
    struct he_map values; /* name -> value */
};

/* Borrows @graph; the index is in @arena. */
he_status he_producers_init(struct he_producers *producers, const struct he_graph *graph,
                            struct he_arena *arena) HE_MUST_CHECK;
/* The node that makes the value called @name; HE_NONE for "", inputs, constants, and values that
 * were folded or merged away. */
uint32_t he_producer_of(const struct he_producers *producers, const char *name);

#endif
