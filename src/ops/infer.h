/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shape and work rules share. he_op_infer() and he_op_work() hand the
 * rules padded arrays: in[k] and out[k] may be read for every k < HE_RULE_SLOTS
 * whatever the node's counts are. in[k] is NULL for an omitted input. out[k] of a
 * shape rule is never NULL there (outputs nobody asked for go to a scrap value);
 * rules with any number of outputs go by node->output_count and test for NULL.
 *
 * Outputs arrive as "nothing known": a rule sets what it knows and returns HE_OK.
 * Ranks of inputs are at most HE_MAX_RANK or HE_RANK_UNKNOWN; everything else
 * about a node (attributes, types, contents) may be wrong and is checked here.
 */
#ifndef HE_OPS_INFER_H
#define HE_OPS_INFER_H

#include "core/size.h"
#include "ops/ops.h"

#define HE_RULE_SLOTS 16

/* Most rules use two of the three arguments, hence the attribute. */
#define HE_RULE_UNUSED __attribute__((unused))
#define HE_INFER_RULE(rule)                                                                        \
    he_status rule(HE_RULE_UNUSED const struct he_node *node,                                      \
                   HE_RULE_UNUSED const struct he_value *const *in,                                \
                   HE_RULE_UNUSED struct he_value *const *out)
#define HE_WORK_RULE(rule)                                                                         \
    void rule(HE_RULE_UNUSED const struct he_node *node,                                           \
              HE_RULE_UNUSED const struct he_value *const *in,                                     \
              HE_RULE_UNUSED const struct he_value *const *out, struct he_work *work)

/* The versions[] of a row. */
#define HE_VERSIONS(...) ((const uint8_t[]){ __VA_ARGS__, 0 })

/* A family's rows; ops.c joins them. */
struct he_op_table {
    const struct he_op *rows;
    size_t count;
};
extern const struct he_op_table he_ops_activation, he_ops_attention, he_ops_control, he_ops_conv,
    he_ops_gather, he_ops_generate, he_ops_image, he_ops_index, he_ops_logic, he_ops_loss,
    he_ops_math, he_ops_matrix, he_ops_norm, he_ops_pool, he_ops_quant, he_ops_recurrent,
    he_ops_reduce, he_ops_shape, he_ops_signal, he_ops_slice;

/* --- Errors --- */

/* Sets "OP: sentence" and returns HE_ERR_SHAPE. */
he_status he_infer_error(const struct he_node *node, const char *format, ...) HE_PRINTF(2, 3);

/* A shape for a sentence: "[2,?,s0]". By value, so that two fit in one call. */
struct he_shape_text {
    char s[160];
};
struct he_shape_text he_infer_text(const struct he_value *value);
struct he_shape_text he_infer_shape_text(const struct he_shape *shape);

/* --- Dimensions: known (>= 0), unknown, or a symbol --- */

/* False on overflow. Unknown unless the answer is certain (0 * x, 1 * x, 0 + x). */
bool he_dim_mul(int64_t a, int64_t b, int64_t *out);
bool he_dim_add(int64_t a, int64_t b, int64_t *out);
/* Of two dimensions that must be the same size, the one that says more. */
int64_t he_dim_merge(int64_t a, int64_t b);
/* Both known, and not the same. */
static inline bool he_dim_conflict(int64_t a, int64_t b)
{
    return a >= 0 && b >= 0 && a != b;
}
/* The product of dims[begin, end); an error when it overflows. */
he_status he_infer_product(const struct he_node *node, const struct he_shape *shape,
                           uint32_t begin, uint32_t end, int64_t *out);

/* --- Shapes --- */

static inline bool he_has_rank(const struct he_value *value)
{
    return value && value->shape.rank != HE_RANK_UNKNOWN;
}
struct he_shape he_shape_unknown(void);
struct he_shape he_shape_of_rank(uint32_t rank); /* dimensions unknown; rank <= HE_MAX_RANK */
he_status he_infer_push(const struct he_node *node, struct he_shape *shape, int64_t dim);
/* The dimension, or HE_DIM_UNKNOWN when there is none to read. */
int64_t he_infer_dim(const struct he_value *value, uint32_t axis);

static inline void he_infer_set(struct he_value *out, enum he_dtype dtype,
                                const struct he_shape *shape)
{
    out->dtype = dtype;
    out->shape = *shape;
}
void he_infer_set_dims(struct he_value *out, enum he_dtype dtype, uint32_t rank,
                       const int64_t *dims);
/* The elements of @in in the same order under another shape: what is known of the contents
 * stays known. */
void he_infer_view(struct he_value *out, const struct he_value *in, const struct he_shape *shape);

/* ONNX broadcasting of two shapes; false when they do not fit. */
bool he_shape_broadcast(const struct he_shape *a, const struct he_shape *b, struct he_shape *out);
/* Both known to be the same rank and size, merged into @into; false on a conflict. */
bool he_shape_merge(struct he_shape *into, const struct he_shape *other);

/* --- Checks --- */

/* attrs.c: kinds of attributes, and those that became inputs. */
he_status he_attrs_check(const struct he_node *node);

/* in[k] has rank @rank, where it is known. */
he_status he_infer_want_rank(const struct he_node *node, const struct he_value *value,
                             const char *name, uint32_t min, uint32_t max);
/* The two types agree, where both are known. */
he_status he_infer_want_same_type(const struct he_node *node, const struct he_value *a,
                                  const char *a_name, const struct he_value *b,
                                  const char *b_name);
/* Turns -rank..rank-1 into 0..rank-1. */
he_status he_infer_axis(const struct he_node *node, int64_t axis, uint32_t rank, uint32_t *out);
/* The same for a list; bit k of *mask for axis k; a repeated axis is an error. */
he_status he_infer_axes(const struct he_node *node, const int64_t *axes, size_t count,
                        uint32_t rank, uint32_t *mask);

/* --- Contents of small integer tensors --- */

/*
 * v[k] is what the tensor holds. When is_literal these are the integers of a
 * constant, of any sign; else they are dimension codes. he_codes_dim() reads an
 * entry as a dimension, he_codes_exact() as an integer where it is one.
 */
struct he_codes {
    size_t count;
    bool is_literal;
    int64_t v[HE_MAX_RANK];
};
bool he_infer_codes(const struct he_value *value, struct he_codes *out);
int64_t he_codes_dim(const struct he_codes *codes, size_t k);
bool he_codes_exact(const struct he_codes *codes, size_t k, int64_t *out);
/* All entries, exactly. */
bool he_infer_exact(const struct he_value *value, struct he_codes *out);
/* A single integer (rank 0, or one element), exactly. */
bool he_infer_exact_scalar(const struct he_value *value, int64_t *out);
/* Element count of a list input when it is known, else -1. */
int64_t he_infer_length(const struct he_value *value);
/* Says what an int64, int32 or bool output of @count elements holds; does nothing for
 * another type. */
void he_infer_set_known(struct he_value *out, const int64_t *codes, size_t count);
/* The first element of a constant as a number; false when it is not known. */
bool he_infer_number(const struct he_value *value, double *out);

/* --- Rules used by many rows --- */

HE_INFER_RULE(he_infer_same);      /* output 0 like input 0 */
HE_INFER_RULE(he_infer_broadcast); /* one type, all inputs broadcast */
/* Broadcasts in[0, count) and gives the result; the sentence names the two that do not fit. */
he_status he_infer_broadcast_inputs(const struct he_node *node, const struct he_value *const *in,
                                    size_t count, struct he_shape *out);
/* The two-input rule, opset 1..6 "broadcast" and "axis" attributes included. */
he_status he_infer_binary_shape(const struct he_node *node, const struct he_value *a,
                                const struct he_value *b, struct he_shape *out);

/* --- Windows of convolution and pooling --- */

struct he_window {
    uint32_t rank;        /* number of spatial axes */
    bool is_kernel_known; /* else kernel[] has unknown dimensions */
    bool is_ceil;
    enum { HE_PAD_NOTSET, HE_PAD_VALID, HE_PAD_SAME_UPPER, HE_PAD_SAME_LOWER } auto_pad;
    int64_t kernel[HE_MAX_RANK], stride[HE_MAX_RANK], dilation[HE_MAX_RANK];
    int64_t begin[HE_MAX_RANK], end[HE_MAX_RANK]; /* padding */
};
/* Reads strides, pads, dilations, auto_pad; the kernel comes from kernel_shape, or from
 * dimensions 2.. of @weights (NULL: kernel_shape is required). */
he_status he_window_read(const struct he_node *node, uint32_t rank, const struct he_value *weights,
                         struct he_window *out);
/* Size of spatial axis @k of the output. */
he_status he_window_output(const struct he_node *node, const struct he_window *window, uint32_t k,
                           int64_t dim, int64_t *out);

/* --- Work --- */

/* Elements or bytes; a dimension that is not known counts as one and makes the work an
 * estimate. 0 for NULL. */
double he_work_count(const struct he_value *value, struct he_work *work);
double he_work_bytes(const struct he_value *value, struct he_work *work);
double he_work_dim(const struct he_value *value, uint32_t axis, struct he_work *work);
HE_WORK_RULE(he_work_move);    /* reads as many bytes of input 0 as it writes, no arithmetic */
HE_WORK_RULE(he_work_costly);  /* exp, tanh...: several operations per element */
HE_WORK_RULE(he_work_softmax); /* a few passes over the input */

#endif
