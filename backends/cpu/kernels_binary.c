/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic with two or more inputs: a table of inner loops by operator and type, walked over
 * broadcast operands. Operators with any number of inputs (Sum, Max...) fold
 * them into the output one after the other.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "fastmath.h"
#include "zip.h"

/* --- Expressions --- */

#define IS_NAN(x) ((x) != (x))
#define INT_DIV(T, U, a, b) ((b) == 0 ? 0 : (b) == (T)-1 && (T)-1 < 0 ? (T)(0 - (U)(a)) : (a) / (b))
#define INT_REM(T, a, b) ((b) == 0 || ((b) == (T)-1 && (T)-1 < 0) ? 0 : (a) % (b))

/* The remainder with the divisor's sign, as Python has it. */
#define FLOOR_REM(S, T)                                     \
    static inline T floor_rem_##S(T a, T b)                 \
    {                                                       \
        T r = INT_REM(T, a, b);                             \
                                                            \
        return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r; \
    }

/* By repeated squaring, wrapping round; a negative power of an integer is 0, 1 or -1. */
static uint64_t int_pow(uint64_t base, int64_t exponent)
{
    uint64_t result = 1;

    if (exponent < 0)
        return base == 1 ? 1 : base == UINT64_MAX ? (exponent & 1 ? base : 1) : 0;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            result *= base;
        base *= base;
    }
    return result;
}

static float floor_fmodf(float a, float b)
{
    float r = fmodf(a, b);

    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static double floor_fmod(double a, double b)
{
    double r = fmod(a, b);

    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* --- Loops --- */

#define FLOAT_ZIPS(S, T, VECTOR, FMOD, FLOOR_FMOD)                  \
    VECTOR CPU_ZIP(add_##S, T, T, a + b)                            \
    VECTOR CPU_ZIP(sub_##S, T, T, a - b)                            \
    VECTOR CPU_ZIP(mul_##S, T, T, a *b)                             \
    VECTOR CPU_ZIP(div_##S, T, T, a / b)                            \
    VECTOR CPU_ZIP(max_##S, T, T, (a > b || IS_NAN(a) ? a : b))     \
    VECTOR CPU_ZIP(min_##S, T, T, (a < b || IS_NAN(a) ? a : b))     \
    VECTOR CPU_ZIP(prelu_##S, T, T, (a < 0 ? a * b : a))            \
    CPU_ZIP(rem_##S, T, T, FMOD(a, b))                              \
    CPU_ZIP(mod_##S, T, T, FLOOR_FMOD(a, b))
FLOAT_ZIPS(f32, float, CPU_VECTOR, fmodf, floor_fmodf)
FLOAT_ZIPS(f64, double, , fmod, floor_fmod)
CPU_ZIP(pow_f64, double, double, pow(a, b))

/* Sums and products are unsigned: they wrap. */
#define INT_ZIPS(S, T, U)                              \
    FLOOR_REM(S, T)                                    \
    CPU_ZIP(add_##S, T, T, (U)a + (U)b)                \
    CPU_ZIP(sub_##S, T, T, (U)a - (U)b)                \
    CPU_ZIP(mul_##S, T, T, (U)a *(U)b)                 \
    CPU_ZIP(div_##S, T, T, INT_DIV(T, U, a, b))        \
    CPU_ZIP(max_##S, T, T, (a > b ? a : b))            \
    CPU_ZIP(min_##S, T, T, (a < b ? a : b))            \
    CPU_ZIP(prelu_##S, T, T, (a < 0 ? (T)((U)a * (U)b) : a)) \
    CPU_ZIP(rem_##S, T, T, INT_REM(T, a, b))           \
    CPU_ZIP(mod_##S, T, T, floor_rem_##S(a, b))        \
    CPU_ZIP(pow_##S, T, T, int_pow((uint64_t)a, (int64_t)b))
INT_ZIPS(i8, int8_t, uint32_t)
INT_ZIPS(i16, int16_t, uint32_t)
INT_ZIPS(i32, int32_t, uint32_t)
INT_ZIPS(i64, int64_t, uint64_t)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits" /* "a < 0" of unsigned types is false: as meant */
INT_ZIPS(u8, uint8_t, uint32_t)
INT_ZIPS(u16, uint16_t, uint32_t)
INT_ZIPS(u32, uint32_t, uint32_t)
INT_ZIPS(u64, uint64_t, uint64_t)
#pragma GCC diagnostic pop

#define BIT_ZIPS(S, T)                                                              \
    CPU_ZIP(bit_and_##S, T, T, a &b)                                                \
    CPU_ZIP(bit_or_##S, T, T, a | b)                                                \
    CPU_ZIP(bit_xor_##S, T, T, a ^ b)                                               \
    CPU_ZIP(shift_left_##S, T, T, (b < 8 * sizeof(T) ? (uint64_t)a << b : 0))       \
    CPU_ZIP(shift_right_##S, T, T, (b < 8 * sizeof(T) ? a >> b : 0))
BIT_ZIPS(u8, uint8_t)
BIT_ZIPS(u16, uint16_t)
BIT_ZIPS(u32, uint32_t)
BIT_ZIPS(u64, uint64_t)

/* Pow on float: the usual exponents are arithmetic; otherwise block by block, with libm for blocks
 * that hold anything but normal positive bases and finite exponents. */
#define POW_BLOCK 256

CPU_VECTOR static void pow_block(float *restrict out, const float *restrict a,
                                 const float *restrict b, int64_t n)
{
    int64_t i, odd = 0;

    for (i = 0; i < n; i++)
        odd += !(a[i] >= 0x1p-126f && a[i] < INFINITY && fabsf(b[i]) < INFINITY);
    if (odd) {
        for (i = 0; i < n; i++)
            out[i] = powf(a[i], b[i]);
    } else {
        for (i = 0; i < n; i++)
            out[i] = fm_pow_normal(a[i], b[i]);
    }
}

CPU_VECTOR static bool pow_simple(float *out, const float *a, float b, int64_t n)
{
    int64_t i;

    if (b == 2.0f) {
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = a[i] * a[i];
    } else if (b == 3.0f) {
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = a[i] * a[i] * a[i];
    } else if (b == 1.0f) {
        memmove(out, a, (size_t)n * sizeof *out);
    } else if (b == -1.0f) {
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = 1.0f / a[i];
    } else if (b == 0.5f) {
        /* Where they differ: the root of -0 and of -infinity. */
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = a[i] == -INFINITY ? INFINITY : sqrtf(a[i]) + 0.0f;
    } else {
        return false;
    }
    return true;
}

static void pow_f32(void *vout, const void *va, const void *vb, int64_t n, int sa, int sb)
{
    float *out = vout, block[POW_BLOCK], bases[POW_BLOCK], exponents[POW_BLOCK];
    const float *a = va, *b = vb;
    int64_t begin, i, m;

    if (sa && !sb && pow_simple(out, a, *b, n))
        return;
    for (i = 0; i < POW_BLOCK && n > 0; i++) {
        bases[i] = *a;
        exponents[i] = *b;
    }
    for (begin = 0; begin < n; begin += m) {
        m = n - begin < POW_BLOCK ? n - begin : POW_BLOCK;
        pow_block(block, sa ? a + begin : bases, sb ? b + begin : exponents, m);
        memcpy(out + begin, block, (size_t)m * sizeof *out);
    }
}

/* --- The table --- */

struct zip_row {
    const char *op;
    cpu_zip_fn fn[HE_DTYPE_COUNT];
};

#define NUMBERS(name)                                                                    \
    {                                                                                    \
        [HE_FLOAT32] = name##_f32, [HE_FLOAT64] = name##_f64, [HE_INT8] = name##_i8,     \
        [HE_INT16] = name##_i16, [HE_INT32] = name##_i32, [HE_INT64] = name##_i64,       \
        [HE_UINT8] = name##_u8, [HE_UINT16] = name##_u16, [HE_UINT32] = name##_u32,      \
        [HE_UINT64] = name##_u64,                                                        \
    }
/* Signs do not matter to bits. */
#define BITS(name)                                                                       \
    {                                                                                    \
        [HE_INT8] = name##_u8, [HE_INT16] = name##_u16, [HE_INT32] = name##_u32,         \
        [HE_INT64] = name##_u64, [HE_UINT8] = name##_u8, [HE_UINT16] = name##_u16,       \
        [HE_UINT32] = name##_u32, [HE_UINT64] = name##_u64,                              \
    }
#define SHIFTS(name)                                                              \
    {                                                                             \
        [HE_UINT8] = name##_u8, [HE_UINT16] = name##_u16, [HE_UINT32] = name##_u32, \
        [HE_UINT64] = name##_u64,                                                 \
    }

static const struct zip_row rows[] = {
    {"Add", NUMBERS(add)},        {"Mul", NUMBERS(mul)},         {"Sub", NUMBERS(sub)},
    {"Div", NUMBERS(div)},        {"Max", NUMBERS(max)},         {"Min", NUMBERS(min)},
    {"Sum", NUMBERS(add)},        {"Mean", NUMBERS(add)},        {"Pow", NUMBERS(pow)},
    {"PRelu", NUMBERS(prelu)},    {"Mod", NUMBERS(mod)},         {"fmod", NUMBERS(rem)},
    {"BitwiseAnd", BITS(bit_and)}, {"BitwiseOr", BITS(bit_or)},  {"BitwiseXor", BITS(bit_xor)},
    {"<<", SHIFTS(shift_left)},   {">>", SHIFTS(shift_right)},
};

static const struct zip_row *row_named(const char *op)
{
    size_t k;

    for (k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        if (!strcmp(rows[k].op, op))
            return &rows[k];
    }
    return NULL;
}

static const struct zip_row *find_row(const struct he_node *node)
{
    if (!strcmp(node->op, "Mod") && he_node_int(node, "fmod", 0))
        return row_named("fmod");
    if (!strcmp(node->op, "BitShift"))
        return row_named(!strcmp(he_node_string(node, "direction", ""), "LEFT") ? "<<" : ">>");
    return row_named(node->op);
}

cpu_zip_fn cpu_zip_named_f32(const char *op)
{
    const struct zip_row *row = row_named(op);

    return row ? row->fn[HE_FLOAT32] : NULL;
}

cpu_zip_fn cpu_zip_find_f32(const struct he_node *node)
{
    const struct zip_row *row;

    if (node->domain[0] && strcmp(node->domain, "ai.onnx") != 0)
        return NULL;
    row = find_row(node);
    return row ? row->fn[HE_FLOAT32] : NULL;
}

/* --- Kernels --- */

static he_status zip(struct cpu_call *call, cpu_zip_fn fn, const struct he_shape *a_shape,
                     const void *a, const struct he_shape *b_shape, const void *b)
{
    const struct he_shape *shapes[2] = {a_shape, b_shape};
    struct cpu_zip_job job = {.fn = fn, .out = call->out[0].data, .a = a, .b = b};
    struct cpu_walk walk;
    he_status status = cpu_walk_init(&walk, &call->out[0].shape, shapes, 2, call->node);

    if (status != HE_OK)
        return status;
    job.in_size = job.out_size = he_dtype_bits(call->out[0].dtype) / 8;
    cpu_walk_run(&walk, call->team, CPU_GRAIN_CHEAP, cpu_zip_part, &job);
    return HE_OK;
}

static he_status binary_run(struct cpu_call *call)
{
    const struct zip_row *row = find_row(call->node);
    cpu_zip_fn fn = row ? row->fn[call->in[0].dtype] : NULL;
    struct he_shape second;

    if (!fn || call->in_count < 2 || call->in[1].dtype != call->in[0].dtype)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    second = cpu_operand_shape(call->node, call->in, call->in_count, 1);
    return zip(call, fn, &call->in[0].shape, call->in[0].data, &second, call->in[1].data);
}

static he_status nary_run(struct cpu_call *call)
{
    const struct zip_row *row = find_row(call->node);
    enum he_dtype dtype = call->in[0].dtype;
    cpu_zip_fn fn = row ? row->fn[dtype] : NULL;
    struct he_tensor *out = &call->out[0];
    int64_t bytes = he_shape_bytes(&out->shape, out->dtype), count = cpu_count(out), i;
    he_status status;
    size_t k;

    for (k = 0; k < call->in_count; k++) {
        if (call->in[k].dtype != dtype)
            return cpu_unsupported_type(call->node, call->in[k].dtype);
    }
    if (!fn)
        return cpu_unsupported_type(call->node, dtype);
    if (call->in_count == 1) {
        if (out->data != call->in[0].data && bytes > 0)
            memcpy(out->data, call->in[0].data, (size_t)bytes);
        return HE_OK;
    }
    for (k = 1; k < call->in_count; k++) {
        const struct he_tensor *first = k == 1 ? &call->in[0] : out;

        status = zip(call, fn, &first->shape, first->data, &call->in[k].shape, call->in[k].data);
        if (status != HE_OK)
            return status;
    }
    if (!strcmp(call->node->op, "Mean")) {
        if (dtype == HE_FLOAT32) {
            float scale = 1.0f / (float)call->in_count, *data = out->data;

            for (i = 0; i < count; i++)
                data[i] *= scale;
        } else {
            double *data = out->data;

            for (i = 0; i < count; i++)
                data[i] /= (double)call->in_count;
        }
    }
    return HE_OK;
}

/* --- Pow with an exponent of another type --- */

struct pow_job {
    const struct he_tensor *base, *exponent, *out;
};

/* Through float for a float base, in integers where both are, else in double. */
static void pow_mixed_part(void *arg, int64_t out_offset, const int64_t *offsets, int64_t n,
                           const int64_t *steps)
{
    const struct pow_job *job = arg;
    const struct he_tensor *out = job->out;
    bool is_int = !he_dtype_is_float(job->exponent->dtype);
    float exponents[POW_BLOCK];
    int64_t begin, m, i;
    double power;
    uint64_t bits;

    if (out->dtype == HE_FLOAT32) {
        for (begin = 0; begin < n; begin += m) {
            m = n - begin < POW_BLOCK ? n - begin : POW_BLOCK;
            for (i = 0; i < (steps[1] ? m : 1); i++)
                exponents[i] = (float)cpu_get_double(job->exponent,
                                                     offsets[1] + steps[1] * (begin + i));
            pow_f32((float *)out->data + out_offset + begin,
                    (const float *)job->base->data + offsets[0] + steps[0] * begin, exponents, m,
                    (int)steps[0], (int)steps[1]);
        }
        return;
    }
    for (i = 0; i < n; i++) {
        int64_t at = out_offset + i, b = offsets[0] + steps[0] * i, e = offsets[1] + steps[1] * i;

        if (out->dtype == HE_FLOAT64) {
            ((double *)out->data)[at] =
                pow(cpu_get_double(job->base, b), cpu_get_double(job->exponent, e));
            continue;
        }
        if (is_int) {
            bits = int_pow((uint64_t)cpu_get_int(job->base, b), cpu_get_int(job->exponent, e));
        } else {
            power = pow(cpu_get_double(job->base, b), cpu_get_double(job->exponent, e));
            bits = power != power       ? 0
                   : power >= 0x1p63    ? (power >= 0x1p64 ? UINT64_MAX : (uint64_t)power)
                   : power <= -0x1p63   ? (uint64_t)INT64_MIN
                                        : (uint64_t)(int64_t)power;
        }
        switch (he_dtype_bits(out->dtype)) {
        case 8:
            ((uint8_t *)out->data)[at] = (uint8_t)bits;
            break;
        case 16:
            ((uint16_t *)out->data)[at] = (uint16_t)bits;
            break;
        case 32:
            ((uint32_t *)out->data)[at] = (uint32_t)bits;
            break;
        default:
            ((uint64_t *)out->data)[at] = bits;
            break;
        }
    }
}

static he_status pow_run(struct cpu_call *call)
{
    struct pow_job job = {&call->in[0], &call->in[1], &call->out[0]};
    const struct he_shape *shapes[2];
    struct he_shape second;
    struct cpu_walk walk;
    he_status status;

    if (call->in_count < 2 || call->out[0].dtype != call->in[0].dtype)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    if (call->in[1].dtype == call->in[0].dtype)
        return binary_run(call);
    second = cpu_operand_shape(call->node, call->in, call->in_count, 1);
    shapes[0] = &call->in[0].shape;
    shapes[1] = &second;
    status = cpu_walk_init(&walk, &call->out[0].shape, shapes, 2, call->node);
    if (status == HE_OK)
        cpu_walk_run(&walk, call->team, CPU_GRAIN_COSTLY, pow_mixed_part, &job);
    return status;
}

#define ROW(name, run_fn) \
    {.op = name, .types = CPU_FLOATS | CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = run_fn}

static const struct cpu_kernel kernels[] = {
    ROW("Add", binary_run),
    CPU_WIDENED("Add"),
    ROW("Mul", binary_run),
    CPU_WIDENED("Mul"),
    ROW("Sub", binary_run),
    CPU_WIDENED("Sub"),
    ROW("Div", binary_run),
    CPU_WIDENED("Div"),
    ROW("Mod", binary_run),
    CPU_WIDENED("Mod"),
    ROW("Pow", pow_run),
    CPU_WIDENED("Pow"),
    ROW("PRelu", binary_run),
    CPU_WIDENED("PRelu"),
    /* Not in place: the first input may come again as the third. */
    {.op = "Max", .types = CPU_FLOATS | CPU_INTEGERS, .run = nary_run},
    CPU_WIDENED("Max"),
    {.op = "Min", .types = CPU_FLOATS | CPU_INTEGERS, .run = nary_run},
    CPU_WIDENED("Min"),
    {.op = "Sum", .types = CPU_FLOATS, .run = nary_run},
    CPU_WIDENED("Sum"),
    {.op = "Mean", .types = CPU_FLOATS, .run = nary_run},
    CPU_WIDENED("Mean"),
    {.op = "BitwiseAnd", .types = CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = binary_run},
    {.op = "BitwiseOr", .types = CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = binary_run},
    {.op = "BitwiseXor", .types = CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = binary_run},
    {.op = "BitShift", .types = CPU_UNSIGNED, .flags = CPU_IN_PLACE, .run = binary_run},
};

const struct cpu_kernel_table cpu_kernels_binary = {kernels, sizeof kernels / sizeof kernels[0]};
