/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a graph node by node on the cpu backend, so that a test can ask whether a rewritten
 * graph still computes the same. Static shapes only.
 */
#ifndef TESTS_SUPPORT_GRAPH_RUN_H
#define TESTS_SUPPORT_GRAPH_RUN_H

#include "graph/graph.h"

/* The evaluator of a cpu device that lives as long as the process. */
const struct he_evaluator *graph_run_evaluator(void);
/* Fills an input with numbers that depend on its name and shape only. */
struct he_tensor graph_run_input(const struct he_value *value, struct he_arena *arena);
/* Gives the outputs, in the graph's order, in @arena; the sentence names a node that failed.
 * @inputs NULL: graph_run_input(). */
he_status graph_run(struct he_graph *graph, struct he_arena *arena, const struct he_tensor *inputs,
                    struct he_tensor *outputs);
/* The largest difference, relative to the larger of 1 and the largest element; INFINITY when
 * types or shapes differ. */
double graph_run_difference(const struct he_tensor *a, const struct he_tensor *b);

#endif
