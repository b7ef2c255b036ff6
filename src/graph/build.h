/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the build pass: build.c, attributes.c, input_shapes.c. */
#ifndef HE_GRAPH_BUILD_H
#define HE_GRAPH_BUILD_H

#include "core/map.h"
#include "graph/store.h"

/* Symbolic dimensions of the model. values[k] is the size given to symbol k, or
 * HE_DIM_UNKNOWN while it is open. */
struct he_symbols {
    struct he_map index;
    const char **names;
    int64_t *values;
    uint32_t name_capacity, value_capacity, count;
};

struct he_build {
    const struct he_model *model;
    const struct he_graph_options *options;
    struct he_arena scratch; /* maps and lists, gone when the pass ends */
    struct he_graph *root;
    struct he_symbols symbols;
};

/* Names of one graph. A name that is not here is looked for in the parent. */
struct he_scope {
    struct he_build *build;
    struct he_scope *parent;
    struct he_graph *graph;
    struct he_map names; /* -> value of graph */
    uint32_t depth;
    /* Per capture: the value in the parent's graph. */
    uint32_t *captured;
    uint32_t captured_capacity, captured_count;
};

/* A whole graph out of @source, recursively (build.c). */
he_status he_build_graph(struct he_build *build, struct he_scope *parent,
                         const struct onnx_graph *source, bool is_branch,
                         struct he_scope *scope) HE_MUST_CHECK;

/* Types and shapes of the root's inputs, from declarations, bindings and the
 * default (input_shapes.c). */
he_status he_build_input_shapes(struct he_build *build) HE_MUST_CHECK;

/* Constants and attributes (attributes.c). */
he_status he_build_attrs(struct he_scope *scope, const struct onnx_node *source,
                         struct he_node *node) HE_MUST_CHECK;
/* Makes value @index the constant that a Constant node spells out. */
he_status he_build_constant_node(struct he_scope *scope, const struct onnx_node *source,
                                 uint32_t index) HE_MUST_CHECK;
he_status he_build_tensor(const struct onnx_tensor *tensor, struct he_value *out) HE_MUST_CHECK;

#endif
