/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small graphs by hand, for tests that want to see exactly what they run. Running out of
 * memory or of room ends the program: these are tests.
 *
 *     struct he_graph *g = build_graph("two steps");
 *     uint32_t x = build_input(g, "x", HE_FLOAT32, "2,3");
 *     uint32_t y = build_value(g, "y", HE_FLOAT32, "2,3");
 *     build_node(g, "Relu", 1, &x, 1, &y);
 *     build_output(g, y);
 *     build_tasks(g);
 */
#ifndef TESTS_GRAPH_BUILDER_H
#define TESTS_GRAPH_BUILDER_H

#include <heteroengine/graph.h>

struct he_graph *build_graph(const char *name);
/* Its sub-graphs too. */
void build_free(struct he_graph *graph);

/* "2,3"; "?" for a dimension that is not known, "*" for a rank that is not, "" for a scalar. */
struct he_shape build_shape(const char *text);
uint32_t build_value(struct he_graph *graph, const char *name, enum he_dtype dtype,
                     const char *shape);
uint32_t build_input(struct he_graph *graph, const char *name, enum he_dtype dtype,
                     const char *shape);
/* An input of a sub-graph that comes from the outer graph; after all build_input() calls. */
uint32_t build_capture(struct he_graph *graph, const char *name, enum he_dtype dtype,
                       const char *shape);
/* Copies the contents. */
uint32_t build_constant(struct he_graph *graph, const char *name, enum he_dtype dtype,
                        const char *shape, const void *data);
void build_output(struct he_graph *graph, uint32_t value);

/* Gives the node's index; opset 17. All inputs count as explicit. */
uint32_t build_node(struct he_graph *graph, const char *op, uint32_t input_count,
                    const uint32_t *inputs, uint32_t output_count, const uint32_t *outputs);
void build_int(struct he_graph *graph, uint32_t node, const char *name, int64_t value);
void build_float(struct he_graph *graph, uint32_t node, const char *name, float value);
/* Borrows @value for as long as the graph lives. */
void build_string(struct he_graph *graph, uint32_t node, const char *name, const char *value);
void build_ints(struct he_graph *graph, uint32_t node, const char *name, size_t count,
                const int64_t *values);
/* Takes @body; appends @captures to the node's inputs. */
void build_body(struct he_graph *graph, uint32_t node, const char *name, struct he_graph *body,
                uint32_t capture_count, const uint32_t *captures);

/* One task per node. After everything else. */
void build_tasks(struct he_graph *graph);
/* Joins the nodes of the last @count tasks into one. */
void build_fuse(struct he_graph *graph, uint32_t count);

#endif
