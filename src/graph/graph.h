/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a model to tasks. The passes, in the order he_graph_prepare() runs them:
 *
 *   build     names -> indices, captures of sub-graphs, topological order
 *   infer     shapes, symbolic where the model leaves them open
 *   fold      nodes whose inputs are constant; shape arithmetic (infers as it goes)
 *   dead      what nobody reads
 *   simplify  identities, BatchNorm into Conv/Gemm, known patterns -> one node
 *   fold, dead  again, for what simplifying made constant
 *   fuse      anchor + epilogue -> he_task
 *
 * and, once devices are known, layout: channels-last inside a region.
 */
#ifndef HE_GRAPH_GRAPH_H
#define HE_GRAPH_GRAPH_H

#include <heteroengine/backend.h>
#include <heteroengine/graph.h>

#include "core/alloc.h"
#include "model/model.h"
#include "ops/ops.h"

/* Gives a size to a symbolic dimension ("batch") or a whole shape to an input. */
struct he_shape_binding {
    const char *name; /* of an input or of a symbol */
    bool is_symbol;
    struct he_shape shape; /* for a symbol: rank 1, its size in dims[0] */
};

/* Runs one node on host memory; constant folding asks for it. Inputs are dense
 * views (dtype NONE when omitted); fills outputs[k].data with memory from
 * @arena, shape and type set. HE_ERR_UNSUPPORTED: leave the node alone. */
struct he_evaluator {
    he_status (*eval)(void *self, const struct he_graph *graph, const struct he_node *node,
                      const struct he_tensor *inputs, struct he_tensor *outputs,
                      struct he_arena *arena);
    void *self;
};

struct he_graph_options {
    const struct he_shape_binding *bindings;
    size_t binding_count;
    /* Size given to dimensions that stay open: 0 leaves them symbolic. */
    int64_t default_dim;
    const struct he_evaluator *evaluator; /* NULL: no folding by running */
    bool no_fold, no_simplify, no_fuse; /* for tests and for finding faults */
};

/* Borrows @model until the graph is destroyed (constants point into it). Gives
 * *out with tasks made. Errors name the node. */
he_status he_graph_prepare(const struct he_model *model, const struct he_graph_options *options,
                           const struct he_allocator *alloc, struct he_graph **out) HE_MUST_CHECK;
void he_graph_destroy(struct he_graph *graph);
/* Shares the graph that @graph was cut from, or @graph itself: to be freed with he_graph_destroy(). */
struct he_graph *he_graph_share_uncut(const struct he_graph *graph);

/* --- The passes, for tests --- */
he_status he_graph_build(const struct he_model *model, const struct he_graph_options *options,
                         const struct he_allocator *alloc, struct he_graph **out) HE_MUST_CHECK;
he_status he_graph_infer(struct he_graph *graph) HE_MUST_CHECK;
he_status he_graph_fold(struct he_graph *graph, const struct he_graph_options *options) HE_MUST_CHECK;
he_status he_graph_simplify(struct he_graph *graph) HE_MUST_CHECK;
he_status he_graph_remove_dead(struct he_graph *graph) HE_MUST_CHECK;
he_status he_graph_make_tasks(struct he_graph *graph, bool fuse) HE_MUST_CHECK;
/* Structure, order, indices: HE_ERR_INTERNAL with a sentence when broken. */
he_status he_graph_check(const struct he_graph *graph) HE_MUST_CHECK;

/* Sets slots[k].layout of one region. A slot at the region's border is
 * channels-last only where @may_border[k] (the device at the other end takes it
 * too); NULL: borders are plain. */
void he_graph_choose_layouts(const struct he_region *region, struct he_slot *slots,
                             const bool *may_border);
/* True when the node's output is its data input's bytes (Reshape and its kin)
 * in a plain layout; *input is that value. */
bool he_graph_is_view(const struct he_graph *graph, const struct he_node *node, uint32_t *input);

/* One value is a run of another's bytes. */
struct he_value_part {
    uint32_t whole, part; /* values */
    size_t offset;        /* bytes */
};
/* The @k-th such pair that @node (Slice, Split, Concat) makes when both values are in @layout:
 * then nothing needs to move. False when there is none. */
bool he_graph_part(const struct he_graph *graph, const struct he_node *node, uint32_t k,
                   enum he_layout layout, struct he_value_part *out);
/* True when a task is one node that moves nothing in one memory, whatever the layout. */
bool he_graph_is_in_place(const struct he_graph *graph, const struct he_task *task);

#endif
