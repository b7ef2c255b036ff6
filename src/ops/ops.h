/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator feature library: one row per ONNX operator. The rows stand in
 * tables by family (ops/math.c, ops/nn.c, ...); ops/ops.c joins them and looks
 * them up. he_op_infer() and the attribute readers are public (graph.h).
 */
#ifndef HE_OPS_OPS_H
#define HE_OPS_OPS_H

#include <heteroengine/graph.h>

/* How an operator touches its data: what fusion, layout and sharding look at. */
enum he_access {
    HE_ACCESS_VIEW,        /* output is the input's bytes under another shape */
    HE_ACCESS_POINTWISE,   /* output element k from input element k (one data input) */
    HE_ACCESS_BROADCAST,   /* pointwise over several inputs, ONNX broadcasting */
    HE_ACCESS_CONTRACTION, /* MatMul and its kin */
    HE_ACCESS_WINDOW,      /* Conv, pooling */
    HE_ACCESS_REDUCE,      /* along axes */
    HE_ACCESS_MOVE,        /* permutes, cuts, joins */
    HE_ACCESS_GATHER,      /* by index tensors */
    HE_ACCESS_SEQUENTIAL,  /* LSTM, scans */
    HE_ACCESS_GENERATE,    /* from a shape or nothing: ConstantOfShape, Range */
    HE_ACCESS_CONTROL,     /* If, Loop, Scan */
};

enum he_op_flags {
    HE_OP_RANDOM = 1u << 0,     /* not a function of its inputs: never folded */
    HE_OP_DATA_SHAPE = 1u << 1, /* output shape depends on input contents */
    HE_OP_COMMUTATIVE = 1u << 2,
    /* Right in either layout as long as data inputs and output share it. */
    HE_OP_ANY_LAYOUT = 1u << 3,
    /* A backend with HE_CAP_CHANNELS_LAST has a channels-last kernel. */
    HE_OP_CHANNELS_LAST = 1u << 4,
};

/* Which axes of output 0 may be cut so that the parts are independent (bits). */
enum he_split_axes {
    HE_SPLIT_NONE = 0,
    HE_SPLIT_BATCH = 1u << 0,   /* axis 0 */
    HE_SPLIT_CHANNEL = 1u << 1, /* axis 1 of NCHW, last of a matrix product */
    HE_SPLIT_ROWS = 1u << 2,    /* rows of a matrix product */
    HE_SPLIT_SPATIAL = 1u << 3, /* with a halo where the window is wider than its stride */
    HE_SPLIT_ANY = 1u << 4,     /* every axis */
    HE_SPLIT_OTHER_AXES = 1u << 5, /* every axis but the one the operator works along */
};

struct he_op {
    const char *name;
    const char *domain;
    const uint8_t *versions; /* opsets that changed it, ascending, 0-terminated */
    he_status (*infer)(const struct he_node *node, const struct he_value *const *inputs,
                       struct he_value *const *outputs);
    /* NULL: elementwise, one operation per output element. Shapes are static
     * where he_work.is_estimate stays false. */
    void (*work)(const struct he_node *node, const struct he_value *const *inputs,
                 const struct he_value *const *outputs, struct he_work *out);
    enum he_access access;
    enum he_work_class work_class;
    uint32_t split_axes;
    uint32_t flags;
    uint8_t min_inputs, max_inputs; /* 255: any number */
    uint8_t max_outputs;
};

/* NULL when there is no row. @opset picks nothing here: rules look at node->opset. */
const struct he_op *he_op_find(const char *domain, const char *name);
size_t he_op_count(void);
const struct he_op *he_op_at(size_t index);
/* The version of the operator in force at @opset (its "since version"); 0 when it is not there yet. */
int he_op_since(const struct he_op *op, int opset);
/* Work of one node; reads the row's rule, then adds bytes in and out. */
void he_op_work(const struct he_node *node, const struct he_value *const *inputs,
                const struct he_value *const *outputs, struct he_work *out);

#endif
