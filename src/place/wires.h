/* SPDX-License-Identifier: Apache-2.0 */
/* Links as two plain tables, for loops over all devices: seconds = latency + bytes / bandwidth holds
 * for every pair, also for those between which nothing takes time. */
#ifndef HE_PLACE_WIRES_H
#define HE_PLACE_WIRES_H

#include "problem.h"

struct he_wires {
    uint32_t device_count;
    double *latency, *bandwidth; /* [from * device_count + to]; 0 and INFINITY: free */
};

/* False when there is no memory. */
static inline bool he_wires_init(struct he_wires *wires, const struct he_problem *p,
                                 struct he_arena *arena)
{
    size_t d = p->device_count;

    wires->device_count = p->device_count;
    wires->latency = he_arena_alloc(arena, d, d * sizeof(double));
    wires->bandwidth = he_arena_alloc(arena, d, d * sizeof(double));
    if (!wires->latency || !wires->bandwidth)
        return false;
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j < d; j++) {
            const struct he_place_link *link = &p->links[i * d + j];
            bool is_free = i == j || link->is_free ||
                           p->devices[i].memory_node == p->devices[j].memory_node;

            wires->latency[i * d + j] = is_free ? 0.0 : link->latency;
            wires->bandwidth[i * d + j] = is_free ? INFINITY : link->bandwidth;
        }
    }
    return true;
}

static inline double he_wires_seconds(const struct he_wires *wires, uint32_t from, uint32_t to,
                                      double bytes)
{
    size_t pair = (size_t)from * wires->device_count + to;

    return wires->latency[pair] + bytes / wires->bandwidth[pair];
}

#endif
