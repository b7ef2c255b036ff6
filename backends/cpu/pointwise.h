/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the elementwise kernels and the fused chains share: inner loops over
 * contiguous runs, the walk over broadcast operands, and the conversion of half
 * types to float and back.
 */
#ifndef CPU_POINTWISE_H
#define CPU_POINTWISE_H

#include "kernel.h"

#define CPU_FLOATS (CPU_TYPE(HE_FLOAT32) | CPU_TYPE(HE_FLOAT64))
#define CPU_HALVES (CPU_TYPE(HE_FLOAT16) | CPU_TYPE(HE_BFLOAT16))
#define CPU_SIGNED (CPU_TYPE(HE_INT8) | CPU_TYPE(HE_INT16) | CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64))
#define CPU_UNSIGNED \
    (CPU_TYPE(HE_UINT8) | CPU_TYPE(HE_UINT16) | CPU_TYPE(HE_UINT32) | CPU_TYPE(HE_UINT64))
#define CPU_INTEGERS (CPU_SIGNED | CPU_UNSIGNED)

/* Elements a thread should at least get: of cheap work, and of the kind that
 * computes an exponential per element. */
#define CPU_GRAIN_CHEAP 32768
#define CPU_GRAIN_COSTLY 8192

/* --- Maps: one input, one output --- */

/* @out may be @in. @params is what the operator's attributes came to. */
typedef void (*cpu_map_fn)(void *out, const void *in, int64_t n, const float *params);

struct cpu_map {
    const char *op;
    cpu_map_fn f32, f64;
    cpu_map_fn i8, i16, i32, i64; /* NULL: no such type; u8... of Abs and Sign copy or compare */
    bool is_costly;
    void (*set_params)(const struct he_node *node, float params[4]);
};

/* The row of @node's operator, or NULL. */
const struct cpu_map *cpu_map_find(const struct he_node *node);
const struct cpu_map *cpu_map_named(const char *op);

/* Clip on float with limits as values; params[0] and [1]. */
void cpu_clip_f32(void *out, const void *in, int64_t n, const float *params);

/* --- Zips: two inputs, one output --- */

/* @sa and @sb are 0 (one element for all) or 1; @out may be @a or @b when their step is 1. */
typedef void (*cpu_zip_fn)(void *out, const void *a, const void *b, int64_t n, int sa, int sb);

/* The float loop of a binary operator (Sum and Mean too, whose second step is
 * Add), or NULL. */
cpu_zip_fn cpu_zip_find_f32(const struct he_node *node);
cpu_zip_fn cpu_zip_named_f32(const char *op);

/* --- Walks over broadcast operands --- */

#define CPU_WALK_MAX 4

/* One output and up to three inputs, dense, each of the output's size or 1 along every
 * dimension. Adjacent dimensions that behave alike are joined. */
struct cpu_walk {
    int64_t count; /* elements of the output */
    uint32_t rank; /* at least 1 */
    uint32_t inputs;
    int64_t dims[HE_MAX_RANK];
    int64_t steps[CPU_WALK_MAX][HE_MAX_RANK]; /* elements; 0 where broadcast */
};

/* HE_ERR_SHAPE when an input does not broadcast to @out. */
he_status cpu_walk_init(struct cpu_walk *walk, const struct he_shape *out,
                        const struct he_shape *const *inputs, uint32_t count,
                        const struct he_node *node);

/* One run along the innermost dimension: offsets in elements, steps 0 or 1. */
typedef void (*cpu_run_fn)(void *arg, int64_t out_offset, const int64_t *offsets, int64_t n,
                           const int64_t *steps);
void cpu_walk_run(const struct cpu_walk *walk, struct cpu_team *team, int64_t grain, cpu_run_fn fn,
                  void *arg);

/* The shape of input 1 as opset < 7 aligns it with input 0 (attributes broadcast and axis; a
 * slope of PRelu along the channels); the shape itself from opset 7 on. */
struct he_shape cpu_operand_shape(const struct he_node *node, const struct he_tensor *in,
                                  size_t in_count, size_t k);

/* --- Half types --- */

/* Runs the operator's float kernel on float copies of the half operands. For table rows
 * with CPU_HALVES; the float kernel is found in the tables. */
he_status cpu_widened_run(struct cpu_call *call);
size_t cpu_widened_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                           const struct he_tensor *out, size_t out_count);
#define CPU_WIDENED(name) \
    { .op = name, .types = CPU_HALVES, .run = cpu_widened_run, .scratch = cpu_widened_scratch }

void cpu_half_to_floats(float *out, const uint16_t *in, int64_t n);
void cpu_floats_to_half(uint16_t *out, const float *in, int64_t n);
void cpu_bfloat_to_floats(float *out, const uint16_t *in, int64_t n);
void cpu_floats_to_bfloat(uint16_t *out, const float *in, int64_t n);

/* --- Small helpers of the kernels --- */

static inline bool cpu_has_input(const struct cpu_call *call, size_t k)
{
    return k < call->in_count && call->in[k].dtype != HE_DTYPE_NONE;
}

static inline bool cpu_has_output(const struct cpu_call *call, size_t k)
{
    return k < call->out_count && call->out[k].dtype != HE_DTYPE_NONE;
}

static inline int64_t cpu_count(const struct he_tensor *tensor)
{
    return he_shape_count(&tensor->shape);
}

static inline int64_t cpu_clamp_i64(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Product of dims [@begin, @end). */
static inline int64_t cpu_extent(const struct he_shape *shape, uint32_t begin, uint32_t end)
{
    int64_t n = 1;
    uint32_t d;

    for (d = begin; d < end; d++)
        n *= shape->dims[d];
    return n;
}

/* The dimension @axis means, negative ones counted from the end. HE_ERR_SHAPE outside. */
he_status cpu_axis(const struct he_node *node, int64_t axis, uint32_t rank, uint32_t *out);

/* "not with these types" */
he_status cpu_unsupported_type(const struct he_node *node, enum he_dtype dtype);

/* Element @k of a tensor of any number type, as double or integer. */
double cpu_get_double(const struct he_tensor *tensor, int64_t k);
int64_t cpu_get_int(const struct he_tensor *tensor, int64_t k);

#endif
