/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_GRAPH_H
#define HETEROENGINE_GRAPH_H

/*
 * The graph as every room and every backend sees it: plain arrays that refer
 * to each other by index. It is built and rewritten by src/graph only; all
 * others read. Everything is owned by the graph and lives as long as it.
 */

#include <heteroengine/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HE_NONE UINT32_MAX /* "no index": an omitted input, no producer */

struct he_graph;

/* How the bytes of a rank-3-to-5 value [N, C, spatial...] are ordered. */
enum he_layout {
    HE_LAYOUT_PLAIN = 0,     /* row-major in the order of the dimensions */
    HE_LAYOUT_CHANNELS_LAST, /* N, spatial..., C: the same byte count */
};

/* What flows along an edge: a tensor with a type, perhaps with known contents. */
struct he_value {
    const char *name; /* "" when the optimiser made it */
    enum he_dtype dtype;
    struct he_shape shape;
    /* Contents when constant, else NULL: dense, row-major, little endian and
     * NOT necessarily aligned (it may point into the model file): read it with
     * memcpy or he_value_read_ints(). data_bytes is its exact size. Strings are an
     * array of const char *. */
    const void *data;
    size_t data_bytes;
    /* Shape arithmetic: contents of a small (<= HE_MAX_RANK elements) int64,
     * int32 or bool tensor, one dimension code (see he_shape) per element, so that
     * a symbol survives Shape -> Gather -> Concat -> Reshape. Valid when has_known_ints. */
    bool has_known_ints;
    int64_t known_ints[HE_MAX_RANK];
    uint32_t producer; /* node, HE_NONE for inputs and constants */
    bool is_input, is_output;
    /* Anything but a tensor (sequence, optional, map): nothing here runs it. */
    bool is_opaque;
};

enum he_attr_kind {
    HE_ATTR_INT,
    HE_ATTR_FLOAT,
    HE_ATTR_STRING,
    HE_ATTR_TENSOR,
    HE_ATTR_GRAPH,
    HE_ATTR_INTS,
    HE_ATTR_FLOATS,
    HE_ATTR_STRINGS,
    HE_ATTR_OTHER, /* carried by the reader, used by no operator here */
};

struct he_attr {
    const char *name;
    enum he_attr_kind kind;
    size_t count;              /* of ints, floats, strings */
    int64_t i;
    float f;
    const char *s;             /* NUL-terminated copy; s_bytes excludes the NUL */
    size_t s_bytes;
    const int64_t *ints;
    const float *floats;
    const char *const *strings;
    const struct he_value *tensor; /* constant: data is set */
    struct he_graph *graph;
};

struct he_node {
    const char *name; /* "" when the model gives none */
    const char *op;   /* operator type, "Conv" */
    const char *domain; /* "" is the ONNX domain */
    int opset;          /* version of that domain the model asks for */
    /* Values. Omitted optional inputs are HE_NONE. A control-flow node lists
     * its explicit inputs first, then, graph attribute by graph attribute, the
     * outer values each sub-graph captures (he_graph.capture_count). */
    uint32_t *inputs;
    uint32_t input_count, explicit_input_count;
    uint32_t *outputs; /* HE_NONE for an output nobody asked for */
    uint32_t output_count;
    struct he_attr *attrs;
    uint32_t attr_count;
    uint32_t task; /* index of the task that holds it */
};

/* What kind of work a task is, for roofline efficiencies and learnt corrections. */
enum he_work_class {
    HE_WORK_NONE,        /* views: no work at all */
    HE_WORK_CONTRACTION, /* Gemm, MatMul, Conv 1x1 */
    HE_WORK_CONV,
    HE_WORK_DEPTHWISE,
    HE_WORK_WINDOW,      /* pooling, LRN */
    HE_WORK_ELEMENTWISE,
    HE_WORK_REDUCTION,   /* softmax, normalisations, reductions */
    HE_WORK_MOVE,        /* transpose, concat, slice, gather */
    HE_WORK_RECURRENT,   /* LSTM, GRU, RNN */
    HE_WORK_CONTROL,     /* If, Loop, Scan */
    HE_WORK_CLASS_COUNT
};

struct he_work {
    enum he_work_class work_class;
    double flops;
    double read_bytes, write_bytes; /* inputs + weights, outputs */
    bool is_estimate; /* true when some dimension was not known */
};

/*
 * A task: the unit of placement. One node, or a fused group: an anchor (the
 * heavy node) and the cheap ones that follow it in a chain. Values between its
 * own nodes are not materialised unless they are among outputs.
 */
struct he_task {
    uint32_t *nodes; /* topological order */
    uint32_t node_count;
    uint32_t anchor; /* the node that names it */
    uint32_t *inputs; /* non-constant values it reads from outside, no repeats */
    uint32_t input_count;
    uint32_t *outputs; /* values others read, or the graph gives */
    uint32_t output_count;
    struct he_work work;
    size_t constant_bytes; /* weights it reads */
    /* Some output's shape is known only while running (NonZero...): such a
     * value lives in memory that the program allocates. */
    bool is_dynamic;
};

struct he_graph {
    const char *name;
    struct he_value *values;
    uint32_t value_count;
    struct he_node *nodes; /* topological order */
    uint32_t node_count;
    struct he_task *tasks; /* topological order; empty before he_graph_make_tasks() */
    uint32_t task_count;
    /* In a sub-graph the captured values are the last capture_count inputs. */
    uint32_t *inputs;
    uint32_t input_count, capture_count;
    uint32_t *outputs;
    uint32_t output_count;
    const char **symbols; /* symbols[k] names dimension code -2 - k */
    uint32_t symbol_count;
    void *owner; /* private to src/graph */
};

/* --- Reading nodes: typed attributes with the operator's default. Thread-safe. --- */

HE_API const struct he_attr *he_node_attr(const struct he_node *node, const char *name);
HE_API int64_t he_node_int(const struct he_node *node, const char *name, int64_t fallback);
HE_API float he_node_float(const struct he_node *node, const char *name, float fallback);
HE_API const char *he_node_string(const struct he_node *node, const char *name,
                                  const char *fallback);
/** Gives the list in @out (borrowed from the node) and its length; 0 and NULL when absent. */
HE_API size_t he_node_ints(const struct he_node *node, const char *name, const int64_t **out);

/** True when the shape is static and the contents known. */
HE_API bool he_value_is_constant(const struct he_value *value);
/**
 * Copies up to @capacity integers of a constant int32/int64/uint8... tensor into
 * @out and gives the element count. False when it is not a constant of integers.
 */
HE_API bool he_value_read_ints(const struct he_value *value, int64_t *out, size_t capacity,
                               size_t *count);

/* --- The operator feature library (src/ops) --- */

/** True when there is a row for this operator at this opset. */
HE_API bool he_op_is_known(const struct he_node *node);

/**
 * The shape rule of @node: from the types and shapes (and constant contents) of
 * @inputs it sets dtype and shape of every non-NULL @outputs[k], with
 * HE_DIM_UNKNOWN where the answer depends on data. An omitted input is NULL.
 * Also sets has_known_ints and known_ints of shape arithmetic.
 * HE_ERR_SHAPE when the inputs do not fit the operator, HE_ERR_UNSUPPORTED for an
 * operator without a row. Never allocates. Thread-safe. Backends call it while
 * running a task whose shapes were not known before.
 */
HE_API HE_MUST_CHECK he_status he_op_infer(const struct he_node *node,
                                           const struct he_value *const *inputs,
                                           struct he_value *const *outputs);

#ifdef __cplusplus
}
#endif
#endif
