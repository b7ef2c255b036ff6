/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by fold.c and inline_if.c. */
#ifndef HE_GRAPH_FOLD_H
#define HE_GRAPH_FOLD_H

#include "graph/store.h"

/* One graph's walk: nodes that stay go to kept, which then replaces graph->nodes. */
struct he_fold {
    struct he_graph *graph;
    const struct he_graph_options *options;
    struct he_node *kept;
    uint32_t kept_count, kept_capacity;
};

/* Infers @node, folds it if it can be, else keeps it. */
he_status he_fold_node(struct he_fold *fold, struct he_node *node) HE_MUST_CHECK;

/* Captured values that have become constants become constants of the bodies. */
he_status he_fold_sink_constants(struct he_graph *graph, struct he_node *node) HE_MUST_CHECK;
/* The branch that an If with a known condition takes, else NULL. */
struct he_graph *he_fold_taken_branch(const struct he_graph *graph, const struct he_node *node);
/* Folds the nodes of @branch in the place of the If. */
he_status he_fold_inline_branch(struct he_fold *fold, struct he_node *node,
                                struct he_graph *branch) HE_MUST_CHECK;

#endif
