/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step made of oneDNN calls: a list of primitives (and plain functions) whose
 * arguments are slots, constants or stretches of the workspace. The makers
 * (onednn_conv.c and its kin) build it with the functions below; running it is
 * the same for all.
 *
 * A maker works on an od_build and just returns the first failure: what was
 * built so far is freed by onednn.c.
 */
#ifndef CPU_ONEDNN_STEP_H
#define CPU_ONEDNN_STEP_H

#include "kernel.h"
#include "onednn_api.h"

enum od_place {
    OD_SLOT,     /* a region slot, perhaps with an offset */
    OD_WORK,     /* the workspace, behind an offset */
    OD_SCRATCH,  /* the workspace's end, shared by all calls of the step */
    OD_CONSTANT, /* memory of the step, or of the graph */
};

/* Where an operand is. */
struct od_operand {
    enum od_place place;
    uint32_t slot;
    size_t offset;
    void *constant;
};

struct od_arg {
    int arg; /* DNNL_ARG_... */
    struct od_operand operand;
};

/* A plain function among the primitives: operands in the order they were given. */
typedef void (*od_function)(const void *params, void *const *operands, struct cpu_team *team);

struct od_call {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    od_function function; /* instead of a primitive */
    void *params;         /* of the function; a constant of the step */
    struct od_arg *args;
    size_t arg_count, arg_capacity;
};

/* One piece of constant memory; @start is @allocated, aligned. */
struct od_block {
    void *allocated, *start;
    size_t bytes;
};

struct od_step {
    struct cpu_step base;
    struct he_allocator alloc;
    uint32_t threads;
    struct od_call *calls;
    size_t call_count, call_capacity;
    struct od_block *constants; /* memory the step owns */
    size_t constant_count, constant_capacity;
    size_t work_bytes, scratch_bytes;
};

struct od_build {
    const struct cpu_compile *c;
    const struct he_graph *graph;
    const struct he_task *task;
    const struct he_node *anchor;
    struct od_step *step;
};

/* --- What the graph says --- */

const struct he_value *od_value(const struct od_build *b, uint32_t value);
/* Input @k of the anchor; HE_NONE when omitted. */
uint32_t od_input(const struct od_build *b, uint32_t k);
bool od_is_constant(const struct od_build *b, uint32_t value);
/* The slot of a value, channels-last or plain; false when it has none. */
bool od_slot(const struct od_build *b, uint32_t value, struct od_operand *operand,
             enum he_layout *layout);
/* The value's descriptor in the layout its slot has; rank 0 when it cannot be described. */
struct od_desc od_slot_desc(const struct od_build *b, uint32_t value);
/* True when both layouts are the same bytes: one channel, or one pixel. */
bool od_layouts_coincide(const struct he_shape *shape);
/* The single output of the task. HE_NONE when it has several. */
uint32_t od_task_output(const struct od_build *b);

/* --- Memory --- */

/* 64-aligned, zeroed memory that lives as long as the step; NULL when there is none. */
void *od_constant_alloc(struct od_build *b, size_t bytes);
/* The elements of a constant float tensor in memory that may be read as float:
 * the graph's own when aligned, else a copy. */
he_status od_constant_floats(struct od_build *b, uint32_t value, const float **out, size_t *count);
/* Frees what one of those two gave, when packing has made it useless. Memory that is not
 * the step's (the graph's own) is left alone. */
void od_constant_release(struct od_build *b, const void *start);
/* A stretch of the workspace, 64-aligned. */
struct od_operand od_work(struct od_build *b, size_t bytes);
struct od_operand od_constant(const void *memory);
size_t od_desc_bytes(const struct od_desc *desc);

/* --- Calls --- */

/* Takes @pd, also on failure. Adds the scratchpad by itself. */
he_status od_add_primitive(struct od_build *b, dnnl_primitive_desc_t pd, struct od_call **out);
he_status od_add_function(struct od_build *b, od_function function, const void *params,
                          size_t params_bytes, struct od_call **out);
/* @call is the last one added. */
he_status od_add_arg(struct od_build *b, struct od_call *call, int arg, struct od_operand operand);
/* From one format to another, anywhere to anywhere. */
he_status od_add_reorder(struct od_build *b, od_md from, struct od_operand src, od_md to,
                         struct od_operand dst);
/* Now, at compile time: @src, described by @from, into new constant memory in the format @to. */
he_status od_pack(struct od_build *b, const struct od_desc *from, const void *src, od_md to,
                  void **out);

/* Frees the step and everything in it; the ops' destroy. */
void od_step_destroy(struct cpu_step *step);
extern const struct cpu_step_ops od_step_ops;

#endif
