/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the passes share: the graph as a thing that grows. The public arrays of
 * he_graph point into memory of the root's arena; growing one moves it, so
 * passes keep indices across an addition, never pointers to values or nodes.
 */
#ifndef HE_GRAPH_STORE_H
#define HE_GRAPH_STORE_H

#include "graph/graph.h"

/* Deeper nesting of If/Loop/Scan bodies than this is refused. */
#define HE_GRAPH_DEPTH_MAX 48

struct he_node_part;
struct he_panel;

/* he_graph.owner */
struct he_graph_store {
    struct he_arena *arena; /* the root's, which holds everything */
    uint32_t depth; /* of nesting, 0 in the root */
    /* Inside a branch of an If: what does not fit there may simply never run. */
    bool is_branch;
    /* Set while such a graph is walked: some node does not fit its inputs. */
    bool is_broken;
    uint32_t value_capacity, node_capacity, input_capacity;
    /* Rank each output declares, HE_RANK_UNKNOWN when it declares none. */
    uint32_t *declared_ranks;
    /* Of a graph that was cut (shard.c): by node, NULL for what is no part; panels of constants
     * still to be copied. */
    const struct he_node_part **node_parts;
    struct he_panel *panels;
};

static inline struct he_graph_store *he_graph_store(const struct he_graph *graph)
{
    return graph->owner;
}
static inline struct he_arena *he_graph_arena(const struct he_graph *graph)
{
    return he_graph_store(graph)->arena;
}

/* An empty graph. @parent NULL makes a root, which owns an arena from @alloc. */
he_status he_graph_new(const struct he_allocator *alloc, struct he_graph *parent, const char *name,
                       struct he_graph **out) HE_MUST_CHECK;

/* @graph borrows from @base, which lives on until it is destroyed. Roots both. */
void he_graph_share_base(struct he_graph *graph, const struct he_graph *base);

/* New entries are zeroed but for what "nothing" means: producer HE_NONE, unknown shape. */
he_status he_graph_add_value(struct he_graph *graph, const char *name, uint32_t *out) HE_MUST_CHECK;
he_status he_graph_add_node(struct he_graph *graph, uint32_t *out) HE_MUST_CHECK;
/* A formal input; captures go behind the others. */
he_status he_graph_add_input(struct he_graph *graph, uint32_t value) HE_MUST_CHECK;
/* A constant over @data, which is borrowed and lives as long as the graph. */
he_status he_graph_add_constant(struct he_graph *graph, const char *name, enum he_dtype dtype,
                                const struct he_shape *shape, const void *data, size_t bytes,
                                uint32_t *out) HE_MUST_CHECK;
/* Makes an existing value a constant; sets known_ints of small integer tensors. */
void he_value_set_constant(struct he_value *value, enum he_dtype dtype,
                           const struct he_shape *shape, const void *data, size_t bytes);
/* Room for one more element behind @used; the arena keeps the old array, now unused. */
he_status he_arena_grow(struct he_arena *arena, void **array, uint32_t *capacity, uint32_t used,
                        size_t size) HE_MUST_CHECK;
/* A row of @count indices from the arena, HE_NONE in each. NULL without memory. */
uint32_t *he_graph_indices(struct he_graph *graph, uint32_t count);

/* Puts graph->nodes into topological order, stably: a node moves only behind what
 * it needs. Renumbers producers. HE_ERR_PARSE names a node on a cycle. */
he_status he_graph_sort(struct he_graph *graph) HE_MUST_CHECK;
/* An Identity for every graph output that no node makes (a constant, an input, or the
 * same value twice): whoever runs the graph can count on a producer. */
he_status he_graph_settle_outputs(struct he_graph *graph) HE_MUST_CHECK;

/* "Conv 'name'", or "Conv -> 'first output'" for a nameless node, in a per-thread buffer. */
const char *he_node_label(const struct he_graph *graph, const struct he_node *node);
/* Puts the node's label before the sentence. */
he_status he_node_error(const struct he_graph *graph, const struct he_node *node, he_status status);

bool he_node_is(const struct he_node *node, const char *op); /* in the ONNX domain */
static inline const struct he_value *he_node_input(const struct he_graph *graph,
                                                   const struct he_node *node, uint32_t k)
{
    return k < node->input_count && node->inputs[k] != HE_NONE ? &graph->values[node->inputs[k]]
                                                               : NULL;
}
static inline bool he_node_has_output(const struct he_node *node, uint32_t k)
{
    return k < node->output_count && node->outputs[k] != HE_NONE;
}
/* The @k-th graph attribute, NULL behind the last. */
struct he_graph *he_node_body(const struct he_node *node, uint32_t k);
struct he_graph *he_node_body_named(const struct he_node *node, const char *name);
static inline bool he_node_is_control(const struct he_node *node)
{
    return he_node_body(node, 0) != NULL;
}

/* --- Pieces of the passes --- */

/* Types and shapes of one node's outputs, sub-graphs included. */
he_status he_graph_infer_node(struct he_graph *graph, struct he_node *node) HE_MUST_CHECK;
/* The same for If, Loop and Scan (infer_control.c). Once the types of a body's inputs
 * are settled, @walk goes over it; NULL: plain inference. */
typedef he_status (*he_body_walk)(const void *context, struct he_graph *body);
he_status he_graph_infer_control(struct he_graph *graph, struct he_node *node, he_body_walk walk,
                                 const void *context) HE_MUST_CHECK;
/* Infers all nodes without looking at declared outputs. */
he_status he_graph_infer_nodes(struct he_graph *graph) HE_MUST_CHECK;
/* Fusion: sets next[n], the node that follows @n in its task, HE_NONE for the last one.
 * Every value between two nodes of a chain is read by the second one only. */
he_status he_graph_fuse(const struct he_graph *graph, uint32_t *next) HE_MUST_CHECK;
/* he_graph_make_tasks() without the bodies, which have theirs. */
he_status he_graph_make_own_tasks(struct he_graph *graph, bool fuse) HE_MUST_CHECK;
/* Rank conflicts between what is inferred and what the model declares. */
he_status he_graph_check_declared(const struct he_graph *graph) HE_MUST_CHECK;

#endif
