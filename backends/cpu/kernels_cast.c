/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cast and CastLike between numbers and bool. Integers that do not fit wrap round; a
 * float that does not fit an integer gives the nearest one that does, NaN
 * gives 0 (the standard leaves both open). Half types go through float in blocks.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "half.h"

/* Whole numbers that are exact in float and double at the low end of each type; at the high end the
 * first power of two that does not fit, so that the comparison is exact. */
#define SATURATE(T, x, LOWEST, LIMIT, HIGHEST) \
    ((x) != (x) ? (T)0 : (x) < (LOWEST) ? (T)(LOWEST) : (x) >= (LIMIT) ? (HIGHEST) : (T)(x))

#define KEEP(T, x) ((T)(x))
#define TO_BOOL(T, x) ((x) != 0)
#define TO_I8(T, x) SATURATE(T, x, -0x1p7f, 0x1p7f, INT8_MAX)
#define TO_I16(T, x) SATURATE(T, x, -0x1p15f, 0x1p15f, INT16_MAX)
#define TO_I32(T, x) SATURATE(T, x, -0x1p31f, 0x1p31f, INT32_MAX)
#define TO_I64(T, x) SATURATE(T, x, -0x1p63f, 0x1p63f, INT64_MAX)
#define TO_U8(T, x) SATURATE(T, x, 0.0f, 0x1p8f, UINT8_MAX)
#define TO_U16(T, x) SATURATE(T, x, 0.0f, 0x1p16f, UINT16_MAX)
#define TO_U32(T, x) SATURATE(T, x, 0.0f, 0x1p32f, UINT32_MAX)
#define TO_U64(T, x) SATURATE(T, x, 0.0f, 0x1p64f, UINT64_MAX)

#define LOOP(T, CONVERT)                     \
    {                                        \
        T *out = vout;                       \
        for (i = 0; i < n; i++)              \
            out[i] = (T)CONVERT(T, in[i]);   \
        return;                              \
    }

/* A function that casts from one type to any native one; the common ones vectorised. */
#define CAST_FROM(VECTOR, S, F, I8, I16, I32, I64, U8, U16, U32, U64)                               \
    VECTOR static void from_##S(enum he_dtype to, void *restrict vout,                      \
                                    const void *restrict vin, int64_t n)                    \
    {                                                                                       \
        const F *in = vin;                                                                  \
        int64_t i;                                                                          \
        switch (to) {                                                                       \
        case HE_FLOAT32:                                                                    \
            LOOP(float, KEEP)                                                               \
        case HE_FLOAT64:                                                                    \
            LOOP(double, KEEP)                                                              \
        case HE_INT8:                                                                       \
            LOOP(int8_t, I8)                                                                \
        case HE_INT16:                                                                      \
            LOOP(int16_t, I16)                                                              \
        case HE_INT32:                                                                      \
            LOOP(int32_t, I32)                                                              \
        case HE_INT64:                                                                      \
            LOOP(int64_t, I64)                                                              \
        case HE_UINT8:                                                                      \
            LOOP(uint8_t, U8)                                                               \
        case HE_UINT16:                                                                     \
            LOOP(uint16_t, U16)                                                             \
        case HE_UINT32:                                                                     \
            LOOP(uint32_t, U32)                                                             \
        case HE_UINT64:                                                                     \
            LOOP(uint64_t, U64)                                                             \
        default:                                                                            \
            LOOP(uint8_t, TO_BOOL)                                                          \
        }                                                                                   \
    }
#define CAST_FROM_FLOAT(VECTOR, S, F) \
    CAST_FROM(VECTOR, S, F, TO_I8, TO_I16, TO_I32, TO_I64, TO_U8, TO_U16, TO_U32, TO_U64)
#define CAST_FROM_INT(VECTOR, S, F) \
    CAST_FROM(VECTOR, S, F, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP)
CAST_FROM_FLOAT(CPU_VECTOR, f32, float)
CAST_FROM_FLOAT(, f64, double)
CAST_FROM_INT(, i8, int8_t)
CAST_FROM_INT(, i16, int16_t)
CAST_FROM_INT(CPU_VECTOR, i32, int32_t)
CAST_FROM_INT(CPU_VECTOR, i64, int64_t)
CAST_FROM_INT(CPU_VECTOR, u8, uint8_t)
CAST_FROM_INT(, u16, uint16_t)
CAST_FROM_INT(, u32, uint32_t)
CAST_FROM_INT(, u64, uint64_t)

static void cast_native(enum he_dtype from, enum he_dtype to, void *out, const void *in, int64_t n)
{
    switch (from) {
    case HE_FLOAT32:
        from_f32(to, out, in, n);
        break;
    case HE_FLOAT64:
        from_f64(to, out, in, n);
        break;
    case HE_INT8:
        from_i8(to, out, in, n);
        break;
    case HE_INT16:
        from_i16(to, out, in, n);
        break;
    case HE_INT32:
        from_i32(to, out, in, n);
        break;
    case HE_INT64:
        from_i64(to, out, in, n);
        break;
    case HE_UINT16:
        from_u16(to, out, in, n);
        break;
    case HE_UINT32:
        from_u32(to, out, in, n);
        break;
    case HE_UINT64:
        from_u64(to, out, in, n);
        break;
    default: /* uint8 and bool */
        from_u8(to, out, in, n);
        break;
    }
}

struct cast_job {
    enum he_dtype from, to;
    size_t from_size, to_size;
    const char *in;
    char *out;
};

#define CAST_BLOCK 1024

static void cast_part(void *arg, int64_t begin, int64_t end)
{
    const struct cast_job *job = arg;
    float block[CAST_BLOCK];
    enum he_dtype from;
    const void *in;
    int64_t n, i;
    void *out;

    for (; begin < end; begin += n) {
        in = job->in + (size_t)begin * job->from_size;
        out = job->out + (size_t)begin * job->to_size;
        from = job->from;
        if (from != HE_FLOAT16 && from != HE_BFLOAT16 && job->to != HE_FLOAT16 &&
            job->to != HE_BFLOAT16) {
            cast_native(from, job->to, out, in, end - begin);
            return;
        }
        n = end - begin < CAST_BLOCK ? end - begin : CAST_BLOCK;
        if (from == HE_FLOAT64 && job->to == HE_FLOAT16) {
            for (i = 0; i < n; i++)
                ((uint16_t *)out)[i] = cpu_double_to_half(((const double *)in)[i]);
            continue;
        }
        if (from == HE_FLOAT16)
            cpu_half_to_floats(block, in, n);
        else if (from == HE_BFLOAT16)
            cpu_bfloat_to_floats(block, in, n);
        else
            cast_native(from, HE_FLOAT32, block, in, n);
        if (job->to == HE_FLOAT16)
            cpu_floats_to_half(out, block, n);
        else if (job->to == HE_BFLOAT16)
            cpu_floats_to_bfloat(out, block, n);
        else
            cast_native(HE_FLOAT32, job->to, out, block, n);
    }
}

static bool can_cast(enum he_dtype dtype)
{
    const uint32_t types = CPU_FLOATS | CPU_HALVES | CPU_INTEGERS | CPU_TYPE(HE_BOOL);

    return dtype < HE_DTYPE_COUNT && (types & CPU_TYPE(dtype));
}

static he_status cast_run(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    struct cast_job job = {.from = in->dtype, .to = out->dtype, .in = in->data, .out = out->data};
    int64_t count = cpu_count(out);

    if (!can_cast(in->dtype) || !can_cast(out->dtype))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: no cpu kernel from %s to %s", call->node->op,
                            he_dtype_name(in->dtype), he_dtype_name(out->dtype));
    job.from_size = he_dtype_bits(in->dtype) / 8;
    job.to_size = he_dtype_bits(out->dtype) / 8;
    if (count <= 0)
        return HE_OK;
    if (job.from == job.to)
        memmove(job.out, job.in, (size_t)count * job.to_size);
    else
        cpu_parallel(call->team, count, CPU_GRAIN_CHEAP, cast_part, &job);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Cast",
     .types = CPU_FLOATS | CPU_HALVES | CPU_INTEGERS | CPU_TYPE(HE_BOOL),
     .run = cast_run},
    {.op = "CastLike",
     .types = CPU_FLOATS | CPU_HALVES | CPU_INTEGERS | CPU_TYPE(HE_BOOL),
     .run = cast_run},
};

const struct cpu_kernel_table cpu_kernels_cast = {kernels, sizeof kernels / sizeof kernels[0]};
