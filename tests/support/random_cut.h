/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks cut at random places, for tests of what must not depend on it. */
#ifndef TESTS_SUPPORT_RANDOM_CUT_H
#define TESTS_SUPPORT_RANDOM_CUT_H

#include "graph/shard.h"

#define RANDOM_CUT_PARTS 5

struct random_cut {
    struct he_shard shard; /* its bounds are the ones below: the struct must stay where it is */
    int64_t bounds[RANDOM_CUT_PARTS + 1];
};

/* A number below @below from @state. */
uint32_t random_cut_pick(uint32_t *state, uint32_t below);
/* Two to five parts; false when the bounds drawn are not possible there. */
bool random_cut_make(const struct he_graph *graph, uint32_t task, uint32_t axis, uint32_t *state,
                     struct random_cut *out);
/* Cuts about @percent of all tasks; gives a graph that is ready to run, and how many were cut. */
he_status random_cut_graph(const struct he_graph *graph, uint32_t percent, uint32_t *state,
                           struct he_graph **out, size_t *cut_count);

#endif
