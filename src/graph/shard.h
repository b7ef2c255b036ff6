/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharding: one task cut along an axis of its result into parts that stand in the graph as
 * tasks of their own, so that several devices share it.
 *
 *   shard.c          the graph written anew: cut tasks part by part, everything else as it was
 *   shard_values.c   values that are there whole, in parts, or both
 *   shard_rules.c    what a part of a node's result needs of each of its inputs
 *   shard_window.c   the same for convolution and pooling, with the halo at the seams
 */
#ifndef HE_GRAPH_SHARD_H
#define HE_GRAPH_SHARD_H

#include "graph/graph.h"

/* The part of one input that a part of the result needs; axis HE_NONE: all of it. */
struct he_shard_need {
    uint32_t axis;
    int64_t begin, end;
};

/* One task to be cut. Borrowed while he_graph_shard() runs. */
struct he_shard {
    uint32_t task; /* of the graph as it is */
    uint32_t axis; /* of the output of its last node */
    uint32_t part_count;
    const int64_t *bounds; /* part_count + 1, ascending, from 0 to the size of the axis */
    const char *name;      /* parts are called name[from:to]; NULL: the anchor's name */
};

/* Where a node of a graph that was cut comes from. */
struct he_node_part {
    const char *of; /* the name of the task it is a part of */
    const struct he_graph *base; /* where that task is, with its number there */
    uint32_t task;
    uint32_t axis;
    int64_t begin, end;
};

/* Whether rows @begin..@end of @axis of the task's result can be computed on their own, and what
 * that part reads: @needs has room for task.input_count, or is NULL. HE_ERR_NO_MEMORY. */
he_status he_graph_can_shard(const struct he_graph *graph, uint32_t task, uint32_t axis,
                             int64_t begin, int64_t end, struct he_shard_need *needs,
                             bool *out) HE_MUST_CHECK;
/* Writes @base anew with the tasks of @shards (by ascending task) cut, and makes its tasks.
 * Consumers that are cut alike read the parts directly; where the whole is wanted a Concat
 * makes it, and a Slice where a part of a whole is. The result shares @base (names, constants,
 * attributes, bodies), which stays as it is and lives on as long. Panels of constants that are no
 * plain run of bytes stay unfilled until he_graph_fill_shards(). HE_ERR_INVALID when a cut is not
 * possible. */
he_status he_graph_shard(const struct he_graph *base, const struct he_shard *shards,
                         size_t shard_count, const struct he_allocator *alloc,
                         struct he_graph **out) HE_MUST_CHECK;
/* Copies the panels of constants that he_graph_shard() left out: needed before the graph runs. */
he_status he_graph_fill_shards(struct he_graph *graph) HE_MUST_CHECK;
/* NULL for a node that is no part of a cut task. */
const struct he_node_part *he_graph_node_part(const struct he_graph *graph, uint32_t node);

/* --- The rules --- */

/* How the node of a part differs from the whole one. */
struct he_shard_patch {
    bool has_pads; /* explicit ones take the place of pads and auto_pad */
    uint32_t pad_count;
    int64_t pads[2 * HE_MAX_RANK];
    int64_t group;  /* 0: as it was */
    bool has_shape; /* input 1 is a constant that spells the part's shape */
};

/* What @begin..@end of @axis of output 0 needs; fills @needs for every input. False when it is
 * not known how, or cannot be. Shapes must be static. */
bool he_shard_node(const struct he_graph *graph, const struct he_node *node, uint32_t axis,
                   int64_t begin, int64_t end, struct he_shard_need *needs,
                   struct he_shard_patch *patch);
/* The windows' rows of that table. */
bool he_shard_window(const struct he_graph *graph, const struct he_node *node, uint32_t axis,
                     int64_t begin, int64_t end, struct he_shard_need *needs,
                     struct he_shard_patch *patch);

#endif
