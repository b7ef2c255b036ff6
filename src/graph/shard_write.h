/* SPDX-License-Identifier: Apache-2.0 */
/* Inside he_graph_shard(): the graph being written, and its values, whole and in pieces. */
#ifndef HE_GRAPH_SHARD_WRITE_H
#define HE_GRAPH_SHARD_WRITE_H

#include "graph/shard.h"
#include "graph/store.h"

/* A piece of a value: one of its parts, or a slice made for somebody. */
struct he_piece {
    uint32_t axis, value; /* the new graph's */
    int64_t begin, end;
    struct he_piece *next;
};

struct he_shard_writer {
    const struct he_graph *base;
    struct he_graph *graph;
    struct he_arena scratch;
    uint32_t *whole;          /* per value of the base: the new one, HE_NONE while there is none */
    struct he_piece **parts;  /* per value of the base: its parts in order, when it was cut */
    struct he_piece **slices; /* per value of the base: pieces made for somebody */
    const struct he_node_part **node_parts;
    uint32_t node_part_capacity;
};

/* A node as @like with room for its own inputs and outputs; @name NULL: the same name. */
he_status he_shard_add_node(struct he_shard_writer *w, const struct he_node *like,
                            uint32_t input_count, const char *name, uint32_t *out) HE_MUST_CHECK;
/* Ties @value to output 0 of @node; its shape follows from the node's inputs and must be @shape. */
he_status he_shard_set_output(struct he_shard_writer *w, uint32_t node, uint32_t value,
                              const struct he_shape *shape) HE_MUST_CHECK;
he_status he_shard_add_ints(struct he_shard_writer *w, const int64_t *ints, uint32_t count,
                            uint32_t *out) HE_MUST_CHECK;
/* What to call a value of the base, which may have lost its name. */
const char *he_shard_value_name(const struct he_shard_writer *w, uint32_t value);
/* A value of the base in the new graph, with no maker yet. */
he_status he_shard_copy_value(struct he_shard_writer *w, uint32_t v, uint32_t *out) HE_MUST_CHECK;
/* A value of the base, joined from its parts when it was cut. */
he_status he_shard_get_whole(struct he_shard_writer *w, uint32_t v, uint32_t *out) HE_MUST_CHECK;
/* @begin..@end along @axis of a value of the base. */
he_status he_shard_get_piece(struct he_shard_writer *w, uint32_t v, uint32_t axis, int64_t begin,
                             int64_t end, uint32_t *out) HE_MUST_CHECK;

#endif
