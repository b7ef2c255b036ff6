/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise operators with one input: a table of inner loops by type (also read by
 * chain.c), and one kernel that runs a row on a whole tensor, in parts.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "fastmath.h"

/* --- Inner loops --- */

#define MAP(name, T, expr)                                                         \
    CPU_VECTOR static void name(void *vout, const void *vin, int64_t n, const float *params) \
    {                                                                                        \
        T *out = vout;                                                                       \
        const T *in = vin;                                                                   \
        const T a = (T)params[0], b = (T)params[1], c = (T)params[2];                        \
        (void)a, (void)b, (void)c;                                                           \
        CPU_IVDEP                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                    \
            const T x = in[i];                                                               \
            out[i] = (T)(expr);                                                              \
        }                                                                                    \
    }

/* A float and a double loop from one expression each. */
#define FLOAT_MAPS(name, expr32, expr64) \
    MAP(name##_f32, float, expr32)       \
    MAP(name##_f64, double, expr64)

FLOAT_MAPS(abs, fabsf(x), fabs(x))
FLOAT_MAPS(neg, -x, -x)
FLOAT_MAPS(ceil, ceilf(x), ceil(x))
FLOAT_MAPS(floor, floorf(x), floor(x))
FLOAT_MAPS(round, rintf(x), rint(x)) /* half to even: the default rounding mode */
FLOAT_MAPS(sqrt, sqrtf(x), sqrt(x))
FLOAT_MAPS(reciprocal, 1.0f / x, 1.0 / x)
FLOAT_MAPS(sign, (x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x), (x > 0 ? 1.0 : x < 0 ? -1.0 : x))
FLOAT_MAPS(exp, fm_exp(x), exp(x))
FLOAT_MAPS(log, fm_log(x), log(x))
FLOAT_MAPS(asin, asinf(x), asin(x))
FLOAT_MAPS(acos, acosf(x), acos(x))
FLOAT_MAPS(atan, atanf(x), atan(x))
FLOAT_MAPS(sinh, sinhf(x), sinh(x))
FLOAT_MAPS(cosh, coshf(x), cosh(x))
FLOAT_MAPS(asinh, asinhf(x), asinh(x))
FLOAT_MAPS(acosh, acoshf(x), acosh(x))
FLOAT_MAPS(atanh, atanhf(x), atanh(x))
FLOAT_MAPS(tanh, fm_tanh(x), tanh(x))
FLOAT_MAPS(sigmoid, fm_sigmoid(x), 1.0 / (1.0 + exp(-x)))
FLOAT_MAPS(erf, fm_erf(x), erf(x))
FLOAT_MAPS(softplus, fm_softplus(x), (x > 0 ? x : 0) + log1p(exp(-fabs(x))))
FLOAT_MAPS(softsign, x / (1.0f + fabsf(x)), x / (1.0 + fabs(x)))
FLOAT_MAPS(mish, fm_mish(x), x * tanh((x > 0 ? x : 0) + log1p(exp(-fabs(x)))))
FLOAT_MAPS(gelu, fm_gelu_erf(x), 0.5 * x * (1.0 + erf(x * 0.70710678118654752440)))
FLOAT_MAPS(gelu_tanh, fm_gelu_tanh(x),
           0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))))
/* Comparisons are written so that NaN comes out as NaN. */
FLOAT_MAPS(relu, (x < 0.0f ? 0.0f : x), (x < 0 ? 0 : x))
FLOAT_MAPS(leaky_relu, (x < 0.0f ? a * x : x), (x < 0 ? a * x : x))
FLOAT_MAPS(thresholded_relu, (x > a ? x : 0.0f), (x > a ? x : 0))
FLOAT_MAPS(elu, (x < 0.0f ? a * fm_expm1_negative(x) : x), (x < 0 ? a * expm1(x) : x))
FLOAT_MAPS(selu, (x > 0.0f ? b * x : b * a * fm_expm1_negative(x)), (x > 0 ? b * x : b * a * expm1(x)))
FLOAT_MAPS(celu, (x < 0.0f ? a * fm_expm1_negative(x / a) : x), (x < 0 ? a * expm1(x / a) : x))
FLOAT_MAPS(hard_sigmoid, (a * x + b < 0.0f ? 0.0f : a * x + b > 1.0f ? 1.0f : a * x + b),
           (a * x + b < 0 ? 0 : a * x + b > 1 ? 1 : a * x + b))
FLOAT_MAPS(hard_swish, x * (x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x * (1.0f / 6.0f) + 0.5f),
           x * (x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5))
FLOAT_MAPS(swish, x * fm_sigmoid(a * x), x / (1.0 + exp(-a * x)))
FLOAT_MAPS(shrink, (x < -a ? x + b : x > a ? x - b : 0.0f), (x < -a ? x + b : x > a ? x - b : 0))
MAP(sin_f64, double, sin(x))
MAP(cos_f64, double, cos(x))
MAP(tan_f64, double, tan(x))

/* Arguments too large for the reduction in fastmath.h are looked for block by block. */
#define TRIG_MAP(name, T, fast, exact)                                                       \
    CPU_VECTOR static void name(void *vout, const void *vin, int64_t n, const float *params) \
    {                                                                                        \
        float *out = vout, largest;                                                          \
        const float *in = vin;                                                               \
        int64_t begin, end, i;                                                               \
        (void)params;                                                                        \
        for (begin = 0; begin < n; begin = end) {                                            \
            end = begin + 512 < n ? begin + 512 : n;                                         \
            largest = 0.0f;                                                                  \
            for (i = begin; i < end; i++)                                                    \
                largest = fabsf(in[i]) <= FM_TRIG_MAX ? largest : 1.0f;                      \
            if (largest == 0.0f) {                                                           \
                CPU_IVDEP                                                                    \
                for (i = begin; i < end; i++)                                                \
                    out[i] = fast(in[i]);                                                    \
            } else {                                                                         \
                for (i = begin; i < end; i++)                                                \
                    out[i] = exact(in[i]);                                                   \
            }                                                                                \
        }                                                                                    \
    }
TRIG_MAP(sin_f32, float, fm_sin, sinf)
TRIG_MAP(cos_f32, float, fm_cos, cosf)
TRIG_MAP(tan_f32, float, fm_tan, tanf)

CPU_VECTOR void cpu_clip_f32(void *vout, const void *vin, int64_t n, const float *params)
{
    const float low = params[0], high = params[1], *in = vin;
    float *out = vout;

    CPU_IVDEP
    for (int64_t i = 0; i < n; i++) {
        float x = in[i];

        x = x < low ? low : x;
        out[i] = x > high ? high : x;
    }
}

/* Integers wrap instead of overflowing: the sums are unsigned. */
#define SIGNED_MAPS(S, T, U)                                   \
    MAP(abs_##S, T, (x < 0 ? (T)(0 - (U)x) : x))               \
    MAP(neg_##S, T, (T)(0 - (U)x))                             \
    MAP(sign_##S, T, (x > 0) - (x < 0))                        \
    MAP(relu_##S, T, (x < 0 ? 0 : x))
SIGNED_MAPS(i8, int8_t, uint32_t)
SIGNED_MAPS(i16, int16_t, uint32_t)
SIGNED_MAPS(i32, int32_t, uint32_t)
SIGNED_MAPS(i64, int64_t, uint64_t)
MAP(sign_u8, uint8_t, x > 0)
MAP(sign_u16, uint16_t, x > 0)
MAP(sign_u32, uint32_t, x > 0)
MAP(sign_u64, uint64_t, x > 0)

/* --- Attributes --- */

static void set_alpha_001(const struct he_node *node, float params[4])
{
    params[0] = he_node_float(node, "alpha", 0.01f);
}

static void set_alpha_1(const struct he_node *node, float params[4])
{
    params[0] = he_node_float(node, "alpha", 1.0f);
}

static void set_selu(const struct he_node *node, float params[4])
{
    /* The first version's defaults had fewer digits. */
    bool is_first = node->opset < 6;

    params[0] = he_node_float(node, "alpha", is_first ? 1.6732f : 1.67326319217681884765625f);
    params[1] = he_node_float(node, "gamma", is_first ? 1.0507f : 1.05070102214813232421875f);
}

static void set_hard_sigmoid(const struct he_node *node, float params[4])
{
    params[0] = he_node_float(node, "alpha", 0.2f);
    params[1] = he_node_float(node, "beta", 0.5f);
}

static void set_shrink(const struct he_node *node, float params[4])
{
    params[0] = he_node_float(node, "lambd", 0.5f);
    params[1] = he_node_float(node, "bias", 0.0f);
}

/* --- The table --- */

#define FLOATS(name) .f32 = name##_f32, .f64 = name##_f64
#define SIGNEDS(name) .i8 = name##_i8, .i16 = name##_i16, .i32 = name##_i32, .i64 = name##_i64

static const struct cpu_map maps[] = {
    {"Relu", FLOATS(relu), SIGNEDS(relu)},
    {"Sigmoid", FLOATS(sigmoid), .is_costly = true},
    {"Tanh", FLOATS(tanh), .is_costly = true},
    {"Exp", FLOATS(exp), .is_costly = true},
    {"Log", FLOATS(log), .is_costly = true},
    {"Sqrt", FLOATS(sqrt)},
    {"Erf", FLOATS(erf), .is_costly = true},
    {"LeakyRelu", FLOATS(leaky_relu), .set_params = set_alpha_001},
    {"HardSigmoid", FLOATS(hard_sigmoid), .set_params = set_hard_sigmoid},
    {"HardSwish", FLOATS(hard_swish)},
    {"Abs", FLOATS(abs), SIGNEDS(abs)},
    {"Neg", FLOATS(neg), SIGNEDS(neg)},
    {"Ceil", FLOATS(ceil)},
    {"Floor", FLOATS(floor)},
    {"Round", FLOATS(round)},
    {"Reciprocal", FLOATS(reciprocal)},
    {"Sign", FLOATS(sign), SIGNEDS(sign)},
    {"Sin", FLOATS(sin), .is_costly = true},
    {"Cos", FLOATS(cos), .is_costly = true},
    {"Tan", FLOATS(tan), .is_costly = true},
    {"Asin", FLOATS(asin), .is_costly = true},
    {"Acos", FLOATS(acos), .is_costly = true},
    {"Atan", FLOATS(atan), .is_costly = true},
    {"Sinh", FLOATS(sinh), .is_costly = true},
    {"Cosh", FLOATS(cosh), .is_costly = true},
    {"Asinh", FLOATS(asinh), .is_costly = true},
    {"Acosh", FLOATS(acosh), .is_costly = true},
    {"Atanh", FLOATS(atanh), .is_costly = true},
    {"Elu", FLOATS(elu), .is_costly = true, .set_params = set_alpha_1},
    {"Selu", FLOATS(selu), .is_costly = true, .set_params = set_selu},
    {"Celu", FLOATS(celu), .is_costly = true, .set_params = set_alpha_1},
    {"ThresholdedRelu", FLOATS(thresholded_relu), .set_params = set_alpha_1},
    {"Softplus", FLOATS(softplus), .is_costly = true},
    {"Softsign", FLOATS(softsign)},
    {"Mish", FLOATS(mish), .is_costly = true},
    {"Swish", FLOATS(swish), .is_costly = true, .set_params = set_alpha_1},
    {"Shrink", FLOATS(shrink), .set_params = set_shrink},
    {"Gelu", FLOATS(gelu), .is_costly = true},
    {"GeluTanh", FLOATS(gelu_tanh), .is_costly = true}, /* Gelu with approximate = "tanh" */
};

const struct cpu_map *cpu_map_named(const char *op)
{
    size_t k;

    for (k = 0; k < sizeof maps / sizeof maps[0]; k++) {
        if (!strcmp(maps[k].op, op))
            return &maps[k];
    }
    return NULL;
}

const struct cpu_map *cpu_map_find(const struct he_node *node)
{
    if (node->domain[0] && strcmp(node->domain, "ai.onnx") != 0)
        return NULL;
    if (!strcmp(node->op, "Gelu") &&
        !strcmp(he_node_string(node, "approximate", "none"), "tanh"))
        return cpu_map_named("GeluTanh");
    return cpu_map_named(node->op);
}

/* --- Kernels --- */

struct map_job {
    cpu_map_fn fn;
    char *out;
    const char *in;
    size_t size;
    float params[4];
};

static void map_part(void *arg, int64_t begin, int64_t end)
{
    const struct map_job *job = arg;

    job->fn(job->out + (size_t)begin * job->size, job->in + (size_t)begin * job->size, end - begin,
            job->params);
}

static void run_map(struct cpu_call *call, cpu_map_fn fn, int64_t grain, const float params[4])
{
    struct map_job job = {.fn = fn, .out = call->out[0].data, .in = call->in[0].data};
    int64_t count = cpu_count(&call->out[0]);

    job.size = he_dtype_bits(call->out[0].dtype) / 8;
    memcpy(job.params, params, sizeof job.params);
    if (count > 0)
        cpu_parallel(call->team, count, grain, map_part, &job);
}

static he_status unary_run(struct cpu_call *call)
{
    const struct cpu_map *map = cpu_map_find(call->node);
    float params[4] = {0};
    cpu_map_fn fn = NULL;

    if (map) {
        switch (call->in[0].dtype) {
        case HE_FLOAT32:
            fn = map->f32;
            break;
        case HE_FLOAT64:
            fn = map->f64;
            break;
        case HE_INT8:
            fn = map->i8;
            break;
        case HE_INT16:
            fn = map->i16;
            break;
        case HE_INT32:
            fn = map->i32;
            break;
        case HE_INT64:
            fn = map->i64;
            break;
        default:
            break;
        }
    }
    if (!fn)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    if (map->set_params)
        map->set_params(call->node, params);
    run_map(call, fn, map->is_costly ? CPU_GRAIN_COSTLY : CPU_GRAIN_CHEAP, params);
    return HE_OK;
}

static void copy_bytes(void *arg, int64_t begin, int64_t end)
{
    const struct map_job *job = arg;

    memcpy(job->out + begin, job->in + begin, (size_t)(end - begin));
}

/* Input 0 as it is: Identity, Dropout, and Abs of unsigned numbers. */
static void copy_tensor(struct cpu_call *call)
{
    struct map_job job = {.out = call->out[0].data, .in = call->in[0].data};
    int64_t bytes = he_shape_bytes(&call->out[0].shape, call->out[0].dtype);

    if (job.out != job.in && bytes > 0)
        cpu_parallel(call->team, bytes, (int64_t)256 << 10, copy_bytes, &job);
}

static he_status identity_run(struct cpu_call *call)
{
    copy_tensor(call);
    return HE_OK;
}

static he_status sign_unsigned_run(struct cpu_call *call)
{
    static const float none[4];

    switch (call->in[0].dtype) {
    case HE_UINT8:
        run_map(call, sign_u8, CPU_GRAIN_CHEAP, none);
        return HE_OK;
    case HE_UINT16:
        run_map(call, sign_u16, CPU_GRAIN_CHEAP, none);
        return HE_OK;
    case HE_UINT32:
        run_map(call, sign_u32, CPU_GRAIN_CHEAP, none);
        return HE_OK;
    default:
        run_map(call, sign_u64, CPU_GRAIN_CHEAP, none);
        return HE_OK;
    }
}

/* Inference only: the data passes, the mask is all ones. A training_mode input
 * that is true asks for random numbers, which we do not make (a ratio of 0 needs none). */
static he_status dropout_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    struct he_tensor *mask;
    bool is_training = false;
    int64_t k, count;
    float one = 1.0f;

    if (cpu_has_input(call, 2) && cpu_count(&call->in[2]) == 1)
        is_training = cpu_get_int(&call->in[2], 0) != 0;
    if (is_training) {
        double ratio = he_node_float(node, "ratio", 0.5f);

        if (cpu_has_input(call, 1) && cpu_count(&call->in[1]) == 1)
            ratio = cpu_get_double(&call->in[1], 0);
        if (ratio != 0)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "Dropout: training mode needs random numbers, inference only here");
    }
    if (cpu_has_output(call, 1)) {
        mask = &call->out[1];
        count = cpu_count(mask);
        if (mask->dtype == HE_BOOL)
            memset(mask->data, 1, (size_t)count);
        else if (mask->dtype == HE_FLOAT32)
            for (k = 0; k < count; k++)
                ((float *)mask->data)[k] = one;
        else
            return cpu_unsupported_type(node, mask->dtype);
    }
    copy_tensor(call);
    return HE_OK;
}

/* --- Clip: limits are attributes before opset 11, inputs from then on --- */

#define CLIP(S, T, LOWEST, HIGHEST)                                              \
    CPU_VECTOR static void clip_##S(void *vout, const void *vin, int64_t n, T low, T high) \
    {                                                                                      \
        T *out = vout;                                                                     \
        const T *in = vin;                                                                 \
        CPU_IVDEP                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                  \
            T x = in[i] < low ? low : in[i];                                               \
            out[i] = x > high ? high : x;                                                  \
        }                                                                                  \
    }                                                                                      \
    static void clip_part_##S(void *arg, int64_t begin, int64_t end)                       \
    {                                                                                      \
        const struct cpu_call *call = arg;                                                 \
        T low = LOWEST, high = HIGHEST;                                                    \
        if (cpu_has_input(call, 1))                                                        \
            memcpy(&low, call->in[1].data, sizeof low);                                    \
        if (cpu_has_input(call, 2))                                                        \
            memcpy(&high, call->in[2].data, sizeof high);                                  \
        clip_##S((T *)call->out[0].data + begin, (const T *)call->in[0].data + begin,      \
                 end - begin, low, high);                                                  \
    }
CLIP(f64, double, -INFINITY, INFINITY)
CLIP(i8, int8_t, INT8_MIN, INT8_MAX)
CLIP(i16, int16_t, INT16_MIN, INT16_MAX)
CLIP(i32, int32_t, INT32_MIN, INT32_MAX)
CLIP(i64, int64_t, INT64_MIN, INT64_MAX)
CLIP(u8, uint8_t, 0, UINT8_MAX)
CLIP(u16, uint16_t, 0, UINT16_MAX)
CLIP(u32, uint32_t, 0, UINT32_MAX)
CLIP(u64, uint64_t, 0, UINT64_MAX)

/* Clip of double before opset 11: the attributes as if they were inputs. */
static he_status clip_by_attributes(struct cpu_call *call)
{
    double low = (double)he_node_float(call->node, "min", -INFINITY);
    double high = (double)he_node_float(call->node, "max", INFINITY);
    int64_t count = cpu_count(&call->out[0]);
    struct he_tensor in[3] = {call->in[0], {.dtype = HE_FLOAT64}, {.dtype = HE_FLOAT64}};
    struct cpu_call inner = *call;

    in[1].data = &low;
    in[2].data = &high;
    inner.in = in;
    inner.in_count = 3;
    if (count > 0)
        cpu_parallel(call->team, count, CPU_GRAIN_CHEAP, clip_part_f64, &inner);
    return HE_OK;
}

static he_status clip_run(struct cpu_call *call)
{
    void (*part)(void *, int64_t, int64_t) = NULL;
    float params[4] = {-INFINITY, INFINITY};
    int64_t count = cpu_count(&call->out[0]);
    size_t k;

    if (call->node->opset < 11 && call->in[0].dtype == HE_FLOAT64)
        return clip_by_attributes(call);
    for (k = 1; k < 3; k++) {
        if (cpu_has_input(call, k) &&
            (cpu_count(&call->in[k]) != 1 || call->in[k].dtype != call->in[0].dtype))
            return he_error_set(HE_ERR_SHAPE, "Clip: limit %zu is not a scalar of the input's type",
                                k);
    }
    switch (call->in[0].dtype) {
    case HE_FLOAT32:
        if (call->node->opset < 11) {
            params[0] = he_node_float(call->node, "min", -INFINITY);
            params[1] = he_node_float(call->node, "max", INFINITY);
        } else {
            if (cpu_has_input(call, 1))
                params[0] = *(const float *)call->in[1].data;
            if (cpu_has_input(call, 2))
                params[1] = *(const float *)call->in[2].data;
        }
        run_map(call, cpu_clip_f32, CPU_GRAIN_CHEAP, params);
        return HE_OK;
#define CASE(dtype, S)        \
    case dtype:               \
        part = clip_part_##S; \
        break
        CASE(HE_FLOAT64, f64);
        CASE(HE_INT8, i8);
        CASE(HE_INT16, i16);
        CASE(HE_INT32, i32);
        CASE(HE_INT64, i64);
        CASE(HE_UINT8, u8);
        CASE(HE_UINT16, u16);
        CASE(HE_UINT32, u32);
        CASE(HE_UINT64, u64);
#undef CASE
    default:
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    }
    if (count > 0)
        cpu_parallel(call->team, count, CPU_GRAIN_CHEAP, part, call);
    return HE_OK;
}

#define FLOAT_ROW(name)                                                                     \
    {.op = name, .types = CPU_FLOATS, .flags = CPU_IN_PLACE, .run = unary_run}, CPU_WIDENED(name)
#define SIGNED_ROW(name)                                                                         \
    {.op = name, .types = CPU_FLOATS | CPU_SIGNED, .flags = CPU_IN_PLACE, .run = unary_run},     \
        CPU_WIDENED(name)

static const struct cpu_kernel kernels[] = {
    SIGNED_ROW("Relu"),
    SIGNED_ROW("Abs"),
    {.op = "Abs", .types = CPU_UNSIGNED, .flags = CPU_IN_PLACE, .run = identity_run},
    SIGNED_ROW("Neg"),
    SIGNED_ROW("Sign"),
    {.op = "Sign", .types = CPU_UNSIGNED, .flags = CPU_IN_PLACE, .run = sign_unsigned_run},
    FLOAT_ROW("Sigmoid"),
    FLOAT_ROW("Tanh"),
    FLOAT_ROW("Exp"),
    FLOAT_ROW("Log"),
    FLOAT_ROW("Sqrt"),
    FLOAT_ROW("Erf"),
    FLOAT_ROW("LeakyRelu"),
    FLOAT_ROW("HardSigmoid"),
    FLOAT_ROW("HardSwish"),
    FLOAT_ROW("Ceil"),
    FLOAT_ROW("Floor"),
    FLOAT_ROW("Round"),
    FLOAT_ROW("Reciprocal"),
    FLOAT_ROW("Sin"),
    FLOAT_ROW("Cos"),
    FLOAT_ROW("Tan"),
    FLOAT_ROW("Asin"),
    FLOAT_ROW("Acos"),
    FLOAT_ROW("Atan"),
    FLOAT_ROW("Sinh"),
    FLOAT_ROW("Cosh"),
    FLOAT_ROW("Asinh"),
    FLOAT_ROW("Acosh"),
    FLOAT_ROW("Atanh"),
    FLOAT_ROW("Elu"),
    FLOAT_ROW("Selu"),
    FLOAT_ROW("Celu"),
    FLOAT_ROW("ThresholdedRelu"),
    FLOAT_ROW("Softplus"),
    FLOAT_ROW("Softsign"),
    FLOAT_ROW("Mish"),
    FLOAT_ROW("Swish"),
    FLOAT_ROW("Shrink"),
    FLOAT_ROW("Gelu"),
    {.op = "Clip", .types = CPU_FLOATS | CPU_INTEGERS, .flags = CPU_IN_PLACE, .run = clip_run},
    CPU_WIDENED("Clip"),
    {.op = "Identity", .types = ~CPU_TYPE(HE_STRING), .flags = CPU_IN_PLACE, .run = identity_run},
    {.op = "Dropout",
     .types = ~CPU_TYPE(HE_STRING),
     .flags = CPU_IN_PLACE,
     .run = dropout_run},
};

const struct cpu_kernel_table cpu_kernels_unary = {kernels, sizeof kernels / sizeof kernels[0]};
