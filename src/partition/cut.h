/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tasks to cut (graph/shard.h cuts them): a search over a few cuts that keep many devices
 * busy at once, judged by what a plan of the cut graph is predicted to cost.
 */
#ifndef HE_PARTITION_CUT_H
#define HE_PARTITION_CUT_H

#include "cost/cost.h"
#include "graph/shard.h"

struct he_cut_request {
    const struct he_graph *graph;
    const struct he_problem *problem; /* of @graph on @machine */
    const struct he_machine *machine;
    struct he_device *const *devs; /* as he_cost_build() takes them */
    const struct he_cost_store *store;
    enum he_objective objective;
    uint32_t most_rows; /* of a cut task's row axis: panels of so many; 0: as devices are fast */
    double time_limit;  /* seconds; 0: a fixed amount of work, so that the answer is always the same */
};

/* Gives the cuts that are predicted to pay, by ascending task, in @arena; none is the usual
 * answer. */
he_status he_cut_choose(const struct he_cut_request *request, struct he_arena *arena,
                        struct he_shard **out, size_t *out_count) HE_MUST_CHECK;

/* Tasks that are to be cut: by task of the graph, part_count 0 for the others. */
struct he_cut_set {
    const struct he_graph *graph;
    const struct he_problem *problem;
    struct he_arena *arena;
    struct he_shard *shards;
    uint32_t count; /* of tasks that are cut */
};

he_status he_cut_set_init(struct he_cut_set *set, const struct he_graph *graph,
                          const struct he_problem *problem, struct he_arena *arena) HE_MUST_CHECK;
/* Cuts one task; *out is false when it is cut already or cannot be so. */
he_status he_cut_add(struct he_cut_set *set, uint32_t task, uint32_t axis, const int64_t *bounds,
                     uint32_t part_count, bool *out) HE_MUST_CHECK;
/* From @task on, which is cut, cuts whatever can stay in parts: makers of what its parts read
 * and readers of what they make, and so on, at the matching bounds. */
he_status he_cut_grow(struct he_cut_set *set, uint32_t task) HE_MUST_CHECK;
/* The shards as he_graph_shard() takes them. */
he_status he_cut_list(const struct he_cut_set *set, struct he_arena *arena, struct he_shard **out,
                      size_t *out_count) HE_MUST_CHECK;

#endif
