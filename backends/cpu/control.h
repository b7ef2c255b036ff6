/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What If, Loop and Scan share: the node's operands in the outer region, its
 * bodies, and values carried from one iteration to the next.
 */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "nested.h"

#define CPU_MAX_BODIES 2

/* One operand of the node as the outer region has it. */
struct cpu_outer {
    const struct he_value *value; /* NULL: omitted, or nobody reads this output */
    uint32_t slot;                /* HE_NONE: a constant */
    bool is_dynamic;
    const void *data; /* of a constant, aligned */
    void *owned;
};

struct cpu_body {
    struct cpu_nested *nested;
    const struct he_graph *graph;
    uint32_t first_capture; /* node input of its first captured value */
};

struct cpu_control {
    struct cpu_step base;
    struct he_allocator alloc;
    const struct he_node *node;
    struct cpu_outer *in;  /* all node inputs, captured ones too */
    struct cpu_outer *out;
    struct cpu_body bodies[CPU_MAX_BODIES];
    uint32_t body_count;
};

/* Fills a zeroed step: operands, and one body per name (graph attribute). */
he_status cpu_control_init(struct cpu_control *control, const struct cpu_compile *c,
                           const struct he_node *node, const char *const *bodies,
                           uint32_t body_count);
void cpu_control_fini(struct cpu_control *control); /* leaves the step itself */

/* Where an input is; data NULL when it was not made. */
struct he_tensor cpu_outer_tensor(const struct cpu_outer *outer, const struct cpu_frame *frame);
/* Memory for an output of this type and shape. */
he_status cpu_outer_place(const struct cpu_control *control, const struct cpu_outer *outer,
                          const struct cpu_frame *frame, enum he_dtype dtype,
                          const struct he_shape *shape, void **data);
/* Copies a dense tensor to an output, unless it stands there already. */
he_status cpu_outer_store(const struct cpu_control *control, const struct cpu_outer *outer,
                          const struct cpu_frame *frame, const struct he_tensor *tensor);
/* Hands the captured values to a body. */
he_status cpu_control_capture(const struct cpu_control *control, uint32_t body,
                              struct cpu_nested_state *state, const struct cpu_frame *frame);

/* A value that goes round: read from one tensor, written to the other. */
struct cpu_carried {
    struct he_dynamic_tensor tensors[2];
    uint32_t next; /* the one to be written */
    struct he_tensor now;
};
void cpu_carried_fini(const struct he_allocator *alloc, struct cpu_carried *carried);
/* Gives @now to body input @input and asks for output @output in the other tensor. */
he_status cpu_carried_begin(const struct he_allocator *alloc, struct cpu_carried *carried,
                            struct cpu_nested_state *state, uint32_t input, uint32_t output);
/* After the run: takes the output as the next @now. Call it for all before any begin. */
he_status cpu_carried_end(const struct he_allocator *alloc, struct cpu_carried *carried,
                          struct cpu_nested_state *state, uint32_t output, struct cpu_team *team);

he_status cpu_loop_step(const struct cpu_compile *c, const struct he_node *node,
                        struct cpu_step **out);
he_status cpu_scan_step(const struct cpu_compile *c, const struct he_node *node,
                        struct cpu_step **out);

#endif
