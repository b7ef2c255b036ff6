/* SPDX-License-Identifier: Apache-2.0 */
/* Minimum cut between two terminals, with real capacities. Dinic's algorithm. */
#ifndef HE_PLACE_MAXFLOW_H
#define HE_PLACE_MAXFLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"

/* Nodes 0 and 1 are the source and the sink. Arcs lie in pairs: k and k ^ 1. */
struct he_flow {
    struct he_allocator alloc;
    uint32_t node_count, arc_count;
    size_t node_capacity, arc_capacity;
    struct he_flow_arc {
        uint32_t to, next;
        double capacity;
    } *arcs;
    uint32_t *first; /* per node: its first arc, UINT32_MAX none */
    uint32_t *level, *current, *queue, *path;
    double largest;
    uint64_t work; /* arcs looked at: a clock that does not depend on the machine */
};
#define HE_FLOW_SOURCE 0u
#define HE_FLOW_SINK 1u

void he_flow_init(struct he_flow *flow, const struct he_allocator *alloc);
void he_flow_fini(struct he_flow *flow);
/* Empties it; @nodes includes the terminals. */
he_status he_flow_reset(struct he_flow *flow, uint32_t nodes) HE_MUST_CHECK;
/* Capacity @there from a to b and @back from b to a; both 0 or more, finite. */
he_status he_flow_add(struct he_flow *flow, uint32_t a, uint32_t b, double there,
                      double back) HE_MUST_CHECK;
/* Finds the cut. False when it took more than @work_limit arcs: there is no answer then. */
bool he_flow_cut(struct he_flow *flow, uint64_t work_limit);
/* True when @node is on the source's side. */
static inline bool he_flow_is_source_side(const struct he_flow *flow, uint32_t node)
{
    return flow->level[node] != UINT32_MAX;
}

#endif
