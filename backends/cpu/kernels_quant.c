/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: one scale for the tensor, or one per
 * index of an axis, or (from opset 21) one per block of an axis.
 */
#include "quant.h"

#include <string.h>

#include "half.h"

/* The tensor as [outer, length, inner]; index c of the axis uses scale c / block of its place. */
struct quant_job {
    const struct he_tensor *in, *scale, *zero; /* zero NULL: 0 */
    struct he_tensor *out;
    int64_t length, inner;
    int64_t block;        /* 0: one scale for all; else indexes of the axis that share one */
    int64_t block_count;  /* scales along the axis */
    bool is_blocked;      /* scales differ along outer and inner too */
    int32_t low, high;
};

static he_status set_axis(const struct cpu_call *call, struct quant_job *job)
{
    const struct he_node *node = call->node;
    const struct he_shape *shape = &call->in[0].shape;
    int64_t count = cpu_count(&call->in[1]), block = he_node_int(node, "block_size", 0);
    uint32_t axis;
    he_status status;

    job->in = &call->in[0];
    job->scale = &call->in[1];
    job->zero = cpu_has_input(call, 2) ? &call->in[2] : NULL;
    job->out = &call->out[0];
    if (job->zero && cpu_count(job->zero) != count)
        return he_error_set(HE_ERR_SHAPE, "%s: %lld scales but %lld zero points", node->op,
                            (long long)count, (long long)cpu_count(job->zero));
    if (count == 1 && !block) {
        job->length = 1;
        job->inner = cpu_count(&call->in[0]);
        return HE_OK;
    }
    status = cpu_axis(node, he_node_int(node, "axis", 1), shape->rank, &axis);
    if (status != HE_OK)
        return status;
    job->length = shape->dims[axis];
    job->inner = cpu_extent(shape, axis + 1, shape->rank);
    job->block = block > 0 ? block : 1;
    job->is_blocked = block > 0;
    job->block_count = (job->length + job->block - 1) / job->block;
    if (count != (block > 0 ? cpu_extent(shape, 0, axis) * job->block_count * job->inner
                            : job->length))
        return he_error_set(HE_ERR_SHAPE, "%s: %lld scales for an axis of %lld", node->op,
                            (long long)count, (long long)job->length);
    return HE_OK;
}

/* The scale of element @at, and for how many elements from there on it holds. */
static int64_t scale_at(const struct quant_job *job, int64_t at, int64_t *run)
{
    int64_t c, i;

    if (!job->block) {
        *run = job->inner - at;
        return 0;
    }
    c = at / job->inner % job->length;
    i = at % job->inner;
    if (!job->is_blocked) {
        *run = job->inner - i;
        return c;
    }
    *run = 1;
    return (at / (job->inner * job->length) * job->block_count + c / job->block) * job->inner + i;
}

#define QUANTIZE(S, T)                                                                        \
    CPU_VECTOR static void quantize_##S(T *restrict out, const float *restrict x, int64_t n,  \
                                        float scale, int32_t zero, int32_t low, int32_t high) \
    {                                                                                         \
        int64_t i;                                                                            \
        for (i = 0; i < n; i++)                                                               \
            out[i] = (T)cpu_quantize(x[i] / scale, zero, low, high);                          \
    }
QUANTIZE(u8, uint8_t)
QUANTIZE(i8, int8_t)
QUANTIZE(u16, uint16_t)
QUANTIZE(i16, int16_t)

static void quantize_part(void *arg, int64_t begin, int64_t end)
{
    const struct quant_job *job = arg;
    int64_t at, run, k;
    int32_t zero;
    float scale;

    for (at = begin; at < end; at += run) {
        float single;
        const float *x = &single;

        k = scale_at(job, at, &run);
        if (run > end - at)
            run = end - at;
        scale = (float)cpu_get_double(job->scale, k);
        zero = job->zero ? (int32_t)cpu_get_int(job->zero, k) : 0;
        if (job->in->dtype == HE_FLOAT32) {
            x = (const float *)job->in->data + at;
        } else { /* int32, where a scale per element is good enough */
            single = (float)cpu_get_int(job->in, at);
            run = 1;
        }
        switch (job->out->dtype) {
        case HE_INT8:
            quantize_i8((int8_t *)job->out->data + at, x, run, scale, zero, job->low, job->high);
            break;
        case HE_UINT16:
            quantize_u16((uint16_t *)job->out->data + at, x, run, scale, zero, job->low,
                         job->high);
            break;
        case HE_INT16:
            quantize_i16((int16_t *)job->out->data + at, x, run, scale, zero, job->low, job->high);
            break;
        default:
            quantize_u8((uint8_t *)job->out->data + at, x, run, scale, zero, job->low, job->high);
            break;
        }
    }
}

static he_status quantize_run(struct cpu_call *call)
{
    struct quant_job job = {0};
    he_status status = set_axis(call, &job);
    int64_t count = cpu_count(&call->in[0]);

    if (status != HE_OK)
        return status;
    switch (call->out[0].dtype) {
    case HE_UINT8:
        job.high = 255;
        break;
    case HE_INT8:
        job.low = -128;
        job.high = 127;
        break;
    case HE_UINT16:
        job.high = 65535;
        break;
    case HE_INT16:
        job.low = -32768;
        job.high = 32767;
        break;
    default:
        return cpu_unsupported_type(call->node, call->out[0].dtype);
    }
    if (count > 0)
        cpu_parallel(call->team, count, CPU_GRAIN_CHEAP, quantize_part, &job);
    return HE_OK;
}

#define DEQUANTIZE(S, T)                                                                      \
    CPU_VECTOR static void dequantize_##S(float *restrict out, const T *restrict x,           \
                                          int64_t n, float scale, int32_t zero)               \
    {                                                                                         \
        int64_t i;                                                                            \
        for (i = 0; i < n; i++)                                                               \
            out[i] = (float)((int32_t)x[i] - zero) * scale;                                   \
    }
DEQUANTIZE(u8, uint8_t)
DEQUANTIZE(i8, int8_t)
DEQUANTIZE(u16, uint16_t)
DEQUANTIZE(i16, int16_t)
DEQUANTIZE(i32, int32_t)

#define DEQUANTIZE_BLOCK 256

static void dequantize_part(void *arg, int64_t begin, int64_t end)
{
    const struct quant_job *job = arg;
    enum he_dtype out_type = job->out->dtype;
    float block[DEQUANTIZE_BLOCK], scale, *out;
    int64_t at, run, k;
    int32_t zero;

    for (at = begin; at < end; at += run) {
        k = scale_at(job, at, &run);
        if (run > end - at)
            run = end - at;
        scale = (float)cpu_get_double(job->scale, k);
        zero = job->zero ? (int32_t)cpu_get_int(job->zero, k) : 0;
        out = (float *)job->out->data + at;
        if (out_type != HE_FLOAT32) {
            run = run > DEQUANTIZE_BLOCK ? DEQUANTIZE_BLOCK : run;
            out = block;
        }
        switch (job->in->dtype) {
        case HE_INT8:
            dequantize_i8(out, (const int8_t *)job->in->data + at, run, scale, zero);
            break;
        case HE_UINT16:
            dequantize_u16(out, (const uint16_t *)job->in->data + at, run, scale, zero);
            break;
        case HE_INT16:
            dequantize_i16(out, (const int16_t *)job->in->data + at, run, scale, zero);
            break;
        case HE_INT32:
            dequantize_i32(out, (const int32_t *)job->in->data + at, run, scale, zero);
            break;
        default:
            dequantize_u8(out, (const uint8_t *)job->in->data + at, run, scale, zero);
            break;
        }
        if (out_type == HE_FLOAT16)
            cpu_floats_to_half((uint16_t *)job->out->data + at, block, run);
        else if (out_type == HE_BFLOAT16)
            cpu_floats_to_bfloat((uint16_t *)job->out->data + at, block, run);
    }
}

static he_status dequantize_run(struct cpu_call *call)
{
    struct quant_job job = {0};
    enum he_dtype out_type = call->out[0].dtype;
    he_status status = set_axis(call, &job);
    int64_t count = cpu_count(&call->in[0]);

    if (status != HE_OK)
        return status;
    if (out_type != HE_FLOAT32 && out_type != HE_FLOAT16 && out_type != HE_BFLOAT16)
        return cpu_unsupported_type(call->node, out_type);
    if (count > 0)
        cpu_parallel(call->team, count, CPU_GRAIN_CHEAP, dequantize_part, &job);
    return HE_OK;
}

/* Outputs: the uint8 tensor, its scale, its zero point. The range always holds 0. */
static he_status dynamic_run(struct cpu_call *call)
{
    const float *x = call->in[0].data;
    int64_t n = cpu_count(&call->in[0]), i;
    float low = 0, high = 0, scale, zero_float;
    int32_t zero;

    for (i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    scale = (high - low) / 255.0f;
    /* All zeros: any scale will do but 0. */
    if (scale == 0.0f)
        scale = 1.0f;
    zero_float = rintf(0.0f - low / scale);
    zero = zero_float < 0.0f ? 0 : zero_float > 255.0f ? 255 : (int32_t)zero_float;
    if (cpu_has_output(call, 0))
        quantize_u8(call->out[0].data, x, n, scale, zero, 0, 255);
    if (cpu_has_output(call, 1))
        *(float *)call->out[1].data = scale;
    if (cpu_has_output(call, 2))
        *(uint8_t *)call->out[2].data = (uint8_t)zero;
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "QuantizeLinear",
     .types = CPU_TYPE(HE_FLOAT32) | CPU_TYPE(HE_INT32),
     .run = quantize_run},
    CPU_WIDENED("QuantizeLinear"),
    {.op = "DequantizeLinear",
     .types = CPU_TYPE(HE_UINT8) | CPU_TYPE(HE_INT8) | CPU_TYPE(HE_UINT16) | CPU_TYPE(HE_INT16) |
              CPU_TYPE(HE_INT32),
     .run = dequantize_run},
    {.op = "DynamicQuantizeLinear", .types = CPU_TYPE(HE_FLOAT32), .run = dynamic_run},
};

const struct cpu_kernel_table cpu_kernels_quant = {kernels, sizeof kernels / sizeof kernels[0]};
