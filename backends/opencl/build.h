/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What emitters of kernels see. An emitter writes the kernels of one node:
 *
 *     opencl_begin(b);
 *     x = opencl_read(b, node->inputs[0]);       0, the operand's number
 *     opencl_line(b, "float r = X%d(o);", x);
 *     opencl_result(b, "o", "r");                the node's output, and the tail
 *     return opencl_end(b, count);
 *
 * The tail is the run of pointwise nodes that follows in the task: opencl_result() applies
 * it to the value while it is in a register, and stores what has to be stored.
 * An operand may lie in memory as half or bfloat16 and is a float in registers. Its number k
 * gives names in the text:
 *
 *     X3(i)         element i of operand 3
 *     S3(i, v)      stores v as element i
 *     V3(i)         elements i to i + 3 as a vector, W3(i, v) stores them; i is a multiple of 4, and
 *                   elements have at most 4 bytes
 *     T3 *          pointer into the operand; x3 is its first element, from3 x3's place in the buffer
 *     L3(p, i)      element i behind such a pointer; P3(p, i, v) stores it
 *     L3_4(p)       float4 at p (floats only); L3_8(p), L3_16(p) float8, float16
 *     A3_4(p)       float4 at p, whose place in the buffer is a multiple of 4 elements
 *
 * Kernels that use x3 as a float pointer ask opencl_need_float32() first.
 * Elements are counted in 32 bits: opencl_begin() is only reached by nodes whose tensors fit.
 */
#ifndef OPENCL_BUILD_H
#define OPENCL_BUILD_H

#include "opencl.h"

#define OPENCL_TEMPS_MAX 64

struct opencl_operand {
    struct opencl_ref ref;
    uint32_t value, form;
    enum he_dtype dtype;
    bool is_written;
};

struct opencl_build {
    struct opencl_device *dev;
    const struct he_graph *graph;
    const struct he_task *task;
    uint32_t task_index;
    const char *way; /* chosen for its convolution or product; NULL: by our own rules */
    /* NULL while only asking whether the task is supported: nothing is kept then. */
    struct opencl_program *program;
    const uint32_t *slot_of; /* per value, HE_NONE without a slot */

    /* Values between the parts of one task, in the workspace. */
    struct {
        uint32_t value;
        size_t offset;
    } temps[OPENCL_TEMPS_MAX];
    uint32_t temp_count;
    size_t temp_end;

    /* The segment: nodes [segment_begin, segment_end) of the task; the head is
     * pointwise too when tail_begin == segment_begin. */
    uint32_t segment_begin, tail_begin, segment_end;
    const struct he_shape *shape; /* of every tail node's output */
    bool is_by_fours; /* pointwise text is for element "k" of 4; operands were loaded before */

    /* The kernel being written. */
    struct opencl_text body;
    struct opencl_operand operands[OPENCL_OPERANDS_MAX];
    uint32_t operand_count;
    he_status status; /* the first failure; sticky */
};

/* One operator that is not pointwise. Where several have it, one that refuses (HE_ERR_UNSUPPORTED, before it
 * has written a kernel) leaves it to the next; all of them take tails then, or none. */
struct opencl_emitter {
    const char *op;
    he_status (*emit)(struct opencl_build *b, const struct he_node *node);
    bool takes_tail; /* its results go through opencl_result() */
};
struct opencl_emitter_table {
    const struct opencl_emitter *emitters;
    size_t count;
};
extern const struct opencl_emitter_table opencl_conv_table, opencl_matmul_table,
    opencl_pool_table, opencl_reduce_table, opencl_norm_table, opencl_move_table,
    opencl_gather_table, opencl_resize_table, opencl_transpose_table, opencl_make_table,
    opencl_scan_table, opencl_scatter_table, opencl_select_table, opencl_sample_table,
    opencl_quant_table, opencl_loss_table, opencl_direct_table;

/* --- Values --- */

/* NULL for an omitted one. */
static inline const struct he_value *opencl_input(const struct opencl_build *b,
                                                  const struct he_node *node, uint32_t k)
{
    return k < node->input_count && node->inputs[k] != HE_NONE
               ? &b->graph->values[node->inputs[k]]
               : NULL;
}
static inline const struct he_value *opencl_output(const struct opencl_build *b,
                                                   const struct he_node *node, uint32_t k)
{
    return k < node->output_count && node->outputs[k] != HE_NONE
               ? &b->graph->values[node->outputs[k]]
               : NULL;
}
bool opencl_is(const struct he_node *node, const char *op);
/* The type a kernel computes with: "float" (of the 16-bit floats too), "long"; NULL for types
 * kernels do not compute with on this device. */
const char *opencl_type(const struct opencl_build *b, enum he_dtype dtype);
/* Unsigned type of so many bytes, for moving; NULL when there is none. */
const char *opencl_bits_type(size_t bytes);
/* Computed with as "float". */
static inline bool opencl_is_float(enum he_dtype dtype)
{
    return dtype == HE_FLOAT32 || dtype == HE_FLOAT16 || dtype == HE_BFLOAT16;
}
/* Every input opencl_is_float() (omitted ones aside), or HE_ERR_UNSUPPORTED. For kernels that
 * touch operands through their macros only. */
he_status opencl_need_float(const struct opencl_build *b, const struct he_node *node);
/* Every input float32: for kernels that touch operands as pointers to float. */
he_status opencl_need_float32(const struct opencl_build *b, const struct he_node *node);
/* "Conv: @why", HE_ERR_UNSUPPORTED. */
he_status opencl_refuse(const struct he_node *node, const char *format, ...) HE_PRINTF(2, 3);
/* Contents of a constant list of integers; false when it is no constant. */
bool opencl_ints(const struct he_value *value, int64_t *out, size_t capacity, size_t *count);
/* Element @k of a constant that opencl_is_float(). */
float opencl_float(const struct he_value *value, size_t k);
/* Row-major strides. */
void opencl_strides(const struct he_shape *shape, int64_t *out);
/* Product of dims [from, to). */
int64_t opencl_product(const struct he_shape *shape, uint32_t from, uint32_t to);

/* --- Writing a kernel --- */

void opencl_begin(struct opencl_build *b);
/* Operand numbers, see above; of the value's own type. */
int opencl_read(struct opencl_build *b, uint32_t value);
int opencl_write(struct opencl_build *b, uint32_t value);
/* The same as raw bits of the element's size. */
int opencl_read_bits(struct opencl_build *b, uint32_t value);
int opencl_write_bits(struct opencl_build *b, uint32_t value);
/* A constant of our making: @data of @bytes is copied. One (@value, @form) is made
 * once per program; @value may be HE_NONE. @form is not 0. */
int opencl_read_made(struct opencl_build *b, uint32_t value, uint32_t form, enum he_dtype dtype,
                     const void *data, size_t bytes);
/* Weights, for kernels that touch them through macros only (weights.c): a constant may lie there as
 * halves. Packed: @count floats of our making, NULL when opencl_has_made(). */
int opencl_read_packed(struct opencl_build *b, uint32_t value, uint32_t form, const void *numbers,
                       size_t count);
int opencl_read_weights(struct opencl_build *b, uint32_t value);
/* True when that constant is there already, or nothing is kept: @data may be NULL then. */
bool opencl_has_made(const struct opencl_build *b, uint32_t value, uint32_t form);
void opencl_line(struct opencl_build *b, const char *format, ...) HE_PRINTF(2, 3);
/* Text of a float literal with the same bits; @out has 40 bytes. */
const char *opencl_literal(float value, char *out);
/* @expression is element @index (a name of type uint) of the head's output; tail and stores. */
void opencl_result(struct opencl_build *b, const char *index, const char *expression);
/* Index of the element of @in that broadcasts to element @index of @out, into the body. */
void opencl_broadcast_index(struct opencl_build *b, const struct he_shape *out,
                            const struct he_shape *in, const char *index);
/* One work-item for each of @count ("uint o" is its number; none beyond). */
void opencl_begin_each(struct opencl_build *b, int64_t count);
he_status opencl_end_each(struct opencl_build *b, int64_t count);
/* What kernels of any program may use: to_bfloat(), round_half(), round_bfloat(). */
void opencl_put_prelude(const struct opencl_device *dev, struct opencl_text *text);
/* Any shape; global sizes are rounded up to local ones. */
he_status opencl_end(struct opencl_build *b, uint32_t dimensions, const size_t *global,
                     const size_t *local);
/* "const int @name = ...": @base plus, for each dimension, the coordinate of element
 * @index of a row-major box of @dims times a stride (which may be negative or 0). */
void opencl_offset(struct opencl_build *b, const char *name, const char *index, uint32_t rank,
                   const int64_t *dims, const int64_t *strides, int64_t base);

/* Kernels that walk rows, each shared by lanes (rows.c). In the text: row, and lane and lanes to stride
 * through it: for (uint i = lane; i < n; i += lanes). Where there are more rows than @count, lane is beyond
 * any n: memory is touched in such loops or below "if (lane == 0u)" only. */
struct opencl_rows {
    int64_t count;
    uint32_t lanes, each; /* of a row; rows of a group */
    bool is_across;
};
/* @is_across: neighbours in memory belong to neighbouring rows, not to one row. */
void opencl_begin_rows(struct opencl_build *b, struct opencl_rows *rows, int64_t count,
                       int64_t length, bool is_across);
/* Makes the float variable @name the same in all lanes: @join is an expression of l and r. */
void opencl_join_lanes(struct opencl_build *b, const struct opencl_rows *rows, const char *name,
                       const char *join);
he_status opencl_end_rows(struct opencl_build *b, const struct opencl_rows *rows);

/* float32 memory of the task's own, in the workspace: its offset, and an operand there. What one
 * kernel of the task leaves in it, a later one finds. */
size_t opencl_scratch(struct opencl_build *b, int64_t count);
int opencl_use_scratch(struct opencl_build *b, size_t offset, bool is_written);

/* Plain copy of a value's bytes. */
he_status opencl_copy(struct opencl_build *b, uint32_t from, uint32_t to);

/* --- Pointwise nodes (emit_pointwise.c) --- */

/* HE_OK when the node is pointwise and we have an expression for it. */
he_status opencl_pointwise_check(const struct opencl_build *b, const struct he_node *node);
bool opencl_is_pointwise(const struct he_node *node);
/* "T v7 = ...;" with operands at broadcast indices of @index. */
void opencl_pointwise_emit(struct opencl_build *b, const struct he_node *node, const char *index);
/* While is_by_fours: the loads that four elements from @index on, a multiple of 4, do together. */
void opencl_pointwise_preload(struct opencl_build *b, const struct he_node *node,
                              const char *index);

/* The whole of a task: segments, views, temporaries. */
he_status opencl_emit_task(struct opencl_build *b);

#endif
