/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task as calls of kernels, node by node. step_kernel.c makes it and runs it
 * when all shapes are static; step_dynamic.c runs it when they are not.
 */
#ifndef CPU_KERNEL_STEP_H
#define CPU_KERNEL_STEP_H

#include "program.h"

#define CPU_NOT_STAGED SIZE_MAX

enum cpu_operand_kind {
    CPU_CONSTANT,
    CPU_SLOT,  /* in memory that the core bound */
    CPU_LOCAL, /* stays inside the task */
};

/* One value that the task touches. */
struct cpu_operand {
    enum cpu_operand_kind kind;
    uint32_t value;
    uint32_t slot; /* of CPU_SLOT */
    bool is_dynamic; /* a slot whose shape comes with its he_dynamic_tensor */
    enum he_layout layout;
    size_t offset;    /* of CPU_LOCAL in the workspace, when the step is static */
    size_t staging;   /* place in the workspace for a dense copy, or CPU_NOT_STAGED */
    const void *data; /* of CPU_CONSTANT, aligned for its type */
    void *owned;      /* the copy behind data when the file's bytes were not aligned */
};

struct cpu_node_plan {
    const struct he_node *node;
    const struct cpu_kernel *kernel; /* NULL: a view, or found by type while running */
    bool is_view;
    uint32_t in_count, out_count;
    uint32_t *operands; /* inputs, then outputs; HE_NONE where omitted */
    bool *is_staged;    /* per operand: the kernel sees the dense copy */
    uint32_t first_tensor; /* its operands among the step's tensors */
    size_t scratch;        /* place in the workspace */
};

struct cpu_kernel_step {
    struct cpu_step base;
    struct he_allocator alloc;
    const struct he_graph *graph;
    struct cpu_operand *operands;
    uint32_t operand_count;
    struct cpu_node_plan *nodes;
    uint32_t node_count;
    /* Per node and operand what the kernel sees, but for the address; static steps only. */
    struct he_tensor *tensors;
    uint32_t tensor_count;
    uint32_t *indices; /* behind nodes[].operands */
    bool *flags;       /* behind nodes[].is_staged */
};

extern const struct cpu_step_ops cpu_kernel_step_ops;  /* step_kernel.c */
extern const struct cpu_step_ops cpu_dynamic_step_ops; /* step_dynamic.c */
void cpu_kernel_step_destroy(struct cpu_step *step);

static inline const struct he_value *cpu_operand_value(const struct cpu_kernel_step *step,
                                                       const struct cpu_operand *operand)
{
    return &step->graph->values[operand->value];
}

#endif
