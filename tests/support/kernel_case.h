/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of one kernel of the cpu backend, written as text:
 *
 *     op      "Softmax"
 *     attrs   "axis=1 alpha=0.5 mode='linear' axes=[0,2]"
 *     tensor  "float32 2,3: 1 2 3 4 5 6"     ("-" is an omitted one, "float32 : 7" a scalar)
 *
 * and for tests that make their own data, the same with tensors in memory. What cannot be
 * read fails the test.
 */
#ifndef TESTS_KERNEL_CASE_H
#define TESTS_KERNEL_CASE_H

#include <heteroengine/graph.h>

#include "kernel.h"

#define KERNEL_CASE_MAX 10 /* inputs, outputs, attributes */

/* Dense, with memory of its own and a guard behind it. */
struct he_tensor case_tensor(enum he_dtype dtype, const struct he_shape *shape);
struct he_tensor case_tensor_parse(const char *text);
void case_tensor_free(struct he_tensor *tensor);
/* True when nothing was written behind the tensor's end. */
bool case_tensor_is_intact(const struct he_tensor *tensor);
double case_tensor_get(const struct he_tensor *tensor, int64_t k);
void case_tensor_set(struct he_tensor *tensor, int64_t k, double x);

struct kernel_node {
    struct he_node node;
    struct he_attr attrs[KERNEL_CASE_MAX];
    char text[512];
    int64_t ints[KERNEL_CASE_MAX][8];
    float floats[KERNEL_CASE_MAX][8];
    const char *strings[KERNEL_CASE_MAX][8];
};
void case_node_init(struct kernel_node *n, const char *op, int opset, const char *attrs);

/* Finds the kernel by the inputs' types and runs it with scratch of its own, guarded. A kernel
 * that finds its output shapes while running replaces out[]. */
he_status case_run(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                   struct he_tensor *out, size_t out_count, struct cpu_team *team);

/* Fails unless |got - wanted| <= tolerance * (1 + |wanted|) everywhere; NaN equals NaN. */
void case_compare(const char *what, const struct he_tensor *got, const struct he_tensor *wanted,
                  double tolerance);

#endif
