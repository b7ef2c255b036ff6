/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task of a few nodes, built for a test together with its exact result: every
 * value has its elements in double precision, computed by naive loops as the
 * nodes are added. run_task() gives the task to a step maker of the cpu
 * backend, over slots in either layout, and measures the error.
 */
#ifndef TESTS_SUPPORT_TASK_BENCH_H
#define TESTS_SUPPORT_TASK_BENCH_H

#include "../../backends/cpu/kernel.h"

#define MAX_VALUES 48
#define MAX_NODES 12
#define MAX_LIST 16

struct bench {
    struct he_value values[MAX_VALUES];
    double *exact[MAX_VALUES];
    char *raw[MAX_VALUES]; /* constants: what data points into */
    bool is_constant[MAX_VALUES];
    uint32_t value_count;
    struct he_node nodes[MAX_NODES];
    uint32_t inputs[MAX_NODES][6], outputs[MAX_NODES][1];
    struct he_attr attrs[MAX_NODES][8];
    int64_t ints[MAX_NODES][8][MAX_LIST];
    uint32_t node_count;
    struct he_slot slots[MAX_VALUES];
    uint32_t slot_of[MAX_VALUES], slot_count;
};

/* Of the generator behind pick(), coin() and random_float(); set it to repeat a case. */
extern uint64_t random_state;
/* Allocations of the step under test that will succeed. */
extern int64_t allocations_left;

#define DIMS(...) (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}

/* --- Building --- */

int64_t pick(int64_t low, int64_t high);
bool coin(void);
float random_float(float low, float high);
struct bench *bench_new(void);
void bench_free(struct bench *m);
uint32_t add_value(struct bench *m, const struct he_shape *shape);
struct he_shape shape_of(uint32_t rank, const int64_t *dims);
uint32_t add_input(struct bench *m, uint32_t rank, const int64_t *dims);
uint32_t add_constant(struct bench *m, float low, float high, uint32_t rank,
                      const int64_t *dims);
struct he_node *node_begin(struct bench *m, const char *op, int opset);
void node_input(struct he_node *node, uint32_t value);
void node_int(struct he_node *node, const char *name, int64_t i);
void node_float(struct he_node *node, const char *name, float f);
void node_string(struct he_node *node, const char *name, const char *s);
void node_ints(struct bench *m, struct he_node *node, const char *name,
               const int64_t *list, size_t count);
uint32_t node_end(struct bench *m, struct he_node *node, const struct he_shape *shape);

/* --- Nodes with a reference: each gives its output value (task_reference.c) --- */

struct conv_case {
    int spatial;
    int64_t n, c, o, groups, in[3], kernel[3], strides[3], dilations[3], pads[6], extra[3];
    bool is_transposed, has_bias;
};

int64_t count_of(const struct bench *m, uint32_t value);
int64_t spread_index(const struct he_shape *out, const struct he_shape *in, int64_t at);
uint32_t ref_unary(struct bench *m, const char *op, uint32_t x);
uint32_t ref_binary(struct bench *m, const char *op, uint32_t a, uint32_t b, uint32_t like);
uint32_t ref_conv(struct bench *m, const struct conv_case *t);
void multiply(struct bench *m, uint32_t a, uint32_t b, uint32_t y, bool ta, bool tb,
              double alpha);

/* --- Running --- */

enum layouts { ALL_PLAIN, ALL_LAST, RANDOM_LAYOUTS };

struct outcome {
    he_status status;
    double error; /* largest, against the largest reference value */
};

/* The way of backends/cpu/variants.c that run_task() asks for; NULL: by rule. */
extern const char *run_variant;
struct outcome run_task(struct bench *m, uint32_t output, enum layouts layouts,
                        bool use_bf16, uint32_t threads);
void expect_close(struct bench *m, uint32_t output, enum layouts layouts, bool use_bf16,
                  double limit, const char *what);

#endif
