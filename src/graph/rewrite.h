/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewriting a graph in place: who reads what is kept exact through every change, so
 * that a pattern may rely on what the one before it left. Nodes never move; a new
 * node takes the place of the last one of the pattern it replaces, where all it
 * reads has been made. Removed nodes have op NULL until dead code goes.
 *
 * Adding a value or constant moves graph->values: keep indices.
 */
#ifndef HE_GRAPH_REWRITE_H
#define HE_GRAPH_REWRITE_H

#include <string.h>

#include "graph/store.h"

struct he_use {
    uint32_t node, slot;
    uint32_t next, previous; /* in the list of one value */
};

struct he_rewrite {
    struct he_graph *graph;
    struct he_arena scratch;
    uint32_t *first_use; /* per value, HE_NONE: nobody reads it */
    uint32_t first_use_capacity;
    struct he_use *uses;
    uint32_t use_count, use_capacity;
    uint32_t *node_uses; /* per node: where the uses of its inputs start */
    uint32_t node_use_capacity;
    bool is_unsorted; /* a node was added, at the end */
    bool changed;
};

he_status he_rewrite_begin(struct he_rewrite *rewrite, struct he_graph *graph) HE_MUST_CHECK;
void he_rewrite_end(struct he_rewrite *rewrite);

/* Reading inputs, plus one for a graph output. */
uint32_t he_rewrite_use_count(const struct he_rewrite *rewrite, uint32_t value);
/* The node that alone reads @value, through one input; HE_NONE when there is none such
 * or the value is a graph output. */
uint32_t he_rewrite_sole_reader(const struct he_rewrite *rewrite, uint32_t value);
/* The node making @value if it is an @op of the ONNX domain, else HE_NONE. */
uint32_t he_rewrite_maker(const struct he_rewrite *rewrite, uint32_t value, const char *op);
/* The same, where nobody but one node reads @value: a link of a pattern. */
uint32_t he_rewrite_link(const struct he_rewrite *rewrite, uint32_t value, const char *op);

void he_rewrite_set_input(struct he_rewrite *rewrite, uint32_t node, uint32_t slot, uint32_t value);
/* Makes @node an @op of @opset over new inputs (copied); its first output stays, the
 * others go. @attrs are taken as they are (arena memory) and may be NULL. */
he_status he_rewrite_become(struct he_rewrite *rewrite, uint32_t node, const char *op, int opset,
                            const uint32_t *inputs, uint32_t input_count, struct he_attr *attrs,
                            uint32_t attr_count) HE_MUST_CHECK;
/* A new node with one output, which has the type and shape of @like. It stands at the end
 * until the graph is sorted: patterns find it in the next walk. */
he_status he_rewrite_add_node(struct he_rewrite *rewrite, const char *op, int opset,
                              const uint32_t *inputs, uint32_t input_count, uint32_t like,
                              uint32_t *out) HE_MUST_CHECK;
void he_rewrite_remove(struct he_rewrite *rewrite, uint32_t node);
/* Readers of @node's first output read @value instead, and the node goes. False when the
 * output is the graph's and @value cannot take its place: nothing is done then. */
bool he_rewrite_bypass(struct he_rewrite *rewrite, uint32_t node, uint32_t value);
/* Removes the node if nobody reads what it makes. */
void he_rewrite_remove_unread(struct he_rewrite *rewrite, uint32_t node);

/* A constant over arena memory of @bytes, zeroed, for the caller to fill. */
he_status he_rewrite_constant(struct he_rewrite *rewrite, enum he_dtype dtype,
                              const struct he_shape *shape, void **data, uint32_t *out) HE_MUST_CHECK;
/* The bytes of constant @from under another shape of as many elements. */
he_status he_rewrite_view_constant(struct he_rewrite *rewrite, uint32_t from,
                                   const struct he_shape *shape, uint32_t *out) HE_MUST_CHECK;
struct he_attr *he_rewrite_attrs(struct he_rewrite *rewrite, uint32_t count);

/* --- Looking at constants --- */

/* Element @index of a float32 constant, which may lie anywhere. */
static inline float he_constant_float(const struct he_value *value, int64_t index)
{
    float out;

    memcpy(&out, (const char *)value->data + (size_t)index * sizeof out, sizeof out);
    return out;
}
/* True for a float32 constant of one element; gives it. */
bool he_constant_scalar(const struct he_value *value, float *out);
/* The same, and near @expected (a few units in the last place). */
bool he_constant_is(const struct he_value *value, float expected);

/* --- The patterns, one table per file --- */

struct he_pattern {
    const char *op; /* the node it starts from; its last one */
    he_status (*apply)(struct he_rewrite *rewrite, uint32_t node);
};
struct he_pattern_table {
    const struct he_pattern *patterns;
    size_t count;
};
extern const struct he_pattern_table he_patterns_identity, he_patterns_affine,
    he_patterns_activation, he_patterns_norm, he_patterns_pad, he_patterns_move;
/* For what no pattern above wants any more. */
extern const struct he_pattern_table he_patterns_late, he_patterns_conv;

#endif
