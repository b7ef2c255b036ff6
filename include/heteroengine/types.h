/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_TYPES_H
#define HETEROENGINE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <heteroengine/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element types, numbered as in ONNX (TensorProto.DataType). */
enum he_dtype {
    HE_DTYPE_NONE = 0, /* not known, or an omitted optional input */
    HE_FLOAT32 = 1,
    HE_UINT8 = 2,
    HE_INT8 = 3,
    HE_UINT16 = 4,
    HE_INT16 = 5,
    HE_INT32 = 6,
    HE_INT64 = 7,
    HE_STRING = 8,
    HE_BOOL = 9, /* one byte, 0 or 1 */
    HE_FLOAT16 = 10,
    HE_FLOAT64 = 11,
    HE_UINT32 = 12,
    HE_UINT64 = 13,
    HE_COMPLEX64 = 14,
    HE_COMPLEX128 = 15,
    HE_BFLOAT16 = 16,
    HE_FLOAT8E4M3FN = 17,
    HE_FLOAT8E4M3FNUZ = 18,
    HE_FLOAT8E5M2 = 19,
    HE_FLOAT8E5M2FNUZ = 20,
    HE_UINT4 = 21, /* two per byte, low half first */
    HE_INT4 = 22,
    HE_FLOAT4E2M1 = 23,
    HE_FLOAT8E8M0 = 24,
    HE_UINT2 = 25, /* four per byte */
    HE_INT2 = 26,
    HE_DTYPE_COUNT
};

/** "float32", "int64", "bfloat16"...; "unknown" for anything else. */
HE_API const char *he_dtype_name(enum he_dtype dtype);
/** The type of that name, HE_DTYPE_NONE when there is none. */
HE_API enum he_dtype he_dtype_from_name(const char *name);
/** Bits of one element; 0 for strings and unknown types. */
HE_API unsigned he_dtype_bits(enum he_dtype dtype);
/** True for float32, float64, float16, bfloat16 and the 8- and 4-bit floats. */
HE_API bool he_dtype_is_float(enum he_dtype dtype);
/** True for the signed and unsigned integers, not bool. */
HE_API bool he_dtype_is_integer(enum he_dtype dtype);

/* The one compile-time maximum we keep: ranks beyond 16 have not been seen in
 * a model, and a fixed array keeps every shape a plain value (docs/decisions/0002). */
#define HE_MAX_RANK 16
#define HE_RANK_UNKNOWN UINT32_MAX

/*
 * A shape. A dimension >= 0 is known. HE_DIM_UNKNOWN is "anything"; a number
 * below it names a symbol of the graph ("batch"): two equal symbols are equal
 * sizes. rank may be HE_RANK_UNKNOWN. Rank 0 is a scalar: one element.
 */
#define HE_DIM_UNKNOWN ((int64_t)-1)
struct he_shape {
    uint32_t rank;
    int64_t dims[HE_MAX_RANK];
};

/** True when the rank and every dimension are known. */
HE_API bool he_shape_is_static(const struct he_shape *shape);
/** Same rank and the same dimensions, symbols included. */
HE_API bool he_shape_equal(const struct he_shape *a, const struct he_shape *b);
/** Element count of a static shape, -1 when not static or when it overflows. */
HE_API int64_t he_shape_count(const struct he_shape *shape);
/** Bytes of a dense tensor; -1 when unknown or when it overflows. Sub-byte types round up. */
HE_API int64_t he_shape_bytes(const struct he_shape *shape, enum he_dtype dtype);

/*
 * A borrowed view of a tensor in host memory. strides are in elements;
 * is_dense says they are the row-major ones of dims, so that a kernel may
 * ignore them. dtype HE_DTYPE_NONE marks an omitted optional input.
 */
struct he_tensor {
    enum he_dtype dtype;
    bool is_dense;
    struct he_shape shape;
    int64_t strides[HE_MAX_RANK];
    void *data;
};

/** A dense view of @data. */
HE_API struct he_tensor he_tensor_dense(enum he_dtype dtype, const struct he_shape *shape,
                                        void *data);

#ifdef __cplusplus
}
#endif
#endif
