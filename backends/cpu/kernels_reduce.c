/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReduceSum and its relatives. Adjacent dimensions that are both kept or both reduced are
 * joined. When the innermost group is reduced, each output folds contiguous rows; when
 * it is kept, a block of neighbouring outputs is folded together, row by row. Floats are
 * accumulated in double, integers in 64 bits (wrapping).
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "fastmath.h"
#include "rows.h"

enum fold {
    FOLD_SUM,
    FOLD_ABS,
    FOLD_SQUARE,
    FOLD_PROD,
    FOLD_MAX,
    FOLD_MIN,
    FOLD_EXP, /* sum of e^(x - shift): the second pass of LogSumExp */
    FOLD_COUNT
};

enum post {
    POST_NONE,
    POST_MEAN,
    POST_SQRT,
    POST_LOG,
    POST_LOG_SHIFT,
};

static const struct reduce_op {
    const char *op;
    enum fold fold;
    enum post post;
} ops[] = {
    {"ReduceSum", FOLD_SUM, POST_NONE},      {"ReduceMean", FOLD_SUM, POST_MEAN},
    {"ReduceL1", FOLD_ABS, POST_NONE},       {"ReduceL2", FOLD_SQUARE, POST_SQRT},
    {"ReduceMax", FOLD_MAX, POST_NONE},      {"ReduceMin", FOLD_MIN, POST_NONE},
    {"ReduceProd", FOLD_PROD, POST_NONE},    {"ReduceLogSum", FOLD_SUM, POST_LOG},
    {"ReduceSumSquare", FOLD_SQUARE, POST_NONE},
    {"ReduceLogSumExp", FOLD_EXP, POST_LOG_SHIFT},
};

/* --- Which elements meet --- */

struct groups {
    uint32_t kept_rank, reduced_rank; /* without the innermost group */
    int64_t kept_dims[HE_MAX_RANK], kept_steps[HE_MAX_RANK];
    int64_t reduced_dims[HE_MAX_RANK], reduced_steps[HE_MAX_RANK];
    bool inner_is_reduced;
    int64_t inner;      /* length of the innermost group */
    int64_t kept_count; /* product of kept_dims */
    int64_t reduced_count;
    int64_t fold_count; /* elements behind one output */
};

static void make_groups(struct groups *g, const struct he_shape *shape, const bool *is_reduced)
{
    int64_t dims[HE_MAX_RANK], step = 1;
    bool flags[HE_MAX_RANK];
    uint32_t rank = 0, d;

    for (d = 0; d < shape->rank; d++) {
        if (shape->dims[d] == 1)
            continue;
        if (rank > 0 && flags[rank - 1] == is_reduced[d]) {
            dims[rank - 1] *= shape->dims[d];
        } else {
            dims[rank] = shape->dims[d];
            flags[rank++] = is_reduced[d];
        }
    }
    *g = (struct groups){.inner_is_reduced = true, .inner = 1, .kept_count = 1,
                         .reduced_count = 1, .fold_count = 1};
    if (rank > 0) {
        rank--;
        g->inner = step = dims[rank];
        g->inner_is_reduced = flags[rank];
        g->fold_count = flags[rank] ? dims[rank] : 1;
    }
    for (d = rank; d-- > 0;) {
        if (flags[d]) {
            g->reduced_dims[g->reduced_rank] = dims[d];
            g->reduced_steps[g->reduced_rank++] = step;
            g->reduced_count *= dims[d];
            g->fold_count *= dims[d];
        } else {
            g->kept_dims[g->kept_rank] = dims[d];
            g->kept_steps[g->kept_rank++] = step;
            g->kept_count *= dims[d];
        }
        step *= dims[d];
    }
}

/* The offset of index @k of a group list whose first dimension runs fastest. */
static int64_t offset_of(const int64_t *dims, const int64_t *steps, uint32_t rank, int64_t k)
{
    int64_t offset = 0;
    uint32_t d;

    for (d = 0; d < rank; d++) {
        offset += k % dims[d] * steps[d];
        k /= dims[d];
    }
    return offset;
}

/* --- The work of one call --- */

struct reduce_job {
    struct groups groups;
    const struct reduce_op *op;
    const void *in;
    void *out;
    int64_t column_blocks;
};

/* Outputs folded together when the innermost group is kept. */
#define COLUMNS 256

/* --- By type: reduce_type.inc makes the functions for element T, accumulator A, and the type U
 * that is added and multiplied in (unsigned where A wraps) --- */

#define JOINED(name, suffix) name##_##suffix
#define NAME_OF(name, suffix) JOINED(name, suffix)
#define FN(name) NAME_OF(name, S)

/* The rows of floats that have vectorised folds; false for products. */
static bool row_fast(enum fold fold, const float *in, int64_t n, double shift, double *out)
{
    switch (fold) {
    case FOLD_SUM:
        *out = cpu_row_sum(in, n);
        return true;
    case FOLD_ABS:
        *out = cpu_row_sum_abs(in, n);
        return true;
    case FOLD_SQUARE:
        *out = cpu_row_sum_square(in, n, 0.0f);
        return true;
    case FOLD_MAX:
        *out = (double)cpu_row_max(in, n);
        return true;
    case FOLD_MIN:
        *out = (double)cpu_row_min(in, n);
        return true;
    case FOLD_EXP:
        *out = cpu_row_sum_exp(in, n, (float)shift, NULL);
        return true;
    default:
        return false;
    }
}

#define IS_NAN(x) ((x) != (x))
#define EXP_OF(x) (double)fm_exp((float)(x))
#define FAST_ROW row_fast
#define S f32
#define T float
#define A double
#define U double
#define LOWEST -INFINITY
#define HIGHEST INFINITY
#include "reduce_type.inc"
#undef FAST_ROW
#undef EXP_OF
#define EXP_OF(x) exp(x)
#define S f64
#define T double
#define A double
#define U double
#define LOWEST -INFINITY
#define HIGHEST INFINITY
#include "reduce_type.inc"
#undef EXP_OF
#undef IS_NAN
#define IS_NAN(x) false
#define EXP_OF(x) (0 * (x)) /* LogSumExp has no row for integers */
#define S i8
#define T int8_t
#define A int64_t
#define U uint64_t
#define LOWEST INT8_MIN
#define HIGHEST INT8_MAX
#include "reduce_type.inc"
#define S i16
#define T int16_t
#define A int64_t
#define U uint64_t
#define LOWEST INT16_MIN
#define HIGHEST INT16_MAX
#include "reduce_type.inc"
#define S i32
#define T int32_t
#define A int64_t
#define U uint64_t
#define LOWEST INT32_MIN
#define HIGHEST INT32_MAX
#include "reduce_type.inc"
#define S i64
#define T int64_t
#define A int64_t
#define U uint64_t
#define LOWEST INT64_MIN
#define HIGHEST INT64_MAX
#include "reduce_type.inc"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits" /* the magnitude of what is never negative */
#define S u8
#define T uint8_t
#define A uint64_t
#define U uint64_t
#define LOWEST 0
#define HIGHEST UINT8_MAX
#include "reduce_type.inc"
#define S u16
#define T uint16_t
#define A uint64_t
#define U uint64_t
#define LOWEST 0
#define HIGHEST UINT16_MAX
#include "reduce_type.inc"
#define S u32
#define T uint32_t
#define A uint64_t
#define U uint64_t
#define LOWEST 0
#define HIGHEST UINT32_MAX
#include "reduce_type.inc"
#define S u64
#define T uint64_t
#define A uint64_t
#define U uint64_t
#define LOWEST 0
#define HIGHEST UINT64_MAX
#include "reduce_type.inc"
#undef EXP_OF
#pragma GCC diagnostic pop

typedef void (*part_fn)(void *arg, int64_t begin, int64_t end);
static const part_fn parts[HE_DTYPE_COUNT][2] = {
    [HE_FLOAT32] = {reduce_columns_f32, reduce_rows_f32},
    [HE_FLOAT64] = {reduce_columns_f64, reduce_rows_f64},
    [HE_INT8] = {reduce_columns_i8, reduce_rows_i8},
    [HE_INT16] = {reduce_columns_i16, reduce_rows_i16},
    [HE_INT32] = {reduce_columns_i32, reduce_rows_i32},
    [HE_INT64] = {reduce_columns_i64, reduce_rows_i64},
    [HE_UINT8] = {reduce_columns_u8, reduce_rows_u8},
    [HE_UINT16] = {reduce_columns_u16, reduce_rows_u16},
    [HE_UINT32] = {reduce_columns_u32, reduce_rows_u32},
    [HE_UINT64] = {reduce_columns_u64, reduce_rows_u64},
    [HE_BOOL] = {reduce_columns_u8, reduce_rows_u8},
};

/* Axes come as input 1 (ReduceSum from opset 13, the others from 18) or as an attribute. None
 * at all means every axis, or no axis with noop_with_empty_axes. */
static he_status read_axes(const struct cpu_call *call, bool *is_reduced)
{
    const struct he_node *node = call->node;
    uint32_t rank = call->in[0].shape.rank, axis, d;
    const int64_t *list = NULL;
    size_t count = 0, k;
    he_status status;

    if (cpu_has_input(call, 1))
        count = (size_t)cpu_count(&call->in[1]);
    else
        count = he_node_ints(node, "axes", &list);
    for (d = 0; d < rank; d++)
        is_reduced[d] = count == 0 && !he_node_int(node, "noop_with_empty_axes", 0);
    for (k = 0; k < count; k++) {
        status = cpu_axis(node, list ? list[k] : cpu_get_int(&call->in[1], (int64_t)k), rank,
                          &axis);
        if (status != HE_OK)
            return status;
        is_reduced[axis] = true;
    }
    return HE_OK;
}

static he_status reduce_run(struct cpu_call *call)
{
    struct reduce_job job = {.in = call->in[0].data, .out = call->out[0].data};
    enum he_dtype dtype = call->in[0].dtype;
    bool is_reduced[HE_MAX_RANK] = {false};
    int64_t per_output, units;
    he_status status;
    size_t k;

    for (k = 0; k < sizeof ops / sizeof ops[0]; k++) {
        if (!strcmp(ops[k].op, call->node->op))
            job.op = &ops[k];
    }
    if (!job.op || !parts[dtype][0] || call->out[0].dtype != dtype)
        return cpu_unsupported_type(call->node, dtype);
    status = read_axes(call, is_reduced);
    if (status != HE_OK)
        return status;
    make_groups(&job.groups, &call->in[0].shape, is_reduced);
    per_output = job.groups.fold_count > 0 ? job.groups.fold_count : 1;
    if (job.groups.inner_is_reduced) {
        units = job.groups.kept_count;
    } else {
        job.column_blocks = (job.groups.inner + COLUMNS - 1) / COLUMNS;
        units = job.groups.kept_count * job.column_blocks;
        per_output *= job.groups.inner < COLUMNS ? job.groups.inner : COLUMNS;
    }
    if (units > 0)
        cpu_parallel(call->team, units, CPU_GRAIN_CHEAP / (per_output + 1) + 1,
                     parts[dtype][job.groups.inner_is_reduced], &job);
    return HE_OK;
}

#define NUMBERS (CPU_FLOATS | CPU_INTEGERS)
#define ROW(name, kinds) {.op = name, .types = kinds, .run = reduce_run}, CPU_WIDENED(name)

static const struct cpu_kernel kernels[] = {
    ROW("ReduceSum", NUMBERS),
    ROW("ReduceMean", NUMBERS),
    ROW("ReduceL1", NUMBERS),
    ROW("ReduceL2", NUMBERS),
    ROW("ReduceMax", NUMBERS | CPU_TYPE(HE_BOOL)),
    ROW("ReduceMin", NUMBERS | CPU_TYPE(HE_BOOL)),
    ROW("ReduceProd", NUMBERS),
    ROW("ReduceLogSum", NUMBERS),
    ROW("ReduceSumSquare", NUMBERS),
    ROW("ReduceLogSumExp", CPU_FLOATS),
};

const struct cpu_kernel_table cpu_kernels_reduce = {kernels, sizeof kernels / sizeof kernels[0]};
