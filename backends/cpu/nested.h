/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sub-graph as a program inside a step. Its values live in an arena inside the step's workspace;
 * inputs and captured values are used where they are; outputs may be written
 * straight to where they are wanted.
 *
 *     cpu_nested_create()  when the step is compiled
 *     cpu_nested_bind()    one state per instance
 *     cpu_nested_begin(), cpu_nested_input()..., cpu_nested_output_to()...,
 *     cpu_nested_run(), cpu_nested_output()
 */
#ifndef CPU_NESTED_H
#define CPU_NESTED_H

#include "program.h"

struct cpu_nested {
    struct he_allocator alloc;
    const struct he_graph *graph;
    struct he_region region;
    uint32_t *tasks;
    struct he_slot *slots;
    size_t *offsets; /* per slot: place in the arena, or SIZE_MAX */
    uint32_t *input_slots;  /* per graph input; HE_NONE when nothing reads it */
    uint32_t *output_slots; /* per graph output; HE_NONE when it cannot be redirected: a
                               constant, an input, or given twice */
    struct cpu_program *program;
    size_t arena_bytes;
    size_t workspace_bytes; /* arena, then the steps' workspace */
    size_t constant_bytes;
};

struct cpu_nested_state {
    const struct cpu_nested *nested;
    struct cpu_instance *instance;
    struct he_dynamic_tensor *tensors; /* per slot; of inputs the memory is not ours */
    struct he_tensor *inputs;          /* per graph input, as given */
    void *workspace;
};

he_status cpu_nested_create(const struct cpu_compile *settings, const struct he_graph *graph,
                            struct cpu_nested **out);
void cpu_nested_destroy(struct cpu_nested *nested);

he_status cpu_nested_bind(const struct cpu_nested *nested, struct cpu_nested_state **out);
void cpu_nested_unbind(struct cpu_nested_state *state);

/* First of all: where the workspace is this time. */
void cpu_nested_begin(struct cpu_nested_state *state, void *workspace);
/* Borrows the dense tensor @data of this type and shape until the outputs have been read. */
he_status cpu_nested_input(struct cpu_nested_state *state, uint32_t input, enum he_dtype dtype,
                           const struct he_shape *shape, void *data);
/* Asks for output @k to be written to @data (when its shape is static) or into
 * @tensor (when not). What cpu_nested_output() says after the run counts. */
void cpu_nested_output_to(struct cpu_nested_state *state, uint32_t k, void *data,
                          struct he_dynamic_tensor *tensor);
bool cpu_nested_output_is_static(const struct cpu_nested *nested, uint32_t k);
he_status cpu_nested_run(struct cpu_nested_state *state);
/* Where output @k is now; dense. */
struct he_tensor cpu_nested_output(const struct cpu_nested_state *state, uint32_t k);

#endif
