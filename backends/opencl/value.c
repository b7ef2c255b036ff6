/* SPDX-License-Identifier: Apache-2.0 */
/* What emitters ask about the values and nodes of a graph: types, constants, strides. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "build.h"

bool opencl_is(const struct he_node *node, const char *op)
{
    return strcmp(node->op, op) == 0 &&
           (!node->domain || !*node->domain || strcmp(node->domain, "ai.onnx") == 0);
}

const char *opencl_type(const struct opencl_build *b, enum he_dtype dtype)
{
    switch (dtype) {
    case HE_FLOAT32:
    case HE_FLOAT16:
    case HE_BFLOAT16:
        return "float";
    case HE_FLOAT64:
        return b->dev->found->has_fp64 ? "double" : NULL;
    case HE_INT8:
        return "char";
    case HE_UINT8:
    case HE_BOOL:
        return "uchar";
    case HE_INT16:
        return "short";
    case HE_UINT16:
        return "ushort";
    case HE_INT32:
        return "int";
    case HE_UINT32:
        return "uint";
    case HE_INT64:
        return "long";
    case HE_UINT64:
        return "ulong";
    default:
        return NULL;
    }
}

const char *opencl_bits_type(size_t bytes)
{
    return bytes == 1   ? "uchar"
           : bytes == 2 ? "ushort"
           : bytes == 4 ? "uint"
           : bytes == 8 ? "ulong"
                        : NULL;
}

he_status opencl_refuse(const struct he_node *node, const char *format, ...)
{
    char why[256];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return he_error_set(HE_ERR_UNSUPPORTED, "%s on OpenCL: %s", node->op, why);
}

he_status opencl_need_float(const struct opencl_build *b, const struct he_node *node)
{
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = opencl_input(b, node, k);

        if (value && !opencl_is_float(value->dtype))
            return opencl_refuse(node, "%s is not done, float32 is", he_dtype_name(value->dtype));
    }
    return HE_OK;
}

he_status opencl_need_float32(const struct opencl_build *b, const struct he_node *node)
{
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = opencl_input(b, node, k);

        if (value && value->dtype != HE_FLOAT32)
            return opencl_refuse(node, "%s is not done, float32 is", he_dtype_name(value->dtype));
    }
    return HE_OK;
}

bool opencl_ints(const struct he_value *value, int64_t *out, size_t capacity, size_t *count)
{
    *count = 0;
    return value && value->data && he_value_read_ints(value, out, capacity, count) &&
           *count <= capacity;
}

/* Every half is a float: those without an exponent are multiples of 2^-24. */
static float half_to_float(uint16_t half)
{
    uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16, bits;
    float out;

    if (magnitude < 0x400u) {
        out = (float)magnitude * 0x1p-24f;
        return sign ? -out : out;
    }
    bits = sign | (magnitude >= 0x7c00u ? 0x7f800000u | (magnitude & 0x3ffu) << 13
                                        : (magnitude << 13) + ((127u - 15u) << 23));
    memcpy(&out, &bits, sizeof out);
    return out;
}

float opencl_float(const struct he_value *value, size_t k)
{
    uint16_t half;
    uint32_t bits;
    float out;

    if (value->dtype == HE_FLOAT32) {
        memcpy(&out, (const char *)value->data + k * sizeof out, sizeof out);
        return out;
    }
    memcpy(&half, (const char *)value->data + k * sizeof half, sizeof half);
    if (value->dtype == HE_FLOAT16)
        return half_to_float(half);
    bits = (uint32_t)half << 16;
    memcpy(&out, &bits, sizeof out);
    return out;
}

void opencl_strides(const struct he_shape *shape, int64_t *out)
{
    int64_t stride = 1;

    for (uint32_t d = shape->rank; d-- > 0;) {
        out[d] = stride;
        stride *= shape->dims[d];
    }
}

int64_t opencl_product(const struct he_shape *shape, uint32_t from, uint32_t to)
{
    int64_t product = 1;

    for (uint32_t d = from; d < to; d++)
        product *= shape->dims[d];
    return product;
}
