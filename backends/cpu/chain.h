/* SPDX-License-Identifier: Apache-2.0 */
/* A fused chain of pointwise operators: what chain_build.c makes and chain.c runs. */
#ifndef CPU_CHAIN_H
#define CPU_CHAIN_H

#include "pointwise.h"
#include "program.h"

/* Elements worked on at a time. All temporaries together stay within half a first-level cache. */
#define CHAIN_BLOCK 1024
#define CHAIN_TEMPS 6
/* From this length of the innermost dimension on, a block never crosses a row. */
#define CHAIN_LONG_ROW 192
#define CHAIN_RANK 8 /* after joining dimensions */

enum chain_access {
    CHAIN_FULL,     /* every element has its own: at the position itself */
    CHAIN_SCALAR,   /* one for all */
    CHAIN_PERIODIC, /* constant vector along the innermost dimension, repeated for a whole block */
    CHAIN_STEPS,    /* anything else: by its steps */
};

enum chain_place { CHAIN_CONSTANT, CHAIN_SLOT, CHAIN_TEMP };

struct chain_operand {
    enum chain_place place;
    enum chain_access access;
    uint32_t index;    /* of the slot or the temporary */
    const float *data; /* of a constant */
    void *owned;       /* memory of data, NULL when borrowed */
    int64_t period;
    int64_t steps[CHAIN_RANK];
};

enum chain_op {
    CHAIN_MAP,
    CHAIN_ZIP,
    CHAIN_AFFINE, /* out = a * b + c, no less than 0 with is_relu: a pass instead of three */
    CHAIN_EXPAND, /* a CHAIN_STEPS operand (a) spread out into a temporary (out) */
};

struct chain_instr {
    enum chain_op op;
    cpu_map_fn map;
    cpu_zip_fn zip;
    float params[4];
    bool is_relu;
    uint16_t out, a, b, c; /* operands; b of zips and affines, c of affines */
};

struct chain_step {
    struct cpu_step base;
    struct he_allocator alloc;
    int64_t count; /* elements of the output shape */
    uint32_t rank;
    int64_t dims[CHAIN_RANK];
    bool has_long_rows;
    int64_t grain;
    struct chain_operand *operands;
    struct chain_instr *instrs;
    uint32_t operand_count, instr_count;
};

/* Runs it; its struct cpu_step_ops. */
extern const struct cpu_step_ops chain_step_ops;

#endif
