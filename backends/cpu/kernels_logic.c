/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that give or take truth values: comparisons, And, Or, Xor, Not, IsNaN,
 * IsInf, Where; and BitwiseNot. A bool is a byte, 0 or 1.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "zip.h"

/* --- Comparisons --- */

#define COMPARISONS(S, T, VECTOR)                     \
    VECTOR CPU_ZIP(equal_##S, T, uint8_t, a == b)     \
    VECTOR CPU_ZIP(less_##S, T, uint8_t, a < b)       \
    VECTOR CPU_ZIP(greater_##S, T, uint8_t, a > b)    \
    VECTOR CPU_ZIP(less_eq_##S, T, uint8_t, a <= b)   \
    VECTOR CPU_ZIP(greater_eq_##S, T, uint8_t, a >= b)
COMPARISONS(f32, float, CPU_VECTOR)
COMPARISONS(f64, double, )
COMPARISONS(i8, int8_t, )
COMPARISONS(i16, int16_t, )
COMPARISONS(i32, int32_t, )
COMPARISONS(i64, int64_t, CPU_VECTOR)
COMPARISONS(u8, uint8_t, )
COMPARISONS(u16, uint16_t, )
COMPARISONS(u32, uint32_t, )
COMPARISONS(u64, uint64_t, )

/* Any byte but 0 is true on the way in. */
CPU_ZIP(and_bool, uint8_t, uint8_t, (a != 0) & (b != 0))
CPU_ZIP(or_bool, uint8_t, uint8_t, (a | b) != 0)
CPU_ZIP(xor_bool, uint8_t, uint8_t, (a != 0) != (b != 0))
CPU_ZIP(equal_bool, uint8_t, uint8_t, (a != 0) == (b != 0))

struct compare_row {
    const char *op;
    cpu_zip_fn fn[HE_DTYPE_COUNT];
};

#define NUMBERS(name)                                                                 \
    [HE_FLOAT32] = name##_f32, [HE_FLOAT64] = name##_f64, [HE_INT8] = name##_i8,      \
    [HE_INT16] = name##_i16, [HE_INT32] = name##_i32, [HE_INT64] = name##_i64,        \
    [HE_UINT8] = name##_u8, [HE_UINT16] = name##_u16, [HE_UINT32] = name##_u32,       \
    [HE_UINT64] = name##_u64

static const struct compare_row rows[] = {
    {"Equal", {NUMBERS(equal), [HE_BOOL] = equal_bool}},
    {"Less", {NUMBERS(less)}},
    {"Greater", {NUMBERS(greater)}},
    {"LessOrEqual", {NUMBERS(less_eq)}},
    {"GreaterOrEqual", {NUMBERS(greater_eq)}},
    {"And", {[HE_BOOL] = and_bool}},
    {"Or", {[HE_BOOL] = or_bool}},
    {"Xor", {[HE_BOOL] = xor_bool}},
};

static he_status compare_run(struct cpu_call *call)
{
    struct cpu_zip_job job = {.out = call->out[0].data, .a = call->in[0].data, .out_size = 1};
    const struct he_shape *shapes[2];
    struct he_shape second;
    struct cpu_walk walk;
    he_status status;
    size_t k;

    for (k = 0; k < sizeof rows / sizeof rows[0] && !job.fn; k++) {
        if (!strcmp(rows[k].op, call->node->op))
            job.fn = rows[k].fn[call->in[0].dtype];
    }
    if (!job.fn || call->in_count < 2 || call->in[1].dtype != call->in[0].dtype)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    second = cpu_operand_shape(call->node, call->in, call->in_count, 1);
    shapes[0] = &call->in[0].shape;
    shapes[1] = &second;
    job.b = call->in[1].data;
    job.in_size = he_dtype_bits(call->in[0].dtype) / 8;
    status = cpu_walk_init(&walk, &call->out[0].shape, shapes, 2, call->node);
    if (status == HE_OK)
        cpu_walk_run(&walk, call->team, CPU_GRAIN_CHEAP, cpu_zip_part, &job);
    return status;
}

/* --- One input --- */

static he_status not_run(struct cpu_call *call)
{
    const uint8_t *in = call->in[0].data;
    uint8_t *out = call->out[0].data;
    int64_t n = cpu_count(&call->out[0]), i;

    for (i = 0; i < n; i++)
        out[i] = !in[i];
    return HE_OK;
}

static he_status bitwise_not_run(struct cpu_call *call)
{
    const uint8_t *in = call->in[0].data;
    uint8_t *out = call->out[0].data;
    int64_t n = he_shape_bytes(&call->out[0].shape, call->out[0].dtype), i;

    for (i = 0; i < n; i++)
        out[i] = (uint8_t)~in[i];
    return HE_OK;
}

static he_status is_nan_run(struct cpu_call *call)
{
    uint8_t *out = call->out[0].data;
    int64_t n = cpu_count(&call->out[0]), i;

    if (call->in[0].dtype == HE_FLOAT32) {
        const float *in = call->in[0].data;

        for (i = 0; i < n; i++)
            out[i] = in[i] != in[i];
    } else {
        const double *in = call->in[0].data;

        for (i = 0; i < n; i++)
            out[i] = in[i] != in[i];
    }
    return HE_OK;
}

static he_status is_inf_run(struct cpu_call *call)
{
    bool positive = he_node_int(call->node, "detect_positive", 1) != 0;
    bool negative = he_node_int(call->node, "detect_negative", 1) != 0;
    uint8_t *out = call->out[0].data;
    int64_t n = cpu_count(&call->out[0]), i;

    if (call->in[0].dtype == HE_FLOAT32) {
        const float *in = call->in[0].data;

        for (i = 0; i < n; i++)
            out[i] = (positive & (in[i] == INFINITY)) | (negative & (in[i] == -INFINITY));
    } else {
        const double *in = call->in[0].data;

        for (i = 0; i < n; i++)
            out[i] = (positive & (in[i] == INFINITY)) | (negative & (in[i] == -INFINITY));
    }
    return HE_OK;
}

/* --- Where: by element size, any type --- */

struct where_job {
    const uint8_t *condition;
    const void *x, *y;
    void *out;
    unsigned bits;
};

#define WHERE(T)                                                                      \
    static void where_##T(const struct where_job *job, int64_t at, const int64_t *o,  \
                          int64_t n, const int64_t *s)                                \
    {                                                                                 \
        const uint8_t *condition = job->condition + o[0];                             \
        const T *x = (const T *)job->x + o[1], *y = (const T *)job->y + o[2];         \
        T *out = (T *)job->out + at;                                                  \
        int64_t i;                                                                    \
        if (s[0] && s[1] && s[2]) {                                                   \
            for (i = 0; i < n; i++)                                                   \
                out[i] = condition[i] ? x[i] : y[i];                                  \
        } else if (!s[0] && s[*condition ? 1 : 2]) {                                  \
            memmove(out, *condition ? x : y, (size_t)n * sizeof(T));                  \
        } else {                                                                      \
            for (i = 0; i < n; i++)                                                   \
                out[i] = condition[i * s[0]] ? x[i * s[1]] : y[i * s[2]];             \
        }                                                                             \
    }
WHERE(uint8_t)
WHERE(uint16_t)
WHERE(uint32_t)
WHERE(uint64_t)

static void where_part(void *arg, int64_t at, const int64_t *offsets, int64_t n,
                       const int64_t *steps)
{
    const struct where_job *job = arg;

    switch (job->bits) {
    case 8:
        where_uint8_t(job, at, offsets, n, steps);
        break;
    case 16:
        where_uint16_t(job, at, offsets, n, steps);
        break;
    case 32:
        where_uint32_t(job, at, offsets, n, steps);
        break;
    default:
        where_uint64_t(job, at, offsets, n, steps);
        break;
    }
}

static he_status where_run(struct cpu_call *call)
{
    struct where_job job;
    const struct he_shape *shapes[3];
    struct cpu_walk walk;
    he_status status;
    unsigned bits = he_dtype_bits(call->out[0].dtype);

    if (call->in_count < 3 || call->in[0].dtype != HE_BOOL ||
        call->in[1].dtype != call->in[2].dtype || call->in[1].dtype != call->out[0].dtype ||
        (bits != 8 && bits != 16 && bits != 32 && bits != 64))
        return cpu_unsupported_type(call->node, call->out[0].dtype);
    job = (struct where_job){call->in[0].data, call->in[1].data, call->in[2].data,
                             call->out[0].data, bits};
    shapes[0] = &call->in[0].shape;
    shapes[1] = &call->in[1].shape;
    shapes[2] = &call->in[2].shape;
    status = cpu_walk_init(&walk, &call->out[0].shape, shapes, 3, call->node);
    if (status == HE_OK)
        cpu_walk_run(&walk, call->team, CPU_GRAIN_CHEAP, where_part, &job);
    return status;
}

#define COMPARE_ROW(name) {.op = name, .types = CPU_FLOATS | CPU_INTEGERS, .run = compare_run}
#define BOOL_ROW(name) \
    {.op = name, .types = CPU_TYPE(HE_BOOL), .flags = CPU_IN_PLACE, .run = compare_run}

static const struct cpu_kernel kernels[] = {
    {.op = "Equal", .types = CPU_FLOATS | CPU_INTEGERS | CPU_TYPE(HE_BOOL), .run = compare_run},
    CPU_WIDENED("Equal"),
    COMPARE_ROW("Less"),
    CPU_WIDENED("Less"),
    COMPARE_ROW("Greater"),
    CPU_WIDENED("Greater"),
    COMPARE_ROW("LessOrEqual"),
    CPU_WIDENED("LessOrEqual"),
    COMPARE_ROW("GreaterOrEqual"),
    CPU_WIDENED("GreaterOrEqual"),
    BOOL_ROW("And"),
    BOOL_ROW("Or"),
    BOOL_ROW("Xor"),
    {.op = "Not", .types = CPU_TYPE(HE_BOOL), .flags = CPU_IN_PLACE, .run = not_run},
    {.op = "BitwiseNot", .types = CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = bitwise_not_run},
    {.op = "IsNaN", .types = CPU_FLOATS, .run = is_nan_run},
    CPU_WIDENED("IsNaN"),
    {.op = "IsInf", .types = CPU_FLOATS, .run = is_inf_run},
    CPU_WIDENED("IsInf"),
    {.op = "Where",
     .types = ~CPU_TYPE(HE_STRING),
     .type_input = 1,
     .run = where_run},
};

const struct cpu_kernel_table cpu_kernels_logic = {kernels, sizeof kernels / sizeof kernels[0]};
