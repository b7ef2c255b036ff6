/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that go along one axis and care about positions: ArgMax, ArgMin and CumSum. The
 * tensor is seen as [outer, axis, inner]; where inner is more than 1, blocks of neighbouring columns
 * advance together.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "half.h"

struct scan_job {
    int64_t length, inner, blocks; /* blocks of columns per outer index */
    const void *in;
    void *out;
    bool is_last, is_exclusive, is_reverse;
};

#define COLUMNS 256

/* Ties go to the first position, or the last; a NaN wins against every number. */
#define ARG(name, T, BETTER, IS_NAN)                                                      \
    static void name(void *arg, int64_t begin, int64_t end)                               \
    {                                                                                     \
        const struct scan_job *job = arg;                                                 \
        int64_t k, outer, first, n, i, pos;                                               \
        T best[COLUMNS];                                                                  \
        for (k = begin; k < end; k++) {                                                   \
            outer = k / job->blocks;                                                      \
            first = k % job->blocks * COLUMNS;                                            \
            n = job->inner - first < COLUMNS ? job->inner - first : COLUMNS;              \
            const T *in = (const T *)job->in + outer * job->length * job->inner + first;  \
            int64_t *out = (int64_t *)job->out + outer * job->inner + first;              \
            for (i = 0; i < n; i++) {                                                     \
                best[i] = job->length ? in[i] : (T)0;                                     \
                out[i] = 0;                                                               \
            }                                                                             \
            for (pos = 1; pos < job->length; pos++) {                                     \
                in += job->inner;                                                         \
                for (i = 0; i < n; i++) {                                                 \
                    const T x = in[i], y = best[i];                                       \
                    if (x BETTER y || (IS_NAN(x) && !IS_NAN(y)) ||                        \
                        (job->is_last && (x == y || (IS_NAN(x) && IS_NAN(y))))) {         \
                        best[i] = x;                                                      \
                        out[i] = pos;                                                     \
                    }                                                                     \
                }                                                                         \
            }                                                                             \
        }                                                                                 \
    }
#define FLOAT_NAN(x) ((x) != (x))
#define NEVER_NAN(x) false
#define ARGS(S, T, IS_NAN)              \
    ARG(arg_max_##S, T, >, IS_NAN)      \
    ARG(arg_min_##S, T, <, IS_NAN)
ARGS(f32, float, FLOAT_NAN)
ARGS(f64, double, FLOAT_NAN)
ARGS(i8, int8_t, NEVER_NAN)
ARGS(i16, int16_t, NEVER_NAN)
ARGS(i32, int32_t, NEVER_NAN)
ARGS(i64, int64_t, NEVER_NAN)
ARGS(u8, uint8_t, NEVER_NAN)
ARGS(u16, uint16_t, NEVER_NAN)
ARGS(u32, uint32_t, NEVER_NAN)
ARGS(u64, uint64_t, NEVER_NAN)

/* Sums wrap round in integers: U is unsigned. */
#define CUMSUM(S, T, U)                                                                       \
    static void cumsum_##S(void *arg, int64_t begin, int64_t end)                             \
    {                                                                                         \
        const struct scan_job *job = arg;                                                     \
        int64_t k, outer, first, n, i, pos, at, step;                                         \
        U sums[COLUMNS];                                                                      \
        for (k = begin; k < end; k++) {                                                       \
            outer = k / job->blocks;                                                          \
            first = k % job->blocks * COLUMNS;                                                \
            n = job->inner - first < COLUMNS ? job->inner - first : COLUMNS;                  \
            at = outer * job->length * job->inner + first;                                    \
            step = job->inner;                                                                \
            if (job->is_reverse) {                                                            \
                at += (job->length - 1) * job->inner;                                         \
                step = -step;                                                                 \
            }                                                                                 \
            memset(sums, 0, sizeof sums);                                                     \
            for (pos = 0; pos < job->length; pos++, at += step) {                             \
                const T *in = (const T *)job->in + at;                                        \
                T *out = (T *)job->out + at;                                                  \
                for (i = 0; i < n; i++) {                                                     \
                    const U sum = sums[i] + (U)in[i];                                         \
                    out[i] = job->is_exclusive ? (T)sums[i] : (T)sum;                         \
                    sums[i] = sum;                                                            \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
    }
CUMSUM(f32, float, double)
CUMSUM(f64, double, double)
CUMSUM(i32, int32_t, uint32_t)
CUMSUM(i64, int64_t, uint64_t)
CUMSUM(u32, uint32_t, uint32_t)
CUMSUM(u64, uint64_t, uint64_t)

typedef void (*part_fn)(void *arg, int64_t begin, int64_t end);
#define NUMBERS(name)                                                                    \
    {                                                                                    \
        [HE_FLOAT32] = name##_f32, [HE_FLOAT64] = name##_f64, [HE_INT8] = name##_i8,     \
        [HE_INT16] = name##_i16, [HE_INT32] = name##_i32, [HE_INT64] = name##_i64,       \
        [HE_UINT8] = name##_u8, [HE_UINT16] = name##_u16, [HE_UINT32] = name##_u32,      \
        [HE_UINT64] = name##_u64,                                                        \
    }
static const part_fn max_parts[HE_DTYPE_COUNT] = NUMBERS(arg_max);
static const part_fn min_parts[HE_DTYPE_COUNT] = NUMBERS(arg_min);
static const part_fn cumsum_parts[HE_DTYPE_COUNT] = {
    [HE_FLOAT32] = cumsum_f32, [HE_FLOAT64] = cumsum_f64, [HE_INT32] = cumsum_i32,
    [HE_INT64] = cumsum_i64,   [HE_UINT32] = cumsum_u32,  [HE_UINT64] = cumsum_u64,
};

static he_status scan(struct cpu_call *call, part_fn part, int64_t axis_code, struct scan_job *job)
{
    const struct he_shape *shape = &call->in[0].shape;
    int64_t outer, work;
    uint32_t axis;
    he_status status;

    if (!part)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    /* A scalar has one element and no axis: as a vector of one. */
    if (shape->rank == 0 && (axis_code == 0 || axis_code == -1)) {
        outer = job->length = job->inner = 1;
    } else {
        status = cpu_axis(call->node, axis_code, shape->rank, &axis);
        if (status != HE_OK)
            return status;
        outer = cpu_extent(shape, 0, axis);
        job->length = shape->dims[axis];
        job->inner = cpu_extent(shape, axis + 1, shape->rank);
    }
    job->in = call->in[0].data;
    job->out = call->out[0].data;
    job->blocks = (job->inner + COLUMNS - 1) / COLUMNS;
    work = job->length * (job->inner < COLUMNS ? job->inner : COLUMNS) + 1;
    if (outer * job->blocks > 0)
        cpu_parallel(call->team, outer * job->blocks, CPU_GRAIN_CHEAP / work + 1, part, job);
    return HE_OK;
}

static he_status arg_run(struct cpu_call *call)
{
    struct scan_job job = {.is_last = he_node_int(call->node, "select_last_index", 0) != 0};
    const part_fn *parts = !strcmp(call->node->op, "ArgMax") ? max_parts : min_parts;

    return scan(call, parts[call->in[0].dtype], he_node_int(call->node, "axis", 0), &job);
}

static he_status cumsum_run(struct cpu_call *call)
{
    struct scan_job job = {
        .is_exclusive = he_node_int(call->node, "exclusive", 0) != 0,
        .is_reverse = he_node_int(call->node, "reverse", 0) != 0,
    };

    if (!cpu_has_input(call, 1) || cpu_count(&call->in[1]) != 1)
        return he_error_set(HE_ERR_SHAPE, "CumSum: input 1, the axis, is not a scalar");
    return scan(call, cumsum_parts[call->in[0].dtype], cpu_get_int(&call->in[1], 0), &job);
}

#define ARG_ROW(name) \
    {.op = name, .types = CPU_FLOATS | CPU_INTEGERS, .run = arg_run}, CPU_WIDENED(name)

static const struct cpu_kernel kernels[] = {
    ARG_ROW("ArgMax"),
    ARG_ROW("ArgMin"),
    {.op = "CumSum",
     .types = CPU_FLOATS | CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64) | CPU_TYPE(HE_UINT32) |
              CPU_TYPE(HE_UINT64),
     .run = cumsum_run},
    CPU_WIDENED("CumSum"),
};

const struct cpu_kernel_table cpu_kernels_scan = {kernels, sizeof kernels / sizeof kernels[0]};
