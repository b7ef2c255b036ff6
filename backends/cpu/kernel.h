/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cpu backend: how a task becomes something that runs.
 *
 * A program is a list of steps, one per task. A step is made by the first maker that
 * takes the task: oneDNN (onednn.c), the fused pointwise chain (chain.c), or
 * the kernel tables, node by node, with temporaries in the workspace (program.c).
 */
#ifndef CPU_KERNEL_H
#define CPU_KERNEL_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <heteroengine/backend.h>

/* Loops must be vectorised whatever -O the user's CFLAGS end with (they come last on the
 * command line); what -O2 does in gcc 12 only takes loops of a known length. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

/* --- Threads: one team per open device --- */

struct cpu_team; /* parallel.c */
uint32_t cpu_team_threads(const struct cpu_team *team);
/* Calls @body on parts of [0, @count) of at least @grain elements, on the team's
 * threads; returns when all are done. With one thread, or count <= grain, it is
 * a plain call. @team NULL is one thread. */
void cpu_parallel(struct cpu_team *team, int64_t count, int64_t grain,
                  void (*body)(void *arg, int64_t begin, int64_t end), void *arg);

/* Marks a hot loop's function: compiled for AVX-512, AVX2 and the base instruction
 * set, the best one is picked when the program starts. "hot" moves the copies into a
 * section of their own: picking runs 200 small functions, and would else make
 * the whole code resident before the first model is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(HE_SANITIZED) && \
    defined(__OPTIMIZE__)
#define CPU_VECTOR \
    __attribute__((hot, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_VECTOR
#endif

/* Opens libgomp with a bounded spin (docs/decisions/0003). Call it before anything that
 * pulls libgomp in, oneDNN above all. False when there is none: everything runs on one
 * thread. Cheap after the first call; thread-safe. */
bool cpu_openmp_open(void);

/* --- Kernels: one node on host tensors --- */

struct cpu_call {
    const struct he_node *node;
    const struct he_tensor *in; /* dtype HE_DTYPE_NONE: omitted */
    size_t in_count;
    struct he_tensor *out; /* shape, type and data set; dtype NONE: not asked for */
    size_t out_count;
    struct cpu_team *team;
    void *scratch; /* kernel->scratch() bytes, 64-aligned */
    /* For CPU_DATA_SHAPE kernels only, whose out[k].data starts as NULL: gives
     * output @k its type and shape and memory behind out[k].data. */
    he_status (*shape_output)(struct cpu_call *call, size_t k, enum he_dtype dtype,
                              const struct he_shape *shape);
    void *owner; /* program.c's */
};

enum cpu_kernel_flags {
    CPU_DATA_SHAPE = 1u << 0, /* finds its output shapes while running */
    CPU_STRIDED = 1u << 1,    /* reads and writes tensors with any strides; others
                                 get dense row-major inputs and outputs */
    CPU_IN_PLACE = 1u << 2,   /* output 0 may be the memory of input 0 */
};

#define CPU_TYPE(dtype) (1u << (dtype))
#define CPU_ALL_TYPES 0xffffffffu

struct cpu_kernel {
    const char *op;
    const char *domain; /* NULL: the ONNX domain */
    uint32_t types;     /* bits CPU_TYPE(): of input @type_input; checked before run() */
    uint8_t type_input; /* which input picks the type; an omitted or absent one matches */
    uint32_t flags;
    he_status (*run)(struct cpu_call *call);
    /* Bytes of scratch for these tensors (data not set); NULL: none. */
    size_t (*scratch)(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                      const struct he_tensor *out, size_t out_count);
};

/* The tables, one per family; kernels.c joins and looks them up. Several rows
 * for one operator are tried in order until the type fits. */
struct cpu_kernel_table {
    const struct cpu_kernel *kernels;
    size_t count;
};
/* The first row of this operator that takes @dtype, whatever its type_input; NONE: the first row. */
const struct cpu_kernel *cpu_kernel_find(const char *domain, const char *op, enum he_dtype dtype);
/* The first row whose type_input, if there is such an input, has a type that the row takes. */
const struct cpu_kernel *cpu_kernel_match(const char *domain, const char *op,
                                          const enum he_dtype *in_types, size_t in_count);

/* --- Steps --- */

/* One instance's memory while it runs. */
struct cpu_frame {
    void *const *slots; /* address of region slot k; of a dynamic slot, see below */
    void *workspace;    /* step->workspace_bytes at least, 64-aligned; NULL when that is 0 */
    struct cpu_team *team;
    /* Of dynamic slots the tensor, else NULL. Only steps over values whose shape is not
     * static look here; the makers in onednn.c and chain.c never get such a task. */
    struct he_dynamic_tensor *const *dynamic;
};

struct cpu_step;
struct cpu_step_ops {
    /* Optional: what each instance needs of its own (library handles). */
    he_status (*bind)(const struct cpu_step *step, void **state);
    void (*unbind)(const struct cpu_step *step, void *state);
    /* Runs the task: operands at frame->slots[...]. */
    he_status (*run)(const struct cpu_step *step, void *state, const struct cpu_frame *frame);
    void (*destroy)(struct cpu_step *step); /* frees the step itself too */
};

struct cpu_step {
    const struct cpu_step_ops *ops;
    size_t workspace_bytes, constant_bytes;
};

/* What a maker sees. slot_of[value] is the region slot of a value, HE_NONE for
 * constants and for values that stay inside a task. */
struct cpu_compile {
    const struct he_region *region;
    const uint32_t *slot_of;
    struct he_allocator alloc;
    struct cpu_team *team;
    uint32_t threads; /* that this task should use: 1 when it is too small for the team */
    bool use_bf16; /* the matrix backend: multiply in bfloat16 */
    const char *variant; /* a way out of variants.c; NULL: by the makers' own rules */
};

/* HE_ERR_UNSUPPORTED: not this maker's, try the next one. Static shapes only. */
he_status cpu_onednn_step(const struct cpu_compile *c, const struct he_task *task,
                          struct cpu_step **out); /* onednn.c */
he_status cpu_chain_step(const struct cpu_compile *c, const struct he_task *task,
                         struct cpu_step **out); /* chain.c */

/* oneDNN is opened at first need. False when it is absent; the reason is in the error sentence. */
bool cpu_onednn_open(void);
const char *cpu_onednn_version(void); /* "oneDNN 2.6.3", or "" */

#endif
