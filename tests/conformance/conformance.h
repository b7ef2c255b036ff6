/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the conformance suite: cases, runs on a device, claims. */
#ifndef TESTS_CONFORMANCE_H
#define TESTS_CONFORMANCE_H

#include "core/device.h"

/* --- Cases (cases.c) --- */

/* A random graph of one or a few tasks. */
struct test_graph {
    struct he_graph *graph;
    uint64_t random;
    uint32_t inputs[8]; /* values to be filled */
    float low[8], high[8];
    uint32_t input_count;
};

struct test_case {
    const char *name;
    void (*make)(struct test_graph *t);
};
extern const struct test_case test_cases[];
extern const size_t test_case_count;

void test_graph_init(struct test_graph *t, const struct test_case *test, uint64_t seed);
void test_graph_fini(struct test_graph *t);
/* Random contents of input @k for @seed, into memory of the value's size. */
void test_fill(const struct test_graph *t, uint32_t k, uint64_t seed, void *out);

/* --- Runs (run.c) --- */

#define RUN_INSTANCES 2

/* The whole graph as one region of one device, every value at an offset of one buffer. */
struct test_run {
    struct he_device *dev;
    struct he_region region;
    uint32_t *tasks;
    struct he_slot *slots;
    size_t *offsets; /* per slot */
    size_t bytes;
    void *program;
    void *arenas[RUN_INSTANCES], *instances[RUN_INSTANCES];
    void *workspace;
};

/* HE_ERR_UNSUPPORTED when supports() refuses a task; everything else is an error. */
he_status test_run_open(struct test_run *run, struct he_device *dev, const struct he_graph *graph);
void test_run_close(struct test_run *run);
he_status test_run_put(struct test_run *run, uint32_t instance, uint32_t value, const void *data);
he_status test_run_get(struct test_run *run, uint32_t instance, uint32_t value, void *out);
he_status test_run_launch(struct test_run *run, uint32_t instance, uint64_t *task_ns);
/* Moves a slot of @instance to the same offset of @buffer. */
he_status test_run_move(struct test_run *run, uint32_t instance, uint32_t value, void *buffer);

/* Memory of a device, whatever its kind. */
he_status test_device_write(struct he_device *dev, void *buffer, size_t offset, const void *data,
                            size_t bytes);
he_status test_device_read(struct he_device *dev, void *buffer, size_t offset, void *out,
                           size_t bytes);

/* --- Cases in float16 (half.c) --- */

/* HE_ERR_UNSUPPORTED when @dev refuses a task; the sentence says what is wrong. */
he_status test_half_case(struct he_device *dev, struct he_device *reference,
                         const struct test_case *test, uint64_t seed);

/* --- Claims (claims.c) --- */

/* The claims of @backend, NUL-terminated; "" when there is no file. To be freed. */
char *test_claims_read(const char *backend);
bool test_claims_operator(const char *claims, const char *op);
bool test_claims_results(const char *claims);
bool test_claims_halves(const char *claims);

#endif
