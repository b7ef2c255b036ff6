/* SPDX-License-Identifier: Apache-2.0 */
/* Element types and shapes. */
#include <string.h>

#include <heteroengine/types.h>

#include "size.h"

enum dtype_class { CLASS_OTHER, CLASS_FLOAT, CLASS_INTEGER };

static const struct {
    const char *name;
    unsigned bits;
    enum dtype_class dtype_class;
} dtypes[HE_DTYPE_COUNT] = {
    [HE_FLOAT32] = { "float32", 32, CLASS_FLOAT },
    [HE_UINT8] = { "uint8", 8, CLASS_INTEGER },
    [HE_INT8] = { "int8", 8, CLASS_INTEGER },
    [HE_UINT16] = { "uint16", 16, CLASS_INTEGER },
    [HE_INT16] = { "int16", 16, CLASS_INTEGER },
    [HE_INT32] = { "int32", 32, CLASS_INTEGER },
    [HE_INT64] = { "int64", 64, CLASS_INTEGER },
    [HE_STRING] = { "string", 0, CLASS_OTHER },
    [HE_BOOL] = { "bool", 8, CLASS_OTHER },
    [HE_FLOAT16] = { "float16", 16, CLASS_FLOAT },
    [HE_FLOAT64] = { "float64", 64, CLASS_FLOAT },
    [HE_UINT32] = { "uint32", 32, CLASS_INTEGER },
    [HE_UINT64] = { "uint64", 64, CLASS_INTEGER },
    [HE_COMPLEX64] = { "complex64", 64, CLASS_OTHER },
    [HE_COMPLEX128] = { "complex128", 128, CLASS_OTHER },
    [HE_BFLOAT16] = { "bfloat16", 16, CLASS_FLOAT },
    [HE_FLOAT8E4M3FN] = { "float8e4m3fn", 8, CLASS_FLOAT },
    [HE_FLOAT8E4M3FNUZ] = { "float8e4m3fnuz", 8, CLASS_FLOAT },
    [HE_FLOAT8E5M2] = { "float8e5m2", 8, CLASS_FLOAT },
    [HE_FLOAT8E5M2FNUZ] = { "float8e5m2fnuz", 8, CLASS_FLOAT },
    [HE_UINT4] = { "uint4", 4, CLASS_INTEGER },
    [HE_INT4] = { "int4", 4, CLASS_INTEGER },
    [HE_FLOAT4E2M1] = { "float4e2m1", 4, CLASS_FLOAT },
    [HE_FLOAT8E8M0] = { "float8e8m0", 8, CLASS_FLOAT },
    [HE_UINT2] = { "uint2", 2, CLASS_INTEGER },
    [HE_INT2] = { "int2", 2, CLASS_INTEGER },
};

static bool is_known(enum he_dtype dtype)
{
    return dtype > HE_DTYPE_NONE && dtype < HE_DTYPE_COUNT;
}

const char *he_dtype_name(enum he_dtype dtype)
{
    return is_known(dtype) ? dtypes[dtype].name : "unknown";
}

enum he_dtype he_dtype_from_name(const char *name)
{
    for (unsigned k = 1; name && k < HE_DTYPE_COUNT; k++) {
        if (strcmp(name, dtypes[k].name) == 0)
            return (enum he_dtype)k;
    }
    return HE_DTYPE_NONE;
}

unsigned he_dtype_bits(enum he_dtype dtype)
{
    return is_known(dtype) ? dtypes[dtype].bits : 0;
}

bool he_dtype_is_float(enum he_dtype dtype)
{
    return is_known(dtype) && dtypes[dtype].dtype_class == CLASS_FLOAT;
}

bool he_dtype_is_integer(enum he_dtype dtype)
{
    return is_known(dtype) && dtypes[dtype].dtype_class == CLASS_INTEGER;
}

bool he_shape_is_static(const struct he_shape *shape)
{
    if (shape->rank > HE_MAX_RANK)
        return false;
    for (uint32_t k = 0; k < shape->rank; k++) {
        if (shape->dims[k] < 0)
            return false;
    }
    return true;
}

bool he_shape_equal(const struct he_shape *a, const struct he_shape *b)
{
    if (a->rank != b->rank)
        return false;
    return a->rank > HE_MAX_RANK || memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

int64_t he_shape_count(const struct he_shape *shape)
{
    int64_t count = 1;

    if (!he_shape_is_static(shape))
        return -1;
    /* A zero anywhere makes the count zero, whatever the others multiply to. */
    for (uint32_t k = 0; k < shape->rank; k++) {
        if (shape->dims[k] == 0)
            return 0;
    }
    for (uint32_t k = 0; k < shape->rank; k++) {
        if (!he_int64_mul(count, shape->dims[k], &count))
            return -1;
    }
    return count;
}

int64_t he_shape_bytes(const struct he_shape *shape, enum he_dtype dtype)
{
    int64_t count = he_shape_count(shape);
    int64_t bits = he_dtype_bits(dtype);

    if (count < 0 || bits == 0 || !he_int64_mul(count, bits, &bits) || bits > INT64_MAX - 7)
        return -1;
    return (bits + 7) / 8;
}

struct he_tensor he_tensor_dense(enum he_dtype dtype, const struct he_shape *shape, void *data)
{
    struct he_tensor tensor = { .dtype = dtype, .is_dense = true, .shape = *shape, .data = data };
    int64_t stride = 1;

    for (uint32_t k = shape->rank; k-- > 0;) {
        tensor.strides[k] = stride;
        stride *= shape->dims[k];
    }
    return tensor;
}
